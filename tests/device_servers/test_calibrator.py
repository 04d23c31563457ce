"""GeometryCalibrator: what is accepted is in force in the reducer, and can be taken back."""

import json
from collections.abc import Callable
from dataclasses import replace

import h5py
import numpy as np
import pytest
import tango

from ringline.callbacks import CalibrationHistory, Forwarder, Workspace, find_reduced, open_store
from ringline.device_servers.database import trl_of
from ringline.processing import (
    detector_named,
    geometry_digest,
    geometry_from_mapping,
    geometry_to_mapping,
)
from ringline.processing.calibration import REFINED
from tests.callbacks.conftest import RawFile, Scan
from tests.device_servers.calibrators import FOUND, SHAPE, Pair, calibration_of, idle, patiently
from tests.device_servers.conftest import Server, reason, wait_for

FIRST = calibration_of(FOUND)
SECOND = calibration_of(replace(FOUND, poni1=1 / 31))
ELSEWHERE = replace(FOUND, distance=1 / 7, wavelength=1e-10)


@pytest.fixture
def pair(new_server: Callable[[], Server]) -> Pair:
    return Pair.registered(new_server())


def in_force(pair: Pair) -> list[tuple[str, str]]:
    """The decisions that hold, oldest first, as the history tells them to anybody."""
    with open_store(Workspace(pair.directory)) as store, CalibrationHistory(store) as history:
        decisions = history.decisions(pair.server.registration.device)
        return [(decision.kind, decision.id) for decision in reversed(decisions)]


def geometry_of(reducer: tango.DeviceProxy) -> object:
    return geometry_from_mapping(json.loads(reducer.recipe)["geometry"])


def accepted(calibrator: tango.DeviceProxy, reducer: tango.DeviceProxy, expected: str) -> None:
    patiently(calibrator.Accept)
    idle(calibrator)
    assert reducer.calibration_id == expected, calibrator.last_error


def test_an_accepted_calibration_is_in_force_to_the_last_digit_also_after_a_restart(
    pair: Pair,
) -> None:
    """The reducer is in the same process, as `ringline serve` runs it."""
    (uid,) = pair.store(FIRST)
    calibrator, reducer = pair.start()
    assert calibrator.calibration_uid == uid
    assert calibrator.state() == tango.DevState.ON
    assert "call Accept" in calibrator.status()
    assert reducer.calibration_id == ""
    accepted(calibrator, reducer, FIRST.id)
    assert geometry_of(reducer) == FOUND
    assert calibrator.in_force == FIRST.id
    assert calibrator.status() == f"in force: calibration {FIRST.id[:8]}"
    assert reducer.read_attribute("poni1").w_value == FOUND.poni1
    pair.server.kill()
    calibrator, reducer = pair.start()
    assert geometry_of(reducer) == FOUND
    wait_for(lambda: calibrator.in_force == FIRST.id, "in force")
    accepted(calibrator, reducer, FIRST.id)  # again: nothing is decided
    assert in_force(pair) == [("accept", FIRST.id)]


def test_runs_reduced_since_name_the_calibration(pair: Pair) -> None:
    pair.store(FIRST)
    calibrator, reducer = pair.start()
    accepted(calibrator, reducer, FIRST.id)
    reducer.Configure('{"radial_bins": 30}')
    raw = RawFile(pair.directory / "raw" / "frames.h5", SHAPE)
    raw.append(np.random.default_rng(1).poisson(9, (3, *SHAPE)).astype("u2"))
    forwarder = Forwarder(lambda text: str(reducer.Consume(text)))
    scan = Scan(forwarder)
    image = {"dtype": "array", "shape": [1, *SHAPE], "dtype_numpy": "<u2", "external": "STREAM:"}
    scan.stream(det_image=image)
    scan.frames(scan.file("det_image", raw.uri), 0, 3)
    scan.stop()
    assert forwarder.flush(20)
    wait_for(lambda: reducer.frames_reduced == 3 and reducer.lag == 0, "the end")
    forwarder.close(1.0)
    raw.close()
    with open_store(Workspace(pair.directory)) as store:
        (run,) = find_reduced(store, calibration_id=FIRST.id)
    assert run.metadata["start"]["original_run_uid"] == scan.uid


@pytest.mark.parametrize("absorbing", [False, True])
def test_a_detector_by_name_keeps_the_id(pair: Pair, *, absorbing: bool) -> None:
    """Its name, its orientation and, with absorption, its sensor go to the reducer and back."""
    named = replace(FOUND.detector, **vars_of("PilatusCdTe300k"), orientation=1)
    calibration = calibration_of(replace(FOUND, detector=named))
    pair.store(calibration)
    calibrator, reducer = pair.start()
    accepted(calibrator, reducer, calibration.id)
    assert reducer.detector == "PilatusCdTe300k"
    reducer.Configure(json.dumps({"absorption_correction": absorbing}))
    assert ("sensor" in json.loads(reducer.recipe)["geometry"]["detector"]) == absorbing
    assert reducer.calibration_id == calibration.id


def vars_of(name: str) -> dict[str, object]:
    detector = detector_named(name)
    return {key: getattr(detector, key) for key in ("name", "pixel1", "pixel2", "shape", "modules")}


def test_going_back_to_former_geometries_and_to_any_accepted_one(pair: Pair) -> None:
    pair.store(FIRST)
    calibrator, reducer = pair.start()
    assert calibrator.former == ""
    reducer.Configure(json.dumps({"geometry": geometry_to_mapping(ELSEWHERE)}))
    elsewhere = geometry_digest(ELSEWHERE)
    accepted(calibrator, reducer, FIRST.id)
    assert calibrator.former == elsewhere
    patiently(calibrator.Revert)
    wait_for(lambda: geometry_of(reducer) == ELSEWHERE, "the geometry of before")
    idle(calibrator)
    assert (calibrator.in_force, calibrator.former) == (elsewhere, FIRST.id)
    patiently(calibrator.Revert)
    wait_for(lambda: geometry_of(reducer) == FOUND, "back again")
    idle(calibrator)
    pair.server.stop()
    pair.store(SECOND)
    calibrator, reducer = pair.start()
    assert calibrator.former == elsewhere
    accepted(calibrator, reducer, SECOND.id)
    patiently(lambda: calibrator.Restore(FIRST.id[:10]))
    wait_for(lambda: geometry_of(reducer) == FOUND, "the first")
    idle(calibrator)
    assert in_force(pair) == [
        ("accept", FIRST.id), ("revert", elsewhere), ("revert", FIRST.id),
        ("accept", SECOND.id), ("restore", FIRST.id),
    ]  # fmt: skip
    listed = json.loads(calibrator.List())
    assert [entry["id"] for entry in listed] == [SECOND.id, FIRST.id]
    assert [len(entry["periods"]) for entry in listed] == [1, 3]
    assert listed[0]["valid_to"] == listed[1]["valid_from"]
    assert listed[1]["valid_to"] is None
    assert (listed[0]["calibrant"], listed[0]["passed"]) == ("LaB6", True)
    compared = json.loads(calibrator.Compare(json.dumps([FIRST.id, SECOND.id[:12]])))
    moved = compared["parameters"]["poni1"]
    assert moved["difference"] == SECOND.geometry.poni1 - FIRST.geometry.poni1
    assert moved["sigmas"] == pytest.approx(moved["difference"] / (2e-5 * 2**0.5))


def refused(calibrator: tango.DeviceProxy, command: str, expected: str, *given: str) -> str:
    before = everything(calibrator)
    with pytest.raises(tango.DevFailed) as refusal:
        calibrator.command_inout(command, *given)
    found, text = reason(refusal)
    assert (found, text.count("\n")) == (expected, 0)
    assert everything(calibrator) == before
    assert calibrator.last_error == text
    return text


def everything(calibrator: tango.DeviceProxy) -> str:
    names = [name for name in calibrator.get_attribute_list() if name != "last_error"]
    read = calibrator.read_attributes(names)
    return str([(each.name, each.value, each.w_value) for each in read])


def test_what_did_not_pass_is_not_put_in_force(pair: Pair) -> None:
    calibrator, reducer = pair.start()
    assert "there is none: call Calibrate" in refused(calibrator, "Accept", "Ringline_NotReady")
    assert "no geometry" in refused(calibrator, "Revert", "Ringline_BadRecipe")
    assert "no calibration" in refused(calibrator, "Restore", "Ringline_BadRecipe", "abc")
    for given in ("5", "[1]", "abc"):
        assert "[id, id]" in refused(calibrator, "Compare", "Ringline_BadInput", given)
    assert "to reject" in refused(calibrator, "Reject", "Ringline_NotReady")
    pair.server.stop()
    pair.store(calibration_of(FOUND, passed=False))
    calibrator, reducer = pair.start()
    assert (calibrator.state(), calibrator.status()) == (
        tango.DevState.ALARM,
        "rejected: only 2 rings",
    )
    assert "only 2 rings" in refused(calibrator, "Accept", "Ringline_NotReady")
    assert "never was in force" in refused(calibrator, "Restore", "Ringline_BadRecipe", FIRST.id)
    assert reducer.calibration_id == ""
    assert in_force(pair) == []


def test_what_the_operator_rejects_stays_rejected(pair: Pair) -> None:
    pair.store(FIRST)
    calibrator, _ = pair.start()
    assert calibrator.accepted
    patiently(calibrator.Reject)
    wait_for(lambda: not calibrator.accepted, "rejected")
    idle(calibrator)
    assert calibrator.verdict == "rejected by the operator; its checks: accepted: 7 rings"
    pair.server.kill()
    calibrator, _ = pair.start()
    assert not calibrator.accepted
    assert "by the operator" in refused(calibrator, "Accept", "Ringline_NotReady")


def test_a_reducer_that_refuses_leaves_everything_as_it_was(pair: Pair) -> None:
    pair.store(FIRST)
    calibrator, reducer = pair.start()
    mask = pair.directory / "mask.npy"
    np.save(mask, np.zeros((7, 8), dtype=bool))
    shapeless = {"distance": 0.1, "wavelength": 1e-10, "detector": {"pixel1": 1e-3, "pixel2": 1e-3}}
    reducer.Configure(json.dumps({"geometry": shapeless, "mask_file": str(mask)}))
    before = reducer.recipe
    wait_for(lambda: calibrator.in_force == reducer.calibration_id, "in force")
    text = refused(calibrator, "Accept", "Ringline_BadInput")
    assert "refuses it: " in text
    assert "(7, 8)" in text
    assert reducer.recipe == before
    assert in_force(pair) == []


def test_a_reducer_that_is_down_is_a_clear_refusal(
    new_server: Callable[[], Server], pair: Pair
) -> None:
    absent = new_server().registration.device
    alone = Pair(pair.server, pair.registration)
    pair.server.database.put_device_property(pair.registration.device, {"reducer": [absent]})
    alone.store(FIRST)
    calibrator, _ = alone.start()
    text = refused(calibrator, "Accept", "Ringline_NotReady")
    assert f"the reducer {absent} does not answer: " in text
    assert calibrator.in_force == ""
    with open_store(Workspace(pair.directory)) as store, CalibrationHistory(store) as history:
        assert history.decisions() == []


def test_a_reducer_of_another_server_is_served_as_well(
    new_server: Callable[[], Server], pair: Pair
) -> None:
    other = new_server()
    reducer = other.start()
    pair.server.database.put_device_property(
        pair.registration.device, {"reducer": [trl_of(other.tango_host, other.registration.device)]}
    )
    pair.store(FIRST)
    calibrator, _ = pair.start()
    accepted(calibrator, reducer, FIRST.id)
    wait_for(lambda: calibrator.in_force == FIRST.id, "in force")
    reducer.distance = 0.5
    wait_for(lambda: calibrator.in_force == reducer.calibration_id != FIRST.id, "moved by hand")
    other.kill()
    wait_for(lambda: calibrator.in_force == "", "unknown")


def test_results_are_shown_in_the_units_that_they_say(pair: Pair) -> None:
    (uid,) = pair.store(FIRST)
    calibrator, _ = pair.start()
    assert calibrator.distance == FOUND.distance
    assert calibrator.wavelength == pytest.approx(FOUND.wavelength * 1e10, rel=1e-15)
    np.testing.assert_allclose(calibrator.errors[:5], [1e-5, 2e-5, 2e-5, 1e-4, 1e-4])
    assert np.isnan(calibrator.errors[5:]).all()
    np.testing.assert_array_equal(calibrator.covariance, FIRST.covariance)
    assert len(REFINED) == len(calibrator.covariance)
    np.testing.assert_allclose(calibrator.ring_two_theta, [14.3239449, 20.0535228])
    np.testing.assert_allclose(calibrator.ring_residuals, [5.7295780e-05, np.nan])
    np.testing.assert_array_equal(calibrator.ring_points, [2, 0])
    np.testing.assert_array_equal(calibrator.curve, FIRST.curve)
    assert json.loads(calibrator.checks) == [{"name": "rings", "passed": True, "words": "7 rings"}]
    with h5py.File(pair.directory / "calibrations" / f"{uid}.h5") as file:
        assert file["entry/calibration/verdict"][()].decode() == calibrator.verdict
