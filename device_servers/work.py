"""What a device knows, and the one worker that does its long work."""

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from concurrent.futures import TimeoutError as StillRunning
from dataclasses import replace
from typing import Any, Generic, TypeVar

import tango

from ringline.device_servers.errors import REFUSALS, BusyError
from ringline.device_servers.known import Known
from ringline.device_servers.setting import Setting

_log = logging.getLogger(__name__)

PATIENCE_S = 2.0
"""A command answers within this: a Tango client gives up after 3 s."""

F = TypeVar("F", bound=Known)


class Work(Generic[F]):
    """Facts that change as a whole, from any thread, and one worker.

    Parameters
    ----------
    facts:
        What is known at the start.
    changed:
        Called, from any thread and with no lock held, when there is something new to show.
    """

    def __init__(self, facts: F, changed: Callable[[], None]) -> None:
        self._facts, self._changed = facts, changed
        self._lock = threading.Lock()  # of the facts; held for assignments only
        self._newest: Future[Any] = Future()
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ringline-worker")

    def remember_error(self, message: str) -> None:
        """Show a refusal."""
        self._show(last_error=message)

    def _set(self, setting: Setting, value: object, names: Collection[str]) -> None:
        """Set one setting, which is as good as setting all of `names`."""
        with self._lock:
            settings = setting.changed(self._facts.settings, value)
            forgotten = _without(self._facts.forgotten, names)
            self._facts = replace(self._facts, settings=settings, forgotten=forgotten)
        self._changed()

    def _put(self, settings: object, names: Collection[str]) -> None:
        """Put settings in force, of which `names` were given; to be shown by the caller."""
        with self._lock:
            forgotten = _without(self._facts.forgotten, names)
            self._facts = replace(self._facts, settings=settings, forgotten=forgotten)

    def _show(self, **changes: Any) -> None:
        """Change readings."""
        with self._lock:
            self._facts = replace(self._facts, readings=replace(self._facts.readings, **changes))
        self._changed()

    def _know(self, **changes: Any) -> None:
        """Change facts."""
        with self._lock:
            self._facts = replace(self._facts, **changes)
        self._changed()

    def _submit(self, job: Callable[..., Any], *arguments: Any, busy: str = "") -> Future[Any]:
        self._newest = self._worker.submit(self._guarded, job, arguments, busy)
        return self._newest

    def _guarded(self, job: Callable[..., Any], arguments: tuple[Any, ...], busy: str) -> Any:
        self._know(busy=busy)
        try:
            with tango.EnsureOmniThread():  # a job may talk to another device
                return job(*arguments)
        except REFUSALS as error:
            self._show(last_error=str(error))
            raise
        except Exception as error:
            _log.exception("unexpected error in the worker")
            self._know(failure=f"unexpected {type(error).__name__}: {error}")
            raise
        finally:
            self._know(busy="")

    def _end_work(self) -> None:
        """Stop the worker; work under way is not waited for for ever."""
        self._worker.shutdown(wait=False, cancel_futures=True)
        wait([self._newest], PATIENCE_S)

    @staticmethod
    def _wait(work: Future[Any], busy: str) -> Any:
        """What a job returns; BusyError, with what to do then, where it takes long."""
        try:
            return work.result(timeout=PATIENCE_S)
        except StillRunning:
            raise BusyError(busy) from None


def _without(mapping: Mapping[str, str], names: Collection[str]) -> dict[str, str]:
    """A mapping without some of its names."""
    return {name: value for name, value in mapping.items() if name not in names}
