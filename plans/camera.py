"""What the detectors of this package share: exposing at a rate into a growing file."""

import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from ringline.plans.exposures import Exposures
from ringline.plans.frame_file import FrameFile, FrameLayout
from ringline.processing import RecipeError

PUBLISH_PERIOD = 0.02
"""Seconds between two announcements of written frames, at most."""


class Camera:
    """Exposes frames into files of one folder. Not tied to any device framework."""

    def __init__(self, folder: Path, exposures: Exposures, name: str) -> None:
        self.folder = folder.resolve()
        self.exposures = exposures
        self.name = name
        self._file: FrameFile | None = None
        self._stop = threading.Event()
        self._last_file: Path | None = None
        self.monitor = 0.0
        """Reading of the beam monitor in the last frame."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RecipeError(f"detector folder {self.folder}: {error.strerror}") from error

    @property
    def last_file(self) -> Path:
        """The newest file, also after it was closed."""
        if self._last_file is None:
            raise RuntimeError(f"detector {self.name} has written no file yet")
        return self._last_file

    @property
    def written(self) -> int:
        """Frames of the open file that readers can see."""
        return self._file.flushed if self._file else 0

    def open(self) -> Path:
        """Begin a new file and return its path; the pool of frames is ready after this."""
        self.close()
        self.exposures.prepare()
        path = self.folder / f"{self.name}-{uuid.uuid4().hex[:12]}.h5"
        self._last_file = path
        self._file = FrameFile(path, FrameLayout(self.exposures.shape, self.exposures.dtype))
        return path

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._file:
            self._file.close()
            self._file = None

    def stop(self) -> None:
        """End a running :meth:`expose` after its current frame. From any thread."""
        self._stop.set()

    def rearm(self) -> None:
        """Forget an earlier :meth:`stop`."""
        self._stop.clear()

    def expose(self, frames: int, period: float, published: Callable[[int], None]) -> None:
        """Write ``frames`` frames, one each ``period`` seconds; blocks until done or stopped.

        Parameters
        ----------
        frames:
            How many; 0: until stopped.
        period:
            Seconds; a frame is written when its exposure is over. When the disk is slower,
            frames follow each other as fast as it takes them.
        published:
            Is told the number of readable frames of the file, at least every 20 ms while
            frames are written and always after the last one.
        """
        file = self._file
        if file is None:
            raise RuntimeError(f"detector {self.name}: expose before open")
        due = announced = time.monotonic()
        written = 0
        while not self._stop.is_set() and (frames == 0 or written < frames):
            due += period
            if self._stop.wait(max(0.0, due - time.monotonic())):
                break
            exposure = self.exposures.expose(file.written)
            file.append(exposure)
            self.monitor = exposure.monitor
            written += 1
            now = time.monotonic()
            if now - announced >= PUBLISH_PERIOD or written == frames:
                file.flush()
                published(file.flushed)
                announced = now
            elif due + period > now:
                file.flush()
        file.flush()
        published(file.flushed)
