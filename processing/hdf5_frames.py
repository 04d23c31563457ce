"""Frames from HDF5: one dataset, or the numbered segments of a master file."""

import re
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import h5py
import hdf5plugin  # noqa: F401 - importing it registers its filters
import numpy as np

from ringline.processing.chunk_reading import ChunkReader
from ringline.processing.chunks import Compression, check_frame, compression_of, is_written
from ringline.processing.errors import FrameError
from ringline.processing.hdf5_once import ONE_AT_A_TIME, shared
from ringline.processing.types import ImageArray

_SEGMENT = re.compile(r"data_\d+$")


class HDF5Frames:
    """Frames of an HDF5 file, by index; a file written under SWMR may grow meanwhile."""

    def __init__(self, path: Path, dataset: str | None) -> None:
        self.path = path
        with ONE_AT_A_TIME:
            self._shared = shared(path, open_hdf5)
            self._file, self._closed = self._shared.file, False
            try:
                self._segments = [self._shared.once(found) for found in self._find(dataset)]
                self._compressions = [compression_of(segment) for segment in self._segments]
                pairs = zip(self._segments, self._compressions, strict=True)
                self._readers = [ChunkReader.of(*pair) for pair in pairs]
            except BaseException:
                self._shared.close()
                raise

    @property
    def frame_shape(self) -> tuple[int, int]:
        """(slow, fast)."""
        slow, fast = self._segments[0].shape[-2:]
        return int(slow), int(fast)

    def frame_count(self) -> int:
        """Frames that can be read now."""
        return sum(self._lengths())

    def read(self, start: int, stop: int) -> ImageArray:
        """Frames start .. stop - 1, shape (stop - start, slow, fast), in their native dtype."""
        lengths = self._lengths()
        if not 0 <= start < stop <= sum(lengths):
            raise FrameError(f"{self.path}: has {sum(lengths)} frames, not frame {stop - 1}")
        parts, offset = [], 0
        for number, length in enumerate(lengths):
            low, high = max(start - offset, 0), min(stop - offset, length)
            if low < high:
                parts.append(self._read(number, low, high))
            offset += length
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def close(self) -> None:
        """Release the file."""
        if not self._closed:
            self._closed = True
            self._shared.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _read(self, number: int, low: int, high: int) -> ImageArray:
        """Frames low .. high - 1 of a segment."""
        segment, reader = self._segments[number], self._readers[number]
        try:
            if reader is not None:
                return reader.read(low, high)
            for index in range(low, high):
                # Before they are read: HDF5 takes what it made up for a chunk that is there.
                if not is_written(segment, index):
                    raise FrameError(
                        f"{self.path} frame {index} of {segment.name} was never written"
                    )
                if self._compressions[number] is not Compression.OTHER:
                    check_frame(segment, index)
            block = segment[()][np.newaxis] if segment.ndim == 2 else segment[low:high]
        except (OSError, RuntimeError) as error:
            raise FrameError(
                f"{self.path} frames {low}..{high - 1} of {segment.name}: {error}"
            ) from error
        return np.asarray(block)

    def _lengths(self) -> list[int]:
        lengths = []
        for segment in self._segments:
            try:
                with ONE_AT_A_TIME:
                    segment.refresh()
                lengths.append(1 if segment.ndim == 2 else int(segment.shape[0]))
            except (OSError, RuntimeError) as error:
                raise FrameError(f"{self.path} {segment.name}: {error}") from error
        return lengths

    def _find(self, dataset: str | None) -> list[h5py.Dataset]:
        try:
            item = _default(self._file) if dataset is None else self._file[dataset]
        except (KeyError, OSError) as error:
            raise FrameError(f"{self.path}: no dataset {dataset!r} that can be read") from error
        segments = _segments(item) if isinstance(item, h5py.Group) else [item]
        if not segments:
            raise FrameError(f"{self.path}: no images (a dataset of two or three dimensions)")
        for segment in segments:
            if segment.ndim not in (2, 3) or segment.dtype.kind not in "biuf":
                raise FrameError(
                    f"{self.path}: {segment.name} holds no images: "
                    f"shape {segment.shape}, dtype {segment.dtype}"
                )
        return segments


def open_hdf5(path: Path) -> h5py.File:
    """An HDF5 file to read, also while it is written; FrameError where it cannot be."""
    # SWMR first: a plain open of a file that is being written is refused or reads stale data.
    # Locks would keep a writer out, and fail on file systems that have none; but a file that
    # this process holds open already (its own detector's) opens only with the same flags.
    reason: Exception | None = None
    for swmr, locking in ((True, False), (False, False), (True, None), (False, None)):
        try:
            return h5py.File(path, "r", libver="latest", swmr=swmr, locking=locking)
        except (OSError, ValueError) as error:
            reason = reason or error
    raise FrameError(f"{path}: not a readable HDF5 file: {reason}") from reason


def _segments(group: h5py.Group) -> list[h5py.Dataset]:
    """Datasets data_000001, data_000002 .. of a master file, in order."""
    names = sorted(name for name in group if _SEGMENT.match(name))
    # A master file links to segments that the detector has yet to write.
    found = (group.get(name) for name in names)
    return [item for item in found if isinstance(item, h5py.Dataset)]


def _default(file: h5py.File) -> h5py.Dataset | h5py.Group:
    """What the file's ``default`` and ``signal`` attributes name, or its largest image stack."""
    group: h5py.Group = file
    while isinstance(name := group.attrs.get("default"), str) and name in group:
        group = group[name]
    signal = group.attrs.get("signal") if isinstance(group, h5py.Group) else None
    if isinstance(signal, str) and signal in group and group[signal].ndim in (2, 3):
        return group[signal]
    for path in ("entry/data", "entry/instrument/detector"):
        item = file.get(path)
        if isinstance(item, h5py.Group) and _segments(item):
            return item
    stacks = [item for item in _walk(file, set()) if _is_stack(item)]
    if not stacks:
        raise FrameError(f"{file.filename}: no images (a dataset of two or three dimensions)")
    return max(stacks, key=lambda stack: stack.size)


def _walk(group: h5py.Group, seen: set[object]) -> Iterator[h5py.Dataset]:
    """Datasets below a group, through soft and external links, each group once."""
    for name in group:
        item = group.get(name)
        if isinstance(item, h5py.Group):
            identity = h5py.h5o.get_info(item.id)
            key = (identity.fileno, identity.addr)
            if key not in seen:
                seen.add(key)
                yield from _walk(item, seen)
        elif isinstance(item, h5py.Dataset):
            yield item


def _is_stack(item: h5py.Dataset) -> bool:
    return item.ndim in (2, 3) and item.dtype.kind in "biuf" and min(item.shape[-2:]) > 1
