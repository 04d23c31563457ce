"""A recipe compiled for one detector shape: which pixel counts in which bin, and by how much."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ringline.processing.bin_table import BinTable
from ringline.processing.corrections import Corrections
from ringline.processing.geometry import PixelArrays
from ringline.processing.recipe import Recipe
from ringline.processing.robust import PixelTerms, RingTable, RobustRings
from ringline.processing.sharing import share
from ringline.processing.static_kernels import add_extras, add_runs, zero_sums
from ringline.processing.types import BoolArray, FloatArray, ImageArray, IntArray
from ringline.processing.worker_threads import in_parallel

_PARTS = 8
"""Into which the pixels are cut for static sums."""
NO_RUNS = np.empty((0, 0), np.float32)
"""Coefficients of a table without splitting, as kernels read them."""


@dataclass(frozen=True, slots=True)
class StaticSums:
    """What sums over pixels do not depend on the frame, each of shape (bins,)."""

    norm: FloatArray
    """Sum of share x norm."""
    norm_sq: FloatArray
    """Sum of (share x norm) squared."""
    count: FloatArray
    """Sum of shares."""
    dark: FloatArray
    """Sum of share x dark."""
    variance: FloatArray
    """Sum of share squared x the variance that is the same for all frames."""


@dataclass(frozen=True, slots=True)
class Entries:
    """Some shares of pixels in bins, of one shape (n,)."""

    pixel: slice | npt.NDArray[np.integer]
    """Flat pixel numbers."""
    bin: npt.NDArray[np.integer]
    """Flat bin numbers; from the number of bins on where a pixel does not count."""
    share: FloatArray | float


class Table:
    """A recipe compiled for one detector shape. Thread-safe; all engines work from it."""

    def __init__(self, recipe: Recipe) -> None:
        """Compile.

        Raises
        ------
        RecipeError:
            The detector has no shape, or no pixel is left to find the range of an axis from.
        """
        self.recipe = recipe
        self.shape = recipe.geometry.detector.known_shape
        pixels = PixelArrays(recipe.geometry)
        masked = masked_pixels(recipe)
        self.norm = pixel_norm(recipe.corrections, pixels)
        """flat x polarization x solid angle x ..., shape (slow, fast)."""
        used = ~masked & np.isfinite(self.norm) & (self.norm != 0)
        for name in ("dark", "dark_variance", "variance"):
            array = getattr(recipe.corrections, name)
            if array is not None:
                used &= np.isfinite(array.values)
        self.norm[~used] = 0.0
        shared = share(recipe, pixels, ~masked, used)
        self.along = shared.along
        """The axis of a curve, the radial axis of a cake."""
        self.across = shared.across
        """The azimuthal axis of a cake; None for a curve."""
        self.shares: BinTable = shared.table
        self.bins = shared.table.bins

    @cached_property
    def dark(self) -> FloatArray | None:
        """Dark counts of each pixel, float64, shape (pixels,); None: there are none."""
        dark = self.recipe.corrections.dark
        return None if dark is None else _clean(dark.values)

    @cached_property
    def variance(self) -> FloatArray | None:
        """Variance of each pixel that is the same for all frames, shape (pixels,); or None."""
        return static_variance(self.recipe)

    @cached_property
    def in_use(self) -> BoolArray:
        """True for pixels that count in some bin, shape (pixels,)."""
        return self.shares.first < self.bins

    @cached_property
    def static(self) -> StaticSums:
        """The sums that do not depend on the frame."""
        shares, size = self.shares, self.shares.first.size
        coefficients = shares.coefficients
        runs = NO_RUNS if coefficients is None else coefficients
        unit = 1.0 / shares.scale
        values = (self.norm.ravel(), _or_empty(self.dark), _or_empty(self.variance))
        sums = [zero_sums(self.bins) for _ in range(_PARTS)]

        def part(number: int) -> None:
            span = (size * number // _PARTS, size * (number + 1) // _PARTS)
            add_runs(shares.first, runs, unit, values, span, sums[number])

        in_parallel(part, _PARTS)
        # Always in the same order: the same bits on any number of threads.
        total = np.sum(sums, axis=0)
        extra = (shares.extra_pixel, shares.extra_bin, shares.extra_coefficient)
        add_extras(*extra, values, total)
        total.setflags(write=False)  # the sums of frames share them
        return StaticSums(*total[:, : self.bins])

    @cached_property
    def rings(self) -> RobustRings:
        """The same shares sorted by bin, to find outliers in each."""
        entries = list(self.entries())
        bins = np.concatenate([entry.bin for entry in entries])
        every = np.arange(self.norm.size, dtype=np.uint32)
        pixel = np.concatenate([every[entry.pixel] for entry in entries])
        share = np.concatenate([np.broadcast_to(entry.share, entry.bin.shape) for entry in entries])
        counts = (bins < self.bins) & (share > 0)
        pixel, bins, share = pixel[counts], bins[counts], share[counts].astype(np.float32)
        # Within a ring in the order of pixels, whatever the runs are.
        order = np.lexsort((pixel, bins))
        start = np.searchsorted(bins[order], np.arange(self.bins + 1))
        ring_table = RingTable(start=start, pixel=pixel[order], share=share[order])
        terms = PixelTerms(norm=self.norm.ravel(), dark=self.dark, variance=self.variance)
        return RobustRings(ring_table, terms, self.recipe.error_model)

    def sums_of(self, pixels: npt.NDArray[np.integer]) -> StaticSums:
        """The same sums over some pixels only: those that do not count in one frame.

        Parameters
        ----------
        pixels:
            Flat pixel numbers, ascending, shape (n,).
        """
        total = StaticSums(*(np.zeros(self.bins) for _ in range(5)))
        norm = self.norm.ravel()
        for entry in self.entries(pixels):
            count = np.broadcast_to(entry.share, entry.bin.shape)
            normed = count * norm[entry.pixel]
            total.count[:] += self.binned(entry.bin, count)
            total.norm[:] += self.binned(entry.bin, normed)
            total.norm_sq[:] += self.binned(entry.bin, normed * normed)
            if self.dark is not None:
                total.dark[:] += self.binned(entry.bin, count * self.dark[entry.pixel])
            if self.variance is not None:
                squared = count * count * self.variance[entry.pixel]
                total.variance[:] += self.binned(entry.bin, squared)
        return total

    def entries(self, pixels: npt.NDArray[np.integer] | None = None) -> Iterator[Entries]:
        """All shares, or those of some pixels: one part for each step of the runs, and the rest."""
        shares = self.shares
        chosen = slice(None) if pixels is None else pixels
        first = shares.first[chosen]
        if shares.coefficients is None:
            yield Entries(chosen, first, 1.0)
            return
        for step in range(shares.width):
            part = shares.coefficients[chosen, step] / shares.scale
            yield Entries(chosen, first + first.dtype.type(step), part.astype(np.float64))
        extra = slice(None) if pixels is None else _places(shares.extra_pixel, pixels)
        part = shares.extra_coefficient[extra].astype(np.float64)
        yield Entries(shares.extra_pixel[extra], shares.extra_bin[extra], part)

    def binned(self, numbers: npt.NDArray[np.integer], weights: FloatArray) -> FloatArray:
        """Sums of weights by bin; what lies beyond the last bin is dropped. Shape (bins,)."""
        return np.bincount(numbers, weights, self.bins)[: self.bins].astype(np.float64, copy=False)


def masked_pixels(recipe: Recipe) -> BoolArray:
    """True for pixels left out by the mask or in the detector's gaps, shape (slow, fast)."""
    masked = np.zeros(recipe.geometry.detector.known_shape, dtype=bool)
    gaps = recipe.geometry.detector.built_in_mask()
    given = recipe.corrections.mask
    if gaps is not None:
        masked |= gaps
    if given is not None:
        masked |= given.values.astype(bool)
    return masked


def pixel_norm(corrections: Corrections, pixels: PixelArrays) -> FloatArray:
    """What a pixel's counts are divided by, shape (slow, fast).

    Flat x polarization x solid angle x absorption / absolute scale.
    """
    norm = np.full(pixels.geometry.detector.known_shape, 1.0 / corrections.scale)
    if corrections.flat is not None:
        norm *= corrections.flat.values
    if corrections.polarization is not None:
        axis = np.radians(corrections.polarization_axis)
        norm *= pixels.polarization(corrections.polarization, float(axis))
    if corrections.solid_angle:
        norm *= pixels.solid_angle
    if corrections.absorption:
        norm *= pixels.absorption
    return norm


WITH_DARK_VARIANCE = ("poisson", "variance", "hybrid")
"""Error models that add the variance of the dark to that of the frame."""


def static_variance(recipe: Recipe) -> FloatArray | None:
    """Variance of each pixel that is the same for all frames, shape (pixels,); None: it is 0."""
    corrections = recipe.corrections
    given = [corrections.dark_variance if recipe.error_model in WITH_DARK_VARIANCE else None]
    given.append(corrections.variance if recipe.error_model == "variance" else None)
    arrays = [_clean(array.values) for array in given if array is not None]
    return np.sum(arrays, axis=0) if arrays else None


def _places(ascending: npt.NDArray[np.uint32], wanted: npt.NDArray[np.integer]) -> IntArray:
    """Where ascending numbers are one of those wanted (ascending as well)."""
    starts = np.searchsorted(ascending, wanted, side="left")
    stops = np.searchsorted(ascending, wanted, side="right")
    counts = stops - starts
    shifts = np.repeat(starts - np.concatenate(([0], np.cumsum(counts)[:-1])), counts)
    return np.asarray(shifts + np.arange(counts.sum()))


def _or_empty(values: FloatArray | None) -> FloatArray:
    return np.empty(0) if values is None else values


def _clean(values: ImageArray) -> FloatArray:
    """Flat float64, 0 where not finite: such pixels are not in use, and must not spoil a sum."""
    flat = values.astype(np.float64).ravel()
    return np.where(np.isfinite(flat), flat, 0.0)
