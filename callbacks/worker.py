"""A thread that handles whatever has come in the meantime, in order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Item = TypeVar("Item")


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
    merge:
        Puts the second item into the first, which still waits, and returns whether it could.
        Asked for items of the same key.
    key:
        What can be merged: items of equal key; None: never.
    """

    def __init__(
        self,
        name: str,
        handle: Callable[[list[Item]], None],
        *,
        bound: int | None = None,
        merge: Callable[[Item, Item], bool] | None = None,
        key: Callable[[Item], Hashable | None] = lambda _: None,
    ) -> None:
        self._handle, self._bound = handle, bound
        self._merge, self._key = merge, key
        self._waiting: list[Item] = []
        self._latest: dict[Hashable, Item] = {}
        self._changed = threading.Condition()
        self._put = self._done = self._taken = 0
        self._error: BaseException | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def put(self, item: Item, *, barrier: bool = False) -> None:
        """Hand over an item; ignored after :meth:`close`. Nothing merges across a barrier."""
        with self._changed:
            self._changed.wait_for(self._has_room)
            if barrier:
                self._latest.clear()
            if self._closing or self._merged(item):
                return
            self._waiting.append(item)
            self._put += 1
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
        """Whether :meth:`close` was called."""
        return self._closing

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
            return self._changed.wait_for(lambda: self._done >= goal, timeout)

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

    def _merged(self, item: Item) -> bool:
        key = self._key(item)
        if key is None or self._merge is None:
            return False
        latest = self._latest.get(key)
        if latest is not None and self._merge(latest, item):
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
            items, self._waiting = self._waiting, []
            self._latest.clear()
            self._changed.notify_all()
            return items
