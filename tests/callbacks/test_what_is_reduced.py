"""Which data keys, streams and runs give reduced runs, and how their frames are counted."""

import numpy as np
import pytest

from ringline.callbacks import Accounts


def test_each_detector_of_a_run_gets_its_own_reduced_run(kit, reducing, raw_file):
    recipes = {"eiger": kit.recipe(12), "pilatus": kit.recipe(7)}
    images = {name: kit.images(6, seed) for seed, name in enumerate(recipes)}
    work = reducing(recipes)
    scan = work.scan()
    scan.stream(eiger_image=kit.IMAGE, pilatus_image=kit.IMAGE, camera_image=kit.IMAGE)
    names = [f"{name}_image" for name in (*recipes, "camera")]
    files = {name: raw_file(images.get(name.split("_")[0], kit.images(6))) for name in names}
    resources = {name: scan.file(name, files[name].uri) for name in names}
    for start in (0, 3):
        for name in names:
            scan.frames(resources[name], start, start + 3)
    scan.stop()
    runs = {run.start["detector"]: run for run in work.runs()}
    assert set(runs) == {"eiger_image", "pilatus_image"}
    for name, recipe in recipes.items():
        run = runs[f"{name}_image"]
        np.testing.assert_array_equal(run.curves(), kit.curves(recipe, images[name]))
        assert run.accounts["frames_seen"] == 6
    paths = {r["uri"] for run in runs.values() for r in run.named("stream_resource")}
    assert len(paths) == 2


@pytest.mark.parametrize("wanted", ["eiger", "eiger_image"])
def test_a_detector_is_chosen_by_device_or_data_key(kit, reducing, raw_file, wanted):
    work = reducing(detector=wanted)
    scan = work.scan()
    scan.stream(eiger_image=kit.IMAGE, camera_image=kit.IMAGE)
    for name in ("eiger_image", "camera_image"):
        scan.frames(scan.file(name, raw_file(kit.images(2)).uri), 0, 2)
    scan.stop()
    assert work.run().start["detector"] == "eiger_image"


def test_sums_and_numbers_beside_the_image_are_left_alone(kit, reducing, raw_file, recipe):
    images = kit.images(3)
    file, work = raw_file(images, [1.0, 2.0, 3.0]), reducing()
    scan = work.scan()
    total = {"dtype": "number", "shape": [1], "dtype_numpy": "<f8", "external": "STREAM:"}
    wave = {"dtype": "array", "shape": [1, 100], "dtype_numpy": "<f8", "external": "STREAM:"}
    scan.stream(det=kit.IMAGE, det_sum=total, det_wave=wave, x=kit.NUMBER)
    resources = [scan.file(key, file.uri) for key in ("det_sum", "det_wave", "det")]
    for resource in resources:
        scan.frames(resource, 0, 3)
    scan.stop()
    run = work.run()
    assert run.start["detector"] == "det"
    np.testing.assert_array_equal(run.curves(), kit.curves(recipe, images))


def test_several_streams_of_a_run_keep_their_names(kit, reducing, raw_file, recipe):
    images = {"primary": kit.images(3, 1), "dark": kit.images(2, 2)}
    work = reducing()
    scan = work.scan()
    for name, stack in images.items():
        scan.stream(name, det=kit.IMAGE)
        scan.frames(scan.file("det", raw_file(stack).uri), 0, len(stack), stream=name)
    scan.stop()
    run = work.run()
    for name, total in (("primary", "total"), ("dark", "dark_total")):
        np.testing.assert_array_equal(run.curves(stream=name), kit.curves(recipe, images[name]))
        expected = kit.total(recipe, images[name])
        np.testing.assert_array_equal(run.curves(stream=total)[0], expected)


@pytest.mark.parametrize("told", ["shape", "multiplier"])
def test_several_collections_in_an_event_are_several_frames(kit, reducing, raw_file, recipe, told):
    images = kit.images(12)
    work = reducing()
    scan = work.scan()
    shape = [4, *kit.SHAPE] if told == "shape" else [1, *kit.SHAPE]
    scan.stream(det={**kit.IMAGE, "shape": shape})
    more = {"multiplier": 4} if told == "multiplier" else {}
    resource = scan.file("det", raw_file(images).uri, **more)
    scan.frames(resource, 0, 2)
    scan.frames(resource, 2, 3)
    scan.stop()
    run = work.run()
    np.testing.assert_array_equal(run.curves(), kit.curves(recipe, images))
    np.testing.assert_array_equal(run.column("frame_index"), np.arange(12))
    np.testing.assert_array_equal(run.column("raw_seq_num"), np.repeat([1, 2, 3], 4))
    assert run.accounts["frames_seen"] == 12


def test_a_stack_inside_an_event_is_several_frames(kit, reducing, recipe):
    images = kit.images(6)
    work = reducing()
    scan = work.scan()
    scan.stream(det={**kit.EVENT_IMAGE, "shape": [3, *kit.SHAPE]})
    scan.event(1, det=images[:3])
    scan.event(2, det=images[3:])
    scan.stop()
    run = work.run()
    np.testing.assert_array_equal(run.curves(), kit.curves(recipe, images))
    np.testing.assert_array_equal(run.column("raw_seq_num"), [1, 1, 1, 2, 2, 2])


def test_a_run_without_frames_makes_no_reduced_run(kit, reducing):
    work = reducing()
    scan = work.scan()
    scan.stream(det=kit.IMAGE)
    scan.stop("abort", reason="nothing came")
    assert work.runs() == []
    assert work.callback.accounts() == Accounts()


def test_a_run_without_images_makes_no_reduced_run(kit, reducing):
    work = reducing()
    scan = work.scan()
    scan.stream(x=kit.NUMBER)
    scan.event(1, x=1.0)
    scan.stop()
    assert work.runs() == []


@pytest.mark.parametrize("purpose", ["reduction", "calibration exposure"])
def test_what_is_reduced_already_or_was_exposed_to_calibrate_is_not_reduced(kit, reducing, purpose):
    work = reducing()
    scan = work.scan(purpose=purpose)
    scan.stream(intensity=kit.EVENT_IMAGE)
    scan.event(1, intensity=kit.images(1)[0])
    scan.stop()
    assert work.runs() == []


@pytest.mark.parametrize("status", ["abort", "fail"])
def test_a_run_that_ended_badly_keeps_its_frames_and_says_why(kit, reducing, raw_file, status):
    work = reducing()
    scan = work.scan()
    scan.stream(det=kit.IMAGE)
    scan.frames(scan.file("det", raw_file(kit.images(3)).uri), 0, 3)
    scan.stop(status, reason="beam lost")
    run = work.run()
    assert run.stop["exit_status"] == status
    assert run.stop["reason"] == "beam lost"
    assert run.accounts["frames_reduced"] == 3


def test_a_run_that_is_open_when_the_callback_closes_ends_as_aborted(kit, reducing, raw_file):
    work = reducing()
    scan = work.scan()
    scan.stream(det=kit.IMAGE)
    scan.frames(scan.file("det", raw_file(kit.images(3)).uri), 0, 3)
    work.callback.close(10)
    (run,) = kit.reduced_runs(work.emitted)
    assert run.stop["exit_status"] == "abort"
    assert run.accounts["frames_reduced"] == 3


def test_runs_that_overlap_do_not_mix(kit, reducing, raw_file, recipe):
    stacks = [kit.images(4, seed) for seed in (1, 2)]
    work = reducing()
    scans = [work.scan(scan_id=number) for number in (1, 2)]
    resources = []
    for scan, stack in zip(scans, stacks, strict=True):
        scan.stream(det=kit.IMAGE)
        resources.append(scan.file("det", raw_file(stack).uri))
    for start in (0, 2):
        for scan, resource in zip(scans, resources, strict=True):
            scan.frames(resource, start, start + 2)
    for scan in scans:
        scan.stop()
    runs = {run.start["scan_id"]: run for run in work.runs()}
    for number, stack in enumerate(stacks, 1):
        np.testing.assert_array_equal(runs[number].curves(), kit.curves(recipe, stack))


def test_indices_name_the_frames_and_sequence_numbers_do_not(kit, reducing, raw_file, recipe):
    images = kit.images(8)
    work = reducing()
    scan = work.scan()
    scan.stream(det=kit.IMAGE)
    scan.frames(scan.file("det", raw_file(images).uri), 5, 8, seq_num=1)
    scan.stop()
    run = work.run()
    np.testing.assert_array_equal(run.curves(), kit.curves(recipe, images[5:]))
    np.testing.assert_array_equal(run.column("frame_index"), [5, 6, 7])
    np.testing.assert_array_equal(run.column("raw_seq_num"), [1, 2, 3])


def test_after_a_rewind_the_last_frame_of_a_number_counts(kit, reducing, raw_file, recipe):
    images = kit.images(5)
    file, work = raw_file(images), reducing(block=2)
    scan = work.scan()
    scan.stream(det=kit.IMAGE)
    resource = scan.file("det", file.uri)
    for index, number in enumerate([1, 2, 3, 3, 4]):
        scan.frames(resource, index, index + 1, seq_num=number)
    scan.stop()
    run = work.run()
    np.testing.assert_array_equal(run.curves(), kit.curves(recipe, images))
    np.testing.assert_array_equal(run.column("frame_index"), range(5))
    np.testing.assert_array_equal(run.column("raw_seq_num"), [1, 2, 3, 3, 4])
    np.testing.assert_array_equal(
        run.curves(stream="total")[0], kit.total(recipe, images[[0, 1, 3, 4]])
    )
    assert run.column("frames", "total") == [4]
    assert run.accounts["frames_reduced"] == 5


def test_after_a_rewind_the_last_image_inside_an_event_counts(kit, reducing, recipe):
    images = kit.images(4)
    work = reducing()
    scan = work.scan()
    scan.stream(det=kit.EVENT_IMAGE)
    for number, image in zip([1, 2, 2, 3], images, strict=True):
        scan.event(number, det=image)
    scan.stop()
    run = work.run()
    np.testing.assert_array_equal(run.curves(), kit.curves(recipe, images))
    np.testing.assert_array_equal(
        run.curves(stream="total")[0], kit.total(recipe, images[[0, 2, 3]])
    )


def test_a_second_file_of_a_data_key_is_read_by_its_own_indices(kit, reducing, raw_file, recipe):
    stacks = [kit.images(3, seed) for seed in (1, 2)]
    work = reducing()
    scan = work.scan()
    scan.stream(det=kit.IMAGE)
    for number, stack in enumerate(stacks):
        scan.frames(scan.file("det", raw_file(stack).uri), 0, 3, seq_num=3 * number + 1)
    scan.stop()
    np.testing.assert_array_equal(work.run().curves(), kit.curves(recipe, np.concatenate(stacks)))
