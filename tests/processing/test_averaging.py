"""Averages of frames against plain loops, pyFAI, and the laws that they obey."""

from collections.abc import Iterator
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyFAI.average import average_dark

from ringline.processing import (
    Average,
    Averaging,
    ClippedMean,
    Corrections,
    FrameError,
    Mean,
    Median,
    RecipeError,
    average,
    frames_of,
    normalized,
    open_frames,
    subtract_dark,
)
from ringline.processing.arrays import input_array
from ringline.processing.averaging_settings import Method
from ringline.processing.frame_stack import FrameStack

Stack = NDArray[np.generic]
METHODS = [Mean(), Median(), ClippedMean(), ClippedMean(threshold=2.0, iterations=1)]


def clipped(values: NDArray[np.float64], method: ClippedMean, floor: float) -> NDArray[np.float64]:
    """What sigma clipping keeps of one pixel, as the manual says it."""
    center = np.median(values)
    scale = max(1.4826022 * np.median(abs(values - center)), floor)
    if scale == 0 and values.size > 1:
        scale = np.std(values, ddof=1)
    kept = abs(values - center) <= method.threshold * scale
    for _ in range(method.iterations - 1):
        center = np.median(values[kept])
        scale = np.std(values[kept], ddof=1) if kept.sum() > 1 else 0.0
        again = abs(values - center) <= method.threshold * max(scale, floor)
        if not again.any() or (again == kept).all():
            break
        kept = again
    return values[kept]


def expected(stack: Stack, method: Method, usable: NDArray[np.bool_]) -> list[Stack]:
    """Data, variance and count of each pixel, one after another."""
    data, variance = np.full((2, *stack.shape[1:]), np.nan)
    count = np.zeros(stack.shape[1:], int)
    for pixel in np.ndindex(*stack.shape[1:]):
        values = stack[:, *pixel][usable[:, *pixel]].astype(float)
        if isinstance(method, ClippedMean) and values.size:
            values = clipped(values, method, 0.0 if stack.dtype.kind == "f" else 1.0)
        if values.size == 0:
            continue
        data[pixel] = np.median(values) if isinstance(method, Median) else np.mean(values)
        count[pixel] = values.size
        if values.size > 1 and not isinstance(method, Median):
            variance[pixel] = np.var(values, ddof=1) / values.size
    return [data, variance, count]


def noisy(frames: int, dtype: str, seed: int = 1) -> Stack:
    """Counts with a zinger in a tenth of the pixels of each third frame."""
    rng = np.random.default_rng(seed)
    stack = rng.poisson(9, (frames, 6, 7)).astype(float)
    if np.dtype(dtype).kind == "f":
        stack += rng.normal(0, 0.3, stack.shape)
    stack[::3][rng.random(stack[::3].shape) < 0.1] = 120
    return stack.astype(dtype)


def same(one: Average, other: Average) -> None:
    for name in ("data", "variance", "count", "rejected"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5, 11, 40])
@pytest.mark.parametrize("dtype", ["u1", "i2", ">u2", "u4", "i8", "f4", ">f8"])
def test_each_pixel_is_what_a_loop_over_its_values_gives(
    method: Method, frames: int, dtype: str
) -> None:
    stack = noisy(frames, dtype)
    found = average(stack, Averaging(method=method))
    data, variance, count = expected(stack, method, np.ones(stack.shape, bool))
    np.testing.assert_allclose(found.data, data, rtol=1e-6)
    if not isinstance(method, Median):
        np.testing.assert_allclose(found.variance, variance, rtol=1e-5, atol=1e-12)
    np.testing.assert_array_equal(found.count, count)
    np.testing.assert_array_equal(found.rejected, frames - count)
    assert found.frames == frames
    assert found.data.dtype == found.variance.dtype == np.float32


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_what_is_not_finite_or_out_of_bounds_does_not_count(method: Method) -> None:
    stack = noisy(9, "f8")
    rng = np.random.default_rng(2)
    for bad in (np.nan, np.inf, -np.inf, -1.0, 500.0, 900.0):
        stack[rng.random(stack.shape) < 0.07] = bad
    stack[:, 2, 3] = np.nan
    stack[1:, 4, 4] = np.nan
    stack[0, 4, 4] = 7
    usable = np.isfinite(stack) & (stack >= 0) & (stack < 500)
    found = average(stack, Averaging(method=method, minimum=0, saturation=500))
    data, _, count = expected(stack, method, usable)
    np.testing.assert_allclose(found.data, data, rtol=1e-6)
    np.testing.assert_array_equal(found.count, count)
    np.testing.assert_array_equal(found.rejected, usable.sum(axis=0) - count)
    assert np.isnan(found.data[2, 3])
    assert (found.data[4, 4], found.count[4, 4]) == (7, 1)
    assert np.isnan(found.variance[4, 4])


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "u4"])
def test_the_largest_value_of_an_integer_type_does_not_count(method: Method, dtype: str) -> None:
    stack = np.full((4, 2, 2), 5, dtype)
    stack[1, 0, 0] = stack[:, 1, 1] = np.iinfo(dtype).max
    found = average(stack, Averaging(method=method))
    np.testing.assert_array_equal(found.data, [[5, 5], [5, np.nan]])
    np.testing.assert_array_equal(found.count, [[3, 4], [4, 0]])


@pytest.mark.parametrize("frames", [3, 4, 5, 10, 30])
@pytest.mark.parametrize("zinger", [200, 60000])
@pytest.mark.parametrize("level", [0, 3])
def test_one_zinger_is_rejected_and_counted_however_few_the_frames(
    frames: int, zinger: int, level: int
) -> None:
    # Its own standard deviation hides it among fewer than eleven frames: (n - 1) / sqrt(n) < 3.
    stack = np.full((frames, 3, 4), level, np.uint16)
    stack[::2, 0] += 1
    clean = stack.copy()
    stack[frames // 2, 1, 2] = zinger
    found = average(stack)
    assert found.rejected.sum() == found.rejected[1, 2] == 1
    np.testing.assert_allclose(found.data, clean.mean(axis=0), rtol=1e-6)


def test_masked_pixels_have_no_value(tmp_path: Path) -> None:
    stack, mask = noisy(5, "u2"), np.eye(6, 7)
    np.save(tmp_path / "mask.npy", mask)
    for given_mask in (mask, mask > 0, str(tmp_path / "mask.npy")):
        found = average(stack, mask=given_mask)
        assert np.isnan(found.data[mask > 0]).all()
        assert np.isfinite(found.data[mask == 0]).all()
        assert not found.count[mask > 0].any()
        assert not found.rejected[mask > 0].any()
    with pytest.raises(RecipeError, match=r"mask: shape \(2, 2\), the frames have \(6, 7\)"):
        average(stack, mask=np.zeros((2, 2)))


@pytest.mark.parametrize("method", ["mean", "median"])
def test_mean_and_median_are_those_of_pyfai(method: str) -> None:
    stack = noisy(20, "i4")
    found = average(stack, Averaging(method=Mean() if method == "mean" else Median()))
    np.testing.assert_allclose(found.data, average_dark(stack, method), rtol=1e-6)


def test_clipping_is_that_of_pyfai_where_one_round_says_all() -> None:
    # pyFAI clips once, by the standard deviation of all: enough for one zinger among many.
    stack = np.random.default_rng(3).uniform(90, 110, (40, 6, 7)).astype(np.float32)
    stack[11, 2, 3] = stack[12, 4, 1] = 5000
    found = average(stack)
    np.testing.assert_allclose(found.data, average_dark(stack, "median", 3.0), rtol=1e-6)
    assert found.rejected.sum() == 2


@given(
    order=st.permutations(range(12)),
    dtype=st.sampled_from(["u1", "u2", "i4", "f4", "f8"]),
    method=st.sampled_from(METHODS),
)
def test_the_order_of_frames_does_not_matter(order: list[int], dtype: str, method: Method) -> None:
    stack = noisy(12, dtype)
    one = average(stack, Averaging(method=method))
    other = average(stack[order], Averaging(method=method))
    np.testing.assert_array_equal(one.count, other.count)
    np.testing.assert_array_equal(one.rejected, other.rejected)
    # The mean adds floats in the order in which they come; all else is bit by bit the same.
    close = 2e-7 if isinstance(method, Mean) else 0.0
    np.testing.assert_allclose(one.data, other.data, rtol=close)
    np.testing.assert_allclose(one.variance, other.variance, rtol=10 * close)


@given(frames=st.integers(1, 70), side=st.integers(90, 260), seed=st.integers(0, 99))
def test_frames_that_go_through_the_scratch_file_average_the_same(
    frames: int, side: int, seed: int
) -> None:
    stack = np.random.default_rng(seed).poisson(3, (frames, side, 101)).astype(np.uint16)
    stack[frames // 2, 7] = 999
    same(average(stack, Averaging(memory=1 << 20)), average(stack, Averaging(memory=1 << 28)))


@given(frames=st.integers(1, 90), width=st.integers(100, 9000))
def test_a_stack_gives_back_by_pixel_what_came_by_frame(
    frames: int, width: int, tmp_path: Path
) -> None:
    images = np.arange(frames * 9000, dtype=np.uint32).reshape(frames, 90, 100)
    with FrameStack((90, 100), images.dtype, memory=1 << 20, scratch=tmp_path) as stack:
        for image in images:
            stack.append(image)
        assert stack.finish() == frames
        parts = [stack.read(start, start + width) for start in range(0, 9000, width)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), images.reshape(frames, -1))


def test_the_scratch_file_has_no_name_and_is_read_in_bounded_pieces(tmp_path: Path) -> None:
    with FrameStack((200, 200), np.uint16, memory=1 << 20, scratch=tmp_path) as stack:
        for _ in range(300):
            stack.append(np.zeros((200, 200), np.uint16))
        stack.finish()
        assert list(tmp_path.iterdir()) == []
        assert stack.width * 300 * 2 <= 1 << 18
        assert stack.read(0, stack.width).shape == (300, stack.width)


def test_photon_counts_are_clipped_without_bias_beyond_what_is_documented() -> None:
    rng = np.random.default_rng(5)
    for mean, bound in ((0.02, 2e-3), (0.1, 2e-3), (1.0, 0.02), (2.0, 0.025), (20.0, 0.004)):
        stack = rng.poisson(mean, (100, 100, 200)).astype(np.uint16)
        found = average(stack)
        bias = found.data.mean(dtype=float) / stack.mean() - 1
        assert -bound < bias < bound / 10, mean
        assert average(stack, Averaging(method=Mean())).data.mean(dtype=float) == pytest.approx(
            stack.mean(), rel=1e-6
        )


def test_the_variance_of_normal_values_is_what_is_documented() -> None:
    values = np.random.default_rng(6).normal(5, 1, (200, 50, 60))
    for method, low, high in (
        (Mean(), 0.99, 1.01),
        (Median(), 1.53, 1.6),
        (ClippedMean(), 0.96, 1),
    ):
        found = average(values, Averaging(method=method))
        assert low < found.variance.mean() * 200 < high
        spread = found.data.astype(float).var() * 200
        assert spread == pytest.approx(found.variance.mean() * 200, rel=0.13), method
        assert abs(found.data.mean(dtype=float) - 5) < 4 / np.sqrt(values.size)


def test_clipping_finds_zingers_in_photon_counts() -> None:
    rng = np.random.default_rng(7)
    stack = rng.poisson(4, (50, 40, 40)).astype(np.uint32)
    hit = rng.random(stack.shape) < 0.01
    stack[hit] += rng.integers(30, 10**6, hit.sum(), dtype=np.uint32)
    found = average(stack)
    assert found.data.mean() == pytest.approx(4, rel=0.02)
    assert (found.rejected >= hit.sum(axis=0)).all()
    assert average(stack, Averaging(method=Mean())).data.mean() > 100


def test_a_file_is_averaged_frame_by_frame(tmp_path: Path) -> None:
    stack = noisy(9, "u2")
    with h5py.File(tmp_path / "f.h5", "w") as file:
        chunks = {"chunks": (1, 6, 7), **hdf5plugin.Bitshuffle(cname="lz4")}
        file.create_dataset("entry/data/data", data=stack, **chunks)
    with open_frames(tmp_path / "f.h5") as frames:
        same(average(frames), average(stack))
        same(average(frames_of(frames, count=4)), average(stack[:4]))
        same(average(iter(list(stack))), average(stack))


def test_a_frame_that_cannot_be_read_is_refused_or_skipped_by_name(tmp_path: Path) -> None:
    stack = noisy(9, "u2")
    with h5py.File(tmp_path / "f.h5", "w") as file:
        data = file.create_dataset("data", data=stack, chunks=(1, 6, 7), compression=1)
        data.id.write_direct_chunk((5, 0, 0), b"damaged")
    skipped: list[str] = []
    with open_frames(tmp_path / "f.h5") as frames:
        with pytest.raises(FrameError, match=r"f\.h5 frames 5\.\.5"):
            average(frames)
        found = average(frames_of(frames, skipped=skipped))
    same(found, average(np.delete(stack, 5, axis=0)))
    assert len(skipped) == 1
    assert "5" in skipped[0]


def frames_with(*images: Stack) -> Iterator[Stack]:
    yield np.zeros((2, 3), np.uint8)
    yield from images


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([np.zeros((3, 2), np.uint8)], r"frame 1: shape \(3, 2\), the first has \(2, 3\)"),
        ([np.zeros((2, 3), np.uint16)], "frame 1: uint16 does not fit into uint8 of the first"),
        ([np.zeros((2, 3), complex)], "frame 1: no image: .* complex128"),
        ([np.zeros((2, 3, 1), np.uint8)], "frame 1: no image"),
    ],
)
def test_frames_that_do_not_match_are_named(images: list[Stack], message: str) -> None:
    with pytest.raises(FrameError, match=message):
        average(frames_with(*images))


def test_no_frames_are_refused() -> None:
    with pytest.raises(FrameError, match="no frames"):
        average([])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: ClippedMean(threshold=0), "threshold must be >= 1, got 0"),
        (lambda: ClippedMean(threshold=float("nan")), "threshold must be finite, got nan"),
        (lambda: ClippedMean(iterations=0), "iterations must be a whole number >= 1"),
        (lambda: ClippedMean(floor=-1), "floor must be >= 0"),
        (lambda: Averaging(minimum=5, saturation=5), r"saturation must be > minimum \(5\), got 5"),
        (lambda: Averaging(memory=0), "memory must be a whole number >= 1048576"),
    ],
)
def test_settings_out_of_bounds_are_refused(wrong: object, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        wrong()  # type: ignore[operator]


def test_a_flat_has_mean_1_where_it_is_known_and_relative_errors_stay() -> None:
    stack = np.random.default_rng(8).poisson(500, (30, 20, 20)).astype(np.uint16)
    dark = input_array("dark", np.full((20, 20), 100.0))
    assert dark is not None
    net = subtract_dark(average(stack, mask=np.eye(20)), dark)
    flat = normalized(net)
    known = np.isfinite(flat.data)
    assert (known == ~np.eye(20, dtype=bool)).all()
    assert flat.data[known].mean(dtype=float) == pytest.approx(1, abs=1e-7)
    np.testing.assert_allclose(
        np.sqrt(flat.variance[known]) / flat.data[known],
        np.sqrt(net.variance[known]) / net.data[known],
        rtol=1e-5,
    )
    assert Corrections(flat=flat.data).flat is not None
    with pytest.raises(RecipeError, match="dark: shape"):
        subtract_dark(average(stack[:, 1:]), dark)
    with pytest.raises(FrameError, match="a flat needs a mean > 0, got 0"):
        normalized(average(np.zeros((3, 2, 2), np.uint8)))
