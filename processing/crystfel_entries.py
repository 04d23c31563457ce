"""The entries of CrystFEL's geometry files: panels, bad regions, what applies to all, and units."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from ringline.processing.checks import require_finite, require_positive
from ringline.processing.errors import RecipeError
from ringline.processing.geometry import HC_KEV_M
from ringline.processing.panels import Vector

Entries: TypeAlias = Mapping[str, str]
"""Values by key, as written."""

_STACKED = 3
"""Dimensions of a frame of modules."""
_LENGTHS = {"m": 1.0, "mm": 1e-3}
_ENERGIES_KEV = {"eV": 1e-3, "keV": 1.0, "MeV": 1e3}
_WAVELENGTHS = {"m": 1.0, "A": 1e-10}
_ARGUMENTS = {
    "clen": "camera_length",
    "photon_energy": "energy_kev",
    "wavelength": "energy_kev",
}
"""Arguments of ``read_crystfel`` that take the place of entries."""
_IGNORED = ("rigid_group", "group_")
_TERM = r"([+-]?(?:\d+\.?\d*|\.\d+)?(?:[eE][+-]?\d+)?)\*?([xyz])"


@dataclass(frozen=True, slots=True)
class CrystFELFile:
    """What a geometry file says, in its own words."""

    entries: dict[str, str] = field(default_factory=dict)
    """What stands for itself, as last set: such as the photon energy."""
    panels: dict[str, dict[str, str]] = field(default_factory=dict)
    """By name, in the order of the file, each with the defaults that it was begun with."""
    regions: dict[str, dict[str, str]] = field(default_factory=dict)
    """Bad regions, by name."""


def parse_crystfel(text: str) -> CrystFELFile:
    """The entries of a geometry file.

    An entry without a name of a panel holds for the panels that begin after it, as in CrystFEL; a
    panel begins where it is named first. What follows a semicolon is a comment.

    Raises
    ------
    RecipeError:
        There is no panel, or a line that is no entry.
    """
    found = CrystFELFile()
    for number, line in enumerate(text.splitlines(), start=1):
        statement = line.partition(";")[0].strip()
        if not statement or statement.startswith(_IGNORED):
            continue
        key, equals, value = (part.strip() for part in statement.partition("="))
        if not equals or not key:
            raise RecipeError(f"line {number} is no entry (key = value): {statement!r}")
        owner, slash, name = key.rpartition("/")
        if not slash:
            found.entries[key] = value
        elif owner.startswith("bad"):
            found.regions.setdefault(owner, {})[name] = value
        else:
            found.panels.setdefault(owner, dict(found.entries))[name] = value
    if not found.panels:
        raise RecipeError("no panel in it")
    return found


def number_of(entries: Entries, key: str, default: float | None = None) -> float:
    """An entry that is a number; RecipeError where it is none, or missing without a default."""
    if key not in entries and default is not None:
        return default
    return require_finite(key, _text(entries, key))


def whole_of(entries: Entries, key: str, default: int | None = None) -> int:
    """An entry that is a whole number; RecipeError as ``number_of``."""
    value = number_of(entries, key, default)
    if value != int(value):
        raise RecipeError(f"{key} must be a whole number, got {value!r}")
    return int(value)


def pixel_of(entries: Entries) -> float:
    """The size of a pixel, m; RecipeError where it is missing or not > 0."""
    if "pixel_pitch" in entries:
        return require_positive("pixel_pitch", entries["pixel_pitch"], "m")
    return 1.0 / require_positive("res", _text(entries, "res"), "pixels/m")


def slow_of(entries: Entries) -> Vector:
    """From a row to the next, pixels, (x, y, z); RecipeError where it is no direction."""
    return _vector(entries, "ss", (0.0, 1.0, 0.0))


def fast_of(entries: Entries) -> Vector:
    """From a column to the next, pixels, (x, y, z); RecipeError where it is no direction."""
    return _vector(entries, "fs", (1.0, 0.0, 0.0))


def module_of(entries: Entries) -> int:
    """The number of the module that a panel is a part of; 0 without a stack of modules.

    Raises
    ------
    RecipeError:
        Frames have another layout than (ss, fs) or (module, ss, fs).
    """
    layout = _layout(entries)
    if layout[-2:] != ["ss", "fs"] or len(layout) > _STACKED:
        raise RecipeError(f"a frame must be (ss, fs) or (module, ss, fs), got {layout}")
    return whole_of({"dim": layout[0]}, "dim") if len(layout) == _STACKED else 0


def rows_of(found: CrystFELFile) -> int:
    """Rows of a module, or of the one slab; RecipeError where a panel does not say its own."""
    return 1 + max(whole_of(entries, "max_ss") for entries in found.panels.values())


def is_stacked(entries: Entries) -> bool:
    """Whether frames are stacks of modules."""
    return len(_layout(entries)) == _STACKED


def is_set(entries: Entries, key: str) -> bool:
    """Whether an entry is there and says yes."""
    return entries.get(key, "0").lower() not in ("0", "false")


def length_of(entries: Entries, key: str, default: float | None = None) -> float:
    """A length in m, given in m or mm; RecipeError where it stands in the data files."""
    if key not in entries and default is not None:
        return default
    return _quantity(entries, key, _LENGTHS, "m")


def wavelength_of(entries: Entries) -> float:
    """The wavelength, m, from itself or the photon energy.

    Raises
    ------
    RecipeError:
        Neither is there, it stands in the data files, or is not > 0.
    """
    if "wavelength" in entries:
        return require_positive("wavelength", _quantity(entries, "wavelength", _WAVELENGTHS, "m"))
    energy = _quantity(entries, "photon_energy", _ENERGIES_KEV, "eV")
    return HC_KEV_M / require_positive("photon_energy", energy, "keV")


def _layout(entries: Entries) -> list[str]:
    """What the dimensions of a frame are, without that of the frames themselves."""
    dims = {int(key[3:]): value for key, value in entries.items() if re.fullmatch(r"dim\d+", key)}
    return [dims[number] for number in sorted(dims) if dims[number] != "%"] or ["ss", "fs"]


def _vector(entries: Entries, key: str, default: Vector) -> Vector:
    """A direction such as ``+0.01x -0.9999y``: (x, y, z)."""
    if key not in entries:
        return default
    text = re.sub(r"\s", "", entries[key])
    if not re.fullmatch(f"(?:{_TERM})+", text):
        raise RecipeError(f"{key} must be such as '+0.01x -0.99y', got {entries[key]!r}")
    along = {"x": 0.0, "y": 0.0, "z": 0.0}
    for factor, axis in re.findall(_TERM, text):
        along[axis] += float(f"{factor}1" if factor in ("", "+", "-") else factor)
    return along["x"], along["y"], along["z"]


def _text(entries: Entries, key: str) -> str:
    if key not in entries:
        raise RecipeError(f"{key} is missing")
    return entries[key]


def _quantity(entries: Entries, key: str, units: Mapping[str, float], usual: str) -> float:
    cure = f": give {_ARGUMENTS[key]}" if key in _ARGUMENTS else ""
    if key not in entries:
        raise RecipeError(f"{key} is missing{cure}")
    value, _, unit = entries[key].partition(" ")
    if value.startswith("/"):
        raise RecipeError(f"{key} stands in the data files, in {value}{cure}")
    unit = unit.strip() or usual
    if unit not in units:
        raise RecipeError(f"{key} must be in {' or '.join(units)}, got {entries[key]!r}")
    return require_finite(key, value) * units[unit]
