"""The calibration of a goniometer in words, for terminals."""

import math
from collections.abc import Iterator

import numpy as np

from ringline.processing.calibration.goniometer_task import ExposureFit, GoniometerCalibration
from ringline.processing.calibration.parameters import Parameter
from ringline.processing.motion import FIELDS, position_words


def goniometer_report(calibration: GoniometerCalibration) -> str:
    """Formulas, parameters with their errors, what each image told, and the verdict's checks."""
    task = calibration.task.images
    title = f"{task.calibrant.name} on {task.detector.name}, {len(calibration.exposures)} images"
    return "\n".join([title, *_formulas(calibration), *_parameters(calibration), *(
        _exposure(one) for one in calibration.exposures), *_verdict(calibration)])  # fmt: skip


def _formulas(calibration: GoniometerCalibration) -> Iterator[str]:
    for name in FIELDS:
        yield f"  {name:<10}  = {getattr(calibration.task.motion, name)}"


def _parameters(calibration: GoniometerCalibration) -> Iterator[str]:
    """In m, rad and what follows from them, as the formulas have them."""
    if calibration.goniometer is None:
        return
    for name, value in calibration.goniometer.parameters.items():
        error = calibration.errors.get(name, 0.0)
        if error > 0:
            power = math.floor(math.log10(max(abs(value), error)))
            shown = Parameter(name, value / 10.0**power, error / 10.0**power, "")
            yield f"  {name:<14}  ({shown.words})e{power:+d}"
        else:
            yield f"  {name:<14}  {value:.10g}  (held)"


def _exposure(one: ExposureFit) -> str:
    where = position_words(one.positions)
    if one.points is None:
        return f"  {where}: no ring"
    rings = sum(ring.points > 0 for ring in one.rings)
    used = one.points.used > 0
    off = np.degrees(np.sqrt(np.mean(one.points.residual[used] ** 2))) if used.any() else math.nan
    return (
        f"  {where}: {rings} ring{'s' if rings != 1 else ''}, {int(used.sum())} points, "
        f"off by {1e3 * off:.2g} mdeg rms"
    )


def _verdict(calibration: GoniometerCalibration) -> Iterator[str]:
    yield "accepted" if calibration.verdict.accepted else "rejected"
    for check in calibration.verdict.checks:
        yield f"  {'ok ' if check.passed else 'NOT'}  {check.name}: {check.words}"
