"""Whether a calibration can be trusted: checks, each with what it found and its bound."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ringline.processing.calibration.beam import beam_errors
from ringline.processing.calibration.image import CalibrationImage
from ringline.processing.calibration.lines import Lines
from ringline.processing.calibration.peaks import Curve, Peaks, peaks_at, unexplained
from ringline.processing.calibration.refine import refine
from ringline.processing.calibration.result import Check, Verdict
from ringline.processing.calibration.settle import Settled, halves
from ringline.processing.calibration.task import CalibrationTask
from ringline.processing.geometry import HC_KEV_M, Geometry
from ringline.processing.types import IntArray

SATURATED = 0.02
"""Part of the pixels that may be saturated."""
FEWEST_RINGS = 3
COVERAGE = 0.3
"""Part of the sectors of its rings in which a powder is seen."""
AZIMUTH_DEG = 12.0
"""Of azimuth over which rings are seen."""
OFF_PIXELS = 0.35
"""Root mean square of whole rings, and of integrated peaks, from where they should be."""
PARTS_PIXELS = 0.3
"""Likewise of parts of the detector: beyond that it is not what it is said to be."""
SCATTER_PIXELS = 1.0
"""Root mean square of control points from their rings."""
DISTANCE_ERROR = 0.005
"""Largest relative standard error of the distance."""
CENTER_ERROR = 1.0
"""Largest standard error of the beam center, pixels."""
ENERGY_OFF = 0.005
"""Relative difference of the energy that rings tell from the stated one."""
ENERGY_SIGMAS = 3.5
"""The same difference, in its standard errors, that is no chance."""
ENERGY_CLEAR = (0.001, 15.0)
"""Smaller difference that counts as well, where it is as many standard errors."""
ENERGY_KNOWN = 0.012
"""Relative standard error of the energy that rings tell, beyond which they do not tell it."""
STRAY_PEAKS = 0.12
"""Part of the heights of peaks that no line explains."""
MISSING = 0.2
"""Part of the lines that should be clearly seen which may not be there."""
HALVES = 25.0
"""Chi squared of five parameters between two halves of the points."""
_FEWEST_PEAKS = 2
_PLACED = 0.1
"""Pixels to which a ring can be placed at best."""
_CLEAR = 12.0
"""Expected height of a ring, in standard errors, for it to be missed."""
_SEEN_PART = 0.06
"""Of its expected height, below which a ring is not there."""


@dataclass(frozen=True)
class Evidence:
    """Everything that checks look at."""

    task: CalibrationTask
    image: CalibrationImage
    lines: Lines
    """All of the calibrant."""
    settled: Settled
    curve: Curve

    @property
    def geometry(self) -> Geometry:
        """As refined."""
        return self.settled.refined.geometry

    @property
    def pixel(self) -> float:
        """2theta over a pixel where points are, rad."""
        detector = self.geometry.detector
        away = self.geometry.distance / self.geometry.rotation[2, 2]
        along = np.cos(np.median(self.settled.lines.two_theta[self.settled.fit.ring])) ** 2
        return float(max(detector.pixel1, detector.pixel2) / away * max(along, 0.1))


def verdict(evidence: Evidence) -> Verdict:
    """All checks; the calibration is accepted where all pass."""
    return Verdict(tuple(_checks(evidence)))


def saturation_check(image: CalibrationImage) -> Check:
    """Whether the image is overexposed."""
    part = image.saturated_part
    words = f"{100 * part:.3g} % of the pixels are saturated (at most {100 * SATURATED:g} %)"
    return Check("saturation", part <= SATURATED, words)


def exposure_checks(evidence: Evidence) -> Iterator[Check]:
    """What one of several images, which have a geometry in common, must pass by itself."""
    yield saturation_check(evidence.image)
    yield _residuals(evidence)
    yield _strays(evidence)
    yield _missing(evidence)


def _checks(evidence: Evidence) -> Iterator[Check]:
    yield saturation_check(evidence.image)
    yield _rings(evidence)
    yield _coverage(evidence)
    yield _residuals(evidence)
    yield _precision(evidence)
    yield _bounds(evidence)
    yield _energy(evidence)
    yield _peaks(evidence)
    yield _strays(evidence)
    yield _missing(evidence)
    yield _halves(evidence)


def seen_rings(settled: Settled) -> IntArray:
    """Control points that are used on each ring, those of hardly seen ones not counted."""
    fit, used = settled.fit, _used(settled)
    number = settled.lines.two_theta.size
    points = np.bincount(fit.ring[used], minlength=number)
    visible = np.bincount(fit.ring[fit.visible], minlength=number)
    return np.where(points >= np.maximum(3, 0.05 * visible), points, 0)


def _used(settled: Settled) -> IntArray:
    index = np.nonzero(settled.points)[0]
    return index[settled.refined.used]


def _rings(evidence: Evidence) -> Check:
    number = int((seen_rings(evidence.settled) > 0).sum())
    what = "only one ring is" if number == 1 else f"{number} rings are"
    words = f"{what} seen (at least {FEWEST_RINGS})"
    return Check("rings", number >= FEWEST_RINGS, words)


def _coverage(evidence: Evidence) -> Check:
    fit, used = evidence.settled.fit, _used(evidence.settled)
    rings = np.nonzero(seen_rings(evidence.settled))[0]
    own = np.isin(fit.ring, rings)
    part = float((fit.present & own).sum() / max(1, int((fit.visible & own).sum())))
    azimuth = evidence.settled.near.azimuth(used)
    good = part >= COVERAGE and azimuth >= AZIMUTH_DEG
    spots = "" if part >= COVERAGE else ": spots rather than rings"
    words = (
        f"rings are seen in {100 * part:.0f} % of their sectors (at least {100 * COVERAGE:.0f} %)"
        f" over {azimuth:.0f} deg of azimuth (at least {AZIMUTH_DEG:.0f}){spots}"
    )
    return Check("coverage", good, words)


def _residuals(evidence: Evidence) -> Check:
    refined = evidence.settled.refined
    ring = evidence.settled.fit.ring[evidence.settled.points]
    used = refined.used
    weight = used / (evidence.settled.measured.sigma**2 + refined.scatter**2)
    total = np.bincount(ring, weight)
    some = total > 0
    mean = np.bincount(ring, weight * refined.residual)[some] / total[some]
    # A faint ring may be off by its own error.
    known = 1.0 / (1.0 / total[some] + (_PLACED * evidence.pixel) ** 2)
    whole = float(np.sqrt(np.average(mean**2, weights=known))) / evidence.pixel
    single = float(np.sqrt(np.average(refined.residual[used] ** 2, weights=weight[used])))
    single /= evidence.pixel
    patches = refined.patch_scatter / evidence.pixel
    good = whole <= OFF_PIXELS and patches <= PARTS_PIXELS and single <= SCATTER_PIXELS
    words = (
        f"rings are off by {whole:.2g} pixel rms (at most {OFF_PIXELS:g}), parts of the detector "
        f"by {patches:.2g} (at most {PARTS_PIXELS:g}), points by {single:.2g} "
        f"(at most {SCATTER_PIXELS:g})"
    )
    return Check("residuals", good, words)


def _precision(evidence: Evidence) -> Check:
    refined, geometry = evidence.settled.refined, evidence.geometry
    if not refined.names:
        return Check("precision", True, "nothing was refined")  # noqa: FBT003
    error = 0.0
    if "distance" in refined.names:
        place = refined.names.index("distance")
        error = float(np.sqrt(refined.covariance[place, place])) / geometry.distance
    errors = beam_errors(geometry, refined.names, refined.covariance)
    center = float("inf") if errors is None else float(errors.max())
    good = error <= DISTANCE_ERROR and center <= CENTER_ERROR
    words = (
        f"distance is known to {100 * error:.2g} % (needed {100 * DISTANCE_ERROR:g} %), "
        f"the center to {center:.2g} pixel (needed {CENTER_ERROR:g})"
    )
    return Check("precision", good, words)


def _bounds(evidence: Evidence) -> Check:
    at = [
        bound.name
        for bound in evidence.task.bounds
        if (value := getattr(evidence.geometry, bound.name)) is not None
        and min(value - bound.low, bound.high - value) <= 1e-6 * (bound.high - bound.low)
    ]
    words = f"{', '.join(at)} ended at a bound" if at else "no parameter ended at a bound"
    return Check("bounds", not at, words)


def _energy(evidence: Evidence) -> Check:
    """Whether rings, with the wavelength free, tell the energy that was stated."""
    settled, task = evidence.settled, evidence.task
    names = (*task.refined, "wavelength")
    if "distance" not in names:
        return Check("energy", True, "the energy was not looked at: the distance is fixed")  # noqa: FBT003
    free = refine(evidence.geometry, settled.measured, task, names)
    error = float(np.sqrt(free.covariance[-1, -1])) / task.wavelength
    off = task.wavelength / free.geometry.wavelength - 1.0
    told = HC_KEV_M / free.geometry.wavelength
    if error > ENERGY_KNOWN:
        words = f"rings at these angles do not tell the energy (to {100 * error:.1g} % only)"
        return Check("energy", abs(off) < 10 * ENERGY_SIGMAS * error, words)
    slight, sigmas = ENERGY_CLEAR
    chance = abs(off) <= max(ENERGY_OFF, ENERGY_SIGMAS * error)
    good = chance and abs(off) <= max(slight, sigmas * error)
    words = (
        f"rings tell {told:.4f} keV to {100 * error:.1g} %, stated are {task.energy_kev:.4f} keV "
        f"(within {100 * ENERGY_OFF:g} %)"
    )
    return Check("energy", good, words)


def _peaks(evidence: Evidence) -> Check:
    settled = evidence.settled
    seen = seen_rings(settled) > 0
    lines, width = settled.lines.two_theta, settled.fit.width
    half = settled.near.window.half
    found = peaks_at(evidence.curve, lines[seen], width[seen], half[seen])
    off = _weighted_off(found, 0.05 * evidence.pixel)
    if found.line.size < _FEWEST_PEAKS:
        words = f"{found.line.size} peaks of the integrated curve are on lines (at least 2)"
        return Check("peaks", False, words)  # noqa: FBT003
    good = off / evidence.pixel <= OFF_PIXELS
    words = (
        f"{found.line.size} peaks of the integrated curve are off theory by "
        f"{np.degrees(off):.2g} deg rms (at most {np.degrees(OFF_PIXELS * evidence.pixel):.2g})"
    )
    return Check("peaks", good, words)


def _weighted_off(peaks: Peaks, floor: float) -> float:
    if not peaks.line.size:
        return float("inf")
    weight = 1.0 / (peaks.error**2 + floor**2)
    return float(np.sqrt(np.average(peaks.off**2, weights=weight)))


def _strays(evidence: Evidence) -> Check:
    width = float(np.median(evidence.settled.fit.width))
    part, where = unexplained(evidence.curve, evidence.lines, width)
    places = ", ".join(f"{angle:.2f}" for angle in np.degrees(where[:4]))
    named = f", at {places} deg" if where else ""
    words = (
        f"{100 * part:.0f} % of the peaks' height is on no line of the calibrant"
        f" (at most {100 * STRAY_PEAKS:.0f} %){named}"
    )
    return Check("calibrant", part <= STRAY_PEAKS, words)


def _missing(evidence: Evidence) -> Check:
    """Lines of the calibrant that should be clearly seen and are not."""
    fit, strength = evidence.settled.fit, evidence.settled.lines.strength
    number = strength.size
    visible = np.bincount(fit.ring[fit.visible], minlength=number)
    rings, height = fit.ring[fit.visible], fit.height[fit.visible]
    mean = np.bincount(rings, height, minlength=number) / np.maximum(visible, 1)
    square = (height / np.maximum(np.abs(fit.significance[fit.visible]), 1e-3)) ** 2
    error = np.sqrt(np.bincount(rings, square, minlength=number)) / np.maximum(visible, 1)
    seen = seen_rings(evidence.settled) > 0
    usual = float(np.median(mean[seen] / strength[seen])) if seen.any() else 0.0
    expected = usual * strength
    due = (visible >= 8) & (expected > _CLEAR * error)
    missing = due & ~seen & (mean < _SEEN_PART * expected)
    part = float(missing.sum() / max(1, due.sum()))
    words = (
        f"{int(missing.sum())} of {int(due.sum())} rings that should be clear are not there "
        f"(at most {100 * MISSING:.0f} %)"
    )
    return Check("missing rings", part <= MISSING, words)


def _halves(evidence: Evidence) -> Check:
    first, second = halves(evidence.settled, evidence.task)
    off = np.array([getattr(first.geometry, n) - getattr(second.geometry, n) for n in first.names])
    scale = np.sqrt(np.diag(first.covariance + second.covariance))
    unit = (first.covariance + second.covariance) / np.outer(scale, scale)
    found = off / scale
    square = float(found @ np.linalg.pinv(unit, rcond=1e-9, hermitian=True) @ found)
    words = f"two halves of the points differ by chi squared {square:.1f} (at most {HALVES:g})"
    return Check("halves", square <= HALVES, words)
