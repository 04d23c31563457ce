"""Calibration of a goniometer: where a moving detector stands, from images at several positions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ringline.processing.arrays import InputArray, input_array
from ringline.processing.calibration.calibrate import (
    Progress,
    blur_of,
    calibrate,
    control_points,
    fitted_rings,
)
from ringline.processing.calibration.goniometer_fit import SeenRings, begun, error_at, fitted
from ringline.processing.calibration.goniometer_task import (
    Exposure,
    ExposureFit,
    GoniometerCalibration,
    GoniometerTask,
    checked_exposures,
)
from ringline.processing.calibration.goniometer_verdict import (
    JointEvidence,
    Shown,
    joint_verdict,
)
from ringline.processing.calibration.image import CalibrationImage, calibration_image
from ringline.processing.calibration.lines import Lines, lines_of
from ringline.processing.calibration.refine import Refined
from ringline.processing.calibration.result import Check, Verdict
from ringline.processing.calibration.ridges import find_ridges
from ringline.processing.calibration.robust_fit import Fitted
from ringline.processing.calibration.sectors import NearRings, SectorFit
from ringline.processing.calibration.settle import Measuring, Settled, measured_of, settle
from ringline.processing.calibration.task import CalibrationTask
from ringline.processing.errors import RecipeError
from ringline.processing.geometry import Geometry
from ringline.processing.goniometer import Goniometer

_TRUSTED = 8.0
"""Error of rings, pixels, up to which the goniometer tells where to look for them."""
_ROUNDS, _WIDTH_ROUNDS = 7, 3
"""Of measuring all images; after some, windows stay."""
_SETTLED = 0.05
"""Change of a parameter, in its standard errors, that ends the rounds."""
_BLUR = 1.5
"""Standard deviation of rings, pixels, on an image on which none are made out at first."""
_PASSES = 3
_SAME_WAVELENGTH = 1e-4
"""Relative change of the wavelength for which rings stay within their windows."""


@dataclass
class _Image:
    """One exposure, and what is known of it so far."""

    number: int
    """In the order in which exposures were given."""
    positions: Mapping[str, float]
    given: InputArray
    pixels: CalibrationImage
    blur: float
    """Standard deviation of rings to begin with, pixels."""
    seen: SeenRings | None = None
    tried: bool = False
    """Whether it was calibrated by itself, or could not be."""
    guided: bool = False
    """Whether the goniometer told where its rings are."""
    measured: tuple[Lines, NearRings, SectorFit] | None = None


def calibrate_goniometer(
    exposures: Sequence[Exposure],
    task: GoniometerTask,
    progress: Progress = lambda _part, _words: None,
) -> GoniometerCalibration:
    """Find how a detector moves, from the rings on images at several positions of its motors.

    Images that show rings enough are calibrated by themselves until the motion is known; the
    others need to show a single ring where it puts one. All control points of all images are then
    fitted by the parameters of the motion, the wavelength among them if it is one. The order of the
    images does not matter, but that a guess is where the detector stood at the first.

    Parameters
    ----------
    exposures:
        At least two, at two positions or more.
    task:
        Powder, detector, wavelength, the motion, and what is known before.
    progress:
        Told how far it is.

    Returns
    -------
    :
        The goniometer with errors, what each image told, and a verdict; the same bits for the same
        input.

    Raises
    ------
    RecipeError:
        Fewer exposures than that, one without the position of a motor, an image of another shape
        than the detector.
    """
    images = [_image(k, one, task) for k, one in enumerate(checked_exposures(exposures, task))]
    task = replace(task, images=task.images.with_shape(_shape(images[0])))
    first = images[0] if task.images.guess is not None else None
    # Sums are taken in an order of its own: the order of the images changes no bit.
    images.sort(key=lambda one: (*one.positions.values(), one.given.sha256))
    goniometer = _found_motion(images, first, task, progress)
    found = None if goniometer is None else _settled(goniometer, images, task, progress)
    if found is None:
        progress(1.0, "done")
        return _without_goniometer(images, task)
    goniometer, joint = found
    progress(0.9, "checking")
    shown = [_shown(one, goniometer, joint, images) for one in images]
    evidence = JointEvidence(task, goniometer, tuple(shown), _seen(images))
    progress(1.0, "done")
    return GoniometerCalibration(
        task=task,
        verdict=joint_verdict(evidence),
        goniometer=goniometer,
        exposures=_in_order(images, shown),
    )


def _image(number: int, exposure: Exposure, task: GoniometerTask) -> _Image:
    given = input_array(f"image {number + 1}", np.asarray(exposure.image))
    if given is None:
        raise RecipeError(f"image {number + 1} is None")
    try:
        shaped = task.images.with_shape((given.values.shape[0], given.values.shape[1]))
    except RecipeError as error:
        raise RecipeError(f"image {number + 1}: {error}") from error
    pixels = calibration_image(given.values, shaped)
    ridges = find_ridges(pixels)
    return _Image(
        number, exposure.positions, given, pixels, blur_of(ridges) if len(ridges) else 1.5
    )


def _shape(image: _Image) -> tuple[int, int]:
    slow, fast = image.given.values.shape
    return slow, fast


def _found_motion(
    images: Sequence[_Image], first: _Image | None, task: GoniometerTask, progress: Progress
) -> Goniometer | None:
    """A goniometer that puts rings where many images have them; None where no image tells one."""
    goniometer: Goniometer | None = None
    order = list(images) if first is None else [first, *(i for i in images if i is not first)]
    while pending := [one for one in order if one.seen is None]:
        part = 1 - len(pending) / len(images)
        progress(0.6 * part, f"looking for the geometry of image {len(images) - len(pending) + 1}")
        if not _one_more(pending, goniometer, task, first):
            break
        seen = _seen(images)
        alone = [one.seen for one in images if one.seen is not None and not one.guided]
        start = begun(task, [(s.positions, s.geometry) for s in alone])
        goniometer, _ = fitted(start, seen, task)
    return goniometer


def _one_more(
    pending: Sequence[_Image],
    goniometer: Goniometer | None,
    task: GoniometerTask,
    first: _Image | None,
) -> bool:
    """Find the rings of one more image: the one of which most is known."""
    ranked = [(_error(goniometer, one), k) for k, one in enumerate(pending)]
    for error, k in sorted(ranked):
        one = pending[k]
        one.guided = error <= _TRUSTED
        if goniometer is not None and one.guided:
            one.seen = _guided(one, goniometer, task)
        else:
            one.seen = _alone(one, task, one is first)
        if one.seen is not None:
            return True
    return False


def _error(goniometer: Goniometer | None, image: _Image) -> float:
    if goniometer is None:
        return float("inf")
    try:
        return error_at(goniometer, image.positions)
    except RecipeError:  # the motion puts the detector nowhere
        return float("inf")


def _guided(image: _Image, goniometer: Goniometer | None, task: GoniometerTask) -> SeenRings | None:
    """The rings of an image near where a goniometer puts them."""
    if goniometer is None:
        return None
    geometry = goniometer.geometry_at(image.positions)
    own = replace(task.images, wavelength=geometry.wavelength, guess=geometry)
    return _settle(image, geometry, own)


def _alone(image: _Image, task: GoniometerTask, guess: bool) -> SeenRings | None:  # noqa: FBT001
    """The rings of an image that tells its geometry by itself, once."""
    if image.tried:
        return None
    image.tried = True
    own = task.images if guess else replace(task.images, guess=None)
    found = calibrate(image.given.values, own)
    excused = ("energy",) if task.finds_wavelength else ()
    passed = all(check.passed or check.name in excused for check in found.verdict.checks)
    if found.geometry is None or not passed:
        return None
    return _settle(image, found.geometry, replace(own, guess=found.geometry))


def _settle(image: _Image, geometry: Geometry, task: CalibrationTask) -> SeenRings | None:
    lines = lines_of(task.calibrant, task.wavelength)
    found = settle(geometry, image.pixels, lines, task, image.blur)
    if found is None or not found.refined.used.any():
        return None
    # Residuals are shifts from where the refined geometry has the rings.
    measured = replace(found.measured, shift=found.refined.residual)
    return SeenRings(image.positions, found.refined.geometry, measured)


def _seen(images: Sequence[_Image]) -> list[SeenRings]:
    return [one.seen for one in images if one.seen is not None]


def _settled(
    goniometer: Goniometer, images: Sequence[_Image], task: GoniometerTask, progress: Progress
) -> tuple[Goniometer, Fitted] | None:
    """Measure all images and fit all points until nothing moves; None where no ring is seen."""
    for number in range(_PASSES):
        progress(0.6 + 0.1 * number, "measuring rings of all images")
        wavelength = goniometer.geometry_at(images[0].positions).wavelength
        found = _rounds(goniometer, images, task)
        if found is None:
            return None
        goniometer, joint = found
        now = goniometer.geometry_at(images[0].positions).wavelength
        if abs(now / wavelength - 1) < _SAME_WAVELENGTH:
            break
    return goniometer, joint


def _rounds(
    goniometer: Goniometer, images: Sequence[_Image], task: GoniometerTask
) -> tuple[Goniometer, Fitted] | None:
    measuring = []
    for one in images:
        geometry = goniometer.geometry_at(one.positions)
        lines = lines_of(task.images.calibrant, geometry.wavelength)
        measuring.append((Measuring(geometry, one.pixels, lines, one.blur), geometry.wavelength))
    for number in range(_ROUNDS):
        for one, (rings, wavelength) in zip(images, measuring, strict=True):
            geometry = goniometer.geometry_at(one.positions)
            # Shifts are from the lines of this wavelength.
            geometry = replace(geometry, wavelength=wavelength)
            _measure(one, rings, geometry, widths=number < _WIDTH_ROUNDS)
        before = goniometer
        if not (seen := _seen(images)):
            return None
        goniometer, joint = fitted(before, seen, task)
        if _moved(before, goniometer) < _SETTLED and number >= _WIDTH_ROUNDS:
            break
    return goniometer, joint


def _measure(image: _Image, rings: Measuring, geometry: Geometry, *, widths: bool) -> None:
    image.measured = rings.measure(geometry, widths=widths)
    image.seen = None
    if image.measured is not None and image.measured[2].seen.any():
        fit = image.measured[2]
        image.seen = SeenRings(image.positions, geometry, measured_of(fit, fit.seen))


def _moved(before: Goniometer, after: Goniometer) -> float:
    steps = np.abs(np.subtract(after.values, before.values))
    errors = np.array(list(after.errors.values()))
    return float(np.max(steps[errors > 0] / errors[errors > 0], initial=0.0))


def _shown(image: _Image, goniometer: Goniometer, joint: Fitted, images: Sequence[_Image]) -> Shown:
    """What an image shows, where the goniometer puts the detector."""
    geometry = goniometer.geometry_at(image.positions)
    if image.seen is None or image.measured is None:
        expected = image.measured is not None
        return Shown(image.positions, image.pixels, geometry, None, expected)
    before = [one for one in images if one.seen is not None]
    place = next(k for k, one in enumerate(before) if one is image)
    sizes = [one.seen.measured.shift.size for one in before if one.seen is not None]
    own = slice(sum(sizes[:place]), sum(sizes[: place + 1]))
    lines, near, fit = image.measured
    refined = Refined(
        geometry=geometry,
        names=(),
        covariance=np.zeros((0, 0)),
        residual=joint.residual[own],
        used=joint.used[own],
        scatter=float(joint.scatter[place]),
        ring_scatter=joint.ring_scatter,
        patch_scatter=joint.patch_scatter,
    )
    spacing = np.array([ring.spacing for ring in lines.rings])
    lines = replace(lines, two_theta=2 * np.arcsin(geometry.wavelength / (2 * spacing)))
    settled = Settled(refined, lines, near, fit, fit.seen)
    return Shown(image.positions, image.pixels, geometry, settled, expected=True)


def _in_order(images: Sequence[_Image], shown: Sequence[Shown | None]) -> tuple[ExposureFit, ...]:
    """What each told, in the order in which they were given."""
    found = {}
    for one, what in zip(images, shown, strict=True):
        settled = None if what is None else what.settled
        found[one.number] = ExposureFit(
            positions=one.positions,
            image_sha256=one.given.sha256,
            geometry=None if what is None else what.geometry,
            rings=() if settled is None else fitted_rings(settled),
            points=None if settled is None else control_points(settled),
        )
    return tuple(found[number] for number in sorted(found))


def _without_goniometer(images: Sequence[_Image], task: GoniometerTask) -> GoniometerCalibration:
    words = f"no image shows enough rings of {task.images.calibrant.name} to begin with"
    return GoniometerCalibration(
        task=task,
        verdict=Verdict((Check("rings", passed=False, words=words),)),
        goniometer=None,
        exposures=_in_order(images, [None] * len(images)),
    )
