"""Change events for everything that is shown."""

import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import tango

from ringline.device_servers.readings import READINGS
from ringline.device_servers.setting_table import SETTINGS
from tests.device_servers.conftest import Server, wait_for

EVERYTHING = (*SETTINGS, *READINGS, "State", "Status")


class Events:
    """Values that came by change events."""

    def __init__(self) -> None:
        self.queue: queue.SimpleQueue[tuple[str, object]] = queue.SimpleQueue()
        self.errors: list[str] = []

    def push_event(self, event: tango.EventData) -> None:
        if event.err:
            self.errors.append(event.errors[0].reason)
        else:
            self.queue.put((event.attr_value.name, event.attr_value.value))

    def next_of(self, name: str, seconds: float = 5.0) -> object:
        deadline = time.monotonic() + seconds
        while True:
            found, value = self.queue.get(timeout=max(0.01, deadline - time.monotonic()))
            if found.lower() == name.lower():
                return value


@contextmanager
def subscribed(proxy: tango.DeviceProxy, *names: str) -> Iterator[Events]:
    events = Events()
    change = tango.EventType.CHANGE_EVENT
    identifiers = [proxy.subscribe_event(name, change, events) for name in names]
    try:
        for name in names:
            events.next_of(name)  # the first comes at once, with the present value
        yield events
    finally:
        for identifier in identifiers:
            proxy.unsubscribe_event(identifier)


@pytest.mark.parametrize("name", EVERYTHING)
def test_every_attribute_pushes_change_events_without_polling(
    reducer: tango.DeviceProxy, name: str
) -> None:
    assert not reducer.is_attribute_polled(name)
    with subscribed(reducer, name) as events:
        assert not events.errors


def test_a_written_setting_arrives_as_event_with_digest_and_status(
    reducer: tango.DeviceProxy,
) -> None:
    with subscribed(reducer, "radial_bins", "recipe_digest", "Status", "radial") as events:
        before = reducer.recipe_digest
        reducer.radial_bins = 77
        assert events.next_of("radial_bins") == 77
        wait_for(lambda: reducer.recipe_digest != before, "a new recipe")
        assert "77 bins" in str(reducer.status())


def test_state_events_follow_the_state(reducer: tango.DeviceProxy) -> None:
    with subscribed(reducer, "State", "Status") as events:
        reducer.mask_file = "/there/is/no/mask.npy"
        assert events.next_of("State") == tango.DevState.ALARM
        reducer.mask_file = ""
        assert events.next_of("State") == tango.DevState.ON
    assert reducer.state() == tango.DevState.ON


def test_the_curve_of_integrate_arrives_as_event(
    reducer: tango.DeviceProxy, image_file: Path, curves: list[np.ndarray]
) -> None:
    with subscribed(reducer, "intensity", "frame_index") as events:
        reducer.Integrate(f"{image_file}#2")
        curve = events.next_of("intensity")
        # That of the fixture's Reset may still have been on its way.
        while np.isnan(curve).all():
            curve = events.next_of("intensity")
        np.testing.assert_array_equal(curve, curves[2])
    assert reducer.frame_index == 2


def test_events_are_decimated_and_the_last_value_arrives(reducer: tango.DeviceProxy) -> None:
    with subscribed(reducer, "poni1") as events:
        began = time.monotonic()
        for step in range(200):
            reducer.poni1 = 0.02 + 1e-6 * step
        took = time.monotonic() - began
        values = []
        while not values or values[-1] != 0.02 + 1e-6 * 199:
            values.append(events.next_of("poni1"))
    assert len(values) <= 25 * took + 3


def test_a_command_that_waits_for_the_worker_does_not_block_on_events(
    server: Server, reducer: tango.DeviceProxy, image_file: Path
) -> None:
    """Events are pushed with no lock held, or commands and the publisher wait for each other."""
    slowest = 0.0
    stop = threading.Event()

    def write() -> None:
        with tango.EnsureOmniThread():
            other = tango.DeviceProxy(server.trl)
            while not stop.is_set():
                other.poni2 = 0.025

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(20):
            began = time.monotonic()
            reducer.Integrate(str(image_file))
            slowest = max(slowest, time.monotonic() - began)
    finally:
        stop.set()
        thread.join()
    assert slowest < 2.0


def test_reading_is_fast_also_while_the_worker_is_busy(server: Server) -> None:
    proxy = tango.DeviceProxy(server.trl)
    began = time.monotonic()
    for _ in range(20):
        proxy.read_attributes(list(READINGS))
    assert (time.monotonic() - began) / 20 < 0.1
