"""Every document reaches the server once, whatever happens to the wire."""

import gc
import json
import threading
import time

import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.plans import count
from event_model import compose_run
from hypothesis import given
from hypothesis import strategies as st
from ophyd.sim import det

from ringline.callbacks import Forwarder, ForwarderLimits
from ringline.callbacks.wire import from_json

FAST = ForwarderLimits(first_retry=0.001, last_retry=0.005)


class Server:
    """Keeps the rules of the wire, and its own mind about when to answer."""

    def __init__(self, answers=()):
        self.runs, self.answers, self.batches = {}, list(answers), 0

    def __call__(self, text):
        batch = from_json(text)
        self.batches += 1
        answer = self.answers.pop(0) if self.answers else "ok"
        if answer == "down":
            raise ConnectionError("the server is away")
        if answer == "forgot":
            self.runs.pop(batch["run_uid"], None)
        stored = self.runs.setdefault(batch["run_uid"], [])
        if answer != "busy" and batch["number"] <= len(stored):
            stored += batch["documents"][len(stored) - batch["number"] :]
        if answer == "reply lost":
            raise TimeoutError("no answer")
        if answer == "nonsense":
            return "{"
        return json.dumps({"run_uid": batch["run_uid"], "next": len(stored)})


def run_documents(events=5):
    run = compose_run()
    descriptor = run.compose_descriptor(
        name="primary", data_keys={"x": {"source": "s", "dtype": "number", "shape": []}}
    )
    documents = [("start", run.start_doc), ("descriptor", descriptor.descriptor_doc)]
    for number in range(events):
        event = descriptor.compose_event(data={"x": number}, timestamps={"x": 0.1})
        documents.append(("event", event))
    return [*documents, ("stop", run.compose_stop())]


def stored(server, documents):
    return [(name, doc) for name, doc in server.runs[documents[0][1]["uid"]]]


@given(
    answers=st.lists(
        st.sampled_from(["ok", "down", "reply lost", "busy", "forgot", "nonsense"]), max_size=12
    ),
    batch=st.integers(1, 4),
)
def test_every_document_arrives_once_and_in_order(answers, batch):
    server, documents = Server(answers), run_documents()
    limits = ForwarderLimits(batch_documents=batch, first_retry=0.0005, last_retry=0.001)
    forwarder = Forwarder(server, limits=limits)
    for name, document in documents:
        forwarder(name, document)
    assert forwarder.flush(20)
    assert stored(server, documents) == documents
    assert forwarder.pending == 0
    forwarder.close(1)


def test_the_run_engine_is_not_slowed_or_failed_by_a_dead_server(loop):
    forwarder = Forwarder(Server(["down"] * 10**6), limits=FAST)
    engine = RunEngine(context_managers=[], loop=loop)
    engine.subscribe(forwarder)
    gc.collect()
    started = time.monotonic()
    engine(count([det], 20))
    assert time.monotonic() - started < 5
    assert forwarder.pending == 23
    assert isinstance(forwarder.last_error, ConnectionError)
    assert not forwarder.close(0.01)


def test_a_call_takes_microseconds_while_send_hangs():
    release = threading.Event()
    forwarder = Forwarder(lambda _: release.wait(30) and None)
    documents = run_documents(200)
    started = time.perf_counter()
    for name, document in documents:
        forwarder(name, document)
    each = (time.perf_counter() - started) / len(documents)
    release.set()
    forwarder.close(0.01)
    assert each < 1e-3  # about 20 us; machines that run tests are shared


def test_delivery_goes_on_when_the_server_is_back():
    server, documents = Server(["ok", "down", "down", "down"]), run_documents()
    forwarder = Forwarder(server, limits=FAST)
    for name, document in documents:
        forwarder(name, document)
    assert forwarder.flush(10)
    assert stored(server, documents) == documents
    assert forwarder.last_error is None
    forwarder.close(1)


def test_a_server_that_lost_everything_gets_everything_again():
    server, documents = Server(), run_documents()
    forwarder = Forwarder(server, limits=FAST)
    for name, document in documents[:4]:
        forwarder(name, document)
    assert forwarder.flush(10)
    server.runs.clear()
    for name, document in documents[4:]:
        forwarder(name, document)
    assert forwarder.flush(10)
    assert stored(server, documents) == documents
    forwarder.close(1)


@pytest.mark.parametrize("purpose", ["reduction", "calibration exposure"])
def test_runs_that_are_not_to_be_reduced_are_not_sent(purpose):
    server, forwarder = Server(), None
    forwarder = Forwarder(server, limits=FAST)
    run = compose_run(metadata={"purpose": purpose})
    forwarder("start", run.start_doc)
    forwarder("stop", run.compose_stop())
    assert forwarder.flush(10)
    assert server.batches == 0
    forwarder.close(1)


def test_arrays_keep_their_type_and_documents_are_as_they_were_when_they_came():
    server = Server(["down"] * 20)
    forwarder = Forwarder(server, limits=FAST)
    run = compose_run(metadata={"big": 2**60, "small": np.float32(0.5), "nan": float("nan")})
    image = np.arange(6, dtype=">u2").reshape(2, 3)
    start = {**run.start_doc, "image": image, "nested": {"list": [1]}}
    forwarder("start", start)
    image[:] = 0
    start["nested"]["list"].append(2)
    forwarder("stop", run.compose_stop())
    assert forwarder.flush(10)
    _, sent = server.runs[run.start_doc["uid"]][0]
    np.testing.assert_array_equal(sent["image"], np.arange(6).reshape(2, 3))
    assert sent["image"].dtype == np.dtype(">u2")
    assert sent["nested"] == {"list": [1]}
    assert sent["big"] == 2**60
    assert sent["small"] == 0.5
    assert np.isnan(sent["nan"])
    forwarder.close(1)


def test_batches_keep_to_their_size():
    sizes = []
    server = Server()

    def send(text):
        sizes.append(len(text))
        return server(text)

    limits = ForwarderLimits(batch_bytes=2000, first_retry=0.001)
    forwarder = Forwarder(send, limits=limits)
    documents = run_documents(50)
    for name, document in documents:
        forwarder(name, document)
    assert forwarder.flush(10)
    assert max(sizes) < 2500
    assert stored(server, documents) == documents
    forwarder.close(1)


def test_overlapping_runs_are_kept_apart():
    server, forwarder = Server(), None
    forwarder = Forwarder(server, limits=FAST)
    runs = [run_documents(3), run_documents(3)]
    for pair in zip(*runs, strict=True):
        for name, document in pair:
            forwarder(name, document)
    assert forwarder.flush(10)
    for documents in runs:
        assert stored(server, documents) == documents
    forwarder.close(1)


@pytest.mark.parametrize("timeout", [0.0, 0.05])
def test_flush_says_when_the_time_was_not_enough(timeout):
    forwarder = Forwarder(Server(["down"] * 10**6), limits=FAST)
    forwarder("start", compose_run().start_doc)
    assert not forwarder.flush(timeout)
    forwarder.close(0.01)
