"""Mean, median and sigma-clipped mean of each pixel over frames."""

from dataclasses import dataclass

import numpy as np

from ringline.processing.types import BoolArray, FloatArray, ImageArray, IntArray

MAD_TO_SIGMA = 1.482602218505602
"""Standard deviation of a normal distribution over its median absolute deviation."""
_SLICE = 1 << 15


@dataclass(frozen=True, slots=True)
class Limits:
    """Which values count: finite ones from ``minimum`` up to, not including, ``saturation``."""

    minimum: float
    saturation: float

    def usable(self, values: ImageArray) -> BoolArray:
        """True where a value counts."""
        inside: BoolArray = values < self.saturation
        if self.minimum > -np.inf:
            inside &= values >= self.minimum
        elif values.dtype.kind == "f":
            inside &= values > -np.inf
        return inside


@dataclass(frozen=True, slots=True)
class Statistics:
    """Result for each pixel, shape (pixels,); NaN where it has no value."""

    data: FloatArray
    variance: FloatArray
    """Of ``data``; NaN where one value alone was used."""
    count: IntArray
    """Values used."""


class RunningMean:
    """Mean and variance of frames that are seen once. Holds 28 bytes for each pixel."""

    def __init__(self, first: ImageArray, limits: Limits) -> None:
        self._limits = limits
        # Sums are of differences from the first frame, which keeps digits where values are
        # large and differ little; of integers they stay exact, whatever the frames' order.
        values = first.ravel()
        self._shift = np.where(limits.usable(values), values, 0).astype(np.float64)
        self._sum = np.zeros(first.size)
        self._squares = np.zeros(first.size)
        self.valid = np.zeros(first.size, dtype=np.uint32)

    def add(self, image: ImageArray) -> None:
        """Take one more frame into account."""
        flat = image.ravel()
        for start in range(0, flat.size, _SLICE):  # in slices that stay in the cache
            part = slice(start, start + _SLICE)
            usable = self._limits.usable(flat[part])
            difference = flat[part] - self._shift[part]
            if not usable.all():
                difference[~usable] = 0
            self._sum[part] += difference
            self.valid[part] += usable
            difference *= difference
            self._squares[part] += difference

    def statistics(self, start: int, stop: int) -> Statistics:
        """The result of pixels start .. stop - 1."""
        part = slice(start, stop)
        count, total = self.valid[part].astype(np.int64), self._sum[part]
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = (count * self._shift[part] + total) / count
        return Statistics(mean, _variance(total, self._squares[part], count) / count, count)


def usable_rows(
    values: ImageArray, limits: Limits
) -> tuple[IntArray, list[tuple[IntArray, FloatArray]]]:
    """The values that count, sorted, in groups of pixels that have equally many.

    Parameters
    ----------
    values:
        Shape (frames, pixels).

    Returns
    -------
    :
        How many values of each pixel count, shape (pixels,); and for each group its pixels'
        indices, shape (group,), and values in rising order, shape (group, values).
    """
    rows = np.array(values.T, order="C", copy=True)
    rows.sort(axis=1)
    usable = limits.usable(rows)
    valid = np.count_nonzero(usable, axis=1)
    first = usable.argmax(axis=1)  # what counts lies together in a sorted row; NaN is last
    groups = []
    for count in np.unique(valid[valid > 0]):
        pixels = np.flatnonzero(valid == count)
        if count == rows.shape[1]:
            chosen = rows[pixels]
        else:
            columns = first[pixels, None] + np.arange(count)
            chosen = np.take_along_axis(rows[pixels], columns, axis=1)
        groups.append((pixels, chosen.astype(np.float64)))
    return valid, groups


def median(rows: FloatArray) -> Statistics:
    r"""Median of each row, with its asymptotic variance.

    .. math:: \mathrm{var} = \frac{\pi}{2} \frac{s^2}{n}

    with :math:`s` from the median absolute deviation, or the sample's standard deviation where
    more than half of the values are equal.

    Parameters
    ----------
    rows:
        Values in rising order, shape (pixels, values).
    """
    size = rows.shape[1]
    center = _middle(rows, np.zeros(len(rows), dtype=np.int64), np.full(len(rows), size))
    scale = _robust_scale(rows - center[:, None], 0.0)
    return Statistics(center, 0.5 * np.pi * scale**2 / size, np.full(len(rows), size))


def clipped_mean(
    rows: FloatArray, *, threshold: float, iterations: int, floor: float
) -> Statistics:
    """Mean of the values that are no outliers, with its variance.

    The first round rejects what is further than ``threshold`` standard deviations from the
    median, the standard deviation being taken from the median absolute deviation, which a few
    outliers among few frames do not move. Each further round judges all values again, with the
    median and the standard deviation of those that the last one kept, until nothing changes.

    Parameters
    ----------
    rows:
        Values in rising order, shape (pixels, values).
    threshold:
        In standard deviations, at least 1.
    iterations:
        Rounds at most.
    floor:
        No standard deviation is taken to be smaller than this, in the values' unit.
    """
    center = _middle(rows, np.zeros(len(rows), dtype=np.int64), np.full(len(rows), rows.shape[1]))
    rows = rows - center[:, None]
    scale = np.fmax(_robust_scale(rows, floor), floor)  # that of a single value is NaN
    low, high = _within(rows, np.zeros(len(rows)), threshold * scale)
    moving, values = np.arange(len(rows)), rows
    for _ in range(iterations - 1):
        before = low[moving], high[moving]
        total, squares = _sums(values, *before)
        sigma = np.sqrt(_variance(total, squares, before[1] - before[0]))
        after = _within(values, _middle(values, *before), threshold * np.fmax(sigma, floor))
        changed = (after[1] > after[0]) & ((after[0] != before[0]) | (after[1] != before[1]))
        if not changed.any():
            break
        moving, values = moving[changed], values[changed]
        low[moving], high[moving] = after[0][changed], after[1][changed]
    total, squares = _sums(rows, low, high)
    count = high - low
    return Statistics(center + total / count, _variance(total, squares, count) / count, count)


def _within(rows: FloatArray, center: FloatArray, reach: FloatArray) -> tuple[IntArray, IntArray]:
    """Bounds [low, high) of each sorted row's values that are within reach of the center."""
    low = np.count_nonzero(rows < (center - reach)[:, None], axis=1)
    return low, np.count_nonzero(rows <= (center + reach)[:, None], axis=1)


def _middle(rows: FloatArray, low: IntArray, high: IntArray) -> FloatArray:
    """Median of the values low .. high - 1 of each sorted row."""
    index, last = np.arange(len(rows)), low + high - 1
    middle: FloatArray = 0.5 * (rows[index, last // 2] + rows[index, (last + 1) // 2])
    return middle


def _sums(rows: FloatArray, low: IntArray, high: IntArray) -> tuple[FloatArray, FloatArray]:
    """Sum, and sum of squares, of the values low .. high - 1 of each row."""
    edges = np.column_stack((low, high)) + rows.shape[1] * np.arange(len(rows))[:, None]
    flat = np.append(rows, 0.0)  # one more value: reduceat takes no edge behind the end
    total = np.add.reduceat(flat, edges.ravel())[::2]
    flat *= flat
    return total, np.add.reduceat(flat, edges.ravel())[::2]


def _variance(total: FloatArray, squares: FloatArray, count: IntArray) -> FloatArray:
    """Sample variance, from sums of values that lie about 0; NaN of fewer than two."""
    with np.errstate(invalid="ignore", divide="ignore"):
        excess = np.maximum(squares - total**2 / count, 0.0)
        return np.where(count > 1, excess / (count - 1), np.nan)


def _robust_scale(rows: FloatArray, floor: float) -> FloatArray:
    """Standard deviation from the median absolute deviation of rows that lie about their median.

    At least ``floor``. That of the sample where both are 0, as more than half of the values are
    equal; NaN of a single value where the floor is 0.
    """
    count = np.full(len(rows), rows.shape[1])
    scale = np.maximum(MAD_TO_SIGMA * _median_absolute_deviation(rows), floor)
    equal = np.flatnonzero(scale == 0)
    if equal.size:
        total, squares = _sums(rows[equal], np.zeros_like(equal), count[equal])
        scale[equal] = np.sqrt(_variance(total, squares, count[equal]))
    return scale


def _median_absolute_deviation(rows: FloatArray) -> FloatArray:
    """Median of the distances from 0 in each sorted row."""
    size = rows.shape[1]

    def nearest(number: int) -> FloatArray:
        # The values nearest to 0 lie side by side in a sorted row, the furthest at an end.
        furthest = np.maximum(-rows[:, : size - number + 1], rows[:, number - 1 :])
        return np.asarray(furthest.min(axis=1))

    if size % 2:
        return nearest(size // 2 + 1)
    middle: FloatArray = 0.5 * (nearest(size // 2) + nearest(size // 2 + 1))
    return middle
