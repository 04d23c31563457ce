"""A real RunEngine with real detectors: ophyd-async, and images inside events."""

import gc

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
import h5py
import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.utils import RunEngineInterrupted
from ophyd.status import Status
from ophyd_async.core import StaticFilenameProvider, StaticPathProvider, TriggerInfo, init_devices
from ophyd_async.sim import SimBlobDetector


@pytest.fixture(scope="module")
def engine(loop):
    return RunEngine(context_managers=[], loop=loop)


@pytest.fixture
def blobs(engine, tmp_path):
    """ophyd-async's simulated detector: an image and its sum in one growing HDF5 file."""
    folder = tmp_path / "raw"
    folder.mkdir()
    with init_devices(connect=True):
        det = SimBlobDetector(
            StaticPathProvider(StaticFilenameProvider("blobs"), folder), name="det"
        )
    return det  # noqa: RET504 init_devices finds devices by their local names


@pytest.fixture
def subscribed(kit, engine, reducing):
    """Subscribes a callback with a recipe for whatever shape the detector has."""
    tokens = []

    def subscribe(**settings):
        recipe = kit.shapeless(kit.recipe())
        work = reducing(recipe, frame_timeout=10, **settings)
        tokens.append(engine.subscribe(work.callback))
        return work

    yield subscribe
    for token in tokens:
        engine.unsubscribe(token)


def raw_images(work, folder):
    (path,) = folder.glob("*.h5")
    with h5py.File(path, "r") as file:
        found = []
        file.visititems(
            lambda _, item: found.append(item[()]) if getattr(item, "ndim", 0) == 3 else None
        )
    return found[0]


def test_a_step_scan_of_an_ophyd_async_detector(kit, engine, blobs, subscribed, tmp_path):
    work = subscribed()
    engine(bp.count([blobs], 3))
    run = work.run()
    images = raw_images(work, tmp_path / "raw")
    recipe = kit.recipe_from_json(run.start["recipe"])
    np.testing.assert_array_equal(run.curves(), kit.curves(recipe, images))
    assert run.accounts["frames_reduced"] == 3


def fly(detector, frames, collections=1):
    """Plan: frames in blocks, no event for each."""
    info = TriggerInfo(number_of_events=frames, collections_per_event=collections)

    @bpp.stage_decorator([detector])
    @bpp.run_decorator()
    def inner():
        yield from bps.prepare(detector, info, wait=True)
        yield from bps.declare_stream(detector, name="primary", collect=True)
        yield from bps.kickoff(detector, wait=True)
        yield from bps.complete(detector, wait=False, group="complete")
        done = False
        while not done:
            done = yield from bps.wait(group="complete", timeout=0.05, error_on_timeout=False)
            yield from bps.collect(detector, return_payload=False, name="primary")

    yield from inner()


@pytest.mark.parametrize("collections", [1, 3])
def test_a_fly_scan_of_an_ophyd_async_detector(
    kit, engine, blobs, subscribed, tmp_path, collections
):
    work = subscribed(detector="det")
    engine(fly(blobs, 4, collections))
    run = work.run()
    images = raw_images(work, tmp_path / "raw")
    assert len(images) == 4 * collections
    recipe = kit.recipe_from_json(run.start["recipe"])
    np.testing.assert_array_equal(run.curves(), kit.curves(recipe, images))
    np.testing.assert_array_equal(run.column("raw_seq_num"), np.repeat(range(1, 5), collections))


class ImageDevice:
    """A classic readable with its image inside the event."""

    parent, name = None, "camera"

    def __init__(self, images):
        self.images, self.shots = images, 0

    def trigger(self):
        self.shots += 1
        status = Status()
        status.set_finished()
        return status

    def read(self):
        return {"camera": {"value": self.images[self.shots - 1], "timestamp": 1.0}}

    def describe(self):
        shape = list(self.images.shape[1:])
        return {"camera": {"source": "test", "dtype": "array", "shape": shape}}

    def read_configuration(self):
        return {}

    describe_configuration = read_configuration


@pytest.fixture
def camera(kit):
    return ImageDevice(kit.images(10))


def interrupted(engine, plan):
    with pytest.raises(RunEngineInterrupted):
        engine(plan)


def paused_between(device, pause_at, shots):
    """Plan: a pause after a shot rewinds to the checkpoint before it."""
    yield from bps.open_run()
    for number in range(shots):
        yield from bps.checkpoint()
        yield from bps.trigger_and_read([device])
        if number == pause_at:
            pause_at = None
            yield from bps.pause()
    yield from bps.close_run()


def test_after_a_pause_the_repeated_point_counts_once(kit, engine, camera, subscribed):
    work = subscribed()
    seen = []
    token = engine.subscribe(lambda _, doc: seen.append(doc["seq_num"]), "event")
    interrupted(engine, paused_between(camera, 2, 4))
    engine.resume()
    engine.unsubscribe(token)
    run = work.run()
    assert seen == [1, 2, 3, 3, 4]
    recipe = kit.recipe_from_json(run.start["recipe"])
    np.testing.assert_array_equal(run.curves(), kit.curves(recipe, camera.images[:5]))
    np.testing.assert_array_equal(run.column("raw_seq_num"), seen)
    np.testing.assert_array_equal(
        run.curves(stream="total")[0], kit.total(recipe, camera.images[[0, 1, 3, 4]])
    )


@pytest.mark.parametrize(
    ("end", "status"), [("abort", "abort"), ("stop", "success"), ("halt", "abort")]
)
def test_every_way_to_end_a_run_reaches_the_reduced_run(engine, camera, subscribed, end, status):
    work = subscribed()
    interrupted(engine, paused_between(camera, 1, 4))
    getattr(engine, end)()
    run = work.run()
    assert run.stop["exit_status"] == status
    assert run.accounts["frames_reduced"] == 2


def test_a_bug_in_the_reduction_does_not_fail_the_plan(
    kit, engine, camera, subscribed, monkeypatch
):
    def broken(*_):
        raise ZeroDivisionError("a bug of ours")

    monkeypatch.setattr(kit.Reduction, "map_block", broken)
    work = subscribed()
    engine(bp.count([camera], 2))
    with pytest.raises(ZeroDivisionError):
        work.callback.drain(10)


def test_a_subscribed_callback_is_not_forgotten_by_the_garbage_collector(
    kit, engine, camera, tmp_path
):
    emitted = []
    settings = kit.ReductionSettings(results=tmp_path)
    callback = kit.ReductionCallback(
        kit.recipe(), lambda *pair: emitted.append(pair), settings=settings
    )
    keep = [callback]
    token = engine.subscribe(callback)
    del callback
    gc.collect()
    engine(bp.count([camera], 1))
    engine.unsubscribe(token)
    keep[0].close(10)
    assert len(kit.reduced_runs(emitted)) == 1


def test_raw_and_reduced_runs_of_a_plan_are_stored_side_by_side(
    kit, engine, camera, store, store_workspace
):
    raw = kit.StoreWriter(store.raw, readable=store.readable)
    reduced = kit.StoreWriter(store.reduced, readable=store.readable)
    work = kit.Reducing(kit.recipe(), store_workspace.results, reduced)
    tokens = [engine.subscribe(one) for one in (raw, work.callback)]
    (uid,) = engine(bp.count([camera], 3), sample={"name": "CeO2"})
    for token in tokens:
        engine.unsubscribe(token)
    work.callback.close(30)
    for writer in (raw, reduced):
        writer.close(30)
    (run,) = kit.find_reduced(store, raw_uid=uid)
    assert run.start["sample"] == {"name": "CeO2"}
    assert run.start["scan_id"] == store.raw[uid].start["scan_id"]
    images = np.asarray(store.raw[uid]["primary"]["camera"].read())
    np.testing.assert_array_equal(images, camera.images[:3])
    np.testing.assert_array_equal(
        run["primary"].read()["intensity"], kit.curves(kit.recipe(), images.astype("u2"))
    )
