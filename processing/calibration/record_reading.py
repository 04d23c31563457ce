"""Calibrations from plain values: parsed once, every key accounted for."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import TypeVar

import numpy as np

from ringline.processing.arrays import InputArray, input_array
from ringline.processing.calibrants import Calibrant, Layers, Spacings, calibrant_named
from ringline.processing.calibration.record_mapping import MAPPING_VERSION
from ringline.processing.calibration.result import (
    Calibration,
    Check,
    ControlPoints,
    FittedRing,
    Verdict,
)
from ringline.processing.calibration.task import Bound, CalibrationTask
from ringline.processing.checks import as_number, did_you_mean, require_choice
from ringline.processing.crystals import Atom, Cell, Crystal, Ring
from ringline.processing.errors import RecipeError
from ringline.processing.recipe_reading import detector_from_mapping, geometry_from_mapping
from ringline.processing.types import FloatArray, IntArray

Plain = Mapping[str, object]
Value = TypeVar("Value")

_FOLLOWING = ("id", "refined", "errors")
"""Of a calibration, what follows from the rest."""
_COUNTS = ("ring", "used")
"""Of control points, what are whole numbers."""


def calibration_from_mapping(mapping: Plain) -> Calibration:
    """The calibration that ``calibration_to_mapping`` gave.

    Arrays of pixels are read from their paths; one whose content is not the recorded one is
    refused. Where only the geometry is wanted, and a mask of then may be gone:
    ``geometry_from_mapping(mapping["geometry"])``.

    Raises
    ------
    RecipeError:
        An unknown or missing key, a value out of bounds, an array that is gone or changed, or a
        geometry that is not that of the recorded ``id``.
    """
    values = _known(mapping)
    geometry, points = values.get("geometry"), values.get("points")
    curve = _section(values, "curve")
    found = Calibration(
        task=_task(_section(values, "task")),
        image_sha256=str(_item(values, "image_sha256")),
        verdict=Verdict(tuple(_built(Check, "check", check) for check in _checks(values))),
        geometry=None if geometry is None else geometry_from_mapping(_section(values, "geometry")),
        covariance=_square([_floats("covariance", row) for row in _list(values, "covariance")]),
        rings=tuple(_fitted(ring) for ring in _sections(values, "rings")),
        points=None if points is None else _points(_section(values, "points")),
        axis=_floats("axis", _item(curve, "axis")),
        curve=_floats("intensity", _item(curve, "intensity")),
    )
    if found.id != values.get("id", found.id):
        raise RecipeError(
            f"calibration: the geometry has the id {found.id or 'of none'}, "
            f"the record says {values['id']}: it was changed"
        )
    return found


def calibrant_from_mapping(mapping: object) -> Calibrant:
    """The calibrant that ``calibrant_to_mapping`` gave, or one of the table by its name.

    Raises
    ------
    RecipeError:
        An unknown name, kind or key, or a value out of bounds.
    """
    if isinstance(mapping, str):
        return calibrant_named(mapping)
    if not isinstance(mapping, Mapping):
        raise RecipeError(f"calibrant must be a name or a section with a kind, got {mapping!r}")
    kind = require_choice(
        "kind of calibrant", mapping.get("kind"), ("crystal", "layers", "spacings")
    )
    values = {name: value for name, value in mapping.items() if name != "kind"}
    match kind:
        case "crystal":
            values["cell"] = _built(Cell, "cell", _section(values, "cell"))
            values["atoms"] = tuple(_atom(atom) for atom in _sections(values, "atoms"))
            return _built(Crystal, "calibrant", values)
        case "layers":
            return _built(Layers, "calibrant", values)
    name = str(_item(values, "name"))
    return Spacings(name, tuple(_ring(ring) for ring in _sections(values, "rings")))


def _known(mapping: Plain) -> dict[str, object]:
    values = {**mapping}
    version = values.pop("version", None)
    if version != MAPPING_VERSION:
        raise RecipeError(
            f"calibration: version of the record must be {MAPPING_VERSION}, got {version!r}"
        )
    known = [field.name for field in fields(Calibration) if field.name != "axis"]
    _check_keys("calibration", values, [*known, *_FOLLOWING])
    return values


def _checks(values: Plain) -> Sequence[Plain]:
    verdict = _section(values, "verdict")
    _check_keys("verdict", verdict, ["accepted", "words", "checks"])
    return _sections(verdict, "checks")


def _task(mapping: Plain) -> CalibrationTask:
    values = {name: value for name, value in mapping.items() if name != "energy_kev"}
    values["calibrant"] = calibrant_from_mapping(values.get("calibrant"))
    values["detector"] = detector_from_mapping(_section(values, "detector"))
    if values.get("guess") is not None:
        values["guess"] = geometry_from_mapping(_section(values, "guess"))
    values["fixed"] = frozenset(str(name) for name in _list(values, "fixed"))
    values["bounds"] = tuple(_built(Bound, "bound", bound) for bound in _sections(values, "bounds"))
    for name in ("mask", "dark"):
        if values.get(name) is not None:
            values[name] = _array(name, _section(values, name))
    return _built(CalibrationTask, "task", values)


def _array(name: str, mapping: Plain) -> InputArray | None:
    _check_keys(name, mapping, ["path", "sha256"])
    path, expected = mapping.get("path"), mapping.get("sha256")
    if not isinstance(path, str):
        raise RecipeError(f"{name}: no path is recorded for the array {expected}")
    array = input_array(name, path)
    if array is not None and array.sha256 != expected:
        raise RecipeError(f"{name} {path}: changed since: sha256 {array.sha256}, was {expected}")
    return array


def _atom(mapping: Plain) -> Atom:
    x, y, z = (as_number("position", value) for value in _list(mapping, "position"))
    return _built(Atom, "atom", {**mapping, "position": (x, y, z)})


def _ring(mapping: Plain) -> Ring:
    return _built(Ring, "ring", {**mapping, "indices": _indices(mapping)})


def _fitted(mapping: Plain) -> FittedRing:
    numbers = {name: _number(name, mapping.get(name)) for name in ("residual", "scatter")}
    return _built(FittedRing, "ring", {**mapping, **numbers, "indices": _indices(mapping)})


def _indices(mapping: Plain) -> tuple[int, int, int] | None:
    if mapping.get("indices") is None:
        return None
    found = _list(mapping, "indices")
    whole = [index for index in found if isinstance(index, int)]
    if len(found) != 3 or len(whole) != 3:
        raise RecipeError(f"indices must be three whole numbers, got {found!r}")
    h, k, m = whole
    return h, k, m


def _points(mapping: Plain) -> ControlPoints:
    columns = {
        name: _integers(name, values) if name in _COUNTS else _floats(name, values)
        for name, values in mapping.items()
    }
    if len({len(column) for column in columns.values()}) > 1:
        sizes = ", ".join(f"{name} {len(column)}" for name, column in columns.items())
        raise RecipeError(f"points: columns must have one length, got {sizes}")
    return _built(ControlPoints, "points", columns)


def _square(rows: list[FloatArray]) -> FloatArray:
    size = len(rows)
    if any(len(row) != size for row in rows):
        raise RecipeError(f"covariance must be square, got rows of {[len(row) for row in rows]}")
    return np.array(rows, dtype=np.float64).reshape(size, size)


def _floats(name: str, values: object) -> FloatArray:
    return np.array([_number(name, value) for value in _as_list(name, values)], dtype=np.float64)


def _integers(name: str, values: object) -> IntArray:
    found = _as_list(name, values)
    if not all(isinstance(value, int) for value in found):
        raise RecipeError(f"{name} must be whole numbers")
    return np.array(found, dtype=np.int64)


def _number(name: str, value: object) -> float:
    return math.nan if value is None else as_number(name, value)


def _section(mapping: Plain, name: str) -> Plain:
    section = _item(mapping, name)
    if not isinstance(section, Mapping):
        raise RecipeError(f"{name} must be a section, got {section!r}")
    return section


def _sections(mapping: Plain, name: str) -> list[Plain]:
    return [_section({name: item}, name) for item in _list(mapping, name)]


def _list(mapping: Plain, name: str) -> Sequence[object]:
    return _as_list(name, _item(mapping, name))


def _as_list(name: str, value: object) -> Sequence[object]:
    if isinstance(value, np.ndarray):  # stores give these back for lists of numbers
        return list(value.tolist())
    if not isinstance(value, (list, tuple)):
        raise RecipeError(f"{name} must be a list, got {value!r}")
    return value


def _item(mapping: Plain, name: str) -> object:
    if mapping.get(name) is None:
        raise RecipeError(f"calibration: key {name!r} is missing")
    return mapping[name]


def _built(cls: type[Value], where: str, values: Plain) -> Value:
    known = fields(cls)  # type: ignore[arg-type]  # only dataclasses are built
    _check_keys(where, values, [field.name for field in known])
    for field in known:
        if field.default is field.default_factory is MISSING:
            _item(values, field.name)
    return cls(**values)


def _check_keys(where: str, values: Plain, known: list[str]) -> None:
    for name in values:
        if name not in known:
            raise RecipeError(f"{where}: unknown key {name!r}: {did_you_mean(name, known)}")
