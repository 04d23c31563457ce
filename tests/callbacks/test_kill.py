"""The service is killed with -9 at any instant: nothing is lost, nothing is doubled."""

import contextlib
import json
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from ringline.callbacks import Forwarder, ForwarderLimits, find_reduced, open_store, read_curves

SERVICE = Path(__file__).with_name("service_process.py")


class KilledService:
    """Starts the service again whenever it was killed; `send` fails while it is away."""

    def __init__(self, workspace, recipe):
        self._command = [sys.executable, str(SERVICE), str(workspace.directory), recipe.to_json()]
        self._lock = threading.Lock()
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._answer() == "ready"

    def _answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise ConnectionError("the service is gone")
        return line.strip()

    def send(self, text):
        with self._lock:
            try:
                self.process.stdin.write(json.dumps(text) + "\n")
                self.process.stdin.flush()
            except (OSError, ValueError) as error:
                raise ConnectionError("the service is gone") from error
            return self._answer()

    def kill(self):
        self.process.kill()
        self.process.wait()
        with self._lock:
            self._close_pipes()
            self.start()

    def end(self):
        with self._lock:
            self.process.stdin.write("end\n")
            self.process.stdin.flush()
            answer = json.loads(self._answer())
        self.process.wait(60)
        self._close_pipes()
        return answer["settled"]

    def _close_pipes(self):
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):  # what was never written to a dead process
                pipe.close()


INSTANTS = [
    ("journal written", 1),
    ("journal written", 4),
    ("curves written", 1),
    ("curves written", 3),
    ("record written", 1),
    ("record written", 2),
    ("record written", 4),
    ("document emitted", 1),
    ("document emitted", 6),
    ("total written", 1),
    ("run marked as ended", 1),
    ("spool deleted", 1),
]


@pytest.mark.parametrize(("instant", "times"), INSTANTS)
def test_a_service_that_dies_at_a_chosen_instant_goes_on_as_if_nothing_had_been(
    kit, tmp_path, raw_file, instant, times
):
    images, recipe = kit.images(8), kit.recipe()
    documents = []
    scan = kit.Scan(lambda name, doc: documents.append([name, dict(doc)]))
    scan.stream(det=kit.IMAGE)
    resource = scan.file("det", raw_file(images).uri)
    for start in range(0, 8, 2):
        scan.frames(resource, start, start + 2)
    scan.stop()
    batches = tmp_path / "batches.jsonl"
    batches.write_text("".join(json.dumps(document) + "\n" for document in documents))
    command = [sys.executable, str(SERVICE), "--die", str(tmp_path), recipe.to_json()]
    first = subprocess.run([*command, instant, str(times)], check=False, timeout=60)
    assert first.returncode == 77
    subprocess.run([*command, "never", "0"], check=True, timeout=60)
    emitted = [json.loads(line) for line in (tmp_path / "emitted.jsonl").read_text().splitlines()]
    (run,) = kit.reduced_runs(kit.without_repetitions(emitted))
    np.testing.assert_array_equal(run.column("frame_index"), np.arange(8))
    np.testing.assert_array_equal(run.curves(), kit.curves(recipe, images))
    np.testing.assert_array_equal(run.curves(stream="total")[0], kit.total(recipe, images))
    assert run.accounts["frames_reduced"] == 8
    assert list((tmp_path / "spool" / "reduced").iterdir()) == []
    assert list((tmp_path / "spool" / "raw").iterdir()) == []


def test_a_service_killed_again_and_again_ends_with_every_frame_once(
    kit, tmp_path, empty_catalogue
):
    chance, frames = random.Random(), 60
    workspace = kit.workspace(tmp_path / "work", empty_catalogue)
    images, recipe = kit.images(frames), kit.recipe()
    file = kit.RawFile(workspace.raw / "det.h5")
    service = KilledService(workspace, recipe)
    forwarder = Forwarder(service.send, limits=ForwarderLimits(first_retry=0.01, last_retry=0.1))
    scan = kit.Scan(forwarder)
    scan.stream(det=kit.IMAGE)
    resource = scan.file("det", file.uri)
    for start in range(0, frames, 4):
        file.append(images[start : start + 4])
        scan.frames(resource, start, start + 4)
        if start in {20, 40}:
            time.sleep(chance.uniform(0.0, 0.3))  # somewhere in the middle of the work
            service.kill()
    scan.stop()
    assert forwarder.flush(60)
    time.sleep(chance.uniform(0.0, 0.3))
    service.kill()
    assert service.end()
    forwarder.close(1)
    file.close()
    with open_store(workspace) as store:
        (run,) = find_reduced(store, raw_uid=scan.uid)
        accounts = run.metadata["stop"]["accounts"]
        curves, total = read_curves(run), run["total"].read()
        dataset = run["primary"].read()
    np.testing.assert_array_equal(curves.frame_index, np.arange(frames))
    np.testing.assert_array_equal(curves.intensity, kit.curves(recipe, images))
    np.testing.assert_array_equal(dataset["raw_seq_num"], np.arange(1, frames + 1))
    np.testing.assert_array_equal(total["intensity"][0], kit.total(recipe, images))
    assert (accounts["frames_seen"], accounts["frames_reduced"]) == (frames, frames)
    assert list((workspace.spool / "raw").iterdir()) == []
