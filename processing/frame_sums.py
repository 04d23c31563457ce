"""Sums of one frame by the compiled kernels, on all threads."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringline.processing.bin_table import BinSums, BinTable, Limits
from ringline.processing.numba_kernels import (
    SEGMENTS,
    join_counted,
    join_groups,
    split_group,
    split_group_by_bin,
    whole_group,
)
from ringline.processing.recycled_memory import RecycledMemory
from ringline.processing.types import ImageArray
from ringline.processing.worker_threads import in_parallel

ACCUMULATOR = {"u": np.uint64, "i": np.int64, "f": np.float64}
"""In what whole raw values are summed, by the kind of their dtype."""

_BINS_PART = 1 << 15
"""Bins whose groups are joined by one thread."""
_MEMORY = RecycledMemory()


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
    job = _Job(table, raw, (limits or Limits()).of_dtype(raw.dtype), poisson)
    spans = group_spans(raw.size, table.groups)
    groups = job.room(len(spans))
    found = np.empty(raw.size if job.bounds else 0, np.uint32)
    counts = np.zeros((len(spans), SEGMENTS), np.int64)
    signal = np.empty(table.bins)
    variance = np.empty(table.bins) if poisson else None
    parts = -(-table.bins // _BINS_PART)

    def sum_group(group: int) -> None:
        job.sum_group(spans[group], groups[group], (found, counts[group], table.bins))

    def join(part: int) -> None:
        span = (part * _BINS_PART, min((part + 1) * _BINS_PART, table.bins))
        if job.step:
            join_counted(groups, job.step.bit_length() - 1, span, signal, variance)
        else:
            by_plane = groups.transpose(0, 2, 1) if job.side_by_side else groups
            join_groups(by_plane, table.scale, span, signal, variance)

    in_parallel(sum_group, len(spans))
    in_parallel(join, parts)
    return BinSums(signal, variance, _joined(found, counts, spans))


@dataclass(frozen=True, slots=True)
class _Job:
    """What the kernels are given for one frame."""

    table: BinTable
    raw: ImageArray
    bounds: tuple[Any, Any, Any, Any] | None
    poisson: bool

    @property
    def split(self) -> bool:
        return self.table.coefficients is not None

    @property
    def side_by_side(self) -> bool:
        """Whether signal and variance of a bin are neighbours."""
        return self.split and self.table.by_bin

    @property
    def step(self) -> int:
        """See :meth:`BinTable.zero_step`."""
        return self.table.zero_step(self.raw.dtype) if self.poisson else 0

    def room(self, groups: int) -> NDArray[Any]:
        """Anything, for the groups' sums: by plane, or by bin in cakes with splitting."""
        planes, bins = 2 if self.poisson and not self.step else 1, self.table.bins + 1
        if not self.split:
            kind = np.dtype(ACCUMULATOR[self.raw.dtype.kind])
            return _MEMORY.array((groups, planes, bins), kind)
        shape = (bins + self.table.width, planes) if self.side_by_side else (planes, bins)
        return _MEMORY.array((groups, *shape), np.dtype(np.float64))

    def sum_group(self, span: tuple[int, int], sums: NDArray[Any], noted: Any) -> None:
        """Write the sums of the pixels span[0] .. span[1] - 1."""
        table, second = self.table, True if self.poisson and not self.step else None
        cut = (*span, 0 if table.by_bin else table.bins + 1)
        if self.split:
            whole = (table.shares, table.extra, table.scale)
            kernel = split_group_by_bin if table.by_bin else split_group
            kernel(self.raw, table.first, self.bounds, *whole, cut, sums, second, noted)
        else:
            zero = sums.dtype.type(self.step)
            whole_group(self.raw, table.first, self.bounds, cut, sums, zero, second, noted)


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
