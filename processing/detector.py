"""What the sensor is: its pixels, its gaps, and how its image is stored."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import overload

import numpy as np

from ringline.processing.arrays import (
    ArraySource,
    InputArray,
    corners_array,
    input_array,
    stored,
)
from ringline.processing.checks import require_count, require_positive
from ringline.processing.errors import RecipeError
from ringline.processing.sensor import Sensor
from ringline.processing.types import BoolArray, FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleGrid:
    """Equal modules in rows and columns with gaps between them, all in pixels (slow, fast)."""

    size: tuple[int, int]
    gap: tuple[int, int]
    seam: tuple[int, int] = (0, 0)
    """Columns to mask as well, counted from the middle of each module: first, and one past the
    last (CdTe sensors are made of two halves)."""

    def mask(self, shape: tuple[int, int]) -> BoolArray:
        """True in the gaps, shape (slow, fast)."""
        mask = np.zeros(shape, dtype=bool)
        for axis in (0, 1):
            pitch = self.size[axis] + self.gap[axis]
            in_gap = np.arange(shape[axis]) % pitch >= self.size[axis]
            mask |= in_gap[:, None] if axis == 0 else in_gap[None, :]
        from_middle = np.arange(shape[1]) % (self.size[1] + self.gap[1]) - self.size[1] // 2
        mask |= ((from_middle >= self.seam[0]) & (from_middle < self.seam[1]))[None, :]
        return mask


class _Array:
    """A field of a detector: given as an array or a path, kept as an ``InputArray``."""

    def __init__(self, read: Callable[[ArraySource], InputArray | None]) -> None:
        self._read = read

    def __set_name__(self, owner: type, name: str) -> None:
        self._place = f"_{name}"

    @overload
    def __get__(self, detector: None, owner: type) -> None: ...

    @overload
    def __get__(self, detector: "Detector", owner: type) -> InputArray | None: ...

    def __get__(self, detector: "Detector | None", owner: type) -> InputArray | None:
        return None if detector is None else detector.__dict__[self._place]

    def __set__(self, detector: "Detector", source: ArraySource) -> None:
        detector.__dict__[self._place] = self._read(source)


@dataclass(frozen=True, kw_only=True)
class Detector:
    """A sensor: flat with equal rectangular pixels as in a PONI file, or any polygons in space.

    Raises
    ------
    RecipeError:
        A pixel size that is not > 0, a shape that is not two whole numbers >= 1, an
        orientation other than 1, 2, 3 or 4; corners that cannot be read, are of another shape
        than the detector, or come with an orientation other than 3.
    """

    pixel1: float
    """Pixel size along the slow axis, m; a nominal one where ``corners`` are given."""
    pixel2: float
    """Pixel size along the fast axis, m; a nominal one where ``corners`` are given."""
    shape: tuple[int, int] | None = None
    """(slow, fast) in pixels; None: that of the first frame."""
    name: str = "Detector"
    orientation: int = 3
    """How the image is stored, as in PONI files since version 2.1: 3 along the PONI's axes, 2
    flipped up-down, 4 flipped left-right, 1 flipped both ways."""
    modules: ModuleGrid | None = None
    corners: _Array = _Array(corners_array)
    """Corners of each pixel in order round it, m, shape (slow, fast, n, 3), as in pyFAI's NeXus
    detector files: (axis 3, along the beam; axis 1, slow; axis 2, fast). An array or a path
    (.npy, HDF5 with ``::dataset``); None: a grid of equal rectangles. A pixel with a corner that
    is not finite is masked."""
    sensor: Sensor | None = None
    """What absorbs the photons; None: as ``known_sensor`` has it from the table."""
    mask: _Array = _Array(partial(input_array, "mask"))
    """True or nonzero where no pixel measures, shape (slow, fast), as a detector file gives it: an
    array or a path; None: nowhere else than in the gaps."""
    disk: float | None = None
    """Radius of a round active area about the middle of the image, in pixels; None: all of it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "pixel1", require_positive("pixel1", self.pixel1, "m"))
        object.__setattr__(self, "pixel2", require_positive("pixel2", self.pixel2, "m"))
        if self.shape is not None:
            if len(self.shape) != 2:
                raise RecipeError(f"detector shape must be (slow, fast), got {self.shape!r}")
            slow, fast = (require_count("detector shape", int(n)) for n in self.shape)
            object.__setattr__(self, "shape", (slow, fast))
        if self.disk is not None:
            object.__setattr__(self, "disk", require_positive("disk", self.disk, "pixels"))
        if self.orientation not in (1, 2, 3, 4):
            raise RecipeError(f"orientation must be 1, 2, 3 or 4, got {self.orientation!r}")
        if self.corners is not None:
            self._follow(self.corners)
        if self.mask is not None:
            self._check_shape("mask", self.mask)

    def _follow(self, corners: InputArray) -> None:
        self._check_shape("corners", corners)
        if self.orientation != 3:
            raise RecipeError(
                f"orientation must be 3 where corners say where pixels are, got {self.orientation}"
            )

    def _check_shape(self, name: str, array: InputArray) -> None:
        slow, fast = array.values.shape[:2]
        if self.shape not in (None, (slow, fast)):
            raise RecipeError(f"{name}: of {(slow, fast)} pixels, the detector has {self.shape}")
        object.__setattr__(self, "shape", (slow, fast))

    def with_shape(self, shape: tuple[int, int]) -> "Detector":
        """The same detector, its shape known."""
        return replace(self, shape=shape)

    def built_in_mask(self) -> BoolArray | None:
        """True where there is no pixel, shape (slow, fast); None where there are all.

        In the gaps between modules, beyond a round area, where a corner is not finite, and where
        the detector's own mask says so.
        """
        if self.shape is None:
            return None
        masks = [] if self.mask is None else [self.mask.values]
        if self.modules is not None:
            masks.append(self.modules.mask(self.shape))
        if self.disk is not None:
            from_middle = (np.arange(n) + 0.5 - n // 2 for n in self.shape)
            slow, fast = (offset**2 for offset in from_middle)
            masks.append(slow[:, None] + fast[None, :] > self.disk**2)
        if self.corners is not None:
            masks.append(~np.asarray(np.isfinite(self.corners.values).all(axis=(2, 3))))
        return np.logical_or.reduce(masks) if masks else None

    @cached_property
    def known_shape(self) -> tuple[int, int]:
        """The shape, where it is known; RecipeError where it is not."""
        if self.shape is None:
            raise RecipeError(
                f"detector {self.name!r} has no shape yet: it is taken from the first frame"
            )
        return self.shape

    def pixel_centers(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Positions of the centers, m, along axes 1, 2 and 3: together of shape (slow, fast).

        Of shapes (slow, 1), (1, fast) and (1, 1) where pixels are a grid; where corners are
        given, each center is their mean.
        """
        if self.corners is not None:
            mean = self.corners.values.mean(axis=2, dtype=np.float64)
            return mean[..., 1], mean[..., 2], mean[..., 0]
        slow, fast = self.known_shape
        return *self._positions(np.arange(0.5, slow), np.arange(0.5, fast)), np.zeros((1, 1))

    def lattice(self) -> tuple[FloatArray, FloatArray]:
        """Positions of a grid's corners, m: shapes (slow + 1, 1) and (1, fast + 1).

        Pixel (i, j) has its corners at lattice points (i, j) .. (i + 1, j + 1).
        """
        slow, fast = self.known_shape
        return self._positions(np.arange(slow + 1.0), np.arange(fast + 1.0))

    def pixel_corners(self) -> FloatArray:
        """Corners of each pixel, m, shape (slow, fast, n, 3): (axis 3, axis 1, axis 2).

        Axis 3 is along the beam; the corners go round the pixel. A grid's pixels have four.
        """
        if self.corners is not None:
            return self.corners.values.astype(np.float64)
        slow, fast = self.known_shape
        p1, p2 = np.broadcast_arrays(*self.lattice())
        corners = np.zeros((slow, fast, 4, 3))
        for number, (i, j) in enumerate(((0, 0), (1, 0), (1, 1), (0, 1))):
            corners[:, :, number, 1] = p1[i : slow + i, j : fast + j]
            corners[:, :, number, 2] = p2[i : slow + i, j : fast + j]
        return corners

    def arrays(self) -> dict[str, InputArray]:
        """The arrays that are given, by name."""
        found = {"corners": self.corners, "mask": self.mask}
        return {name: array for name, array in found.items() if array is not None}

    def with_stored_arrays(self, folder: Path) -> "Detector":
        """The same detector, arrays given without a path saved as ``folder/<sha256>.npy``."""
        saved = {name: stored(array, folder) for name, array in self.arrays().items()}
        return replace(self, **saved)  # type: ignore[arg-type]  # what is stored is an InputArray

    def _positions(self, index1: FloatArray, index2: FloatArray) -> tuple[FloatArray, FloatArray]:
        slow, fast = self.known_shape
        if self.orientation in (1, 2):
            index1 = slow - index1
        if self.orientation in (1, 4):
            index2 = fast - index2
        return (self.pixel1 * index1)[:, None], (self.pixel2 * index2)[None, :]
