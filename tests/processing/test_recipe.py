"""Recipes: round trips, identity, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from ringline.processing import (
    Cake,
    Corrections,
    Detector,
    Geometry,
    Radial,
    Recipe,
    RecipeError,
    detector_named,
    read_recipe,
    recipe_from_json,
    recipe_from_mapping,
    write_recipe,
)

GEOMETRY = Geometry(
    distance=0.1,
    poni1=0.1 / 3,
    rot3=1e-300,
    wavelength=1e-10,
    detector=Detector(pixel1=1e-4, pixel2=1e-4, shape=(8, 9), orientation=2),
)
RECIPES = [
    Recipe(geometry=GEOMETRY, binning=Radial(bins=10)),
    Recipe(
        geometry=Geometry(distance=1, wavelength=1e-10, detector=detector_named("Eiger2CdTe_4M")),
        binning=Cake(10, 36, "2th_deg", (0.1, 30.0), (-90.0, 90.0)),
        splitting="no",
        error_model="poisson",
        corrections=Corrections(polarization=0.99, solid_angle=False),
    ),
]


@pytest.mark.parametrize("recipe", RECIPES)
def test_json_gives_back_an_equal_recipe(recipe: Recipe) -> None:
    back = recipe_from_json(recipe.to_json())
    assert back == recipe
    assert hash(back) == hash(recipe)
    assert back.digest == recipe.digest


@pytest.mark.parametrize("recipe", RECIPES)
def test_toml_gives_back_an_equal_recipe(recipe: Recipe, tmp_path: Path) -> None:
    write_recipe(recipe, tmp_path / "recipe.toml")
    assert read_recipe(tmp_path / "recipe.toml") == recipe


def test_arrays_are_identified_by_content_wherever_they_are(tmp_path: Path) -> None:
    dark = np.arange(72.0).reshape(8, 9)
    np.save(tmp_path / "a.npy", dark)
    np.save(tmp_path / "b.npy", dark.astype(">f8"))
    given = [
        Recipe(geometry=GEOMETRY, binning=Radial(bins=10), corrections=Corrections(dark=source))
        for source in (dark, tmp_path / "a.npy", str(tmp_path / "b.npy"))
    ]
    assert given[0] == given[1] == given[2]
    assert len({recipe.digest for recipe in given}) == 1
    changed = Corrections(dark=dark + 1)
    assert Recipe(geometry=GEOMETRY, binning=Radial(bins=10), corrections=changed) != given[0]


def test_an_array_given_without_a_path_is_stored_beside_the_recipe(tmp_path: Path) -> None:
    mask = np.eye(8, 9) > 0
    recipe = Recipe(geometry=GEOMETRY, binning=Radial(bins=10), corrections=Corrections(mask=mask))
    with pytest.raises(RecipeError, match="no path is recorded"):
        recipe_from_json(recipe.to_json())
    kept = recipe.with_stored_arrays(tmp_path)
    assert kept.digest == recipe.digest
    assert recipe_from_json(kept.to_json()) == recipe


def test_an_array_that_changed_since_is_refused_by_name(tmp_path: Path) -> None:
    np.save(tmp_path / "flat.npy", np.ones((8, 9)))
    corrections = Corrections(flat=tmp_path / "flat.npy")
    recipe = Recipe(geometry=GEOMETRY, binning=Radial(bins=10), corrections=corrections)
    np.save(tmp_path / "flat.npy", np.full((8, 9), 2.0))
    with pytest.raises(RecipeError, match=r"flat .*flat.npy: changed since"):
        recipe_from_json(recipe.to_json())


def test_the_callers_array_may_change_without_changing_the_recipe() -> None:
    dark = np.zeros((8, 9))
    corrections = Corrections(dark=dark)
    dark += 5
    assert corrections.dark is not None
    assert corrections.dark.values.max() == 0


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Radial(bins=0), "bins must be a whole number >= 1, got 0"),
        (lambda: Radial(bins=2.5), "bins must be a whole number"),  # type: ignore[arg-type]
        (lambda: Radial(10, "q_nm-1"), r"unknown unit 'q_nm-1': did you mean 'q_nm\^-1'"),
        (lambda: Radial(10, radial_range=(3.0, 3.0)), "radial_range .* empty"),
        (lambda: Radial(10, radial_range=(-2.0, 0.0)), "radial_range .* empty"),
        (lambda: Radial(10, azimuth_range=(0.0, 400.0)), "at most 360 degrees"),
        (lambda: Radial(10, radial_range=(0.0, float("nan"))), "radial_range must be finite"),
        (lambda: Cake(10, 0), "azimuthal_bins must be"),
        (lambda: Corrections(polarization=1.5), "polarization must be from -1 to 1, got 1.5"),
        (lambda: Corrections(mask=np.zeros(5)), "mask must have two dimensions"),
        (lambda: Corrections(mask=np.zeros((2, 2)), dark=np.zeros((3, 2))), "dark: shape"),
        (lambda: Corrections(flat="nowhere.npy"), "flat: .*nowhere.npy"),
        (lambda: Recipe(geometry=GEOMETRY, binning=Radial(5), splitting="box"), "splitting 'box'"),
        (lambda: Recipe(geometry=GEOMETRY, binning=Radial(5), error_model="x"), "error_model 'x'"),
        (
            lambda: Recipe(
                geometry=GEOMETRY,
                binning=Radial(5),
                corrections=Corrections(mask=np.zeros((9, 9))),
            ),
            r"mask: shape \(9, 9\), the detector has \(8, 9\)",
        ),
    ],
)
def test_what_is_out_of_bounds_is_refused_in_one_line(build: object, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        build()  # type: ignore[operator]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("binning", "bin"), 5, "unknown key 'bin': did you mean 'bins'"),
        (("geometry", "distance"), None, "geometry: key 'distance' is missing"),
        (("geometry", "wavelength"), 0, "wavelength must be > 0"),
        (("binning", "kind"), "radail", "did you mean 'radial'"),
        (("splitting",), "bboxx", "did you mean 'bbox'"),
        (("corrections", "maks"), "x", "did you mean 'mask'"),
        (("extra",), 1, "recipe: unknown key 'extra'"),
    ],
)
def test_a_typo_in_a_mapping_is_refused_with_what_was_meant(
    path: tuple[str, ...], value: object, message: str
) -> None:
    mapping = json.loads(RECIPES[0].to_json())
    section = mapping
    for name in path[:-1]:
        section = section[name]
    section[path[-1]] = value
    with pytest.raises(RecipeError, match=message):
        recipe_from_mapping(mapping)


def test_a_toml_file_that_cannot_be_parsed_is_named(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text("geometry = [")
    with pytest.raises(RecipeError, match=r"r.toml: "):
        read_recipe(tmp_path / "r.toml")
