"""The beam monitor of a frame is that of its event."""

import math
import subprocess
import sys

import numpy as np

from ringline.callbacks.frames import FrameRange, InFile, MonitorInFile, NoRecipe
from ringline.callbacks.monitors import Pairing
from ringline.callbacks.reading import FrameReader


def test_the_monitor_of_a_step_scan_comes_in_the_event(kit, reducing, raw_file):
    work = reducing(monitor="i0")
    scan = work.scan()
    scan.stream(det=kit.IMAGE, i0=kit.NUMBER)
    resource = scan.file("det", raw_file(kit.images(4)).uri)
    for index in range(4):
        scan.frames(resource, index, index + 1)
        scan.event(index + 1, i0=10.0 + index)
    scan.stop()
    run = work.run()
    np.testing.assert_array_equal(run.column("monitor"), [10, 11, 12, 13])


def test_after_a_rewind_each_frame_keeps_its_own_monitor(kit, reducing, raw_file):
    work = reducing(monitor="i0")
    scan = work.scan()
    scan.stream(det=kit.IMAGE, i0=kit.NUMBER)
    resource = scan.file("det", raw_file(kit.images(4)).uri)
    for index, number in enumerate([1, 2, 2, 3]):
        scan.frames(resource, index, index + 1, seq_num=number)
        scan.event(number, i0=10.0 + index)
    scan.stop()
    np.testing.assert_array_equal(work.run().column("monitor"), [10, 11, 12, 13])


def test_the_sum_of_a_rewound_scan_is_normalized_to_the_monitors_of_its_frames(
    kit, reducing, raw_file
):
    recipe = kit.recipe(corrections=kit.corrections(monitor=10.0))
    images, work = kit.images(4), reducing(recipe, monitor="i0")
    scan = work.scan()
    scan.stream(det=kit.IMAGE, i0=kit.NUMBER)
    resource = scan.file("det", raw_file(images).uri)
    for index, number in enumerate([1, 2, 2, 3]):
        scan.frames(resource, index, index + 1, seq_num=number)
        scan.event(number, i0=10.0 + index)
    scan.stop()
    run, reduction = work.run(), kit.reduction_for(recipe)
    maps = [reduction.map(kit.Frame(images[index], index, 10.0 + index)) for index in (0, 2, 3)]
    total = reduction.finish(maps[0] + maps[1] + maps[2])
    np.testing.assert_array_equal(run.curves(stream="total"), [total.intensity])
    assert "total_incomplete" not in run.stop["accounts"]


def test_a_frame_whose_event_never_came_has_no_monitor(kit, reducing, raw_file):
    work = reducing(monitor="i0")
    scan = work.scan()
    scan.stream(det=kit.IMAGE, i0=kit.NUMBER)
    resource = scan.file("det", raw_file(kit.images(2)).uri)
    scan.frames(resource, 0, 1)
    scan.event(1, i0=10.0)
    scan.frames(resource, 1, 2)
    scan.stop("abort")
    run = work.run()
    np.testing.assert_array_equal(run.column("monitor"), [10, math.nan])
    assert run.accounts["frames_reduced"] == 2


def test_the_monitor_of_a_fly_scan_is_read_from_its_file(kit, reducing, raw_file):
    values = np.arange(20) * 1.5
    file, work = raw_file(kit.images(20), values), reducing(monitor="det_i0", block=4)
    scan = work.scan()
    number = {"dtype": "number", "shape": [1], "dtype_numpy": "<f8", "external": "STREAM:"}
    scan.stream(det=kit.IMAGE, det_i0=number)
    image = scan.file("det", file.uri)
    monitor = scan.file("det_i0", file.uri, "/entry/monitor")
    for start in (0, 10):
        scan.frames(image, start, start + 10)
        scan.frames(monitor, start, start + 10)
    scan.stop()
    np.testing.assert_array_equal(work.run().column("monitor"), values)


WRITER = """
import sys, h5py
with h5py.File(sys.argv[1], "w", libver="latest") as file:
    image = file.create_dataset("image", (0, 2, 2), "u2", maxshape=(None, 2, 2), chunks=(1, 2, 2))
    monitor = file.create_dataset("monitor", (0,), "f8", maxshape=(None,), chunks=(8,))
    file.swmr_mode = True
    for index, line in enumerate(sys.stdin):
        for dataset in (monitor, image):
            dataset.resize(index + 1, axis=0)
            dataset[index] = index + 1
            dataset.flush()
        print(index, flush=True)
"""


def test_a_monitor_is_seen_at_once_in_a_file_that_grows_while_its_frames_are_read(tmp_path):
    path = tmp_path / "growing.h5"
    reader = FrameReader(timeout=0.0)
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as writer:
        for index in range(5):
            writer.stdin.write("go\n")
            writer.stdout.readline()
            image = InFile("r", path, "image")
            assert reader.read(image, index, index + 1, 0.0)[0].max() == index + 1
            # With a timeout of 0 there is one look, and no second one.
            monitor = MonitorInFile(InFile("r", path, "monitor"), index)
            assert reader.monitors(monitor, 1, 0.0) == [index + 1.0]
        writer.stdin.close()
    reader.close()


def test_a_monitor_beside_an_image_in_the_same_event_is_taken(kit, reducing):
    work = reducing(monitor="i0")
    scan = work.scan()
    scan.stream(det=kit.EVENT_IMAGE, i0=kit.NUMBER)
    for number, image in enumerate(kit.images(2), 1):
        scan.event(number, det=image, i0=number / 4)
    scan.stop()
    np.testing.assert_array_equal(work.run().column("monitor"), [0.25, 0.5])


def frames(first, stop, start=0):
    return FrameRange(
        stream="primary",
        data_key="det",
        location=InFile("r", "x.h5"),
        start=start,
        stop=start + stop - first,
        seq_num=first,
        recipe=NoRecipe(""),
        arrived=0.0,
    )


def test_ranges_of_frames_and_of_monitors_need_not_be_equal():
    pairing, place = Pairing(), InFile("m", "m.h5")
    assert pairing.add(frames(1, 6)) == []
    (ready,) = pairing.give(1, 3, MonitorInFile(place, 0))
    assert (ready.seq_num, ready.seq_stop, ready.monitor.start) == (1, 3, 0)
    (ready,) = pairing.give(3, 9, MonitorInFile(place, 2))
    assert (ready.seq_num, ready.seq_stop, ready.monitor.start) == (3, 6, 2)
    (ready,) = pairing.add(frames(6, 9, start=5))
    assert (ready.seq_num, ready.seq_stop, ready.monitor.start) == (6, 9, 5)
    assert pairing.release_all() == []


def test_a_frame_whose_event_was_lost_does_not_hold_up_the_next():
    pairing = Pairing()
    pairing.add(frames(1, 2, start=0))
    pairing.add(frames(1, 2, start=1))
    lost, found = pairing.give(1, 2, 5.0)
    assert (lost.start, lost.monitor) == (0, None)
    assert (found.start, found.monitor) == (1, 5.0)
