"""Sums of blocks of frames, against those of each frame alone, which NumPy has checked."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringline.processing.bin_table import BinTable, Limits
from ringline.processing.block_sums import block_sums
from ringline.processing.frame_sums import frame_sums
from ringline.processing.types import ImageArray

EDGES = Limits(low=0, high=100)
HOLE = Limits(hole_low=0.9, hole_high=1.1)


def made_up_table(rng: np.random.Generator, pixels: int, bins: int, width: int) -> BinTable:
    """Any bins and shares; about one pixel in eight does not count."""
    first = rng.integers(0, bins, pixels)
    first[rng.random(pixels) < 0.125] = bins
    if not width:
        return BinTable(bins, first.astype(np.uint16))
    shares = (rng.integers(0, 2**24 + 1, (pixels, width)) / 2.0**24).astype(np.float32)
    used = np.flatnonzero(first < bins)
    extra = np.sort(rng.choice(used, used.size // 4, replace=False))
    return BinTable(
        bins,
        first.astype(np.uint16),
        shares,
        extra.astype(np.uint32),
        rng.integers(0, bins, extra.size).astype(np.uint32),
        (rng.integers(0, 2**24, extra.size) / 2.0**24).astype(np.float32),
    )


def frames_of(rng: np.random.Generator, dtype: str, frames: int, pixels: int) -> ImageArray:
    """Mostly low counts, a few at the ends of the dtype; for floats also not a number."""
    kind = np.dtype(dtype)
    raw = rng.poisson(1.5, (frames, pixels)).astype(kind)
    at = rng.random((frames, pixels))
    if kind.kind == "f":
        raw += rng.random((frames, pixels)).astype(kind)
        raw[at < 0.003], raw[at < 0.002], raw[at < 0.001] = np.nan, np.inf, -7.5
    else:
        raw[at < 0.002], raw[at < 0.001] = np.iinfo(kind).min, np.iinfo(kind).max
    return raw


def assert_block_equals_frames(
    table: BinTable, block: ImageArray, limits: Limits | None, *, poisson: bool
) -> None:
    found = block_sums(table, block, limits, poisson=poisson)
    assert len(found) == len(block)
    for raw, sums in zip(block, found, strict=True):
        alone = frame_sums(table, raw, limits, poisson=poisson)
        np.testing.assert_array_equal(sums.exceptions, alone.exceptions)
        np.testing.assert_array_equal(sums.signal, alone.signal)
        np.testing.assert_equal(sums.variance, alone.variance)


@settings(deadline=None, max_examples=120)
@given(
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from([("u2", 0), ("u4", 0), ("f4", 0), ("u2", 2), ("f4", 2), ("u2", 6)]),
    frames=st.integers(1, 40),
    pixels=st.integers(1, 300),
    limits=st.sampled_from([None, EDGES, HOLE]),
)
def test_a_block_has_the_bits_of_its_frames(
    seed: int, kind: tuple[str, int], frames: int, pixels: int, limits: Limits | None
) -> None:
    rng = np.random.default_rng(seed)
    table = made_up_table(rng, pixels, int(rng.integers(1, 40)), kind[1])
    block = frames_of(rng, kind[0], frames, pixels)
    assert_block_equals_frames(table, block, limits, poisson=True)


@pytest.mark.parametrize("width", [0, 2])
def test_a_block_without_errors_has_the_bits_of_its_frames(width: int) -> None:
    rng = np.random.default_rng(3)
    table = made_up_table(rng, 4_099, 77, width)
    assert_block_equals_frames(table, frames_of(rng, "u2", 21, 4_099), None, poisson=False)


@pytest.mark.parametrize(("dtype", "width"), [("u2", 0), ("f4", 0), ("u2", 2)])
def test_frames_of_several_segments_have_the_bits_of_frames_alone(dtype: str, width: int) -> None:
    rng = np.random.default_rng(4)
    table = made_up_table(rng, 300_017, 211, width)
    assert table.groups > 1
    assert_block_equals_frames(table, frames_of(rng, dtype, 17, 300_017), EDGES, poisson=True)


@pytest.mark.parametrize("bytes_", [1, 2, 4])
def test_the_largest_values_and_fullest_bins_do_not_overflow(bytes_: int) -> None:
    pixels = 3 * 65_536 + 5
    table = BinTable(1, np.zeros(pixels, np.uint16))
    largest = 2 ** (8 * bytes_) - 1
    block = np.full((16, pixels), largest, f"u{bytes_}")
    block[1] = 0
    for frame, sums in enumerate(block_sums(table, block, poisson=True)):
        total = 0.0 if frame == 1 else float(largest * pixels)
        assert sums.variance is not None
        assert (sums.signal[0], sums.variance[0]) == (total, total or float(pixels))


def test_a_block_of_nothing_but_exceptions_sums_to_nothing() -> None:
    table = BinTable(7, (np.arange(20_001) % 8).astype(np.uint16))
    block = np.full((17, 20_001), 65_535, np.uint16)
    for sums in block_sums(table, block, Limits(high=65_534), poisson=True):
        np.testing.assert_array_equal(sums.exceptions, np.flatnonzero(table.first != 7))
        assert not sums.signal.any()
        assert sums.variance is not None
        assert not sums.variance.any()


def test_an_empty_block_has_no_sums() -> None:
    table = BinTable(1, np.zeros(5, np.uint16))
    assert block_sums(table, np.empty((0, 5), np.uint16), poisson=True) == []
