"""Averages of many frames, for darks and flats, without the outliers that cosmic rays leave."""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ringline.processing.arrays import ArraySource, InputArray, input_array
from ringline.processing.averaging_settings import Averaging, ClippedMean, Mean
from ringline.processing.errors import FrameError, RecipeError
from ringline.processing.frame_stack import FrameStack
from ringline.processing.frames import FrameSource
from ringline.processing.pixel_statistics import (
    RunningMean,
    Statistics,
    clipped_mean,
    median,
    usable_rows,
)
from ringline.processing.types import BoolArray, FloatArray, ImageArray, IntArray

_BLOCK_VALUES = 1 << 22
_SORTED_VALUES = 1 << 18
_BYTES_PER_SORTED_VALUE = 64


@dataclass(frozen=True, slots=True, eq=False)
class Average:
    """An averaged image and what it was made of, shape (slow, fast); NaN where no value counts.

    float32 in memory as in files, so that a recipe has the same digest from either: its rounding
    (6e-8) is far below the statistical error. All is summed in float64 and rounded once.
    """

    data: NDArray[np.float32]
    variance: NDArray[np.float32]
    """Of ``data``: sample variance / count, for the median 1.57 times that. NaN of one value."""
    count: NDArray[np.uint32]
    """Values used."""
    rejected: NDArray[np.uint32]
    """Values rejected as outliers; what is missing to ``frames`` did not count."""
    frames: int


Progress: TypeAlias = Callable[[range], Iterable[int]]
"""Wraps the loop over blocks of pixels, as tqdm does."""


def average(
    frames: Iterable[ImageArray] | FrameSource,
    settings: Averaging | None = None,
    *,
    mask: ArraySource = None,
    progress: Progress = iter,
) -> Average:
    """Average frames, pixel by pixel.

    The mean holds 28 bytes for each pixel. The median and the clipped mean need all values of a
    pixel at once: frames beyond ``settings.memory`` go through a compressed scratch file.

    Parameters
    ----------
    frames:
        Images of one shape (slow, fast); each is asked for once.
    settings:
        None: ``Averaging()``.
    mask:
        True or nonzero where a pixel is left out: an array or a path.
    progress:
        Told of the blocks of pixels, which are worked on after the last frame was read.

    Raises
    ------
    FrameError:
        No frames, one that cannot be read, or one of another shape or dtype.
    RecipeError:
        The mask has another shape.
    OSError:
        The scratch file cannot be written.
    """
    settings = settings or Averaging()
    images = iter(frames if isinstance(frames, Iterable) else frames_of(frames))
    first = next(images, None)
    if first is None:
        raise FrameError("there are no frames to average")
    masked = input_array("mask", mask)
    if masked is not None and masked.values.shape != first.shape:
        raise RecipeError(f"mask: shape {masked.values.shape}, the frames have {first.shape}")
    checked = _checked(chain((first,), images), first)
    result = _Result(first.size)
    if isinstance(settings.method, Mean):
        _stream(checked, first, settings, result)
    else:
        _sort(checked, first, settings, result, progress)
    return result.average(first.shape, None if masked is None else masked.values.ravel() != 0)


def subtract_dark(average: Average, dark: InputArray) -> Average:
    """The average less a dark; the variance is that of the average alone.

    Raises
    ------
    RecipeError:
        The dark has another shape.
    """
    if dark.values.shape != average.data.shape:
        raise RecipeError(f"dark: shape {dark.values.shape}, the frames have {average.data.shape}")
    data = average.data.astype(np.float64) - dark.values
    return replace(average, data=data.astype(np.float32))


def normalized(average: Average) -> Average:
    """The average divided by its mean over the pixels that have a value: a flat.

    Raises
    ------
    FrameError:
        That mean is not > 0.
    """
    known = np.isfinite(average.data)
    mean = float(average.data[known].mean(dtype=np.float64)) if known.any() else 0.0
    if not mean > 0:
        raise FrameError(f"a flat needs a mean > 0, got {mean:g}")
    return replace(
        average,
        data=(average.data.astype(np.float64) / mean).astype(np.float32),
        variance=(average.variance.astype(np.float64) / mean**2).astype(np.float32),
    )


def frames_of(
    source: FrameSource, *, count: int | None = None, skipped: list[str] | None = None
) -> Iterator[ImageArray]:
    """The frames of a source one by one, read in blocks.

    Parameters
    ----------
    count:
        How many; None: those that are there now.
    skipped:
        Where to note frames that cannot be read, which are left out; None: they are refused.

    Raises
    ------
    FrameError:
        Naming the frame that cannot be read.
    """
    total = source.frame_count() if count is None else count
    slow, fast = source.frame_shape
    block = max(1, min(64, _BLOCK_VALUES // (slow * fast)))
    for start in range(0, total, block):
        yield from _read(source, start, min(start + block, total), skipped)


def _read(
    source: FrameSource, start: int, stop: int, skipped: list[str] | None
) -> list[ImageArray]:
    try:
        return list(source.read(start, stop))
    except FrameError as error:
        if stop - start > 1:
            singly = (_read(source, index, index + 1, skipped) for index in range(start, stop))
            return list(chain.from_iterable(singly))
        if skipped is None:
            raise
        skipped.append(str(error))
        return []


def _checked(images: Iterable[ImageArray], first: ImageArray) -> Iterator[ImageArray]:
    for index, image in enumerate(images):
        if image.ndim != 2 or image.dtype.kind not in "biuf":
            raise FrameError(f"frame {index}: no image: shape {image.shape}, dtype {image.dtype}")
        if image.shape != first.shape:
            raise FrameError(f"frame {index}: shape {image.shape}, the first has {first.shape}")
        yield image


class _Result:
    """Statistics of all pixels, filled in by parts."""

    def __init__(self, pixels: int) -> None:
        self.data = np.full(pixels, np.nan, dtype=np.float32)
        self.variance = self.data.copy()
        self.count = np.zeros(pixels, dtype=np.uint32)
        self.valid = np.zeros(pixels, dtype=np.uint32)
        self.frames = 0

    def put(self, pixels: slice | IntArray, part: Statistics) -> None:
        self.data[pixels], self.variance[pixels] = part.data, part.variance
        self.count[pixels] = part.count

    def average(self, shape: tuple[int, ...], masked: BoolArray | None) -> Average:
        rejected = self.valid - self.count
        if masked is not None:
            self.data[masked] = self.variance[masked] = np.nan
            self.count[masked] = rejected[masked] = 0
        return Average(
            self.data.reshape(shape),
            self.variance.reshape(shape),
            self.count.reshape(shape),
            rejected.reshape(shape),
            self.frames,
        )


def _stream(
    images: Iterable[ImageArray], first: ImageArray, settings: Averaging, result: _Result
) -> None:
    running = RunningMean(first, settings.limits(first.dtype))
    for image in images:
        running.add(image)
        result.frames += 1
    result.valid[:] = running.valid
    for start in range(0, first.size, _SORTED_VALUES):
        stop = min(start + _SORTED_VALUES, first.size)
        result.put(slice(start, stop), running.statistics(start, stop))


def _sort(
    images: Iterable[ImageArray],
    first: ImageArray,
    settings: Averaging,
    result: _Result,
    progress: Progress,
) -> None:
    limits, reduce = settings.limits(first.dtype), _reducer(settings, first.dtype)
    scratch = settings.scratch or Path(tempfile.gettempdir())
    with FrameStack(first.shape, first.dtype, memory=settings.memory, scratch=scratch) as stack:
        for image in images:
            stack.append(image)
        result.frames = stack.finish()
        # Parts that stay in the cache, and whose working copies fit into memory.
        at_once = min(_SORTED_VALUES, settings.memory // 4 // _BYTES_PER_SORTED_VALUE)
        step = max(1, at_once // result.frames)
        for block in progress(range(0, stack.pixels, stack.width)):
            values = stack.read(block, block + stack.width)
            for start in range(0, values.shape[1], step):
                valid, groups = usable_rows(values[:, start : start + step], limits)
                result.valid[block + start : block + start + valid.size] = valid
                for pixels, rows in groups:
                    result.put(block + start + pixels, reduce(rows))


def _reducer(
    settings: Averaging, dtype: np.dtype[np.generic]
) -> Callable[[FloatArray], Statistics]:
    method = settings.method
    if not isinstance(method, ClippedMean):
        return median
    floor = (0.0 if dtype.kind == "f" else 1.0) if method.floor is None else method.floor
    return partial(
        clipped_mean, threshold=method.threshold, iterations=method.iterations, floor=floor
    )
