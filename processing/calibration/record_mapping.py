"""A calibration as plain values, for JSON, documents and Tango."""

import math
from collections.abc import Iterable
from dataclasses import fields

import numpy as np

from ringline.processing.arrays import InputArray
from ringline.processing.calibrants import Calibrant, Layers
from ringline.processing.calibration.result import Calibration, ControlPoints, FittedRing
from ringline.processing.calibration.task import CalibrationTask
from ringline.processing.crystals import Crystal, Ring
from ringline.processing.recipe_mapping import Mapped, detector_to_mapping, geometry_to_mapping
from ringline.processing.types import FloatArray, IntArray

MAPPING_VERSION = 1
"""Of the mapping; another one is refused."""


def calibration_to_mapping(calibration: Calibration) -> dict[str, Mapped]:
    """Plain values of a calibration; ``calibration_from_mapping`` reads them back exactly.

    JSON has no NaN: single values that are NaN are left out, in lists they are None; infinities
    are the words "inf" and "-inf". Values that are None are left out as well. Besides what is read
    back there is what follows from it, for readers without Ringline: ``id``, ``refined``,
    ``errors``, ``energy_kev``, and of the verdict ``accepted`` and ``words``. Arrays of pixels are
    there by path and sha256.
    """
    geometry = calibration.geometry
    return {
        "version": MAPPING_VERSION,
        "id": calibration.id,
        "task": _task(calibration.task),
        "image_sha256": calibration.image_sha256,
        "verdict": {
            "accepted": calibration.verdict.accepted,
            "words": calibration.verdict.words,
            "checks": [
                {"name": check.name, "passed": check.passed, "words": check.words}
                for check in calibration.verdict.checks
            ],
        },
        **({} if geometry is None else {"geometry": geometry_to_mapping(geometry)}),
        "refined": list(calibration.task.refined),
        "errors": {name: number(value) for name, value in calibration.errors.items()},
        "covariance": [numbers(row) for row in calibration.covariance],
        "rings": [_fitted(ring) for ring in calibration.rings],
        **({} if calibration.points is None else {"points": _points(calibration.points)}),
        "curve": {"axis": numbers(calibration.axis), "intensity": numbers(calibration.curve)},
    }


def calibrant_to_mapping(calibrant: Calibrant) -> dict[str, Mapped]:
    """All of a calibrant: tables change, a record does not."""
    match calibrant:
        case Crystal(cell=cell):
            return {
                "kind": "crystal",
                "name": calibrant.name,
                "cell": {field.name: getattr(cell, field.name) for field in fields(cell)},
                "space_group": calibrant.space_group,
                "atoms": [
                    {"element": atom.element, "position": list(atom.position)}
                    for atom in calibrant.atoms
                ],
                "displacement": calibrant.displacement,
                "source": calibrant.source,
            }
        case Layers():
            return {"kind": "layers", "name": calibrant.name, "spacing": calibrant.spacing}
    rings: list[Mapped] = [_ring(ring) for ring in calibrant.listed]
    return {"kind": "spacings", "name": calibrant.name, "rings": rings}


def number(value: float) -> Mapped:
    """A float for JSON: NaN is None, infinities are words."""
    if math.isfinite(value):
        return float(value)
    return None if math.isnan(value) else str(float(value))


def numbers(values: FloatArray) -> list[Mapped]:
    """Floats for JSON."""
    return [number(value) for value in np.asarray(values, dtype=np.float64).tolist()]


def _task(task: CalibrationTask) -> dict[str, Mapped]:
    guess = {} if task.guess is None else {"guess": geometry_to_mapping(task.guess)}
    fixed: list[Mapped] = [*sorted(task.fixed)]
    bounds: list[Mapped] = [
        {"name": bound.name, "low": bound.low, "high": bound.high} for bound in task.bounds
    ]
    arrays = {"mask": task.mask, "dark": task.dark}
    return {
        "calibrant": calibrant_to_mapping(task.calibrant),
        "detector": detector_to_mapping(task.detector),
        "wavelength": task.wavelength,
        "energy_kev": task.energy_kev,
        **guess,
        "fixed": fixed,
        "bounds": bounds,
        **{name: _array(array) for name, array in arrays.items() if array is not None},
        **({} if task.saturation is None else {"saturation": task.saturation}),
    }


def _array(array: InputArray) -> dict[str, Mapped]:
    where: dict[str, Mapped] = {} if array.path is None else {"path": array.path}
    return {**where, "sha256": array.sha256}


def _ring(ring: Ring) -> dict[str, Mapped]:
    known = {
        "indices": None if ring.indices is None else list(ring.indices),
        "multiplicity": ring.multiplicity,
        "strength": ring.strength,
    }
    return {"spacing": ring.spacing, **_without_none(known.items())}


def _fitted(ring: FittedRing) -> dict[str, Mapped]:
    seen = {"residual": number(ring.residual), "scatter": number(ring.scatter)}
    indices = None if ring.indices is None else list(ring.indices)
    return {
        "spacing": ring.spacing,
        "two_theta": ring.two_theta,
        **_without_none([("indices", indices)]),
        "points": int(ring.points),
        "coverage": float(ring.coverage),
        **_without_none(seen.items()),
    }


def _points(points: ControlPoints) -> dict[str, Mapped]:
    return {
        "ring": _integers(points.ring),
        "slow": numbers(points.slow),
        "fast": numbers(points.fast),
        "chi": numbers(points.chi),
        "residual": numbers(points.residual),
        "sigma": numbers(points.sigma),
        "used": _integers(points.used),
    }


def _integers(values: IntArray) -> list[Mapped]:
    return [int(value) for value in values]


def _without_none(items: Iterable[tuple[str, object]]) -> dict[str, Mapped]:
    return {name: value for name, value in items if value is not None}  # type: ignore[misc]
