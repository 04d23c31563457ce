"""Images of calibration powders of which the geometry is known, and images that have none.

``synthetic_image(number)`` for 0 to 199 can be solved; ``spoiled_image(number)`` for 0 to 49 must
not be accepted. Both are made when asked for, each time the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringline.processing import Detector, Geometry

from .calibration_cases import SEED, Readout, draw, kind_of  # noqa: TID252
from .calibration_spoils import spoil  # noqa: TID252
from .powder_scene import Floats  # noqa: TID252

SYNTHETIC, SPOILED = 200, 50
BAD_PIXELS = 0.01
"""Part of all pixels: half are dead and read 0, half hot and read anything high."""


@dataclass(frozen=True)
class CalibrationImage:
    """An image as a detector writes it, and what a user would say of it."""

    image: NDArray[Any]
    detector: Detector
    wavelength: float
    """As stated, m."""
    calibrant: str
    """As stated."""
    truth: Geometry
    kind: str
    """``synthetic``, or how it is spoiled."""
    labels: tuple[str, ...]
    seed: int
    attainable: Mapping[str, float] = field(default_factory=dict)
    """Least standard errors of distance, poni1, poni2, rot1, rot2 and, in pixels, center."""


def synthetic_image(number: int) -> CalibrationImage:
    """An image that tells its geometry, from 0 to 199."""
    if not 0 <= number < SYNTHETIC:
        raise ValueError(f"number must be from 0 to {SYNTHETIC - 1}, got {number}")
    case = draw(kind_of(number), number)
    random = np.random.default_rng([SEED, 2, number])
    geometry = case.scene.geometry
    return CalibrationImage(
        image=exposed(random, case.scene.mean_image(), case.readout, geometry.detector),
        detector=geometry.detector,
        wavelength=geometry.wavelength,
        calibrant=case.kind.calibrant,
        truth=geometry,
        kind="synthetic",
        labels=case.labels,
        seed=number,
        attainable=case.attainable,
    )


def spoiled_image(number: int) -> CalibrationImage:
    """An image that must not be accepted as what it is said to be, from 0 to 49."""
    if not 0 <= number < SPOILED:
        raise ValueError(f"number must be from 0 to {SPOILED - 1}, got {number}")
    spoiled = spoil(number)
    random = np.random.default_rng([SEED, 6, number])
    geometry = spoiled.scene.geometry
    return CalibrationImage(
        image=exposed(random, spoiled.scene.mean_image(), spoiled.readout, geometry.detector),
        detector=geometry.detector,
        wavelength=spoiled.wavelength,
        calibrant=spoiled.calibrant,
        truth=geometry,
        kind=spoiled.kind,
        labels=(geometry.detector.name, spoiled.label),
        seed=number,
    )


def exposed(
    random: np.random.Generator,
    mean: Floats,
    readout: Readout,
    detector: Detector,
    bad_pixels: float = BAD_PIXELS,
) -> NDArray[Any]:
    """What a detector writes of mean photons: noise, bad pixels (so many of all), gaps."""
    photons = random.poisson(mean).astype(float)
    units = photons * readout.gain + readout.pedestal
    if readout.noise > 0:
        units += random.normal(0.0, readout.noise, units.shape)
    bad = random.random(units.shape)
    units[bad < 0.5 * bad_pixels] = 0
    hot = (bad >= 0.5 * bad_pixels) & (bad < bad_pixels)
    bottom = max(float(mean.max()) * readout.gain, 1.0)
    top = max(min(1e3 * bottom, float(readout.largest)), 2 * bottom)
    units[hot] = bottom * (top / bottom) ** random.random(int(hot.sum()))
    image = np.clip(np.rint(units), 0, readout.largest).astype(readout.dtype)
    gaps = detector.built_in_mask()
    if gaps is not None:
        image[gaps] = readout.gap
    return image
