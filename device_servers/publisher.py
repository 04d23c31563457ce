"""Change events for everything that is shown, at a rate that a screen can follow."""

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

import tango

from ringline.device_servers.reading import same

_log = logging.getLogger(__name__)

_SHORTEST_S = 0.04
"""25 events a second."""
_LONGEST_S = 0.5
"""Counts and rates change also without being told."""


class Publisher:
    """One thread that pushes what differs from what was pushed last.

    Only this thread pushes, and it holds no lock of ours meanwhile: a command that waits for our
    worker would otherwise wait for an event that waits for the command to leave the device.
    """

    def __init__(
        self, values: Callable[[], Mapping[str, Any]], push: Callable[[str, Any], None]
    ) -> None:
        self._values, self._push = values, push
        self._pushed: dict[str, Any] = {}
        self._wake, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="ringline-publisher", daemon=True)

    def start(self) -> None:
        """Begin to push."""
        self._thread.start()

    def wake(self) -> None:
        """There is something new. Any thread; returns at once."""
        self._wake.set()

    def close(self) -> None:
        """End the thread; it may be waiting for the device, so do not wait for ever."""
        self._closing.set()
        self._wake.set()
        self._thread.join(1.0)

    def _run(self) -> None:
        with tango.EnsureOmniThread():
            while not self._closing.wait(_SHORTEST_S):
                self._wake.wait(_LONGEST_S)
                self._wake.clear()
                if not self._closing.is_set():
                    self._push_changes()

    def _push_changes(self) -> None:
        for name, value in self._values().items():
            if name in self._pushed and same(self._pushed[name], value):
                continue
            try:
                self._push(name, value)
                self._pushed[name] = value
            except tango.DevFailed:
                _log.exception("event of %s not pushed", name)  # tried again at the next turn
