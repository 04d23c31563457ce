"""Plain calls to a Tango device, for threads."""

import json
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import tango

from ringline.processing import RecipeError

CALL_TIMEOUT_MS = 1000
SEND_TIMEOUT_MS = 3000
POLL = 0.01
_TIMED_OUT = "API_CommandTimedOut"
_BUSY = "Ringline_Busy"


class DeviceBusyError(RecipeError):
    """The device does something else, or goes on with what it was asked for."""


class TangoClient:
    """Plain Tango calls, for threads; each ends within its time limit."""

    def __init__(self, trl: str) -> None:
        self.trl = trl
        self._proxies: dict[int, tango.DeviceProxy] = {}
        self._kept: dict[str, int] = {}

    def keep_events(self, attributes: Iterable[str], timeout: float) -> None:
        """Stay subscribed to changes of these attributes, for nothing.

        Connecting a signal subscribes and unsubscribes, after which Tango prints a complaint for
        every event that still comes, unless somebody takes them.
        """
        proxy, deadline = self.proxy(CALL_TIMEOUT_MS), time.monotonic() + timeout
        for name in set(attributes) - self._kept.keys():
            subscribe = partial(proxy.subscribe_event, name, tango.EventType.CHANGE_EVENT, _ignore)
            self._kept[name] = _patiently(subscribe, deadline)

    def forget_events(self) -> None:
        """End these subscriptions: Tango keeps looking for a server as long as there is one."""
        proxy, kept = self._proxies.pop(CALL_TIMEOUT_MS, None), self._kept
        self._kept = {}
        with tango.EnsureOmniThread():
            for number in kept.values():
                try:
                    proxy.unsubscribe_event(number)
                except tango.DevFailed as error:
                    if error.args[0].reason != _TIMED_OUT:
                        raise
                    # PyTango knows this one no more, so it cannot be asked again; it and the rest
                    # end with the proxy, which nobody holds from here on.
                    break

    def answers(self) -> bool:
        """Whether it gives a sign of life."""
        try:
            self.proxy(CALL_TIMEOUT_MS).ping()
        except tango.DevFailed:
            return False
        return True

    def read(self, names: Iterable[str]) -> dict[str, Any] | None:
        """Attributes by name; None where it does not answer."""
        try:
            attributes = self.proxy(CALL_TIMEOUT_MS).read_attributes(list(names))
            return {attribute.name: attribute.value for attribute in attributes}
        except tango.DevFailed:
            return None

    def configure(self, settings: dict[str, object]) -> None:
        """Change settings all at once, or none of them."""
        self.command("Configure", json.dumps(settings))

    def command(self, name: str, *argument: str) -> None:
        """Call a command.

        Raises
        ------
        RecipeError:
            The device refuses it; the message is its own. DeviceBusyError where it is busy.
        """
        try:
            self.proxy(SEND_TIMEOUT_MS).command_inout(name, *argument)
        except tango.DevFailed as error:
            busy = bool(error.args) and error.args[0].reason == _BUSY
            raise (DeviceBusyError if busy else RecipeError)(cause(error)) from error

    def proxy(self, timeout_ms: int) -> tango.DeviceProxy:
        """A proxy whose calls end within this time."""
        if timeout_ms not in self._proxies:
            proxy = tango.DeviceProxy(self.trl)
            proxy.set_timeout_millis(timeout_ms)
            self._proxies[timeout_ms] = proxy
        return self._proxies[timeout_ms]


def _patiently(subscribe: Callable[[], int], deadline: float) -> int:
    """The number of a subscription.

    All subscriptions of a process wait for each other, for seconds while Tango looks for any
    server that has died or hangs.
    """
    with tango.EnsureOmniThread():
        while True:
            try:
                return subscribe()
            except tango.DevFailed as error:
                if error.args[0].reason != _TIMED_OUT or time.monotonic() > deadline:
                    raise


def _ignore(_event: object) -> None:
    """Take an event."""


def cause(error: tango.DevFailed) -> str:
    """The first description of a Tango error, on one line."""
    return " ".join(str(error.args[0].desc).split()) if error.args else str(error)
