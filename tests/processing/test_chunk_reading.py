"""Chunks of bitshuffle-LZ4 decoded by our own kernel: what HDF5 gives, and never more."""

import gc
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest
from numpy.typing import NDArray

from ringline.processing import FrameError, open_frames
from ringline.processing.bitshuffle_kernels import SPARE, decode_chunk
from ringline.processing.recycled_memory import RecycledMemory

RNG = np.random.default_rng(3)


def written(path: Path, stack: NDArray[np.generic], nelems: int = 0) -> Path:
    with h5py.File(path, "w") as file:
        filters = hdf5plugin.Bitshuffle(nelems=nelems, cname="lz4")
        file.create_dataset("data", data=stack, chunks=(1, *stack.shape[1:]), **filters)
    return path


def images(kind: str, shape: tuple[int, int]) -> NDArray[np.float64]:
    if kind == "noise":
        return RNG.integers(0, 2**31, (3, *shape)).astype(np.float64)
    if kind == "zeros":
        return np.zeros((3, *shape))
    if kind == "ramps":
        return np.arange(3 * shape[0] * shape[1]).reshape(3, *shape) // 7 % 250.0
    return RNG.poisson(RNG.uniform(0, 20, shape), (3, *shape)).astype(np.float64)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "<u4", "i4", "f4", "f2", "u8", ">u2"])
@pytest.mark.parametrize("kind", ["counts", "noise", "zeros", "ramps"])
@pytest.mark.parametrize("shape", [(1, 7), (3, 8), (65, 71), (131, 257)])
def test_any_image_is_read_bit_by_bit(
    dtype: str, kind: str, shape: tuple[int, int], tmp_path: Path
) -> None:
    with np.errstate(invalid="ignore", over="ignore"):
        stack = images(kind, shape).astype(np.int64).astype(dtype)
    with open_frames(written(tmp_path / "f.h5", stack), "data") as frames:
        block = frames.read(0, 3)
    assert block.dtype == np.dtype(dtype)
    assert block.tobytes() == stack.tobytes()


@pytest.mark.parametrize("nelems", [8, 64, 72, 1024, 16384])
def test_blocks_may_have_any_length(nelems: int, tmp_path: Path) -> None:
    stack = images("counts", (101, 103)).astype(np.uint16)
    with open_frames(written(tmp_path / "f.h5", stack, nelems)) as frames:
        np.testing.assert_array_equal(frames.read(0, 3), stack)


def test_a_chunk_that_was_written_without_its_filter_is_read(tmp_path: Path) -> None:
    stack = images("counts", (20, 30)).astype(np.uint16)
    with h5py.File(written(tmp_path / "f.h5", stack), "r+") as file:
        file["data"].id.write_direct_chunk((1, 0, 0), stack[2].tobytes(), filter_mask=1)
    with open_frames(tmp_path / "f.h5") as frames:
        np.testing.assert_array_equal(frames.read(0, 3), stack[[0, 2, 2]])


def test_a_frame_that_was_never_written_is_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        filters = hdf5plugin.Bitshuffle(cname="lz4")
        data = file.create_dataset("data", (9, 20, 30), "u2", chunks=(1, 20, 30), **filters)
        data[0] = data[8] = 1
    with open_frames(tmp_path / "f.h5") as frames:
        with pytest.raises(FrameError, match="frame 1 of /data was never written"):
            frames.read(0, 9)
        assert (frames.read(8, 9) == 1).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
def test_damaged_bytes_never_reach_beyond_the_arrays(dtype: type, tmp_path: Path) -> None:
    image = images("counts", (60, 61)).astype(dtype)[:1]
    with h5py.File(written(tmp_path / "f.h5", image)) as file:
        good = np.frombuffer(file["data"].id.read_direct_chunk((0, 0, 0))[1], np.uint8)
    size, room = image.nbytes, good.size + SPARE
    guarded = np.full(size + 512, 0xA5, np.uint8)
    planes = np.full(min(8192, size) + SPARE + 256, 0x5A, np.uint8)
    target = guarded[256 : 256 + size].view(dtype)
    refused = 0
    for _ in range(4000):
        chunk = np.zeros(room, np.uint8)
        chunk[: good.size] = good
        for _ in range(RNG.integers(1, 4)):
            chunk[RNG.integers(0, good.size)] = RNG.integers(0, 256)
        length = good.size if RNG.random() < 0.5 else int(RNG.integers(0, good.size))
        refused += not decode_chunk(chunk, length, target, planes[:-256])
        assert (guarded[:256] == 0xA5).all()
        assert (guarded[256 + size :] == 0xA5).all()
        assert (planes[-256:] == 0x5A).all()
    assert refused > 1000


def test_every_cut_of_a_chunk_is_refused(tmp_path: Path) -> None:
    image = images("counts", (33, 35)).astype(np.uint16)[:1]
    with h5py.File(written(tmp_path / "f.h5", image)) as file:
        good = np.frombuffer(file["data"].id.read_direct_chunk((0, 0, 0))[1], np.uint8)
    chunk = np.concatenate([good, np.zeros(SPARE, np.uint8)])
    target, planes = np.empty(image.size, np.uint16), np.empty(8192 + SPARE, np.uint8)
    assert not any(decode_chunk(chunk, size, target, planes) for size in range(good.size))
    assert decode_chunk(chunk, good.size, target, planes)


def test_frames_keep_their_values_when_later_ones_are_read(tmp_path: Path) -> None:
    stack = images("counts", (65, 71)).astype(np.uint16)
    with open_frames(written(tmp_path / "f.h5", stack)) as frames:
        views = [frames.read(k, k + 1)[0][::2] for k in range(3)]
        for k in range(3):
            frames.read(k, k + 1)
    for view, image in zip(views, stack, strict=True):
        np.testing.assert_array_equal(view, image[::2])


def test_memory_is_used_again_once_the_last_view_is_gone() -> None:
    memory = RecycledMemory()
    first = memory.array((3, 4), np.dtype(np.uint16))
    view, address = first[1], first.ctypes.data
    del first
    second = memory.array((3, 4), np.dtype(np.uint16))
    assert second.ctypes.data != address
    del view
    gc.collect()
    third = memory.array((4, 3), np.dtype(np.int16))
    assert third.ctypes.data == address
