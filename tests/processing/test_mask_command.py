"""``ringline mask`` as a user calls it."""

import re
from pathlib import Path

import fabio
import h5py
import numpy as np
import pytest

from ringline.processing import (
    Corrections,
    Detector,
    Geometry,
    MaskSettings,
    detector_named,
    make_mask,
    write_detector_file,
    write_poni,
)
from ringline.processing.arrays import InputArray
from ringline.processing.command_line import main
from ringline.processing.mask_command import command as mask_command

SHAPE = (90, 120)
RNG = np.random.default_rng(1)
STACK = RNG.poisson(40, (8, *SHAPE)).astype(np.int32)
STACK[:, 30:34] = -1
STACK[:, 50, 60] = 0
STACK[:, 70, 80] = 5000
OWN_MASK = np.zeros(SHAPE, dtype=np.uint8)
OWN_MASK[:, 100:103] = 1
DETECTOR = Detector(pixel1=1e-4, pixel2=1e-4, shape=SHAPE)
GEOMETRY = Geometry(distance=0.1, wavelength=1e-10, detector=DETECTOR, poni1=4e-3, poni2=6e-3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file.create_dataset("data", data=STACK, chunks=(1, *SHAPE), compression=1)
    fabio.edfimage.EdfImage(data=STACK[0]).write(str(tmp_path / "a.edf"))
    fabio.edfimage.EdfImage(data=STACK[0, 1:]).write(str(tmp_path / "other.edf"))
    np.save(tmp_path / "dark.npy", np.full(SHAPE, 2.0))
    np.save(tmp_path / "small.npy", np.zeros((3, 4)))
    write_poni(GEOMETRY, tmp_path / "g.poni")
    pilatus = Geometry(distance=0.1, wavelength=1e-10, detector=detector_named("Pilatus 1M"))
    write_poni(pilatus, tmp_path / "pilatus.poni")
    own = Detector(pixel1=1e-4, pixel2=1e-4, shape=SHAPE, mask=OWN_MASK)
    write_detector_file(tmp_path / "own.h5", own)
    (tmp_path / "text.txt").write_text("no image")
    return tmp_path


def command(folder: Path, words: str) -> int:
    return main(["mask", *words.replace("@", f"{folder}/").split()])


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    "name",
    [
        "m.npy",
        "m.edf",
        "m.tif",
        "m.h5",
        "m.h5::entry/instrument/detector/pixel_mask",
        "m.h5::entry/mask/pixel_mask",
    ],
)
def test_every_output_is_the_mask_of_a_recipe(folder: Path, name: str) -> None:
    assert command(folder, f"@s.h5 --poni @g.poni -o @{name.partition(':')[0]}") == 0
    made = make_mask(STACK, place=GEOMETRY)
    assert made.mask[30:34].all()
    assert made.mask[50, 60]
    assert made.mask[70, 80]
    found = Corrections(mask=f"{folder}/{name}").mask
    assert isinstance(found, InputArray)
    assert found == Corrections(mask=made.mask).mask


@pytest.mark.parametrize("suffix", ["npy", "edf", "tif"])
def test_images_hold_1_where_a_pixel_is_masked_as_pyfai_has_it(folder: Path, suffix: str) -> None:
    assert command(folder, f"@s.h5 -o @m.{suffix}") == 0
    path = str(folder / f"m.{suffix}")
    flags = np.load(path) if suffix == "npy" else fabio.open(path).data
    assert flags.dtype == np.uint8
    np.testing.assert_array_equal(flags, make_mask(STACK).mask.astype(int))


def test_the_nexus_file_holds_the_cause_of_each_pixel_and_what_it_was_made_of(
    folder: Path,
) -> None:
    words = "@s.h5::data @a.edf --poni @g.poni --dark @dark.npy --margin 3 -o @m.h5"
    assert command(folder, words) == 0
    dark = np.full(SHAPE, 2.0)
    frames = np.concatenate((STACK, STACK[:1]))
    made = make_mask(frames, MaskSettings(margin=3), place=GEOMETRY, dark=dark)
    with h5py.File(folder / "m.h5") as file:
        plot = file[file.attrs["default"]][file["entry"].attrs["default"]]
        assert plot.attrs["signal"] == "pixel_mask"
        detector = file["entry/instrument/detector"]
        assert detector.attrs["NX_class"] == "NXdetector"
        bits = detector["pixel_mask"]
        assert bits.dtype == np.uint32
        np.testing.assert_array_equal(bits, made.pixel_mask)
        assert (bits[31, 4], bits[50, 60], bits[70, 80], bits[1, 1]) == (1, 2, 8, 0)
        process = file["entry/process"]
        assert process["parameters/margin"][()] == 3
        assert process["parameters/frames"][()] == 9
        assert process["files"].asstr()[:].tolist() == [f"{folder}/s.h5::data", f"{folder}/a.edf"]
        assert process["place"].asstr()[()] == f"{folder}/g.poni"
        assert len(process["dark/sha256"].asstr()[()]) == 64
        assert {name: int(process["counts"][name][()]) for name in made.counts} == made.counts


def test_the_counts_are_printed_by_cause(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(folder, "@s.h5 -o @m.npy") == 0
    line = capsys.readouterr().err.splitlines()[-1]
    counts = make_mask(STACK).counts
    assert f"m.npy: 8 frames, {sum(counts.values())} of 10800 pixels masked" in line
    assert dict(re.findall(r"(\w+) (\d+)(?:,|$)", line.rpartition(": ")[2])) == {
        name: str(count) for name, count in counts.items()
    }


def test_a_detector_is_named_or_a_file_and_adds_to_the_geometry(folder: Path) -> None:
    assert command(folder, "@s.h5 --detector @own.h5 -o @one.npy") == 0
    assert command(folder, "@s.h5 --detector @own.h5 --poni @g.poni -o @two.npy") == 0
    for name in ("one", "two"):
        assert np.load(folder / f"{name}.npy")[:, 100:103].all()
    image = RNG.poisson(3.0, (1043, 981))
    fabio.edfimage.EdfImage(data=image).write(str(folder / "p.edf"))
    assert command(folder, "@p.edf --detector pilatus1m -o @p.tif") == 0
    gaps = detector_named("Pilatus 1M").built_in_mask()
    np.testing.assert_array_equal(fabio.open(str(folder / "p.tif")).data, gaps)


def test_options_reach_the_settings(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[MaskSettings] = []

    def spy(*arguments: object, **keywords: object) -> object:
        assert isinstance(arguments[1], MaskSettings)
        seen.append(arguments[1])
        return make_mask(*arguments, **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr("ringline.processing.mask_command.make_mask", spy)
    words = (
        "--false-positives 0.5 --dead-below 0.05 --weak-below 0.4 --hot-above 3 --noisy-above 5 "
        "--shadow-below 0.6 --transient 0.2 --polarization 0.9 --gain 2 --minimum -5 "
        "--saturation 9000 --shadow-area 50 --margin 4 --memory 1"
    )
    assert command(folder, f"@s.h5 {words} --scratch @ -o @m.npy") == 0
    assert seen == [
        MaskSettings(
            false_positives=0.5, dead_below=0.05, weak_below=0.4, hot_above=3, noisy_above=5,
            shadow_below=0.6, transient=0.2, polarization=0.9, gain=2, minimum=-5,
            saturation=9000, shadow_area=50, margin=4, memory=1 << 20, scratch=folder,
        )
    ]  # fmt: skip


def test_a_picture_shows_the_image_under_the_mask(folder: Path) -> None:
    assert command(folder, "@s.h5 --poni @g.poni -o @m.npy --picture @m.png") == 0
    assert (folder / "m.png").read_bytes().startswith(b"\x89PNG")
    with h5py.File(folder / "none.h5", "w") as file:
        file["data"] = np.full((2, 5, 6), -1, dtype=np.int32)
    assert command(folder, "@none.h5 -o @m.npy --picture @none.png") == 0
    assert np.load(folder / "m.npy").all()
    assert (folder / "none.png").stat().st_size > 1000


REFUSALS = {
    "@s.h5 --detector Pilatus1MM -o @m.h5": "'Pilatus1MM': did you mean 'Pilatus1M'",
    "@s.h5 --detector Pilatus1M -o @m.h5": r"detector: shape \(1043, 981\), .*s.h5 has \(90, 120\)",
    "@s.h5 --detector @none.h5 -o @m.h5": "none.h5",
    "@s.h5 --detector @own.h5 --poni @pilatus.poni -o @m.h5": r"shape \(90, 120\), .*pilatus.poni",
    "@s.h5 --poni @none.poni -o @m.h5": "none.poni: No such file",
    "@s.h5 --poni @pilatus.poni -o @m.h5": r"detector: shape \(1043, 981\)",
    "@s.h5 --dark @small.npy -o @m.h5": r"dark: shape \(3, 4\), .*s.h5 has \(90, 120\)",
    "@s.h5 --dark @none.npy -o @m.h5": "dark: .*none.npy",
    "@s.h5 @other.edf -o @m.h5": r"other.edf: shape \(89, 120\), .*s.h5 has",
    "@s.h5 @none.edf -o @m.h5": "none.edf: No such file",
    "@text.txt -o @m.h5": "text.txt",
    "@s.h5::nothing -o @m.h5": "nothing",
    "@s.h5 -o @m.png": r"output must end in .npy, .edf, .tif, .h5, got",
    "@s.h5 -o @none/m.h5": "output folder .*none does not exist",
    "@s.h5 -o @m.h5 --picture @m.jpg": "picture must end in .png",
    "@s.h5 -o @m.h5 --picture @none/m.png": "picture folder .*none does not exist",
    "@s.h5 -o @s.h5": "s.h5 is an image to make a mask of",
    "@s.h5 -o @m.h5 --hot-above 1": "hot_above must be > 1, got 1",
    "@s.h5 -o @m.h5 --memory 0": "memory must be > 0 MiB",
    "@s.h5 -o @m.h5 --scratch @none": "scratch folder .*none does not exist",
}


@pytest.mark.parametrize("words", REFUSALS)
def test_what_cannot_be_right_is_refused_in_one_line_before_anything_is_written(
    folder: Path, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(folder)
    assert command(folder, words) == 2
    error = capsys.readouterr().err
    assert error.startswith("ringline mask: ")
    assert error.count("\n") == 1
    assert re.search(REFUSALS[words], error), error
    assert files(folder) == before


def test_a_former_mask_survives_a_frame_that_cannot_be_read(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with h5py.File(folder / "s.h5", "r+") as file:
        file["data"].id.write_direct_chunk((6, 0, 0), b"damaged")
    (folder / "m.h5").write_bytes(b"former")
    before = files(folder)
    assert command(folder, "@s.h5 -o @m.h5") == 2
    assert "frames 6..6" in capsys.readouterr().err
    assert files(folder) == before


def test_the_line_of_the_readme_does_what_it_says(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readme = Path(__file__).resolve().parent.parent.parent / "README.md"
    (line,) = re.findall(r"^    ringline (mask .*)$", readme.read_text(), flags=re.MULTILINE)
    (folder / "s.h5").rename(folder / "scan.h5")
    (folder / "g.poni").rename(folder / "calibration.poni")
    monkeypatch.chdir(folder)
    assert main(line.split()) == 0
    assert (
        Corrections(mask="mask.h5").mask
        == Corrections(mask=make_mask(STACK, place=GEOMETRY).mask).mask
    )
    assert (folder / "mask.png").exists()


def test_the_command_is_registered_under_its_name() -> None:
    from importlib.metadata import entry_points  # noqa: PLC0415

    (entry,) = entry_points(group="ringline.commands", name="mask")
    assert entry.load() is mask_command
