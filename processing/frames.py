"""Frames from files: HDF5 of any kind, also while it grows, and whatever fabio reads."""

import logging
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import fabio
import numpy as np

from ringline.processing.errors import FrameError
from ringline.processing.hdf5_frames import HDF5Frames
from ringline.processing.types import ImageArray

HDF5_SUFFIXES = (".h5", ".hdf5", ".hdf", ".nxs", ".nx", ".cxi")


@dataclass(frozen=True, slots=True)
class Frame:
    """One exposure."""

    image: ImageArray
    """Shape (slow, fast), as the detector wrote it."""
    index: int = 0
    """Its position in the run or file."""
    monitor: float | None = None
    timestamp: float | None = None
    """Seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Block:
    """Exposures that follow each other."""

    images: ImageArray
    """Shape (frames, slow, fast), as the detector wrote them."""
    first: int = 0
    """Index of the first one in the run or file."""
    monitors: Sequence[float | None] | None = None
    """Reading of the beam monitor for each; None: there are none."""


class FrameSource(Protocol):
    """Where frames are read from, by index. A context manager."""

    @property
    def frame_shape(self) -> tuple[int, int]:
        """(slow, fast)."""

    def frame_count(self) -> int:
        """Frames that can be read now; a file may grow."""

    def read(self, start: int, stop: int) -> ImageArray:
        """Frames start .. stop - 1, shape (stop - start, slow, fast); FrameError if not there."""

    def close(self) -> None:
        """Release the file."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def open_frames(path: Path | str, dataset: str | None = None) -> FrameSource:
    """Open the frames in a file.

    Parameters
    ----------
    path:
        An HDF5 file (any filter of hdf5plugin, growing under SWMR, external links, virtual
        datasets) or an image file of any format that fabio reads.
    dataset:
        The HDF5 dataset; None: the file's default signal, or else its largest stack of images.

    Raises
    ------
    FrameError:
        The file or dataset cannot be read, or holds no images.
    """
    file = Path(path)
    try:
        with file.open("rb") as opened:
            if not opened.read(1):
                raise FrameError(f"{file}: the file is empty")
    except OSError as error:
        raise FrameError(f"{file}: {os.strerror(error.errno or 0)}") from error
    if dataset is not None or file.suffix.lower() in HDF5_SUFFIXES:
        return HDF5Frames(file, dataset)
    return FabioFrames(file)


class FabioFrames:
    """Frames of an image file that fabio reads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with _fabio_errors(str(path)):
            self._file = fabio.open(str(path))
            self._first = self._image(0)

    @property
    def frame_shape(self) -> tuple[int, int]:
        """(slow, fast)."""
        slow, fast = self._first.shape
        return slow, fast

    def frame_count(self) -> int:
        """Frames in the file."""
        return int(self._file.nframes)

    def read(self, start: int, stop: int) -> ImageArray:
        """Frames start .. stop - 1, shape (stop - start, slow, fast)."""
        if not 0 <= start < stop <= self.frame_count():
            raise FrameError(f"{self.path}: has frames 0..{self.frame_count() - 1}, not {stop - 1}")
        if stop == 1:
            return self._first[np.newaxis]
        with _fabio_errors(f"{self.path} frames {start}..{stop - 1}"):
            return np.stack([self._image(index) for index in range(start, stop)])

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _image(self, index: int) -> ImageArray:
        frame = self._file if self._file.nframes == 1 else self._file.getframe(index)
        image = frame.data
        if image is None or image.ndim != 2:
            raise FrameError(f"{self.path} frame {index}: no image of two dimensions")
        return np.asarray(image)


class _ErrorLog(logging.Handler):
    """Errors logged by one thread."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the message of a record of this thread."""
        if record.thread == self._thread:
            self.messages.append(record.getMessage())


@contextmanager
def _fabio_errors(where: str) -> Iterator[None]:
    """Turn whatever fabio raises or logs as an error into a FrameError.

    Each of its readers raises exceptions of its own, and some fill what is missing in a
    truncated file with zeros, which they only log.
    """
    log = _ErrorLog()
    logger = logging.getLogger("fabio")
    logger.addHandler(log)
    try:
        yield
    except FrameError:
        raise
    except Exception as error:
        text = str(error).strip() or type(error).__name__
        raise FrameError(f"{where}: {text.splitlines()[0]}") from error
    finally:
        logger.removeHandler(log)
    if log.messages:
        raise FrameError(f"{where}: {log.messages[0]}")
