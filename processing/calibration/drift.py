"""Whether the detector still stands where it was calibrated, from any later image with rings."""

from dataclasses import dataclass, replace

import numpy as np

from ringline.processing.calibration.beam import beam_errors, beam_place
from ringline.processing.calibration.calibrate import calibrate
from ringline.processing.calibration.image import calibration_image
from ringline.processing.calibration.lines import lines_of
from ringline.processing.calibration.result import Calibration
from ringline.processing.calibration.settle import Settled, settle
from ringline.processing.calibration.verdict import AZIMUTH_DEG, seen_rings
from ringline.processing.errors import RecipeError
from ringline.processing.geometry import Geometry
from ringline.processing.types import FloatArray, ImageArray

SIGMAS = 5.0
"""Difference in its standard errors that is an alarm."""
SLIGHT = (5e-5, 0.05)
"""Relative difference of the distance, and of the center in pixels, that is never one: pixels
are not placed any better."""
_FEWEST_RINGS = 2
_NOTHING = "drift: the calibration found no geometry to compare with"
_BLUR = 1.5
"""Standard deviation of rings to begin with, pixels."""


@dataclass(frozen=True, slots=True)
class Drift:
    """How far the detector is from where it was calibrated."""

    told: bool
    """Whether the image tells it: whether enough rings are on it."""
    alarm: bool
    """Whether distance or beam center left the error bars."""
    words: str
    """What was found, for people."""
    distance: float = 0.0
    """Of the image less the calibrated one, m."""
    distance_error: float = 0.0
    """Standard error of the difference, m."""
    center: tuple[float, float] = (0.0, 0.0)
    """Likewise of the beam center, along the slow and the fast axis, pixels."""
    center_error: tuple[float, float] = (0.0, 0.0)


def drift_of(image: ImageArray, calibration: Calibration) -> Drift:
    """Measure the rings on an image where a calibration expects them, and compare.

    Rings of the calibrant, or of a sample that was given as one; they may be few or weak. Only
    what the rings of the image tell is refined: what was fixed stays fixed.

    Parameters
    ----------
    image:
        Counts, shape (slow, fast).
    calibration:
        With a geometry.

    Raises
    ------
    RecipeError:
        The calibration has no geometry, or the image another shape.
    """
    geometry = calibration.geometry
    if geometry is None:
        raise RecipeError(_NOTHING)
    slow, fast = image.shape
    task = replace(calibration.task, guess=geometry).with_shape((slow, fast))
    lines = lines_of(task.calibrant, task.wavelength)
    settled = settle(geometry, calibration_image(image, task), lines, task, _BLUR)
    if settled is not None and _tells(settled):
        refined = settled.refined
        return _compared(calibration, refined.geometry, refined.covariance)
    # Rings further away than they are wide: looked for once more, from all that the image shows.
    again = calibrate(image, task)
    if again.geometry is None or not again.verdict.accepted:
        return Drift(told=False, alarm=False, words="too few rings are seen to tell a drift")
    return _compared(calibration, again.geometry, again.covariance)


def _tells(settled: Settled) -> bool:
    """Whether there are enough rings, over enough azimuth."""
    rings = int((seen_rings(settled) > 0).sum())
    used = np.nonzero(settled.points)[0][settled.refined.used]
    return rings >= _FEWEST_RINGS and settled.near.azimuth(used) >= AZIMUTH_DEG


def _compared(calibration: Calibration, now: Geometry, covariance: FloatArray) -> Drift:
    before, names = calibration.geometry, calibration.task.refined
    if before is None:
        raise RecipeError(_NOTHING)
    away = now.distance - before.distance
    own = _distance_error(names, covariance)
    away_error = float(np.hypot(own, calibration.errors.get("distance", 0.0)))
    center, center_error = _center(calibration, before, now, covariance)
    moved = abs(away) > max(SIGMAS * away_error, SLIGHT[0] * before.distance) or bool(
        (np.abs(center) > np.maximum(SIGMAS * center_error, SLIGHT[1])).any()
    )
    return Drift(
        told=True,
        alarm=moved,
        words=_words(away, away_error, center, center_error),
        distance=away,
        distance_error=away_error,
        center=(float(center[0]), float(center[1])),
        center_error=(float(center_error[0]), float(center_error[1])),
    )


def _center(
    calibration: Calibration, before: Geometry, now: Geometry, covariance: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """How far the beam center is from the calibrated one, and the error of that, pixels."""
    place, former = beam_place(now), beam_place(before)
    if place is None or former is None:
        return np.full(2, np.nan), np.full(2, np.inf)
    names = calibration.task.refined
    own = beam_errors(now, names, covariance)
    other = beam_errors(before, names, calibration.covariance)
    errors = [np.zeros(2) if error is None else error for error in (own, other)]
    return place - former, np.hypot(*errors)


def _distance_error(names: tuple[str, ...], covariance: FloatArray) -> float:
    if "distance" not in names:
        return 0.0
    place = names.index("distance")
    return float(np.sqrt(covariance[place, place]))


def _words(away: float, error: float, center: FloatArray, center_error: FloatArray) -> str:
    return (
        f"distance off by {1e6 * away:+.1f} +- {1e6 * error:.1f} um, beam center by "
        f"{center[0]:+.3f} +- {center_error[0]:.3f} (slow) and "
        f"{center[1]:+.3f} +- {center_error[1]:.3f} (fast) pixels"
    )
