"""Chunks of HDF5 datasets, looked at before HDF5 decodes them."""

import struct

import h5py

from ringline.processing.errors import FrameError

_BITSHUFFLE = 32008
_LZ4, _ZSTD = 2, 3
_HEADER = struct.Struct(">QI")
_BLOCK_LENGTH = struct.Struct(">I")


def check_frame(segment: h5py.Dataset, index: int) -> None:
    """Refuse a frame whose chunks were cut short, in a dataset of shape (frames, slow, fast).

    The bitshuffle filter trusts the lengths in a chunk and reads beyond its end, which kills the
    process, so they are added up first.

    Raises
    ------
    FrameError:
        Naming the chunk.
    """
    if segment.ndim != 3 or segment.chunks is None or not _is_bitshuffled(segment):
        return
    depth, rows, columns = segment.chunks
    first = index - index % depth
    for row in range(0, segment.shape[1], rows):
        for column in range(0, segment.shape[2], columns):
            place = (first, row, column)
            if segment.id.get_chunk_info_by_coord(place).byte_offset is None:
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
    place = (index - index % segment.chunks[0], 0, 0)
    return segment.id.get_chunk_info_by_coord(place).byte_offset is not None


def _is_bitshuffled(segment: h5py.Dataset) -> bool:
    plan = segment.id.get_create_plist()
    if plan.get_nfilters() != 1:
        return False
    code, _, values, _ = plan.get_filter(0)
    return bool(code == _BITSHUFFLE and len(values) > 4 and values[4] in (_LZ4, _ZSTD))


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
