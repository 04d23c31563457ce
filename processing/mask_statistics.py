"""What frames say of each pixel, for masks: sums that bright moments do not spoil."""

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from ringline.processing.averaging import Progress, frames_of
from ringline.processing.errors import FrameError
from ringline.processing.frame_stack import FrameStack
from ringline.processing.frames import FrameSource
from ringline.processing.mask_settings import MaskSettings
from ringline.processing.pixel_statistics import usable_rows
from ringline.processing.types import BoolArray, FloatArray, ImageArray, IntArray

_AT_ONCE = 1 << 18
_BYTES_PER_VALUE = 64


@dataclass(frozen=True, slots=True, eq=False)
class FrameStatistics:
    """Counts of each pixel over frames, in photons, each of shape (slow, fast).

    The lasting values of a pixel are all but the largest few, as ``MaskSettings.transient`` says.
    The sum of the smallest m of n independent values is not larger than that of the first m: where
    photons are counted, chance makes it exceed a bound no more often than a Poisson number with
    m times the mean. The same is true of the squares about the mean. Bounds on what chance does
    thus hold for lasting values, which a Bragg spot in few frames does not change.
    """

    frames: int
    valid: IntArray
    """Values that were measured: 0 where no frame has one."""
    total: FloatArray
    """Their sum."""
    lasting: IntArray
    """How many of them are lasting."""
    lasting_total: FloatArray
    """The sum of those."""
    squares: FloatArray
    """The sum of squares of those about their mean."""
    constant: BoolArray
    """Whether all values are the same."""


def frame_statistics(
    frames: Iterable[ImageArray] | FrameSource,
    settings: MaskSettings,
    *,
    progress: Progress = iter,
) -> FrameStatistics:
    """Read frames once, in bounded memory.

    Parameters
    ----------
    frames:
        Images of one shape (slow, fast) and dtype.
    settings:
        Which values are measured ones, and which share of them may be transient.
    progress:
        Told of the blocks of pixels, which are worked on after the last frame was read.

    Raises
    ------
    FrameError:
        No frames, one that cannot be read, or one of another shape or dtype.
    OSError:
        The scratch file cannot be written.
    """
    images = iter(frames if isinstance(frames, Iterable) else frames_of(frames))
    first = next(images, None)
    if first is None:
        raise FrameError("there are no frames to make a mask of")
    limits, scratch = settings.limits(first.dtype), settings.scratch or Path(tempfile.gettempdir())
    found = _Sums(first.size)
    with FrameStack(first.shape, first.dtype, memory=settings.memory, scratch=scratch) as stack:
        for index, image in enumerate(chain((first,), images)):
            stack.append(_checked(index, image, first))
        count = stack.finish()
        step = max(1, min(_AT_ONCE, settings.memory // 4 // _BYTES_PER_VALUE) // count)
        for block in progress(range(0, stack.pixels, stack.width)):
            values = stack.read(block, block + stack.width)
            for start in range(0, values.shape[1], step):
                _, groups = usable_rows(values[:, start : start + step], limits)
                for pixels, rows in groups:
                    found.put(block + start + pixels, rows / settings.gain, settings.transient)
    return found.statistics(count, first.shape)


def _checked(index: int, image: ImageArray, first: ImageArray) -> ImageArray:
    if image.ndim != 2 or image.dtype.kind not in "biuf":
        raise FrameError(f"frame {index}: no image: shape {image.shape}, dtype {image.dtype}")
    if image.shape != first.shape:
        raise FrameError(f"frame {index}: shape {image.shape}, the first has {first.shape}")
    return image


class _Sums:
    """Statistics of all pixels, filled in by parts."""

    def __init__(self, pixels: int) -> None:
        self._valid, self._lasting = np.zeros((2, pixels), dtype=np.int64)
        self._total, self._lasting_total, self._squares = np.zeros((3, pixels))
        self._constant = np.zeros(pixels, dtype=bool)

    def put(self, pixels: IntArray, rows: FloatArray, transient: float) -> None:
        """Fill in pixels whose values stand in rising order, shape (pixels, values)."""
        count = rows.shape[1]
        lasting = count - min(int(np.ceil(transient * count)), count - 1)
        kept = rows[:, :lasting]
        total = kept.sum(axis=1)
        self._valid[pixels], self._lasting[pixels] = count, lasting
        self._lasting_total[pixels] = total
        self._total[pixels] = rows.sum(axis=1)
        self._squares[pixels] = np.square(kept - total[:, None] / lasting).sum(axis=1)
        self._constant[pixels] = rows[:, 0] == rows[:, -1]

    def statistics(self, frames: int, shape: tuple[int, ...]) -> FrameStatistics:
        """All of them as images."""
        return FrameStatistics(
            frames=frames,
            valid=self._valid.reshape(shape),
            total=self._total.reshape(shape),
            lasting=self._lasting.reshape(shape),
            lasting_total=self._lasting_total.reshape(shape),
            squares=self._squares.reshape(shape),
            constant=self._constant.reshape(shape),
        )
