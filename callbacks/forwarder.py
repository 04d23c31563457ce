"""The RunEngine's side of the service way: send every document, lose none, wait for nobody."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ringline.callbacks.documents import to_be_reduced
from ringline.callbacks.membership import Membership
from ringline.callbacks.wire import snapshot, to_json

WIRE_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwarderLimits:
    """Sizes of batches and times between attempts."""

    batch_documents: int = 500
    batch_bytes: int = 4_000_000
    first_retry: float = 0.05
    """s."""
    last_retry: float = 2.0
    """Longest pause between two attempts, s."""


@dataclass(slots=True)
class _Run:
    """Documents of one run which the server may still ask for."""

    uid: str
    documents: list[str] = field(default_factory=list)
    acknowledged: int = 0
    stopped: bool = False

    @property
    def finished(self) -> bool:
        return self.stopped and self.acknowledged == len(self.documents)

    def batch(self, limits: ForwarderLimits) -> str:
        """Return the next batch as the server expects it."""
        texts: list[str] = []
        size = 0
        for text in itertools.islice(self.documents, self.acknowledged, None):
            if texts and size + len(text) > limits.batch_bytes:
                break
            texts.append(text)
            size += len(text)
            if len(texts) == limits.batch_documents:
                break
        head = f'{{"version":{WIRE_VERSION},"run_uid":{json.dumps(self.uid)},"number":'
        return f'{head}{self.acknowledged},"documents":[{",".join(texts)}]}}'


class Forwarder:
    """Subscribe it to a RunEngine; its own thread sends the documents through `send`.

    Every document of a run is kept until the server has acknowledged the run's stop, and is sent
    again from wherever the server asks: also from the beginning, to a server which lost its disk.
    A failing `send` is tried again for ever; the RunEngine never notices.

    Parameters
    ----------
    send:
        Takes JSON text, returns the server's JSON reply; any exception means "not delivered".
    limits:
        Sizes of batches and times between attempts.
    """

    def __init__(
        self, send: Callable[[str], str], *, limits: ForwarderLimits | None = None
    ) -> None:
        self._send, self._limits = send, limits or ForwarderLimits()
        self._inbox: deque[tuple[str, dict[str, Any]]] = deque()
        self._runs: dict[str, _Run] = {}
        self._membership, self._ignored = Membership(), set[str]()
        self._changed = threading.Condition()
        self._unacknowledged = 0
        self._last_error: Exception | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="ringline-forwarder", daemon=True)
        self._thread.start()

    def __call__(self, name: str, document: Mapping[str, Any]) -> None:
        """Take one document. Returns after microseconds and never raises."""
        copied = snapshot(document)
        with self._changed:
            if self._closing:
                return
            self._inbox.append((name, copied))
            self._unacknowledged += 1
            self._changed.notify_all()

    @property
    def pending(self) -> int:
        """Documents that the server has not acknowledged."""
        with self._changed:
            return self._unacknowledged

    @property
    def last_error(self) -> Exception | None:
        """Why the last attempt failed; None when it succeeded."""
        return self._last_error

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything taken so far is acknowledged; False when the time is up."""
        with self._changed:
            return self._changed.wait_for(lambda: self._unacknowledged == 0, timeout)

    def close(self, timeout: float = 5.0) -> bool:
        """Deliver what is open as far as the time allows, then stop. Return whether all was."""
        delivered = self.flush(timeout)
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout=0.5)  # it may hang in `send`, and is a daemon
        return delivered

    def _work(self) -> None:
        pause = self._limits.first_retry
        while self._wait_for_work():
            self._sort_in()
            progress = [self._deliver(run) for run in self._open_runs()]
            if all(progress):
                pause = self._limits.first_retry
            else:
                self._sleep(pause)
                pause = min(2 * pause, self._limits.last_retry)

    def _wait_for_work(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self._unacknowledged > 0)
            return not self._closing

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        with self._changed:
            self._changed.wait_for(lambda: self._closing, max(0.0, until - time.monotonic()))

    def _open_runs(self) -> list[_Run]:
        return [run for run in self._runs.values() if run.acknowledged < len(run.documents)]

    def _sort_in(self) -> None:
        with self._changed:
            taken = list(self._inbox)
            self._inbox.clear()
        unwanted = sum(not self._keep(name, document) for name, document in taken)
        self._forget(unwanted)

    def _keep(self, name: str, document: dict[str, Any]) -> bool:
        """Put a document at the end of its run; False when it belongs to none that is sent."""
        try:
            uid = self._membership.run_of(name, document)
        except (KeyError, TypeError):  # no document of ours to judge
            return False
        if name == "start" and uid is not None:
            # What was reduced is not reduced again, what calibrates not at all.
            if not to_be_reduced(document):
                self._ignored.add(uid)
            else:
                self._runs[uid] = _Run(uid)
        if uid is None or uid in self._ignored or uid not in self._runs:
            if name == "stop" and uid is not None:
                self._ignored.discard(uid)
                self._membership.forget(uid)
            return False
        run = self._runs[uid]
        run.documents.append(to_json([name, document]))
        run.stopped = run.stopped or name == "stop"
        return True

    def _deliver(self, run: _Run) -> bool:
        """Send one batch; False when there was no progress."""
        text = run.batch(self._limits)
        try:
            wanted = _wanted(self._send(text), run)
        except Exception as error:  # whatever `send` raises: the server will be back
            self._last_error = error
            return False
        self._last_error = None
        before = run.acknowledged
        run.acknowledged = min(wanted, len(run.documents))
        if run.finished:
            del self._runs[run.uid]
            self._membership.forget(run.uid)
        self._forget(run.acknowledged - before)
        return run.acknowledged != before

    def _forget(self, count: int) -> None:
        with self._changed:
            self._unacknowledged -= count
            self._changed.notify_all()


def _wanted(reply: str, run: _Run) -> int:
    answer = json.loads(reply)
    if answer["run_uid"] != run.uid or not isinstance(answer["next"], int) or answer["next"] < 0:
        raise ValueError(f"unexpected reply of the reduction server: {reply[:200]}")
    return int(answer["next"])
