"""Sums of one frame by the compiled kernels, on all threads."""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringline.processing.bin_table import MANY_BINS, BinSums, BinTable, Limits
from ringline.processing.numba_kernels import (
    SEGMENTS,
    join_planes,
    split_cake_group,
    split_group,
    whole_group,
)
from ringline.processing.recycled_memory import RecycledMemory
from ringline.processing.types import ImageArray
from ringline.processing.worker_threads import in_parallel

ACCUMULATOR = {"u": np.uint64, "i": np.int64, "f": np.float64}
"""In what whole raw values are summed, by the kind of their dtype."""

_PARTS = 8
"""Into which the bins of a cake are cut, to join the groups' sums."""
_MEMORY = RecycledMemory()
_FLOAT = np.dtype(np.float64)


def frame_sums(
    table: BinTable, raw: ImageArray, limits: Limits | None = None, *, poisson: bool
) -> BinSums:
    """Sums of one frame. Thread-safe; the same bits on any number of threads.

    Parameters
    ----------
    table:
        The recipe's bins.
    raw:
        Shape (pixels,), as :func:`~ringline.processing.bin_table.kernel_input` returns it.
    limits:
        Which values count; None: all but, for floats, infinities and NaN.
    poisson:
        Also the variance.
    """
    if table.coefficients is not None and table.bins > MANY_BINS:
        return _split_cake_sums(table, raw, limits or Limits(), poisson=poisson)
    step = table.zero_step(raw.dtype) if poisson else 0
    planes = 2 if poisson and not step else 1
    bounds = (limits or Limits()).of_dtype(raw.dtype)
    split = table.coefficients is not None
    kind: Any = np.float64 if split else ACCUMULATOR[raw.dtype.kind]
    spans = group_spans(raw.size, table.groups)
    totals = [np.zeros((planes, table.bins + 1), kind) for _ in spans]
    found = np.empty(raw.size if bounds else 0, np.uint32)
    counts = np.zeros((len(spans), SEGMENTS), np.int64)
    second = True if planes == 2 else None

    def sum_group(group: int) -> None:
        span = (*spans[group], table.bins + 1 if table.bins <= MANY_BINS else 0)
        total, noted = totals[group], (found, counts[group], table.bins)
        if split:
            whole = (table.shares, table.extra, table.scale)
            split_group(raw, table.first, bounds, *whole, span, total, second, noted)
        else:
            whole_group(raw, table.first, bounds, span, total, kind(step), second, noted)

    in_parallel(sum_group, len(spans))
    return _finished(table, added(totals), step, _joined(found, counts, spans))


def _split_cake_sums(table: BinTable, raw: ImageArray, limits: Limits, *, poisson: bool) -> BinSums:
    bounds, planes = limits.of_dtype(raw.dtype), 2 if poisson else 1
    spans = group_spans(raw.size, table.groups)
    groups = _MEMORY.array((len(spans), table.bins + 1 + table.width, planes), _FLOAT)
    found = np.empty(raw.size if bounds else 0, np.uint32)
    counts = np.zeros((len(spans), SEGMENTS), np.int64)

    def sum_group(group: int) -> None:
        whole = (table.shares, table.extra, table.scale)
        noted = (found, counts[group], table.bins)
        second = True if poisson else None
        span = (*spans[group], 0)
        split_cake_group(raw, table.first, bounds, *whole, span, groups[group], second, noted)

    signal = np.empty(table.bins)
    variance = np.empty(table.bins) if poisson else None

    def join(part: int) -> None:
        span = (table.bins * part // _PARTS, table.bins * (part + 1) // _PARTS)
        join_planes(groups, table.scale, span, signal, variance)

    in_parallel(sum_group, len(spans))
    in_parallel(join, _PARTS)
    return BinSums(signal, variance, _joined(found, counts, spans))


def group_spans(pixels: int, groups: int) -> list[tuple[int, int]]:
    """First pixel and one past the last of each group."""
    cuts = [pixels * group // groups for group in range(groups + 1)]
    return list(pairwise(cuts))


def added(totals: list[NDArray[Any]]) -> NDArray[Any]:
    """The groups' sums, always in the same order."""
    first, *others = totals
    for other in others:
        first += other
    return first


def _finished(
    table: BinTable, total: NDArray[Any], step: int, exceptions: NDArray[np.uint32]
) -> BinSums:
    signal = total[0, : table.bins]
    if step:
        zeros = signal >> np.uint64(step.bit_length() - 1)
        signal &= np.uint64(step - 1)
        return BinSums(signal.astype(np.float64), (signal + zeros).astype(np.float64), exceptions)
    variance = total[1, : table.bins] if len(total) > 1 else None
    return BinSums(
        signal / table.scale, None if variance is None else variance / table.scale**2, exceptions
    )


def _joined(
    found: NDArray[np.uint32], counts: NDArray[np.int64], spans: list[tuple[int, int]]
) -> NDArray[np.uint32]:
    """The exceptions of all segments, ascending."""
    if not counts.any():
        return np.empty(0, np.uint32)
    parts = []
    for (start, stop), segments in zip(spans, counts, strict=True):
        length = (stop - start) // SEGMENTS
        parts += [
            found[start + way * length :][:count] for way, count in enumerate(segments.tolist())
        ]
    return np.concatenate(parts)
