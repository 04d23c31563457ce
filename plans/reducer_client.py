"""Plain calls to an ``AzimuthalReducer``, for threads."""

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import tango

from ringline.processing import RecipeError

CALL_TIMEOUT_MS = 1000
SEND_TIMEOUT_MS = 3000
POLL = 0.01
_TIMED_OUT = "API_CommandTimedOut"


@dataclass(frozen=True, slots=True)
class Readiness:
    """What a plan asks the server before it opens a run."""

    state: str
    status: str
    recipe_digest: str
    readable_folders: tuple[Path, ...]


_READ = (
    *("intensity", "sigma", "frame_index", "pixels_rejected"),
    *("frames_reduced", "frames_failed", "recipe_digest"),
)


class ReducerClient:
    """Plain Tango calls, for threads; each ends within its time limit."""

    def __init__(self, trl: str) -> None:
        self.trl = trl
        self._proxies: dict[int, tango.DeviceProxy] = {}
        self._kept: dict[str, int] = {}

    def send(self, text: str) -> str:
        """Give documents to the reducer; its reply."""
        with tango.EnsureOmniThread():
            return str(self._proxy(SEND_TIMEOUT_MS).command_inout("Consume", text))

    def keep_events(self, attributes: Iterable[str], timeout: float) -> None:
        """Stay subscribed to changes of these attributes, for nothing.

        Connecting a signal subscribes and unsubscribes, after which Tango prints a complaint for
        every event that still comes, unless somebody takes them.
        """
        proxy, deadline = self._proxy(CALL_TIMEOUT_MS), time.monotonic() + timeout
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
            self._proxy(CALL_TIMEOUT_MS).ping()
        except tango.DevFailed:
            return False
        return True

    def pending(self) -> int | None:
        """Frames and documents not yet accounted for; None where it does not answer.

        ``lag``, not ``frames_pending``: a document that was delivered and not yet looked at may
        announce frames.
        """
        try:
            return int(self._proxy(CALL_TIMEOUT_MS).read_attribute("lag").value)
        except tango.DevFailed:
            return None

    def values(self) -> dict[str, Any] | None:
        """The readings; None where it does not answer."""
        try:
            attributes = self._proxy(CALL_TIMEOUT_MS).read_attributes(list(_READ))
            return {attribute.name: attribute.value for attribute in attributes}
        except tango.DevFailed:
            return None

    def readiness(self) -> Readiness:
        """See :class:`Readiness`."""
        try:
            proxy = self._proxy(SEND_TIMEOUT_MS)
            digest, folders = proxy.read_attributes(["recipe_digest", "readable_folders"])
            return Readiness(
                state=str(proxy.state()),
                status=proxy.status(),
                recipe_digest=str(digest.value),
                readable_folders=tuple(Path(folder) for folder in folders.value or ()),
            )
        except tango.DevFailed as error:
            raise RecipeError(
                f"reduction device {self.trl} does not answer: start it with `ringline serve` "
                f"({cause(error)})"
            ) from error

    def configure(self, settings: dict[str, object]) -> None:
        """Change settings all at once, or none of them."""
        self._command("Configure", json.dumps(settings))

    def load_poni(self, path: Path) -> None:
        """Take the geometry from a PONI file."""
        self._command("LoadPoni", str(path))

    def _command(self, name: str, argument: str) -> None:
        try:
            self._proxy(SEND_TIMEOUT_MS).command_inout(name, argument)
        except tango.DevFailed as error:
            raise RecipeError(cause(error)) from error

    def _proxy(self, timeout_ms: int) -> tango.DeviceProxy:
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
