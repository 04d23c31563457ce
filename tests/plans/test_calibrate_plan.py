import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
import pytest
import tango
from bluesky import RunEngine
from bluesky.utils import RunEngineInterrupted
from ophyd_async.sim import SimMotor

from ringline.plans import (
    CalibrationDevice,
    CalibrationOutcome,
    CalibrationRejectedError,
    ClassicDetector,
    ReductionDevice,
    SimulatedDetector,
    SimulatedExposures,
    calibrate,
    calibration_device,
    reduction_wrapper,
)
from ringline.processing import RecipeError, open_frames

from .conftest import CONNECTED, Documents, run_in  # noqa: TID252

STAND_IN = Path(__file__).parent / "calibrator_stand_in.py"


@dataclass
class StandIn:
    """A server of a test's own, with the face of a GeometryCalibrator."""

    trl: str
    process: subprocess.Popen[bytes]

    @property
    def proxy(self) -> tango.DeviceProxy:
        return tango.DeviceProxy(self.trl)


@pytest.fixture
def server(detector: SimulatedDetector) -> Iterator[StandIn]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, str(STAND_IN), str(detector.folder), str(port)]
    trl = f"tango://127.0.0.1:{port}/ringline/calibrator/1#dbase=no"
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            assert process.poll() is None
            with suppress(tango.DevFailed):
                tango.DeviceProxy(trl).ping()
                break
            time.sleep(0.05)
        yield StandIn(trl, process)
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGCONT)
        process.kill()


@pytest.fixture
def calibrator(engine: RunEngine, server: StandIn) -> CalibrationDevice:
    device = CalibrationDevice(server.trl)
    run_in(engine, device.connect())
    CONNECTED.append(device)
    return device


def result_of(engine: RunEngine, plan: Any) -> Any:
    """What a plan returns."""
    found: list[Any] = []

    def kept() -> Iterator[Any]:
        found.append((yield from plan))

    engine(kept())
    return found[0]


def test_one_exposure_is_calibrated_and_told(
    engine: RunEngine,
    documents: Documents,
    server: StandIn,
    detector: SimulatedDetector,
    calibrator: CalibrationDevice,
) -> None:
    found = result_of(engine, calibrate(detector, "LaB6", calibrator, energy=30.0))
    (start,) = documents.named("start")
    assert found == CalibrationOutcome(
        raw_uid=start["uid"],
        calibration_id="1234abcd",
        calibration_uid=f"calibration of {start['uid']}",
        verdict="accepted: all well",
        passed=True,
        accepted=False,
        remark="started ",
    )
    assert server.proxy.in_force == ""
    assert server.proxy.image == f"{documents.file('detector')}::/entry/data/data#0"
    assert server.proxy.raw_uid == start["uid"]
    assert server.proxy.energy == 30.0
    with open_frames(documents.file("detector"), "/entry/data/data") as frames:
        assert frames.frame_count() == 1


def test_the_raw_run_says_what_it_is_for(
    engine: RunEngine,
    documents: Documents,
    server: StandIn,
    detector: SimulatedDetector,
    calibrator: CalibrationDevice,
) -> None:
    engine.md["sample"] = {"name": "of the user"}
    engine(calibrate(detector, "LaB6", calibrator, energy=30.0, md={"operator": "me"}))
    (start,) = documents.named("start")
    expected = {
        "plan_name": "calibrate",
        "purpose": "calibration exposure",
        "calibrant": "LaB6",
        "energy_kev": 30.0,
        "detectors": ["detector"],
        "sample": {"name": "LaB6"},
        "calibration_device": server.trl,
        "operator": "me",
    }
    assert {key: start[key] for key in expected} == expected
    (stop,) = documents.named("stop")
    assert stop["exit_status"] == "success"


def test_a_calibration_that_passes_is_accepted_where_asked(
    engine: RunEngine,
    server: StandIn,
    detector: SimulatedDetector,
    calibrator: CalibrationDevice,
) -> None:
    found = result_of(engine, calibrate(detector, "LaB6", calibrator, accept=True))
    assert found.accepted
    assert server.proxy.in_force == "1234abcd"


def test_putting_it_in_force_may_take_longer_than_a_command(
    engine: RunEngine, detector: SimulatedDetector, calibrator: CalibrationDevice
) -> None:
    plan = calibrate(detector, "LaB6", calibrator, energy=98.0, accept=True)
    assert result_of(engine, plan).accepted


def test_one_that_cannot_be_put_in_force_ends_the_plan(
    engine: RunEngine,
    detector: SimulatedDetector,
    calibrator: CalibrationDevice,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calibration_device, "ACCEPTING_LIMIT", 0.3)
    with pytest.raises(RecipeError, match="not put in force: the reducer does not answer"):
        engine(calibrate(detector, "LaB6", calibrator, energy=99.0, accept=True))


def test_one_that_fails_is_told_and_ends_the_plan_only_where_it_was_to_be_accepted(
    engine: RunEngine,
    server: StandIn,
    detector: SimulatedDetector,
    calibrator: CalibrationDevice,
) -> None:
    found = result_of(engine, calibrate(detector, "bad", calibrator))
    assert (found.passed, found.accepted, found.calibration_id) == (False, False, "")
    with pytest.raises(
        CalibrationRejectedError, match="stays in force: rejected: one ring"
    ) as told:
        engine(calibrate(detector, "bad", calibrator, accept=True))
    assert told.value.outcome.verdict == "rejected: one ring"
    assert server.proxy.in_force == ""


def test_settings_go_to_the_calibrator_before_the_exposure(
    engine: RunEngine,
    documents: Documents,
    server: StandIn,
    detector: SimulatedDetector,
    calibrator: CalibrationDevice,
) -> None:
    with pytest.raises(RecipeError, match="unknown calibrant 'unknown'"):
        engine(calibrate(detector, "unknown", calibrator))
    assert documents.all == []
    settings = {"guess": "is said twice", "in_force": "before"}
    guess = detector.poni_file
    engine(calibrate(detector, "LaB6", calibrator, guess=guess, settings=settings))
    assert server.proxy.guess == str(guess)
    assert server.proxy.in_force == "before"


def test_a_classic_detector_is_calibrated_alike(
    engine: RunEngine,
    server: StandIn,
    detector: SimulatedDetector,
    exposures: SimulatedExposures,
    calibrator: CalibrationDevice,
) -> None:
    classic = ClassicDetector(detector.folder, exposures, name="classic")
    found = result_of(engine, calibrate(classic, "LaB6", calibrator))
    assert found.verdict == "accepted: all well"
    path, _, place = str(server.proxy.image).partition("::")
    assert Path(path).parent == detector.folder
    assert place == "/entry/data/data#0"


def test_a_detector_without_images_is_refused_by_name(
    engine: RunEngine, server: StandIn, calibrator: CalibrationDevice
) -> None:
    motor = SimMotor("stage")
    run_in(engine, motor.connect())
    with pytest.raises(RecipeError, match="detector stage wrote no image"):
        engine(calibrate(motor, "LaB6", calibrator))
    assert str(server.proxy.state()) == "STANDBY"


def test_a_pause_meanwhile_neither_loses_the_calibration_nor_starts_it_again(
    engine: RunEngine,
    documents: Documents,
    server: StandIn,
    detector: SimulatedDetector,
    calibrator: CalibrationDevice,
) -> None:
    found: list[CalibrationOutcome] = []

    def kept() -> Iterator[Any]:
        found.append((yield from calibrate(detector, "slow", calibrator)))

    threading.Timer(1.5, engine.request_pause).start()
    with pytest.raises(RunEngineInterrupted):
        engine(kept())
    assert run_in(engine, calibrator.readiness()).state == "RUNNING"
    engine.resume()
    assert found[0].passed
    assert server.proxy.step == "started "
    assert len(documents.named("start")) == 1


def test_a_plan_can_be_aborted_while_the_calibrator_works(
    engine: RunEngine, detector: SimulatedDetector, calibrator: CalibrationDevice
) -> None:
    threading.Timer(1.5, engine.request_pause).start()
    with pytest.raises(RunEngineInterrupted):
        engine(calibrate(detector, "endless", calibrator))
    began = time.monotonic()
    engine.abort()
    assert time.monotonic() - began < 2.0


def test_a_server_that_dies_meanwhile_ends_the_plan_within_seconds(
    engine: RunEngine,
    documents: Documents,
    server: StandIn,
    detector: SimulatedDetector,
    calibrator: CalibrationDevice,
) -> None:
    threading.Timer(1.5, server.process.kill).start()
    began = time.monotonic()
    with pytest.raises(RecipeError, match="gave no sign of life for 4.5 s"):
        engine(calibrate(detector, "endless", calibrator))
    assert time.monotonic() - began < 1.5 + 4.5 + 3.0
    assert documents.named("stop")[0]["exit_status"] == "success"


def test_a_server_that_hangs_meanwhile_ends_the_plan_within_seconds(
    engine: RunEngine, server: StandIn, detector: SimulatedDetector, calibrator: CalibrationDevice
) -> None:
    threading.Timer(1.5, os.kill, (server.process.pid, signal.SIGSTOP)).start()
    began = time.monotonic()
    with pytest.raises(RecipeError, match="gave no sign of life"):
        engine(calibrate(detector, "endless", calibrator))
    assert time.monotonic() - began < 1.5 + 4.5 + 3.0


def test_a_calibration_that_does_not_end_is_not_waited_for(
    engine: RunEngine,
    detector: SimulatedDetector,
    calibrator: CalibrationDevice,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calibration_device, "LONGEST_CALIBRATION", 0.5)
    with pytest.raises(RecipeError, match="goes on after 0.5 s"):
        engine(calibrate(detector, "endless", calibrator))
    with pytest.raises(RecipeError, match="calibrator is calibrating: calibrating"):
        engine(calibrate(detector, "LaB6", calibrator))


def test_a_bug_of_the_calibrator_is_told(
    engine: RunEngine, detector: SimulatedDetector, calibrator: CalibrationDevice
) -> None:
    with pytest.raises(RecipeError, match="was not completed: division by zero"):
        engine(calibrate(detector, "bug", calibrator))
    with pytest.raises(RecipeError, match="State must be ON, STANDBY or ALARM, got FAULT"):
        engine(calibrate(detector, "LaB6", calibrator))


def test_an_older_calibration_is_not_taken_for_one_that_was_not_completed(
    engine: RunEngine, detector: SimulatedDetector, calibrator: CalibrationDevice
) -> None:
    engine(calibrate(detector, "LaB6", calibrator))
    with pytest.raises(RecipeError, match="was not completed: somebody called Abort"):
        engine(calibrate(detector, "aborted", calibrator))


def test_a_calibration_of_another_image_is_not_taken_for_this_one(
    engine: RunEngine, server: StandIn, detector: SimulatedDetector, calibrator: CalibrationDevice
) -> None:
    """Somebody else may set one between."""
    start = calibrator.start

    async def after_somebody_else() -> str:
        server.proxy.Configure('{"raw_uid": "of theirs"}')
        return await start()

    calibrator.start = after_somebody_else  # type: ignore[method-assign]
    with pytest.raises(RecipeError, match="was given another image than that of run"):
        engine(calibrate(detector, "LaB6", calibrator))


def test_a_folder_that_the_calibrator_may_not_read_is_refused_before_the_exposure(
    engine: RunEngine,
    documents: Documents,
    exposures: SimulatedExposures,
    calibrator: CalibrationDevice,
    tmp_path: Path,
) -> None:
    elsewhere = SimulatedDetector(tmp_path / "elsewhere", exposures)
    with pytest.raises(RecipeError, match="elsewhere, which calibrator may not read") as refused:
        engine(calibrate(elsewhere, "LaB6", calibrator))
    assert "\n" not in str(refused.value)
    assert documents.all == []


def test_a_calibrator_that_does_not_answer_is_refused_before_the_exposure(
    engine: RunEngine, documents: Documents, detector: SimulatedDetector
) -> None:
    absent = CalibrationDevice("tango://127.0.0.1:1/ringline/calibrator/1#dbase=no")
    with pytest.raises(RecipeError, match="does not answer: start it with `ringline serve`"):
        engine(calibrate(detector, "LaB6", absent))
    assert documents.all == []


def test_it_calibrates_within_a_run_of_another_plan(
    engine: RunEngine,
    documents: Documents,
    detector: SimulatedDetector,
    calibrator: CalibrationDevice,
) -> None:
    motor = SimMotor("stage")
    run_in(engine, motor.connect())

    def scan() -> Iterator[Any]:
        yield from bps.open_run({"purpose": "mine"})
        yield from bps.trigger_and_read([motor])
        found = yield from calibrate(detector, "LaB6", calibrator)
        yield from bps.trigger_and_read([motor])
        yield from bps.close_run()
        return found

    found = result_of(engine, scan())
    outer, inner = documents.named("start")
    assert outer["purpose"] == "mine"
    assert found.raw_uid == inner["uid"]
    assert found.passed


def test_standing_orders_to_reduce_everything_leave_it_alone(
    engine: RunEngine,
    documents: Documents,
    detector: SimulatedDetector,
    calibrator: CalibrationDevice,
) -> None:
    """Not even a reducer that answers is needed; other runs are refused without one."""
    reduction = ReductionDevice("tango://127.0.0.1:1/ringline/azimuthal/1#dbase=no")
    engine.preprocessors.append(lambda plan: reduction_wrapper(plan, reduction))
    engine(calibrate(detector, "LaB6", calibrator))
    (start,) = documents.named("start")
    assert "recipe_digest" not in start
    assert reduction.forwarder.flush(5.0), reduction.forwarder.last_error
    with pytest.raises(RecipeError, match="reduction device .* does not answer"):
        engine(bp.count([detector]))
    with pytest.raises(RecipeError, match="reduction device .* does not answer"):
        engine(bps.null())
    assert len(documents.named("start")) == 1
    reduction.forwarder.close()


def test_triggering_the_device_calibrates_the_image_that_is_set(
    engine: RunEngine,
    documents: Documents,
    server: StandIn,
    detector: SimulatedDetector,
    calibrator: CalibrationDevice,
) -> None:
    def measure() -> Iterator[Any]:
        yield from bps.mv(calibrator.calibrant, "LaB6", calibrator.image, str(detector.poni_file))
        yield from bps.trigger_and_read([calibrator])

    engine(bpp.run_wrapper(measure()))
    (event,) = documents.named("event")
    assert event["data"]["calibrator-distance"] == 0.125
    assert event["data"]["calibrator-accepted"] is True
    assert event["data"]["calibrator-verdict"] == "accepted: all well"
    key = documents.keys()["calibrator-distance"]
    assert (key["dtype"], key["units"]) == ("number", "m")
