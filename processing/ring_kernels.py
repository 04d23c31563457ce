"""Compiled loops over rings: gathering the valid entries of one.

Every entry of a ring has a share c, a signal s = c (raw - dark), a weight w = c norm > 0 and an
intensity x = s / w. One thread handles a ring, in the order of its entries, so that sums have
the same bits on any number of threads.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ringline.processing.compiled import jit
from ringline.processing.types import FloatArray, ImageArray, IntArray
from ringline.processing.vector_ir import fetch

SIGNAL, VARIANCE, NORM, NORM_SQ, COUNT = range(5)
"""Columns of the sums of rings."""
REJECTED, INVALID = range(2)
"""Columns of the numbers of entries of rings."""
LINE = 8
"""Float64 values in a line of the cache."""


class Entries(NamedTuple):
    """A ring-sorted table for the loops; arrays of size 0 stand for what there is none of."""

    start: IntArray
    """Where each ring begins, and the end, shape (rings + 1,)."""
    pixel: npt.NDArray[np.uint32]
    """Shape (entries,), as all below."""
    share: npt.NDArray[np.float32]
    """Size 0: all are 1."""
    weight: FloatArray
    """Share x norm, > 0."""
    dark: FloatArray | npt.NDArray[np.float32]
    variance: FloatArray
    """Variance that does not depend on the frame."""


class Bounds(NamedTuple):
    """Raw values count within low .. high, but not within hole_low .. hole_high."""

    low: float
    high: float
    hole_low: float
    hole_high: float


class Errors(NamedTuple):
    """Where variances come from."""

    counts: bool
    """An entry's own variance begins with max(raw, 1)."""
    own: bool
    """Entries' own variances are added up ..."""
    clip_own: bool
    """... and also tell outliers; otherwise the scatter around the mean does."""
    scatter: bool
    """The sum of variances is that scatter."""


class Room(NamedTuple):
    """Room for one ring, its valid entries first, each of shape (longest ring,)."""

    signal: FloatArray
    weight: FloatArray
    share: npt.NDArray[np.float32]
    """Size 0: all are 1."""
    variance: FloatArray
    """Share squared x own variance; size 0 if not asked for."""
    pixel: npt.NDArray[np.uint32]
    valid: npt.NDArray[np.bool_]


class Valid(NamedTuple):
    """The valid entries of one ring, each of shape (n,)."""

    signal: FloatArray
    weight: FloatArray
    share: npt.NDArray[np.float32]
    """Size 0: all are 1."""
    variance: FloatArray
    """Share squared x own variance; size 0 if not asked for."""
    pixel: npt.NDArray[np.uint32]
    """Flat pixel numbers."""


@jit
def room_for(entries: Entries, rings: tuple[int, int], errors: Errors) -> Room:
    """Room for any of the rings first .. last - 1."""
    size = 1
    for ring in range(*rings):
        size = max(size, entries.start[ring + 1] - entries.start[ring])
    return Room(
        np.empty(size),
        np.empty(size),
        np.empty(size if entries.share.size else 0, np.float32),
        np.empty(size if errors.own else 0),
        np.empty(size, np.uint32),
        np.empty(size, np.bool_),
    )


@jit
def load(
    entries: Entries, bounds: Bounds, errors: Errors, raw: ImageArray, ring: int, room: Room
) -> Valid:
    """Gather the valid entries of a ring."""
    first, last = entries.start[ring], entries.start[ring + 1]
    size = last - first
    pixel = entries.pixel[first:last]
    signal, weight = room.signal[:size], room.weight[:size]
    # What later steps read of this ring comes while these wait for single pixels.
    whole = size - size % LINE
    for begin in range(0, whole, LINE):
        fetch(entries.weight, first + begin)
        if entries.dark.size:
            fetch(entries.dark, first + begin)
        for i in range(begin, begin + LINE):
            signal[i] = raw[pixel[i]]
    for i in range(whole, size):
        signal[i] = raw[pixel[i]]
    count = valid_count(signal, bounds)
    if count < size:
        mark_valid(signal, bounds, room.valid)
    share = entries.share[first:last] if entries.share.size else entries.share
    if errors.own:
        own_variance(entries, errors.counts, first, signal, room.variance)
    if entries.dark.size:
        dark = entries.dark[first:last]
        for i in range(size):
            signal[i] -= dark[i]
    for i in range(share.size):
        signal[i] *= share[i]
    # Copied first: reading it in step with sums keeps these waiting for memory.
    source = entries.weight[first:last]
    for i in range(size):
        weight[i] = source[i]
    if count < size:
        compact(room, pixel, share)
        pixel, share = room.pixel[:count], room.share[:count]
    return Valid(signal[:count], weight[:count], share, room.variance[:count], pixel)


@jit
def valid_count(raw: FloatArray, bounds: Bounds) -> int:
    """How many raw values count."""
    low, high = bounds.low, bounds.high
    count = 0
    for i in range(raw.size):
        count += (low <= raw[i]) & (raw[i] <= high)
    if bounds.hole_low <= bounds.hole_high:
        low, high = max(low, bounds.hole_low), min(high, bounds.hole_high)
        for i in range(raw.size):
            count -= (low <= raw[i]) & (raw[i] <= high)
    return count


@jit
def mark_valid(raw: FloatArray, bounds: Bounds, valid: npt.NDArray[np.bool_]) -> None:
    """Which raw values count."""
    for i in range(raw.size):
        hole = (bounds.hole_low <= raw[i]) & (raw[i] <= bounds.hole_high)
        valid[i] = (bounds.low <= raw[i]) & (raw[i] <= bounds.high) & (not hole)


@jit
def own_variance(
    entries: Entries, counts: bool, first: int, raw: FloatArray, variance: FloatArray
) -> None:
    """Share squared x (max(raw, 1) if counts + static variance) of the entries of a ring."""
    for i in range(raw.size):
        variance[i] = (raw[i] if raw[i] > 1.0 else 1.0) if counts else 0.0
    if entries.variance.size:
        static = entries.variance[first : first + raw.size]
        for i in range(raw.size):
            variance[i] += static[i]
    if entries.share.size:
        share = entries.share[first : first + raw.size]
        for i in range(raw.size):
            variance[i] *= np.float64(share[i]) * np.float64(share[i])


@jit
def compact(room: Room, pixel: npt.NDArray[np.uint32], share: npt.NDArray[np.float32]) -> None:
    """Move the valid entries to the front, in their order."""
    count = 0
    for i in range(pixel.size):
        if room.valid[i]:
            room.signal[count] = room.signal[i]
            room.weight[count] = room.weight[i]
            room.pixel[count] = pixel[i]
            if share.size:
                room.share[count] = share[i]
            if room.variance.size:
                room.variance[count] = room.variance[i]
            count += 1
