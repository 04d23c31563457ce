"""Reading frames that are announced: now, or as soon as they are there."""

from __future__ import annotations

import contextlib
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ringline.callbacks.frames import (
    ImageInEvent,
    InEvents,
    InFile,
    Location,
    Lost,
    MonitorInFile,
)
from ringline.callbacks.uris import path_within
from ringline.processing import FrameError, FrameSource, open_frames
from ringline.processing.hdf5_once import ONE_AT_A_TIME
from ringline.processing.types import ImageArray

_FIRST_POLL, _LAST_POLL = 0.002, 0.05  # s
_OPEN_FILES = 8

Key = tuple[Path, str | None]


class FrameReader:
    """Reads frames by index from files that may still grow. Files stay open between calls.

    Parameters
    ----------
    timeout:
        Longest wait without progress for a frame that is announced, s. It counts from the
        document's arrival or the file's last new frame, whichever is later; so many frames
        that never come cost one timeout, not one each.
    readable:
        Folders from which frames may be read; None: any.
    stopping:
        Ends all waiting when it returns True.
    """

    def __init__(
        self,
        timeout: float,
        readable: Sequence[Path] | None = None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._timeout, self._readable, self._stopping = timeout, readable, stopping
        self._open: OrderedDict[Key, FrameSource] = OrderedDict()
        self._progress: dict[Key, tuple[int, float]] = {}

    def read(self, location: Location, start: int, stop: int, arrived: float) -> ImageArray:
        """Return the first frames of start .. stop - 1: at least one, as many as there are.

        Their shape is (frames, slow, fast).

        Raises
        ------
        FrameError
            Frame `start`, or a block that begins with it, cannot be read.
        """
        if isinstance(location, InEvents):
            return _image_in_event(location, start)[np.newaxis]
        path, local = location.place(start)
        self._refuse_foreign(path)
        key = (path, location.dataset)
        available = self._wait(key, local, arrived)
        many = 1 if location.template is not None else stop - start
        try:
            return self._source(key).read(local, min(local + many, available))
        except (FrameError, OSError) as error:
            self._close(key)  # what the library remembers of a growing file may be out of date
            raise FrameError(_told(error)) from error

    def is_ready(self, location: Location, index: int) -> bool:
        """Whether a frame can be read without waiting."""
        if isinstance(location, InEvents):
            return True
        path, local = location.place(index)
        return self._is_readable(path) and self._count((path, location.dataset))[0] > local

    def monitors(self, source: MonitorInFile, count: int, arrived: float) -> list[float]:
        """Return monitor values of neighbouring events; NaN where there are none."""
        location, deadline = source.location, arrived + self._timeout
        values = np.full(count, math.nan)
        while True:
            found = (
                _values(location, source.start, count) if self._is_readable(location.path) else []
            )
            values[: len(found)] = found
            if len(found) == count or time.monotonic() > deadline or self._stopping():
                return [float(value) for value in values]
            time.sleep(_LAST_POLL)

    def close(self) -> None:
        """Close all files."""
        for key in list(self._open):
            self._close(key)
        self._progress.clear()

    def _wait(self, key: Key, local: int, arrived: float) -> int:
        """Return how many frames the file holds, once frame `local` is among them."""
        pause = _FIRST_POLL
        while True:
            count, problem = self._count(key)
            if count > local:
                return count
            since = max(arrived, self._progress.get(key, (0, arrived))[1])
            if time.monotonic() >= since + self._timeout or self._stopping():
                raise FrameError(problem or f"{key[0]}: the frame never came into the file")
            time.sleep(pause)
            pause = min(2 * pause, _LAST_POLL)

    def _count(self, key: Key) -> tuple[int, str | None]:
        try:
            count = self._source(key).frame_count()
        except (FrameError, OSError) as error:
            self._close(key)
            return 0, _told(error)
        if count > self._progress.get(key, (0, 0.0))[0]:
            self._progress[key] = (count, time.monotonic())
        return count, None

    def _source(self, key: Key) -> FrameSource:
        if key not in self._open:
            while len(self._open) >= _OPEN_FILES:
                self._close(next(iter(self._open)))
            self._open[key] = open_frames(*key)
        self._open.move_to_end(key)
        return self._open[key]

    def _close(self, key: Key) -> None:
        source = self._open.pop(key, None)
        if source is not None:
            with contextlib.suppress(OSError, RuntimeError):  # it is broken already
                source.close()

    def _refuse_foreign(self, path: Path) -> None:
        if not self._is_readable(path):
            folders = ", ".join(str(folder) for folder in self._readable or ())
            raise FrameError(f"{path}: lies outside the readable folders ({folders})")

    def _is_readable(self, path: Path) -> bool:
        return self._readable is None or path_within(path, self._readable) is not None


def _image_in_event(location: InEvents, index: int) -> ImageArray:
    image = location.images[index]
    if not isinstance(image, ImageInEvent):
        raise FrameError(image.cause if isinstance(image, Lost) else image)
    return image.read()


def _values(location: InFile, start: int, count: int) -> Any:
    try:
        with (
            ONE_AT_A_TIME,
            h5py.File(location.path, "r", libver="latest", swmr=True, locking=False) as file,
        ):
            values = file[location.dataset]
            # HDF5 shares what it knows of a file between all that have it open, and the frames
            # of this one are: without this, values written since then are not seen.
            values.refresh()
            return values[start : start + count].reshape(-1)[:count]
    except (OSError, KeyError, ValueError):
        return []


def _told(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)
