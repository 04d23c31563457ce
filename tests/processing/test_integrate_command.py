"""``ringline integrate`` as a user calls it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import fabio
import h5py
import numpy as np
import pytest

from ringline.processing import (
    Corrections,
    Radial,
    Recipe,
    open_frames,
    read_poni,
    reduction_for,
    write_poni,
)
from ringline.processing.command_line import main

PONI = """poni_version: 2.1
Detector: Detector
Detector_config: {"pixel1": 1e-4, "pixel2": 1e-4, "max_shape": [20, 30], "orientation": 3}
Distance: 0.1
Poni1: 0.001
Poni2: 0.001
Rot1: 0
Rot2: 0
Rot3: 0
Wavelength: 1e-10
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "g.poni").write_text(PONI)
    image = np.random.default_rng(1).poisson(20, (20, 30)).astype(np.int32)
    fabio.edfimage.EdfImage(data=image).write(str(tmp_path / "a.edf"))
    fabio.edfimage.EdfImage(data=image[::-1]).write(str(tmp_path / "b.edf"))
    return tmp_path


def integrate(folder: Path, *words: str) -> int:
    arguments = [word.replace("@", f"{folder}/") for word in words]
    return main(["integrate", *arguments])


def test_a_curve_is_written_with_all_its_digits(folder: Path) -> None:
    assert integrate(folder, "@a.edf", "--poni", "@g.poni", "--bins", "50", "-o", "@o.xy") == 0
    axis, intensity = np.loadtxt(folder / "o.xy", unpack=True)
    recipe = Recipe(geometry=read_poni(folder / "g.poni"), binning=Radial(bins=50))
    with open_frames(folder / "a.edf") as frames:
        expected = reduction_for(recipe).reduce(frames.read(0, 1)[0])
    np.testing.assert_array_equal(intensity, expected.intensity)
    np.testing.assert_array_equal(axis, expected.axis)
    assert recipe.digest in (folder / "o.xy").read_text()


def test_an_error_model_adds_a_third_column(folder: Path) -> None:
    words = ("@a.edf", "--poni", "@g.poni", "--bins", "50", "--error", "poisson", "-o", "@o.xy")
    assert integrate(folder, *words) == 0
    assert np.loadtxt(folder / "o.xy").shape == (50, 3)


def test_several_images_become_rows_of_one_nexus_file(folder: Path) -> None:
    assert integrate(folder, "@a.edf", "@b.edf", "--poni", "@g.poni", "-o", "@o.h5") == 0
    assert integrate(folder, "@a.edf", "@b.edf", "--poni", "@g.poni", "-o", "@o.h5") == 0
    with h5py.File(folder / "o.h5") as file:
        assert file["entry/data/I"].shape == (2, 1000)
    assert sorted(path.name for path in folder.iterdir()) == ["a.edf", "b.edf", "g.poni", "o.h5"]


def test_several_images_become_numbered_text_files(folder: Path) -> None:
    assert integrate(folder, "@a.edf", "@b.edf", "--poni", "@g.poni", "-o", "@o.xy") == 0
    assert {path.name for path in folder.glob("*.xy")} == {"o_0.xy", "o_1.xy"}


def test_every_option_reaches_the_recipe(folder: Path) -> None:
    np.save(folder / "m.npy", np.eye(20, 30))
    np.save(folder / "d.npy", np.full((20, 30), 2.0))
    np.save(folder / "f.npy", np.full((20, 30), 1.5))
    words = (
        "@a.edf --poni @g.poni --mask @m.npy --dark @d.npy --flat @f.npy --polarization 0.9 "
        "--no-solid-angle --orientation 4 --bins 20 --unit 2th_deg --range 0.1 1.5 "
        "--azimuth-range -90 90 --split no --error poisson --engine numpy -o @o.xy"
    )
    assert integrate(folder, *words.split()) == 0
    text = (folder / "o.xy").read_text()
    for part in (
        '"radial_range": [0.1, 1.5]',
        '"azimuth_range": [-90.0, 90.0]',
        '"orientation": 4',
        '"polarization": 0.9',
        '"solid_angle": false',
        '"splitting": "no"',
        "m.npy",
        "d.npy",
        "f.npy",
    ):
        assert part in text


def test_the_published_curve_comes_out_of_the_command(
    shared_data: Callable[[str], Path], tmp_path: Path
) -> None:
    image = shared_data("ceo2-pilatus1m/CeO2_Pilatus1M.tif")
    poni = image.with_suffix(".poni")
    words = "--orientation 2 --bins 1512 --unit 2th_deg --split bbox --polarization 0.99"
    paths = [str(image), "--poni", str(poni), "-o", str(tmp_path / "out.xy")]
    assert main(["integrate", *paths, *words.split()]) == 0
    axis, intensity = np.loadtxt(tmp_path / "out.xy", unpack=True)
    reference = np.loadtxt(image.with_suffix(".xy"), unpack=True)
    assert np.abs(axis - reference[0]).max() < 2e-6
    assert np.median(np.abs(intensity / reference[1] - 1)) < 2e-6


BAD = {
    "a missing image": ("@no.edf --poni @g.poni -o @o.xy", "no.edf: No such file"),
    "a truncated image": ("@cut.edf --poni @g.poni -o @o.xy", "cut.edf"),
    "an image of another shape": (
        "@small.edf --poni @g.poni -o @o.xy",
        "small.edf: shape (5, 6), the recipe has (20, 30)",
    ),
    "images of two shapes": ("@a.edf @small.edf --poni @free.poni -o @o.h5", "a.edf has (20, 30)"),
    "a missing PONI": ("@a.edf --poni @no.poni -o @o.xy", "no.poni: No such file"),
    "a PONI without a key": ("@a.edf --poni @cut.poni -o @o.xy", "cut.poni: key 'Rot3' is missing"),
    "a mask of another shape": (
        "@a.edf --poni @g.poni --mask @small.edf -o @o.xy",
        "small.edf: shape (5, 6), the detector has (20, 30)",
    ),
    "an unknown unit": ("@a.edf --poni @g.poni --unit q_nm -o @o.xy", "unknown unit 'q_nm': did"),
    "an empty range": ("@a.edf --poni @g.poni --range 3 3 -o @o.xy", "radial_range must have low"),
    "an unknown splitting": ("@a.edf --poni @g.poni --split bbx -o @o.xy", "did you mean 'bbox'"),
    "no bins": ("@a.edf --poni @g.poni --bins 0 -o @o.xy", "bins must be a whole number >= 1"),
    "an unknown output": ("@a.edf --poni @g.poni -o @o.dat", "must end in .h5 or .xy"),
    "no output folder": ("@a.edf --poni @g.poni -o @none/o.xy", "none does not exist"),
    "a cake as text": ("@a.edf --poni @g.poni --cake 9 -o @o.xy", "cannot be written as .xy"),
    "an absent engine": ("@a.edf --poni @g.poni --engine cuda -o @o.xy", "unknown engine 'cuda'"),
    "polarization out of bounds": (
        "@a.edf --poni @g.poni --polarization 2 -o @o.xy",
        "polarization must be from -1 to 1, got 2",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_ends_with_one_line_and_code_2_and_writes_nothing(
    case: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words, message = BAD[case]
    fabio.edfimage.EdfImage(data=np.zeros((5, 6), np.int32)).write(str(folder / "small.edf"))
    whole = (folder / "a.edf").read_bytes()
    (folder / "cut.edf").write_bytes(whole[: len(whole) - 200])
    (folder / "cut.poni").write_text(PONI.replace("Rot3: 0\n", ""))
    (folder / "free.poni").write_text(PONI.replace('"max_shape": [20, 30], ', ""))
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert integrate(folder, *words.split()) == 2
    error = capsys.readouterr().err
    assert error.startswith("ringline integrate: ")
    assert error.count("\n") == 1
    assert message in error
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_former_result_survives_a_frame_that_cannot_be_read(folder: Path) -> None:
    with h5py.File(folder / "s.h5", "w") as file:
        data = file.create_dataset("data", (3, 20, 30), "u2", chunks=(1, 20, 30), compression=9)
        data[:] = 5
        data.id.write_direct_chunk((1, 0, 0), b"damaged")
    (folder / "o.h5").write_bytes(b"former")
    assert integrate(folder, "@s.h5::data", "--poni", "@g.poni", "-o", "@o.h5") == 2
    assert (folder / "o.h5").read_bytes() == b"former"


def test_the_installed_command_explains_a_typo() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ringline.processing.command_line", "integrat"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "integrate" in done.stderr


def test_masks_reduce_the_same_through_command_and_library(folder: Path) -> None:
    mask = np.random.default_rng(2).random((20, 30)) < 0.3
    np.save(folder / "m.npy", mask)
    words = "@a.edf --poni @g.poni --mask @m.npy --bins 30 -o @o.xy"
    assert integrate(folder, *words.split()) == 0
    recipe = Recipe(
        geometry=read_poni(folder / "g.poni"),
        binning=Radial(bins=30),
        corrections=Corrections(mask=mask),
    )
    write_poni(recipe.geometry, folder / "again.poni")
    with open_frames(folder / "a.edf") as frames:
        expected = reduction_for(recipe).reduce(frames.read(0, 1)[0])
    found = np.loadtxt(folder / "o.xy", unpack=True)[1]
    np.testing.assert_array_equal(found, expected.intensity)
