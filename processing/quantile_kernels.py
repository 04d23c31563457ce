"""Compiled loops over rings: sums over a range of quantiles, such as the median.

The rule is that of pyFAI's ``medfilt`` (``CSR_common.pxi``, 2026.9): with the entries of a ring
sorted by x, entry j takes the weights from w_1 + ... + w_(j-1) to w_1 + ... + w_j. Kept are those
that lie within low W .. high W, where W is the weight of all; or, if none does, those that
overlap it. A ring is never sorted: each end is found by counting weights in buckets.

Entries of the same x have no order of their own. Those at an end are counted as if each had
their mean weight, so that the result does not depend on the order of pixels.
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
    load,
    room_for,
)
from ringline.processing.robust_kernels import CANCELLED
from ringline.processing.types import FloatArray, ImageArray, IntArray

SLACK = 1e-12
"""Part of a ring's weight that is rounding."""
FEW = 24
"""So many candidates for an end are sorted; more are counted in buckets."""
BUCKETS = 512


class Range(NamedTuple):
    """Between which quantiles entries are kept, 0 <= low <= high <= 1."""

    low: float
    high: float


class Ring(NamedTuple):
    """Entries of a ring, each of shape (n,)."""

    x: FloatArray
    weight: FloatArray
    share: npt.NDArray[np.float32]
    """Size 0: all are 1."""
    variance: FloatArray
    """Share squared x own variance; size 0 if not asked for."""


class Candidates(NamedTuple):
    """Room for finding an end, shape (longest ring,) but for ``sums``."""

    x: FloatArray
    weight: FloatArray
    bucket: npt.NDArray[np.int32]
    sums: FloatArray
    """Shape (BUCKETS,)."""


class Kept(NamedTuple):
    """Sums over a part of the entries of a ring, with d = x - center."""

    entries: float
    norm: float
    norm_sq: float
    first: float
    cross: float
    square: float
    shares: float
    variance: float


class Ends(NamedTuple):
    """Two values, all that lies between them, and how much there is up to each."""

    low: float
    high: float
    below_low: float
    """Weight of the entries below ``low``."""
    below_high: float


@jit
def candidates_for(size: int) -> Candidates:
    """Room for a ring of some size."""
    return Candidates(np.empty(size), np.empty(size), np.empty(size, np.int32), np.empty(BUCKETS))


@jit
def reached(ring: Ring, target: float, room: Candidates) -> float:
    """The smallest x such that the weight up to it, and of all equal to it, reaches the target.

    The largest x if none does.
    """
    x, weight, size, below = room.x, room.weight, ring.x.size, 0.0
    for i in range(size):
        x[i], weight[i] = ring.x[i], ring.weight[i]
    while True:
        low, high = x[0], x[0]
        for i in range(size):
            low = x[i] if x[i] < low else low
            high = x[i] if x[i] > high else high
        scale = 0.5 * BUCKETS / (0.5 * high - 0.5 * low)
        if low == high:
            return float(low)
        if size <= FEW or not math.isfinite(scale):
            return reached_in_order(x[:size], weight[:size], target - below)
        size, below = narrowed(room, size, (low, scale), (below, target))


@jit
def narrowed(
    room: Candidates, size: int, grid: tuple[float, float], weights: tuple[float, float]
) -> tuple[int, float]:
    """Keep the candidates of the bucket in which the target is reached.

    Parameters
    ----------
    grid:
        The smallest x, and buckets per x.
    weights:
        Weight below all candidates, and the target.

    Returns
    -------
    :
        How many are left, and the weight below them.
    """
    x, weight, bucket, sums = room
    low, scale = grid
    sums[:] = 0.0
    for i in range(size):
        bucket[i] = min(np.int32((x[i] - low) * scale), np.int32(BUCKETS - 1))
    for i in range(size):
        sums[bucket[i]] += weight[i]
    below, target = weights
    chosen = 0
    while chosen < BUCKETS - 1 and below + sums[chosen] < target:
        below += sums[chosen]
        chosen += 1
    # The smallest x is in the first bucket and the largest in the last: fewer are left.
    left = 0
    for i in range(size):
        x[left], weight[left] = x[i], weight[i]
        left += bucket[i] == chosen
    return left, below


@jit
def reached_in_order(x: FloatArray, weight: FloatArray, target: float) -> float:
    """``reached`` by sorting; disturbs the arrays."""
    for i in range(1, x.size):
        at, value, its_weight = i, x[i], weight[i]
        while at > 0 and x[at - 1] > value:
            x[at], weight[at] = x[at - 1], weight[at - 1]
            at -= 1
        x[at], weight[at] = value, its_weight
    sum_so_far = 0.0
    for i in range(x.size):
        sum_so_far += weight[i]
        if sum_so_far >= target:
            return float(x[i])
    return float(x[-1])


@jit_sums
def total(
    values: FloatArray | npt.NDArray[np.float32], x: FloatArray, low: float, high: float
) -> float:
    """Sum of the values of the entries with low <= x <= high."""
    result = 0.0
    for i in range(values.size):
        result += values[i] if (low <= x[i]) & (x[i] <= high) else 0.0
    return result


@jit_sums
def part(ring: Ring, low: float, high: float, center: float) -> Kept:
    """Sums over all entries with low <= x <= high."""
    x, weight = ring.x, ring.weight
    kept = 0
    norm = norm_sq = first = cross = square = 0.0
    for i in range(x.size):
        inside = (low <= x[i]) & (x[i] <= high)
        w = weight[i] if inside else 0.0
        wd = w * (x[i] - center)
        kept += inside
        norm += w
        norm_sq += w * w
        first += wd
        cross += w * wd
        square += wd * wd
    entries = float(kept)
    count = total(ring.share, x, low, high) if ring.share.size else entries
    variance = total(ring.variance, x, low, high)
    return Kept(entries, norm, norm_sq, first, cross, square, count, variance)


@jit
def ends_of(ring: Ring, targets: tuple[float, float], slack: float, room: Candidates) -> Ends:
    """Where the range of quantiles begins and ends.

    All entries below ``low`` end before the range and all above ``high`` begin after it.
    """
    low = reached(ring, targets[0] - slack, room)
    below = total(ring.weight, ring.x, -np.inf, np.nextafter(low, -np.inf))
    if total(ring.weight, ring.x, -np.inf, low) > targets[1] + slack:
        return Ends(low, low, below, below)
    high = reached(ring, targets[1] + 2.0 * slack, room)
    return Ends(low, high, below, total(ring.weight, ring.x, -np.inf, np.nextafter(high, -np.inf)))


@jit
def kept_of_equals(
    equals: Kept, below: float, targets: tuple[float, float], slack: float, inside: bool
) -> float:
    """How many entries of the same x are kept: of n, each with the n-th part of their weight.

    Parameters
    ----------
    below:
        Weight of all entries of smaller x.
    inside:
        Keep those that lie in the range of weights, rather than those that overlap it.
    """
    if equals.entries == 0.0 or equals.norm <= 0.0:
        return 0.0
    each = equals.norm / equals.entries
    low, high, slack = (targets[0] - below) / each, (targets[1] - below) / each, slack / each
    # Entry j, from 1, takes j - 1 .. j of low .. high.
    if inside:
        first, last = math.ceil(low - slack) + 1.0, math.floor(high + slack) * 1.0
    elif high - low > 2.0 * slack:
        first, last = math.floor(low + slack) + 1.0, math.ceil(high - slack)
    else:
        first, last = math.ceil(low - slack), math.floor(high + slack) + 1.0
    return max(min(last, equals.entries) - max(first, 1.0) + 1.0, 0.0)


@jit
def added(sums: Kept, more: Kept, fraction: float) -> Kept:
    """Sums and a fraction of more sums."""
    return Kept(
        sums.entries + fraction * more.entries,
        sums.norm + fraction * more.norm,
        sums.norm_sq + fraction * more.norm_sq,
        sums.first + fraction * more.first,
        sums.cross + fraction * more.cross,
        sums.square + fraction * more.square,
        sums.shares + fraction * more.shares,
        sums.variance + fraction * more.variance,
    )


@jit
def kept_of_ring(
    ring: Ring, ends: Ends, targets: tuple[float, float], slack: float, center: float
) -> Kept:
    """Sums over what is kept of a ring, of deviations from center."""
    at_low, at_high = (
        part(ring, ends.low, ends.low, center),
        part(ring, ends.high, ends.high, center),
    )
    inner = part(ring, np.nextafter(ends.low, np.inf), np.nextafter(ends.high, -np.inf), center)
    result = inner
    for inside in (True, False):
        lower = kept_of_equals(at_low, ends.below_low, targets, slack, inside)
        result = added(inner, at_low, lower / at_low.entries)
        if ends.high > ends.low:
            upper = kept_of_equals(at_high, ends.below_high, targets, slack, inside)
            result = added(result, at_high, upper / at_high.entries)
        if result.entries > 0.0:
            break
    return result


@jit
def kept_spread(ring: Ring, between: Range, room: Candidates) -> tuple[Kept, float, float]:
    """Sums over what is kept of a ring, its mean, and the sum of w^2 (x - mean)^2."""
    weight = total(ring.weight, ring.x, -np.inf, np.inf)
    targets, slack = (between.low * weight, between.high * weight), SLACK * weight
    ends = ends_of(ring, targets, slack, room)
    mean, square = ends.low, 0.0
    kept = kept_of_ring(ring, ends, targets, slack, mean)
    for attempt in range(2):
        shift = kept.first / kept.norm
        shifted = shift * shift * kept.norm_sq
        square = kept.square - 2.0 * shift * kept.cross + shifted
        mean += shift
        if attempt or shifted <= CANCELLED * square:
            break
        kept = kept_of_ring(ring, ends, targets, slack, mean)
    return kept, mean, max(square, 0.0)


@jit
def quantile_range(
    entries: Entries,
    bounds: Bounds,
    errors: Errors,
    between: Range,
    raw: ImageArray,
    rings: tuple[int, int],
    sums: FloatArray,
    numbers: IntArray,
) -> None:
    """Sums over a range of quantiles of the rings first .. last - 1.

    Parameters
    ----------
    raw:
        The frame, shape (pixels,).
    sums, numbers:
        Filled, shape (rings, 5) and (rings, 2).
    """
    gathered = room_for(entries, rings, errors)
    room, values = candidates_for(gathered.signal.size), np.empty(gathered.signal.size)
    for ring in range(*rings):
        valid = load(entries, bounds, errors, raw, ring, gathered)
        size = valid.signal.size
        sums[ring] = 0.0
        numbers[ring, INVALID] = entries.start[ring + 1] - entries.start[ring] - size
        numbers[ring, REJECTED] = 0
        if size == 0:
            continue
        x = values[:size]
        for i in range(size):
            x[i] = valid.signal[i] / valid.weight[i]
        members = Ring(x, valid.weight, valid.share, valid.variance)
        kept, mean, square = kept_spread(members, between, room)
        sums[ring, SIGNAL] = mean * kept.norm
        sums[ring, VARIANCE] = square if errors.scatter else kept.variance
        sums[ring, NORM] = kept.norm
        sums[ring, NORM_SQ] = kept.norm_sq
        sums[ring, COUNT] = kept.shares
        numbers[ring, REJECTED] = size - round(kept.entries)
