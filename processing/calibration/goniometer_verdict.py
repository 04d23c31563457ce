"""Whether the calibration of a goniometer can be trusted: image by image, and all together."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ringline.processing.calibration.goniometer_fit import SeenRings, error_at, fitted
from ringline.processing.calibration.goniometer_task import GoniometerTask
from ringline.processing.calibration.image import CalibrationImage
from ringline.processing.calibration.lines import lines_of
from ringline.processing.calibration.peaks import integrated
from ringline.processing.calibration.result import Check, Verdict
from ringline.processing.calibration.settle import Settled
from ringline.processing.calibration.verdict import (
    ENERGY_KNOWN,
    ENERGY_OFF,
    ENERGY_SIGMAS,
    FEWEST_RINGS,
    Evidence,
    exposure_checks,
    seen_rings,
)
from ringline.processing.geometry import Geometry
from ringline.processing.goniometer import Goniometer
from ringline.processing.motion import position_words
from ringline.processing.motions import with_free_wavelength

PRECISION = 0.5
"""Largest standard error of 2theta anywhere on the detector at the positions of images, pixels."""
STATED_OFF = 0.01
"""Relative difference of a parameter from what was stated."""
STATED_SIGMAS = 4.0
"""The same difference, in standard errors, that is no chance."""


@dataclass(frozen=True)
class Shown:
    """What one image shows."""

    positions: Mapping[str, float]
    image: CalibrationImage
    geometry: Geometry
    """Where the goniometer puts the detector."""
    settled: Settled | None
    """None where no ring is seen."""
    expected: bool
    """Whether rings should be on it."""


@dataclass(frozen=True)
class JointEvidence:
    """Everything that checks look at."""

    task: GoniometerTask
    goniometer: Goniometer
    shown: tuple[Shown, ...]
    seen: Sequence[SeenRings]


def joint_verdict(evidence: JointEvidence) -> Verdict:
    """All checks; the calibration is accepted where all pass."""
    return Verdict(tuple(_checks(evidence)))


def _checks(evidence: JointEvidence) -> Iterator[Check]:
    for shown in evidence.shown:
        where = position_words(shown.positions)
        for check in _of_image(shown, evidence.task):
            yield Check(f"{check.name} at {where}", check.passed, f"{where}: {check.words}")
    yield _rings(evidence)
    yield _precision(evidence)
    yield _bounds(evidence)
    yield from _stated(evidence)
    yield _energy(evidence)


def _of_image(shown: Shown, task: GoniometerTask) -> Iterator[Check]:
    settled = shown.settled
    if settled is None or not settled.refined.used.any():
        words = "no ring is seen where there should be one"
        yield Check("rings", not shown.expected, words if shown.expected else "no ring is on it")
        return
    geometry = shown.geometry
    own = replace(task.images, wavelength=geometry.wavelength, guess=None)
    lines = lines_of(own.calibrant, geometry.wavelength)
    curve = integrated(geometry, shown.image, 0.6 * float(np.min(settled.fit.width)))
    yield from exposure_checks(Evidence(own, shown.image, lines, settled, curve))


def _rings(evidence: JointEvidence) -> Check:
    """Of all images; a ring that several show is one."""
    found: set[float] = set()
    for shown in evidence.shown:
        if shown.settled is not None:
            there = np.nonzero(seen_rings(shown.settled) > 0)[0]
            found |= {shown.settled.lines.rings[k].spacing for k in there}
    words = f"{len(found)} rings are seen on all images together (at least {FEWEST_RINGS})"
    return Check("rings", len(found) >= FEWEST_RINGS, words)


def _precision(evidence: JointEvidence) -> Check:
    errors = [error_at(evidence.goniometer, shown.positions) for shown in evidence.shown]
    worst = int(np.argmax(errors))
    words = (
        f"2theta is known to {errors[worst]:.2g} pixel (needed {PRECISION:g}) all over the "
        f"detector, worst at {position_words(evidence.shown[worst].positions)}"
    )
    return Check("precision", errors[worst] <= PRECISION, words)


def _bounds(evidence: JointEvidence) -> Check:
    values = evidence.goniometer.parameters
    at = [
        bound.name
        for bound in evidence.task.bounds
        if min(values[bound.name] - bound.low, bound.high - values[bound.name])
        <= 1e-6 * (bound.high - bound.low)
    ]
    words = f"{', '.join(at)} ended at a bound" if at else "no parameter ended at a bound"
    return Check("bounds", not at, words)


def _stated(evidence: JointEvidence) -> Iterator[Check]:
    """Whether what was stated, the scale of a motor, is what rings tell."""
    for name, stated in evidence.task.stated.items():
        if name in evidence.task.held or stated == 0:
            continue
        value, error = evidence.goniometer.parameters[name], evidence.goniometer.errors[name]
        off = abs(value - stated)
        good = off <= max(STATED_OFF * abs(stated), STATED_SIGMAS * error)
        words = (
            f"{name} is {value:.7g} to {100 * error / abs(stated):.1g} %, stated was {stated:.7g} "
            f"(within {100 * STATED_OFF:g} %)"
        )
        yield Check(name, good, words)


def _energy(evidence: JointEvidence) -> Check:
    """Whether rings, with the wavelength free, tell the energy that was stated."""
    task, goniometer = evidence.task, evidence.goniometer
    if not task.finds_wavelength:
        task, goniometer = _with_wavelength(task, goniometer)
        goniometer, _ = fitted(goniometer, evidence.seen, task)
    geometry = goniometer.geometry_at(evidence.shown[0].positions)
    error = _wavelength_error(goniometer, evidence.shown[0].positions) / geometry.wavelength
    told, stated = geometry.energy_kev, task.images.energy_kev
    off = told / stated - 1.0
    if error > ENERGY_KNOWN:
        words = f"rings do not tell the energy (to {100 * error:.1g} % only)"
        return Check("energy", not evidence.task.finds_wavelength, words)
    words = f"rings tell {told:.5f} keV to {100 * error:.1g} %, stated are {stated:.5f} keV"
    if evidence.task.finds_wavelength:
        good = error <= ENERGY_OFF
        return Check("energy", good, f"{words} (needed to {100 * ENERGY_OFF:g} %)")
    good = abs(off) <= max(ENERGY_OFF, ENERGY_SIGMAS * error)
    return Check("energy", good, f"{words} (within {100 * ENERGY_OFF:g} %)")


def _with_wavelength(
    task: GoniometerTask, goniometer: Goniometer
) -> tuple[GoniometerTask, Goniometer]:
    """The same with the wavelength, which is fixed, as one more parameter."""
    freed = with_free_wavelength(task.motion)
    values = {**goniometer.parameters, freed.parameters[-1]: task.images.wavelength}
    kept = tuple(values[name] for name in freed.parameters)
    task = replace(
        task,
        motion=freed,
        stated={name: value for name, value in task.stated.items() if name in freed.parameters},
        start={name: value for name, value in task.start.items() if name in freed.parameters},
        fixed=task.fixed & {*freed.parameters},
    )
    return task, replace(goniometer, motion=freed, values=kept, covariance=None)


def _wavelength_error(goniometer: Goniometer, positions: Mapping[str, float]) -> float:
    """Standard error of the wavelength, m: from the covariance of what its formula has."""
    rows = goniometer.covariance or ()
    slopes = np.zeros(len(goniometer.values))
    for k, name in enumerate(goniometer.motion.parameters):
        if "wavelength" in goniometer.motion.fields_of(name) and rows[k][k] > 0:
            step = 1e-3 * rows[k][k] ** 0.5
            high, low = (_wavelength(goniometer, k, s * step, positions) for s in (1, -1))
            slopes[k] = (high - low) / (2 * step)
    return float(np.sqrt(max(slopes @ np.array(rows) @ slopes, 0.0)))


def _wavelength(
    goniometer: Goniometer, number: int, step: float, positions: Mapping[str, float]
) -> float:
    values = list(goniometer.values)
    values[number] += step
    return goniometer.with_values(values).geometry_at(positions).wavelength
