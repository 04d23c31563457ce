"""The embedded store: what is written can be read back through both doors."""

import threading
import uuid
from pathlib import Path

import numpy as np
import pytest
from event_model import DocumentNames, schema_validators
from tiled.server import connection_pool

from ringline.callbacks import (
    StoreWriter,
    Workspace,
    find_reduced,
    find_reduced_headers,
    open_store,
    read_curves,
)
from ringline.callbacks.run_writer import LiveRunWriter
from ringline.callbacks.uris import path_of_uri, path_within, uri_of_path
from ringline.processing import FrameError, RecipeError


def fly(kit, callback, file, frames, **metadata):
    scan = kit.Scan(callback, metadata)
    scan.stream(det=kit.IMAGE)
    resource = scan.file("det", file.uri)
    for start in range(0, frames, 4):
        scan.frames(resource, start, min(start + 4, frames))
    scan.stop()
    return scan


@pytest.fixture
def raw(kit, store_workspace):
    """Makes files where the store can read them."""
    opened = []

    def make(images=()):
        opened.append(kit.RawFile(store_workspace.raw / f"{uuid.uuid4()}.h5"))
        opened[-1].append(images)
        return opened[-1]

    yield make
    for file in opened:
        file.close()


@pytest.fixture
def reduce_into(kit, store_workspace):
    """Makes callbacks that emit into a writer."""
    opened = []

    def make(recipe, writer=None, **settings):
        opened.append(kit.Reducing(recipe, store_workspace.results, writer, **settings))
        return opened[-1]

    yield make
    for work in opened:
        work.callback.close(10)


@pytest.fixture(scope="module")
def stored_run(kit, store_workspace, store):
    """A run of 10 frames, reduced into the store."""
    images = kit.images(10)
    file = kit.RawFile(store_workspace.raw / "det.h5")
    file.append(images)
    writer = StoreWriter(store.reduced, readable=store.readable)
    work = kit.Reducing(kit.recipe(), store_workspace.results, writer)
    scan = fly(kit, work.callback, file, 10, scan_id=7, sample={"name": "LaB6"})
    work.callback.close(30)
    writer.close(30)
    file.close()
    return scan, images


def test_curves_come_back_through_databroker(kit, store, stored_run, recipe):
    scan, images = stored_run
    broker = store.broker()
    header = broker[7]
    for same in (header, broker[header.start["uid"]], broker[header.start["uid"][:8]]):
        assert same.start["original_run_uid"] == scan.uid
    np.testing.assert_array_equal(list(header.data("intensity")), kit.curves(recipe, images))
    table = header.table()
    np.testing.assert_array_equal(table["frame_index"], np.arange(10))
    np.testing.assert_array_equal(table["raw_seq_num"], np.arange(1, 11))
    assert set(table["epoch"]) == {recipe.digest}
    filled = header.table(fill=True)
    np.testing.assert_array_equal(np.stack(filled["intensity"]), kit.curves(recipe, images))
    total = np.asarray(list(header.data("intensity", stream_name="total")))
    np.testing.assert_array_equal(total[0], kit.total(recipe, images))
    assert header.stop["exit_status"] == "success"
    axis = header.config_data("ringline")["primary"][0]["radial"]
    np.testing.assert_array_equal(axis, kit.reduction_for(recipe).axis)


def test_documents_come_back_through_databroker_and_are_valid(store, stored_run):
    documents = list(store.broker()[7].documents())
    names = [name for name, _ in documents]
    assert names[0] == "start"
    assert names[-1] == "stop"
    assert names.count("event") == 11
    for name, document in documents:
        schema_validators[DocumentNames[name]].validate(dict(document))


def test_curves_come_back_through_the_tiled_client(kit, store, stored_run, recipe):
    scan, images = stored_run
    (run,) = find_reduced(store, raw_uid=scan.uid)
    dataset = run["primary"].read()
    assert dict(dataset.sizes) == {"time": 10, "radial": 12}
    np.testing.assert_array_equal(dataset["rejected"], np.zeros(10))
    np.testing.assert_array_equal(dataset["intensity"], kit.curves(recipe, images))
    assert set(dataset["epoch"].values) == {recipe.digest}
    assert run.metadata["stop"]["accounts"]["frames_reduced"] == 10
    curves = read_curves(run)
    np.testing.assert_array_equal(curves.intensity, kit.curves(recipe, images))
    np.testing.assert_array_equal(curves.axis, kit.reduction_for(recipe).axis)
    assert curves.unit == "q_nm^-1"
    assert curves.sigma.shape == curves.std.shape == curves.intensity.shape
    np.testing.assert_array_equal(curves.rejected, np.zeros(10))
    np.testing.assert_array_equal(curves.frame_index, np.arange(10))
    np.testing.assert_array_equal(curves.raw_seq_num, np.arange(1, 11))


def test_the_sum_of_a_scan_comes_back_as_one_curve_without_numbers_of_a_frame(
    kit, store, stored_run, recipe
):
    scan, images = stored_run
    (run,) = find_reduced(store, raw_uid=scan.uid)
    total = read_curves(run, "total")
    np.testing.assert_array_equal(total.intensity, [kit.total(recipe, images)])
    np.testing.assert_array_equal(total.axis, kit.reduction_for(recipe).axis)
    assert (total.unit, total.azimuth) == ("q_nm^-1", None)
    assert total.sigma.shape == total.std.shape == (1, 12)
    assert total.frame_index is total.raw_seq_num is total.rejected is None


def test_azimuthal_profiles_come_back_with_their_axis(kit, raw, reduce_into, store, writer):
    recipe, images = kit.recipe(binning=kit.Azimuthal(9, "chi_rad", (1.0, 9.0))), kit.images(2)
    work = reduce_into(recipe, writer)
    uid = fly(kit, work.callback, raw(images), 2).uid
    work.callback.drain(10)
    writer.drain(30)
    (run,) = find_reduced(store, raw_uid=uid)
    curves = read_curves(run)
    assert (curves.unit, curves.azimuth) == ("chi_rad", None)
    np.testing.assert_array_equal(curves.axis, kit.reduction_for(recipe).axis)
    np.testing.assert_array_equal(curves.intensity, kit.curves(recipe, images))
    assert dict(run["primary"].read().sizes) == {"time": 2, "azimuth": 9}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"scan_id": 7}, 1),
        ({"scan_id": 8}, 0),
        ({"sample": "LaB6"}, 1),
        ({"sample": "CeO2"}, 0),
        ({"sample": "LaB6", "scan_id": 7}, 1),
        ({"raw_uid": "not there"}, 0),
    ],
)
def test_reduced_runs_are_found_through_both_doors(store, stored_run, query, found):
    assert len(find_reduced(store, **query)) == found
    assert len(find_reduced_headers(store.broker(), **query)) == found
    # databroker switches the whole process to other clients; our own searches must not mind
    assert len(find_reduced(store, **query)) == found


def test_the_newest_of_several_reductions_comes_first(kit, raw, reduce_into, store, writer):
    file = raw(kit.images(2))
    documents = []
    fly(kit, lambda name, doc: documents.append((name, doc)), file, 2)
    for bins in (5, 9):
        work = reduce_into(kit.recipe(bins), writer)
        for name, document in documents:
            work.callback(name, document)
        work.callback.close(10)
    writer.drain(30)
    runs = find_reduced(store, raw_uid=documents[0][1]["uid"])
    assert [read_curves(run).intensity.shape for run in runs] == [(2, 9), (2, 5)]
    headers = find_reduced_headers(store.broker(), raw_uid=documents[0][1]["uid"])
    assert [header.start["uid"] for header in headers] == [run.start["uid"] for run in runs]


def test_an_open_run_can_be_read_while_it_grows(kit, raw, reduce_into, store, writer, recipe):
    images = kit.images(6)
    file, work = raw(), reduce_into(recipe, writer, frame_timeout=20)
    scan = kit.Scan(work.callback)
    scan.stream(det=kit.IMAGE)
    resource = scan.file("det", file.uri)
    for start in (0, 2, 4):
        file.append(images[start : start + 2])
        scan.frames(resource, start, start + 2)
        work.callback.drain(20)
        writer.drain(20)
        (run,) = find_reduced(store, raw_uid=scan.uid)
        assert run.metadata.get("stop") is None
        expected = kit.curves(recipe, images[: start + 2])
        np.testing.assert_array_equal(run["primary"].read()["intensity"], expected)
        np.testing.assert_array_equal(read_curves(run).intensity, expected)


def test_recipe_changes_come_back_in_order(kit, raw, reduce_into, store, writer):
    images = kit.images(6)
    recipes = [kit.recipe(), kit.recipe(splitting="no"), kit.recipe(5), kit.recipe()]
    file, work = raw(images), reduce_into(recipes[0], writer)
    scan = kit.Scan(work.callback)
    scan.stream(det=kit.IMAGE)
    resource = scan.file("det", file.uri)
    for index, recipe in enumerate(recipes):
        work.callback.set_recipe(recipe)
        scan.frames(resource, index, index + 1)
    scan.stop()
    work.callback.close(10)
    writer.drain(30)
    (run,) = find_reduced(store, raw_uid=scan.uid)
    dataset = run["primary"].read()
    parts = [kit.curves(recipes[n], images[n : n + 1]) for n in (0, 1, 3)]
    np.testing.assert_array_equal(dataset["intensity"], np.concatenate(parts))
    assert list(dataset["epoch"].values) == [recipes[n].digest for n in (0, 1, 3)]
    assert run["primary_2"].read()["intensity"].shape == (1, 5)
    totals = [kit.total(recipes[n], images[n : n + 1]) for n in (0, 1, 3)]
    np.testing.assert_array_equal(read_curves(run, "total").intensity, totals)
    assert read_curves(run, "total_2").intensity.shape == (1, 5)


def test_documents_written_again_change_nothing(kit, raw, reduce_into, store, recipe):
    images = kit.images(8)
    file, work = raw(images), reduce_into(recipe, block=2)
    scan = fly(kit, work.callback, file, 8)
    work.callback.close(10)
    for stop in (4, 9, len(work.emitted) - 1, len(work.emitted), len(work.emitted)):
        writer = StoreWriter(store.reduced, readable=store.readable)
        for name, document in work.emitted[:stop]:
            writer(name, document)
        writer.close(30)
    (run,) = find_reduced(store, raw_uid=scan.uid)
    np.testing.assert_array_equal(run["primary"].read()["intensity"], kit.curves(recipe, images))
    np.testing.assert_array_equal(run["primary"].read()["frame_index"], np.arange(8))
    assert run["total"].read().sizes["time"] == 1
    assert run.metadata["stop"]["num_events"] == {"primary": 8, "total": 1}


def test_a_file_outside_the_readable_folders_is_refused(kit, store, tmp_path, raw_file):
    file = raw_file(kit.images(2))
    writer = StoreWriter(store.raw, readable=store.readable)
    scan = fly(kit, writer, file, 2)
    with pytest.raises(FrameError, match=str(file.path)):
        writer.drain(30)
    writer.clear_error()
    writer.close(5)
    assert "primary" in store.raw[scan.uid]
    assert "det" not in store.raw[scan.uid]["primary"]


def test_a_folder_given_as_readable_is_served(kit, empty_catalogue, raw_file, tmp_path):
    images = kit.images(2)
    file = raw_file(images)
    with open_store(
        kit.workspace(tmp_path / "other", empty_catalogue), readable=[file.path.parent]
    ) as store:
        assert store.path_is_readable(file.path)
        assert not store.path_is_readable(Path("/etc/passwd"))
        writer = StoreWriter(store.raw, readable=store.readable)
        scan = fly(kit, writer, file, 2)
        writer.close(30)
        stored = store.raw[scan.uid]["primary"]["det"].read()
        np.testing.assert_array_equal(stored.reshape(images.shape), images)


def test_one_broken_run_does_not_take_the_others_with_it(kit, store, raw):
    file = raw(kit.images(2))
    writer = StoreWriter(store.raw, readable=store.readable)
    bad = kit.Scan(writer)
    writer("event", {"descriptor": "nobody's", "seq_num": 1})
    writer("descriptor", {"run_start": bad.uid, "uid": "x"})
    good = fly(kit, writer, file, 2)
    with pytest.raises(KeyError):
        writer.drain(30)
    with pytest.raises(KeyError):
        writer.close(5)
    assert store.raw[good.uid].metadata["stop"]["exit_status"] == "success"


def test_a_run_that_could_not_be_written_is_complete_when_it_comes_again(
    kit, raw, reduce_into, store, recipe, monkeypatch
):
    images = kit.images(4)
    file, work = raw(images), reduce_into(recipe)
    scan = fly(kit, work.callback, file, 4)
    work.callback.drain(10)
    writer = StoreWriter(store.reduced, readable=store.readable)
    with monkeypatch.context() as patch:
        patch.setattr(LiveRunWriter, "_write_external_data", lambda *_: 1 / 0)
        for name, document in work.emitted:
            writer(name, document)
        with pytest.raises(RuntimeError, match="not stored to the end"):
            writer.settle(30)
    writer.clear_error()
    with pytest.raises(RuntimeError, match="not stored to the end"):
        writer.settle(30)
    for name, document in work.emitted:
        writer(name, document)
    writer.settle(30)
    writer.close(30)
    (run,) = find_reduced(store, raw_uid=scan.uid)
    np.testing.assert_array_equal(run["primary"].read()["intensity"], kit.curves(recipe, images))
    assert kit.recipe_from_json(run.start["recipe"]) == recipe


def test_events_of_a_raw_run_are_written_in_few_large_steps(kit, store):
    writer = StoreWriter(store.raw)
    scan = kit.Scan(writer, {"scan_id": 12})
    scan.stream(x=kit.NUMBER)
    for number in range(1, 301):
        scan.event(number, x=float(number))
    scan.stop()
    writer.close(60)
    header = store.broker("raw")[12]
    np.testing.assert_array_equal(header.table()["x"], np.arange(1, 301))


def test_a_call_of_the_writer_only_enqueues(kit, store):
    held, entered = threading.Event(), threading.Event()
    writer = StoreWriter(store.raw)
    original = writer._open

    def slow(start):
        entered.set()
        held.wait(30)
        return original(start)

    writer._open = slow
    scan = kit.Scan(writer)
    assert entered.wait(10)
    scan.stop()
    assert writer.waiting == 2
    with pytest.raises(TimeoutError):
        writer.drain(0.05)
    held.set()
    writer.close(30)


def test_two_processes_can_have_one_store_open_and_what_is_stored_stays(
    kit, store_workspace, stored_run
):
    scan, images = stored_run
    with open_store(store_workspace) as again:
        (run,) = find_reduced(again, raw_uid=scan.uid)
        expected = kit.curves(kit.recipe(), images)
        np.testing.assert_array_equal(read_curves(run).intensity, expected)


@pytest.mark.parametrize("name", ["a#b", "a?b"])
def test_a_path_that_cannot_be_in_a_uri_is_refused(tmp_path, name):
    with pytest.raises(RecipeError, match="URI"):
        Workspace(tmp_path / name).create()


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RecipeError, match=f"folder {tmp_path}/file/below cannot be written"):
        open_store(Workspace(tmp_path / "file" / "below"))


@pytest.mark.parametrize("encoded", [False, True])
def test_uris_are_read_as_they_are_or_percent_encoded(tmp_path, encoded):
    path = tmp_path / "a b%20c" / "x.h5"
    path.parent.mkdir()
    assert path_of_uri(path.as_uri() if encoded else uri_of_path(path)) == path
    assert path_of_uri(str(path)) == path


def test_a_uri_of_another_machine_is_no_path():
    with pytest.raises(ValueError, match="names no file of this machine"):
        path_of_uri("s3://bucket/x.h5")


def test_a_path_cannot_climb_out_of_a_readable_folder(tmp_path):
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for folder in (inside, outside):
        folder.mkdir()
    assert path_within(inside / ".." / "outside" / "x", [inside]) is None
    assert path_within(inside / "x", [inside]) == inside / "x"
    link = outside / "link"
    link.symlink_to(inside)
    assert path_within(link / "x", [inside]) == inside / "x"


def test_stores_of_one_process_share_no_connections(store_workspace, store):
    """Each has an event loop of its own: a connection of another would be waited for for ever."""
    with open_store(store_workspace) as again:
        assert list(again.raw) == list(store.raw)
        ours = [kept for kept in connection_pool._connection_pools if "a workspace" in kept.uri]
        assert len(ours) == 2
