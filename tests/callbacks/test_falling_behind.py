"""When the worker is behind, the lag grows and memory does not."""

import resource
import threading
import time

import numpy as np
import pytest


@pytest.fixture
def held(reducing):
    """A callback whose worker stops after its first curve until it is released."""
    entered, release = threading.Event(), threading.Event()

    def hold(_):
        entered.set()
        assert release.wait(60)

    def make(**settings):
        return reducing(on_result=hold, **settings), entered, release

    yield make
    release.set()


def test_neighbouring_ranges_merge_while_they_wait(kit, held, raw_file, recipe):
    frames = 400
    images = kit.images(frames)
    work, entered, release = held()
    scan = work.scan()
    scan.stream(det=kit.IMAGE, other=kit.IMAGE)
    file = raw_file(images)
    resources = [scan.file(key, file.uri) for key in ("det", "other")]
    scan.frames(resources[0], 0, 1)
    assert entered.wait(30)
    for index in range(1, frames):
        for which in resources:
            scan.frames(which, index, index + 1)
    assert work.callback._inbox.waiting < 10  # some are in the hands of the worker
    assert work.callback.lag >= 2 * (frames - 1)
    scan.stop()
    release.set()
    runs = {run.start["detector"]: run for run in work.runs()}
    np.testing.assert_array_equal(runs["det"].curves(), kit.curves(recipe, images))
    assert runs["other"].accounts["frames_reduced"] == frames - 1
    assert work.callback.lag == 0


def test_ranges_do_not_merge_across_a_change_of_recipe(kit, held, raw_file):
    images, second = kit.images(6), kit.recipe(splitting="no")
    work, entered, release = held()
    scan = work.scan()
    scan.stream(det=kit.IMAGE)
    which = scan.file("det", raw_file(images).uri)
    scan.frames(which, 0, 1)
    assert entered.wait(30)
    scan.frames(which, 1, 3)
    work.callback.set_recipe(second)
    scan.frames(which, 3, 6)
    scan.stop()
    release.set()
    run = work.run()
    assert list(run.column("epoch")) == [kit.recipe().digest] * 3 + [second.digest] * 3


def test_images_inside_events_wait_in_a_file_and_not_in_memory(kit, held):
    shape = (500, 500)
    image = np.ones(shape, "u2")
    work, entered, release = held()
    scan = work.scan()
    scan.stream(det={**kit.EVENT_IMAGE, "shape": list(shape)}, small=kit.EVENT_IMAGE)
    scan.event(1, small=kit.images(1)[0])
    assert entered.wait(30)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(2, 402):  # 200 MB
        scan.event(number, det=image)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 50_000  # kB
    scan.stop()
    release.set()
    work.callback.drain(60)


def test_a_call_only_enqueues(kit, held, raw_file):
    work, entered, release = held()
    scan = work.scan()
    scan.stream(det=kit.IMAGE)
    which = scan.file("det", raw_file(kit.images(1)).uri)
    scan.frames(which, 0, 1)
    assert entered.wait(30)
    started = time.perf_counter()
    for index in range(1, 201):
        scan.frames(which, index, index + 1)
    assert time.perf_counter() - started < 1  # composing included; the worker stands still
    release.set()


def test_the_callback_says_when_it_wants_no_more(kit, held):
    work, entered, release = held(queue=5)
    scan = work.scan()
    scan.stream(det=kit.EVENT_IMAGE, x=kit.NUMBER)
    scan.event(1, det=kit.images(1)[0])
    assert entered.wait(30)
    assert not work.callback.busy
    for number in range(2, 10):
        scan.event(number, x=1.0)
    assert work.callback.busy
    release.set()
    assert work.callback.wait(30)
    assert not work.callback.busy
