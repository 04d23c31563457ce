"""A detector that moves: each frame by its own recipe, all curves with the same bins."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from ringline.processing import (
    Azimuthal,
    Block,
    Cake,
    Corrections,
    Detector,
    Geometry,
    Goniometer,
    MovingReduction,
    MultiGeometry,
    Radial,
    Recipe,
    RecipeError,
    arm_motion,
    linear_motion,
    moving_from_mapping,
    open_frames,
    recipe_from_json,
    reduction_for,
    with_range_of_all,
    write_goniometer,
    write_recipe,
)
from ringline.processing.command_line import main
from ringline.processing.moving import KEPT

SHAPE = (20, 30)
DETECTOR = Detector(pixel1=1e-3, pixel2=1e-3, shape=SHAPE)
ELSEWHERE = Geometry(distance=9.0, wavelength=5e-10, detector=DETECTOR)
"""What stands in recipes, and does not count."""
FIXED = Radial(12, "2th_deg", (1.0, 40.0))
ARM = [{"arm": place} for place in (0.0, 10.0, 20.0, 10.0, 0.0)]


def arm() -> Goniometer:
    moves = arm_motion(2, "arm", 1e-10)
    values = {
        "distance": 0.1, "poni1": 0.0101, "poni2": 0.0149, "rot1": 0.1, "rot2": 0.05, "rot3": 0.02,
        "arm_scale": np.pi / 180,
    }  # fmt: skip
    return Goniometer(
        detector=DETECTOR, motion=moves, values=tuple(values[name] for name in moves.parameters)
    )


def table() -> Goniometer:
    moves = linear_motion("distance", "z", 1e-10)
    values = {"poni1": 0.01, "poni2": 0.01, "rot1": 0.0, "rot2": 0.0} | {
        "distance_zero": 0.1, "distance_scale": 1e-3,
    }  # fmt: skip
    return Goniometer(
        detector=DETECTOR, motion=moves, values=tuple(values[name] for name in moves.parameters)
    )


def recipe(binning: object = FIXED, **more: object) -> Recipe:
    values = {"geometry": ELSEWHERE, "error_model": "poisson", "binning": binning, **more}
    return Recipe(**values)  # type: ignore[arg-type]


def counts(number: int, seed: int = 1) -> NDArray[np.uint16]:
    return np.random.default_rng(seed).poisson(50, (number, *SHAPE)).astype("u2")


def separately(
    made: Recipe, goniometer: Goniometer, places: Sequence[dict[str, float]]
) -> list[Recipe]:
    """A recipe for each place, made by hand."""
    return [replace(made, geometry=goniometer.geometry_at(place)) for place in places]


@pytest.mark.parametrize("splitting", ["no", "bbox", "full"])
def test_a_frame_is_reduced_where_its_motors_stood(splitting: str) -> None:
    moving = MovingReduction(recipe(splitting=splitting), arm())
    one_by_one = separately(recipe(splitting=splitting), arm(), ARM)
    for place, own, image in zip(ARM, one_by_one, counts(5), strict=True):
        found, expected = moving.reduction_at(place).reduce(image), reduction_for(own).reduce(image)
        np.testing.assert_array_equal(found.intensity, expected.intensity)
        np.testing.assert_array_equal(found.axis, expected.axis)
        np.testing.assert_array_equal(moving.axis, expected.axis)
        assert found.recipe_digest == own.digest


def test_curves_of_different_places_differ() -> None:
    moving = MovingReduction(recipe(), arm())
    (image,) = counts(1)
    one, other = (moving.reduction_at(place).reduce(image).intensity for place in ARM[:2])
    assert not np.array_equal(one, other, equal_nan=True)


@pytest.mark.parametrize("goniometer", [arm(), table()])
@pytest.mark.parametrize("solid_angle", [True, False])
def test_the_sum_over_places_is_that_of_several_geometries_merged(
    goniometer: Goniometer, *, solid_angle: bool
) -> None:
    made = recipe(corrections=Corrections(solid_angle=solid_angle))
    (motor,) = goniometer.motion.motors
    places = [{motor: 10.0 * k} for k in range(4)]
    moving, images = MovingReduction(made, goniometer), counts(4)
    recipes = separately(made, goniometer, places)
    parts = []
    for k, place in enumerate(places):
        (sums,) = moving.reduction_at(place).map_block(Block(images[k : k + 1], k))
        parts.append(moving.shared_sums(sums, moving.recipe_at(place), recipes[0]))
    expected = MultiGeometry(recipes).reduce(list(images))
    found = moving.finish(parts[0] + parts[1] + parts[2] + parts[3])
    np.testing.assert_array_equal(found.intensity, expected.intensity)
    np.testing.assert_array_equal(found.sigma, expected.sigma)
    assert found.recipe_digest == moving.digest


def test_few_compiled_recipes_are_kept() -> None:
    moving = MovingReduction(recipe(), arm())
    first = moving.reduction_at({"arm": 0.0})
    assert moving.reduction_at({"arm": 0.0}) is first
    for place in range(1, KEPT):
        moving.reduction_at({"arm": float(place)})
    assert moving.reduction_at({"arm": 0.0}) is first
    for place in range(KEPT, 2 * KEPT):
        moving.reduction_at({"arm": float(place)})
    assert moving.reduction_at({"arm": 0.0}) is not first


@pytest.mark.parametrize(
    ("binning", "wanted"),
    [
        (Radial(12), "radial_range"),
        (Cake(6, 4, radial_range=(1.0, 9.0)), "azimuth_range"),
        (Cake(6, 4), "radial_range and azimuth_range"),
        (Azimuthal(12), "azimuth_range"),
    ],
)
def test_bins_that_follow_the_pixels_are_refused(binning: object, wanted: str) -> None:
    with pytest.raises(RecipeError, match=f"needs bins that stay: give {wanted}, or edges"):
        MovingReduction(recipe(binning), arm())


@pytest.mark.parametrize(
    "binning",
    [Radial(edges=(1.0, 2.0, 5.0)), Cake(6, 4, "q_nm^-1", (1.0, 9.0), (-180.0, 180.0))],
)
def test_axes_that_are_given_are_those_of_every_curve(binning: Radial | Cake) -> None:
    moving = MovingReduction(recipe(binning), arm())
    own = moving.reduction_at({"arm": 7.0})
    for name in ("axis", "edges", "azimuth", "azimuth_edges"):
        np.testing.assert_array_equal(getattr(moving, name), getattr(own, name))
    assert moving.output_shape == own.output_shape


def test_a_range_over_all_places_is_that_of_all_geometries_merged() -> None:
    made = recipe(Radial(12, "2th_deg"))
    found = with_range_of_all(made, arm(), ARM)
    merged = MultiGeometry(separately(made, arm(), ARM[:3]))
    np.testing.assert_array_equal(MovingReduction(found, arm()).edges, merged.reduction.edges)
    assert with_range_of_all(recipe(), arm(), ARM) == recipe()


def test_a_range_over_very_many_places_is_refused() -> None:
    with pytest.raises(RecipeError, match="a range that holds 51 positions takes too long"):
        with_range_of_all(recipe(Radial(12)), arm(), [{"arm": 0.1 * k} for k in range(51)])


def test_a_goniometer_of_another_detector_is_refused() -> None:
    other = replace(arm(), detector=Detector(pixel1=1e-3, pixel2=2e-3, shape=SHAPE))
    with pytest.raises(RecipeError, match="the goniometer moves Detector .1000 x 2000 um"):
        MovingReduction(recipe(), other)
    with pytest.raises(RecipeError, match="orientation 2"):
        MovingReduction(recipe(), replace(arm(), detector=replace(DETECTOR, orientation=2)))


def test_a_recipe_that_is_recorded_makes_the_same_curves() -> None:
    moving = MovingReduction(recipe(), arm())
    again = moving_from_mapping(json.loads(moving.to_json()))
    assert again.digest == moving.digest
    assert again.recipe_at({"arm": 33.0}) == moving.recipe_at({"arm": 33.0})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file["entry/data/data"] = counts(5)
        file["arm"] = [place["arm"] for place in ARM]
    write_goniometer(arm(), tmp_path / "arm.json")
    return tmp_path


def integrate(folder: Path, *words: str) -> int:
    named = [str(folder / word[1:]) if word.startswith("@") else word for word in words]
    return main(["integrate", *named])


@pytest.mark.parametrize(
    "positions", ["arm", "arm=arm", "arm=@/scan.h5::arm", "0,10,20,10,0", "arm=0,10,20,10,0"]
)
def test_the_command_reduces_each_frame_where_it_was_taken(folder: Path, positions: str) -> None:
    place = positions.replace("@", str(folder))
    words = ["--goniometer", "@arm.json", "--positions", place, "--unit", "2th_deg"]
    more = ["--range", "1", "40", "--bins", "12", "--error", "poisson"]
    assert integrate(folder, "@scan.h5", *words, *more, "-o", "@out.h5") == 0
    own = separately(recipe(), arm(), ARM)
    with h5py.File(folder / "out.h5") as file:
        entry = file["entry"]
        for k, image in enumerate(counts(5)):
            np.testing.assert_array_equal(
                entry["data/I"][k], reduction_for(own[k]).reduce(image).intensity
            )
        assert [digest.decode() for digest in entry["frames/epoch"][:]] == [o.digest for o in own]
        np.testing.assert_array_equal(entry["frames/position_arm"], [w["arm"] for w in ARM])
        record = entry["reduction/input"]
        assert record["goniometer_digest"].asstr()[()] == arm().digest
        kept = {
            "recipe": json.loads(record["recipe"].asstr()[()]),
            "goniometer": json.loads(record["goniometer"].asstr()[()]),
        }
        assert moving_from_mapping(kept).recipe_at(ARM[1]).digest == own[1].digest


def test_text_files_hold_the_recipe_of_their_frame(folder: Path) -> None:
    write_recipe(recipe(), folder / "r.toml")
    words = ["--recipe", "@r.toml", "--goniometer", "@arm.json", "--positions", "arm"]
    assert integrate(folder, "@scan.h5", *words, "-o", "@out.xy") == 0
    lines = (folder / "out_2.xy").read_text().splitlines()
    (text,) = [line for line in lines if line.startswith("# recipe: ")]
    assert recipe_from_json(text.removeprefix("# recipe: ")) == separately(recipe(), arm(), ARM)[2]


def test_frames_of_several_files_have_positions_in_order(folder: Path) -> None:
    with h5py.File(folder / "more.h5", "w") as file:
        file["entry/data/data"] = counts(2, seed=2)
    words = ["--goniometer", "@arm.json", "--positions", "0,10,20,10,0,5,15", "--range-of-all"]
    assert integrate(folder, "@scan.h5", "@more.h5", *words, "-o", "@out.h5") == 0
    with h5py.File(folder / "out.h5") as file:
        assert file["entry/frames/position_arm"][:].tolist() == [0, 10, 20, 10, 0, 5, 15]
        assert file["entry/data/I"].shape == (7, 1000)
    with open_frames(folder / "more.h5") as frames:
        assert frames.frame_count() == 2


REFUSED = {
    "no positions": ("--goniometer @arm.json", "the positions of 'arm' are missing"),
    "too few": (
        "--goniometer @arm.json --positions 0,1 --range 1 2",
        "--positions arm: 2 positions for 5 frames",
    ),
    "another motor": (
        "--goniometer @arm.json --positions ram=arm",
        "unknown motor 'ram': did you mean 'arm'?",
    ),
    "no dataset": (
        "--goniometer @arm.json --positions nothing --range 1 2",
        "position of arm",
    ),
    "twice": (
        "--goniometer @arm.json --positions arm --positions arm",
        "--positions arm: given twice",
    ),
    "a range": (
        "--goniometer @arm.json --positions arm",
        "a detector that moves needs bins that stay: give radial_range, or edges",
    ),
    "no goniometer": ("--positions arm", "give --goniometer FILE"),
    "a poni": ("--goniometer @arm.json --poni @a.poni", "leave out --poni"),
    "no geometry": (
        "--goniometer @z.json --positions 0,0,0,0,-200 --range 1 2",
        "goniometer at z=-200: distance must be > 0 m",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_right_is_refused_before_anything_is_written(
    folder: Path, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_goniometer(table(), folder / "z.json")
    before = set(folder.iterdir())
    words, message = REFUSED[case]
    assert integrate(folder, "@scan.h5", *words.split(), "-o", "@out.h5") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error
    assert set(folder.iterdir()) == before
