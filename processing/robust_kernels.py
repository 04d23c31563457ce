"""Compiled loops over rings: gathering one, its moments, and its sums by sigma clipping.

Every entry of a ring has a share c, a signal s = c (raw - dark), a weight w = c norm > 0 and an
intensity x = s / w. One thread handles a ring, in the order of its entries, so that the sums
have the same bits on any number of threads.

Loops compare s with low w rather than x with low: no division, and all of it in vector lanes.

The formulas are pyFAI's (``CSR_common.pxi`` and ``CSR_engine.py``, 2026.9), in float64.
"""

import math
from collections.abc import Callable
from typing import NamedTuple, TypeVar, cast

import numpy as np
import numpy.typing as npt
from numba import njit

from ringline.processing.types import FloatArray, ImageArray, IntArray

SIGNAL, VARIANCE, NORM, NORM_SQ, COUNT = range(5)
"""Columns of the sums of rings."""
REJECTED, INVALID = range(2)
"""Columns of the numbers of entries of rings."""

ROUNDING = 1e-13
"""Relative distance from the mean that is rounding, not deviation."""
CANCELLED = 1e4
"""Squared shift over variance from which moments are taken again, about the mean itself."""
HUGE = float(np.finfo(np.float64).max)
"""No bound; unlike infinity, no NaN times 0."""

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """A function that numba compiles."""
    return cast("Function", njit(nogil=True, cache=True, error_model="numpy")(function))


def compiled_sum(function: Function) -> Function:
    """A function that numba compiles, with sums taken in vector lanes.

    That is an order of its own, but always the same one.
    """
    order_free = {"reassoc", "contract", "nsz", "nnan"}
    compile_ = njit(nogil=True, cache=True, error_model="numpy", fastmath=order_free)
    return cast("Function", compile_(function))


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
    dark: FloatArray
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


class Clip(NamedTuple):
    """When entries are outliers."""

    threshold: float
    """In standard deviations; Chauvenet's criterion where that is wider."""
    iterations: int


class Room(NamedTuple):
    """Room for one ring, its valid entries first, each of shape (longest ring,)."""

    signal: FloatArray
    weight: FloatArray
    share: FloatArray
    """Size 0: all are 1."""
    variance: FloatArray
    """Share squared x own variance; size 0 if not asked for."""
    pixel: npt.NDArray[np.uint32]
    valid: npt.NDArray[np.bool_]


class Valid(NamedTuple):
    """The valid entries of one ring, each of shape (n,)."""

    signal: FloatArray
    weight: FloatArray
    share: FloatArray
    """Size 0: all are 1."""
    variance: FloatArray
    """Share squared x own variance; size 0 if not asked for."""
    pixel: npt.NDArray[np.uint32]
    """Flat pixel numbers."""


class Moments(NamedTuple):
    """Sums over the entries of an interval, with d = x - center."""

    kept: int
    norm: float
    norm_sq: float
    first: float
    """Sum of w d."""
    cross: float
    """Sum of w^2 d."""
    square: float
    """Sum of w^2 d^2."""


class Spread(NamedTuple):
    """The entries of an interval."""

    kept: int
    norm: float
    norm_sq: float
    mean: float
    square: float
    """Sum of w^2 (x - mean)^2."""


@compiled
def room_for(entries: Entries, rings: tuple[int, int], errors: Errors) -> Room:
    """Room for any of the rings first .. last - 1."""
    size = 1
    for ring in range(*rings):
        size = max(size, entries.start[ring + 1] - entries.start[ring])
    return Room(
        np.empty(size),
        np.empty(size),
        np.empty(size if entries.share.size else 0),
        np.empty(size if errors.own else 0),
        np.empty(size, np.uint32),
        np.empty(size, np.bool_),
    )


@compiled
def load(
    entries: Entries, bounds: Bounds, errors: Errors, raw: ImageArray, ring: int, room: Room
) -> Valid:
    """Gather the valid entries of a ring."""
    first, last = entries.start[ring], entries.start[ring + 1]
    size = last - first
    pixel = entries.pixel[first:last]
    signal, valid = room.signal[:size], room.valid[:size]
    for i in range(size):
        signal[i] = raw[pixel[i]]
    count = 0
    for i in range(size):
        value = signal[i]
        hole = (bounds.hole_low <= value) & (value <= bounds.hole_high)
        valid[i] = (bounds.low <= value) & (value <= bounds.high) & (not hole)
        count += valid[i]
    share = entries.share[first:last] if entries.share.size else entries.share
    if errors.own:
        own_variance(entries, errors.counts, first, signal, room.variance)
    if entries.dark.size:
        dark = entries.dark[first:last]
        for i in range(size):
            signal[i] -= dark[i]
    for i in range(share.size):
        room.share[i] = share[i]
        signal[i] *= share[i]
    weight = entries.weight[first:last]
    if count < size:
        compact(room, pixel, weight)
        pixel, weight = room.pixel[:count], room.weight[:count]
    return Valid(signal[:count], weight, room.share[:count], room.variance[:count], pixel)


@compiled
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


@compiled
def compact(room: Room, pixel: npt.NDArray[np.uint32], weight: FloatArray) -> None:
    """Move the valid entries to the front, in their order."""
    count = 0
    for i in range(pixel.size):
        if room.valid[i]:
            room.signal[count] = room.signal[i]
            room.weight[count] = weight[i]
            room.pixel[count] = pixel[i]
            if room.share.size:
                room.share[count] = room.share[i]
            if room.variance.size:
                room.variance[count] = room.variance[i]
            count += 1


@compiled_sum
def moments(entries: Valid, low: float, high: float, center: float) -> Moments:
    """Sums over the entries with low <= x <= high."""
    signal, weight = entries.signal, entries.weight
    kept = 0
    norm = norm_sq = first = cross = square = 0.0
    for i in range(signal.size):
        inside = (low * weight[i] <= signal[i]) & (signal[i] <= high * weight[i])
        w = weight[i] if inside else 0.0
        wd = signal[i] - center * weight[i] if inside else 0.0
        kept += inside
        norm += w
        norm_sq += w * w
        first += wd
        cross += w * wd
        square += wd * wd
    return Moments(kept, norm, norm_sq, first, cross, square)


@compiled_sum
def inside_count(entries: Valid, low: float, high: float) -> int:
    """How many entries have low <= x <= high."""
    signal, weight = entries.signal, entries.weight
    count = 0
    for i in range(signal.size):
        count += (low * weight[i] <= signal[i]) & (signal[i] <= high * weight[i])
    return count


@compiled_sum
def total(values: FloatArray, entries: Valid, low: float, high: float) -> float:
    """Sum of the values of the entries with low <= x <= high."""
    signal, weight = entries.signal, entries.weight
    result = 0.0
    for i in range(values.size):
        inside = (low * weight[i] <= signal[i]) & (signal[i] <= high * weight[i])
        result += values[i] if inside else 0.0
    return result


@compiled
def shares(entries: Valid, kept: int, low: float, high: float) -> float:
    """Sum of the shares of the entries with low <= x <= high, of which there are ``kept``."""
    return total(entries.share, entries, low, high) if entries.share.size else float(kept)


@compiled
def about_mean(found: Moments) -> tuple[float, float]:
    """Mean - center, and the sum of w^2 (x - mean)^2."""
    shift = found.first / found.norm if found.norm != 0.0 else 0.0
    return shift, found.square - 2.0 * shift * found.cross + shift * shift * found.norm_sq


@compiled
def spread(entries: Valid, low: float, high: float, center: float) -> Spread:
    """Mean and scatter of the entries with low <= x <= high, which lie around center.

    One pass about any center, by sum w^2 (d - shift)^2 = square - 2 shift cross + shift^2 norm_sq,
    and a second one about the mean where that loses digits: as exact as two passes.
    """
    found = moments(entries, low, high, center)
    shift, square = about_mean(found)
    if shift * shift * found.norm_sq > CANCELLED * square:
        center += shift
        found = moments(entries, low, high, center)
        shift, square = about_mean(found)
    return Spread(found.kept, found.norm, found.norm_sq, center + shift, max(square, 0.0))


@compiled
def clip_ring(entries: Valid, errors: Errors, clip: Clip) -> tuple[float, float, Spread]:
    """Narrow the interval of what is kept until nothing more is outside.

    Discards |x - mean| > t std, with t = max(threshold, sqrt(2 ln(max(count, 3) / sqrt(2 pi)))),
    mean = sum s / sum w, and std^2 = sum w^2 (x - mean)^2 / sum w^2, or sum c^2 variance /
    sum w^2. What a ring keeps is an interval: that in which all iterations agree.
    """
    low, high = -HUGE, HUGE
    now = spread(entries, low, high, entries.signal[0] / entries.weight[0])
    for _ in range(clip.iterations):
        if now.kept == 0:
            break
        square = total(entries.variance, entries, low, high) if errors.clip_own else now.square
        count = max(shares(entries, now.kept, low, high), 3.0)
        chauvenet = math.sqrt(2.0 * math.log(count / math.sqrt(2.0 * math.pi)))
        limit = max(clip.threshold, chauvenet) * math.sqrt(square / now.norm_sq)
        limit += ROUNDING * abs(now.mean)
        low, high = max(low, now.mean - limit), min(high, now.mean + limit)
        if inside_count(entries, low, high) == now.kept:
            break
        now = spread(entries, low, high, now.mean)
    return low, high, now


@compiled
def sigma_clip(
    entries: Entries,
    bounds: Bounds,
    errors: Errors,
    clip: Clip,
    raw: ImageArray,
    rings: tuple[int, int],
    sums: FloatArray,
    numbers: IntArray,
) -> npt.NDArray[np.uint32]:
    """Sums over what sigma clipping keeps of the rings first .. last - 1.

    Parameters
    ----------
    raw:
        The frame, shape (pixels,).
    sums, numbers:
        Filled, shape (rings, 5) and (rings, 2).

    Returns
    -------
    :
        Flat numbers of the pixels discarded above the mean, ring by ring.
    """
    room = room_for(entries, rings, errors)
    spots = np.empty(entries.start[rings[1]] - entries.start[rings[0]], np.uint32)
    spot_count = 0
    for ring in range(*rings):
        valid = load(entries, bounds, errors, raw, ring, room)
        size = valid.signal.size
        sums[ring] = 0.0
        numbers[ring, INVALID] = entries.start[ring + 1] - entries.start[ring] - size
        numbers[ring, REJECTED] = 0
        if size == 0:
            continue
        low, high, kept = clip_ring(valid, errors, clip)
        sums[ring, SIGNAL] = kept.mean * kept.norm
        sums[ring, NORM] = kept.norm
        sums[ring, NORM_SQ] = kept.norm_sq
        sums[ring, COUNT] = shares(valid, kept.kept, low, high)
        if errors.own:
            sums[ring, VARIANCE] = total(valid.variance, valid, low, high)
        elif errors.scatter:
            sums[ring, VARIANCE] = kept.square
        numbers[ring, REJECTED] = size - kept.kept
        if kept.kept < size:
            for i in range(size):
                if valid.signal[i] > high * valid.weight[i]:
                    spots[spot_count] = valid.pixel[i]
                    spot_count += 1
    return spots[:spot_count].copy()
