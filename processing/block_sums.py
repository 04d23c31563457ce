"""Sums of many frames by the compiled kernels, on all threads."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringline.processing.bin_table import BinSums, BinTable, Limits
from ringline.processing.block_kernels import MOST_PER_BIN, split_block, whole_block
from ringline.processing.frame_sums import added, frame_sums, group_spans
from ringline.processing.numba_kernels import find_exceptions
from ringline.processing.types import ImageArray
from ringline.processing.vector_ir import LANES
from ringline.processing.worker_threads import in_parallel, threads

FEW = 4
"""Frames that are summed faster one by one than together with stand-ins for missing ones."""


def block_sums(
    table: BinTable, block: ImageArray, limits: Limits | None = None, *, poisson: bool
) -> list[BinSums]:
    """Sums of each frame of a block: the same bits as those of the frame alone.

    Parameters
    ----------
    table:
        The recipe's bins.
    block:
        Shape (frames, pixels), as :func:`~ringline.processing.bin_table.kernel_input` returns
        it.
    limits:
        Which values count; None: all but, for floats, infinities and NaN.
    poisson:
        Also the variance.
    """
    found: list[BinSums] = []
    bounds = (limits or Limits()).of_dtype(block.dtype)
    # Sums of sixteen frames of a cake do not fit the cache.
    together = not table.by_bin
    while together and len(block) - len(found) > FEW:
        frames = range(len(found), min(len(found) + LANES, len(block)))
        found += _sums_together(_Job(table, block, bounds, frames, poisson))
    rest: list[BinSums | None] = [None] * (len(block) - len(found))

    def sum_frame(k: int) -> None:
        rest[k] = frame_sums(table, block[len(found) + k], limits, poisson=poisson)

    in_parallel(sum_frame, len(rest))
    return found + [sums for sums in rest if sums is not None]


@dataclass(frozen=True, slots=True)
class _Job:
    """What the kernels are given for up to sixteen frames."""

    table: BinTable
    block: ImageArray
    bounds: tuple[Any, Any, Any, Any] | None
    frames: range
    poisson: bool

    @property
    def rows(self) -> NDArray[np.int64]:
        """Where each lane's frame begins; the last frame stands in for missing ones."""
        numbers = np.arange(self.frames.start, self.frames.start + LANES, dtype=np.int64)
        return np.minimum(numbers, self.frames.stop - 1) * np.int64(self.block.shape[1])

    @property
    def simple(self) -> bool | None:
        """True if only the first two bounds matter."""
        return True if self.bounds and self.bounds[2] > self.bounds[3] else None


def _sums_together(job: _Job) -> list[BinSums]:
    table, pixels = job.table, job.block.shape[1]
    # Shares, signed and float values are summed as float64.
    split = table.coefficients is not None or job.block.dtype.kind != "u"
    # Whole numbers have the same sum however they are cut.
    spans = group_spans(pixels, table.groups if split else min(2 * threads(), 1 + pixels // 4096))
    planes = 2 if job.poisson else 1
    kind = np.float64 if split else np.uint64
    totals = [np.zeros((planes, table.bins + 1, LANES), kind) for _ in spans]
    rejected = np.zeros((len(spans), LANES), np.int64)

    def sum_group(group: int) -> None:
        task = _split_group if split else _whole_group
        task(job, spans[group], totals[group], rejected[group])

    in_parallel(sum_group, len(spans))
    total = np.ascontiguousarray(added(totals)[:, : table.bins].transpose(2, 0, 1))
    found: list[BinSums | None] = [None] * len(job.frames)

    def finish(lane: int) -> None:
        raw = job.block[job.frames[lane]]
        exceptions = [
            _exceptions(job, raw, span, count)
            for span, count in zip(spans, rejected[:, lane].tolist(), strict=True)
        ]
        found[lane] = _finished(job, total[lane], np.concatenate(exceptions))

    if rejected.any():
        in_parallel(finish, len(job.frames))
    else:
        for lane in range(len(job.frames)):
            finish(lane)
    return [sums for sums in found if sums is not None]


def _exceptions(
    job: _Job, raw: ImageArray, span: tuple[int, int], count: int
) -> NDArray[np.uint32]:
    """The ``count`` pixels of a span that do not count."""
    numbers = np.empty(count, np.uint32)
    if count:
        find_exceptions(raw, job.table.first, job.bounds, (*span, job.table.bins), numbers)
    return numbers


def _whole_group(
    job: _Job, span: tuple[int, int], total: NDArray[Any], rejected: NDArray[np.int64]
) -> None:
    table, block = job.table, job.block
    size = (table.bins + 1) * LANES
    sums = _aligned(size, np.dtype(np.uint64 if block.dtype.itemsize == 4 else np.uint32))
    counted = _aligned(size, np.dtype(np.uint16)) if job.poisson else None
    step = MOST_PER_BIN if table.fullest > MOST_PER_BIN else max(block.shape[1], 1)
    common = (block.reshape(-1), job.rows, table.first, job.bounds, job.simple)
    whole_block(*common, (*span, step), sums, counted, total, (table.bins, rejected))


def _split_group(
    job: _Job, span: tuple[int, int], total: NDArray[Any], rejected: NDArray[np.int64]
) -> None:
    table = job.table
    shares = table.shares or table.whole_shares
    size = (table.bins + 1) * total.shape[0] * len(shares[1]) * LANES
    sums = _aligned(size, np.dtype(np.float64))
    second = sums if job.poisson else None
    extra = (*table.extra, table.scale)
    common = (job.block.reshape(-1), job.rows, table.first, job.bounds, job.simple)
    split_block(*common, shares, extra, span, sums, second, total, (table.bins, rejected))


def _finished(job: _Job, total: NDArray[Any], exceptions: NDArray[np.uint32]) -> BinSums:
    table = job.table
    if total.dtype == np.float64:
        variance = total[1] / table.scale**2 if job.poisson else None
        return BinSums(total[0] / table.scale, variance, exceptions)
    signal = total[0].astype(np.float64)
    if not job.poisson:
        return BinSums(signal, None, exceptions)
    pixels = table.pixels_of_bins
    if exceptions.size:
        without = np.bincount(table.first[exceptions], minlength=table.bins)
        pixels = pixels - without.astype(np.uint64)
    return BinSums(signal, (total[0] + (pixels - total[1])).astype(np.float64), exceptions)


def _aligned(size: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Zeros at the start of a cache line: vectors must not lie across two."""
    room = np.zeros(size * dtype.itemsize + 64, np.uint8)
    start = -room.ctypes.data % 64
    return room[start : start + size * dtype.itemsize].view(dtype)
