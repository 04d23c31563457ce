"""A recipe's bins as kernels read them: what each pixel adds to which bin."""

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ringline.processing.numba_kernels import SHORT_RUN
from ringline.processing.types import FloatArray, ImageArray

BinNumbers: TypeAlias = NDArray[np.uint16] | NDArray[np.uint32]
Coefficients: TypeAlias = NDArray[np.float32] | NDArray[np.uint16]

FULL_SHARE = 65535
"""A share of 1 in uint16 coefficients, so that whole pixels are exact."""

RUNS = (1, 2, 3, 4, 6, 8, 12, 16)
"""How many coefficients a pixel may have."""
MANY_BINS = 16384
"""From here on one set of sums per thread fills the cache; below, four independent ones fit."""


@dataclass(frozen=True)
class BinTable:
    """Which bins each pixel counts in, in the order of the pixels, row by row.

    Float32 coefficients are multiples of 2^-24: sums of coefficient x integer are exact, and
    so independent of their order, up to 2^29.
    """

    bins: int
    """Bins of a curve, or azimuthal x radial bins of a cake."""
    first: BinNumbers
    """First bin of each pixel; ``bins`` for one that does not count. Shape (pixels,)."""
    coefficients: Coefficients | None = None
    """Share in the bins first, first + 1, ..., shape (pixels, one of RUNS); uint16 in units of
    1 / 65535. None: each pixel counts wholly in its first bin. Zero beyond the last bin and
    for pixels that do not count."""
    extra_pixel: NDArray[np.uint32] = field(default_factory=lambda: np.empty(0, np.uint32))
    """Pixels that also count elsewhere, ascending; each has a first bin. Shape (extra,)."""
    extra_bin: NDArray[np.uint32] = field(default_factory=lambda: np.empty(0, np.uint32))
    extra_coefficient: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    """Their share there."""

    @cached_property
    def fullest(self) -> int:
        """How many pixels the fullest bin has, as first bins."""
        return int(self.pixels_of_bins.max(initial=0))

    @cached_property
    def pixels_of_bins(self) -> NDArray[np.uint64]:
        """How many pixels have each bin as their first, shape (bins,)."""
        counts = np.bincount(self.first, minlength=self.bins)[: self.bins]
        return counts.astype(np.uint64)

    @property
    def scale(self) -> float:
        """A share of 1 in units of ``coefficients``."""
        return float(FULL_SHARE) if self.width and self._compact else 1.0

    @property
    def width(self) -> int:
        """Coefficients of a pixel; 0 without splitting."""
        return 0 if self.coefficients is None else self.coefficients.shape[1]

    @cached_property
    def shares(self) -> tuple[Coefficients, tuple[int, ...]] | None:
        """The coefficients as kernels take them: flat, and a tuple as long as the width."""
        if self.coefficients is None:
            return None
        return self.coefficients.reshape(-1), (0,) * self.width

    @cached_property
    def whole_shares(self) -> tuple[Coefficients, tuple[int, ...]]:
        """Shares of 1, to sum by them what is not split."""
        return np.ones(self.first.size, np.float32), (0,)

    @property
    def by_bin(self) -> bool:
        """Whether sums by first bin and share would be too many."""
        return self.bins > MANY_BINS or self.width > SHORT_RUN

    @property
    def extra(self) -> tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.float32]]:
        """The extra shares as kernels take them."""
        return self.extra_pixel, self.extra_bin, self.extra_coefficient

    @property
    def groups(self) -> int:
        """Into how many groups of four segments the pixels are cut.

        Fixed by the table alone: a bin's sum is made segment by segment, so that it has the
        same bits on any number of threads, for one frame or for many.
        """
        if self.bins > MANY_BINS:
            return 2
        return int(np.clip(self.first.size >> 17, 1, 8))

    def zero_step(self, dtype: np.dtype[Any]) -> int:
        """What a pixel without counts adds, so that sums and zeros fit one uint64; 0: cannot.

        Zeros are counted in the high bits. Only unsigned integers up to 32 bits, not split.
        """
        bits = self.fullest.bit_length()
        if self.coefficients is not None or dtype.kind != "u" or dtype.itemsize > 4:
            return 0
        return 1 << (8 * dtype.itemsize + bits) if 8 * dtype.itemsize + 2 * bits <= 64 else 0

    @property
    def _compact(self) -> bool:
        return self.coefficients is not None and self.coefficients.dtype == np.uint16


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Which raw values count: low <= value <= high, and not hole_low <= value <= hole_high."""

    low: float = -np.inf
    high: float = np.inf
    hole_low: float = np.inf
    hole_high: float = -np.inf

    def of_dtype(self, dtype: np.dtype[Any]) -> tuple[Any, Any, Any, Any] | None:
        """The four bounds as kernels compare them; None if all values of the dtype count.

        They are values of the dtype; NaN and the infinities never count.
        """
        low, high = _values(self.low, self.high, dtype)
        hole_low, hole_high = _values(self.hole_low, self.hole_high, dtype)
        no_hole = _values(1.0, 0.0, dtype)
        if dtype.kind != "f":
            # A hole at one end only moves that end: kernels are faster without holes.
            if low < hole_low <= high <= hole_high:
                high, hole_low, hole_high = hole_low - 1, *no_hole
            elif hole_low <= low <= hole_high < high:
                low, hole_low, hole_high = hole_high + 1, *no_hole
        if hole_low > high or hole_high < low:
            hole_low, hole_high = no_hole
        everything = dtype.kind != "f" and (low, high) == _values(-np.inf, np.inf, dtype)
        if everything and hole_low > hole_high:
            return None
        kind = dtype.type
        return kind(low), kind(high), kind(hole_low), kind(hole_high)


@dataclass(frozen=True, slots=True)
class BinSums:
    """What one frame adds to each bin."""

    signal: FloatArray
    """Sum of share x raw, shape (bins,)."""
    variance: FloatArray | None
    """Sum of share squared x max(raw, 1), shape (bins,); None if not asked for."""
    exceptions: NDArray[np.uint32]
    """Flat numbers, ascending, of the pixels that have a bin and did not count."""


def kernel_input(image: ImageArray) -> ImageArray:
    """Pixels as kernels read them: contiguous, native; not copied if they are already.

    Parameters
    ----------
    image:
        Any shape, numeric dtype, byte order and strides.
    """
    dtype = image.dtype
    if dtype.kind not in "iuf" or dtype.itemsize not in (1, 2, 4, 8):
        dtype = np.dtype(np.uint8 if dtype.kind == "b" else np.float64)
    elif dtype.itemsize == 8 or dtype == np.float16:
        dtype = np.dtype(np.float64)
    elif dtype == np.int8:
        dtype = np.dtype(np.int16)
    return np.ascontiguousarray(image, dtype=dtype.newbyteorder("="))


def _values(low: float, high: float, dtype: np.dtype[Any]) -> tuple[Any, Any]:
    """The least and the largest finite value of a dtype in an interval; (max, min) if none."""
    if dtype.kind == "f":
        limits = np.finfo(dtype)
        least, most = float(limits.min), float(limits.max)
        first, last = dtype.type(max(low, least)), dtype.type(min(high, most))
        if float(first) < low:
            first = np.nextafter(first, dtype.type(np.inf))
        if float(last) > high:
            last = np.nextafter(last, dtype.type(-np.inf))
    else:
        info = np.iinfo(dtype)
        least, most = info.min, info.max
        first = least if low < least else math.ceil(min(low, 1e20))
        last = most if high > most else math.floor(max(high, -1e20))
    return (first, last) if first <= last and first <= most and last >= least else (most, least)
