"""Bin edges of a recipe's axes, and where each pixel lies on them."""

from dataclasses import dataclass

import numpy as np

from ringline.processing.errors import RecipeError
from ringline.processing.geometry import Coordinate, PixelArrays
from ringline.processing.types import BoolArray, FloatArray

# pyFAI's upper edge is one float32 step above the last pixel, so that it falls inside. Keeping
# that makes the axes, and thus the curves of its users, agree; it moves the edge by 1.2e-7.
_ABOVE = 1.0 + float(np.finfo(np.float32).eps)


@dataclass(frozen=True, slots=True)
class Axis:
    """Equal bins from ``low`` to ``high``, in SI (q: 1/nm)."""

    low: float
    high: float
    bins: int
    open_ended: bool
    """The range is that of the pixels: a pixel reaching beyond it counts in the last bin."""

    @property
    def centers(self) -> FloatArray:
        """Bin centers, shape (bins,)."""
        half = 0.5 * self.width
        return np.linspace(self.low + half, self.high - half, self.bins)

    @property
    def edges(self) -> FloatArray:
        """Bin edges, shape (bins + 1,)."""
        return np.linspace(self.low, self.high, self.bins + 1)

    @property
    def width(self) -> float:
        """Width of a bin."""
        return (self.high - self.low) / self.bins

    def positions(self, values: FloatArray) -> FloatArray:
        """Values in units of bins, counted from ``low``."""
        return (values - self.low) / self.width


@dataclass(frozen=True, slots=True)
class Extent:
    """Where pixels lie on an axis: center and half width, each of shape (pixels,)."""

    center: FloatArray
    half: FloatArray | None
    """None: pixels are points (splitting ``no``)."""

    @property
    def low(self) -> FloatArray:
        """Lower end of each pixel."""
        return self.center if self.half is None else self.center - self.half

    @property
    def high(self) -> FloatArray:
        """Upper end of each pixel."""
        return self.center if self.half is None else self.center + self.half


def extent(pixels: PixelArrays, coordinate: Coordinate, *, split: bool) -> Extent:
    """Where all pixels lie on a coordinate, flat arrays of slow x fast."""
    half = pixels.half_width(coordinate).ravel() if split else None
    return Extent(pixels.center(coordinate).ravel(), half)


def wrapped(chi: Extent, azimuth: tuple[float, float]) -> Extent:
    """The azimuth with its discontinuity moved opposite to the middle of a range, rad."""
    middle = 0.5 * (azimuth[0] + azimuth[1])
    center = (chi.center - middle + np.pi) % (2 * np.pi) + middle - np.pi
    return Extent(center, chi.half)


def radial_axis(
    bins: int, bounds: tuple[float, float] | None, pixels: Extent, used: BoolArray
) -> Axis:
    """The radial axis: given bounds, or those of the pixels in use, from 0 up.

    Parameters
    ----------
    bins:
        Number of bins.
    bounds:
        Low and high, SI; None: those of the pixels.
    pixels:
        Where the pixels lie.
    used:
        True for pixels that are not masked.
    """
    if bounds is not None:
        return Axis(bounds[0], bounds[1] * _ABOVE, bins, open_ended=False)
    low, high = _limits(pixels, used)
    # A pixel around the beam reaches, as a bounding box, below radius 0: there is nothing there.
    return Axis(max(low, 0.0), max(high, 0.0) * _ABOVE, bins, open_ended=True)


def azimuthal_axis(
    bins: int, bounds: tuple[float, float] | None, pixels: Extent, used: BoolArray
) -> Axis:
    """The azimuthal axis, rad: given bounds, or those of the pixels in use within -pi .. pi."""
    if bounds is not None:
        return Axis(bounds[0], _above(bounds[1]), bins, open_ended=False)
    low, high = _limits(pixels, used)
    return Axis(max(low, -np.pi), _above(min(high, np.pi)), bins, open_ended=True)


def _limits(pixels: Extent, used: BoolArray) -> tuple[float, float]:
    if not used.any():
        raise RecipeError("mask: all pixels are masked, so there is no range to bin")
    return float(pixels.low[used].min()), float(pixels.high[used].max())


def _above(high: float) -> float:
    return high * _ABOVE if high > 0 else high / _ABOVE
