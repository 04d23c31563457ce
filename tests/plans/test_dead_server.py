import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import pytest
from bluesky import RunEngine

from ringline.callbacks import find_reduced, open_store, read_curves
from ringline.plans import (
    ReductionDevice,
    SimulatedDetector,
    SimulatedExposures,
    reduce_count,
    reduce_fly,
    reduction_wrapper,
    until_reduced,
)
from ringline.processing import RecipeError

from .conftest import (  # noqa: TID252
    Documents,
    System,
    connected,
    finished_run,
    run_in,
    running_system,
    settings_for,
)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running_system(tmp_path_factory.mktemp("fresh") / "served") as system:
        yield system


@pytest.fixture
def camera(fresh: System, exposures: SimulatedExposures) -> SimulatedDetector:
    return SimulatedDetector(fresh.workspace.raw, exposures)


def test_a_device_that_is_not_configured_is_refused(
    engine: RunEngine, documents: Documents, fresh: System, camera: SimulatedDetector
) -> None:
    reduction = connected(engine, fresh)
    with pytest.raises(RecipeError) as refused:
        engine(reduce_count([camera], reduction))
    message = str(refused.value)
    assert "State must be ON, RUNNING or ALARM" in message
    assert "STANDBY" in message
    assert "LoadPoni" in message  # what to do
    assert "\n" not in message
    assert documents.all == []
    reduction.forwarder.close()


def test_a_server_killed_during_a_run_costs_the_plan_five_seconds_at_most_and_no_frame(
    engine: RunEngine, documents: Documents, fresh: System, camera: SimulatedDetector
) -> None:
    reduction = connected(engine, fresh)
    run_in(engine, reduction.load_poni(camera.poni_file))
    run_in(engine, reduction.configure(settings_for(camera)))
    killed: list[int] = []

    def kill(name: str, document: dict[str, Any]) -> None:
        if name == "stream_datum" and document["indices"]["stop"] > 40 and not killed:
            killed.append(fresh.server_pid)
            os.kill(killed[0], signal.SIGKILL)

    engine.subscribe(kill)
    began = time.monotonic()
    (raw_uid,) = engine(reduce_fly(camera, reduction, frames=150, rate=100))
    assert killed
    assert time.monotonic() - began < 1.5 + 5.0 + 1.0
    assert documents.named("stop")[0]["num_events"] == {"primary": 150}
    assert reduction.forwarder.flush(timeout=60), reduction.forwarder.last_error
    with open_store(fresh.workspace) as store:
        run = finished_run(store, raw_uid, limit=60)
        accounts = run.metadata["stop"]["accounts"]
        assert accounts["frames_seen"] == 150
        assert accounts["frames_reduced"] == 150
        assert list(read_curves(run).frame_index) == list(range(150))
        assert len(find_reduced(store, raw_uid=raw_uid)) == 1
    assert reduction.forwarder.close()


def test_waiting_for_a_server_that_hangs_ends_within_five_seconds_and_says_so(
    engine: RunEngine, documents: Documents, fresh: System, camera: SimulatedDetector
) -> None:
    reduction = connected(engine, fresh)
    waits: list[float] = []

    def per_shot(detectors: list[Any]) -> Iterator[Any]:
        yield from bps.trigger_and_read(detectors)
        stopped = fresh.server_pid
        os.kill(stopped, signal.SIGSTOP)
        try:
            began = time.monotonic()
            finished = yield from until_reduced(reduction)
            waits.append(time.monotonic() - began)
            assert not finished
        finally:
            os.kill(stopped, signal.SIGCONT)

    engine(reduction_wrapper(bp.count([camera], 1, per_shot=per_shot), reduction))
    assert waits[0] < 5.0
    assert documents.named("stop")[0]["exit_status"] == "success"
    assert reduction.forwarder.close(timeout=30)


def test_a_device_that_was_disconnected_connects_again(
    engine: RunEngine, fresh: System, camera: SimulatedDetector
) -> None:
    reduction = connected(engine, fresh)
    run_in(engine, reduction.disconnect())
    run_in(engine, reduction.disconnect())  # nothing is left to end
    run_in(engine, reduction.connect(force_reconnect=True))
    run_in(engine, reduction.load_poni(camera.poni_file))
    assert run_in(engine, reduction.distance.get_value()) == pytest.approx(camera.geometry.distance)


def test_a_plan_is_refused_when_no_server_answers(
    engine: RunEngine, documents: Documents, detector: SimulatedDetector
) -> None:
    reduction = ReductionDevice("tango://127.0.0.1:1/ringline/azimuthal/1")
    with pytest.raises(RecipeError, match="does not answer: start it with `ringline serve`"):
        engine(reduce_count([detector], reduction))
    assert documents.all == []
