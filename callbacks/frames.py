"""Which frames exist, and where."""

from __future__ import annotations

import re
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from ringline.processing import Recipe
from ringline.processing.types import ImageArray


@dataclass(frozen=True, slots=True)
class InFile:
    """Frames in one HDF5 (or image) file, or one image file for each frame."""

    resource: str
    """Uid of the document that named it."""
    path: Path
    dataset: str | None = None
    template: str | None = None
    """Name of the file of frame ``index``, as `str.format` takes it; None: one file holds all."""

    def place(self, index: int) -> tuple[Path, int]:
        """Return the file of a frame and the frame's index in it."""
        if self.template is None:
            return self.path, index
        return Path(f"{self.path}{self.template.format(index)}"), 0

    def name(self, index: int) -> str:
        """Return a frame's name for people, ``path::dataset#frame``."""
        path, local = self.place(index)
        dataset = "" if self.dataset is None else f"::{self.dataset}"
        return f"{path}{dataset}#{local}"


@dataclass(frozen=True, slots=True)
class Lost:
    """Stands in for an image that there was no room to keep."""

    cause: str


@dataclass(slots=True)
class InEvents:
    """Frames that came inside events."""

    resource: str
    images: list[ImageInEvent | Lost | str] = field(default_factory=list)
    """In the order of arrival; for an image that cannot be had, why."""

    def name(self, index: int) -> str:  # noqa: ARG002 of no frame
        """Return "": nobody else can read these frames."""
        return ""


@dataclass(frozen=True, slots=True)
class ImageInEvent:
    """An image kept in a file that nobody else sees."""

    file: ImageFile
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __iter__(self) -> Iterator[ImageInEvent]:
        """Give the images of a stack, each of shape (slow, fast)."""
        *stack, slow, fast = self.shape
        size = slow * fast * self.dtype.itemsize
        for number in range(int(np.prod(stack, dtype=int))):
            yield replace(self, offset=self.offset + number * size, shape=(slow, fast))

    def read(self) -> ImageArray:
        """Return the image."""
        return self.file.read(self)


class ImageFile:
    """Keeps images out of memory: in a file without a name, gone with its last image."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 lives on
        self._lock = threading.Lock()

    def __del__(self) -> None:
        self._file.close()

    def append(self, image: ImageArray) -> ImageInEvent:
        """Keep an image or a stack of images; OSError when there is no room."""
        with self._lock:
            offset = self._file.seek(0, 2)
            self._file.write(np.ascontiguousarray(image).data)
            self._file.flush()
        return ImageInEvent(self, offset, image.shape, image.dtype)

    def read(self, image: ImageInEvent) -> ImageArray:
        """Return an image."""
        with self._lock:
            self._file.seek(image.offset)
            count = int(np.prod(image.shape))
            raw = self._file.read(count * image.dtype.itemsize)
        return np.frombuffer(raw, dtype=image.dtype).reshape(image.shape)


Location = InFile | InEvents


@dataclass(frozen=True, slots=True)
class NoRecipe:
    """Stands in for a recipe: why there is none."""

    cause: str


@dataclass(frozen=True, slots=True)
class MonitorInFile:
    """Readings of neighbouring events, of the monitor or of a motor, in a file."""

    location: InFile
    start: int


Reading = float | MonitorInFile
"""One value for all (one event), or where to read them."""


def later(reading: Reading, events: int) -> Reading:
    """Return the reading from so many events later on."""
    if isinstance(reading, MonitorInFile):
        return MonitorInFile(reading.location, reading.start + events)
    return reading


@dataclass(frozen=True, slots=True)
class FrameRange:
    """Neighbouring frames of one detector in one stream."""

    stream: str
    data_key: str
    location: Location
    start: int
    """Index of the first frame in its location."""
    stop: int
    seq_num: int
    """Of the first frame's event."""
    recipe: Recipe | NoRecipe
    arrived: float
    """When the document came, by the monotonic clock, s."""
    per_event: int = 1
    """Frames of each event."""
    time: float | None = None
    """Of the event, seconds since the epoch; None where frames have no event."""
    monitor: Reading | None = None
    """None: none known."""
    positions: Mapping[str, Reading] = field(default_factory=dict)
    """Of the motors of a moving detector, as far as known."""

    @property
    def frames(self) -> int:
        """How many."""
        return self.stop - self.start

    @property
    def seq_stop(self) -> int:
        """One after the last event's number."""
        return self.seq_num + self.frames // self.per_event

    def events(self, first: int, stop: int) -> FrameRange:
        """Return the part of events first .. stop - 1."""
        skipped = first - self.seq_num
        count = (stop - first) * self.per_event
        begin = self.start + skipped * self.per_event
        return replace(
            self,
            start=begin,
            stop=begin + count,
            seq_num=first,
            monitor=None if self.monitor is None else later(self.monitor, skipped),
            positions={name: later(value, skipped) for name, value in self.positions.items()},
        )


_FIELD = re.compile(r"%(0?)(\d*)(?:\.(\d+))?d")


def new_style(template: str, *names: str) -> str:
    """Return an area detector's file name template for `str.format`.

    >>> new_style("%s%s_%6.6d.tif", "/data/", "scan")
    '/data/scan_{:06d}.tif'
    """
    text = template
    for name in names:
        text = text.replace("%s", name.replace("%", "%%"), 1)
    text = text.replace("%s", "").replace("{", "{{").replace("}", "}}")
    return _FIELD.sub(_format_field, text).replace("%%", "%")


def _format_field(match: re.Match[str]) -> str:
    zero, width, precision = match.groups()
    if precision:
        return f"{{:0{precision}d}}"
    return f"{{:{'0' if zero else ''}{width}d}}"
