"""Compiled loops over rings: moments of a ring, and its sums by sigma clipping.

Loops compare s with low w rather than x with low: no division, and all of it in vector lanes.

The formulas are pyFAI's (``CSR_common.pxi`` and ``CSR_engine.py``, 2026.9), in float64.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ringline.processing.compiled import jit, jit_sums
from ringline.processing.ring_kernels import (
    COUNT,
    INVALID,
    NORM,
    NORM_SQ,
    REJECTED,
    SIGNAL,
    VARIANCE,
    Bounds,
    Entries,
    Errors,
    Valid,
    load,
    room_for,
)
from ringline.processing.types import FloatArray, ImageArray, IntArray

ROUNDING = 1e-13
"""Relative distance from the mean that is rounding, not deviation."""
CANCELLED = 1e3
"""Squared shift over variance from which moments are taken again, about the mean itself."""
BLOCK = 64
"""So many entries are looked at together."""
HUGE = float(np.finfo(np.float64).max)
"""No bound; unlike infinity, no NaN times 0."""


class Clip(NamedTuple):
    """When entries are outliers."""

    threshold: float
    """In standard deviations; Chauvenet's criterion where that is wider."""
    iterations: int


class Interval(NamedTuple):
    """What is kept of a ring: low <= x <= high."""

    low: float
    high: float


class Moments(NamedTuple):
    """Sums over some entries, with d = x - center."""

    kept: float
    """How many they are."""
    norm: float
    norm_sq: float
    first: float
    """Sum of w d."""
    cross: float
    """Sum of w^2 d."""
    square: float
    """Sum of w^2 d^2."""
    shares: float
    variance: float
    """Sum of own variances."""


@jit_sums
def moments(entries: Valid, low: float, high: float, center: float) -> Moments:
    """Sums over the entries with low <= x <= high."""
    signal, weight = entries.signal, entries.weight
    count = 0
    norm = norm_sq = first = cross = square = 0.0
    for i in range(signal.size):
        inside = (low * weight[i] <= signal[i]) & (signal[i] <= high * weight[i])
        w = weight[i] if inside else 0.0
        wd = signal[i] - center * weight[i] if inside else 0.0
        count += inside
        norm += w
        norm_sq += w * w
        first += wd
        cross += w * wd
        square += wd * wd
    kept = float(count)
    shares = total(entries.share, entries, low, high) if entries.share.size else kept
    variance = total(entries.variance, entries, low, high)
    return Moments(kept, norm, norm_sq, first, cross, square, shares, variance)


@jit_sums
def total(
    values: FloatArray | npt.NDArray[np.float32], entries: Valid, low: float, high: float
) -> float:
    """Sum of the values of the entries with low <= x <= high."""
    signal, weight = entries.signal, entries.weight
    result = 0.0
    for i in range(values.size):
        inside = (low * weight[i] <= signal[i]) & (signal[i] <= high * weight[i])
        result += values[i] if inside else 0.0
    return result


@jit_sums
def inside_block(signal: FloatArray, weight: FloatArray, low: float, high: float) -> float:
    """How many of BLOCK entries have low <= x <= high."""
    inside = 0.0
    for i in range(BLOCK):
        here = (low * weight[i] <= signal[i]) & (signal[i] <= high * weight[i])
        inside += 1.0 if here else 0.0
    return inside


@jit
def remaining(
    now: Moments, entries: Valid, interval: Interval, before: Interval, center: float
) -> Moments:
    """Moments without the entries that are in the interval before, but not in the new one.

    These are few: blocks without any are passed over in vector lanes.
    """
    signal, weight, low, high = entries.signal, entries.weight, interval.low, interval.high
    blocks = signal.size - signal.size % BLOCK
    for begin in range(0, blocks, BLOCK):
        end = begin + BLOCK
        if inside_block(signal[begin:end], weight[begin:end], low, high) < BLOCK:
            now = without(now, entries, (begin, end), (interval, before), center)
    return without(now, entries, (blocks, signal.size), (interval, before), center)


@jit
def without(
    now: Moments,
    entries: Valid,
    some: tuple[int, int],
    intervals: tuple[Interval, Interval],
    center: float,
) -> Moments:
    """Moments without some entries first .. last - 1: those in the second interval only."""
    kept, norm, norm_sq, first, cross, square, shares, variance = now
    new, old = intervals
    for i in range(some[0], some[1]):
        s, w = entries.signal[i], entries.weight[i]
        stays = (new.low * w <= s) & (s <= new.high * w)
        if stays or s < old.low * w or s > old.high * w:
            continue
        wd = s - center * w
        kept -= 1.0
        norm -= w
        norm_sq -= w * w
        first -= wd
        cross -= w * wd
        square -= wd * wd
        shares -= entries.share[i] if entries.share.size else 1.0
        variance -= entries.variance[i] if entries.variance.size else 0.0
    return Moments(kept, norm, norm_sq, first, cross, square, shares, variance)


@jit
def about_mean(found: Moments) -> tuple[float, float]:
    """Mean - center, and the sum of w^2 (x - mean)^2.

    That is square - 2 shift cross + shift^2 norm_sq.
    """
    shift = found.first / found.norm if found.norm != 0.0 else 0.0
    square = found.square - 2.0 * shift * found.cross + shift * shift * found.norm_sq
    return shift, max(square, 0.0)


@jit
def lossy(now: Moments, whole: Moments) -> bool:
    """Whether differences have lost digits, of moments that were ``whole`` when last summed."""
    shift, square = about_mean(now)
    return (
        shift * shift * now.norm_sq > CANCELLED * square
        or whole.square > CANCELLED * now.square
        or whole.variance > CANCELLED * now.variance
        or whole.kept > 2.0 * now.kept
    )


@jit
def clip_ring(entries: Valid, errors: Errors, clip: Clip) -> tuple[Interval, float, Moments]:
    """Narrow the interval of what is kept until nothing more is outside.

    Discards |x - mean| > t std, with t = max(threshold, sqrt(2 ln(max(count, 3) / sqrt(2 pi)))),
    mean = sum s / sum w, and std^2 = sum w^2 (x - mean)^2 / sum w^2, or sum c^2 variance /
    sum w^2. What a ring keeps is an interval: that in which all iterations agree.

    Moments are about a center close to the mean, and as exact as those of two passes: they are
    summed again, about the mean, where a shift or what was taken away loses digits.

    Returns
    -------
    :
        The interval, the center and the moments of what is in it.
    """
    kept, center = Interval(-HUGE, HUGE), entries.signal[0] / entries.weight[0]
    now = whole = moments(entries, kept.low, kept.high, center)
    for iteration in range(clip.iterations + 1):
        if lossy(now, whole):
            center += about_mean(now)[0]
            now = whole = moments(entries, kept.low, kept.high, center)
        if now.kept == 0.0 or iteration == clip.iterations:
            break
        shift, square = about_mean(now)
        mean, chauvenet = center + shift, max(now.shares, 3.0) / math.sqrt(2.0 * math.pi)
        limit = max(clip.threshold, math.sqrt(2.0 * math.log(chauvenet)))
        limit *= math.sqrt((now.variance if errors.clip_own else square) / now.norm_sq)
        limit += ROUNDING * abs(mean)
        narrowed = Interval(max(kept.low, mean - limit), min(kept.high, mean + limit))
        before, now = now.kept, remaining(now, entries, narrowed, kept, center)
        kept = narrowed
        if now.kept == before:
            break
    return kept, center, now


@jit
def find_spots(entries: Valid, high: float, spots: npt.NDArray[np.uint32], spot_count: int) -> int:
    """Append the pixels of the entries with x > high; how many there are then."""
    signal, weight = entries.signal, entries.weight
    for begin in range(0, signal.size, BLOCK):
        end = min(begin + BLOCK, signal.size)
        if end - begin == BLOCK:
            inside = inside_block(signal[begin:end], weight[begin:end], -HUGE, high)
            if inside == BLOCK:
                continue
        for i in range(begin, end):
            if signal[i] > high * weight[i]:
                spots[spot_count] = entries.pixel[i]
                spot_count += 1
    return spot_count


@jit
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
        interval, center, kept = clip_ring(valid, errors, clip)
        shift, scatter = about_mean(kept)
        sums[ring, SIGNAL] = (center + shift) * kept.norm
        if errors.own or errors.scatter:
            sums[ring, VARIANCE] = kept.variance if errors.own else scatter
        sums[ring, NORM] = kept.norm
        sums[ring, NORM_SQ] = kept.norm_sq
        sums[ring, COUNT] = kept.shares
        numbers[ring, REJECTED] = size - round(kept.kept)
        if numbers[ring, REJECTED]:
            spot_count = find_spots(valid, interval.high, spots, spot_count)
    return spots[:spot_count].copy()
