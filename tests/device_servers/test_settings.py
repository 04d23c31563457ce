"""Settings as one frozen value, without Tango."""

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringline.device_servers.configuration import configuration, configured
from ringline.device_servers.setting_table import SETTINGS
from ringline.device_servers.settings import Settings, detector_from_text, detector_to_text
from ringline.processing import (
    COEFFICIENTS,
    ERROR_MODELS,
    SPLITTINGS,
    UNITS,
    Azimuthal,
    Cake,
    Corrections,
    Detector,
    Geometry,
    QuantileRange,
    Radial,
    Recipe,
    RecipeError,
    Sensor,
    SigmaClip,
    detector_named,
    read_poni,
    write_detector_file,
    write_poni,
)
from ringline.processing.corrections import ARRAYS
from ringline.processing.detector_table import with_known_sensor

LENGTHS = st.floats(-10, 10)
ANGLES = st.floats(-3, 3)
GEOMETRIES = st.builds(
    Geometry,
    distance=st.floats(1e-3, 100),
    poni1=LENGTHS,
    poni2=LENGTHS,
    rot1=ANGLES,
    rot2=ANGLES,
    rot3=ANGLES,
    wavelength=st.floats(1e-12, 1e-8),
    detector=st.sampled_from(
        [
            detector_named("Pilatus1M"),
            replace(detector_named("Eiger4M"), orientation=2),
            Detector(pixel1=1e-4, pixel2=2e-4),
            Detector(pixel1=1e-4, pixel2=2e-4, shape=(30, 40), orientation=1),
            Detector(pixel1=1e-4, pixel2=2e-4, sensor=Sensor("Si", 3e-4)),
            replace(detector_named("Eiger4M"), sensor=Sensor("CdTe", 1 / 3e3)),
            replace(detector_named("Eiger4M"), sensor=Sensor("CdTe", 1e-3)),
        ]
    ),
)
RANGES = st.none() | st.tuples(st.floats(0, 1), st.floats(2, 3))
RADIAL = [name for name, unit in UNITS.items() if not unit.periodic]
UNIT = st.sampled_from([*RADIAL, "formula: 2 * q"])
EDGES = st.just((-1.5, 0.1, 0.3, 2.0)) | st.just((0.0, 1 / 3))


def sampled(draw: st.DrawFn, kind: type, **values: st.SearchStrategy[object]) -> object:
    """A value with each of its fields drawn: none is forgotten."""
    assert {field.name for field in fields(kind)} == set(values), kind
    return kind(**{name: draw(value) for name, value in values.items()})


@st.composite
def binnings(draw: st.DrawFn) -> object:
    given = draw(st.booleans())
    edges, ranges = (EDGES, st.none()) if given else (st.none(), RANGES)
    bins = st.just(0) if given else st.integers(1, 5000)
    match draw(st.sampled_from([Radial, Azimuthal, Cake])):
        case kind if kind is Radial:
            unit = draw(UNIT | st.sampled_from(["chi_deg", "chi_rad"]))
            return sampled(
                draw, Radial, bins=bins, unit=st.just(unit), radial_range=ranges, edges=edges,
                azimuth_range=st.none() if unit.startswith("chi") else RANGES,
            )  # fmt: skip
        case kind if kind is Azimuthal:
            return sampled(
                draw, Azimuthal, bins=bins, unit=st.sampled_from(["chi_deg", "chi_rad"]),
                radial_range=RANGES, azimuth_range=ranges, radial_unit=UNIT, edges=edges,
            )  # fmt: skip
    return sampled(
        draw, Cake, radial_bins=bins, azimuthal_bins=st.integers(1, 720), unit=UNIT,
        radial_range=ranges, azimuth_range=RANGES, edges=edges, azimuth_edges=st.none(),
    )  # fmt: skip


def knows_its_sensor(detector: Detector) -> bool:
    try:
        with_known_sensor(detector)
    except RecipeError:
        return False
    return True


@st.composite
def corrections(draw: st.DrawFn, absorption: st.SearchStrategy[bool]) -> object:
    numbers, nothing = st.floats(-1e6, 1e6), st.none()
    return sampled(
        draw, Corrections, mask=nothing, dark=nothing, flat=nothing, dark_variance=nothing,
        variance=nothing, polarization=nothing | st.floats(-1, 1), polarization_axis=numbers,
        solid_angle=st.booleans(), absorption=absorption,
        monitor=nothing | st.floats(1e-6, 1e9), scale=st.floats(1e-6, 1e9),
        saturation=nothing | numbers, dummy=nothing | numbers, delta_dummy=st.floats(0, 10),
    )  # fmt: skip


@st.composite
def recipes(draw: st.DrawFn) -> object:
    outliers = (
        st.none()
        | st.builds(SigmaClip, st.floats(0, 50), st.integers(1, 50))
        | st.builds(QuantileRange, st.floats(0, 0.5), st.floats(0.5, 1))
    )
    geometry = draw(GEOMETRIES)
    # Absorption in a sensor that is not known is refused.
    known = knows_its_sensor(geometry.detector)
    absorption = st.sampled_from([False, True] if known else [False])
    return sampled(
        draw, Recipe, geometry=st.just(geometry), binning=binnings(),
        splitting=st.sampled_from(SPLITTINGS),
        error_model=st.sampled_from([name for name in ERROR_MODELS if name != "variance"]),
        coefficients=st.sampled_from(COEFFICIENTS), outliers=outliers,
        corrections=corrections(absorption),
    )  # fmt: skip


RECIPES = recipes()


@given(recipe=RECIPES)
def test_settings_of_a_recipe_make_the_same_recipe(recipe: Recipe) -> None:
    assert Settings().with_recipe(recipe).recipe().digest == recipe.digest


def test_settings_keep_the_parallax_of_a_geometry() -> None:
    geometry = Geometry(
        distance=0.1, wavelength=1e-10, detector=detector_named("Eiger4M"), parallax=True
    )
    assert Settings().with_geometry(geometry).geometry() == geometry


@given(recipe=RECIPES)
def test_settings_come_back_from_the_database_to_the_last_digit(recipe: Recipe) -> None:
    settings = Settings().with_recipe(recipe)
    restored = Settings()
    for setting in SETTINGS.values():
        if setting.memorized:
            restored = setting.from_text(restored, setting.to_text(settings))
    assert restored == settings


@given(wavelength=st.decimals("0.01", "10", places=8))
def test_a_wavelength_in_angstrom_is_that_of_a_poni_file_in_metres(wavelength: object) -> None:
    settings = SETTINGS["wavelength"].changed(Settings(), float(f"{wavelength}"))
    assert settings.wavelength == float(f"{wavelength}e-10")


def test_energy_and_wavelength_are_two_views_of_one_setting() -> None:
    settings = SETTINGS["energy"].changed(Settings(), 12.398419843320026)
    assert SETTINGS["wavelength"].value(settings) == pytest.approx(1.0, rel=1e-15)
    assert SETTINGS["energy"].value(settings) == pytest.approx(12.398419843320026, rel=1e-15)


def test_every_field_is_a_setting_and_every_setting_says_what_it_is() -> None:
    assert {field.name for field in fields(Settings)} | {"energy"} == set(SETTINGS)
    assert all(setting.label and setting.doc for setting in SETTINGS.values())


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("distance", 0, "distance must be > 0 m, got 0"),
        ("distance", float("nan"), "distance must be finite"),
        ("wavelength", -1, "wavelength must be > 0 angstrom, got -1"),
        ("energy", 0, "energy must be > 0 keV, got 0"),
        ("poni1", float("inf"), "poni1 must be finite"),
        ("poni1", "wide", "poni1 must be a number, got 'wide'"),
        ("radial_bins", -1, "radial_bins must be a whole number >= 0, got -1"),
        ("radial_bins", 1e9, "radial_bins must be a whole number >= 0, got 1000000000.0"),
        ("radial_edges", [0, 2, 1], "radial_edges must ascend, got 2 before 1"),
        ("radial_edges", [1], "radial_edges must be at least two numbers, got 1"),
        ("radial_edges", 3, "radial_edges must be a list of numbers, got 3"),
        ("azimuth_edges", range(9000), "azimuth_edges must be at most 8193 numbers, got 9000"),
        ("radial_unit", "formula: spam", "spam"),
        ("azimuthal_unit", "q_nm^-1", "unknown azimuthal_unit 'q_nm^-1'"),
        ("coefficients", "exakt", "unknown coefficients 'exakt': did you mean 'exact'?"),
        ("outlier_rejection", "clip", "unknown outlier_rejection 'clip'"),
        ("outlier_threshold", -1, "outlier_threshold must be from 0 to inf, got -1"),
        ("outlier_iterations", 0, "outlier_iterations must be a whole number >= 1, got 0"),
        ("quantile_range", [0.7, 0.2], "quantiles must be 0 <= low <= high <= 1, got 0.7 and 0.2"),
        ("quantile_range", [0.7], "quantile_range must be two numbers, low and high"),
        ("absolute_scale", 0, "absolute_scale must be > 0, got 0"),
        ("monitor_reference", -2, "monitor_reference must be from 0 to inf, got -2"),
        ("delta_dummy", -1, "delta_dummy must be from 0 to inf, got -1"),
        ("saturation", float("nan"), "saturation must be finite"),
        ("polarization_axis", float("inf"), "polarization_axis must be finite (degree)"),
        ("dark_variance_file", "v.npy", "dark_variance_file must be an absolute path"),
        ("radial_bins", 70000, "radial_bins must be at most 65536, got 70000"),
        ("orientation", 5, "orientation must be at most 4, got 5"),
        ("radial_unit", "q_nm", "unknown radial_unit 'q_nm': did you mean 'q_nm^-1'"),
        ("radial_unit", 3, "unknown radial_unit 3"),
        ("splitting", "box", "unknown splitting 'box'"),
        ("radial_range", [3, 1], "it is empty"),
        ("radial_range", [1, 2, 3], "radial_range must be two numbers, low and high"),
        ("radial_range", 3, "radial_range must be two numbers"),
        ("polarization_factor", 1.5, "polarization_factor must be from -1 to 1, got 1.5"),
        ("solid_angle_correction", 1, "solid_angle_correction must be true or false, got 1"),
        ("mask_file", "mask.npy", "mask_file must be an absolute path, got 'mask.npy'"),
        ("mask_file", 3, "mask_file must be a path, got 3"),
        ("detector", 3, "detector must be text, got 3"),
        ("engine", "cuda", "unknown engine 'cuda'"),
    ],
)
def test_a_value_out_of_bounds_is_refused_with_name_value_and_bound(
    name: str, value: object, words: str
) -> None:
    with pytest.raises(RecipeError) as refusal:
        configured(Settings(), {name: value})
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("nothing", [[], [0, 0], np.zeros(0), np.zeros(2), None])
def test_nothing_or_two_zeros_mean_the_whole_range(nothing: object) -> None:
    settings = replace(Settings(), radial_range=(1.0, 2.0))
    assert configured(settings, {"radial_range": nothing}).radial_range is None


def test_an_unknown_setting_is_refused_with_near_names() -> None:
    with pytest.raises(RecipeError, match="unknown setting 'radial_bin'.*'radial_bins'"):
        configured(Settings(), {"radial_bin": 3})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        ("3", "must be a JSON object, got int"),
        ('{"recipe": 3}', "recipe must be a JSON object"),
        ('{"energy": 12, "wavelength": 1}', "are one setting"),
        ('{"radial_bins": NaN}', "radial_bins"),
    ],
)
def test_a_malformed_configuration_is_refused(text: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        configured(Settings(), configuration(text))


def test_a_recipe_and_settings_in_one_configuration_apply_in_that_order() -> None:
    recipe = Settings(distance=1.0, wavelength=1e-10, detector="Pilatus1M").recipe()
    settings = configured(Settings(), {"radial_bins": 12, "recipe": recipe.to_mapping()})
    assert settings == Settings(
        distance=1.0, wavelength=1e-10, detector="Pilatus1M", radial_bins=12
    )


def test_setting_a_polarization_factor_switches_the_correction_on() -> None:
    settings = configured(Settings(), {"polarization_factor": 0.9})
    assert settings.polarization_correction
    off = configured(settings, {"polarization_factor": 0.8, "polarization_correction": False})
    assert not off.polarization_correction


@pytest.mark.parametrize(
    ("value", "switch"),
    [("saturation", "saturation_rejection"), ("dummy", "dummy_rejection")],
)
def test_setting_a_value_that_counts_nowhere_switches_its_rejection_on(
    value: str, switch: str
) -> None:
    settings = configured(READY, {value: -2.0})
    assert getattr(settings, switch)
    corrections = settings.recipe().corrections
    assert getattr(corrections, value) == -2.0
    off = configured(settings, {switch: False})
    assert getattr(off.recipe().corrections, value) is None


READY = Settings(distance=1.0, wavelength=1e-10, detector="Pilatus1M")


def test_azimuthal_bins_without_radial_ones_make_an_azimuthal_profile() -> None:
    given = {"radial_bins": 0, "azimuthal_bins": 36, "radial_unit": "2th_deg"}
    binning = configured(READY, {**given, "radial_range": [1, 2]}).recipe().binning
    assert binning == Azimuthal(36, radial_range=(1, 2), radial_unit="2th_deg")


def test_no_bins_at_all_are_refused() -> None:
    with pytest.raises(RecipeError, match="radial_bins and azimuthal_bins are both 0"):
        configured(READY, {"radial_bins": 0}).recipe()


def test_writing_edges_sets_the_number_of_bins_and_another_number_drops_the_edges() -> None:
    settings = configured(READY, {"radial_edges": [0, 1, 3]})
    assert settings.recipe().binning == Radial(edges=(0, 1, 3))
    assert settings.radial_bins == 2
    assert configured(settings, {"radial_bins": 2}) == settings
    assert configured(settings, {"radial_bins": 7}).recipe().binning == Radial(7)
    equal = configured(settings, {"radial_edges": [0, 0]})
    assert equal.recipe().binning == Radial(2)


def test_edges_and_another_number_of_bins_in_one_configuration_are_refused() -> None:
    given = {"radial_bins": 7, "radial_edges": [0, 1, 3]}
    with pytest.raises(RecipeError, match="radial_bins is 7, but radial_edges are those of 2"):
        configured(READY, given)
    assert configured(READY, {**given, "radial_bins": 0}).radial_bins == 2


def test_a_unit_may_be_a_formula() -> None:
    settings = configured(READY, {"radial_unit": "formula: q**2"})
    assert settings.recipe().binning.unit == "formula: q**2"


def test_settings_without_geometry_say_what_is_missing() -> None:
    assert Settings().not_set() == ["distance", "wavelength", "detector"]


@pytest.mark.parametrize("name", ["Pilatus1M", "Eiger2_4M"])
def test_a_detector_of_the_table_is_shown_by_its_name(name: str) -> None:
    assert detector_to_text(detector_named(name)) == name


def test_a_detector_is_given_by_name_or_json_and_nothing_else() -> None:
    shape = detector_from_text('{"pixel1": 1e-4, "pixel2": 1e-4, "shape": [3, 4]}').shape
    assert shape == (3, 4)
    for text, words in (
        ("Pilatus1N", "did you mean 'Pilatus1M'"),
        ("{", "not JSON"),
        ('{"pixel1": 0, "pixel2": 1}', "pixel1 must be > 0 m"),
        ('{"pixel": 1, "pixel2": 1}', "pixel"),
    ):
        with pytest.raises(RecipeError, match=words):
            detector_from_text(text)


def test_a_detector_can_be_configured_as_a_mapping() -> None:
    section = {"pixel1": 1e-4, "pixel2": 1e-4}
    settings = configured(Settings(), configuration(json.dumps({"detector": section})))
    assert detector_from_text(settings.detector) == Detector(pixel1=1e-4, pixel2=1e-4)


@given(geometry=GEOMETRIES)
def test_a_geometry_survives_settings_and_poni_file(
    geometry: Geometry, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "again.poni"
    write_poni(Settings().with_geometry(geometry).geometry(), path)
    assert read_poni(path) == geometry


def test_files_of_arrays_are_kept_by_their_paths(tmp_path: Path) -> None:
    np.save(tmp_path / "mask.npy", np.zeros((30, 40), dtype=bool))
    geometry = Geometry(
        distance=1, wavelength=1e-10, detector=Detector(pixel1=1e-4, pixel2=1e-4, shape=(30, 40))
    )
    corrections = Corrections(mask=str(tmp_path / "mask.npy"))
    recipe = Recipe(geometry=geometry, binning=Radial(10), corrections=corrections)
    settings = replace(Settings(), dark_file="/former/dark.npy").with_recipe(recipe)
    assert (settings.mask_file, settings.dark_file) == (str(tmp_path / "mask.npy"), "")
    assert settings.recipe().digest == recipe.digest


def test_every_array_is_kept_by_its_path(tmp_path: Path) -> None:
    paths = {name: tmp_path / f"{name}.npy" for name in ARRAYS}
    for number, path in enumerate(paths.values()):
        np.save(path, np.full((30, 40), number))
    detector = Detector(pixel1=1e-4, pixel2=1e-4, shape=(30, 40))
    recipe = Recipe(
        geometry=Geometry(distance=1, wavelength=1e-10, detector=detector),
        binning=Radial(10),
        error_model="variance",
        corrections=Corrections(**paths),
    )
    settings = Settings().with_recipe(recipe)
    assert settings.recipe() == recipe
    assert settings.dark_variance_file == str(paths["dark_variance"])


def test_corners_of_pixels_and_their_digest_are_kept_by_their_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flat = Detector(pixel1=1e-4, pixel2=1e-4, shape=(3, 4)).pixel_corners()
    monkeypatch.chdir(tmp_path)
    np.save("corners.npy", flat + np.random.default_rng(1).uniform(0, 1e-5, flat.shape))
    detector = Detector(pixel1=1e-4, pixel2=1e-4, corners="corners.npy", sensor=Sensor("Si", 3e-4))
    geometry = Geometry(distance=1, wavelength=1e-10, detector=detector, parallax=True)
    recipe = Recipe(geometry=geometry, binning=Radial(10))
    settings = configured(Settings(), {"recipe": recipe.to_mapping()})
    assert str(tmp_path) in settings.detector
    monkeypatch.chdir("/")  # as a server that was started elsewhere
    assert settings.recipe().digest == recipe.digest
    np.save(tmp_path / "corners.npy", flat)
    with pytest.raises(RecipeError, match="corners.*changed since"):
        settings.recipe()


def test_a_detector_file_is_a_detector_and_stays_the_same_when_it_is_memorized(
    tmp_path: Path,
) -> None:
    mask = np.zeros((5, 7), bool)
    mask[2, 3] = True
    detector = Detector(pixel1=1e-4, pixel2=1e-4, shape=(5, 7), name="mine", mask=mask)
    write_detector_file(tmp_path / "mine.h5", detector)
    found = detector_from_text(str(tmp_path / "mine.h5"))
    assert found == detector
    assert detector_from_text(detector_to_text(found)) == detector
    with pytest.raises(RecipeError, match=r"nowhere\.h5"):
        detector_from_text("nowhere.h5")
