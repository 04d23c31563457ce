"""Calibration of one image, from the pixels to the verdict."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from ringline.processing.arrays import InputArray, input_array
from ringline.processing.calibration.image import CalibrationImage, calibration_image
from ringline.processing.calibration.lines import Lines, lines_of
from ringline.processing.calibration.peaks import Curve, integrated
from ringline.processing.calibration.places import places_on
from ringline.processing.calibration.result import (
    Calibration,
    Check,
    ControlPoints,
    FittedRing,
    Verdict,
)
from ringline.processing.calibration.ridges import Ridges, find_ridges
from ringline.processing.calibration.search import (
    Candidate,
    Freedom,
    Prior,
    crests_of,
    geometry_of,
    numbers_of,
    search,
)
from ringline.processing.calibration.settle import Settled, settle
from ringline.processing.calibration.task import CalibrationTask
from ringline.processing.calibration.verdict import Evidence, saturation_check, verdict
from ringline.processing.errors import RecipeError
from ringline.processing.geometry import Geometry, chi_of, two_theta_of
from ringline.processing.types import FloatArray, ImageArray

Progress: TypeAlias = Callable[[float, str], None]
"""Called with the part that is done, 0 to 1, and what is being done."""

_FEWEST_CRESTS = 12
_WEAKEST = 0.01
"""Height of a line, of the strongest one's, that crests are looked for on."""
_PRIOR = np.array([0.02, 0.02, 0.08, 0.05, 0.05])
"""Standard deviations of a guess: of the center, in distances; of the distance's logarithm; of the
beam's direction."""
_PRIOR_PIXELS = 30
"""At least this of the center."""
_NEAR = 0.3
"""Score near a guess from which it is not looked for elsewhere."""
_TRIED = 2
"""Candidates of each search that are measured."""


def calibrate(
    image: ImageArray, task: CalibrationTask, progress: Progress = lambda _part, _words: None
) -> Calibration:
    """Find where the detector stood, from the rings on an image.

    Parameters
    ----------
    image:
        Counts as the detector wrote them, shape (slow, fast).
    task:
        Powder, detector, wavelength, and what is known before.
    progress:
        Told how far it is.

    Returns
    -------
    :
        Geometry with errors, control points and a verdict; the same bits for the same input.

    Raises
    ------
    RecipeError:
        The image has another shape than the detector, or no two dimensions.
    """
    given = input_array("image", np.asarray(image))
    if given is None:
        raise RecipeError("an image is needed, got None")
    task = task.with_shape((given.values.shape[0], given.values.shape[1]))
    progress(0.0, "looking for rings")
    pixels = calibration_image(given.values, task)
    ridges = find_ridges(pixels)
    lines = lines_of(task.calibrant, task.wavelength)
    if len(ridges) < _FEWEST_CRESTS:
        return _without_geometry(task, given, pixels, "no rings are seen: the image shows none")
    progress(0.2, "looking for the geometry")
    best: Calibration | None = None
    for geometry in _guesses(ridges, lines, task):
        progress(0.5, "measuring rings")
        settled = settle(geometry, pixels, lines, task, blur_of(ridges))
        if settled is None:
            continue
        progress(0.8, "checking")
        found = _judged(Evidence(task, pixels, lines, settled, _curve(settled, pixels)), given)
        if best is None or _passed(found) > _passed(best):
            best = found
        if best.verdict.accepted:
            break
        progress(0.3, "looking further for the geometry")
    if best is None:
        reason = f"no rings of {task.calibrant.name} can be told"
        best = _without_geometry(task, given, pixels, reason)
    progress(1.0, "done")
    return best


def _passed(found: Calibration) -> int:
    return sum(check.passed for check in found.verdict.checks)


def blur_of(ridges: Ridges) -> float:
    """Standard deviation of rings to begin with, pixels."""
    return float(np.clip(0.5 * np.median(ridges.width), 1.0, 3.0))


def _guesses(ridges: Ridges, lines: Lines, task: CalibrationTask) -> Iterator[Geometry]:
    """Approximate geometries, the best first; looked for as long as somebody asks."""
    strong = lines.two_theta[lines.strength > _WEAKEST]
    crests = crests_of(ridges, task.detector)
    free = np.ones(5, dtype=np.bool_)
    near = False
    if task.guess is None:
        free[3:] = ["rot2" not in task.fixed, "rot1" not in task.fixed]
    else:
        for found in search(crests, strong, Freedom(free, _prior(task.guess, task))):
            near = found[0].score > _NEAR or bool(task.fixed)
            yield from (_placed(one, task) for one in found[:_TRIED])
    if not near:
        for found in search(crests, strong, Freedom(free)):
            yield from (_placed(one, task) for one in found[:_TRIED])


def _prior(guess: Geometry, task: CalibrationTask) -> Prior:
    values = numbers_of(guess)
    sigma = _PRIOR.copy()
    sigma[:2] = np.maximum(sigma[:2] * np.exp(values[2]), _PRIOR_PIXELS * task.detector.pixel1)
    held = [name in task.fixed for name in ("poni1", "poni2", "distance", "rot2", "rot1")]
    return Prior(values, np.where(held, 1e-3 * sigma, sigma))


def _placed(candidate: Candidate, task: CalibrationTask) -> Geometry:
    """The candidate's geometry, with everything as guessed that is not refined."""
    near = geometry_of(candidate.params, task.detector, task.wavelength)
    base = near if task.guess is None else task.guess
    values = {name: getattr(near, name) for name in task.refined}
    for bound in task.bounds:
        if bound.name in values:
            values[bound.name] = min(max(values[bound.name], bound.low), bound.high)
    return replace(base, detector=task.detector, wavelength=task.wavelength, **values)


def _curve(settled: Settled, pixels: CalibrationImage) -> Curve:
    """Integrated finely enough for the rings."""
    return integrated(settled.refined.geometry, pixels, 0.6 * float(np.median(settled.fit.width)))


def _judged(evidence: Evidence, given: InputArray) -> Calibration:
    settled = evidence.settled
    return Calibration(
        task=evidence.task,
        image_sha256=given.sha256,
        verdict=verdict(evidence),
        geometry=settled.refined.geometry,
        covariance=settled.refined.covariance,
        rings=fitted_rings(settled),
        points=control_points(settled),
        axis=np.degrees(evidence.curve.two_theta),
        curve=evidence.curve.intensity,
    )


def _without_geometry(
    task: CalibrationTask, given: InputArray, pixels: CalibrationImage, reason: str
) -> Calibration:
    checks = (saturation_check(pixels), Check("rings", False, reason))  # noqa: FBT003
    return Calibration(task=task, image_sha256=given.sha256, verdict=Verdict(checks))


def control_points(settled: Settled) -> ControlPoints:
    """Where rings were seen, at the crest of each."""
    fit, refined, geometry = settled.fit, settled.refined, settled.refined.geometry
    index = np.nonzero(settled.points)[0]
    slow, fast = fit.slow[index], fit.fast[index]
    here = _two_theta(geometry, slow, fast)
    step = 0.5
    down = _two_theta(geometry, slow + step, fast) - _two_theta(geometry, slow - step, fast)
    right = _two_theta(geometry, slow, fast + step) - _two_theta(geometry, slow, fast - step)
    target = settled.lines.two_theta[fit.ring[index]] + refined.residual
    move = (target - here) / np.maximum(down**2 + right**2, 1e-300)
    slow, fast = slow + move * down, fast + move * right
    p1, p2, p3 = places_on(geometry.detector, slow, fast).T
    return ControlPoints(
        ring=fit.ring[index],
        slow=slow,
        fast=fast,
        chi=chi_of(*geometry.sample_frame(p1, p2, p3)),
        residual=refined.residual,
        sigma=fit.sigma[index],
        used=refined.used.astype(np.int64),
    )


def _two_theta(geometry: Geometry, slow: FloatArray, fast: FloatArray) -> FloatArray:
    p1, p2, p3 = places_on(geometry.detector, slow, fast).T
    return two_theta_of(*geometry.sample_frame(p1, p2, p3))


def fitted_rings(settled: Settled) -> tuple[FittedRing, ...]:
    """Each ring that is on the detector, and how its points fit."""
    fit, refined, lines = settled.fit, settled.refined, settled.lines
    own = fit.ring[settled.points]
    found = []
    for number, ring in enumerate(lines.rings):
        used = refined.used & (own == number)
        residual = refined.residual[used]
        weight = 1.0 / (fit.sigma[settled.points][used] ** 2 + refined.scatter**2)
        sectors = fit.ring == number
        visible = int((fit.visible & sectors).sum())
        some = used.any()
        found.append(
            FittedRing(
                spacing=ring.spacing,
                two_theta=float(lines.two_theta[number]),
                indices=ring.indices,
                points=int(used.sum()),
                coverage=float((fit.present & sectors).sum() / max(1, visible)),
                residual=float(np.average(residual, weights=weight)) if some else math.nan,
                scatter=float(np.sqrt(np.mean(residual**2))) if some else math.nan,
            )
        )
    return tuple(found)
