"""The HDF5 file that detectors write, growing under readers (SWMR)."""

import time
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from ringline.plans.exposures import Exposure, compression

IMAGES = "/entry/data/data"
MONITOR = "/entry/monitor/data"
TIMESTAMPS = "/entry/data/timestamp"
SCALAR_CHUNK = 1024


@dataclass(frozen=True, slots=True)
class FrameLayout:
    """What is written for each frame."""

    shape: tuple[int, int]
    dtype: np.dtype[np.generic]


class FrameFile:
    """One file of frames, chunk = frame, readable while it grows.

    A frame is visible to readers after :meth:`flush`; ``flushed`` says how many are.
    """

    def __init__(self, path: Path, layout: FrameLayout) -> None:
        self.path = path
        self.written = 0
        self.flushed = 0
        self._scalars: list[tuple[float, float]] = []
        # A reader of the same process must open with the same locking flag: none, as ours do.
        self._file = h5py.File(path, "w", libver="latest", locking=False)
        self._images = _create_images(self._file, layout)
        self._monitor = _create_scalars(self._file, MONITOR)
        self._timestamps = _create_scalars(self._file, TIMESTAMPS)
        self._timestamps.attrs["units"] = "s"
        self._file.swmr_mode = True

    def append(self, exposure: Exposure) -> None:
        """Write one frame, its monitor reading and the time of writing."""
        index = self.written
        self._images.resize(index + 1, axis=0)
        self._images.id.write_direct_chunk((index, 0, 0), exposure.chunk)
        self._scalars.append((exposure.monitor, time.time()))
        self.written = index + 1

    def flush(self) -> None:
        """Make all frames so far visible to readers, the scalars of a frame before its image."""
        if self._scalars:
            for dataset, values in zip(
                (self._monitor, self._timestamps), zip(*self._scalars, strict=True), strict=True
            ):
                dataset.resize(self.written, axis=0)
                dataset[self.flushed : self.written] = values
                dataset.flush()
            self._images.flush()
        self._scalars.clear()
        self.flushed = self.written

    def close(self) -> None:
        """Flush and close; a second call does nothing."""
        if self._file:
            self.flush()
            self._file.close()


def _create_images(file: h5py.File, layout: FrameLayout) -> h5py.Dataset:
    entry = file.create_group("entry")
    entry.attrs["NX_class"] = "NXentry"
    entry.attrs["default"] = "data"
    file.attrs["default"] = "entry"
    data = entry.create_group("data")
    data.attrs["NX_class"] = "NXdata"
    data.attrs["signal"] = "data"
    monitor = entry.create_group("monitor")
    monitor.attrs["NX_class"] = "NXmonitor"
    return file.create_dataset(
        IMAGES,
        shape=(0, *layout.shape),
        maxshape=(None, *layout.shape),
        dtype=layout.dtype,
        chunks=(1, *layout.shape),
        compression=compression(),
    )


def _create_scalars(file: h5py.File, name: str) -> h5py.Dataset:
    return file.create_dataset(
        name, shape=(0,), maxshape=(None,), dtype="<f8", chunks=(SCALAR_CHUNK,)
    )
