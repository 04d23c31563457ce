"""``ringline integrate`` as a user calls it."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import fabio
import h5py
import numpy as np
import pytest

from ringline.processing import (
    Azimuthal,
    Block,
    Cake,
    Corrections,
    MultiGeometry,
    QuantileRange,
    Radial,
    Recipe,
    SigmaClip,
    multi_geometry_from_json,
    open_frames,
    read_poni,
    recipe_from_json,
    reduction_for,
    write_poni,
    write_recipe,
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


def recipe_of(path: Path) -> Recipe:
    """The recipe in the header of a text file."""
    (line,) = (line for line in path.read_text().splitlines() if line.startswith("# recipe: "))
    return recipe_from_json(line.removeprefix("# recipe: "))


def test_every_correction_reaches_the_recipe(folder: Path) -> None:
    for name in ("dv", "v"):
        np.save(folder / f"{name}.npy", np.full((20, 30), 2.0))
    config = '"orientation": 3, "sensor": {"material": "Si", "thickness": 4.5e-4}'
    (folder / "s.poni").write_text(PONI.replace('"orientation": 3', config))
    words = (
        "@a.edf --poni @s.poni --dark-variance @dv.npy --variance @v.npy --error variance "
        "--polarization 0.9 --polarization-axis 30 --absorption --scale 2.5 --saturation 1e6 "
        "--dummy -2 --delta-dummy 0.5 --split full --coefficients compact --bins 9 -o @o.xy"
    )
    assert integrate(folder, *words.split()) == 0
    recipe = recipe_of(folder / "o.xy")
    expected = Corrections(
        dark_variance=str(folder / "dv.npy"),
        variance=str(folder / "v.npy"),
        polarization=0.9,
        polarization_axis=30,
        absorption=True,
        scale=2.5,
        saturation=1e6,
        dummy=-2,
        delta_dummy=0.5,
    )
    assert recipe.corrections == expected
    assert (recipe.splitting, recipe.coefficients) == ("full", "compact")


@pytest.mark.parametrize(
    ("words", "outliers"),
    [
        ("", None),
        ("--sigma-clip", SigmaClip()),
        ("--sigma-clip 3 --iterations 2", SigmaClip(3, 2)),
        ("--sigma-clip 0", SigmaClip(0)),
        ("--quantiles 0.2 0.8", QuantileRange(0.2, 0.8)),
    ],
)
def test_outliers_are_treated_as_the_options_say(
    folder: Path, words: str, outliers: object
) -> None:
    whole = f"@a.edf --poni @g.poni --bins 9 {words} -o @o.xy"
    assert integrate(folder, *whole.split()) == 0
    assert recipe_of(folder / "o.xy").outliers == outliers


@pytest.mark.parametrize(
    ("words", "binning"),
    [
        ("", Radial(1000)),
        ("--bins 9 --unit chi_deg", Radial(9, "chi_deg")),
        ("--edges=0.1,0.5,2", Radial(edges=(0.1, 0.5, 2))),
        ("--edges @e.txt", Radial(edges=(0.1, 0.5, 2))),
        ("--edges @e.npy --bins 2", Radial(edges=(0.1, 0.5, 2))),
        ("--azimuthal 36", Azimuthal(36)),
        (
            "--azimuthal 36 --unit chi_rad --radial-unit 2th_deg --range 0.1 1 --azimuth-range 0 9",
            Azimuthal(36, "chi_rad", (0.1, 1), (0, 9), "2th_deg"),
        ),
        ("--azimuthal --edges=-180,-90,0", Azimuthal(edges=(-180, -90, 0))),
        ("--cake 6 --bins 9 --unit r_mm", Cake(9, 6, "r_mm")),
        (
            "--cake --edges=0,1,2 --azimuth-edges=-180,0,90",
            Cake(edges=(0, 1, 2), azimuth_edges=(-180, 0, 90)),
        ),
    ],
)
def test_the_axis_is_what_the_options_say(folder: Path, words: str, binning: object) -> None:
    np.savetxt(folder / "e.txt", [0.1, 0.5, 2])
    np.save(folder / "e.npy", [0.1, 0.5, 2])
    whole = f"@a.edf --poni @g.poni {words} -o @o.h5"
    assert integrate(folder, *whole.split()) == 0
    with h5py.File(folder / "o.h5") as file:
        text = file["entry/reduction/input/recipe"].asstr()[()]
        periodic = "chi" in binning.unit or isinstance(binning, Cake)
        assert ("azimuthal_axis" in file["entry/data"]) == periodic
    assert recipe_from_json(text).binning == binning


def test_an_azimuthal_profile_as_text_names_its_axis(folder: Path) -> None:
    words = "@a.edf --poni @g.poni --azimuthal 36 -o @o.xy"
    assert integrate(folder, *words.split()) == 0
    assert "# unit: chi_deg" in (folder / "o.xy").read_text()
    axis = np.loadtxt(folder / "o.xy", unpack=True)[0]
    recipe = Recipe(geometry=read_poni(folder / "g.poni"), binning=Azimuthal(36))
    np.testing.assert_array_equal(axis, reduction_for(recipe).axis)


def test_a_whole_recipe_is_read_from_a_file(folder: Path) -> None:
    detector = read_poni(folder / "g.poni").detector
    corners = replace(detector, corners=detector.pixel_corners() + 1e-6)
    geometry = replace(read_poni(folder / "g.poni"), detector=corners)
    recipe = Recipe(geometry=geometry, binning=Azimuthal(20), splitting="full")
    write_recipe(recipe, folder / "r.toml")
    assert integrate(folder, "@a.edf", "--recipe", "@r.toml", "-o", "@o.xy") == 0
    with open_frames(folder / "a.edf") as frames:
        expected = reduction_for(recipe).reduce(frames.read(0, 1)[0])
    np.testing.assert_array_equal(np.loadtxt(folder / "o.xy").T[1], expected.intensity)


@pytest.fixture
def scan(folder: Path) -> Path:
    """Five frames and a monitor reading for each, in one file."""
    with h5py.File(folder / "scan.h5", "w") as file:
        file["entry/data"] = np.random.default_rng(3).poisson(20, (5, 20, 30)).astype("u2")
        file["entry/i0"] = 100.0 + np.arange(5)
    return folder / "scan.h5"


def test_a_scan_is_reduced_in_blocks_to_the_same_bytes(folder: Path, scan: Path) -> None:
    words = "@scan.h5::entry/data --poni @g.poni --bins 30 --error poisson -o @o.h5"
    assert integrate(folder, *words.split()) == 0
    recipe = Recipe(
        geometry=read_poni(folder / "g.poni"), binning=Radial(30), error_model="poisson"
    )
    with h5py.File(scan) as file:
        expected = [reduction_for(recipe).reduce(image) for image in file["entry/data"]]
    with h5py.File(folder / "o.h5") as file:
        np.testing.assert_array_equal(file["entry/data/I"], [p.intensity for p in expected])
        np.testing.assert_array_equal(file["entry/data/std"], [p.std for p in expected])
        assert np.isnan(file["entry/monitor/data"]).all()


@pytest.mark.parametrize("dataset", ["entry/i0", "@scan.h5::entry/i0"])
def test_frames_are_normalized_to_their_monitors(folder: Path, scan: Path, dataset: str) -> None:
    words = f"@scan.h5::entry/data --poni @g.poni --bins 30 --monitor-data {dataset} -o"
    assert integrate(folder, *words.split(), "@plain.h5") == 0
    assert integrate(folder, *words.split(), "@o.h5", "--monitor", "50") == 0
    with h5py.File(folder / "o.h5") as file, h5py.File(folder / "plain.h5") as plain:
        readings = 100.0 + np.arange(5)
        for each in (file, plain):
            np.testing.assert_array_equal(each["entry/monitor/data"], readings)
        ratio = plain["entry/data/I"][:] / file["entry/data/I"][:]
        filled = np.isfinite(ratio)
        expected = np.broadcast_to(readings[:, None] / 50, ratio.shape)
        np.testing.assert_allclose(ratio[filled], expected[filled], rtol=1e-14)
        assert file["entry/monitor_applied"][()]
        assert not plain["entry/monitor_applied"][()]


def test_pixels_left_out_are_counted_in_each_row(folder: Path, scan: Path) -> None:
    with h5py.File(scan, "r+") as file:
        file["entry/data"][2, 4, :7] = 60_000
    words = "@scan.h5::entry/data --poni @g.poni --bins 30 --saturation 60000 -o @o.h5"
    assert integrate(folder, *words.split()) == 0
    with h5py.File(folder / "o.h5") as file:
        np.testing.assert_array_equal(file["entry/frames/rejected"], [0, 0, 7, 0, 0])


def geometries(folder: Path, count: int) -> list[str]:
    """As many PONI files, each further to one side."""
    options = []
    for number in range(count):
        text = PONI.replace("Poni2: 0.001", f"Poni2: {0.001 - 0.003 * number}")
        (folder / f"g{number}.poni").write_text(text)
        options += ["--poni", f"@g{number}.poni"]
    return options


def merged(folder: Path, count: int, **more: object) -> MultiGeometry:
    values = {"binning": Radial(40), "error_model": "poisson", **more}
    ponis = [read_poni(folder / f"g{number}.poni") for number in range(count)]
    return MultiGeometry([Recipe(geometry=poni, **values) for poni in ponis])


def test_images_of_several_positions_are_merged_to_one_curve(folder: Path) -> None:
    words = ["@a.edf", "@b.edf", "--merge", "--bins", "40", "--error", "poisson", "-o"]
    positions = geometries(folder, 2)
    assert integrate(folder, *words, "@o.xy", *positions) == 0
    assert integrate(folder, *words, "@o.h5", *positions) == 0
    images = [open_frames(folder / name).read(0, 1)[0] for name in ("a.edf", "b.edf")]
    expected = merged(folder, 2)
    profile = expected.reduce(images)
    axis, intensity, sigma = np.loadtxt(folder / "o.xy", unpack=True)
    np.testing.assert_array_equal(axis, profile.axis)
    np.testing.assert_array_equal(intensity, profile.intensity)
    np.testing.assert_array_equal(sigma, profile.sigma)
    assert expected.digest in (folder / "o.xy").read_text()
    with h5py.File(folder / "o.h5") as file:
        text = file["entry/reduction/input/recipe"].asstr()[()]
        np.testing.assert_array_equal(file["entry/data/I"], [profile.intensity])
    assert multi_geometry_from_json(text).digest == expected.digest


def test_a_file_with_a_frame_of_each_position_is_merged_to_one_curve(
    folder: Path, scan: Path
) -> None:
    positions = geometries(folder, 5)
    words = "--merge --bins 40 --error poisson --monitor 100 --monitor-data entry/i0 -o @o.h5"
    source = f"{scan}::entry/data"
    assert integrate(folder, source, *words.split(), *positions) == 0
    with h5py.File(scan) as file:
        images = file["entry/data"][:]
    expected = merged(folder, 5, corrections=Corrections(monitor=100.0))
    blocks = [Block(images[k : k + 1], k, [100.0 + k]) for k in range(5)]
    with h5py.File(folder / "o.h5") as file:
        found = file["entry/data/I"][:]
    np.testing.assert_array_equal(found, [expected.finish(expected.map_block(blocks)[0]).intensity])


def test_scans_of_several_detectors_are_merged_frame_by_frame(folder: Path, scan: Path) -> None:
    np.save(folder / "m0.npy", np.eye(20, 30))
    np.save(folder / "m1.npy", np.eye(20, 30)[::-1])
    with h5py.File(folder / "other.h5", "w") as file, h5py.File(scan) as first:
        file["entry/data"] = first["entry/data"][:][::-1]
    words = (
        "@scan.h5::entry/data @other.h5::entry/data --merge --bins 40 --error poisson "
        "--mask @m0.npy --mask @m1.npy -o @o.h5"
    )
    assert integrate(folder, *words.split(), *geometries(folder, 2)) == 0
    with h5py.File(scan) as file:
        images = file["entry/data"][:]
    shared = merged(folder, 2)
    masked = MultiGeometry(
        [
            Recipe(
                geometry=recipe.geometry,
                binning=Radial(40),
                error_model="poisson",
                corrections=Corrections(mask=folder / f"m{number}.npy"),
            )
            for number, recipe in enumerate(shared.recipes)
        ]
    )
    expected = [masked.reduce([images[k], images[4 - k]]).intensity for k in range(5)]
    with h5py.File(folder / "o.h5") as file:
        np.testing.assert_array_equal(file["entry/data/I"], expected)


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
    "bins and an azimuthal profile": (
        "@a.edf --poni @g.poni --azimuthal 9 --bins 9 -o @o.xy",
        "--azimuthal excludes --cake and --bins",
    ),
    "a radial unit of an azimuthal profile": (
        "@a.edf --poni @g.poni --azimuthal 9 --unit 2th_deg -o @o.xy",
        "give the unit of --range as --radial-unit",
    ),
    "a radial unit without an azimuthal profile": (
        "@a.edf --poni @g.poni --radial-unit 2th_deg -o @o.xy",
        "--radial-unit belongs to --azimuthal",
    ),
    "edges that do not ascend": ("@a.edf --poni @g.poni --edges=1,0 -o @o.xy", "must ascend"),
    "edges that are no file": ("@a.edf --poni @g.poni --edges @no.txt -o @o.xy", "no list of num"),
    "edges and other bins": (
        "@a.edf --poni @g.poni --edges=0,1 --bins 9 -o @o.xy",
        "bins is 9, but edges are those of 1 bins",
    ),
    "edges of a cake without a cake": (
        "@a.edf --poni @g.poni --azimuth-edges=0,1 -o @o.xy",
        "--azimuth-edges are those of --cake",
    ),
    "two treatments of outliers": (
        "@a.edf --poni @g.poni --sigma-clip --quantiles 0.1 0.9 -o @o.xy",
        "exclude each other",
    ),
    "iterations of nothing": ("@a.edf --poni @g.poni --iterations 3 -o @o.xy", "--sigma-clip"),
    "quantiles out of bounds": (
        "@a.edf --poni @g.poni --quantiles 0.1 1.9 -o @o.xy",
        "quantiles must be 0 <= low <= high <= 1",
    ),
    "an error model without its array": (
        "@a.edf --poni @g.poni --error variance -o @o.xy",
        "needs the array corrections.variance",
    ),
    "no geometry": ("@a.edf -o @o.xy", "give --poni FILE, or --recipe FILE"),
    "a recipe and other options": (
        "@a.edf --recipe @r.toml --poni @g.poni --bins 3 -o @o.xy",
        "--recipe says all about the curve: leave out --poni, --bins",
    ),
    "a recipe that is not there": ("@a.edf --recipe @r.toml -o @o.xy", "r.toml: No such file"),
    "a monitor without readings": (
        "@a.edf --poni @g.poni --monitor 3 -o @o.xy",
        "give --monitor-data DATASET",
    ),
    "readings that are not there": (
        "@a.edf --poni @g.poni --monitor-data @no.h5::i0 -o @o.xy",
        "no.h5::i0",
    ),
    "readings for other frames": (
        "@a.edf --poni @g.poni --monitor-data @i0.h5::i0 -o @o.xy",
        "3 readings of the monitor for 1 frames",
    ),
    "a saturation that is no number": (
        "@a.edf --poni @g.poni --saturation nan -o @o.xy",
        "saturation must be finite",
    ),
    "two geometries of one image": (
        "@a.edf --poni @g.poni --poni @g.poni -o @o.xy",
        "--merge needs several --poni, and these need it: got 2 --poni",
    ),
    "one geometry to merge": ("@a.edf --poni @g.poni --merge -o @o.xy", "got 1 --poni"),
    "fewer images than geometries": (
        "@a.edf --merge --poni @g.poni --poni @g.poni -o @o.xy",
        "got 1 files with [1] frames",
    ),
    "masks of some geometries": (
        "@a.edf --merge --poni @g.poni --poni @g.poni --poni @g.poni --mask @1 --mask @2 -o @o.xy",
        "--mask must be given once, or once for each --poni, got 2 for 3",
    ),
    "an image of another detector than its geometry": (
        "@a.edf @small.edf --merge --poni @g.poni --poni @g.poni -o @o.xy",
        "an image has shape (5, 6)",
    ),
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
    with h5py.File(folder / "i0.h5", "w") as file:
        file["i0"] = [1.0, 2.0, 3.0]
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
