"""The engine for CPUs: compiled sums on all threads, the same bits on any number of them."""

import numpy as np
import numpy.typing as npt

from ringline.processing.bin_table import MANY_BINS, RUNS, BinSums, Limits
from ringline.processing.block_sums import block_sums
from ringline.processing.scatter_kernels import scatter_extras, scatter_runs
from ringline.processing.table import NO_RUNS, Table
from ringline.processing.types import FloatArray, ImageArray
from ringline.processing.worker_threads import in_parallel


class NumbaKernels:
    """Sums over the pixels of frames, compiled for the CPU."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def block(self, raws: ImageArray, limits: Limits, *, variance: bool) -> list[BinSums]:
        """Sums of share x raw of frames (frames, pixels), and share squared x max(raw, 1)."""
        return block_sums(self._table.shares, raws, limits, poisson=variance)

    def scatter(
        self, raw: ImageArray, exceptions: npt.NDArray[np.uint32], mean: FloatArray
    ) -> FloatArray:
        """Sums of (share x (raw - dark - norm x mean of the bin)) squared, shape (bins,)."""
        table, shares = self._table, self._table.shares
        lost = np.zeros(raw.size if exceptions.size else 0, np.bool_)
        lost[exceptions] = True
        values = (table.norm.ravel(), np.empty(0) if table.dark is None else table.dark)
        padded = np.concatenate([mean, np.zeros(1 + RUNS[-1])])
        runs = NO_RUNS if shares.coefficients is None else shares.coefficients
        # Fixed by the table alone: the same bits on any number of threads.
        parts = 8 if table.bins <= MANY_BINS else 2
        sums = np.zeros((parts, padded.size))

        def part(number: int) -> None:
            span = (raw.size * number // parts, raw.size * (number + 1) // parts)
            scatter_runs(
                raw, lost, shares.first, runs, 1.0 / shares.scale, values, padded, span,
                sums[number],
            )  # fmt: skip

        in_parallel(part, parts)
        total = np.asarray(sums.sum(axis=0))
        extra = (shares.extra_pixel, shares.extra_bin, shares.extra_coefficient)
        scatter_extras(raw, lost, *extra, values, padded, total)
        return total[: table.bins]
