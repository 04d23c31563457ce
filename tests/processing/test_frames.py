"""Frames from files of every kind, whole, growing and damaged."""

import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import fabio
import h5py
import hdf5plugin
import numpy as np
import pytest
from numpy.typing import NDArray

from ringline.processing import FrameError, open_frames

STACK = np.random.default_rng(1).poisson(9, (5, 12, 14)).astype(np.uint16)


@pytest.mark.parametrize(
    "compression",
    [
        {},
        {"chunks": (1, 12, 14), **hdf5plugin.Bitshuffle(cname="lz4")},
        {"chunks": (2, 6, 7), **hdf5plugin.Blosc()},
        {"chunks": (1, 12, 14), **hdf5plugin.LZ4()},
        {"chunks": (1, 12, 14), **hdf5plugin.Zstd()},
        {"chunks": (5, 12, 14), "compression": "gzip", "shuffle": True},
    ],
    ids=["contiguous", "bitshuffle", "blosc", "lz4", "zstd", "gzip"],
)
def test_every_filter_reads(compression: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("entry/data/data", data=STACK, **compression)
    with open_frames(path) as frames:
        assert (frames.frame_shape, frames.frame_count()) == ((12, 14), 5)
        block = frames.read(1, 4)
    np.testing.assert_array_equal(block, STACK[1:4])
    assert block.dtype == np.uint16


def test_a_dataset_of_one_image_is_one_frame(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["entry/data/data"] = STACK[0]
    for dataset in (None, "entry/data/data"):
        with open_frames(tmp_path / "f.h5", dataset) as frames:
            assert (frames.frame_shape, frames.frame_count()) == ((12, 14), 1)
            np.testing.assert_array_equal(frames.read(0, 1), STACK[:1])


WRITER = textwrap.dedent(
    """
    import sys, h5py, numpy as np
    with h5py.File(sys.argv[1], "w", libver="latest") as file:
        data = file.create_dataset(
            "data", (0, 6, 7), "u2", maxshape=(None, 6, 7), chunks=(1, 6, 7)
        )
        file.swmr_mode = True
        for index, line in enumerate(sys.stdin):
            data.resize(index + 1, axis=0)
            data[index] = index + 1
            data.flush()
            print(index, flush=True)
    """
)


@contextmanager
def growing(path: Path) -> Iterator[Callable[[], None]]:
    """A file that another process writes: a call writes one more frame, of its number from 1."""
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def write_one() -> None:
            process.stdin.write("go\n")  # type: ignore[union-attr]
            process.stdout.readline()  # type: ignore[union-attr]

        write_one()
        yield write_one
        process.stdin.close()


def test_a_file_written_by_another_process_is_read_while_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "growing.h5"
    with growing(path) as write_one, open_frames(path, "data") as frames:
        for count in range(1, 5):
            assert frames.frame_count() == count
            assert (frames.read(count - 1, count) == count).all()
            with pytest.raises(FrameError, match=f"has {count} frames, not frame {count}"):
                frames.read(count, count + 1)
            write_one()


def test_a_growing_file_is_read_by_several_at_once(tmp_path: Path) -> None:
    """By name, by another name and by default: HDF5 mixes frames up where it is open twice."""
    path = tmp_path / "growing.h5"
    with growing(path) as write_one, open_frames(path, "data") as first:
        for count in range(2, 6):
            write_one()
            assert (first.read(count - 1, count) == count).all()
            with open_frames(path, "/data") as second, open_frames(path) as third:
                assert second.frame_count() == third.frame_count() == count
                for frames in (third, first, second):
                    found = frames.read(0, count).max(axis=(1, 2))
                    np.testing.assert_array_equal(found, np.arange(1, count + 1))
            second.close()  # once more does no harm
            assert first.frame_count() == count


def test_external_links_and_virtual_datasets_are_followed(tmp_path: Path) -> None:
    for part in (0, 1):
        with h5py.File(tmp_path / f"part{part}.h5", "w") as file:
            file["data"] = STACK[2 * part : 2 * part + 2]
    with h5py.File(tmp_path / "master.h5", "w") as file:
        layout = h5py.VirtualLayout((4, 12, 14), np.uint16)
        for part in (0, 1):
            source = h5py.VirtualSource(f"part{part}.h5", "data", (2, 12, 14))
            layout[2 * part : 2 * part + 2] = source
        file.create_virtual_dataset("virtual", layout)
        file["linked"] = h5py.ExternalLink("part1.h5", "/data")
        group = file.create_group("entry/data")
        for part in (0, 1):
            group[f"data_{part + 1:06}"] = h5py.ExternalLink(f"part{part}.h5", "/data")
    for dataset, expected in (
        ("virtual", STACK[:4]),
        ("linked", STACK[2:4]),
        ("entry/data", STACK[:4]),
        (None, STACK[:4]),
    ):
        with open_frames(tmp_path / "master.h5", dataset) as frames:
            assert frames.frame_count() == len(expected)
            np.testing.assert_array_equal(frames.read(0, len(expected)), expected)
    with open_frames(tmp_path / "master.h5", "entry/data") as frames:
        np.testing.assert_array_equal(frames.read(1, 3), STACK[1:3])


def test_segments_that_the_detector_has_yet_to_write_are_not_there(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "data_1.h5", "w") as file:
        file["data"] = STACK
    with h5py.File(tmp_path / "master.h5", "w") as file:
        for part in (1, 2):
            link = h5py.ExternalLink(f"data_{part}.h5", "/data")
            file[f"entry/data/data_{part:06}"] = link
    with open_frames(tmp_path / "master.h5") as frames:
        assert frames.frame_count() == 5


def test_the_default_signal_of_a_nexus_file_is_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "n.nxs", "w") as file:
        file.attrs["default"] = "scan"
        file.create_group("scan/plot").attrs["signal"] = "counts"
        file["scan"].attrs["default"] = "plot"
        file["scan/plot/counts"] = STACK
        file["scan/larger"] = np.zeros((9, 20, 20))
    with open_frames(tmp_path / "n.nxs") as frames:
        np.testing.assert_array_equal(frames.read(0, 5), STACK)


@pytest.mark.parametrize("suffix", ["edf", "tif", "cbf", "npy"])
def test_formats_that_fabio_reads_give_the_same_pixels(suffix: str, tmp_path: Path) -> None:
    image = STACK[0].astype(np.int32)
    path = tmp_path / f"image.{suffix}"
    {
        "edf": fabio.edfimage.EdfImage,
        "tif": fabio.tifimage.TifImage,
        "cbf": fabio.cbfimage.CbfImage,
        "npy": fabio.numpyimage.NumpyImage,
    }[suffix](data=image).write(str(path))
    with open_frames(path) as frames:
        assert frames.frame_shape == image.shape
        np.testing.assert_array_equal(frames.read(0, 1)[0], image)


def test_several_frames_of_an_edf_file_are_read_by_index(tmp_path: Path) -> None:
    edf = fabio.edfimage.EdfImage(data=STACK[0])
    for image in STACK[1:]:
        edf.append_frame(data=image)
    edf.write(str(tmp_path / "series.edf"))
    with open_frames(tmp_path / "series.edf") as frames:
        assert frames.frame_count() == 5
        np.testing.assert_array_equal(frames.read(2, 5), STACK[2:5])
        with pytest.raises(FrameError, match="has frames 0..4, not 5"):
            frames.read(4, 6)


def test_a_real_tiff_reads_with_its_negative_gaps(shared_data: Callable[[str], Path]) -> None:
    with open_frames(shared_data("ceo2-pilatus1m/CeO2_Pilatus1M.tif")) as frames:
        image = frames.read(0, 1)[0]
    assert (image.shape, image.dtype, image.min()) == ((1043, 981), np.int32, -2)


def chunked(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "data", data=STACK, chunks=(1, 12, 14), **hdf5plugin.Bitshuffle(cname="lz4")
        )
    return path


def test_a_damaged_chunk_spoils_its_own_frame_only(tmp_path: Path) -> None:
    path = chunked(tmp_path / "bad.h5")
    with h5py.File(path, "r+") as file:
        file["data"].id.write_direct_chunk((2, 0, 0), b"\x00" * 7)
    with open_frames(path) as frames:
        with pytest.raises(FrameError, match="bad.h5"):
            frames.read(0, 5)
        with pytest.raises(FrameError, match="frame 2 of"):
            frames.read(2, 3)
        np.testing.assert_array_equal(frames.read(3, 5), STACK[3:])


@pytest.mark.parametrize("cname", ["lz4", "zstd"])
@pytest.mark.parametrize("kept", [1, 11, 12, 15, 0.3, 0.9, -1])
def test_a_chunk_that_was_cut_short_is_refused_and_does_not_kill_the_process(
    cname: str, kept: float, tmp_path: Path
) -> None:
    stack = np.random.default_rng(2).poisson(9, (3, 101, 103)).astype(np.uint16)
    with h5py.File(tmp_path / "cut.h5", "w") as file:
        filters = hdf5plugin.Bitshuffle(cname=cname)
        data = file.create_dataset("data", data=stack, chunks=(1, 101, 103), **filters)
        chunk = data.id.read_direct_chunk((1, 0, 0))[1]
        length = int(kept * len(chunk)) if 0 < kept < 1 else int(kept)
        data.id.write_direct_chunk((1, 0, 0), chunk[:length])
    # Not in this process: the filter itself would end it.
    script = f"""
from pathlib import Path
from ringline.processing import FrameError, open_frames
with open_frames(Path({str(tmp_path / "cut.h5")!r})) as frames:
    for index in (0, 2):
        frames.read(index, index + 1)
    try:
        frames.read(0, 3)
    except FrameError as error:
        print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "cut.h5" in done.stdout


def test_a_frame_that_was_never_written_is_not_an_image_of_zeros(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "gap.h5", "w") as file:
        data = file.create_dataset("data", (3, 12, 14), "u2", chunks=(1, 12, 14))
        data[0] = STACK[0]
        data[2] = 0
    with open_frames(tmp_path / "gap.h5") as frames:
        with pytest.raises(FrameError, match="frame 1 of /data was never written"):
            frames.read(0, 3)
        assert not frames.read(2, 3).any()


def test_a_truncated_hdf5_file_is_refused_by_name(tmp_path: Path) -> None:
    path = chunked(tmp_path / "cut.h5")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(FrameError, match="cut.h5"), open_frames(path) as frames:
        frames.read(0, 5)


@pytest.mark.parametrize("suffix", ["edf", "tif", "cbf"])
def test_a_truncated_image_is_refused_by_name(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"cut.{suffix}"
    image: NDArray[np.int32] = np.arange(10000, dtype=np.int32).reshape(100, 100)
    writer = {
        "edf": fabio.edfimage.EdfImage,
        "tif": fabio.tifimage.TifImage,
        "cbf": fabio.cbfimage.CbfImage,
    }[suffix]
    writer(data=image).write(str(path))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(FrameError, match=f"cut.{suffix}"), open_frames(path) as frames:
        frames.read(0, 1)


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"", "empty.tif", "empty"),
        (b"no image at all", "text.tif", "text.tif"),
        (b"no hdf5 at all", "text.h5", "not a readable HDF5 file"),
    ],
)
def test_a_file_that_holds_no_frames_is_refused(
    content: bytes, name: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FrameError, match=message):
        open_frames(tmp_path / name)


def test_a_missing_file_or_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FrameError, match=r"none.h5: No such file"):
        open_frames(tmp_path / "none.h5")
    path = chunked(tmp_path / "f.h5")
    with pytest.raises(FrameError, match="no dataset 'dat'"):
        open_frames(path, "dat")
    with h5py.File(path, "a") as file:
        file["curve"] = np.zeros(5)
    with pytest.raises(FrameError, match="/curve holds no images"):
        open_frames(path, "curve")
