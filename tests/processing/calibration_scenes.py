"""Images of powders with a known geometry, and places on their rings by closed formulas.

Positions are those of the benchmark's images (``powder_scene``), written apart from the code that
is tested: seen from the detector, with the beam turned instead.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringline.processing import Detector, Geometry
from ringline.processing.calibration import Calibration, CalibrationTask, calibrate
from ringline.processing.calibration import calibration_task as task_of

from ..benchmarks.calibration_cases import lines_of, rings_of  # noqa: TID252
from ..benchmarks.powder_scene import (  # noqa: TID252
    NODES,
    Background,
    Directions,
    PowderScene,
    beam_center,
)

Floats = NDArray[np.float64]
DETECTOR = Detector(pixel1=200e-6, pixel2=200e-6, shape=(520, 480), name="plain")
TRUE = Geometry(
    distance=0.11,
    poni1=0.046,
    poni2=0.052,
    rot1=0.06,
    rot2=-0.09,
    wavelength=0.5e-10,
    detector=DETECTOR,
)
PIXEL = DETECTOR.pixel1 / TRUE.distance
"""2theta over a pixel near the beam, rad."""


@dataclass(frozen=True)
class Powder:
    """What is seen of a powder; photons a pixel."""

    calibrant: str = "LaB6"
    top: float = 400.0
    width: float = 3.0
    """Full width of rings, pixels."""
    behind: float = 5.0
    """Background, the same everywhere."""
    without: tuple[int, ...] = ()
    """Rings that are not there, counted from the beam."""

    def scene(self, geometry: Geometry) -> PowderScene:
        """The rings as the benchmark makes them; the detector must be a grid as PONI files are."""
        angles, strengths = lines_of(self.calibrant, geometry.wavelength)
        keep = ~np.isin(np.arange(angles.size), self.without)
        rings = rings_of(geometry, (angles[keep], strengths[keep]), (self.width, 0.0), self.top)
        return PowderScene(geometry, rings, Background(0.0, 1.0, 0.0, 1.0, 1.0, self.behind))

    def mean(self, geometry: Geometry = TRUE) -> Floats:
        """Mean photons, shape (slow, fast)."""
        return self.scene(geometry).mean_image()


def mean_in_space(scene: PowderScene, corners: Floats) -> Floats:
    """Mean photons of flat pixels anywhere in space.

    Parameters
    ----------
    scene:
        Its geometry tells where the detector's frame stands.
    corners:
        As of ``Detector.corners``, in the order of ``Detector.pixel_corners``.
    """
    total = np.zeros(corners.shape[:2])
    for up in NODES:
        for aside in NODES:
            weights = ((1 - up) * (1 - aside), up * (1 - aside), up * aside, (1 - up) * aside)
            p3, p1, p2 = np.einsum("k,ijkm->mij", np.array(weights), corners)
            places = seen_from_sample(scene.geometry, p1, p2, p3)
            total += 0.25 * scene.rings.counts(places) * scene.dimming(places)
            total += 0.25 * scene.background_at(places)
    return total


def seen_from_sample(geometry: Geometry, p1: Floats, p2: Floats, p3: Floats) -> Directions:
    """Directions of places in space, m along the detector's axes 1, 2 and its normal."""
    beam, up, aside = axes_of(geometry)
    v = np.stack([p1 - geometry.poni1, p2 - geometry.poni2, geometry.distance + p3], axis=-1)
    return Directions(
        two_theta=np.arctan2(np.hypot(v @ up, v @ aside), v @ beam),
        chi=np.arctan2(v @ up, v @ aside),
        cos_incidence=v[..., 2] / np.linalg.norm(v, axis=-1),
    )


def axes_of(geometry: Geometry) -> tuple[Floats, Floats, Floats]:
    """The beam and the directions of chi = pi/2 and 0, along the detector's axes."""
    s1, c1 = np.sin(geometry.rot1), np.cos(geometry.rot1)
    s2, c2 = np.sin(geometry.rot2), np.cos(geometry.rot2)
    beam = np.array([s2, -c2 * s1, c2 * c1])
    return beam, np.array([c2, s2 * s1, -s2 * c1]), np.array([0.0, c1, s1])


def on_rings(geometry: Geometry, two_theta: Floats, chi: Floats) -> tuple[Floats, Floats]:
    """Where cones about the beam meet the plane of the detector: slow, fast, pixels."""
    beam, up, aside = axes_of(geometry)
    away = (
        np.cos(two_theta)[:, None] * beam
        + (np.sin(two_theta) * np.sin(chi))[:, None] * up
        + (np.sin(two_theta) * np.cos(chi))[:, None] * aside
    )
    on_plane = away * (geometry.distance / away[:, 2])[:, None]
    detector = geometry.detector
    slow = (on_plane[:, 0] + geometry.poni1) / detector.pixel1
    return slow, (on_plane[:, 1] + geometry.poni2) / detector.pixel2


def exposed(mean: Floats, seed: int = 1) -> NDArray[np.int32]:
    """Counts of one exposure."""
    return np.random.default_rng(seed).poisson(mean).astype(np.int32)


@cache
def image() -> NDArray[np.int32]:
    """LaB6 before the detector as it truly stands."""
    made = exposed(Powder().mean())
    made.setflags(write=False)
    return made


def task(
    calibrant: str = "LaB6",
    detector: Detector = DETECTOR,
    *,
    wavelength: float = TRUE.wavelength,
    guess: Geometry | None = None,
    options: Mapping[str, Any] | None = None,
) -> CalibrationTask:
    """A task of exactly this wavelength."""
    energy = replace(TRUE, wavelength=wavelength).energy_kev
    made = task_of(calibrant, detector, energy_kev=energy, guess=guess, options=options)
    return replace(made, wavelength=wavelength)


@cache
def solved() -> Calibration:
    """``image()`` calibrated without a guess."""
    return calibrate(image(), task())


def center_off(found: Geometry, truth: Geometry) -> float:
    """How far apart two places of the beam are, pixels, in the worse direction."""
    return float(np.abs(np.subtract(beam_center(found), beam_center(truth))).max())
