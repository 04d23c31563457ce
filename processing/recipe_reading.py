"""Recipes from plain values, JSON and TOML: parsed once, every key accounted for."""

import json
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TypeVar

import tomli_w

from ringline.processing.arrays import ArraySource, InputArray, corners_array, input_array
from ringline.processing.binning import Binning
from ringline.processing.checks import did_you_mean, require_choice
from ringline.processing.corrections import ARRAYS, Corrections
from ringline.processing.detector import Detector, ModuleGrid
from ringline.processing.errors import RecipeError
from ringline.processing.files import replace_text
from ringline.processing.geometry import Geometry
from ringline.processing.outliers import Outliers
from ringline.processing.recipe import Recipe
from ringline.processing.recipe_mapping import BINNINGS, OUTLIERS
from ringline.processing.sensor import Sensor

Value = TypeVar("Value")
Plain = Mapping[str, object]


def recipe_from_mapping(mapping: Plain) -> Recipe:
    """The recipe that ``Recipe.to_mapping`` gave.

    Arrays are read from their paths; one whose content is not the recorded one is refused.

    Raises
    ------
    RecipeError:
        An unknown or missing key, a value out of bounds, an array that changed.
    """
    known = {**mapping}
    known["geometry"] = geometry_from_mapping(section(mapping, "geometry"))
    known["binning"] = _binning(section(mapping, "binning"))
    known["outliers"] = _outliers(mapping.get("outliers"))
    known["corrections"] = _corrections(section(mapping, "corrections", default={}))
    return constructed(Recipe, "recipe", known)


def recipe_from_json(text: str) -> Recipe:
    """The recipe that ``Recipe.to_json`` gave."""
    try:
        mapping = json.loads(text)
    except json.JSONDecodeError as error:
        raise RecipeError(f"the recipe is not JSON: {error}") from error
    if not isinstance(mapping, dict):
        raise RecipeError(f"the recipe must be a JSON object, got {type(mapping).__name__}")
    return recipe_from_mapping(mapping)


def read_recipe(path: str | os.PathLike[str]) -> Recipe:
    """The recipe in a TOML file.

    Raises
    ------
    RecipeError:
        As ``recipe_from_mapping``; the message names the file.
    """
    try:
        return recipe_from_mapping(tomllib.loads(Path(path).read_text(encoding="utf-8")))
    except OSError as error:
        raise RecipeError(f"{path}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecipeError) as error:
        raise RecipeError(f"{path}: {error}") from error


def write_recipe(recipe: Recipe, path: str | os.PathLike[str]) -> None:
    """Write a TOML file; arrays given without a path are saved beside it."""
    file = Path(path)
    kept = recipe.with_stored_arrays(file.parent)
    replace_text(file, tomli_w.dumps(kept.to_mapping()))


def detector_from_mapping(mapping: Plain) -> Detector:
    """The detector that ``detector_to_mapping`` gave; RecipeError as ``recipe_from_mapping``."""
    values = {**mapping}
    if values.get("shape") is not None:
        values["shape"] = _pair("shape", values["shape"])
    if values.get("modules") is not None:
        grid = {name: _pair(name, pair) for name, pair in section(values, "modules").items()}
        values["modules"] = constructed(ModuleGrid, "modules", grid)
    if values.get("sensor") is not None:
        values["sensor"] = constructed(Sensor, "sensor", section(values, "sensor"))
    values["corners"] = _array("corners", values.get("corners"), corners_array)
    values["mask"] = _array("mask", values.get("mask"))
    return constructed(Detector, "detector", values)


def geometry_from_mapping(mapping: Plain) -> Geometry:
    """The geometry that ``geometry_to_mapping`` gave; RecipeError as ``recipe_from_mapping``."""
    detector = detector_from_mapping(section(mapping, "detector"))
    return constructed(Geometry, "geometry", {**mapping, "detector": detector})


def _binning(mapping: Plain) -> Binning:
    return _of_kind("binning", mapping, BINNINGS)


def _outliers(mapping: object) -> Outliers | None:
    if mapping is None:
        return None
    if not isinstance(mapping, Mapping):
        raise RecipeError(f"outliers must be a section with a kind, got {mapping!r}")
    return _of_kind("outliers", mapping, OUTLIERS)


def _of_kind(section: str, mapping: Plain, kinds: Mapping[str, type[Value]]) -> Value:
    kind = require_choice(f"{section} kind", mapping.get("kind"), kinds)
    values = {name: value for name, value in mapping.items() if name != "kind"}
    return constructed(kinds[kind], f"{kind} {section}", values)


def _corrections(mapping: Plain) -> Corrections:
    _check_keys("corrections", mapping, [field.name for field in fields(Corrections)])
    values = {**mapping, **{name: _array(name, mapping.get(name)) for name in ARRAYS}}
    return Corrections(**values)  # type: ignore[arg-type]


def _array(
    name: str, value: object, read: Callable[[str], InputArray | None] | None = None
) -> ArraySource:
    if not isinstance(value, Mapping):
        return value  # type: ignore[return-value]
    _check_keys(name, value, ["path", "sha256"])
    path, expected = value.get("path"), value.get("sha256")
    if not isinstance(path, str):
        raise RecipeError(f"{name}: no path is recorded for the array {expected}")
    array = input_array(name, path) if read is None else read(path)
    if array is not None and expected not in (None, array.sha256):
        raise RecipeError(f"{name} {path}: changed since: sha256 {array.sha256}, was {expected}")
    return array


def section(
    mapping: Plain, name: str, default: Plain | None = None, *, of: str = "recipe"
) -> Plain:
    """A part of plain values that is a mapping itself; RecipeError where it is not there."""
    found = mapping.get(name, default)
    if not isinstance(found, Mapping):
        raise RecipeError(f"{of}: section {name!r} is missing")
    return found


def _pair(name: str, value: object) -> tuple[int, int]:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise RecipeError(f"{name} must be two whole numbers, got {value!r}")
    return int(value[0]), int(value[1])


def constructed(cls: type[Value], where: str, values: Plain) -> Value:
    """A dataclass from plain values.

    Raises
    ------
    RecipeError:
        An unknown or missing key, or what the class says of a value.
    """
    known = fields(cls)  # type: ignore[arg-type]  # only dataclasses are constructed
    required = [f.name for f in known if f.default is f.default_factory is MISSING]
    _check_keys(where, values, [field.name for field in known])
    for name in required:
        if values.get(name) is None:
            raise RecipeError(f"{where}: key {name!r} is missing")
    return cls(**values)  # each class checks its own values


def _check_keys(where: str, values: Plain, known: list[str]) -> None:
    for name in values:
        if name not in known:
            raise RecipeError(f"{where}: unknown key {name!r}: {did_you_mean(name, known)}")
