"""A recipe's shares ordered for GPUs: by tile of the detector, and in each tile by bin."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ringline.processing.table import Table

TILE_PIXELS = 4096
"""Pixels of a tile: eight bytes each fill a group's local memory."""
BATCH = 32
"""Strands that are stored, and run, side by side."""
PAD = 65535
"""In place of a pixel: a strand has ended."""
NO_SLOT = 0xFFFFFFFF
"""A strand that is not there: it fills a batch."""
_STRANDS_OF_TILE = 256
_SHORTEST = 8

_Values = TypeVar("_Values", bound=np.generic)


@dataclass(frozen=True, slots=True)
class TileLayout:
    """Each share of a pixel in a bin, as kernels read them.

    A tile is as much of the detector as fits a work-group's local memory. Its shares in one
    bin are cut into strands of similar length; one work-item sums a strand. Of 32 strands the
    first entries lie side by side, then the second ones, ..., ended by ``PAD``.
    """

    rows: int
    columns: int
    """Of a tile."""
    tiles_across: int
    pixel: NDArray[np.uint16]
    """Row x columns + column within the tile, shape (entries,)."""
    share: NDArray[np.float32] | None
    """Shape (entries,); None: all are 1."""
    unit: float
    """What a share of 1 in ``share`` stands for, in strands that are not ``plain``."""
    batch: NDArray[np.uint32]
    """First batch of each tile, shape (tiles + 1,)."""
    entry: NDArray[np.uint32]
    """First entry of each batch, shape (batches + 1,)."""
    slot: NDArray[np.uint32]
    """Where the sum of each strand goes, or ``NO_SLOT``; shape (32 batches,)."""
    bin: NDArray[np.uint32]
    """Bin of each strand, shape (32 batches,)."""
    plain: NDArray[np.uint8]
    """1 where the strand's shares are in units of 1, shape (32 batches,)."""
    start: NDArray[np.uint32]
    """First slot of each bin, shape (bins + 1,)."""

    @property
    def tiles(self) -> int:
        """How many tiles cover the detector."""
        return self.batch.size - 1

    @property
    def slots(self) -> int:
        """How many sums of strands a frame has."""
        return int(self.start[-1])


@dataclass(frozen=True, slots=True)
class _Entries:
    """Shares, ordered by tile, bin and pixel; each array of shape (n,)."""

    segment: NDArray[np.uint64]
    """Twice (tile x bins + bin), plus 1 where the share is in units of 1."""
    pixel: NDArray[np.uint16]
    share: NDArray[np.float32] | None


@dataclass(frozen=True, slots=True)
class _Strands:
    """Pieces of segments, ordered by tile and falling length; each array of shape (n,)."""

    segment: NDArray[np.uint64]
    first: NDArray[np.int64]
    """First entry."""
    length: NDArray[np.int64]


def tile_layout(table: Table) -> TileLayout:
    """Order the shares of a table."""
    rows = min(table.shape[0], 64)
    columns = TILE_PIXELS // rows
    across = -(-table.shape[1] // columns)
    tiles = across * -(-table.shape[0] // rows)
    entries = _ordered(table, rows, columns)
    strands = _cut(entries, 2 * table.bins, tiles)
    tile = (strands.segment // np.uint64(2 * table.bins)).astype(np.int64)
    bins = (strands.segment // np.uint64(2) % np.uint64(table.bins)).astype(np.uint32)
    # Each tile begins a batch of its own.
    batches = -(-np.bincount(tile, minlength=tiles) // BATCH)
    batch = np.concatenate(([0], np.cumsum(batches)))
    firsts = np.searchsorted(tile, np.arange(tiles))
    place = batch[tile] * BATCH + np.arange(tile.size) - firsts[tile]
    longest = np.zeros(batch[-1], np.int64)
    np.maximum.at(longest, place // BATCH, strands.length)
    entry = np.concatenate(([0], np.cumsum(longest * BATCH)))
    pixel, share = _interleaved(entries, strands, entry[place // BATCH] + place % BATCH, entry[-1])
    slot = np.empty(tile.size, np.uint32)
    slot[np.argsort(bins, kind="stable")] = np.arange(tile.size)
    return TileLayout(
        rows=rows,
        columns=columns,
        tiles_across=across,
        pixel=pixel,
        share=share,
        unit=1.0 / table.shares.scale,
        batch=batch.astype(np.uint32),
        entry=entry.astype(np.uint32),
        slot=_spread(slot, place, batch[-1], NO_SLOT),
        bin=_spread(bins, place, batch[-1], 0),
        plain=_spread((strands.segment & np.uint64(1)).astype(np.uint8), place, batch[-1], 0),
        start=np.concatenate(
            ([0], np.cumsum(np.bincount(bins, minlength=table.bins)))
        ).astype(np.uint32),
    )  # fmt: skip


def _ordered(table: Table, rows: int, columns: int) -> _Entries:
    fast, bins = table.shape[1], table.bins
    every = np.arange(table.norm.size, dtype=np.uint32)
    across = -(-fast // columns)
    keys, shares = [], []
    for pixels, numbers, share, plain in _parts(table):
        counts = np.flatnonzero((numbers < bins) & (share > 0))
        pixel = every[pixels][counts]
        row, column = np.divmod(pixel, np.uint32(fast))
        tile = (row // rows * across + column // columns).astype(np.uint64)
        segment = (tile * np.uint64(bins) + numbers[counts].astype(np.uint64)) * np.uint64(2)
        local = row % rows * columns + column % columns
        keys.append((segment + np.uint64(plain)) * np.uint64(TILE_PIXELS) + local)
        if table.shares.coefficients is not None:
            shares.append(share[counts])
    key = np.concatenate(keys)
    if not shares:
        key.sort()
        return _Entries(key // np.uint64(TILE_PIXELS), _local(key), None)
    order = np.argsort(key, kind="stable")
    key = key[order]
    return _Entries(key // np.uint64(TILE_PIXELS), _local(key), np.concatenate(shares)[order])


def _parts(
    table: Table,
) -> Iterator[tuple[slice | NDArray[np.uint32], NDArray[np.integer], NDArray[np.float32], bool]]:
    """Pixels, bins and shares in the table's own units, and whether these are units of 1."""
    shares = table.shares
    everywhere = slice(None)
    if shares.coefficients is None:
        yield everywhere, shares.first, np.ones(1, np.float32), True
        return
    for step in range(shares.width):
        numbers = shares.first.astype(np.uint32) + np.uint32(step)
        part = shares.coefficients[:, step].astype(np.float32)
        yield everywhere, numbers, part, shares.scale == 1.0
    yield shares.extra_pixel, shares.extra_bin, shares.extra_coefficient, True


def _local(key: NDArray[np.uint64]) -> NDArray[np.uint16]:
    return (key % np.uint64(TILE_PIXELS)).astype(np.uint16)


def _cut(entries: _Entries, segments_of_tile: int, tiles: int) -> _Strands:
    """Cut segments into pieces of similar length, about as many in a tile as it has items."""
    size = entries.segment.size
    starts = np.flatnonzero(np.diff(entries.segment, prepend=np.uint64(2**64 - 1)))
    lengths = np.diff(starts, append=size)
    longest = max(_SHORTEST, -(-size // (tiles * _STRANDS_OF_TILE)))
    pieces = -(-lengths // longest)
    owner = np.repeat(np.arange(starts.size), pieces)
    piece = np.arange(owner.size) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    first = starts[owner] + lengths[owner] * piece // pieces[owner]
    stop = starts[owner] + lengths[owner] * (piece + 1) // pieces[owner]
    segment = entries.segment[first]
    order = np.lexsort((first - stop, segment // np.uint64(segments_of_tile)))
    return _Strands(segment[order], first[order], (stop - first)[order])


def _interleaved(
    entries: _Entries, strands: _Strands, begins: NDArray[np.int64], size: int
) -> tuple[NDArray[np.uint16], NDArray[np.float32] | None]:
    """Pixels and shares where batches have them; a strand's first entry at ``begins``."""
    within = np.arange(strands.length.sum()) - np.repeat(
        np.cumsum(strands.length) - strands.length, strands.length
    )
    source = np.repeat(strands.first, strands.length) + within
    target = np.repeat(begins, strands.length) + within * BATCH
    pixel = np.full(size, PAD, np.uint16)
    pixel[target] = entries.pixel[source]
    if entries.share is None:
        return pixel, None
    share = np.zeros(size, np.float32)
    share[target] = entries.share[source]
    return pixel, share


def _spread(
    values: NDArray[_Values], place: NDArray[np.int64], batches: int, fill: int
) -> NDArray[_Values]:
    spread = np.full(batches * BATCH, fill, values.dtype)
    spread[place] = values
    return spread
