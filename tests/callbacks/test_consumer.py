"""The server's side: whatever arrives, in whatever pieces, makes one reduced run."""

import json
import shutil
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringline.callbacks import Consumer, Forwarder, ForwarderLimits, ReductionCallback
from ringline.callbacks.wire import to_json


class Service:
    """A Consumer with its callback, that can be stopped as if killed and made again."""

    def __init__(self, kit, folder, recipe, **settings):
        self.kit, self.folder, self.settings = kit, folder, settings
        self.problems = []
        self.start(recipe)

    def start(self, recipe):
        settings = {"spool": self.folder / "spool", **self.settings}
        self.reducing = self.kit.Reducing(recipe, self.folder / "results", **settings)
        self.callback = self.reducing.callback
        self.consumer = Consumer(self.callback, self.folder / "spool", settle=self.settle)
        self.stored = True

    def settle(self, _):
        if self.problems:
            raise self.problems.pop()
        if not self.stored:
            raise TimeoutError("the store is not there")

    def send(self, documents, number=0):
        uid = documents[0][1]["uid"] if number == 0 else self.uid
        self.uid = uid
        text = to_json({"version": 1, "run_uid": uid, "number": number, "documents": documents})
        return json.loads(self.consumer.consume(text))["next"]

    def run(self):
        return self.reducing.run()

    def close(self):
        self.consumer.close(5)
        self.callback.close(5)


@pytest.fixture
def service(kit, tmp_path):
    opened = []

    def make(recipe=None, **settings):
        opened.append(Service(kit, tmp_path, recipe or kit.recipe(), **settings))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


def fly_documents(kit, file, frames, each=2):
    documents = []
    scan = kit.Scan(lambda name, doc: documents.append([name, dict(doc)]))
    scan.stream(det=kit.IMAGE)
    resource = scan.file("det", file.uri)
    for start in range(0, frames, each):
        scan.frames(resource, start, start + each)
    scan.stop()
    return documents


def test_a_whole_run_in_one_batch(kit, service, raw_file, recipe):
    images = kit.images(6)
    documents = fly_documents(kit, raw_file(images), 6)
    one = service()
    assert one.send(documents) == len(documents)
    run = one.run()
    np.testing.assert_array_equal(run.curves(), kit.curves(recipe, images))
    assert run.start["original_run_uid"] == documents[0][1]["uid"]


def test_missing_documents_are_asked_for(kit, service, raw_file):
    documents = fly_documents(kit, raw_file(kit.images(6)), 6)
    one = service()
    assert one.send(documents[:2]) == 2
    assert one.send(documents[4:], 4) == 2
    assert one.send(documents[2:], 2) == len(documents)
    assert one.run().accounts["frames_seen"] == 6


def test_an_unknown_run_is_asked_for_from_its_start(kit, service, raw_file):
    documents = fly_documents(kit, raw_file(kit.images(2)), 2)
    one = service()
    one.uid = documents[0][1]["uid"]
    assert one.send(documents[2:], 2) == 0


def test_a_late_repetition_of_a_run_makes_no_second_one(kit, service, raw_file):
    documents = fly_documents(kit, raw_file(kit.images(4)), 4)
    one = service()
    one.send(documents)
    assert one.consumer.settle(10)
    assert one.send(documents) == len(documents)
    one.close()
    one.start(kit.recipe())
    assert one.send(documents) == len(documents)
    one.callback.drain(10)
    assert one.reducing.emitted == []


@settings(max_examples=15)
@given(data=st.data())
def test_pieces_repetitions_and_restarts_change_nothing(kit, raw_file, tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("service")
    images, recipe = kit.images(12), kit.recipe()
    file = kit.RawFile(folder / "raw.h5")
    file.append(images)
    documents = fly_documents(kit, file, 12)
    one = Service(kit, folder, recipe, block=data.draw(st.integers(1, 5)))
    one.uid, wanted = documents[0][1]["uid"], 0
    everything = []
    while wanted < len(documents):
        first = data.draw(st.integers(0, wanted))
        last = data.draw(st.integers(wanted + 1, len(documents)))
        wanted = one.send(documents[first:last], first)
        if data.draw(st.booleans()):
            if data.draw(st.booleans()):
                one.callback.drain(10)
            one.consumer.close(0)
            one.callback.close(5)
            everything += one.reducing.emitted
            one.start(recipe)
    one.callback.drain(10)
    everything += one.reducing.emitted
    one.close()
    (run,) = kit.reduced_runs(kit.without_repetitions(everything))
    file.close()
    np.testing.assert_array_equal(run.column("frame_index"), np.arange(12))
    np.testing.assert_array_equal(run.curves(), kit.curves(recipe, images))
    np.testing.assert_array_equal(run.curves(stream="total")[0], kit.total(recipe, images))
    assert run.accounts["frames_reduced"] == 12


def test_a_restart_keeps_what_is_stored_and_reduces_the_rest(kit, service, raw_file, monkeypatch):
    images = kit.images(10)
    recipe, documents = kit.recipe(), fly_documents(kit, raw_file(images), 10)
    one = service(recipe, block=2)
    one.send(documents[:6])
    first = one.run()
    assert len(first.column("frame_index")) == 6
    one.consumer.close(0)
    one.callback.close(5)
    mapped = []
    original = kit.Reduction.map_block

    def noted(self, block):
        mapped.extend(range(block.first, block.first + len(block.images)))
        return original(self, block)

    monkeypatch.setattr(kit.Reduction, "map_block", noted)
    one.start(recipe)
    one.callback.drain(10)
    assert mapped == []
    assert one.send(documents[6:], 6) == len(documents)
    run = one.run()
    assert run.uid == first.uid
    assert mapped[:4] == [6, 7, 8, 9]
    np.testing.assert_array_equal(run.curves(), kit.curves(recipe, images))
    np.testing.assert_array_equal(run.curves(stream="total")[0], kit.total(recipe, images))


def test_a_restarted_server_uses_the_recipes_that_the_frames_had(kit, service, raw_file):
    images = kit.images(6)
    first, second, third = kit.recipe(12), kit.recipe(5), kit.recipe(9)
    documents = fly_documents(kit, raw_file(images), 6)
    one = service(first)
    one.send(documents[:4])
    one.consumer.set_recipe(second)
    one.send(documents[4:5], 4)
    one.consumer.close(0)
    one.callback.close(5)
    shutil.rmtree(one.folder / "spool" / "reduced")  # worst case: nothing of it was stored
    one.start(third)
    one.send(documents[5:], 5)
    run = one.run()
    np.testing.assert_array_equal(run.curves(), kit.curves(first, images[:2]))
    np.testing.assert_array_equal(run.curves(stream="primary_2"), kit.curves(second, images[2:4]))
    np.testing.assert_array_equal(run.curves(stream="primary_3"), kit.curves(third, images[4:]))


def test_a_mask_changed_during_a_restart_does_not_make_half_a_run(kit, service, raw_file, tmp_path):
    mask = tmp_path / "mask.npy"
    np.save(mask, np.zeros(kit.SHAPE, bool))
    recipe = kit.recipe(corrections=kit.corrections(mask=str(mask)))
    documents = fly_documents(kit, raw_file(kit.images(4)), 4)
    one = service(recipe)
    one.send(documents[:4])
    one.callback.drain(10)
    one.consumer.close(0)
    one.callback.close(5)
    shutil.rmtree(one.folder / "spool" / "reduced")
    np.save(mask, np.ones(kit.SHAPE, bool))
    one.start(kit.recipe())
    one.send(documents[4:], 4)
    accounts = one.run().accounts
    assert (accounts["frames_reduced"], accounts["frames_failed"]) == (2, 2)
    (cause,) = accounts["causes"]
    assert "the recipe of the interrupted run is gone" in cause


def test_a_journal_cut_off_in_the_middle_of_a_line_loses_only_that_line(kit, service, raw_file):
    images = kit.images(4)
    documents = fly_documents(kit, raw_file(images), 4)
    one = service()
    one.send(documents[:4])
    one.callback.drain(10)
    one.consumer.close(0)
    one.callback.close(5)
    for folder in ("raw", "reduced"):
        (path,) = (one.folder / "spool" / folder).iterdir()
        path.write_bytes(path.read_bytes() + b'{"document":["stream_da')
    one.start(kit.recipe())
    assert one.send(documents[4:], 4) == len(documents)
    np.testing.assert_array_equal(one.run().curves(), kit.curves(kit.recipe(), images))


def test_a_store_that_lost_documents_gets_them_again(kit, service, raw_file):
    documents = fly_documents(kit, raw_file(kit.images(2)), 2)
    problems = [RuntimeError("not stored to the end")]
    one = service()
    one.problems = problems
    one.send(documents)
    assert one.consumer.settle(20)
    names = [name for name, _ in one.reducing.emitted]
    assert names.count("stop") == 2
    assert len(kit.reduced_runs(kit.without_repetitions(one.reducing.emitted))) == 1


@pytest.mark.parametrize("there", [0, 5])
def test_a_server_that_is_stopped_leaves_its_backlog_to_the_next(
    kit, service, raw_file, monkeypatch, there
):
    images = kit.images(10)
    file = raw_file(images[:there])
    one = service(kit.recipe(), block=2, frame_timeout=60)
    one.send(fly_documents(kit, file, 10))
    while one.callback.accounts().reduced < there:
        time.sleep(0.01)
    one.consumer.close(0)
    one.callback.close(0.1)
    assert one.callback.accounts().failed == 0
    before = one.reducing.emitted
    file.append(images[there:])
    one.start(kit.recipe())
    one.callback.drain(30)
    (run,) = kit.reduced_runs(kit.without_repetitions(before + one.reducing.emitted))
    np.testing.assert_array_equal(run.curves(), kit.curves(kit.recipe(), images))
    assert run.accounts["frames_failed"] == 0


def test_the_journal_stays_until_the_store_has_everything(kit, service, raw_file):
    documents = fly_documents(kit, raw_file(kit.images(2)), 2)
    one = service()
    one.stored = False
    one.send(documents)
    one.callback.drain(10)
    assert not one.consumer.settle(0.1)
    assert one.consumer.open_runs
    one.stored = True
    assert one.consumer.settle(10)
    assert one.consumer.open_runs == ()
    assert list((one.folder / "spool" / "raw").iterdir()) == []
    assert list((one.folder / "spool" / "reduced").iterdir()) == []


def test_a_busy_callback_takes_nothing_and_loses_nothing(kit, service, raw_file, monkeypatch):
    images = kit.images(6)
    documents = fly_documents(kit, raw_file(images), 6)
    one = service()
    busy = [True, True, False]
    monkeypatch.setattr(
        ReductionCallback, "busy", property(lambda _: busy.pop(0) if busy else False)
    )
    forwarder = Forwarder(
        one.consumer.consume, limits=ForwarderLimits(first_retry=0.001, batch_documents=3)
    )
    for name, document in documents:
        forwarder(name, document)
    assert forwarder.flush(10)
    forwarder.close(1)
    np.testing.assert_array_equal(one.run().curves(), kit.curves(kit.recipe(), images))


def test_a_run_whose_stop_never_comes_can_be_ended(kit, service, raw_file):
    documents = fly_documents(kit, raw_file(kit.images(4)), 4)
    one = service()
    one.send(documents[:-1])
    (uid,) = one.consumer.open_runs
    one.consumer.abandon(uid, "the RunEngine is gone")
    run = one.run()
    assert run.stop["exit_status"] == "abort"
    assert run.stop["reason"] == "the RunEngine is gone"
    assert run.accounts["frames_reduced"] == 4


def test_a_uid_cannot_lead_out_of_the_spool(kit, service):
    one = service()
    start = {"uid": "../../../escaped", "time": 1.0}
    assert one.send([["start", start]]) == 1
    (path,) = (one.folder / "spool" / "raw").iterdir()
    assert "escaped" not in path.name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"version": 2, "run_uid": "a", "number": 0, "documents": []}',
        '{"version": 1, "run_uid": "a", "number": -1, "documents": []}',
        '{"version": 1, "run_uid": 5, "number": 0, "documents": []}',
        '{"version": 1, "run_uid": "a", "number": 0, "documents": [["start"]]}',
        '{"version": 1, "run_uid": "a", "number": 0, "documents": [["start", 1]]}',
        '{"version": 1, "run_uid": "a", "number": 0, "documents": [["stop", {}]]}',
        '{"version": 1, "run_uid": "a", "number": 0, "documents": [["start", {"uid": "b"}]]}',
    ],
)
def test_what_is_not_a_batch_is_refused(service, text):
    with pytest.raises(ValueError, match=r"batch|version|start"):
        service().consumer.consume(text)
