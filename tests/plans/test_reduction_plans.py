import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
import fabio.edfimage
import h5py
import numpy as np
import pytest
import tango
from bluesky import RunEngine
from bluesky.utils import RunEngineInterrupted
from ophyd_async.sim import SimMotor

from ringline.callbacks import Store, find_reduced, find_reduced_headers, read_curves
from ringline.plans import (
    ClassicDetector,
    PlaybackDetector,
    ReductionDevice,
    SimulatedDetector,
    SimulatedExposures,
    newest_curve,
    reduce_count,
    reduce_fly,
    reduce_scan,
    reduction_decorator,
    reduction_wrapper,
)
from ringline.processing import RecipeError, open_frames, recipe_from_json, reduction_for
from ringline.processing.command_line import main

from .conftest import Documents, System, finished_run, run_in  # noqa: TID252

CEO2 = Path(__file__).parents[3] / "shared/data/ceo2-pilatus1m"


def accounts_of(store: Store, raw_uid: str) -> tuple[int, int, int, int]:
    accounts = finished_run(store, raw_uid).metadata["stop"]["accounts"]
    names = ("frames_seen", "frames_reduced", "frames_dropped", "frames_failed")
    seen, reduced, dropped, failed = (int(accounts[name]) for name in names)
    return seen, reduced, dropped, failed


def test_reduce_count_stores_the_curve_of_every_frame(
    engine: RunEngine,
    documents: Documents,
    store: Store,
    camera_detector: SimulatedDetector,
    reduction: ReductionDevice,
) -> None:
    (raw_uid,) = engine(reduce_count([camera_detector], reduction, num=4))
    assert accounts_of(store, raw_uid) == (4, 4, 0, 0)
    run = finished_run(store, raw_uid)
    curves = read_curves(run)
    assert list(curves.frame_index) == [0, 1, 2, 3]
    recipe = recipe_from_json(tango.DeviceProxy(reduction.get_trl()).recipe)
    with open_frames(documents.file("detector"), "/entry/data/data") as frames:
        expected = reduction_for(recipe).reduce_block(frames.read(0, 4))
    for stored, profile in zip(curves.intensity, expected, strict=True):
        np.testing.assert_array_equal(stored, profile.intensity)


def test_the_raw_run_names_the_recipe_in_force_before_its_first_frame(
    engine: RunEngine,
    documents: Documents,
    camera_detector: SimulatedDetector,
    reduction: ReductionDevice,
) -> None:
    engine(reduce_count([camera_detector], reduction))
    (start,) = documents.named("start")
    digest = run_in(engine, reduction.recipe_digest.get_value())
    assert len(digest) == 64
    assert start["recipe_digest"] == digest
    assert start["reduction_device"] == reduction.get_trl()


def test_reduce_scan_moves_the_motor_and_reduces_each_point(
    engine: RunEngine,
    documents: Documents,
    store: Store,
    camera_detector: SimulatedDetector,
    reduction: ReductionDevice,
) -> None:
    motor = SimMotor("stage")
    run_in(engine, motor.connect())
    (raw_uid,) = engine(reduce_scan([camera_detector], reduction, motor, -1.0, 1.0, 5))
    positions = [event["data"]["stage"] for event in documents.named("event")]
    assert positions == [-1.0, -0.5, 0.0, 0.5, 1.0]
    assert accounts_of(store, raw_uid) == (5, 5, 0, 0)


def test_reduce_fly_reduces_while_frames_are_taken_and_returns_when_all_are_done(
    engine: RunEngine, store: Store, camera_detector: SimulatedDetector, reduction: ReductionDevice
) -> None:
    (raw_uid,) = engine(reduce_fly(camera_detector, reduction, frames=100, rate=200))
    assert reduction.up_to_date
    readings = run_in(engine, reduction.read())
    assert readings["reduction-frame_index"]["value"] == 99
    assert readings["reduction-pixels_rejected"]["value"] == 0
    assert np.isfinite(run_in(engine, reduction.std.get_value())).any()
    assert run_in(engine, reduction.engine_used.get_value())
    assert accounts_of(store, raw_uid) == (100, 100, 0, 0)
    (header,) = find_reduced_headers(store.broker(), raw_uid=raw_uid)
    assert header.start["purpose"] == "reduction"


def test_unreadable_frames_end_as_failed_with_their_cause(
    engine: RunEngine,
    system: System,
    store: Store,
    exposures: SimulatedExposures,
    reduction: ReductionDevice,
) -> None:
    damaged = SimulatedDetector(system.workspace.raw, exposures, unreadable={5, 6, 40})
    (raw_uid,) = engine(reduce_fly(damaged, reduction, frames=50, rate=200))
    assert accounts_of(store, raw_uid) == (50, 47, 0, 3)
    accounts = finished_run(store, raw_uid).metadata["stop"]["accounts"]
    assert sum(accounts["causes"].values()) == 3
    assert "damaged" in " ".join(accounts["causes"])
    assert list(accounts["failed_frames"]) == [5, 6, 40]


def test_a_plan_can_act_on_the_result_of_the_frame_it_has_just_saved(
    engine: RunEngine, system: System, scene: Any, reduction: ReductionDevice
) -> None:
    """Count until the second powder's ring 200 stands out of the background."""
    growing = SimulatedDetector(system.workspace.raw, SimulatedExposures(scene, evolution=12))
    strengths: list[float] = []

    def until_it_shows() -> Iterator[Any]:
        for _ in range(30):
            yield from bps.trigger_and_read([growing])
            curve = yield from newest_curve(reduction)
            assert curve["frame_index"] == len(strengths)
            near = np.abs(axis - 2e-9 * np.pi / (5.4117e-10 / 2)) < 0.5
            strengths.append(float(np.nanmax(curve["intensity"][near])))
            if strengths[-1] > 1.5 * strengths[0]:
                return

    engine(reduce_count([growing], reduction))
    axis = run_in(engine, reduction.radial.get_value())
    plan = bpp.stage_wrapper(bpp.run_wrapper(until_it_shows()), [growing])
    engine(reduction_wrapper(plan, reduction))
    assert 2 <= len(strengths) < 20
    assert strengths[-1] > 1.5 * strengths[0]


def test_the_reduction_device_can_be_read_in_a_stream_of_its_own(
    engine: RunEngine,
    documents: Documents,
    camera_detector: SimulatedDetector,
    reduction: ReductionDevice,
) -> None:
    def per_shot(detectors: list[Any]) -> Iterator[Any]:
        yield from bps.one_shot(detectors)
        yield from bps.trigger_and_read([reduction], name="reduced")

    engine(reduction_wrapper(bp.count([camera_detector], 3, per_shot=per_shot), reduction))
    reduced = [e["data"] for e in documents.named("event") if "reduction-intensity" in e["data"]]
    assert [data["reduction-frame_index"] for data in reduced] == [0, 1, 2]
    assert all(data["reduction-up_to_date"] for data in reduced)
    assert np.isfinite(reduced[0]["reduction-intensity"]).any()


def test_a_recipe_of_another_length_within_a_run_reads_as_nan_in_the_open_stream(
    engine: RunEngine,
    documents: Documents,
    store: Store,
    camera_detector: SimulatedDetector,
    reduction: ReductionDevice,
) -> None:
    def per_shot(detectors: list[Any]) -> Iterator[Any]:
        yield from bps.one_shot(detectors)
        yield from bps.trigger_and_read([reduction], name="reduced")
        yield from bps.mv(reduction.radial_bins, 200)

    plan = bp.count([camera_detector], 2, per_shot=per_shot)
    (raw_uid,) = engine(reduction_wrapper(plan, reduction))
    curves = [e["data"]["reduction-intensity"] for e in documents.named("event") if e["data"]]
    assert [len(curve) for curve in curves] == [300, 300]
    assert np.isfinite(curves[0]).any()
    assert np.isnan(curves[1]).all()
    assert accounts_of(store, raw_uid) == (2, 2, 0, 0)
    assert len(read_curves(finished_run(store, raw_uid), "primary_2").axis) == 200


def test_the_wrapper_reduces_every_run_of_a_plan_that_knows_nothing_of_it(
    engine: RunEngine, store: Store, camera_detector: SimulatedDetector, reduction: ReductionDevice
) -> None:
    def two_runs() -> Iterator[Any]:
        yield from bp.count([camera_detector], 2)
        yield from bp.count([camera_detector], 3)

    uids = engine(reduction_wrapper(two_runs(), reduction))
    assert [accounts_of(store, uid) for uid in uids] == [(2, 2, 0, 0), (3, 3, 0, 0)]


def test_the_decorator_does_the_same_to_a_plan_function(
    engine: RunEngine, store: Store, camera_detector: SimulatedDetector, reduction: ReductionDevice
) -> None:
    @reduction_decorator(reduction)
    def my_plan(num: int) -> Iterator[Any]:
        yield from bp.count([camera_detector], num)

    (raw_uid,) = engine(my_plan(2))
    assert accounts_of(store, raw_uid) == (2, 2, 0, 0)


def test_wrapped_twice_a_run_is_reduced_once(
    engine: RunEngine, store: Store, camera_detector: SimulatedDetector, reduction: ReductionDevice
) -> None:
    plan = reduction_wrapper(reduce_count([camera_detector], reduction, num=2), reduction)
    (raw_uid,) = engine(plan)
    assert accounts_of(store, raw_uid) == (2, 2, 0, 0)


def test_a_classic_detector_is_reduced_alike(
    engine: RunEngine,
    system: System,
    store: Store,
    exposures: SimulatedExposures,
    reduction: ReductionDevice,
) -> None:
    classic = ClassicDetector(system.workspace.raw, exposures)
    (raw_uid,) = engine(reduce_count([classic], reduction, num=3))
    assert accounts_of(store, raw_uid) == (3, 3, 0, 0)


def test_a_played_image_gives_the_same_bytes_as_the_engine_and_as_tango(
    engine: RunEngine, system: System, store: Store, scene: Any, reduction: ReductionDevice
) -> None:
    image = np.random.default_rng(7).poisson(50, scene.geometry.detector.shape).astype(np.int32)
    file = system.workspace.directory / "image.edf"
    fabio.edfimage.EdfImage(data=image).write(str(file))
    player = PlaybackDetector(system.workspace.raw, [file], name="player")
    (raw_uid,) = engine(reduce_count([player], reduction))
    stored = read_curves(finished_run(store, raw_uid)).intensity[0]
    device = tango.DeviceProxy(reduction.get_trl())
    expected = reduction_for(recipe_from_json(device.recipe)).reduce(image).intensity
    assert stored.tobytes() == expected.tobytes()
    assert np.asarray(device.Integrate(str(file))).tobytes() == expected.tobytes()


def test_a_pause_that_repeats_a_point_leaves_every_frame_accounted_for(
    engine: RunEngine, store: Store, camera_detector: SimulatedDetector, reduction: ReductionDevice
) -> None:
    shots = []

    def per_shot(detectors: list[Any]) -> Iterator[Any]:
        yield from bps.checkpoint()
        yield from bps.trigger_and_read(detectors)
        shots.append(1)
        if len(shots) == 2:
            yield from bps.pause()

    with pytest.raises(RunEngineInterrupted):
        engine(reduction_wrapper(bp.count([camera_detector], 3, per_shot=per_shot), reduction))
    (raw_uid,) = engine.resume()
    seen, reduced, dropped, failed = accounts_of(store, raw_uid)
    assert seen == reduced + dropped + failed
    assert failed == 0
    curves = read_curves(finished_run(store, raw_uid))
    assert set(curves.raw_seq_num) == {1, 2, 3}


def test_an_aborted_run_reaches_the_server_as_aborted(
    engine: RunEngine,
    documents: Documents,
    store: Store,
    camera_detector: SimulatedDetector,
    reduction: ReductionDevice,
) -> None:
    def per_shot(detectors: list[Any]) -> Iterator[Any]:
        yield from bps.trigger_and_read(detectors)
        raise KeyError("sample fell off")

    plan = bp.count([camera_detector], 3, per_shot=per_shot)
    with pytest.raises(KeyError, match="sample fell off"):
        engine(reduction_wrapper(plan, reduction))
    stop = finished_run(store, documents.named("start")[0]["uid"]).metadata["stop"]
    assert stop["exit_status"] == "fail"
    assert stop["accounts"]["frames_reduced"] == 1


def test_a_folder_that_the_server_may_not_read_is_refused_before_anything_moves(
    engine: RunEngine, documents: Documents, detector: SimulatedDetector, reduction: ReductionDevice
) -> None:
    with pytest.raises(RecipeError) as refused:
        engine(reduce_count([detector], reduction))
    message = str(refused.value)
    assert str(detector.folder) in message
    assert "may not read" in message
    assert "\n" not in message
    assert documents.all == []


@pytest.mark.parametrize(
    ("frames", "rate", "message"),
    [
        (0, 10.0, "frames must be >= 1, got 0"),
        (1, 0.0, "rate must be > 0 Hz, got 0.0"),
        (1, float("nan"), "rate must be > 0 Hz, got nan"),
    ],
)
def test_a_fly_scan_that_cannot_be_is_refused(
    engine: RunEngine,
    camera_detector: SimulatedDetector,
    reduction: ReductionDevice,
    frames: int,
    rate: float,
    message: str,
) -> None:
    with pytest.raises(RecipeError, match=message):
        engine(reduce_fly(camera_detector, reduction, frames=frames, rate=rate))


def test_a_refused_setting_changes_nothing(engine: RunEngine, reduction: ReductionDevice) -> None:
    before = run_in(engine, reduction.recipe_digest.get_value())
    with pytest.raises(RecipeError, match="radial_bins"):
        run_in(engine, reduction.configure({"error_model": "none", "radial_bins": 0}))
    assert run_in(engine, reduction.recipe_digest.get_value()) == before


def test_a_run_without_frames_makes_no_reduced_run_and_nobody_waits(
    engine: RunEngine, store: Store, reduction: ReductionDevice
) -> None:
    def empty() -> Iterator[Any]:
        yield from bps.open_run()
        yield from bps.close_run()

    began = time.monotonic()
    (raw_uid,) = engine(reduction_wrapper(empty(), reduction))
    assert reduction.up_to_date
    assert time.monotonic() - began < 2.0
    assert find_reduced(store, raw_uid=raw_uid) == []


@pytest.mark.parametrize(("request_end", "status"), [("abort", "abort"), ("stop", "success")])
def test_a_run_that_is_ended_from_a_pause_ends_alike_in_the_reduced_run(
    engine: RunEngine,
    store: Store,
    camera_detector: SimulatedDetector,
    reduction: ReductionDevice,
    request_end: str,
    status: str,
) -> None:
    def per_shot(detectors: list[Any]) -> Iterator[Any]:
        yield from bps.trigger_and_read(detectors)
        yield from bps.checkpoint()
        yield from bps.pause()

    plan = bp.count([camera_detector], 3, per_shot=per_shot)
    with pytest.raises(RunEngineInterrupted):
        engine(reduction_wrapper(plan, reduction))
    (raw_uid,) = getattr(engine, request_end)()
    stop = finished_run(store, raw_uid).metadata["stop"]
    assert stop["exit_status"] == status
    assert stop["accounts"]["frames_reduced"] == 1


@pytest.mark.skipif(not CEO2.is_dir(), reason=f"no {CEO2}")
def test_a_real_image_gives_the_same_bytes_by_plan_by_tango_and_by_command_line(
    engine: RunEngine, system: System, store: Store, reduction: ReductionDevice, tmp_path: Path
) -> None:
    image, poni = CEO2 / "CeO2_Pilatus1M.tif", CEO2 / "CeO2_Pilatus1M.poni"
    copy = shutil.copy(image, system.workspace.directory)
    settings = {
        "orientation": 2,
        "radial_bins": 1512,
        "radial_unit": "2th_deg",
        "splitting": "bbox",
        "error_model": "none",
        "polarization_factor": 0.99,
        "mask_file": "",
    }
    run_in(engine, reduction.load_poni(poni.resolve()))
    run_in(engine, reduction.configure(settings))
    player = PlaybackDetector(system.workspace.raw, [image], name="pilatus")
    (raw_uid,) = engine(reduce_count([player], reduction))
    stored = read_curves(finished_run(store, raw_uid)).intensity[0]
    by_tango = np.asarray(tango.DeviceProxy(reduction.get_trl()).Integrate(str(copy)))
    words = ["--orientation", "2", "--bins", "1512", "--unit", "2th_deg", "--split", "bbox"]
    words += ["--polarization", "0.99", "-o", str(tmp_path / "out.h5")]
    assert main(["integrate", str(image), "--poni", str(poni), *words]) == 0
    with h5py.File(tmp_path / "out.h5") as file:
        entry = file[file.attrs["default"]]
        data = entry[entry.attrs["default"]]
        by_command = data[data.attrs["signal"]][0]
    assert stored.tobytes() == by_tango.tobytes() == by_command.tobytes()
