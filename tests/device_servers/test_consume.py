"""Documents by Consume: reduced, shown and stored; also across a kill."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tango
from databroker.v1 import Broker

from ringline.callbacks import Forwarder, Workspace, find_reduced, open_store
from ringline.processing import recipe_from_json, recipe_from_mapping, reduction_for
from tests.callbacks.conftest import (
    IMAGE,
    RawFile,
    Scan,
    expected_curves,
    make_images,
    make_recipe,
)
from tests.device_servers.conftest import Server, reason, wait_for

RECIPE = make_recipe()


@pytest.fixture(scope="module")
def own(new_server: Callable[[], Server]) -> Server:
    made = new_server()
    made.start()
    return made


@pytest.fixture
def device(own: Server) -> tango.DeviceProxy:
    if own.processes[-1].exit_code is not None:
        own.start()
    proxy = tango.DeviceProxy(own.trl)
    proxy.Configure(json.dumps({"recipe": RECIPE.to_mapping()}))
    proxy.Reset()
    return proxy


@pytest.fixture
def forwarder(own: Server) -> Iterator[Forwarder]:
    def send(text: str) -> str:
        with tango.EnsureOmniThread():
            return str(tango.DeviceProxy(own.trl).Consume(text))

    made = Forwarder(send)
    yield made
    made.close(1.0)


@pytest.fixture
def raw(own: Server, request: pytest.FixtureRequest) -> Iterator[RawFile]:
    name = "".join(c if c.isalnum() else "_" for c in request.node.name)
    made = RawFile(own.registration.directory / "raw" / f"{name}.h5")
    yield made
    made.close()


def idle(proxy: tango.DeviceProxy) -> bool:
    """Everything reduced and stored."""
    return bool(proxy.lag == 0 and proxy.state() in (tango.DevState.ON, tango.DevState.ALARM))


def test_a_run_is_reduced_shown_and_stored(
    own: Server, device: tango.DeviceProxy, forwarder: Forwarder, raw: RawFile
) -> None:
    images = make_images(20)
    curves = expected_curves(RECIPE, images)
    raw.append(images)
    scan = Scan(forwarder, {"sample": {"name": "LaB6"}})
    scan.stream(det_image=IMAGE)
    file = scan.file("det_image", raw.uri)
    scan.frames(file, 0, 12)
    wait_for(lambda: device.frame_index == 11, "the first frames")
    assert device.state() == tango.DevState.RUNNING
    assert scan.uid[:8] in device.status()
    scan.frames(file, 12, 20)
    scan.stop()
    assert forwarder.flush(10)
    wait_for(lambda: idle(device), "the end")
    assert device.intensity.tobytes() == curves[19].tobytes()
    assert (device.frames_seen, device.frames_reduced, device.frames_failed) == (20, 20, 0)
    assert (device.raw_uid, device.frames_pending) == (scan.uid, 0)
    assert 0 < device.processing_time < 1000
    assert np.isfinite(device.std).any()
    assert device.pixels_rejected == 0
    chosen = reduction_for(RECIPE)
    assert device.engine_used == f"{chosen.engine}: {chosen.engine_reason}"
    with open_store(Workspace(own.registration.directory)) as store:
        (run,) = find_reduced(store, raw_uid=scan.uid)
        np.testing.assert_array_equal(run["primary"]["intensity"].read(), curves)
        header = Broker(store.reduced)[device.reduced_uid]
        assert header.start["original_run_uid"] == scan.uid
        assert recipe_from_json(header.start["recipe"]).digest == device.recipe_digest
    newest = device.newest_frame
    assert newest.startswith(f"{raw.path}::")
    assert newest.endswith("#19")
    assert device.Integrate(newest).tobytes() == curves[19].tobytes()
    assert device.newest_frame == newest


def test_consume_answers_within_milliseconds(device: tango.DeviceProxy, raw: RawFile) -> None:
    raw.append(make_images(64))
    took: list[float] = []

    def send(text: str) -> str:
        began = time.perf_counter()
        reply = str(device.Consume(text))
        took.append(time.perf_counter() - began)
        return reply

    direct = Forwarder(send)
    scan = Scan(direct)
    scan.stream(det_image=IMAGE)
    file = scan.file("det_image", raw.uri)
    for start in range(0, 64, 2):
        scan.frames(file, start, start + 2)
        assert direct.flush(10)
    scan.stop()
    assert direct.flush(10)
    direct.close(1.0)
    assert np.median(took) < 0.05
    wait_for(lambda: idle(device), "the end")


def test_a_changed_setting_takes_effect_between_two_frames(
    own: Server, device: tango.DeviceProxy, forwarder: Forwarder, raw: RawFile
) -> None:
    images = make_images(6)
    raw.append(images)
    scan = Scan(forwarder)
    scan.stream(det_image=IMAGE)
    file = scan.file("det_image", raw.uri)
    scan.frames(file, 0, 3)
    assert forwarder.flush(10)
    device.polarization_factor = 0.5  # written, and at once the next frame: no race
    scan.frames(file, 3, 6)
    scan.stop()
    assert forwarder.flush(10)
    wait_for(lambda: idle(device), "the end")
    second = recipe_from_mapping(json.loads(device.recipe))
    assert second.corrections.polarization == 0.5
    expected = [*expected_curves(RECIPE, images[:3]), *expected_curves(second, images[3:])]
    with open_store(Workspace(own.registration.directory)) as store:
        (run,) = find_reduced(store, raw_uid=scan.uid)
        found = run["primary"]["intensity"].read()
        np.testing.assert_array_equal(found, np.array(expected))


def test_a_setting_that_makes_no_recipe_does_not_hold_a_run_up(
    own: Server, device: tango.DeviceProxy, forwarder: Forwarder, raw: RawFile
) -> None:
    images = make_images(4)
    raw.append(images)
    scan = Scan(forwarder)
    scan.stream(det_image=IMAGE)
    file = scan.file("det_image", raw.uri)
    scan.frames(file, 0, 2)
    device.mask_file = "/there/is/no/mask.npy"
    scan.frames(file, 2, 4)
    scan.stop()
    assert forwarder.flush(10)
    wait_for(lambda: device.frames_reduced == 4, "the former recipe")
    assert device.state() == tango.DevState.ALARM
    assert device.epoch == RECIPE.digest
    wait_for(lambda: device.lag == 0, "the end")


def test_frames_that_cannot_be_read_alarm_and_are_counted_until_reset(
    device: tango.DeviceProxy, forwarder: Forwarder, tmp_path: Path, raw: RawFile
) -> None:
    outside = RawFile(tmp_path / "outside.h5")
    outside.append(make_images(2))
    scan = Scan(forwarder)
    scan.stream(det_image=IMAGE)
    file = scan.file("det_image", outside.uri)
    scan.frames(file, 0, 2)
    scan.stop()
    assert forwarder.flush(10)
    wait_for(lambda: device.frames_failed == 2, "the failures")
    assert device.state() == tango.DevState.ALARM
    assert "2 of 2 frames failed" in device.status()
    assert str(outside.path) in device.status()
    wait_for(lambda: device.lag == 0, "the end")
    device.Reset()
    wait_for(lambda: device.state() == tango.DevState.ON, device.status())
    assert (device.frames_seen, device.frames_failed) == (0, 0)
    outside.close()


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"version": 99, "run_uid": "x"}'])
def test_what_is_not_a_batch_of_documents_is_refused(device: tango.DeviceProxy, text: str) -> None:
    with pytest.raises(tango.DevFailed) as refusal:
        device.Consume(text)
    assert reason(refusal)[0] == "Ringline_BadInput"


def test_a_run_whose_stop_never_comes_can_be_abandoned(
    device: tango.DeviceProxy, forwarder: Forwarder
) -> None:
    scan = Scan(forwarder)
    assert forwarder.flush(10)
    assert scan.uid[:8] in device.status()
    with pytest.raises(tango.DevFailed, match="no single open run 'nonsense'"):
        device.Abandon("nonsense")
    device.Abandon(scan.uid[:8])
    wait_for(lambda: idle(device), "the end")


def test_a_server_killed_during_a_run_loses_and_doubles_nothing(
    own: Server, device: tango.DeviceProxy, forwarder: Forwarder, raw: RawFile
) -> None:
    images = make_images(60)
    raw.append(images)
    scan = Scan(forwarder)
    scan.stream(det_image=IMAGE)
    file = scan.file("det_image", raw.uri)
    digest = device.recipe_digest

    def acquire() -> None:
        for start in range(0, 60, 2):
            scan.frames(file, start, start + 2)
            time.sleep(0.01)
        scan.stop()

    acquisition = threading.Thread(target=acquire)
    acquisition.start()
    wait_for(lambda: device.frames_reduced >= 6, "the first frames")
    own.kill()
    acquisition.join(10)
    assert not acquisition.is_alive()  # the forwarder never held it up
    assert not forwarder.flush(0.1)
    again = own.start()
    assert forwarder.flush(20)
    wait_for(lambda: idle(again), "the end")
    assert again.recipe_digest == digest
    with open_store(Workspace(own.registration.directory)) as store:
        (run,) = find_reduced(store, raw_uid=scan.uid)
        np.testing.assert_array_equal(
            run["primary"]["intensity"].read(), expected_curves(RECIPE, images)
        )
        stop = run.metadata["stop"]
        assert stop["exit_status"] == "success"
        accounts = stop["accounts"]
        assert (accounts["frames_seen"], accounts["frames_reduced"]) == (60, 60)
