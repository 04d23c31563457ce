r"""The physical model of the simulated detector: what a frame shows on average.

A capillary holding two powders scatters a monochromatic, mostly horizontally polarized beam.
The mean count of a pixel is

.. math:: m \, P \, \Omega \left( (1-x) I_a(2\theta) + x I_b(2\theta) + B(2\theta) \right)

with the beam monitor's relative reading :math:`m`, the pixel's polarization factor :math:`P` and
relative solid angle :math:`\Omega` from the true geometry, the fraction :math:`x` of the second
powder, and :math:`I = \sum j |F|^2 / (\sin^2\theta \cos\theta)` times a pseudo-Voigt line.
"""

from dataclasses import dataclass, field

import numpy as np

from ringline.processing import Calibrant, Geometry, RecipeError, calibrant_named, pixel_arrays
from ringline.processing.types import BoolArray, FloatArray

NOMINAL_MONITOR = 1.0e6
"""Counts of the beam monitor per frame at the nominal flux."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Sample, beam and the true faults of the detector, in front of one geometry."""

    geometry: Geometry
    powders: tuple[Calibrant, Calibrant] = (calibrant_named("LaB6"), calibrant_named("CeO2"))
    fractions: tuple[float, float] = (0.0, 0.0)
    """Fraction of the second powder in the first and in the last frame of its evolution."""
    peak_counts: float = 400.0
    """Mean counts per frame at the top of the strongest ring."""
    background_counts: float = 5.0
    line_width: float = field(default=float(np.deg2rad(0.10)))
    """Full width at half maximum of the rings, rad."""
    polarization: float = 0.98
    beam_stop: float = 2.5e-3
    """Radius of the beam stop's shadow on the detector, m."""
    hot_pixels: int = 12
    dead_pixels: int = 40
    seed: int = 20
    """Of everything random: faults, noise, the beam's fluctuation."""

    def __post_init__(self) -> None:
        for name in ("peak_counts", "line_width"):
            if not getattr(self, name) > 0:
                raise RecipeError(f"{name} must be > 0, got {getattr(self, name)!r}")
        for fraction in self.fractions:
            if not 0 <= fraction <= 1:
                raise RecipeError(f"fractions must lie in 0 .. 1, got {self.fractions!r}")


@dataclass(frozen=True)
class Faults:
    """Pixels which do not measure, each array of shape (slow, fast)."""

    gaps: BoolArray
    dead: BoolArray
    hot: BoolArray
    shadow: BoolArray

    @property
    def mask(self) -> BoolArray:
        """True where a beamline would mask."""
        return self.gaps | self.dead | self.hot | self.shadow


def faults_of(scene: Scene) -> Faults:
    """Gaps of the detector's modules, random dead and hot pixels, the beam stop with its arm."""
    detector = scene.geometry.detector
    built_in = detector.built_in_mask()
    gaps = np.zeros(detector.known_shape, dtype=bool) if built_in is None else built_in
    random = np.random.default_rng([scene.seed, 1])
    dead, hot = np.zeros_like(gaps), np.zeros_like(gaps)
    places = random.choice(gaps.size, scene.dead_pixels + scene.hot_pixels, replace=False)
    dead.flat[places[: scene.dead_pixels]] = True
    hot.flat[places[scene.dead_pixels :]] = True
    return Faults(gaps=gaps, dead=dead & ~gaps, hot=hot & ~gaps, shadow=_shadow(scene))


def line_shape(scene: Scene, powder: Calibrant, two_theta: FloatArray) -> FloatArray:
    """Powder pattern of ``powder`` along ``two_theta`` (rad): counts, polarization left out."""
    wavelength = scene.geometry.wavelength
    smallest = wavelength / (2 * np.sin(0.5 * min(float(two_theta.max()) + 0.02, 3.1)))
    pattern = np.zeros_like(two_theta)
    for ring in powder.rings(smallest_spacing=smallest):
        theta = np.arcsin(wavelength / (2 * ring.spacing))
        lorentz = 1 / (np.sin(theta) ** 2 * np.cos(theta))
        line = _pseudo_voigt(two_theta - 2 * theta, scene.line_width)
        pattern += (ring.strength or 0.0) * lorentz * line
    strongest = float(pattern.max(initial=0.0))
    return pattern * (scene.peak_counts / strongest) if strongest > 0 else pattern


class MeanImages:
    """Mean images of a scene; the slow part is computed once."""

    def __init__(self, scene: Scene) -> None:
        self.faults = faults_of(scene)
        arrays = pixel_arrays(scene.geometry)
        two_theta = arrays.two_theta
        seen = arrays.solid_angle * arrays.polarization(scene.polarization)
        table = np.linspace(0.0, float(two_theta.max()) + 1e-3, 20_000)
        dark = self.faults.gaps | self.faults.dead
        first, second = (
            np.where(dark, 0.0, seen * np.interp(two_theta, table, pattern))
            for pattern in _patterns(scene, table)
        )
        for image in (first, second):
            image[self.faults.shadow] *= 0.02
            image[self.faults.hot] = 40.0 * scene.peak_counts
        self._first = first.astype(np.float32)
        self._change = (second - first).astype(np.float32)

    def at(self, fraction: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        """Mean counts with ``fraction`` of the second powder, shape (slow, fast), at flux 1."""
        return self._first + np.float32(fraction) * self._change


def _patterns(scene: Scene, two_theta: FloatArray) -> tuple[FloatArray, FloatArray]:
    background = _background(scene, two_theta)
    first, second = (line_shape(scene, powder, two_theta) for powder in scene.powders)
    return first + background, second + background


def _background(scene: Scene, two_theta: FloatArray) -> FloatArray:
    """Air scattering falling with the angle, a glass capillary's hump, fluorescence."""
    q = 4e-9 * np.pi / scene.geometry.wavelength * np.sin(0.5 * two_theta)
    air = 2.5 * np.exp(-q / 9.0)
    glass = 0.8 * np.exp(-0.5 * ((q - 16.0) / 5.0) ** 2)
    return scene.background_counts * (air + glass + 0.35)


def _pseudo_voigt(x: FloatArray, width: float) -> FloatArray:
    gauss = np.exp(-4 * np.log(2) * (x / width) ** 2)
    lorentz = 1 / (1 + 4 * (x / width) ** 2)
    return np.asarray(0.65 * gauss + 0.35 * lorentz)


def _shadow(scene: Scene) -> BoolArray:
    """Beam stop: a disc round the direct beam and an arm from it to the detector's edge."""
    arrays = pixel_arrays(scene.geometry)
    disc = arrays.r < scene.beam_stop
    across = np.abs(arrays.r * np.sin(arrays.chi))
    arm = (across < 0.25 * scene.beam_stop) & (np.cos(arrays.chi) > 0)
    return np.asarray((disc | arm) & (scene.beam_stop > 0))
