"""Checks of values that people give, each with a message of what, bound and value."""

import difflib
import itertools
import math
from collections.abc import Iterable

from ringline.processing.errors import RecipeError


def require_finite(name: str, value: object, unit: str = "") -> float:
    """``value`` as a float; refuse what is not a finite number."""
    number = as_number(name, value)
    if not math.isfinite(number):
        raise RecipeError(f"{name} must be finite{_in(unit)}, got {value!r}")
    return number


def require_positive(name: str, value: object, unit: str = "") -> float:
    """``value`` as a float; refuse what is not finite and > 0."""
    number = as_number(name, value)
    if not (number > 0 and math.isfinite(number)):
        bound = f"> 0 {unit}".rstrip()
        raise RecipeError(f"{name} must be {bound}, got {value!r}")
    return number


def require_count(name: str, value: object, *, at_least: int = 1) -> int:
    """``value`` as an int; refuse what is not a whole number >= ``at_least``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
        raise RecipeError(f"{name} must be a whole number >= {at_least}, got {value!r}")
    return value


def require_bool(name: str, value: object) -> bool:
    """``value``; refuse what is not true or false."""
    if not isinstance(value, bool):
        raise RecipeError(f"{name} must be true or false, got {value!r}")
    return value


def require_range(name: str, value: object) -> tuple[float, float] | None:
    """``value`` as (low, high) or None; refuse an empty or open range."""
    if value is None:
        return None
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise RecipeError(f"{name} must be two numbers, low and high, got {value!r}")
    low, high = (require_finite(name, bound) for bound in value)
    if not low < high:
        raise RecipeError(f"{name} must have low < high, got {low:g} .. {high:g}: it is empty")
    return low, high


def require_edges(name: str, value: object) -> tuple[float, ...] | None:
    """``value`` as ascending numbers or None; refuse fewer than two, or what does not ascend."""
    if value is None:
        return None
    try:
        edges = tuple(require_finite(name, edge) for edge in value)  # type: ignore[attr-defined]
    except TypeError:
        raise RecipeError(f"{name} must be a list of numbers, got {value!r}") from None
    if len(edges) < 2:
        raise RecipeError(f"{name} must be at least two numbers, got {len(edges)}")
    for before, after in itertools.pairwise(edges):
        if not before < after:
            raise RecipeError(f"{name} must ascend, got {before:g} before {after:g}")
    return edges


def require_choice(name: str, value: object, choices: Iterable[str]) -> str:
    """``value``; refuse what is not one of ``choices``, naming near ones."""
    known = list(choices)
    if not isinstance(value, str) or value not in known:
        raise RecipeError(f"unknown {name} {value!r}: {did_you_mean(str(value), known)}")
    return value


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Near matches of a mistyped ``word``, or all that there is to choose from."""
    names = list(known)
    folded = {name.lower(): name for name in names}
    near = difflib.get_close_matches(word.lower(), folded, n=3, cutoff=0.6)
    if near:
        return "did you mean " + " or ".join(repr(folded[name]) for name in near) + "?"
    return "choose from " + ", ".join(names)


def as_number(name: str, value: object) -> float:
    """``value`` as a float; refuse what is not a number."""
    if isinstance(value, bool):
        raise RecipeError(f"{name} must be a number, got {value!r}")
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise RecipeError(f"{name} must be a number, got {value!r}") from None


def _in(unit: str) -> str:
    return f" ({unit})" if unit else ""
