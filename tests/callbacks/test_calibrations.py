"""The history of calibrations: what is stored comes back, and says what was in force when."""

import json
import math
from dataclasses import replace

import h5py
import numpy as np
import pytest
from databroker.v1 import Broker
from event_model import DocumentNames, schema_validators

from ringline.callbacks import (
    CalibrationHistory,
    Circumstances,
    ReductionCallback,
    ReductionSettings,
    StoreError,
    StoreWriter,
    find_reduced,
    find_reduced_headers,
    open_store,
)
from ringline.callbacks.documents import calibration_id
from ringline.callbacks.run_writer import LiveRunWriter
from ringline.processing import Corrections, RecipeError, Sensor, geometry_digest
from ringline.processing.calibration.record import read_calibration

DEVICE = "bl/azimuthal/1"


@pytest.fixture
def workspace(kit, tmp_path, empty_catalogue):
    return kit.workspace(tmp_path / "a workspace", empty_catalogue)


@pytest.fixture
def history(workspace):
    with open_store(workspace) as store, CalibrationHistory(store) as made:
        yield made


@pytest.fixture(scope="module")
def shared(store):
    """For tests that only add to it."""
    with CalibrationHistory(store) as made:
        yield made


def test_a_calibration_comes_back_exactly_with_its_image(kit, shared):
    calibration, image = kit.calibration(), kit.images(1)[0]
    entry = shared.find(shared.record(calibration, image))
    found, found_image = read_calibration(entry.file)
    assert found.geometry == calibration.geometry
    assert found.verdict == calibration.verdict
    np.testing.assert_array_equal(found.points.residual, calibration.points.residual)
    np.testing.assert_array_equal(found_image, image)
    assert entry.geometry == calibration.geometry
    assert entry.id == calibration.id
    assert entry.record["errors"] == dict(calibration.errors)
    assert (entry.calibrant, entry.detector, entry.accepted) == ("LaB6", "Detector", True)
    assert entry.energy_kev == pytest.approx(12.39842, abs=1e-5)


def test_databroker_shows_image_parameters_points_rings_and_curve(kit, store, shared):
    calibration, image = kit.calibration(), kit.images(1)[0]
    uid = shared.record(calibration, image, Circumstances(source="/a.h5#3", raw_uid="raw"))
    header = Broker(store.calibrations)[uid]
    start = header.start
    assert (start["purpose"], start["original_run_uid"]) == ("calibration", "raw")
    assert start["image"] == "/a.h5#3"
    assert start["image_sha256"] == calibration.image_sha256
    assert start["software"]["ringline"] == start["ringline_version"]
    assert header.stop["verdict"] == calibration.verdict.words
    (stored,) = header.data("image")
    np.testing.assert_array_equal(stored, image)
    table = header.table()
    assert table["distance"].iloc[0] == calibration.geometry.distance
    assert table["rot1_error"].iloc[0] == calibration.errors["rot1"]
    assert math.isnan(table["rot3_error"].iloc[0])
    points = header.table("points")
    np.testing.assert_array_equal(points["residual"], calibration.points.residual)
    np.testing.assert_array_equal(points["used"], calibration.points.used)
    rings = header.table("rings")
    np.testing.assert_array_equal(rings["scatter"], [ring.scatter for ring in calibration.rings])
    assert math.isnan(rings["residual"].iloc[-1])
    curve = header.table("curve")
    np.testing.assert_array_equal(curve["intensity"], calibration.curve)
    np.testing.assert_array_equal(curve["two_theta"], calibration.axis)


def test_tiled_shows_the_same(kit, store, shared):
    calibration, image = kit.calibration(), kit.images(1)[0]
    run = store.calibrations[shared.record(calibration, image)]
    np.testing.assert_array_equal(run["primary"]["image"].read(), [image])
    dataset = run["primary"].read()
    assert float(dataset["distance"][0]) == calibration.geometry.distance
    assert dict(dataset["image"].sizes) == {"time": 1, "slow": 20, "fast": 30}
    points = run["points"].read()
    np.testing.assert_array_equal(points["chi"], calibration.points.chi)
    assert run.metadata["stop"]["num_events"] == {"primary": 1, "points": 4, "rings": 3, "curve": 5}


def test_its_documents_are_valid(kit, store, shared):
    uid = shared.record(kit.calibration(), kit.images(1)[0])
    documents = list(Broker(store.calibrations)[uid].documents())
    names = [name for name, _ in documents]
    assert (names[0], names[-1]) == ("start", "stop")
    assert names.count("descriptor") == 4
    for name, document in documents:
        schema_validators[DocumentNames[name]].validate(dict(document))


def test_rejected_calibrations_are_stored_with_their_reason_and_cannot_be_accepted(kit, shared):
    image = kit.images(1)[0]
    for rejected in (
        kit.calibration(passed=False, poni1=0.02),
        replace(kit.calibration(passed=False), geometry=None, covariance=np.zeros((0, 0)),
                rings=(), points=None, axis=np.zeros(0), curve=np.zeros(0)),
    ):  # fmt: skip
        uid = shared.record(rejected, image)
        entry = shared.find(uid)
        assert entry.verdict == rejected.verdict.words
        assert (entry.accepted, entry.id) == (False, rejected.id)
        assert read_calibration(entry.file)[0].geometry == rejected.geometry
        with pytest.raises(RecipeError, match="rejected: only 2 rings"):
            shared.accept(uid, DEVICE)


def test_a_calibration_is_in_force_from_its_acceptance_until_the_next(kit, history):
    image = kit.images(1)[0]
    first, second = kit.calibration(), kit.calibration(poni1=0.011)
    for calibration in (first, second):
        history.record(calibration, image)
    assert history.in_force(DEVICE) is None
    history.accept(first.id, DEVICE, 1000.0)
    history.accept(second.id[:10], DEVICE, 2000.0)
    history.accept(first.id, "bl/azimuthal/2", 1500.0)
    asked = (999.0, 1000.0, 1999.0, 2000.0, None)
    found = [history.in_force(DEVICE, when) for when in asked]
    ids = [None if each is None else each.decision.id for each in found]
    assert ids == [None, first.id, first.id, second.id, second.id]
    assert [(each.start, each.stop) for each in history.validity(DEVICE)] == [
        (1000.0, 2000.0),
        (2000.0, None),
    ]
    assert history.in_force("bl/azimuthal/2").decision.geometry == first.geometry
    assert history.in_force("bl/azimuthal/3") is None


def test_going_back_and_back_again(kit, history):
    image = kit.images(1)[0]
    first, second = kit.calibration(), kit.calibration(poni1=0.011)
    uids = [history.record(calibration, image) for calibration in (first, second)]
    with pytest.raises(RecipeError, match="no geometry of bl/azimuthal/1 from before is known"):
        history.revert(DEVICE)
    history.accept(first.id, DEVICE, 1000.0)
    with pytest.raises(RecipeError, match="no geometry"):
        history.revert(DEVICE)
    history.accept(second.id, DEVICE, 2000.0)
    back = history.revert(DEVICE, 3000.0)
    assert (back.kind, back.id, back.geometry) == ("revert", first.id, first.geometry)
    assert (back.calibration_uid, back.former_id) == (uids[0], second.id)
    again = history.revert(DEVICE, 4000.0)
    assert (again.id, again.calibration_uid) == (second.id, uids[1])
    restored = history.accept(first.id[:8], DEVICE, 5000.0)
    assert restored.kind == "restore"
    kinds = [decision.kind for decision in history.decisions(DEVICE)]
    assert kinds == ["restore", "revert", "revert", "accept", "accept"]


def test_a_decision_that_could_not_be_carried_out_does_not_hold(kit, history):
    image = kit.images(1)[0]
    first, second = kit.calibration(), kit.calibration(poni1=0.011)
    for calibration in (first, second):
        history.record(calibration, image)
    history.accept(first.id, DEVICE, 1000.0)
    decision = history.acceptance(history.find(second.id), DEVICE)
    with pytest.raises(OSError, match="the reducer is down"), history.deciding(decision):
        raise OSError("the reducer is down")
    assert history.in_force(DEVICE).decision.id == first.id
    assert [decision.id for decision in history.decisions()] == [first.id]


def test_the_history_survives_its_process_and_shows_in_databroker(kit, workspace):
    image, calibration = kit.images(1)[0], kit.calibration()
    with open_store(workspace) as store, CalibrationHistory(store) as history:
        history.record(calibration, image)
        history.accept(calibration.id, DEVICE, 1000.0)
    with open_store(workspace) as store, CalibrationHistory(store) as again:
        assert again.in_force(DEVICE).decision.geometry == calibration.geometry
        assert [entry.id for entry in again.list()] == [calibration.id]
        (header,) = Broker(store.calibrations)(purpose="calibration decision")
        assert header.start["decision"] == "accept"
        assert header.start["calibration_id"] == calibration.id
        assert header.start["device"] == DEVICE
        assert json.loads(header.start["geometry"])["poni1"] == calibration.geometry.poni1


def two_ids_that_begin_alike(kit):
    """Of any seventeen, two begin with the same hexadecimal digit."""
    first = {}
    for number in range(17):
        calibration = kit.calibration(poni1=0.01 + 1e-4 * number)
        if calibration.id[0] in first:
            return first[calibration.id[0]], calibration
        first[calibration.id[0]] = calibration
    raise AssertionError


def test_finding_by_beginning_refuses_what_is_not_one(kit, history):
    image = kit.images(1)[0]
    with pytest.raises(RecipeError, match="no calibration 'x'; the newest: there is none"):
        history.find("x")
    one, other = alike = two_ids_that_begin_alike(kit)
    for calibration in alike:
        history.record(calibration, image)
    again = history.record(one, image)
    assert history.find(one.id).uid == again
    assert history.find(again[:13]).uid == again
    assert history.find(other.id[:20]).id == other.id
    with pytest.raises(RecipeError, match=f"'{one.id[0]}' begins 2 calibrations: "):
        history.find(one.id[0])
    with pytest.raises(RecipeError, match="no calibration ''"):
        history.find("")


def test_two_calibrations_are_compared_in_units_of_their_errors(kit, shared):
    image = kit.images(1)[0]
    one, other = kit.calibration(), kit.calibration(poni1=0.0103)
    uids = [shared.record(calibration, image) for calibration in (one, other)]
    found = shared.compare(*uids)
    assert found["ids"] == [one.id, other.id]
    assert (found["same_detector"], found["same_image"]) == (True, True)
    poni1 = found["parameters"]["poni1"]
    assert poni1["values"] == [one.geometry.poni1, 0.0103]
    assert poni1["difference"] == pytest.approx(0.0002)
    # Two errors of 2e-5 m make one of 2.8e-5 m.
    assert poni1["error"] == pytest.approx(2.828427e-5)
    assert poni1["sigmas"] == pytest.approx(7.0710678)
    assert poni1["unit"] == "m"
    rot3 = found["parameters"]["rot3"]
    assert (rot3["error"], rot3["sigmas"], rot3["difference"]) == (None, None, 0.0)
    json.dumps(found, allow_nan=False)
    lost = replace(kit.calibration(passed=False), geometry=None, covariance=np.zeros((0, 0)))
    with pytest.raises(RecipeError, match="found no geometry: rejected: only 2 rings"):
        shared.compare(uids[0], shared.record(lost, image))


def test_what_the_store_does_not_take_is_an_error_and_leaves_nothing(
    kit, history, workspace, monkeypatch
):
    image = kit.images(1)[0]
    with monkeypatch.context() as patch:
        patch.setattr(LiveRunWriter, "_write_external_data", lambda *_: 1 / 0)
        with pytest.raises(StoreError, match="the store did not take it: division by zero"):
            history.record(kit.calibration(), image)
    assert list(workspace.calibrations.iterdir()) == []
    assert history.list() == []
    history.record(kit.calibration(), image)
    assert len(history.list()) == 1
    with pytest.raises(RecipeError, match="the image has sha256"):
        history.record(kit.calibration(), image + 1)


def test_a_store_of_before_there_were_calibrations_gets_the_catalogue(kit, workspace):
    with open_store(workspace) as store:
        store.client.delete_contents("calibrations", recursive=True)
        assert "calibrations" not in store.client
    with open_store(workspace) as store, CalibrationHistory(store) as history:
        assert history.list() == []


def test_calibrations_are_not_reduced_when_their_documents_are_replayed(
    kit, store, shared, tmp_path
):
    documents = Broker(store.calibrations)[
        shared.record(kit.calibration(), kit.images(1)[0])
    ].documents()
    emitted = []
    reduce = ReductionCallback(
        kit.recipe(),
        lambda *each: emitted.append(each),
        settings=ReductionSettings(results=tmp_path),
    )
    for name, document in documents:
        reduce(name, dict(document))
    reduce.close(10)
    assert emitted == []


def reduced_with(kit, store, recipe, folder):
    """A run of two frames, reduced into the store; uid of the raw run."""
    file = kit.RawFile(store.workspace.raw / f"{folder}.h5")
    file.append(kit.images(2))
    writer = StoreWriter(store.reduced, readable=store.readable)
    work = kit.Reducing(recipe, store.workspace.results, writer)
    scan = work.scan()
    scan.stream(det=kit.IMAGE)
    scan.frames(scan.file("det", file.uri), 0, 2)
    scan.stop()
    work.callback.close(30)
    writer.close(30)
    file.close()
    return scan.uid


def test_a_reduced_run_is_found_by_the_calibration_of_its_geometry(kit, store, shared):
    calibration = kit.calibration(rot2=0.003)
    recipe = replace(kit.recipe(), geometry=calibration.geometry)
    raw_uid = reduced_with(kit, store, recipe, "calibrated")
    (run,) = find_reduced(store, calibration_id=calibration.id)
    assert run.metadata["start"]["original_run_uid"] == raw_uid
    (header,) = find_reduced_headers(store.broker(), calibration_id=calibration.id)
    assert header.start["uid"] == run.metadata["start"]["uid"]
    assert find_reduced(store, calibration_id=kit.calibration(rot2=0.004).id) == []


def test_a_detector_without_a_shape_takes_that_of_the_frames_into_the_id(kit, store, shared):
    calibration = kit.calibration(rot2=0.005)
    shapeless = kit.shapeless(replace(kit.recipe(), geometry=calibration.geometry))
    assert geometry_digest(shapeless.geometry) != calibration.id
    raw_uid = reduced_with(kit, store, shapeless, "shapeless")
    (run,) = find_reduced(store, calibration_id=calibration.id)
    assert run.metadata["start"]["original_run_uid"] == raw_uid


def test_a_sensor_told_by_absorption_leaves_the_id(kit):
    recipe = kit.recipe()
    named = replace(
        recipe, geometry=replace(recipe.geometry, detector=kit.detector_named("PilatusCdTe300k"))
    )
    absorbing = replace(named, corrections=Corrections(absorption=True))
    assert absorbing.geometry.detector.sensor is not None
    assert calibration_id(absorbing) == calibration_id(named) == geometry_digest(named.geometry)
    other = replace(named.geometry.detector, sensor=Sensor("Si", 1e-3))
    assert geometry_digest(replace(named.geometry, detector=other)) != calibration_id(named)


def test_the_file_opens_by_itself(kit, shared):
    entry = shared.find(shared.record(kit.calibration(), kit.images(1)[0]))
    with h5py.File(entry.file) as file:
        assert file["entry/calibration/calibration_id"][()].decode() == entry.id
