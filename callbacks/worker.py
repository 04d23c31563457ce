"""A thread that handles whatever has come in the meantime, in order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Merging(Generic[Item]):
    """How items that wait become fewer."""

    key: Callable[[Item], Hashable | None]
    """Items of equal key may be merged; None: never."""
    merge: Callable[[Item, Item], bool]
    """Puts the second item into the first, which still waits; returns whether it could."""


class Worker(Generic[Item]):
    """Items go in from any thread; one daemon thread hands all that wait to `handle`, as a list.

    The slower the handler, the longer the lists: cost per list is paid less often when behind.
    An exception from `handle` is kept and raised by :meth:`drain`; the thread goes on.

    Parameters
    ----------
    name:
        Of the thread.
    handle:
        Takes the list of items.
    bound:
        Most items that wait; :meth:`put` blocks beyond it. None: no bound.
    merging:
        How items that wait become fewer; None: they do not.
    """

    def __init__(
        self,
        name: str,
        handle: Callable[[list[Item]], None],
        *,
        bound: int | None = None,
        merging: Merging[Item] | None = None,
    ) -> None:
        self._handle, self._bound, self._merging = handle, bound, merging
        self._waiting: list[Item] = []
        self._latest: dict[Hashable, Item] = {}
        self._changed = threading.Condition()
        self._put = self._done = 0
        self._rest_until = 0.0
        self._hurried = 0
        self._error: BaseException | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def put(self, item: Item, *, barrier: bool = False, urgent: bool = False) -> None:
        """Hand over an item; ignored after :meth:`close`.

        Nothing merges across a barrier, and what is urgent ends a :meth:`rest`.
        """
        with self._changed:
            self._changed.wait_for(self._has_room)
            if barrier:
                self._latest.clear()
            if self._closing or self._merged(item):
                return
            self._waiting.append(item)
            self._put += 1
            if urgent:
                self._rest_until = 0.0
            self._changed.notify_all()

    @property
    def waiting(self) -> int:
        """Items which are not handled."""
        with self._changed:
            return self._put - self._done

    @property
    def error(self) -> BaseException | None:
        """The first exception that `handle` or :meth:`fail` left."""
        return self._error

    @property
    def closing(self) -> bool:
        """Whether :meth:`close` has stopped waiting."""
        return self._closing

    @property
    def ended(self) -> bool:
        """Whether the thread has ended."""
        return not self._thread.is_alive()

    def rest(self, seconds: float) -> None:
        """Let items gather before the next list, unless somebody waits for them."""
        self._rest_until = time.monotonic() + seconds

    def fail(self, error: BaseException) -> None:
        """Keep an error for :meth:`drain`, unless there is one."""
        with self._changed:
            self._error = self._error or error

    def clear_error(self) -> None:
        """Forget the error."""
        with self._changed:
            self._error = None

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until everything put before is handled; False when the time is up."""
        with self._changed:
            goal = self._put
            self._hurried += 1
            self._changed.notify_all()
            try:
                return self._changed.wait_for(lambda: self._done >= goal, timeout)
            finally:
                self._hurried -= 1

    def drain(self, timeout: float | None = None) -> None:
        """Wait like :meth:`wait`, then raise the error that was kept.

        Raises
        ------
        TimeoutError
            The time is up.
        """
        finished = self.wait(timeout)
        if self._error is not None:
            raise self._error
        if not finished:
            raise TimeoutError(f"{self._thread.name}: {self.waiting} items left after {timeout} s")

    def close(self, timeout: float | None = None) -> bool:
        """Handle what waits, then end the thread; False when the time was not enough."""
        started = time.monotonic()
        finished = self.wait(timeout)
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            left = None if timeout is None else max(0.5, timeout - (time.monotonic() - started))
            self._thread.join(left)
        return finished

    def _has_room(self) -> bool:
        own = threading.current_thread() is self._thread
        return own or self._closing or self._bound is None or len(self._waiting) < self._bound

    def _may_go_on(self) -> bool:
        full = self._bound is not None and len(self._waiting) >= self._bound
        resting = time.monotonic() < self._rest_until
        return bool(self._closing or self._hurried or full or not resting)

    def _merged(self, item: Item) -> bool:
        key = None if self._merging is None else self._merging.key(item)
        if self._merging is None or key is None:
            return False
        latest = self._latest.get(key)
        if latest is not None and self._merging.merge(latest, item):
            return True
        self._latest[key] = item
        return False

    def _work(self) -> None:
        while items := self._take():
            try:
                self._handle(items)
            except Exception as error:  # shown by drain
                self.fail(error)
            with self._changed:
                self._done += len(items)
                self._changed.notify_all()

    def _take(self) -> list[Item]:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            while not self._may_go_on():
                self._changed.wait(self._rest_until - time.monotonic())
            items, self._waiting = self._waiting, []
            self._latest.clear()
            self._changed.notify_all()
            return items
