"""Frames that are a bitshuffle-LZ4 chunk each, as detectors write them: read on all threads.

HDF5 decodes one chunk at a time in the whole process; here the chunks are only fetched by it.
"""

from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from ringline.processing.bitshuffle_kernels import HEADER, SPARE, decode_chunk
from ringline.processing.chunks import Compression, is_written
from ringline.processing.errors import FrameError
from ringline.processing.recycled_memory import RecycledMemory
from ringline.processing.types import ImageArray
from ringline.processing.worker_threads import in_parallel


class ChunkReader:
    """Frames of one dataset. Thread-safe."""

    def __init__(self, segment: h5py.Dataset) -> None:
        self._segment = segment
        self._dtype: np.dtype[Any] = segment.dtype
        self._raw_size = segment.shape[1] * segment.shape[2] * self._dtype.itemsize
        self._blocks = RecycledMemory()
        self._chunks: list[NDArray[np.uint8]] = []

    @classmethod
    def of(cls, segment: h5py.Dataset, compression: Compression) -> Self | None:
        """A reader; None where the dataset is not made of such chunks."""
        fits = (
            compression is Compression.LZ4
            and segment.ndim == 3
            and segment.chunks == (1, *segment.shape[1:])
            and segment.dtype.itemsize <= 4
            and segment.dtype.isnative
        )
        return cls(segment) if fits else None

    def read(self, low: int, high: int) -> ImageArray:
        """Frames low .. high - 1.

        Raises
        ------
        FrameError:
            Naming the first frame whose chunk is not there, damaged or cut short.
        OSError, RuntimeError:
            HDF5 cannot read a chunk.
        """
        frames = self._blocks.array((high - low, *self._segment.shape[1:]), self._dtype)
        whole = [False] * len(frames)

        def decode(k: int) -> None:
            whole[k] = self._decode(low + k, frames[k])

        in_parallel(decode, len(frames))
        for index, good in enumerate(whole, start=low):
            if not good:
                raise self._complaint(index)
        return frames

    def _decode(self, index: int, frame: ImageArray) -> bool:
        """Decode a frame; False where that cannot be done."""
        try:
            memory = self._chunks.pop()
        except IndexError:
            # Noise does not compress: room for what LZ4 makes of it.
            memory = np.empty(self._raw_size + self._raw_size // 64 + 4096, np.uint8)
        try:
            return self._decode_in(memory, index, frame)
        finally:
            self._chunks.append(memory)

    def _decode_in(self, memory: NDArray[np.uint8], index: int, frame: ImageArray) -> bool:
        place = (index, 0, 0)
        try:
            skipped, chunk = self._segment.id.read_direct_chunk(place, out=memory[:-SPARE])
        except ValueError:  # blocks of a few elements take more room than they had
            skipped, chunk = self._segment.id.read_direct_chunk(place)
            memory = np.frombuffer(chunk + bytes(SPARE), np.uint8)
        except RuntimeError:
            if not is_written(self._segment, index):
                return False
            raise
        if skipped:
            self._segment.read_direct(frame, np.s_[index])
            return True
        if len(chunk) < HEADER:
            return False
        block = min(int.from_bytes(memory[8:HEADER].tobytes(), "big"), self._raw_size)
        planes = np.empty(block + SPARE, np.uint8)
        unsigned = np.dtype(f"u{self._dtype.itemsize}")
        return bool(decode_chunk(memory, len(chunk), frame.view(unsigned).reshape(-1), planes))

    def _complaint(self, index: int) -> FrameError:
        where = f"{self._segment.file.filename} frame {index} of {self._segment.name}"
        if not is_written(self._segment, index):
            return FrameError(f"{where} was never written")
        return FrameError(f"{where}: its chunk is damaged or cut short")
