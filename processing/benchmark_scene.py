"""What ``ringline benchmark`` measures on: images as of a solution's small-angle scattering."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringline.processing.binning import Cake, Radial
from ringline.processing.corrections import Corrections
from ringline.processing.detector import Detector
from ringline.processing.geometry import Geometry, pixel_arrays
from ringline.processing.recipe import Recipe
from ringline.processing.types import BoolArray, FloatArray, ImageArray


@dataclass(frozen=True)
class Scene:
    """A detector, its corrections and frames. Everything the same at each call."""

    name: str
    shape: tuple[int, int]
    pixel: float
    """m."""
    module: tuple[int, int]
    gap: tuple[int, int]
    dtype: str = "u2"

    @cached_property
    def geometry(self) -> Geometry:
        """The beam near the middle, slightly tilted."""
        slow, fast = self.shape
        return Geometry(
            distance=1.5,
            poni1=(0.508 * slow + 0.3) * self.pixel,
            poni2=(0.499 * fast + 0.7) * self.pixel,
            rot1=0.002,
            rot2=-0.001,
            wavelength=1e-10,
            detector=Detector(pixel1=self.pixel, pixel2=self.pixel, shape=self.shape),
        )

    @cached_property
    def mask(self) -> BoolArray:
        """Gaps between modules, and one pixel in a thousand."""
        mask = np.random.default_rng(1).random(self.shape) < 1e-3
        for axis in (0, 1):
            pitch = self.module[axis] + self.gap[axis]
            gap = np.arange(self.shape[axis]) % pitch >= self.module[axis]
            mask |= gap[:, None] if axis == 0 else gap[None, :]
        return mask

    @cached_property
    def corrections(self) -> Corrections:
        """Mask, dark, flat, solid angle and polarization."""
        rng = np.random.default_rng(2)
        dark = rng.gamma(2.0, 0.05, self.shape).astype(np.float32)
        flat = rng.normal(1.0, 0.02, self.shape).astype(np.float32)
        return Corrections(mask=self.mask, dark=dark, flat=flat, polarization=0.95)

    def recipe(
        self, splitting: str, coefficients: str = "exact", *, bins: int = 1000, sectors: int = 0
    ) -> Recipe:
        """All corrections, standard errors by counts."""
        return Recipe(
            geometry=self.geometry,
            binning=Cake(bins, sectors) if sectors else Radial(bins),
            splitting=splitting,
            coefficients=coefficients,
            error_model="poisson",
            corrections=self.corrections,
        )

    def frames(self, count: int) -> ImageArray:
        """Counts, shape (count, slow, fast): a decaying curve with rings, 0.5 to 400 a pixel."""
        found = self.__dict__.setdefault("_frames", [])
        rng = np.random.default_rng(3 + len(found))
        while len(found) < count:
            found.append(self._frame(rng))
        return np.stack(found[:count])

    @cached_property
    def _mean(self) -> FloatArray:
        radius = np.tan(pixel_arrays(self.geometry).two_theta) * self.geometry.distance
        radius *= 2000 / (max(self.shape) * self.pixel)
        rings = 15 * np.exp(-((radius % 150 - 75) ** 2) / 50)
        return np.asarray(0.5 + 400 * np.exp(-radius / 120) + rings)

    def _frame(self, rng: np.random.Generator) -> NDArray[Any]:
        counts = rng.poisson(self._mean).astype(self.dtype)
        counts[self.mask] = 0
        return counts


def moved(recipe: Recipe, step: int) -> Recipe:
    """The same recipe a hair's breadth further away: nothing compiled before fits it."""
    geometry = replace(recipe.geometry, distance=recipe.geometry.distance + 1e-6 * (step + 1))
    return replace(recipe, geometry=geometry)


SCENES = {
    scene.name: scene
    for scene in (
        Scene("Eiger 4M", (2167, 2070), 75e-6, (514, 1030), (37, 10)),
        Scene("Pilatus 1M", (1043, 981), 172e-6, (195, 487), (17, 7), "i4"),
        Scene("Eiger 16M", (4362, 4148), 75e-6, (514, 1030), (37, 10)),
        Scene("small", (211, 207), 75e-6, (100, 100), (7, 10)),
    )
}
"""By name; the small one is to try the command."""
