"""Calibrate, from a client: images in files, progress, verdict, and what is refused."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import fabio
import h5py
import numpy as np
import pint
import pytest
import tango
from databroker.v1 import Broker

from ringline.callbacks import Workspace, open_store
from ringline.device_servers.calibration_readings import CALIBRATION_READINGS
from ringline.device_servers.calibration_settings import CALIBRATION_SETTINGS
from ringline.plans import demo_scene
from ringline.plans.scene import MeanImages
from ringline.processing import Geometry, geometry_from_mapping, read_poni, write_poni
from tests.device_servers.calibrators import Pair, idle, patiently
from tests.device_servers.conftest import Server, reason, wait_for
from tests.device_servers.test_events import subscribed

SCENE = demo_scene(shape=(256, 288), seed=3)
TRUTH = SCENE.geometry
POWDER = {
    "calibrant": "LaB6",
    "energy": TRUTH.energy_kev,
    "detector": {
        "pixel1": TRUTH.detector.pixel1,
        "pixel2": TRUTH.detector.pixel2,
        "shape": list(TRUTH.detector.shape),
        "modules": {"size": [124, 92], "gap": [8, 7]},
    },
    "orientation": 3,
    "guess": "",
    "fixed": "",
    "bounds": "",
    "mask_file": "",
    "dark_file": "",
    "saturation": 0.0,
}


@pytest.fixture(scope="module")
def pair(new_server: Callable[[], Server]) -> Pair:
    """Running, with images in its folder: 0 and 1 of a powder, 2 of none, and a smaller one."""
    made = Pair.registered(new_server())
    made.start()
    random = np.random.default_rng(1)
    mean = MeanImages(SCENE).at(0.0)
    images = [random.poisson(mean), random.poisson(mean), random.poisson(9.0, mean.shape)]
    with h5py.File(made.directory / "raw" / "powder.h5", "w") as file:
        file["entry/data"] = np.array(images, dtype=np.uint32)
        file["entry/small"] = np.array(images[0][np.newaxis, :100, :100], dtype=np.uint32)
    write_poni(TRUTH, made.directory / "raw" / "guess.poni")
    return made


@pytest.fixture
def calibrator(pair: Pair) -> tango.DeviceProxy:
    """With the powder's image set."""
    proxy = tango.DeviceProxy(
        pair.server.trl.replace(pair.server.registration.device, pair.registration.device)
    )
    proxy.set_timeout_millis(10_000)
    proxy.Configure(json.dumps({**POWDER, "image": image(pair, 0)}))
    return proxy


@pytest.fixture
def reducer(pair: Pair) -> tango.DeviceProxy:
    return tango.DeviceProxy(pair.server.trl)


def image(pair: Pair, frame: int, dataset: str = "entry/data") -> str:
    return f"{pair.directory / 'raw' / 'powder.h5'}::{dataset}#{frame}"


def calibrated(calibrator: tango.DeviceProxy) -> tango.DevState:
    calibrator.Calibrate()
    idle(calibrator)
    return calibrator.state()


def refusal(call: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(tango.DevFailed) as error:
        call()
    found, text = reason(error)
    assert "\n" not in text
    return found, text


def assert_near(calibrator: tango.DeviceProxy, truth: Geometry) -> None:
    """Within five of its own errors, which are small."""
    for number, name in enumerate(("distance", "poni1", "poni2", "rot1", "rot2")):
        error = calibrator.errors[number]
        assert abs(calibrator.read_attribute(name).value - getattr(truth, name)) < 5 * error
        assert error < 1e-3


def test_a_powder_is_calibrated_shown_stored_and_put_in_force(
    pair: Pair, calibrator: tango.DeviceProxy, reducer: tango.DeviceProxy
) -> None:
    began = time.monotonic()
    calibrator.Calibrate()
    assert time.monotonic() - began < 3
    assert calibrator.state() == tango.DevState.RUNNING
    assert not calibrator.accepted
    found, text = refusal(calibrator.Calibrate)
    assert found == "Ringline_Busy"
    assert "call Abort" in text
    assert refusal(calibrator.Accept)[0] == "Ringline_Busy"
    idle(calibrator)
    assert (calibrator.state(), calibrator.progress) == (tango.DevState.ON, 1.0)
    assert calibrator.verdict.startswith("accepted: ")
    assert all(check["passed"] for check in json.loads(calibrator.checks))
    assert_near(calibrator, TRUTH)
    assert calibrator.wavelength == pytest.approx(TRUTH.wavelength * 1e10, rel=1e-14)
    assert len(calibrator.ring_two_theta) == len(calibrator.ring_points) > 3
    assert len(calibrator.axis) == len(calibrator.curve) > 100
    assert Path(calibrator.picture).read_bytes().startswith(b"\x89PNG")
    with open_store(Workspace(pair.directory)) as store:
        header = Broker(store.calibrations)[calibrator.calibration_uid]
        assert header.start["calibration_id"] == calibrator.calibration_id
        assert header.start["image"] == image(pair, 0)
        assert header.start["device"] == pair.registration.device
        assert header.table()["distance"].iloc[0] == calibrator.distance
    patiently(calibrator.Accept)
    wait_for(lambda: calibrator.in_force == calibrator.calibration_id, "in force")
    idle(calibrator)
    geometry = geometry_from_mapping(json.loads(reducer.recipe)["geometry"])
    assert (geometry.distance, geometry.poni1) == (calibrator.distance, calibrator.poni1)
    assert geometry.detector.modules == TRUTH.detector.modules


def test_the_geometry_in_force_serves_as_guess_and_tells_detector_and_energy(
    pair: Pair, calibrator: tango.DeviceProxy, reducer: tango.DeviceProxy
) -> None:
    reducer.LoadPoni(str(pair.directory / "raw" / "guess.poni"))
    bare = {"energy": 0.0, "detector": "", "guess": "current", "fixed": ["rot1", "rot2"]}
    calibrator.Configure(json.dumps({**bare, "image": image(pair, 1), "raw_uid": "abc"}))
    assert calibrated(calibrator) == tango.DevState.ON, calibrator.status()
    assert (calibrator.rot1, calibrator.rot2) == (TRUTH.rot1, TRUTH.rot2)
    assert calibrator.covariance.shape == (3, 3)
    assert np.isnan(calibrator.errors[3:]).all()
    with open_store(Workspace(pair.directory)) as store:
        start = Broker(store.calibrations)[calibrator.calibration_uid].start
    assert start["original_run_uid"] == "abc"
    calibrator.image = image(pair, 0)
    assert calibrator.raw_uid == calibrator.read_attribute("raw_uid").w_value == ""


def test_an_image_without_rings_is_rejected_with_the_reason(
    pair: Pair, calibrator: tango.DeviceProxy
) -> None:
    calibrator.image = image(pair, 2)
    assert calibrated(calibrator) == tango.DevState.ALARM
    assert calibrator.status() == calibrator.verdict
    assert calibrator.verdict.startswith("rejected: ")
    assert refusal(calibrator.Accept)[0] == "Ringline_NotReady"
    listed = json.loads(calibrator.List())
    assert (listed[0]["uid"], listed[0]["passed"]) == (calibrator.calibration_uid, False)


@pytest.mark.parametrize(
    ("setting", "value", "found", "words"),
    [
        ("image", "small", "Ringline_BadRecipe", "image of shape (100, 100): detector Detector"),
        ("image", "/etc/passwd", "Ringline_BadInput", "outside the readable folders"),
        ("image", "absent", "Ringline_BadInput", "absent.h5"),
        ("guess", "/no/such.poni", "Ringline_BadRecipe", "/no/such.poni"),
        ("mask_file", "/no/such.npy", "Ringline_BadRecipe", "/no/such.npy"),
        ("detector", "Pilatus1N", "Ringline_BadRecipe", "did you mean 'Pilatus1M'"),
        ("energy", 0.5, "Ringline_BadRecipe", "energy must be 1 .. 500 keV, got 0.5 keV"),
    ],
)
def test_what_cannot_be_calibrated_is_refused_and_the_former_result_stays(
    pair: Pair, calibrator: tango.DeviceProxy, setting: str, value: object, found: str, words: str
) -> None:  # fmt: skip
    files = {"small": image(pair, 0, "entry/small"), "absent": f"{pair.directory}/absent.h5"}
    calibrator.write_attribute(setting, files.get(str(value), value))
    wait_for(lambda: calibrator.state() != tango.DevState.RUNNING, "checked")
    time.sleep(0.2)
    before = [calibrator.state(), calibrator.verdict, calibrator.calibration_uid]
    refused, text = refusal(calibrator.Calibrate)
    assert refused == found
    assert words in text
    assert calibrator.last_error == text
    assert [calibrator.state(), calibrator.verdict, calibrator.calibration_uid] == before


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"calibrant": "LaB7"}, "unknown calibrant 'LaB7': did you mean 'LaB6'?"),
        ({"fixed": ["rot4"]}, "unknown name in fixed 'rot4': did you mean"),
        ({"bounds": {"dist": [0, 1]}}, "unknown name in bounds 'dist': did you mean 'distance'?"),
        ({"bounds": {"rot1": [1, 0]}}, "bounds of rot1 must have low < high"),
        ({"bounds": [1]}, "bounds must be text, got [1]"),
        ({"fixed": "distance"}, "distance cannot be fixed without a guess"),
        ({"calibrants": "LaB6"}, "unknown setting 'calibrants': did you mean 'calibrant'?"),
        ({"guess": "here"}, "guess must be an absolute path, or 'current', got 'here'"),
        ({"energy": 501}, "energy must be from 0 to 500, got 501"),
        ({"watch_period": -1}, "watch_period must be from 0 to 86400, got -1"),
    ],
)
def test_a_configuration_that_is_refused_changes_nothing(
    calibrator: tango.DeviceProxy, given: dict[str, object], words: str
) -> None:
    before = [calibrator.read_attribute(name).value for name in CALIBRATION_SETTINGS]
    text = json.dumps({"saturation": 77.0, **given})
    found, said = refusal(lambda: calibrator.Configure(text))
    assert found == "Ringline_BadRecipe"
    assert words in said
    assert [calibrator.read_attribute(name).value for name in CALIBRATION_SETTINGS] == before


def test_an_aborted_calibration_leaves_the_former_one(
    pair: Pair, calibrator: tango.DeviceProxy
) -> None:
    assert calibrated(calibrator) == tango.DevState.ON
    before = calibrator.calibration_uid
    calibrator.image = image(pair, 1)
    calibrator.Calibrate()
    assert calibrator.calibration_uid == ""
    calibrator.Abort()
    idle(calibrator)
    assert (calibrator.step, calibrator.calibration_uid) == ("aborted", before)
    assert calibrator.accepted
    assert json.loads(calibrator.List())[0]["uid"] == before
    assert refusal(calibrator.Abort) == ("Ringline_NotReady", "no calibration is being made")


def test_progress_and_verdict_arrive_as_events(calibrator: tango.DeviceProxy) -> None:
    with subscribed(calibrator, "progress", "step", "State", "verdict", "curve") as events:
        calibrator.Calibrate()
        idle(calibrator)
        seen: dict[str, list[object]] = {}
        while "done" not in seen.get("step", []) or len(seen.get("state", [])) < 2:
            name, value = events.queue.get(timeout=10)
            seen.setdefault(name.lower(), []).append(value)
    assert seen["state"] == [tango.DevState.RUNNING, tango.DevState.ON]
    assert "measuring rings" in seen["step"]
    assert seen["progress"] == sorted(seen["progress"])  # type: ignore[type-var]


@pytest.mark.parametrize("name", [*CALIBRATION_SETTINGS, *CALIBRATION_READINGS, "State", "Status"])
def test_every_attribute_has_words_and_pushes_change_events(
    calibrator: tango.DeviceProxy, name: str
) -> None:
    config = calibrator.get_attribute_config(name)
    if name not in ("State", "Status"):
        assert config.label != name
        assert config.description not in ("", "No description")
        pint.UnitRegistry().parse_units(config.unit.replace("No unit", ""))
    with subscribed(calibrator, name) as events:
        assert not events.errors


def test_settings_and_the_newest_result_survive_a_kill(
    pair: Pair, calibrator: tango.DeviceProxy
) -> None:
    assert calibrated(calibrator) == tango.DevState.ON
    calibrator.energy = TRUTH.energy_kev + 1 / 3e5
    calibrator.Configure('{"fixed": "rot1 rot2", "bounds": {"distance": [0.1, 0.3]}}')
    names = [*CALIBRATION_SETTINGS, "calibration_uid", "verdict", "picture", "distance"]
    key, digits = pair.registration.device, TRUTH.energy_kev + 1 / 3e5
    memory = pair.server.database.get_device_attribute_property
    wait_for(lambda: list(memory(key, "energy")["energy"]["__value"]) == [repr(digits)], "kept")
    before = [(each.name, each.value, each.w_value) for each in calibrator.read_attributes(names)]
    pair.server.kill()
    again, _ = pair.start()
    after = [(each.name, each.value, each.w_value) for each in again.read_attributes(names)]
    assert after == before


def test_ophyd_async_finds_every_attribute_and_command(pair: Pair) -> None:
    client = """
import asyncio, json, sys
from ophyd_async.tango.core import TangoDevice
async def use(trl):
    device = TangoDevice(trl=trl, name="calibrator", support_events=True)
    await device.connect(timeout=20)
    return {name: type(child).__name__ for name, child in device.children()}
print(json.dumps(asyncio.run(use(sys.argv[1]))))
"""
    trl = pair.server.trl.replace(pair.server.registration.device, pair.registration.device)
    done = subprocess.run(
        [sys.executable, "-c", client, trl], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    kinds = json.loads(done.stdout.splitlines()[-1])
    assert {*CALIBRATION_SETTINGS, *CALIBRATION_READINGS} <= set(kinds)
    assert (kinds["energy"], kinds["curve"]) == ("SignalRW", "SignalR")
    commands = "Calibrate Abort Accept Reject Revert Restore List Compare Watch"
    for name in commands.split():
        assert kinds[name].endswith("Command")


@pytest.fixture
def real(new_server: Callable[[], Server], shared_data: Callable[[str], Path]) -> Iterator[Pair]:
    """A calibrator that may read the real data."""
    folder = shared_data("ceo2-pilatus1m")
    made = Pair.registered(new_server())
    made.server.database.put_device_property(
        made.registration.device, {"readable_folders": [str(folder.resolve())]}
    )
    yield made
    made.server.kill()


def test_a_real_image_of_ceria_is_calibrated_without_a_guess(
    real: Pair, shared_data: Callable[[str], Path]
) -> None:
    folder = shared_data("ceo2-pilatus1m").resolve()
    (poni,) = folder.glob("*.poni")
    (file,) = folder.glob("*.tif")
    known = read_poni(poni)
    mask = real.directory / "mask.npy"
    np.save(mask, fabio.open(file).data < 0)
    calibrator, reducer = real.start()
    settings = {
        "calibrant": "CeO2", "energy": known.energy_kev, "detector": "Pilatus1M",
        "orientation": 2, "image": str(file), "mask_file": str(mask),
    }  # fmt: skip
    calibrator.Configure(json.dumps(settings))
    calibrator.Calibrate()
    idle(calibrator, 100)
    assert calibrator.accepted, calibrator.status()
    assert calibrator.distance == pytest.approx(known.distance, rel=1e-3)
    patiently(calibrator.Accept)
    wait_for(lambda: reducer.calibration_id == calibrator.calibration_id, "in force")
    assert (reducer.detector, reducer.orientation) == ("Pilatus1M", 2)
