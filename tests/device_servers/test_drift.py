"""The drift watch: an alarm while reduced frames show the detector elsewhere than calibrated."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import tango

from ringline.callbacks import CalibrationHistory, Circumstances, Forwarder, Workspace, open_store
from ringline.device_servers.drift_watch import DriftWatch
from ringline.device_servers.errors import NotReadyError
from ringline.device_servers.reducer_link import Newest
from ringline.plans import demo_scene
from ringline.plans.scene import MeanImages
from ringline.processing import Geometry, geometry_to_mapping
from ringline.processing.calibration import calibrate, calibration_task
from tests.callbacks.conftest import RawFile, Scan
from tests.device_servers.calibrators import Pair, idle, patiently
from tests.device_servers.conftest import Server, reason, wait_for

SCENE = demo_scene(shape=(256, 288), seed=3)
TRUTH = SCENE.geometry
MOVED = replace(TRUTH, poni1=TRUTH.poni1 + TRUTH.detector.pixel1)
FURTHER = replace(TRUTH, distance=1.002 * TRUTH.distance)
IMAGE = {
    "dtype": "array", "shape": [1, 256, 288], "dtype_numpy": "<u2", "external": "STREAM:"
}  # fmt: skip
STAYS, AWAY, EMPTY, BACK, FAR = range(5)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """The detector in place, a pixel further along the slow axis, no rings, back, more distant."""
    random = np.random.default_rng(4)

    def powder(geometry: Geometry) -> np.ndarray:
        return random.poisson(MeanImages(replace(SCENE, geometry=geometry)).at(0.0))

    empty = random.poisson(9.0, TRUTH.detector.known_shape)
    all_of_them = [powder(TRUTH), powder(MOVED), empty, powder(TRUTH), powder(FURTHER)]
    return np.array(all_of_them, dtype=np.uint16)


@dataclass
class Watched:
    """A calibrator whose newest calibration can be put in force in its reducer."""

    pair: Pair
    elsewhere: Path
    """A folder that only the reducer reads."""
    calibrator: tango.DeviceProxy
    reducer: tango.DeviceProxy

    def image(self, frame: int) -> str:
        return f"{self.pair.directory / 'raw' / 'powder.h5'}::entry/data#{frame}"

    def waits_for(self, words: str) -> None:
        """Two periods, and what a slow machine adds."""
        wait_for(lambda: words in self.calibrator.drift, words)

    def numbers(self) -> np.ndarray:
        device = self.calibrator
        return np.array([device.drift_distance, *device.drift_center, *device.drift_errors])


@pytest.fixture(scope="module")
def running(
    new_server: Callable[[], Server], images: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> Watched:
    pair = Pair.registered(new_server())
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for file in (pair.directory / "raw" / "powder.h5", elsewhere / "powder.h5"):
        file.parent.mkdir(exist_ok=True)
        with h5py.File(file, "w") as opened:
            opened["entry/data"] = images
    own = pair.server.registration
    pair.server.database.put_device_property(own.device, {"readable_folders": [str(elsewhere)]})
    task = calibration_task("LaB6", TRUTH.detector, energy_kev=TRUTH.energy_kev)
    found = calibrate(images[STAYS], task)
    assert found.verdict.accepted
    with open_store(Workspace(pair.directory)) as store, CalibrationHistory(store) as history:
        made_by = Circumstances(source="powder.h5", device=pair.registration.device)
        history.record(found, images[STAYS], made_by)
    return Watched(pair, elsewhere, *pair.start())


@pytest.fixture
def watched(running: Watched) -> Watched:
    """In force, not watched yet, nothing reduced."""
    calibrator, reducer = running.calibrator, running.reducer
    reducer.Reset()
    calibrator.watch_period = 0.0
    patiently(calibrator.Accept)
    wait_for(lambda: calibrator.in_force == calibrator.calibration_id, "in force")
    idle(calibrator)
    assert (calibrator.drift_alarm, calibrator.drift) == (False, "")
    return running


def test_the_alarm_comes_when_the_detector_moves_and_goes_when_it_is_back(
    watched: Watched, images: np.ndarray
) -> None:
    calibrator, reducer = watched.calibrator, watched.reducer
    calibrator.watch_period = 1.0
    watched.waits_for("no frame")
    raw = RawFile(watched.pair.directory / "raw" / "run.h5", images.shape[1:])
    raw.append(images)
    forwarder = Forwarder(lambda text: str(reducer.Consume(text)))
    scan = Scan(forwarder)
    scan.stream(det_image=IMAGE)
    file = scan.file("det_image", raw.uri)

    def reduced(frame: int) -> None:
        scan.frames(file, frame, frame + 1)
        watched.waits_for(f"run.h5::/entry/data/data#{frame}")

    reduced(STAYS)
    assert calibrator.drift.startswith("in place: ")
    assert calibrator.state() == tango.DevState.ON
    reduced(AWAY)
    assert calibrator.drift_alarm
    assert calibrator.state() == tango.DevState.ALARM
    told = calibrator.status()
    assert told.startswith("moved: distance off by ")
    assert f"#{AWAY}, since calibration {calibrator.calibration_id[:8]}: Calibrate and A" in told
    slow, fast = calibrator.drift_center
    assert slow == pytest.approx(1.0, abs=5 * calibrator.drift_errors[1])
    assert fast == pytest.approx(0.0, abs=5 * calibrator.drift_errors[2])
    assert abs(calibrator.drift_distance) < 5 * calibrator.drift_errors[0] < 200
    before, moment = watched.numbers(), calibrator.drift_time
    reduced(EMPTY)
    assert calibrator.drift.startswith("too few rings are seen")
    assert (calibrator.drift_alarm, calibrator.status()) == (True, told)
    np.testing.assert_array_equal(watched.numbers(), before)
    assert calibrator.drift_time == moment
    reduced(BACK)
    assert not calibrator.drift_alarm
    assert calibrator.state() == tango.DevState.ON
    assert calibrator.drift_frame.endswith(f"run.h5::/entry/data/data#{BACK}")
    assert calibrator.drift_time > moment
    scan.stop()
    assert forwarder.flush(20)
    wait_for(lambda: reducer.lag == 0, "the end")
    forwarder.close(1.0)
    raw.close()


def test_one_image_is_looked_at_by_name_and_the_operator_ends_the_alarm(watched: Watched) -> None:
    calibrator = watched.calibrator
    found = json.loads(calibrator.Watch(watched.image(FAR)))
    assert (found["told"], found["alarm"]) == (True, True)
    away = 1e6 * (FURTHER.distance - TRUTH.distance)
    assert found["distance"] == pytest.approx(away, abs=5 * found["errors"][0])
    assert found["distance"] == calibrator.drift_distance
    assert found["calibration_id"] == calibrator.in_force
    assert found["words"] == calibrator.drift
    assert calibrator.state() == tango.DevState.ALARM
    calibrator.watch_period = 0.0
    assert (calibrator.drift_alarm, calibrator.drift) == (False, "")
    assert calibrator.state() == tango.DevState.ON
    assert np.isnan(calibrator.drift_distance)
    untold = json.loads(calibrator.Watch(watched.image(EMPTY)))
    assert (untold["told"], untold["alarm"], untold["center"]) == (False, False, None)
    with pytest.raises(tango.DevFailed) as refusal:
        calibrator.Watch("/etc/hostname")
    assert reason(refusal)[0] == "Ringline_BadInput"


def test_a_geometry_that_is_no_calibration_is_not_watched_and_ends_the_alarm(
    watched: Watched,
) -> None:
    calibrator, reducer = watched.calibrator, watched.reducer
    calibrator.watch_period = 1.0
    reducer.Integrate(watched.image(AWAY))
    wait_for(lambda: calibrator.drift_alarm, "the alarm")
    reducer.Configure(json.dumps({"geometry": geometry_to_mapping(MOVED)}))
    watched.waits_for("is no calibration of the store: Calibrate and Accept")
    assert not calibrator.drift_alarm
    with pytest.raises(tango.DevFailed) as refusal:
        calibrator.Watch(watched.image(AWAY))
    assert reason(refusal)[0] == "Ringline_NotReady"
    assert reducer.calibration_id[:8] in reason(refusal)[1]


def test_frames_from_before_the_geometry_was_in_force_are_not_compared_with_it(
    watched: Watched,
) -> None:
    calibrator, reducer = watched.calibrator, watched.reducer
    reducer.Configure(json.dumps({"geometry": geometry_to_mapping(MOVED)}))
    reducer.Integrate(watched.image(AWAY))
    patiently(calibrator.Accept)
    wait_for(lambda: reducer.calibration_id == calibrator.calibration_id, "in force")
    idle(calibrator)
    calibrator.watch_period = 1.0
    watched.waits_for("no frame")
    assert not calibrator.drift_alarm


def test_a_frame_that_cannot_be_read_is_told_and_the_watch_goes_on(watched: Watched) -> None:
    calibrator, reducer = watched.calibrator, watched.reducer
    calibrator.watch_period = 1.0
    reducer.Integrate(f"{watched.elsewhere / 'powder.h5'}::entry/data#{AWAY}")
    wait_for(lambda: "outside the readable folders" in calibrator.last_error, "last_error")
    assert not calibrator.drift_alarm
    reducer.Integrate(watched.image(AWAY))
    wait_for(lambda: calibrator.drift_alarm, "the alarm")


def test_the_watch_goes_on_after_a_kill(watched: Watched) -> None:
    watched.calibrator.Configure('{"watch_period": 1.5}')
    watched.pair.server.kill()
    calibrator, reducer = watched.calibrator, watched.reducer = watched.pair.start()
    assert calibrator.watch_period == calibrator.read_attribute("watch_period").w_value == 1.5
    reducer.Integrate(watched.image(AWAY))
    wait_for(lambda: calibrator.drift_alarm, "the alarm")


class Link:
    """A reducer that counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer: Newest | None = Newest(frame="/a.h5#1", calibration="abc")

    def newest(self) -> Newest:
        self.asked += 1
        if self.answer is None:
            raise NotReadyError("down")
        return self.answer


@pytest.fixture
def link() -> Link:
    return Link()


@pytest.fixture
def watch(link: Link) -> DriftWatch:
    def history() -> CalibrationHistory:
        raise NotReadyError("the store is not open yet")

    return DriftWatch(link, (), history)  # type: ignore[arg-type]


def test_without_a_watch_the_reducer_is_not_asked(watch: DriftWatch, link: Link) -> None:
    assert watch.due(0.0) is None
    assert link.asked == 0


def test_the_reducer_is_asked_once_a_period(watch: DriftWatch, link: Link) -> None:
    assert watch.due(1000.0) == link.answer
    assert watch.due(1000.0) is None
    assert link.asked == 1
    watch.due(0.0)
    assert watch.due(1000.0) == link.answer  # switched on again: looked at again


def test_a_frame_is_looked_at_once(watch: DriftWatch, link: Link) -> None:
    first = link.answer
    assert watch.due(1e-9) == first
    assert watch.due(1e-9) is None
    link.answer = Newest(frame="/a.h5#2", calibration="abc")
    assert watch.due(1e-9) == link.answer
    assert link.asked == 3


def test_a_reducer_that_does_not_answer_is_told_once(watch: DriftWatch, link: Link) -> None:
    link.answer = None
    nothing = watch.due(1e-9)
    assert nothing is not None
    assert watch.look(nothing).words.startswith("no geometry is in force in the reducer")
    assert watch.due(1e-9) is None
