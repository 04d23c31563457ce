"""Calibrations written down by hand, with the images that they might be of."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ringline.processing import Detector, Geometry, ModuleGrid, calibrant_named, pixel_arrays
from ringline.processing.arrays import input_array
from ringline.processing.calibration import (
    Calibration,
    Check,
    ControlPoints,
    FittedRing,
    Verdict,
    calibration_task,
)

Image = NDArray[np.int32]
SHAPE = (240, 200)
DETECTOR = Detector(
    pixel1=3e-4,
    pixel2=3e-4,
    shape=SHAPE,
    name="made",
    modules=ModuleGrid(size=(110, 200), gap=(20, 0)),
)


@dataclass(frozen=True)
class Made:
    calibration: Calibration
    image: Image


def made_geometry(detector: Detector = DETECTOR) -> Geometry:
    return Geometry(
        distance=0.1, poni1=0.031, poni2=0.027, rot1=0.02, rot2=-0.03, wavelength=0.41e-10,
        detector=detector,
    )  # fmt: skip


def ring_angles(geometry: Geometry) -> list[tuple[float, float, tuple[int, int, int]]]:
    """d, 2theta and indices of LaB6 on the detector."""
    largest = float(pixel_arrays(geometry).two_theta.max())
    smallest = geometry.wavelength / (2 * np.sin(0.5 * largest))
    found = []
    for ring in calibrant_named("LaB6").rings(smallest_spacing=float(smallest)):
        angle = float(2 * np.arcsin(geometry.wavelength / (2 * ring.spacing)))
        assert ring.indices is not None
        found.append((ring.spacing, angle, ring.indices))
    return found


def powder_image(geometry: Geometry, seed: int = 5) -> Image:
    two_theta = pixel_arrays(geometry).two_theta
    mean = np.full(two_theta.shape, 4.0)
    for number, (_, angle, _) in enumerate(ring_angles(geometry)):
        mean += 400.0 / (1 + number) * np.exp(-0.5 * ((two_theta - angle) / 0.0025) ** 2)
    image = np.random.default_rng(seed).poisson(mean).astype(np.int32)
    hidden = geometry.detector.built_in_mask()
    if hidden is not None:
        image[hidden] = -1
    return image


def made(geometry: Geometry | None = None) -> Made:
    """An accepted calibration, as good as if it had been found."""
    true = made_geometry() if geometry is None else geometry
    image = powder_image(true)
    points, rings = _points(true)
    axis = np.linspace(0.5, np.rad2deg(float(pixel_arrays(true).two_theta.max())), 300)
    curve = np.full(300, 4.0)
    for number, ring in enumerate(rings):
        width = np.rad2deg(0.0025)
        shape = np.exp(-0.5 * ((axis - np.rad2deg(ring.two_theta)) / width) ** 2)
        curve += 400.0 / (1 + number) * shape
    curve[:3] = np.nan
    checks = (
        Check("rings", passed=True, words=f"{len(rings)} rings, 3 needed"),
        Check("scatter", passed=True, words="scatter 0.02 pixel, 0.3 allowed"),
    )
    calibration = Calibration(
        task=calibration_task(
            "LaB6", true.detector, guess=replace(true, distance=0.11),
            options={"fixed": "rot1", "bounds": {"distance": (0.05, 0.2)}, "saturation": 1e5},
        ),
        image_sha256=digest_of_image(image),
        verdict=Verdict(checks),
        geometry=true,
        covariance=np.diag([1e-5, 2e-5, 3e-5, 4e-5]) ** 2 + 1e-13,
        rings=rings,
        points=points,
        axis=axis,
        curve=curve,
    )  # fmt: skip
    return Made(calibration, image)


def rejected() -> Made:
    """One in which nothing was found."""
    image = np.random.default_rng(2).poisson(7, SHAPE).astype(np.int32)
    check = Check("geometry", passed=False, words="no rings found: 3 are needed, 0 were seen")
    calibration = Calibration(
        task=calibration_task("CeO2", DETECTOR, energy_kev=30.0),
        image_sha256=digest_of_image(image),
        verdict=Verdict((check,)),
    )
    return Made(calibration, image)


def digest_of_image(image: Image) -> str:
    array = input_array("image", image)
    assert array is not None
    return array.sha256


def _points(geometry: Geometry) -> tuple[ControlPoints, tuple[FittedRing, ...]]:
    arrays = pixel_arrays(geometry)
    random = np.random.default_rng(11)
    found: list[tuple[int, float, float, float]] = []
    rings = []
    for number, (spacing, angle, indices) in enumerate(ring_angles(geometry)):
        near = np.argwhere(np.abs(arrays.two_theta - angle) < 2e-4)[::7]
        found += [(number, i + 0.5, j + 0.5, arrays.chi[i, j]) for i, j in near]
        seen = len(near) > 0
        rings.append(
            FittedRing(
                spacing=spacing,
                two_theta=angle,
                indices=indices,
                points=len(near),
                coverage=0.8 if seen else 0.0,
                **({"residual": 1e-6 * number, "scatter": 2e-5} if seen else {}),
            )
        )
    ring, slow, fast, chi = (np.array(column) for column in zip(*found, strict=True))
    used = np.ones(len(ring), dtype=np.int64)
    used[::40] = 0
    residual = random.normal(0, 3e-5, len(ring)) * np.where(used, 1, 8)
    sigma = np.full(len(ring), 3e-5)
    points = ControlPoints(ring.astype(np.int64), slow, fast, chi, residual, sigma, used)
    return points, tuple(rings)
