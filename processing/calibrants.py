"""Powders whose rings are known: by name, from a file of plane spacings, or from a cell."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from ringline.processing.calibrant_table import LAYERS, POWDERS
from ringline.processing.checks import did_you_mean, require_positive
from ringline.processing.crystals import Crystal, Ring
from ringline.processing.errors import RecipeError

_ANGSTROM = 1e-10


@dataclass(frozen=True, slots=True)
class Layers:
    """Layers at equal distance: only the orders of that one spacing are seen."""

    name: str
    spacing: float
    """m."""

    def rings(self, *, smallest_spacing: float) -> list[Ring]:
        """Rings with d >= ``smallest_spacing`` (m), the largest d first."""
        smallest = require_positive("smallest spacing", smallest_spacing, "m")
        orders = range(1, int(self.spacing / smallest * (1 + 1e-9)) + 1)
        return [Ring(self.spacing / order, (0, 0, order), 2) for order in orders]


@dataclass(frozen=True, slots=True)
class Spacings:
    """A list of rings, as a file gives it."""

    name: str
    listed: tuple[Ring, ...]
    """The largest d first."""

    def rings(self, *, smallest_spacing: float) -> list[Ring]:
        """Rings with d >= ``smallest_spacing`` (m), the largest d first."""
        smallest = require_positive("smallest spacing", smallest_spacing, "m")
        return [ring for ring in self.listed if ring.spacing >= smallest * (1 - 1e-9)]


Calibrant: TypeAlias = Crystal | Layers | Spacings
"""What has ``rings(smallest_spacing=...)``."""

_CALIBRANTS: dict[str, Calibrant] = {
    **{crystal.name: crystal for crystal in POWDERS},
    **{name: Layers(name, spacing) for name, spacing in LAYERS.items()},
}


def calibrant_names() -> list[str]:
    """The names in the table."""
    return list(_CALIBRANTS)


def calibrant_named(name: str) -> Calibrant:
    """A calibrant of the table, by its name in any case, or of a ``.D`` file, by its path.

    Raises
    ------
    RecipeError:
        The name is not in the table; near names are offered. Or the file cannot be read.
    """
    if name.lower().endswith(".d"):
        return read_spacings(Path(name))
    for known, calibrant in _CALIBRANTS.items():
        if known.lower() == name.lower():
            return calibrant
    raise RecipeError(f"unknown calibrant {name!r}: {did_you_mean(name, calibrant_names())}")


def read_spacings(path: Path) -> Spacings:
    """The rings of a ``.D`` file: a plane spacing in angstrom on each line.

    As pyFAI writes them: after # may follow indices in brackets, multiplicity and intensity.

    Raises
    ------
    RecipeError:
        It cannot be read, or a line does not begin with a number > 0; the message names it.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: {error}") from error
    found = []
    for number, line in enumerate(lines, start=1):
        told, _, comment = line.partition("#")
        if told.strip():
            found.append(_ring(f"{path}, line {number}", told.split()[0], comment))
    if not found:
        raise RecipeError(f"{path}: no plane spacing in it")
    found.sort(key=lambda ring: -ring.spacing)
    return Spacings(path.stem, tuple(found))


def _ring(where: str, text: str, comment: str) -> Ring:
    try:
        spacing = float(text)
    except ValueError:
        raise RecipeError(f"{where}: {text!r} is not a plane spacing in angstrom") from None
    spacing = require_positive(where, spacing, "angstrom") * _ANGSTROM
    told = re.match(r"\s*\(\s*(-?\d+)\s+(-?\d+)\s+(-?\d+)\s*\)\s*(\d+)?", comment)
    if told is None:
        return Ring(spacing)
    h, k, m = (int(told[i]) for i in (1, 2, 3))
    return Ring(spacing, (h, k, m), None if told[4] is None else int(told[4]))
