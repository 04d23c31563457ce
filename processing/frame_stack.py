"""Many frames, written by frame and read by pixel, in bounded memory."""

import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import h5py
import hdf5plugin
import numpy as np
import numpy.typing as npt

from ringline.processing.errors import FrameError
from ringline.processing.types import ImageArray

_CHUNK_BYTES = 1 << 16
_CHUNK_FRAMES = 16


class FrameStack:
    """Frames held for reading by pixel: in memory while they fit, else in a scratch file.

    A detector's chunks hold whole frames, so that reading its file by pixel would decode all
    frames for each block of pixels. The scratch file has the same values in chunks of few pixels
    and several frames: each frame is decoded once from its own file and once from the scratch
    file, which is compressed and without a name, so that not even a killed process leaves it.

    Parameters
    ----------
    shape, dtype:
        Of a frame.
    memory:
        Bytes to hold: half for frames on their way, a quarter for pixels that are read.
    scratch:
        Folder of the scratch file.
    """

    def __init__(
        self, shape: tuple[int, ...], dtype: npt.DTypeLike, *, memory: int, scratch: Path
    ) -> None:
        self.shape, self.dtype = shape, np.dtype(dtype).newbyteorder("=")
        self.pixels = int(np.prod(shape))
        self._memory, self._scratch = memory, scratch
        frames = max(1, memory // 2 // (self.pixels * self.dtype.itemsize))
        self._depth = min(frames, _CHUNK_FRAMES)
        self._buffer = np.empty((frames - frames % self._depth, self.pixels), self.dtype)
        self._buffered = 0
        self._file: h5py.File | None = None

    def __len__(self) -> int:
        return self._buffered + (0 if self._file is None else len(self._file["frames"]))

    def append(self, image: ImageArray) -> None:
        """Add a frame.

        Raises
        ------
        FrameError:
            Its values do not fit into those of the first.
        OSError:
            The scratch file cannot be written.
        """
        if not np.can_cast(image.dtype, self.dtype, "safe"):
            raise FrameError(
                f"frame {len(self)}: {image.dtype} does not fit into {self.dtype} of the first"
            )
        if self._buffered == len(self._buffer):
            self._flush()
        self._buffer[self._buffered] = image.ravel()
        self._buffered += 1

    def finish(self) -> int:
        """The number of frames; no more are appended, pixels may be read."""
        if self._file is not None:
            self._flush()
            self._buffer = self._buffer[:0].copy()
        return len(self)

    @property
    def width(self) -> int:
        """Pixels to read at a time: as many as memory allows, in whole chunks if possible."""
        fit = max(1, self._memory // 4 // (len(self) * self.dtype.itemsize))
        chunk = 1 if self._file is None else int(self._file["frames"].chunks[1])
        return fit - fit % chunk if fit >= chunk else fit

    def read(self, start: int, stop: int) -> ImageArray:
        """All frames' values of pixels start .. stop - 1, shape (frames, pixels)."""
        if self._file is None:
            return self._buffer[: self._buffered, start:stop]
        return np.asarray(self._file["frames"][:, start:stop])

    def close(self) -> None:
        """Drop the frames."""
        self._buffer, self._buffered = self._buffer[:0].copy(), 0
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _flush(self) -> None:
        """Move the buffered frames to the scratch file."""
        if self._file is None:
            self._file = self._open()
        frames, known = self._file["frames"], len(self._file["frames"])
        frames.resize(known + self._buffered, axis=0)
        if self._buffered:
            frames[known:] = self._buffer[: self._buffered]
        self._buffered = 0

    def _open(self) -> h5py.File:
        with tempfile.NamedTemporaryFile(dir=self._scratch, prefix=".ringline-", suffix=".h5") as f:
            # No chunk cache: chunks are written whole and read once.
            file = h5py.File(f.name, "w", libver="latest", locking=False, rdcc_nbytes=0)
        chunk = max(1, _CHUNK_BYTES // (self._depth * self.dtype.itemsize))
        file.create_dataset(
            "frames",
            (0, self.pixels),
            self.dtype,
            maxshape=(None, self.pixels),
            chunks=(self._depth, min(chunk, self.pixels)),
            **hdf5plugin.Bitshuffle(cname="lz4"),
        )
        return file
