"""A recipe as plain values, for JSON, TOML, documents and Tango."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, TypeAlias

from ringline.processing.arrays import InputArray
from ringline.processing.binning import Azimuthal, Binning, Cake, Radial
from ringline.processing.corrections import Corrections
from ringline.processing.detector import Detector, ModuleGrid
from ringline.processing.detector_table import without_known_sensor
from ringline.processing.geometry import Geometry
from ringline.processing.outliers import Outliers, QuantileRange, SigmaClip
from ringline.processing.sensor import Sensor

if TYPE_CHECKING:
    from ringline.processing.recipe import Recipe

Mapped: TypeAlias = (
    "bool | int | float | str | list[Mapped] | tuple[Mapped, ...] | dict[str, Mapped] | None"
)

BINNINGS: dict[str, type[Binning]] = {"radial": Radial, "azimuthal": Azimuthal, "cake": Cake}
OUTLIERS: dict[str, type[Outliers]] = {"sigma_clip": SigmaClip, "quantiles": QuantileRange}


def recipe_to_mapping(recipe: Recipe, *, paths: bool) -> dict[str, Mapped]:
    """Plain values. What is None is left out: TOML has no null."""
    corrections = recipe.corrections
    return {
        "geometry": _geometry(recipe.geometry, paths),
        "binning": _kind(recipe.binning, BINNINGS),
        "splitting": recipe.splitting,
        "error_model": recipe.error_model,
        "coefficients": recipe.coefficients,
        **({} if recipe.outliers is None else {"outliers": _kind(recipe.outliers, OUTLIERS)}),
        "corrections": {
            **_plain(corrections),
            **{name: _array(array, paths) for name, array in corrections.arrays().items()},
        },
    }


def detector_to_mapping(detector: Detector, *, paths: bool = True) -> dict[str, Mapped]:
    """Plain values of a detector; ``detector_from_mapping`` reads them back if they have paths."""
    return _detector(detector, paths)


def geometry_to_mapping(geometry: Geometry) -> dict[str, Mapped]:
    """Plain values of a geometry; ``geometry_from_mapping`` reads them back."""
    return _geometry(geometry, paths=True)


def geometry_digest(geometry: Geometry) -> str:
    """sha256 of a geometry and its detector, hex: by it runs name the calibration they used.

    Arrays count by content, not by path. A sensor that the table knows counts as not given: a
    recipe with absorption gives it, and the detector has not moved for that. Nor does its name
    count: a PONI file keeps only those of the table.
    """
    detector = replace(without_known_sensor(geometry.detector), name="")
    bare = replace(geometry, detector=detector)
    return digest_of(_geometry(bare, paths=False))


def digest_of(mapping: dict[str, Mapped]) -> str:
    """sha256 of plain values, hex."""
    text = json.dumps(mapping, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _geometry(geometry: Geometry, paths: bool) -> dict[str, Mapped]:  # noqa: FBT001
    plain = {**_plain(geometry), "detector": _detector(geometry.detector, paths)}
    if not geometry.parallax:
        # Left out, so that recipes of before there was such a key keep their digest.
        del plain["parallax"]
    return plain


def _detector(detector: Detector, paths: bool) -> dict[str, Mapped]:  # noqa: FBT001
    plain = _plain(detector)
    return {
        **plain,
        **{name: _array(array, paths) for name, array in detector.arrays().items()},
    }


def _kind(value: Binning | Outliers, kinds: Mapping[str, type]) -> dict[str, Mapped]:
    kind = next(name for name, cls in kinds.items() if isinstance(value, cls))
    return {"kind": kind, **_plain(value)}


def _plain(
    value: Geometry | Detector | ModuleGrid | Sensor | Binning | Corrections | Outliers,
) -> dict[str, Mapped]:
    plain: dict[str, Mapped] = {}
    for field in fields(value):
        item = getattr(value, field.name)
        if isinstance(item, (Detector, ModuleGrid, Sensor)):
            plain[field.name] = _plain(item)
        elif isinstance(item, tuple):
            plain[field.name] = list(item)
        elif item is not None and not isinstance(item, InputArray):
            plain[field.name] = item
    return plain


def _array(array: InputArray, paths: bool) -> Mapped:  # noqa: FBT001
    where: dict[str, Mapped] = {"path": array.path} if paths and array.path else {}
    return {**where, "sha256": array.sha256}
