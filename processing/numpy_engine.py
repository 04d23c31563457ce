"""The reference engine: plain NumPy, float64, one line a formula."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ringline.processing.bin_table import BinSums, Limits
from ringline.processing.table import Table
from ringline.processing.types import BoolArray, FloatArray, ImageArray


class NumpyKernels:
    """Sums over the pixels of frames: what every other engine must equal."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def block(
        self, raws: Sequence[ImageArray] | ImageArray, limits: Limits, *, variance: bool
    ) -> list[BinSums]:
        """Sums of share x raw of each frame and, if asked for, share squared x max(raw, 1).

        Parameters
        ----------
        raws:
            Frames, shape (frames, pixels), native.
        limits:
            Which values count.
        variance:
            Whether to sum the Poisson variance.
        """
        return [self._sums(raw, limits, variance=variance) for raw in raws]

    def _sums(self, raw: ImageArray, limits: Limits, *, variance: bool) -> BinSums:
        table = self._table
        values, counts = _admitted(raw, limits)
        signal, spread = np.zeros(table.bins), np.zeros(table.bins)
        for entry in table.entries():
            signal += table.binned(entry.bin, entry.share * values[entry.pixel])
            if variance:
                poisson = np.maximum(values, 1.0)[entry.pixel] * counts[entry.pixel]
                spread += table.binned(entry.bin, np.square(entry.share) * poisson)
        exceptions = np.flatnonzero(~counts & table.in_use).astype(np.uint32)
        return BinSums(signal, spread if variance else None, exceptions)

    def scatter(
        self, raw: ImageArray, exceptions: npt.NDArray[np.uint32], mean: FloatArray
    ) -> FloatArray:
        """Sums of (share x (raw - dark - norm x mean of the bin)) squared, shape (bins,)."""
        table = self._table
        signal = raw.astype(np.float64) if table.dark is None else raw - table.dark
        norm = table.norm.flatten()
        signal[exceptions] = norm[exceptions] = 0.0
        means = np.append(mean, np.zeros(table.shares.width + 1))
        spread = np.zeros(table.bins)
        for entry in table.entries():
            off = signal[entry.pixel] - norm[entry.pixel] * means[entry.bin]
            spread += table.binned(entry.bin, np.square(entry.share * off))
        return spread


def _admitted(raw: ImageArray, limits: Limits) -> tuple[FloatArray, BoolArray]:
    """Values, 0 where they do not count, and whether they do."""
    values = raw.astype(np.float64)
    with np.errstate(invalid="ignore"):
        counts = np.isfinite(values) & (values >= limits.low) & (values <= limits.high)
        counts &= ~((values >= limits.hole_low) & (values <= limits.hole_high))
    return np.where(counts, values, 0.0), counts
