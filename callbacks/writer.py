"""A callback which writes runs into a catalogue of the store, on its own thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ringline.callbacks.membership import Membership
from ringline.callbacks.uris import path_within
from ringline.callbacks.wire import snapshot
from ringline.callbacks.worker import Worker

if TYPE_CHECKING:
    from tiled.client.container import Container

    from ringline.callbacks.run_writer import LiveRunWriter


_REST, _LONGEST_REST = 3.0, 1.0
"""Pause between two flushes: in units of what the flush took, and at most, s."""


class StoreWriter:
    """Subscribe it to a RunEngine (``raw``) or give it as `emit` (``reduced``).

    A call only enqueues. Open runs can be read while they are written. Writing all documents of
    a derived run again does no harm. A run that cannot be written is given up, the others go on,
    and the first error is raised by :meth:`drain` and :meth:`close`.

    Parameters
    ----------
    container:
        The catalogue, ``store.raw`` or ``store.reduced``.
    readable:
        Folders which the store can read: ``store.readable``. A file elsewhere is refused, since
        the store would not read it back. None: not checked.
    bound:
        Most documents that wait; beyond it the caller waits: raw documents are not dropped.
    """

    def __init__(
        self,
        container: Container,
        *,
        readable: Sequence[Path] | None = None,
        bound: int = 100_000,
    ) -> None:
        self._container = container.include_data_sources()
        self._readable = None if readable is None else tuple(readable)
        self._runs: dict[str, tuple[Callable[[str, Any], None], LiveRunWriter]] = {}
        self._incomplete: set[str] = set()
        self._membership = Membership()
        self._worker: Worker[tuple[str, dict[str, Any]]] = Worker(
            "ringline-store", self._write, bound=bound
        )

    def __call__(self, name: str, document: Mapping[str, Any]) -> None:
        """Take one document."""
        self._worker.put((name, snapshot(document)), urgent=name == "stop")

    @property
    def waiting(self) -> int:
        """Documents not yet written."""
        return self._worker.waiting

    @property
    def error(self) -> BaseException | None:
        """The first error, which :meth:`drain` raises."""
        return self._worker.error

    def drain(self, timeout: float | None = None) -> None:
        """Wait until everything taken so far can be read from the store; raise the first error.

        Raises
        ------
        TimeoutError
            It was not done in time, s.
        FrameError
            A file lies outside the folders which the store can read.
        """
        self._worker.drain(timeout)

    def settle(self, timeout: float | None = None) -> None:
        """Wait like :meth:`drain`; an error counts only while a run is incomplete because of it.

        Raises
        ------
        TimeoutError
            It was not done in time, s.
        RuntimeError
            Runs were given up; they are complete when all their documents come again.
        """
        finished = self._worker.wait(timeout)
        if self._incomplete:
            raise RuntimeError(f"not stored to the end: runs {', '.join(sorted(self._incomplete))}")
        if not finished:
            raise TimeoutError(f"the store did not take all documents within {timeout} s")

    def clear_error(self) -> None:
        """Forget the error."""
        self._worker.clear_error()

    def close(self, timeout: float | None = 30.0) -> None:
        """Write what waits, end the thread, raise the first error."""
        finished = self._worker.close(timeout)
        if self._worker.error is not None:
            raise self._worker.error
        if not finished:
            raise TimeoutError(f"the store did not take all documents within {timeout} s")

    def _write(self, items: list[tuple[str, dict[str, Any]]]) -> None:
        for name, document in items:
            run = self._membership.run_of(name, document)
            if run is not None:
                self._attempt(run, partial(self._feed, run, name, document))
        started = time.monotonic()
        for run, (_, writer) in list(self._runs.items()):
            self._attempt(run, writer.flush)
        # A flush costs the same for one row and for a thousand, and the process has other work.
        self._worker.rest(min(_LONGEST_REST, _REST * (time.monotonic() - started)))

    def _attempt(self, run: str, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:  # one run must not take the others with it
            self._worker.fail(error)
            self._incomplete.add(run)
            self._runs.pop(run, None)

    def _feed(self, run: str, name: str, document: dict[str, Any]) -> None:
        if name == "start":
            self._runs[run] = self._open(document)
            self._incomplete.discard(run)
        if run not in self._runs:
            return  # given up
        self._runs[run][0](name, document)
        if name == "stop":
            del self._runs[run]
            self._membership.forget(run)

    def _open(self, start: dict[str, Any]) -> tuple[Callable[[str, Any], None], LiveRunWriter]:
        from ringline.callbacks.run_writer import locator, run_writer  # noqa: PLC0415 heavy

        folders = self._readable
        served = None if folders is None else (lambda path: path_within(path, folders))
        return run_writer(self._container, start, locator(served), self._worker.fail)
