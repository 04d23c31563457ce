"""Sharing pixels between bins: which pixel counts in which bin, and by how much."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ringline.processing.axes import Axis, Extent
from ringline.processing.types import BoolArray, FloatArray

Indices = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Shares:
    """Pixel ``pixel[k]`` counts in bin ``bin[k]`` with ``weight[k]``; all of shape (entries,)."""

    pixel: Indices
    bin: Indices
    weight: FloatArray


@dataclass(frozen=True, slots=True)
class _Span:
    """The bins that pixels overlap on one axis: first and last bin, ends in units of bins."""

    axis: Axis
    low: FloatArray
    high: FloatArray
    first: Indices
    last: Indices

    def bins_at(self, step: int) -> Indices:
        return self.first + np.int32(step)

    def overlap(self, step: int) -> FloatArray:
        """Fraction of each pixel in its bin ``first + step``, 1 for a pixel that is a point."""
        bins = self.bins_at(step)
        left, right = np.maximum(self.low, bins), np.minimum(self.high, bins + 1)
        if self.axis.open_ended:
            left = np.where(bins == 0, self.low, left)
            right = np.where(bins == self.axis.bins - 1, self.high, right)
        width = self.high - self.low
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(width > 0, (right - left) / width, 1.0)


def share(axes: list[Axis], extents: list[Extent], used: BoolArray) -> Shares:
    """Share the pixels in use between the bins of one axis, or of two.

    A pixel is a box from low to high on each axis and counts in each bin by the part of the
    box that lies there. Beyond a range that was asked for, it does not count; beyond one that
    is the pixels' own (at the beam, at the azimuth's discontinuity) it counts in the last bin.

    Parameters
    ----------
    axes:
        One axis, or two, slowest first.
    extents:
        Where the pixels lie on each.
    used:
        True for pixels that count, shape (pixels,).

    Returns
    -------
    :
        Entries, each with a flat bin number, ordered by pixel.
    """
    spans = [_span(axis, extent) for axis, extent in zip(axes, extents, strict=True)]
    for span in spans:
        used = used & (span.first <= span.last)
    pixel = np.flatnonzero(used).astype(np.int32)
    spans = [_taken(span, pixel) for span in spans]
    parts = list(_parts(spans, pixel))
    pixels = np.concatenate([part.pixel for part in parts])
    order = np.argsort(pixels, kind="stable")
    return Shares(
        pixels[order],
        np.concatenate([part.bin for part in parts])[order],
        np.concatenate([part.weight for part in parts])[order],
    )


def _parts(spans: list[_Span], pixel: Indices) -> Iterator[Shares]:
    """Entries step by step along the first axis, and within it along the others."""
    if not spans:
        yield Shares(pixel, np.zeros(pixel.size, np.int32), np.ones(pixel.size))
        return
    span, rest = spans[0], spans[1:]
    stride = int(np.prod([other.axis.bins for other in rest]))
    steps = int((span.last - span.first).max(initial=0)) + 1
    for step in range(steps):
        here = np.flatnonzero(span.bins_at(step) <= span.last).astype(np.int32)
        part = _taken(span, here)
        overlap, bins = part.overlap(step), part.bins_at(step) * np.int32(stride)
        for inner in _parts(
            [_taken(other, here) for other in rest], np.arange(here.size, dtype=np.int32)
        ):
            at = inner.pixel
            yield Shares(pixel[here[at]], bins[at] + inner.bin, overlap[at] * inner.weight)


def _span(axis: Axis, extent: Extent) -> _Span:
    low, high = axis.positions(extent.low), axis.positions(extent.high)
    first, last = np.floor(low), np.floor(high)
    outside = (last < 0) | (first >= axis.bins)
    if axis.open_ended:
        outside[:] = False
    first, last = np.clip(first, 0, axis.bins - 1), np.clip(last, 0, axis.bins - 1)
    first[outside] = axis.bins
    return _Span(axis, low, high, first.astype(np.int32), last.astype(np.int32))


def _taken(span: _Span, at: Indices) -> _Span:
    return _Span(span.axis, span.low[at], span.high[at], span.first[at], span.last[at])
