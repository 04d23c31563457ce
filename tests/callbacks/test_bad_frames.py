"""Frames that cannot be had are counted with their cause; bugs are not swallowed."""

import threading
import time

import h5py
import numpy as np
import pytest

from ringline.callbacks import Accounts
from ringline.callbacks.frames import ImageFile
from ringline.processing import FrameError, Reduction, ResultFile


def fly(kit, work, uri, frames, key="det"):
    scan = work.scan()
    scan.stream(**{key: kit.IMAGE})
    scan.frames(scan.file(key, uri), 0, frames)
    scan.stop()
    return scan


def damage(path, frames):
    """Overwrite the chunks of some frames with what their filter cannot unpack."""
    with h5py.File(path, "r") as file:
        dataset = file["/entry/data/data"]
        places = [dataset.id.get_chunk_info_by_coord((index, 0, 0)) for index in frames]
    with path.open("r+b") as file:
        for place in places:
            file.seek(place.byte_offset)
            file.write(b"\xff" * place.size)


@pytest.fixture
def compressed(kit, tmp_path):
    def make(images):
        path = tmp_path / "compressed.h5"
        with h5py.File(path, "w") as file:
            file.create_dataset(
                "/entry/data/data", data=images, chunks=(1, *kit.SHAPE), compression="gzip"
            )
        return path

    return make


def test_unreadable_frames_are_found_one_by_one(kit, reducing, compressed, recipe):
    images = kit.images(50)
    bad = [3, 17, 18]
    path = compressed(images)
    damage(path, bad)
    work = reducing()
    fly(kit, work, f"file://localhost{path}", 50)
    run = work.run()
    good = np.delete(np.arange(50), bad)
    np.testing.assert_array_equal(run.column("frame_index"), good)
    np.testing.assert_array_equal(run.curves(), kit.curves(recipe, images[good]))
    np.testing.assert_array_equal(run.curves(stream="total")[0], kit.total(recipe, images[good]))
    accounts = run.accounts
    assert (accounts["frames_reduced"], accounts["frames_failed"]) == (47, 3)
    assert accounts["failed_frames"] == bad
    assert all(str(path) in cause for cause in accounts["causes"])
    assert work.callback.accounts() == Accounts(50, 47, 0, 3, accounts["causes"])


def test_a_truncated_file_costs_its_missing_frames_only(kit, reducing, raw_file, recipe):
    images = kit.images(7)
    work = reducing(frame_timeout=0.2)
    fly(kit, work, raw_file(images).uri, 10)
    run = work.run()
    np.testing.assert_array_equal(run.curves(), kit.curves(recipe, images))
    assert run.accounts["failed_frames"] == [7, 8, 9]
    (cause,) = run.accounts["causes"]
    assert "the frame never came into the file" in cause


def test_frames_that_never_come_cost_one_timeout_and_not_one_each(kit, reducing, tmp_path):
    work = reducing(frame_timeout=0.5)
    started = time.monotonic()
    fly(kit, work, f"file://localhost{tmp_path}/absent.h5", 200)
    run = work.run()
    assert time.monotonic() - started < 5
    assert run.accounts["frames_failed"] == 200
    assert "absent.h5" in next(iter(run.accounts["causes"]))
    assert run.streams == []


def test_a_frame_that_comes_late_is_waited_for(kit, reducing, raw_file, recipe):
    images = kit.images(6)
    file, work = raw_file(images[:2]), reducing(frame_timeout=20)
    seen = threading.Event()
    scan = work.scan()
    scan.stream(det=kit.IMAGE)
    scan.frames(scan.file("det", file.uri), 0, 6)
    scan.stop()
    while work.callback.accounts().reduced < 1:
        seen.wait(0.01)
    file.append(images[2:4])
    while work.callback.accounts().reduced < 3:
        seen.wait(0.01)
    file.append(images[4:])
    run = work.run()
    np.testing.assert_array_equal(run.curves(), kit.curves(recipe, images))
    assert run.accounts["frames_failed"] == 0


def test_images_of_the_wrong_shape_fail_and_name_both_shapes(kit, reducing):
    work = reducing()
    scan = work.scan()
    scan.stream(det={**kit.EVENT_IMAGE, "shape": [4, 5]})
    scan.event(1, det=np.zeros((4, 5)))
    scan.event(2, det=np.zeros(kit.SHAPE))
    scan.stop()
    run = work.run()
    assert (run.accounts["frames_reduced"], run.accounts["frames_failed"]) == (1, 1)
    (cause,) = run.accounts["causes"]
    assert "(4, 5)" in cause
    assert str(kit.SHAPE) in cause


def test_a_file_outside_the_readable_folders_is_refused_by_name(kit, reducing, raw_file, tmp_path):
    file = raw_file(kit.images(2))
    allowed = tmp_path / "allowed"
    work = reducing(readable=(allowed,))
    fly(kit, work, file.uri, 2)
    (cause,) = work.run().accounts["causes"]
    assert cause == f"{file.path}: lies outside the readable folders ({allowed})"


def test_without_a_recipe_frames_fail_and_say_so(kit, reducing, raw_file):
    work = reducing(recipe={})
    work.callback.set_recipe(None)
    fly(kit, work, raw_file(kit.images(2)).uri, 2)
    assert work.run().accounts["causes"] == {"there is no recipe": 2}


def test_many_different_causes_are_capped(kit, reducing):
    work = reducing()
    scan = work.scan()
    scan.stream(det={**kit.EVENT_IMAGE, "shape": [4, 5]})
    for number in range(1, 81):
        scan.event(number, det=np.zeros((number, 3)))
    scan.stop()
    causes = work.run().accounts["causes"]
    assert len(causes) == 51
    assert causes["other causes"] == 30


def test_a_bug_is_raised_at_drain_and_the_books_are_kept(
    kit, reducing, raw_file, recipe, monkeypatch
):
    images = kit.images(5)
    original = Reduction.map_block

    def broken(self, block):
        if block.first <= 2 < block.first + len(block.images):
            raise ZeroDivisionError("a bug of ours")
        return original(self, block)

    monkeypatch.setattr(Reduction, "map_block", broken)
    work = reducing()
    fly(kit, work, raw_file(images).uri, 5)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError, match="a bug of ours"):
            work.callback.drain(10)
    (run,) = kit.reduced_runs(work.emitted)
    assert (run.accounts["frames_reduced"], run.accounts["frames_failed"]) == (4, 1)
    assert run.accounts["causes"] == {"bug: ZeroDivisionError: a bug of ours": 1}
    np.testing.assert_array_equal(run.column("frame_index"), [0, 1, 3, 4])
    work.callback.reset()
    work.callback.drain(10)


def test_frames_are_reduced_in_blocks_and_a_bad_one_costs_only_itself(
    kit, reducing, raw_file, monkeypatch
):
    images, sizes = kit.images(12), []
    original = Reduction.map_block

    def noted(self, block):
        sizes.append(len(block.images))
        return original(self, block)

    monkeypatch.setattr(Reduction, "map_block", noted)
    # Frame 6 has no reading of the monitor that the recipe normalizes to.
    monitors = np.where(np.arange(12) == 6, 0.0, 100.0 + np.arange(12))
    recipe = kit.recipe(corrections=kit.corrections(monitor=100.0))
    work = reducing(recipe, monitor="det_i0", block=4)
    scan = work.scan()
    number = {"dtype": "number", "shape": [1], "dtype_numpy": "<f8", "external": "STREAM:"}
    scan.stream(det=kit.IMAGE, det_i0=number)
    file = raw_file(images, monitors)
    image, monitor = scan.file("det", file.uri), scan.file("det_i0", file.uri, "/entry/monitor")
    scan.frames(image, 0, 12)
    scan.frames(monitor, 0, 12)
    scan.stop()
    run = work.run()
    assert sizes == [4, 4, 1, 1, 1, 1, 4]
    good = np.delete(np.arange(12), 6)
    np.testing.assert_array_equal(run.column("frame_index"), good)
    plain = kit.curves(kit.recipe(), images[good])
    expected = plain / (monitors[good] / 100.0)[:, None]
    np.testing.assert_allclose(run.curves(), expected, rtol=1e-14)
    assert run.accounts["failed_frames"] == [6]
    (cause,) = run.accounts["causes"]
    assert "the recipe normalizes to the monitor, whose reading must be > 0" in cause


def test_a_failing_emit_is_raised_at_drain(kit, tmp_path, raw_file, recipe):
    work = kit.Reducing(recipe, tmp_path)

    def broken(name, document):
        raise OSError("the store is gone")

    work.callback._emit = broken
    fly(kit, work, raw_file(kit.images(2)).uri, 2)
    with pytest.raises(OSError, match="the store is gone"):
        work.callback.drain(10)
    assert work.callback.accounts().reduced == 2
    work.callback.close(5)


def test_curves_that_cannot_be_stored_are_failed_frames(
    kit, reducing, raw_file, recipe, monkeypatch
):
    images, calls = kit.images(12), []
    original = ResultFile.append

    def full(self, rows):
        calls.append(len(rows))
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        original(self, rows)

    monkeypatch.setattr(ResultFile, "append", full)
    work = reducing(block=4)
    fly(kit, work, raw_file(images).uri, 12)
    with pytest.raises(OSError, match="No space left"):
        work.callback.drain(10)
    (run,) = kit.reduced_runs(work.emitted)
    kept = np.r_[0:4, 8:12]
    np.testing.assert_array_equal(run.column("frame_index"), kept)
    np.testing.assert_array_equal(run.curves(), kit.curves(recipe, images[kept]))
    assert run.accounts["frames_failed"] == 4


def test_too_many_failed_frames_are_an_error_at_drain(kit, reducing, raw_file):
    work = reducing(failed_fraction=0.2, frame_timeout=0.1)
    fly(kit, work, raw_file(kit.images(7)).uri, 10)
    with pytest.raises(FrameError, match="3 of 10 frames failed"):
        work.callback.drain(10)
    (run,) = kit.reduced_runs(work.emitted)
    assert run.accounts["frames_reduced"] == 7


def test_an_image_for_which_there_is_no_room_is_dropped_and_counted(
    kit, reducing, recipe, monkeypatch
):
    original, calls = ImageFile.append, []

    def full(self, image):
        calls.append(image)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return original(self, image)

    monkeypatch.setattr(ImageFile, "append", full)
    images = kit.images(3)
    work = reducing()
    scan = work.scan()
    scan.stream(det=kit.EVENT_IMAGE)
    for number, image in enumerate(images, 1):
        scan.event(number, det=image)
    scan.stop()
    run = work.run()
    np.testing.assert_array_equal(run.curves(), kit.curves(recipe, images[[0, 2]]))
    assert run.accounts["frames_dropped"] == 1
    assert run.accounts["frames_failed"] == 0


def test_a_document_that_makes_no_sense_does_not_stop_the_others(kit, reducing, raw_file):
    work = reducing()
    scan = work.scan()
    scan.stream(det=kit.IMAGE)
    resource = scan.file("det", raw_file(kit.images(2)).uri)
    document = {
        "uid": "x/0",
        "stream_resource": "never announced",
        "descriptor": scan.streams["primary"].descriptor_doc["uid"],
        "indices": {"start": 0, "stop": 1},
        "seq_nums": {"start": 1, "stop": 2},
    }
    work.callback("stream_datum", document)
    scan.frames(resource, 0, 2)
    scan.stop()
    with pytest.raises(KeyError, match="never announced"):
        work.callback.drain(10)
    (run,) = kit.reduced_runs(work.emitted)
    assert run.accounts["frames_reduced"] == 2
