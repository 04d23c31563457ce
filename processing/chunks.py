"""Chunks of HDF5 datasets, looked at before HDF5 decodes them."""

import struct
from enum import Enum

import h5py

from ringline.processing.errors import FrameError

_BITSHUFFLE = 32008
_LZ4, _ZSTD = 2, 3
_HEADER = struct.Struct(">QI")
_BLOCK_LENGTH = struct.Struct(">I")


class Compression(Enum):
    """What the only filter of a dataset is, as far as it matters here."""

    LZ4 = _LZ4
    """Bitshuffle with LZ4."""
    ZSTD = _ZSTD
    """Bitshuffle with Zstandard."""
    OTHER = 0
    """None, several, or another one."""


def compression_of(segment: h5py.Dataset) -> Compression:
    """The filter of a dataset."""
    plan = segment.id.get_create_plist()
    if segment.chunks is None or plan.get_nfilters() != 1:
        return Compression.OTHER
    code, _, values, _ = plan.get_filter(0)
    if code != _BITSHUFFLE or len(values) < 5 or values[4] not in (_LZ4, _ZSTD):
        return Compression.OTHER
    return Compression(values[4])


def check_frame(segment: h5py.Dataset, index: int) -> None:
    """Refuse a frame whose chunks were cut short, in a bitshuffled dataset.

    The bitshuffle filter trusts the lengths in a chunk and reads beyond its end, which kills the
    process, so they are added up first.

    Raises
    ------
    FrameError:
        Naming the chunk.
    """
    if segment.ndim != 3:
        return
    depth, rows, columns = segment.chunks
    first = index - index % depth
    for row in range(0, segment.shape[1], rows):
        for column in range(0, segment.shape[2], columns):
            place = (first, row, column)
            if not _is_stored(segment, place):
                continue
            skipped_filters, chunk = segment.id.read_direct_chunk(place)
            if not skipped_filters and not _is_whole(chunk, segment.dtype.itemsize):
                raise FrameError(
                    f"{segment.file.filename} frame {index} of {segment.name}: "
                    "its chunk is damaged or cut short"
                )


def is_written(segment: h5py.Dataset, index: int) -> bool:
    """Whether a frame's first chunk is there: HDF5 silently gives the fill value where not."""
    if segment.chunks is None or segment.is_virtual or segment.ndim == 2:
        return True
    return _is_stored(segment, (index - index % segment.chunks[0], 0, 0))


def _is_stored(segment: h5py.Dataset, place: tuple[int, int, int]) -> bool:
    # Asked for a chunk's address, HDF5 goes through all chunks before it.
    try:
        segment.id.read_direct_chunk(place, out=bytearray(1))
    except ValueError:  # longer than that
        return True
    except RuntimeError:
        return False
    return True


def _is_whole(chunk: bytes, itemsize: int) -> bool:
    """Whether the blocks of a bitshuffle chunk fill it exactly.

    A header with the decoded size and the block size, in bytes; then each block with its length
    before it; then up to seven elements as they are.
    """
    if len(chunk) < _HEADER.size:
        return False
    size, block = _HEADER.unpack_from(chunk)
    if block == 0 or block % (8 * itemsize) or size % itemsize:
        return False
    rest = size % block
    plain = rest % (8 * itemsize)
    position = _HEADER.size
    for _ in range(size // block + (rest > plain)):
        if position + _BLOCK_LENGTH.size > len(chunk):
            return False
        position += _BLOCK_LENGTH.size + _BLOCK_LENGTH.unpack_from(chunk, position)[0]
    return bool(position + plain == len(chunk))
