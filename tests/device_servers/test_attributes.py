"""What a client sees of the attributes."""

import json
import math
from pathlib import Path

import numpy as np
import pint
import pytest
import tango

from ringline.device_servers.attributes import on_wire
from ringline.device_servers.readings import READINGS
from ringline.device_servers.setting_table import SETTINGS
from ringline.device_servers.settings import Settings
from ringline.processing import recipe_from_mapping, write_poni
from tests.device_servers.conftest import RECIPE, Server, reason, recipe_mapping, wait_for

NAMES = (*SETTINGS, *READINGS)
SPECTRA = [name for name, reading in READINGS.items() if reading.dims and name != "cake"]


def set_points(proxy: tango.DeviceProxy) -> dict[str, object]:
    read = proxy.read_attributes(list(SETTINGS))
    return {each.name: (each.value, each.w_value) for each in read}


@pytest.mark.parametrize("name", NAMES)
def test_every_attribute_has_label_doc_and_a_unit_that_pint_parses(
    reducer: tango.DeviceProxy, name: str
) -> None:
    config = reducer.get_attribute_config(name)
    assert config.label != name
    assert config.description not in ("", "No description")
    pint.UnitRegistry().parse_units(config.unit.replace("No unit", ""))


@pytest.mark.parametrize("name", SETTINGS)
def test_scalar_settings_are_memorized_and_bounded(reducer: tango.DeviceProxy, name: str) -> None:
    config = reducer.get_attribute_config(name)
    assert config.writable == tango.AttrWriteType.READ_WRITE
    scalar = config.data_format == tango.AttrDataFormat.SCALAR
    if scalar and SETTINGS[name].memorized:
        assert config.memorized == tango.AttrMemorizedType.MEMORIZED
    if name in ("distance", "wavelength", "energy"):
        assert float(config.min_value) == 0
    least = {"radial_bins": 0, "azimuthal_bins": 0, "orientation": 1, "outlier_iterations": 1}
    if name in least:
        assert (int(config.min_value), int(config.max_value) > 1) == (least[name], True)
    for low in ("outlier_threshold", "monitor_reference", "absolute_scale", "delta_dummy"):
        assert name != low or float(config.min_value) == 0


def test_all_names_of_the_design_are_there(reducer: tango.DeviceProxy) -> None:
    settings = """distance poni1 poni2 rot1 rot2 rot3 energy wavelength detector radial_bins
        azimuthal_bins radial_unit radial_range azimuth_range splitting error_model
        polarization_factor mask_file dark_file flat_file engine azimuthal_unit radial_edges
        azimuth_edges coefficients outlier_rejection outlier_threshold outlier_iterations
        quantile_range dark_variance_file variance_file polarization_axis absorption_correction
        monitor_reference absolute_scale saturation dummy delta_dummy"""
    results = """radial intensity sigma cake frame_index frames_seen frames_reduced frames_dropped
        frames_failed lag processing_time frame_rate recipe_digest recipe generation last_error
        std pixels_rejected engine_used"""
    commands = "Configure LoadPoni SavePoni Arm Disarm Integrate Separate Consume Reset"
    assert {*settings.split(), *results.split()} <= set(reducer.get_attribute_list())
    assert set(commands.split()) <= set(reducer.get_command_list())


def test_set_points_are_right_straight_after_start(server: Server) -> None:
    proxy = tango.DeviceProxy(server.trl)
    for name, (value, set_point) in set_points(proxy).items():
        np.testing.assert_array_equal(set_point, value, err_msg=name)


def test_set_points_are_right_after_configure_and_load_poni(
    reducer: tango.DeviceProxy, tmp_path: Path
) -> None:
    """A panel shows set points, and Apply writes them: a stale one would undo the calibration."""
    settings = Settings().with_recipe(recipe_from_mapping(recipe_mapping(bins=31)))
    reducer.Configure(json.dumps({"recipe": recipe_mapping(bins=31)}))
    for name, (value, set_point) in set_points(reducer).items():
        expected = on_wire(SETTINGS[name].kind, SETTINGS[name].value(settings))
        np.testing.assert_array_equal(value, expected, err_msg=name)
        np.testing.assert_array_equal(set_point, expected, err_msg=name)
    moved = settings.geometry().__class__(**{**vars(settings.geometry()), "distance": 0.123456789})
    write_poni(moved, tmp_path / "moved.poni")
    reducer.LoadPoni(str(tmp_path / "moved.poni"))
    assert set_points(reducer)["distance"] == (0.123456789, 0.123456789)


def test_writing_energy_moves_the_set_point_of_wavelength(reducer: tango.DeviceProxy) -> None:
    reducer.energy = 24.796839686640052
    value, set_point = set_points(reducer)["wavelength"]
    assert value == set_point == pytest.approx(0.5)
    reducer.wavelength = 1.0
    assert set_points(reducer)["energy"][1] == pytest.approx(12.39841984)


def test_writing_a_polarization_factor_moves_the_set_point_of_its_switch(
    reducer: tango.DeviceProxy,
) -> None:
    reducer.polarization_factor = 0.9
    assert set_points(reducer)["polarization_correction"] == (True, True)


@pytest.mark.parametrize("name", ["saturation", "dummy"])
def test_writing_a_value_that_counts_nowhere_moves_the_set_point_of_its_switch(
    reducer: tango.DeviceProxy, name: str
) -> None:
    assert not reducer.read_attribute(f"{name}_rejection").value
    reducer.write_attribute(name, -1.0)
    assert set_points(reducer)[f"{name}_rejection"] == (True, True)


def test_writing_edges_moves_the_set_point_of_the_number_of_bins(
    reducer: tango.DeviceProxy,
) -> None:
    reducer.azimuth_edges = [-180.0, 0.0, 10.0, 90.0]
    assert set_points(reducer)["azimuthal_bins"] == (3, 3)
    reducer.azimuthal_bins = 0
    value, set_point = set_points(reducer)["azimuth_edges"]
    np.testing.assert_array_equal([value, set_point], [[0.0, 0.0], [0.0, 0.0]])


def test_bins_of_neither_axis_alarm_and_leave_the_recipe(reducer: tango.DeviceProxy) -> None:
    digest = reducer.recipe_digest
    reducer.radial_bins = 0
    wait_for(lambda: reducer.state() == tango.DevState.ALARM, "ALARM")
    assert "radial_bins and azimuthal_bins are both 0" in reducer.status()
    assert reducer.recipe_digest == digest
    reducer.azimuthal_bins = 36
    wait_for(lambda: reducer.state() == tango.DevState.ON, "ON")
    assert "36 bins in chi_deg" in reducer.status()
    assert json.loads(reducer.recipe)["binning"]["kind"] == "azimuthal"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("wavelength", 0.0, "wavelength must be > 0 angstrom, got 0.0"),
        ("energy", 0.0, "energy must be > 0 keV, got 0.0"),
        ("distance", 0.0, "distance must be > 0 m, got 0.0"),
        ("radial_range", [5.0, 1.0], "radial_range must have low < high"),
        ("azimuth_range", [1.0, 1.0], "azimuth_range must have low < high"),
        ("radial_unit", "q_nm", "unknown radial_unit 'q_nm': did you mean 'q_nm^-1'"),
        ("radial_edges", [0.0, 2.0, 1.0], "radial_edges must ascend, got 2 before 1"),
        ("quantile_range", [0.5, 1.5], "quantiles must be 0 <= low <= high <= 1"),
        ("outlier_rejection", "sigma", "unknown outlier_rejection 'sigma'"),
        ("absolute_scale", 0.0, "absolute_scale must be > 0, got 0.0"),
        ("variance_file", "v.npy", "variance_file must be an absolute path"),
        ("mask_file", "mask.npy", "mask_file must be an absolute path"),
    ],
)
def test_a_write_out_of_bounds_is_refused_at_once_and_changes_nothing(
    reducer: tango.DeviceProxy, name: str, value: object, words: str
) -> None:
    before, digest = set_points(reducer), reducer.recipe_digest
    with pytest.raises(tango.DevFailed) as refusal:
        reducer.write_attribute(name, value)
    found, text = reason(refusal)
    assert found == "Ringline_BadRecipe"
    assert words in text
    assert "\n" not in text
    assert str(set_points(reducer)) == str(before)
    assert reducer.recipe_digest == digest
    assert reducer.last_error == text


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
def test_tango_itself_refuses_what_is_no_number_or_outside_its_range(
    reducer: tango.DeviceProxy, value: float
) -> None:
    with pytest.raises(tango.DevFailed) as refusal:
        reducer.wavelength = value
    assert reason(refusal)[0] == "API_WAttrOutsideLimit"
    assert reducer.wavelength == 1.0


def test_a_range_of_one_number_is_refused(reducer: tango.DeviceProxy) -> None:
    with pytest.raises(tango.DevFailed, match="radial_range must be two numbers"):
        reducer.radial_range = [5.0]
    np.testing.assert_array_equal(reducer.radial_range, [0.0, 0.0])


def test_two_zeros_or_nothing_set_the_whole_range(reducer: tango.DeviceProxy) -> None:
    whole = reducer.recipe_digest
    for nothing in ([0.0, 0.0], []):
        reducer.radial_range = [1.0, 5.0]
        wait_for(lambda: reducer.recipe_digest != whole, "a range in force")
        reducer.radial_range = nothing
        wait_for(lambda: reducer.recipe_digest == whole, "the whole range in force")
        np.testing.assert_array_equal(reducer.read_attribute("radial_range").value, [0.0, 0.0])


def test_settings_written_one_by_one_make_the_recipe_that_configure_makes(
    reducer: tango.DeviceProxy,
) -> None:
    reducer.Configure(json.dumps({"recipe": recipe_mapping(bins=80, unit="2th_deg")}))
    digest = reducer.recipe_digest
    reducer.Configure(json.dumps({"recipe": RECIPE}))
    reducer.radial_bins = 80
    reducer.radial_unit = "2th_deg"
    wait_for(lambda: reducer.recipe_digest == digest, "the same digest")


def test_settings_that_do_not_fit_together_alarm_and_leave_the_recipe(
    reducer: tango.DeviceProxy, tmp_path: Path
) -> None:
    digest = reducer.recipe_digest
    np.save(tmp_path / "mask.npy", np.zeros((3, 4), dtype=bool))
    reducer.mask_file = str(tmp_path / "mask.npy")
    wait_for(lambda: reducer.state() == tango.DevState.ALARM, "ALARM")
    status = reducer.status()
    assert "mask" in status
    assert "(3, 4)" in status
    assert "correct this setting; the former recipe stays in force" in status
    assert reducer.recipe_digest == digest
    reducer.mask_file = ""
    wait_for(lambda: reducer.state() == tango.DevState.ON, "ON")


@pytest.mark.parametrize("name", SPECTRA)
def test_spectra_have_values_before_the_first_frame(reducer: tango.DeviceProxy, name: str) -> None:
    """A spectrum of no length reads as no value at all."""
    reading = reducer.read_attribute(name)
    assert reading.quality == tango.AttrQuality.ATTR_VALID
    assert reading.value is not None
    assert len(reading.value) > 0


def test_curves_are_nan_before_the_first_frame(reducer: tango.DeviceProxy) -> None:
    for name in ("intensity", "sigma", "std", "cake"):
        assert np.isnan(reducer.read_attribute(name).value).all()
    assert len(reducer.intensity) == len(reducer.radial) == 64
    assert reducer.frame_index == -1


def test_the_recipe_can_be_read_back_and_is_the_one_in_force(reducer: tango.DeviceProxy) -> None:
    recipe = recipe_from_mapping(json.loads(reducer.recipe))
    assert recipe.digest == reducer.recipe_digest == recipe_from_mapping(RECIPE).digest


def test_a_device_that_is_not_configured_says_what_to_do(reducer: tango.DeviceProxy) -> None:
    # There is no way back to an unconfigured device but a fresh one: see test_server_process.
    assert reducer.state() == tango.DevState.ON
    assert reducer.status() == "ready: 64 bins in q_nm^-1 from a detector"
