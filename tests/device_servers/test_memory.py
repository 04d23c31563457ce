"""Settings across restarts of the server."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tango

from ringline.device_servers.setting_table import SETTINGS
from ringline.processing import recipe_from_mapping, write_poni
from tests.device_servers.conftest import GEOMETRY, RECIPE, Server, recipe_mapping, wait_for

WRITTEN: dict[str, object] = {
    "poni1": 0.1 + 0.2,  # needs 17 digits, and Tango memorizes 15
    "rot1": 1 / 3,
    "energy": 17.1234567890123,
    "orientation": 2,
    "radial_bins": 123,
    "azimuthal_bins": 4,
    "radial_unit": "2th_deg",
    "radial_range": [0.1 + 0.2, 1 / 3 + 5],
    "azimuth_range": [-90.0, 90.0],
    "error_model": "poisson",
    "polarization_factor": 0.1 + 0.7,
    "solid_angle_correction": False,
    "coefficients": "compact",
    "outlier_rejection": "sigma_clip",
    "outlier_threshold": 1 / 3,
    "outlier_iterations": 3,
    "quantile_range": [1 / 3, 0.1 + 0.7],
    "polarization_axis": 1 / 3,
    "absolute_scale": 0.1 + 0.2,
    "saturation": 1e6 / 3,
    "dummy": -2.0,
    "delta_dummy": 1 / 3,
}


@pytest.fixture(scope="module")
def own(new_server: Callable[[], Server]) -> Server:
    made = new_server()
    made.start()
    return made


def digits_kept(server: Server, name: str, value: float) -> bool:
    found = server.database.get_device_attribute_property(server.registration.device, name)
    return [float(text) for text in found[name].get("__value", [])] == [value]


def everything(proxy: tango.DeviceProxy) -> dict[str, str]:
    return {
        each.name: f"{each.value!r} {each.w_value!r}"
        for each in proxy.read_attributes([*SETTINGS, "recipe", "recipe_digest"])
    }


def test_settings_that_clients_wrote_survive_a_kill_to_the_last_digit(own: Server) -> None:
    proxy = tango.DeviceProxy(own.trl)
    proxy.Configure(json.dumps({"recipe": RECIPE}))
    for name, value in WRITTEN.items():
        setattr(proxy, name, value)
    wait_for(lambda: digits_kept(own, "poni1", 0.1 + 0.2), "all digits in the database")
    wait_for(lambda: digits_kept(own, "delta_dummy", 1 / 3), "those of the last one")
    wait_for(lambda: f'"delta_dummy": {1 / 3}' in proxy.recipe, "the recipe")
    before = everything(proxy)
    own.kill()
    assert everything(own.start()) == before


def test_settings_by_configure_and_load_poni_survive_a_restart(own: Server, tmp_path: Path) -> None:
    proxy = tango.DeviceProxy(own.trl)
    proxy.Configure(json.dumps({"recipe": recipe_mapping(bins=55, radial_range=[0.1, 1 / 3])}))
    moved = {**GEOMETRY, "distance": 1 / 7, "wavelength": 1e-10 / 3}
    write_poni(recipe_from_mapping({**RECIPE, "geometry": moved}).geometry, tmp_path / "a.poni")
    proxy.LoadPoni(str(tmp_path / "a.poni"))
    before = everything(proxy)
    assert own.stop() == 0
    again = own.start()
    assert everything(again) == before
    assert again.state() == tango.DevState.ON


def restart_with(own: Server, values: dict[str, str]) -> tango.DeviceProxy:
    """Restart the server with other memorized values, as someone may enter them in Jive."""
    own.stop()
    put = own.database.put_device_attribute_property
    put(own.registration.device, {name: {"__value": [text]} for name, text in values.items()})
    return own.start()


def test_memorized_values_out_of_range_are_reported_in_status(own: Server) -> None:
    """Tango alone would ignore them silently, and show them as set points."""
    spoiled = {"distance": "-1", "radial_bins": "-3", "radial_unit": "inch", "rot1": "turned"}
    proxy = restart_with(own, {**spoiled, "wavelength": "0.4066"})
    assert proxy.state() == tango.DevState.ALARM
    for name, text in spoiled.items():
        assert f"memorized {name} is ignored: " in proxy.status()
        assert text in proxy.status()
        read = proxy.read_attribute(name)
        assert read.w_value == read.value
    # What is legal is taken, as if it had been written: 4.066e-11 m, to the last digit.
    proxy.Configure('{"distance": 0.1, "radial_bins": 64, "radial_unit": "2th_deg"}')
    assert "rot1" in proxy.status()
    assert "distance" not in proxy.status()
    proxy.rot1 = 0.0
    assert json.loads(proxy.recipe)["geometry"]["wavelength"] == 4.066e-11
    wait_for(lambda: proxy.state() == tango.DevState.ON, "ON")


def test_edges_of_bins_survive_a_restart_to_the_last_digit(own: Server) -> None:
    proxy = tango.DeviceProxy(own.trl)
    proxy.Configure(json.dumps({"recipe": RECIPE}))
    proxy.radial_edges = [0.1 + 0.2, 1.0, 10 / 3, 5.0]
    digest = recipe_from_mapping(
        {**RECIPE, "binning": {"kind": "radial", "edges": [0.1 + 0.2, 1.0, 10 / 3, 5.0]}}
    ).digest
    wait_for(lambda: proxy.recipe_digest == digest, "the recipe with edges")
    assert proxy.read_attribute("radial_bins").w_value == proxy.radial_bins == 3
    own.stop()
    proxy = own.start()
    assert proxy.recipe_digest == digest
    np.testing.assert_array_equal(proxy.radial_edges, [0.1 + 0.2, 1.0, 10 / 3, 5.0])
    proxy.radial_bins = 64
    np.testing.assert_array_equal(proxy.radial_edges, [0.0, 0.0])


def test_a_memorized_file_that_is_gone_alarms_and_names_it(own: Server, tmp_path: Path) -> None:
    mask = tmp_path / "mask.npy"
    np.save(mask, np.zeros((40, 50), dtype=bool))
    proxy = tango.DeviceProxy(own.trl)
    proxy.Configure(json.dumps({"recipe": RECIPE, "mask_file": str(mask)}))
    own.stop()
    mask.unlink()
    proxy = own.start()
    assert proxy.state() == tango.DevState.ALARM
    assert str(mask) in proxy.status()
    proxy.mask_file = ""
    wait_for(lambda: proxy.state() == tango.DevState.ON, "ON")
