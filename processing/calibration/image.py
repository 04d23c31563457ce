"""The image of a calibration: counts, and which pixels can be used."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ringline.processing.calibration.pixel_kernels import mark_isolated
from ringline.processing.calibration.task import CalibrationTask
from ringline.processing.types import BoolArray, FloatArray, ImageArray
from ringline.processing.worker_threads import in_parallel

Counts = npt.NDArray[np.float32]


@dataclass(frozen=True)
class CalibrationImage:
    """Counts less the dark, and what is known of each pixel; arrays of shape (slow, fast)."""

    counts: Counts
    there: BoolArray
    """Pixels outside gaps and masks which hold a number."""
    full: BoolArray
    """Saturated ones among these."""
    isolated: BoolArray
    """Hot and dead ones among these."""

    @cached_property
    def usable(self) -> BoolArray:
        """Pixels that measure."""
        return self.there & ~self.full & ~self.isolated

    @property
    def saturated_part(self) -> float:
        """Saturated pixels among those that are there."""
        return float(self.full.sum() / max(1, self.there.sum()))


def calibration_image(image: ImageArray, task: CalibrationTask) -> CalibrationImage:
    """What of an image can be used for a calibration.

    Negative counts, and the largest value of an unsigned type of four bytes, are what makers write
    where no pixel measures; that of smaller types counts as saturated outside the known gaps.

    Parameters
    ----------
    image:
        Shape (slow, fast), as the detector wrote it.
    task:
        Of that shape.
    """
    counts = np.ascontiguousarray(image, dtype=np.float32)
    there = np.isfinite(counts) & (counts >= 0 if image.dtype.kind in "iu" else True)
    if image.dtype.kind == "u" and image.dtype.itemsize >= 4:
        # No detector counts as far: it says that there is no pixel. 65535 may be either.
        there &= image < np.iinfo(image.dtype.str).max
    built_in = task.detector.built_in_mask()
    if built_in is not None:
        there &= ~built_in
    if task.mask is not None:
        there &= task.mask.values == 0
    full = there & _saturated(image, there, task.saturation)
    if task.dark is not None:
        counts = counts - task.dark.values.astype(np.float32)
    counts = np.where(there, counts, np.float32(0))
    measured = there & ~full
    counted = image.dtype.kind in "iu" and task.dark is None
    isolated = _isolated(counts, measured, _LONE if counted else 0.0)
    return CalibrationImage(counts, there, full, isolated)


def _isolated(counts: Counts, measured: BoolArray, least: float) -> BoolArray:
    """Hot and dead pixels, noise being ``least`` at least."""
    marked = np.zeros_like(measured)
    levels, noise = _noise(counts, measured)
    noise = np.maximum(noise, least)
    rows = len(counts)

    def mark(part: int) -> None:
        span = np.array([part * _BAND, min((part + 1) * _BAND, rows)])
        mark_isolated(counts, measured, levels, noise, span, marked)

    in_parallel(mark, -(-rows // _BAND))
    return marked


_LONE = 0.75
"""Noise of counted photons where there are hardly any: a few in one pixel are no fault."""
_EVERY = 6
"""Rows, of which one is looked at for the noise."""
_BAND = 64
"""Rows that a thread looks at."""
_CLASSES = 24
"""Of equally many pixels, by level, in which noise is looked at."""


def _noise(counts: Counts, measured: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Levels of counts, ascending, and the standard deviation of counts at each.

    From the differences between pixels and their neighbours two rows away, whatever the
    detector's gain, offset and readout noise.
    """
    one, other = counts[:-2:_EVERY], counts[2::_EVERY]
    one = one[: len(other)]
    both = measured[:-2:_EVERY][: len(other)] & measured[2::_EVERY]
    level, off = 0.5 * (one[both] + other[both]), np.abs(one[both] - other[both])
    if level.size < 10 * _CLASSES:
        return np.array([0.0, 1.0]), np.array([1.0, 1.0])
    order = np.argsort(level, kind="stable")
    parts = [part for part in np.array_split(order, _CLASSES) if part.size]
    levels = np.array([float(np.mean(level[part])) for part in parts])
    # Of small counts the median may be 0: the 0.84 quantile of |x| is 1.405 sigma.
    noise = [float(np.quantile(off[part], 0.84)) / (1.405 * 2**0.5) for part in parts]
    keep = np.append(True, np.diff(levels) > 0)
    return levels[keep], np.array(noise)[keep]


_PLATEAU = 1e-4
"""Part of all pixels that hold the very largest count where it is the end of a scale."""


def _saturated(image: ImageArray, there: BoolArray, level: float | None) -> BoolArray:
    """Pixels at or above ``level``; without one, at the end of the type, or on a plateau."""
    if level is not None:
        return np.asarray(image >= level)
    if image.dtype.kind in "iu":
        ends = np.asarray(image >= np.iinfo(image.dtype.str).max)
        below = image[there & ~ends]
    else:
        ends, below = np.zeros(image.shape, dtype=bool), image[there]
    if below.size:
        # The largest count is a rare one, unless counts beyond it were cut.
        top = below.max()
        alike = int((below == top).sum())
        if top > 100 and alike > max(20, _PLATEAU * below.size):
            ends = ends | np.asarray(image == top)
    return ends
