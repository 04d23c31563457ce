"""``ringline average`` as a user calls it."""

import re
import subprocess
import sys
from pathlib import Path

import fabio
import h5py
import numpy as np
import pytest

from ringline.processing import (
    Average,
    Averaging,
    ClippedMean,
    Corrections,
    Mean,
    Median,
    average,
    normalized,
    subtract_dark,
)
from ringline.processing.arrays import InputArray, read_image
from ringline.processing.command_line import main

RNG = np.random.default_rng(1)
STACK = RNG.poisson(20, (12, 20, 30)).astype(np.uint16)
STACK[4, 5, 6] = 9000
DARK = np.arange(600, dtype=np.float32).reshape(20, 30) / 100
README = Path(__file__).resolve().parent.parent.parent / "README.md"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file.create_dataset("data", data=STACK, chunks=(1, 20, 30), compression=1)
    for name, image in (("a.edf", STACK[0]), ("b.edf", STACK[1])):
        fabio.edfimage.EdfImage(data=image).write(str(tmp_path / name))
    np.save(tmp_path / "mask.npy", np.eye(20, 30))
    np.save(tmp_path / "dark.npy", DARK)
    return tmp_path


def command(folder: Path, words: str) -> int:
    return main(["average", *words.replace("@", f"{folder}/").split()])


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_nexus_file_holds_the_average_and_where_it_comes_from(folder: Path) -> None:
    assert command(folder, "@s.h5::data @a.edf --mask @mask.npy -o @out.h5") == 0
    found = average(np.concatenate((STACK, STACK[:1])), mask=np.eye(20, 30))
    with h5py.File(folder / "out.h5") as file:
        group = file[file.attrs["default"]][file["entry"].attrs["default"]]
        for name in ("data", "variance", "count", "rejected"):
            np.testing.assert_array_equal(group[name], getattr(found, name))
        assert group["rejected"][5, 6] == 1
        assert group.attrs["signal"] == "data"
        process = file["entry/process"]
        assert process["parameters/method"].asstr()[()] == "sigma_clip"
        assert process["parameters/frames"][()] == 13
        assert process["parameters/threshold"][()] == 3
        paths = process["files/path"].asstr()[:].tolist()
        assert paths == [f"{folder}/s.h5::data", f"{folder}/a.edf"]
        assert process["files/frames"][:].tolist() == [12, 1]
        assert process["files/size"][0] == (folder / "s.h5").stat().st_size
        assert process["files/modified"][1] == (folder / "a.edf").stat().st_mtime
        assert len(process["mask/sha256"].asstr()[()]) == 64


@pytest.mark.parametrize("suffix", ["npy", "tif", "edf", "h5", "h5::entry/average/data"])
def test_every_output_serves_as_a_dark_and_is_the_same_one(folder: Path, suffix: str) -> None:
    assert command(folder, f"@s.h5 -o @out.{suffix.partition(':')[0]}") == 0
    by_path = Corrections(dark=f"{folder}/out.{suffix}").dark
    by_array = Corrections(dark=average(STACK).data).dark
    assert isinstance(by_path, InputArray)
    assert by_path == by_array
    assert by_path.values.dtype == np.float32


def test_the_variance_beside_a_dark_serves_a_recipe(folder: Path) -> None:
    assert command(folder, "@s.h5 -o @dark.h5") == 0
    variance = Corrections(dark_variance=f"{folder}/dark.h5::entry/average/variance").dark_variance
    assert variance == Corrections(dark_variance=average(STACK).variance).dark_variance


@pytest.mark.parametrize("suffix", ["npy", "tif", "edf"])
def test_the_variance_goes_to_a_file_of_its_own(folder: Path, suffix: str) -> None:
    assert command(folder, f"@s.h5 --variance @v.{suffix} -o @out.npy") == 0
    np.testing.assert_array_equal(read_image(f"{folder}/v.{suffix}"), average(STACK).variance)


CASES = {
    "--method mean": Averaging(method=Mean()),
    "--method median": Averaging(method=Median()),
    "--threshold 2 --iterations 2 --floor 0.5": Averaging(
        method=ClippedMean(threshold=2, iterations=2, floor=0.5)
    ),
    "--minimum 15 --saturation 25 --method mean": Averaging(
        method=Mean(), minimum=15, saturation=25
    ),
    "--memory 1": Averaging(),
}


@pytest.mark.parametrize("words", CASES)
def test_options_reach_the_settings(folder: Path, words: str) -> None:
    assert command(folder, f"@s.h5 {words} -o @out.npy") == 0
    np.testing.assert_array_equal(
        np.load(folder / "out.npy"), average(STACK, CASES[words]).data, strict=True
    )


def test_a_flat_is_normalized_less_its_dark(folder: Path) -> None:
    words = "@s.h5 --dark @dark.npy --mask @mask.npy --as-flat -o @flat.h5"
    assert command(folder, words) == 0
    dark = Corrections(dark=DARK).dark
    assert dark is not None
    expected: Average = normalized(subtract_dark(average(STACK, mask=np.eye(20, 30)), dark))
    flat = read_image(f"{folder}/flat.h5")
    np.testing.assert_array_equal(flat, expected.data)
    assert np.nanmean(flat, dtype=float) == pytest.approx(1, abs=1e-7)
    with h5py.File(folder / "flat.h5") as file:
        assert file["entry/process/parameters/is_flat"][()]
        assert file["entry/process/dark/sha256"].asstr()[()] == dark.sha256


def damage(path: Path, *indices: int) -> None:
    with h5py.File(path, "r+") as file:
        for index in indices:
            file["data"].id.write_direct_chunk((index, 0, 0), b"damaged")


def test_unreadable_frames_are_left_out_where_that_is_asked_for(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(folder / "s.h5", 3, 7)
    (folder / "cut.edf").write_bytes((folder / "a.edf").read_bytes()[:-200])
    assert command(folder, "@cut.edf @s.h5 --skip-bad -o @out.h5") == 0
    error = capsys.readouterr().err
    assert error.count("\n") == 4
    assert re.search(r"out\.h5: 10 frames, sigma_clip, \d+ values rejected", error)
    assert "3 skipped" in error
    for name in ("frames 3..3", "frames 7..7", "cut.edf"):
        assert name in error
    expected = average(np.delete(STACK, [3, 7], axis=0))
    np.testing.assert_array_equal(read_image(f"{folder}/out.h5"), expected.data)
    with h5py.File(folder / "out.h5") as file:
        assert len(file["entry/process/skipped"]) == 3


def test_a_former_result_survives_a_frame_that_cannot_be_read(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(folder / "s.h5", 9)
    (folder / "out.h5").write_bytes(b"former")
    before = files(folder)
    assert command(folder, "@s.h5 -o @out.h5") == 2
    error = capsys.readouterr().err
    assert error.startswith("ringline average: ")
    assert "s.h5 frames 9..9" in error
    assert error.count("\n") == 1
    assert files(folder) == before


def test_a_file_that_grows_is_averaged_as_far_as_it_is_there(folder: Path) -> None:
    with h5py.File(folder / "g.h5", "w", libver="latest") as file:
        data = file.create_dataset(
            "data", (5, 20, 30), "u2", maxshape=(None, 20, 30), chunks=(1, 20, 30)
        )
        data[:] = STACK[:5]
        file.swmr_mode = True
        words = [sys.executable, "-m", "ringline.processing.command_line", "average"]
        for frames in (5, 8):
            data.resize(frames, axis=0)
            data[:] = STACK[:frames]
            data.flush()
            out = str(folder / "out.npy")
            subprocess.run([*words, str(folder / "g.h5"), "-o", out], check=True)
            np.testing.assert_array_equal(np.load(out), average(STACK[:frames]).data)


BAD = {
    "a missing image": ("@no.edf -o @o.h5", "no.edf: No such file"),
    "a truncated image": ("@cut.edf -o @o.h5", "cut.edf"),
    "only unreadable images": ("@cut.edf --skip-bad -o @o.h5", "no file can be read: "),
    "no frames": ("@none.h5::data -o @o.h5", "there are no frames to average"),
    "images of two shapes": ("@a.edf @small.edf -o @o.h5", "small.edf: shape (5, 6), "),
    "a mask of another shape": (
        "@a.edf --mask @small.edf -o @o.h5",
        "mask: shape (5, 6), the frames have (20, 30)",
    ),
    "a dark of another shape": ("@a.edf --dark @small.edf -o @o.h5", "dark: shape (5, 6)"),
    "a missing dark": ("@a.edf --dark @no.npy -o @o.h5", "no.npy"),
    "a flat of nothing": ("@small.edf --as-flat -o @o.h5", "a flat needs a mean > 0, got 0"),
    "an unknown method": ("@a.edf --method sigma -o @o.h5", "did you mean 'sigma_clip'"),
    "an option of another method": (
        "@a.edf --method mean --threshold 3 -o @o.h5",
        "--threshold goes with the method sigma_clip, not with mean",
    ),
    "a threshold out of bounds": ("@a.edf --threshold 0.5 -o @o.h5", "threshold must be >= 1"),
    "no iterations": ("@a.edf --iterations 0 -o @o.h5", "iterations must be a whole number"),
    "no memory": ("@a.edf --memory 0.1 -o @o.h5", "memory must be a whole number >= 1048576"),
    "an unknown output": ("@a.edf -o @o.dat", "must end in .h5, .npy, .tif, .edf, got"),
    "a variance as NeXus": ("@a.edf --variance @v.h5 -o @o.h5", "must end in .npy, .tif, .edf"),
    "one file for both": ("@a.edf --variance @o.npy -o @o.npy", "are the same file"),
    "no output folder": ("@a.edf -o @none/o.h5", "none does not exist"),
    "no scratch folder": ("@a.edf --scratch @none -o @o.h5", "none does not exist"),
    "an input as output": ("@a.edf -o @a.edf", "a.edf is an image to average"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_ends_with_one_line_and_code_2_and_writes_nothing(
    case: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words, message = BAD[case]
    fabio.edfimage.EdfImage(data=np.zeros((5, 6), np.int32)).write(str(folder / "small.edf"))
    (folder / "cut.edf").write_bytes((folder / "a.edf").read_bytes()[:-200])
    with h5py.File(folder / "none.h5", "w") as file:
        file.create_dataset("data", (0, 20, 30), "u2")
    before = files(folder)
    assert command(folder, words) == 2
    error = capsys.readouterr().err
    assert error.startswith("ringline average: ")
    assert error.count("\n") == 1
    assert message in error
    assert files(folder) == before


def test_the_lines_of_the_readme_work(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    for name, level in (("darks.h5", 0), ("flats.h5", 500)):
        with h5py.File(name, "w") as file:
            file["entry/data/data"] = STACK + np.uint16(level)
    fabio.edfimage.EdfImage(data=np.eye(20, 30, dtype=np.int8)).write("mask.edf")
    lines = re.findall(r"^    ringline (average .*)$", README.read_text(), flags=re.MULTILINE)
    assert len(lines) == 2
    for line in lines:
        assert main(line.split()) == 0
    corrections = Corrections(mask="mask.edf", dark="dark.h5", flat="flat.h5")
    assert set(corrections.arrays()) == {"mask", "dark", "flat"}
