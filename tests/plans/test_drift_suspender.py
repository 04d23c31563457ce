"""Plans wait while the drift alarm is on."""

import threading
import time
from collections.abc import Callable, Iterator

import bluesky.plan_stubs as bps
import pytest
from bluesky import RunEngine
from ophyd_async.core import set_mock_value

from ringline.plans import CalibrationDevice, SuspendOnDrift

from .conftest import run_in  # noqa: TID252


@pytest.fixture
def calibrator(engine: RunEngine) -> CalibrationDevice:
    """A device without a server, whose alarm the test sets."""
    device = CalibrationDevice("ringline/calibrator/1")
    run_in(engine, device.connect(mock=True))
    return device


class Alarm:
    def __init__(self, engine: RunEngine, calibrator: CalibrationDevice) -> None:
        self._engine, self._signal = engine, calibrator.drift_alarm

    def begin(self) -> None:
        run_in(self._engine, self._put(value=True))

    def end(self) -> None:
        run_in(self._engine, self._put(value=False))

    async def _put(self, *, value: bool) -> None:
        set_mock_value(self._signal, value)


@pytest.fixture
def alarm(engine: RunEngine, calibrator: CalibrationDevice) -> Alarm:
    return Alarm(engine, calibrator)


@pytest.fixture
def suspender(engine: RunEngine, calibrator: CalibrationDevice) -> Iterator[SuspendOnDrift]:
    made = SuspendOnDrift(calibrator)
    engine.install_suspender(made)
    yield made
    if made.RE is not None:
        engine.remove_suspender(made)


def three_steps(times: list[float], before_second: Callable[[], object]) -> Iterator[object]:
    for number in range(3):
        yield from bps.checkpoint()
        if number == 1:
            before_second()
        yield from bps.sleep(0.05)
        times.append(time.monotonic())


def later(act: Callable[[], object]) -> float:
    """Do it in half a second; when that is."""
    threading.Timer(0.5, act).start()
    return time.monotonic() + 0.5


def test_a_plan_waits_until_the_alarm_has_ended(
    engine: RunEngine, suspender: SuspendOnDrift, alarm: Alarm
) -> None:
    times: list[float] = []
    ends: list[float] = []

    def raised() -> None:
        if not ends:  # what follows the checkpoint is done again
            threading.Timer(0.0, alarm.begin).start()
            ends.append(later(alarm.end))

    engine(three_steps(times, raised))
    assert times[0] < ends[0] - 0.4
    assert times[-1] >= ends[0]
    assert not suspender.tripped


def test_a_plan_does_not_begin_during_an_alarm(
    engine: RunEngine, suspender: SuspendOnDrift, alarm: Alarm
) -> None:
    alarm.begin()
    times: list[float] = []
    ends = later(alarm.end)
    engine(three_steps(times, lambda: None))
    assert times[0] >= ends - 0.05
    assert len(times) == 3


def test_a_suspender_that_is_removed_lets_plans_go(
    engine: RunEngine, suspender: SuspendOnDrift, alarm: Alarm
) -> None:
    alarm.begin()
    engine.remove_suspender(suspender)
    alarm.end()
    alarm.begin()
    times: list[float] = []
    engine(three_steps(times, lambda: None))
    assert len(times) == 3
