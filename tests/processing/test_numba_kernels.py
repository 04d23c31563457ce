"""The compiled loops over one frame, against sums by plain NumPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ringline.processing import worker_threads
from ringline.processing.bin_table import FULL_SHARE, RUNS, BinSums, BinTable, Limits, kernel_input
from ringline.processing.errors import RecipeError
from ringline.processing.frame_sums import frame_sums
from ringline.processing.types import ImageArray


def made_up_table(
    rng: np.random.Generator, pixels: int, bins: int, width: int = 0, *, compact: bool = False
) -> BinTable:
    """Any bins and shares; about one pixel in eight does not count."""
    first = rng.integers(0, bins, pixels)
    first[rng.random(pixels) < 0.125] = bins
    numbers = first.astype(np.uint16 if bins + RUNS[-1] < 2**16 else np.uint32)
    if not width:
        return BinTable(bins, numbers)
    shares = rng.integers(0, 2**24 + 1, (pixels, width)) / 2.0**24
    shares[first == bins] = 0
    coefficients = np.rint(shares * FULL_SHARE).astype(np.uint16) if compact else shares
    extra = (
        np.sort(rng.choice(np.flatnonzero(first < bins), min(pixels // 4, 50)).astype(np.uint32))
        if (first < bins).any()
        else np.empty(0, np.uint32)
    )
    return BinTable(
        bins,
        numbers,
        coefficients if compact else shares.astype(np.float32),
        extra,
        rng.integers(0, bins, extra.size).astype(np.uint32),
        (rng.integers(0, 2**24, extra.size) / 2.0**24).astype(np.float32),
    )


def sums_by_numpy(
    table: BinTable, raw: ImageArray, limits: Limits | None, *, poisson: bool
) -> BinSums:
    rule = limits or Limits()
    ok = np.isfinite(raw) & (raw >= rule.low) & (raw <= rule.high)
    ok &= ~((raw >= rule.hole_low) & (raw <= rule.hole_high))
    counts = np.where(ok, raw, 0).astype(float)
    spread = np.where(ok, np.maximum(counts, 1.0), 0.0)
    signal, variance = np.zeros((2, table.bins + 1 + RUNS[-1]))

    def add(bins: NDArray[np.integer], share: NDArray[np.float64], pixels: object) -> None:
        np.add.at(signal, bins.astype(int), share * counts[pixels])
        np.add.at(variance, bins.astype(int), share**2 * spread[pixels])

    shares = np.ones((raw.size, 1)) if table.coefficients is None else table.coefficients
    for k in range(shares.shape[1]):
        add(table.first.astype(int) + k, shares[:, k].astype(float) / table.scale, slice(None))
    add(table.extra_bin, table.extra_coefficient.astype(float), table.extra_pixel)
    out = np.flatnonzero(~ok & (table.first != table.bins)).astype(np.uint32)
    return BinSums(signal[: table.bins], variance[: table.bins] if poisson else None, out)


def assert_same_sums(found: BinSums, expected: BinSums) -> None:
    np.testing.assert_array_equal(found.exceptions, expected.exceptions)
    np.testing.assert_allclose(found.signal, expected.signal, rtol=1e-12, atol=1e-12)
    assert (found.variance is None) == (expected.variance is None)
    if found.variance is not None and expected.variance is not None:
        np.testing.assert_allclose(found.variance, expected.variance, rtol=1e-12, atol=1e-12)


def assert_same_bits(one: BinSums, other: BinSums) -> None:
    np.testing.assert_array_equal(one.signal, other.signal)
    np.testing.assert_array_equal(one.exceptions, other.exceptions)
    if one.variance is not None or other.variance is not None:
        np.testing.assert_array_equal(one.variance, other.variance)


def pixels_of(rng: np.random.Generator, dtype: str, pixels: int) -> ImageArray:
    """Mostly low counts, some at the ends of the dtype; for floats also not a number."""
    kind = np.dtype(dtype)
    raw = rng.poisson(1.5, pixels).astype(kind)
    at = rng.random(pixels)
    if kind.kind == "f":
        raw[at < 0.1] *= 0.37
        raw[at < 0.06] = -7.25
        raw[at < 0.03], raw[at < 0.02], raw[at < 0.01] = np.nan, np.inf, -np.inf
    else:
        raw[at < 0.06], raw[at < 0.03] = np.iinfo(kind).min, np.iinfo(kind).max
    return raw


LIMITS = st.sampled_from(
    [None, Limits(high=100), Limits(low=0, high=2.5), Limits(hole_low=0.9, hole_high=1.1)]
)
DTYPES = st.sampled_from(["u2", "u4", "i4", "f4"])
SEEDS = st.integers(0, 2**32 - 1)


@settings(deadline=None, max_examples=150)
@given(
    seed=SEEDS,
    dtype=DTYPES,
    pixels=st.integers(1, 700),
    bins=st.integers(1, 50),
    limits=LIMITS,
    poisson=st.booleans(),
)
def test_whole_pixels_sum_as_numpy_does(
    seed: int, dtype: str, pixels: int, bins: int, limits: Limits | None, *, poisson: bool
) -> None:
    rng = np.random.default_rng(seed)
    table, raw = made_up_table(rng, pixels, bins), pixels_of(rng, dtype, pixels)
    found = frame_sums(table, raw, limits, poisson=poisson)
    assert_same_sums(found, sums_by_numpy(table, raw, limits, poisson=poisson))


@settings(deadline=None, max_examples=100)
@given(
    seed=SEEDS,
    kind=st.sampled_from([("u2", 2), ("f4", 2), ("u2", 3), ("u2", 6), ("f4", 16)]),
    pixels=st.integers(1, 700),
    limits=LIMITS,
    poisson=st.booleans(),
    compact=st.booleans(),
)
def test_split_pixels_sum_as_numpy_does(
    seed: int,
    kind: tuple[str, int],
    pixels: int,
    limits: Limits | None,
    *,
    poisson: bool,
    compact: bool,
) -> None:
    rng = np.random.default_rng(seed)
    dtype, width = kind
    table = made_up_table(rng, pixels, int(rng.integers(1, 50)), width, compact=compact)
    raw = pixels_of(rng, dtype, pixels)
    found = frame_sums(table, raw, limits, poisson=poisson)
    assert_same_sums(found, sums_by_numpy(table, raw, limits, poisson=poisson))


@pytest.mark.parametrize("width", [0, 2])
@pytest.mark.parametrize("dtype", ["u2", "f4"])
def test_a_cake_of_many_bins_sums_as_numpy_does(width: int, dtype: str) -> None:
    rng = np.random.default_rng(1)
    table, raw = made_up_table(rng, 100_003, 80_000, width), pixels_of(rng, dtype, 100_003)
    found = frame_sums(table, raw, poisson=True)
    assert_same_sums(found, sums_by_numpy(table, raw, None, poisson=True))


@pytest.mark.parametrize("width", [0, 2, 6])
def test_the_number_of_threads_changes_no_bit(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    table, raw = made_up_table(rng, 300_001, 90, width), pixels_of(rng, "f4", 300_001)
    assert table.groups > 1
    found = []
    for number in ("1", "2", "5"):
        monkeypatch.setenv(worker_threads.VARIABLE, number)
        worker_threads.threads.cache_clear()
        found.append(frame_sums(table, raw, poisson=True))
    worker_threads.threads.cache_clear()
    assert_same_bits(found[0], found[1])
    assert_same_bits(found[0], found[2])


def test_the_largest_values_do_not_overflow() -> None:
    pixels = 2**22 + 3
    table = BinTable(1, np.zeros(pixels, np.uint16))
    for dtype in ("u2", "u4"):
        raw = np.full(pixels, np.iinfo(dtype).max, dtype)
        sums = frame_sums(table, raw, poisson=True)
        assert sums.variance is not None
        assert sums.signal[0] == sums.variance[0] == float(pixels * int(raw[0]))
    zeros = frame_sums(table, np.zeros(pixels, np.uint16), poisson=True)
    assert zeros.variance is not None
    assert (zeros.signal[0], zeros.variance[0]) == (0, pixels)


def test_a_frame_of_nothing_but_exceptions_sums_to_nothing() -> None:
    table = BinTable(7, (np.arange(200_001) % 8).astype(np.uint16))
    sums = frame_sums(table, np.full(200_001, 65535, np.uint16), Limits(high=65534), poisson=True)
    np.testing.assert_array_equal(sums.exceptions, np.flatnonzero(table.first != 7))
    assert not sums.signal.any()
    assert sums.variance is not None
    assert not sums.variance.any()


def test_a_table_without_pixels_in_use_sums_to_nothing() -> None:
    table = BinTable(3, np.full(10, 3, np.uint16))
    sums = frame_sums(table, np.full(10, 9, np.uint16), Limits(high=5), poisson=True)
    assert not sums.signal.any()
    assert not sums.exceptions.size


@pytest.mark.parametrize(
    ("given", "kernel"),
    [(">u2", "u2"), ("i1", "i2"), ("u8", "f8"), ("?", "u1"), ("f2", "f8"), (">f4", "f4")],
)
def test_other_dtypes_are_converted_once(given: str, kernel: str) -> None:
    image = np.arange(6).reshape(2, 3).astype(given).T
    raw = kernel_input(image)
    assert raw.dtype == kernel
    assert raw.flags.c_contiguous
    np.testing.assert_array_equal(raw, image)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "i4", "f4", "f8"])
@given(bounds=st.lists(st.floats(-70_000, 70_000, width=32), min_size=4, max_size=4))
def test_limits_mean_the_same_for_every_dtype(dtype: str, bounds: list[float]) -> None:
    low, high, hole_low, hole_high = (bound + 0.1 * (k % 2) for k, bound in enumerate(bounds))
    limits = Limits(low=low, high=high, hole_low=hole_low, hole_high=hole_high)
    kind = np.dtype(dtype)
    near = np.array([bound + step for bound in bounds for step in (-1, -0.5, 0, 0.1, 0.5, 1)])
    ends = (0.0, 255.0) if kind == np.uint8 else (-32_768.0, 32_767.0)
    values = np.clip(near, max(ends[0], 0) if kind.kind == "u" else ends[0], ends[1]).astype(kind)
    found = limits.of_dtype(kind)
    exact = values.astype(float)
    expected = (exact >= low) & (exact <= high) & ~((exact >= hole_low) & (exact <= hole_high))
    if found is None:
        assert expected.all()
        return
    counts = (values >= found[0]) & (values <= found[1])
    counts &= ~((values >= found[2]) & (values <= found[3]))
    np.testing.assert_array_equal(counts, expected)


def test_native_contiguous_pixels_are_not_copied() -> None:
    image = np.zeros((3, 4), np.uint16)
    assert np.shares_memory(kernel_input(image), image)


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5"])
def test_a_wrong_number_of_threads_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(worker_threads.VARIABLE, text)
    worker_threads.threads.cache_clear()
    try:
        with pytest.raises(RecipeError, match="RINGLINE_THREADS must be"):
            worker_threads.threads()
    finally:
        worker_threads.threads.cache_clear()


def test_an_error_in_one_part_reaches_the_caller() -> None:
    def task(part: int) -> None:
        if part == 3:
            raise RuntimeError("part 3")

    with pytest.raises(RuntimeError, match="part 3"):
        worker_threads.in_parallel(task, 5)


def test_parts_may_run_parts_of_their_own() -> None:
    seen: list[tuple[int, int]] = []
    worker_threads.in_parallel(
        lambda i: worker_threads.in_parallel(lambda j: seen.append((i, j)), 3), 4
    )
    assert sorted(seen) == [(i, j) for i in range(4) for j in range(3)]
