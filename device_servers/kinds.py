"""Kinds of settings: how a value that someone gives is parsed, once, and kept as text."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ringline.processing import QuantileRange, RecipeError, calibrant_named, unit_named
from ringline.processing.checks import (
    as_number,
    require_bool,
    require_choice,
    require_count,
    require_edges,
    require_finite,
    require_range,
)
from ringline.processing.units import FORMULA

Range = tuple[float, float]
Edges = tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A float within bounds."""

    above: float | None = None
    """Exclusive bound."""
    low: float | None = None
    high: float | None = None
    unit: str = ""

    def parse(self, name: str, value: Any) -> float:
        """What someone gives, checked; RecipeError where it is out of bounds."""
        number = require_finite(name, as_number(name, value), self.unit)
        if self.above is not None and not number > self.above:
            raise RecipeError(f"{name} must be > {self.above:g} {self.unit}".rstrip() + _got(value))
        low = -math.inf if self.low is None else self.low
        high = math.inf if self.high is None else self.high
        if not low <= number <= high:
            raise RecipeError(f"{name} must be from {low:g} to {high:g}{_got(value)}")
        return number

    def to_text(self, value: Any) -> list[str]:
        """Lines for the database."""
        return [repr(float(value))]

    def from_text(self, name: str, text: Sequence[str]) -> float:
        """From the lines in the database."""
        return self.parse(name, text[0])


@dataclass(frozen=True, slots=True)
class Count:
    """A whole number within bounds, both inclusive."""

    low: int
    high: int

    def parse(self, name: str, value: Any) -> int:
        """What someone gives, checked; RecipeError where it is out of bounds."""
        count = require_count(name, value, at_least=self.low)
        if count > self.high:
            raise RecipeError(f"{name} must be at most {self.high}{_got(value)}")
        return count

    def to_text(self, value: Any) -> list[str]:
        """Lines for the database."""
        return [str(value)]

    def from_text(self, name: str, text: Sequence[str]) -> int:
        """From the lines in the database."""
        try:
            return self.parse(name, int(text[0]))
        except ValueError as error:
            raise RecipeError(f"{name} must be a whole number{_got(text[0])}") from error


@dataclass(frozen=True, slots=True)
class Switch:
    """True or false."""

    def parse(self, name: str, value: Any) -> bool:
        """What someone gives, checked; RecipeError where it is out of bounds."""
        return require_bool(name, value)

    def to_text(self, value: Any) -> list[str]:
        """Lines for the database."""
        return ["true" if value else "false"]

    def from_text(self, name: str, text: Sequence[str]) -> bool:
        """From the lines in the database."""
        return require_choice(name, text[0].lower(), ("true", "false")) == "true"


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some names.

    On the wire it is a string: ophyd-async cannot fill a device that has a Tango enumeration with
    lower-case labels, and these names are pyFAI's.
    """

    labels: tuple[str, ...]

    def parse(self, name: str, value: Any) -> str:
        """What someone gives, checked; RecipeError where it is out of bounds."""
        return require_choice(name, value, self.labels)

    def to_text(self, value: Any) -> list[str]:
        """Lines for the database."""
        return [str(value)]

    def from_text(self, name: str, text: Sequence[str]) -> str:
        """From the lines in the database."""
        return self.parse(name, text[0])


@dataclass(frozen=True, slots=True)
class UnitName:
    """One of some names, or the user's own function of the position, ``formula: ...``."""

    labels: tuple[str, ...]

    def parse(self, name: str, value: Any) -> str:
        """What someone gives, checked; RecipeError where it is out of bounds."""
        if isinstance(value, str) and value.startswith(FORMULA):
            return unit_named(value).name
        return require_choice(name, value, self.labels)

    def to_text(self, value: Any) -> list[str]:
        """Lines for the database."""
        return [str(value)]

    def from_text(self, name: str, text: Sequence[str]) -> str:
        """From the lines in the database."""
        return self.parse(name, "\n".join(text))


@dataclass(frozen=True, slots=True)
class Text:
    """A name; a mapping, as it comes from JSON, is kept as JSON text."""

    def parse(self, name: str, value: Any) -> str:
        """What someone gives, checked; RecipeError where it is out of bounds."""
        if isinstance(value, Mapping):
            return json.dumps(value, sort_keys=True)
        if not isinstance(value, str):
            raise RecipeError(f"{name} must be text{_got(value)}")
        return value.strip()

    def to_text(self, value: Any) -> list[str]:
        """Lines for the database."""
        return [str(value)]

    def from_text(self, name: str, text: Sequence[str]) -> str:
        """From the lines in the database."""
        return self.parse(name, "\n".join(text))


@dataclass(frozen=True, slots=True)
class FilePath:
    """The absolute path of a file; empty for none."""

    words: tuple[str, ...] = ()
    """Other words that stand for one."""

    def parse(self, name: str, value: Any) -> str:
        """What someone gives, checked; RecipeError where it is out of bounds."""
        if value is None:
            return ""
        if not isinstance(value, str):
            raise RecipeError(f"{name} must be a path{_got(value)}")
        path = value.strip()
        if path and path not in self.words and not path.startswith("/"):
            others = "".join(f", or {word!r}" for word in self.words)
            raise RecipeError(f"{name} must be an absolute path{others}{_got(value)}")
        return path

    def to_text(self, value: Any) -> list[str]:
        """Lines for the database."""
        return [str(value)]

    def from_text(self, name: str, text: Sequence[str]) -> str:
        """From the lines in the database."""
        return self.parse(name, "\n".join(text))


@dataclass(frozen=True, slots=True)
class Interval:
    """Low and high, or None for all: nothing, or two zeros, which any client can write."""

    def parse(self, name: str, value: Any) -> Range | None:
        """What someone gives, checked; RecipeError where it is out of bounds."""
        if value is None:
            return None
        if isinstance(value, str) or not hasattr(value, "__len__"):
            raise RecipeError(f"{name} must be two numbers, low and high{_got(value)}")
        numbers = [as_number(name, item) for item in value]
        if not any(numbers) and len(numbers) in (0, 2):
            return None
        return require_range(name, numbers)

    def to_text(self, value: Any) -> list[str]:
        """Lines for the database."""
        return [repr(float(bound)) for bound in value or (0.0, 0.0)]

    def from_text(self, name: str, text: Sequence[str]) -> Range | None:
        """From the lines in the database."""
        return self.parse(name, list(text))


@dataclass(frozen=True, slots=True)
class BinEdges:
    """Ascending numbers, or None for equal bins: nothing, or two zeros, as of an interval."""

    most: int

    def parse(self, name: str, value: Any) -> Edges | None:
        """What someone gives, checked; RecipeError where it is out of bounds."""
        if value is None:
            return None
        if isinstance(value, str) or not hasattr(value, "__len__"):
            raise RecipeError(f"{name} must be a list of numbers{_got(value)}")
        numbers = [as_number(name, item) for item in value]
        if not any(numbers) and len(numbers) in (0, 2):
            return None
        if len(numbers) > self.most:
            raise RecipeError(f"{name} must be at most {self.most} numbers, got {len(numbers)}")
        return require_edges(name, numbers)

    def to_text(self, value: Any) -> list[str]:
        """Lines for the database."""
        return [repr(float(edge)) for edge in value or (0.0, 0.0)]

    def from_text(self, name: str, text: Sequence[str]) -> Edges | None:
        """From the lines in the database."""
        return self.parse(name, list(text))


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Two parts of one, low and high, which may be equal."""

    def parse(self, name: str, value: Any) -> Range:
        """What someone gives, checked; RecipeError where it is out of bounds."""
        if isinstance(value, str) or not hasattr(value, "__len__") or len(value) != 2:
            raise RecipeError(f"{name} must be two numbers, low and high{_got(value)}")
        found = QuantileRange(*(as_number(name, item) for item in value))
        return found.low, found.high

    def to_text(self, value: Any) -> list[str]:
        """Lines for the database."""
        return [repr(float(bound)) for bound in value]

    def from_text(self, name: str, text: Sequence[str]) -> Range:
        """From the lines in the database."""
        return self.parse(name, list(text))


@dataclass(frozen=True, slots=True)
class CalibrantName:
    """A powder of the table, by its name, or the absolute path of a ``.D`` file; empty: none."""

    def parse(self, name: str, value: Any) -> str:
        """What someone gives, checked; RecipeError where there is none of this name."""
        text = Text().parse(name, value)
        if not text:
            return ""
        if text.lower().endswith(".d"):
            text = FilePath().parse(name, text)
        found = calibrant_named(text).name
        return text if text.startswith("/") else found

    def to_text(self, value: Any) -> list[str]:
        """Lines for the database."""
        return [str(value)]

    def from_text(self, name: str, text: Sequence[str]) -> str:
        """From the lines in the database."""
        return self.parse(name, "\n".join(text))


@dataclass(frozen=True, slots=True)
class NameList:
    """Some of some names: as text with spaces or commas between them, or as a list."""

    known: tuple[str, ...]

    def parse(self, name: str, value: Any) -> str:
        """What someone gives, checked; RecipeError where one is not known."""
        listed = isinstance(value, (list, tuple))
        names = value if listed else Text().parse(name, value).replace(",", " ").split()
        return " ".join(require_choice(f"name in {name}", each, self.known) for each in names)

    def to_text(self, value: Any) -> list[str]:
        """Lines for the database."""
        return [str(value)]

    def from_text(self, name: str, text: Sequence[str]) -> str:
        """From the lines in the database."""
        return self.parse(name, " ".join(text))


@dataclass(frozen=True, slots=True)
class BoundsByName:
    """Low and high of some parameters, as JSON text or a mapping; empty: none."""

    known: tuple[str, ...]

    def parse(self, name: str, value: Any) -> str:
        """What someone gives, checked; RecipeError where it is none."""
        text = Text().parse(name, value)
        if not text:
            return ""
        try:
            given = json.loads(text)
        except json.JSONDecodeError as error:
            raise RecipeError(f"{name} is not JSON: {error}{_got(text)}") from error
        if not isinstance(given, Mapping):
            raise RecipeError(f"{name} must map names to low and high{_got(text)}")
        found = {
            require_choice(f"name in {name}", key, self.known): require_range(
                f"{name} of {key}", pair or []
            )
            for key, pair in given.items()
        }
        return json.dumps(found, sort_keys=True) if found else ""

    def to_text(self, value: Any) -> list[str]:
        """Lines for the database."""
        return [str(value)]

    def from_text(self, name: str, text: Sequence[str]) -> str:
        """From the lines in the database."""
        return self.parse(name, "\n".join(text))


Kind = (
    Number
    | Count
    | Switch
    | Choice
    | UnitName
    | Text
    | FilePath
    | Interval
    | BinEdges
    | Quantiles
    | CalibrantName
    | NameList
    | BoundsByName
)

LISTS = (Interval, BinEdges, Quantiles)
"""Spectra on the wire, which Tango does not memorize."""


def _got(value: object) -> str:
    return f", got {value!r}"
