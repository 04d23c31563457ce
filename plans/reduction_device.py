"""The reducer as plans see it: settings to move, results to read, a trigger that waits for them."""

import asyncio
import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
import tango
from bluesky.protocols import Reading, Triggerable
from event_model import DataKey
from ophyd_async.core import (
    DEFAULT_TIMEOUT,
    Array1D,
    AsyncStatus,
    LazyMock,
    NotConnectedError,
    SignalR,
    SignalRW,
    StandardReadable,
)
from ophyd_async.tango.core import TangoDevice

from ringline.callbacks import Forwarder
from ringline.plans.reducer_client import Readiness, ReducerClient
from ringline.plans.tango_client import POLL, cause

DEAD_SERVER_WAIT = 4.5
"""Seconds without a sign of life after which a wait gives up."""

_log = logging.getLogger(__name__)


class ReductionDevice(TangoDevice, StandardReadable, Triggerable):
    """An ``AzimuthalReducer``: its settings and results as signals.

    Reading gives the newest curve and the counts; ``trigger`` waits until every frame announced
    before is reduced, so that a plan can act on the result of the frame that it has just saved.

    A server that dies does not hold a plan up: a wait ends after 5 s at most, and readings then
    repeat the last known values with ``up_to_date`` false.

    Parameters
    ----------
    trl:
        Of the device: ``tango://HOST:PORT/ringline/azimuthal/1``, or without host for the
        database at ``TANGO_HOST``.
    name:
        Of this device in documents.
    forwarder:
        What carries documents to the server; None: one on the device's command ``Consume``.
    """

    radial: SignalR[Array1D[np.float64]]
    intensity: SignalR[Array1D[np.float64]]
    sigma: SignalR[Array1D[np.float64]]
    std: SignalR[Array1D[np.float64]]
    azimuth: SignalR[Array1D[np.float64]]
    frame_index: SignalR[int]
    pixels_rejected: SignalR[int]
    frames_seen: SignalR[int]
    frames_reduced: SignalR[int]
    frames_dropped: SignalR[int]
    frames_failed: SignalR[int]
    frames_pending: SignalR[int]
    recipe_digest: SignalR[str]
    engine_used: SignalR[str]
    reduced_uid: SignalR[str]
    last_error: SignalR[str]
    radial_bins: SignalRW[int]
    azimuthal_bins: SignalRW[int]
    distance: SignalRW[float]
    poni1: SignalRW[float]
    poni2: SignalRW[float]
    energy: SignalRW[float]

    def __init__(
        self, trl: str, name: str = "reduction", forwarder: Forwarder | None = None
    ) -> None:
        self._server = ReducerClient(trl)
        self._forwarder = forwarder
        self.up_to_date = True
        """Whether the last trigger found everything reduced."""
        self._last: dict[str, Reading[Any]] = {}
        self._lengths: dict[str, int] = {}
        super().__init__(trl=trl, support_events=True, auto_fill_signals=False, name=name)

    @property
    def forwarder(self) -> Forwarder:
        """Subscribe it to a RunEngine, unless plans are wrapped: those subscribe it themselves."""
        if self._forwarder is None:
            self._forwarder = Forwarder(self._server.send)
        return self._forwarder

    async def readiness(self) -> Readiness:
        """State, recipe and folders of the server.

        Raises
        ------
        RecipeError:
            The server does not answer.
        """
        return await asyncio.to_thread(self._server.readiness)

    async def configure(self, settings: dict[str, object]) -> None:
        """Change settings all at once, or none of them: the device's ``Configure``.

        Raises
        ------
        RecipeError:
            The device refuses them; the message is its own.
        """
        await asyncio.to_thread(self._server.configure, settings)

    async def load_poni(self, path: Path) -> None:
        """Take the geometry from a PONI file: the device's ``LoadPoni``.

        Raises
        ------
        RecipeError:
            The device refuses it; the message is its own.
        """
        await asyncio.to_thread(self._server.load_poni, path)

    @AsyncStatus.wrap
    async def trigger(self) -> None:
        """Wait until the frames of all documents so far are reduced, or the server is dead."""
        self.up_to_date = await self._catch_up()
        if not self.up_to_date:
            _log.warning(
                "%s does not keep up (%s): the run goes on, its documents are kept and delivered "
                "when it answers", self._server.trl, self.forwarder.last_error,
            )  # fmt: skip

    async def describe(self) -> dict[str, DataKey]:
        """Keys of :meth:`read`; the curve's length is that of the recipe in force now."""
        values = await asyncio.to_thread(self._server.values)
        self._lengths.clear()
        self._remember(values)
        curves = {name: reading["value"] for name, reading in self._last.items()}
        self._lengths = {k: len(v) for k, v in curves.items() if isinstance(v, np.ndarray)}
        return {
            self._key(name): _data_key(f"{self._server.trl}/{name}", reading["value"])
            for name, reading in self._readings().items()
        }

    async def read(self) -> dict[str, Reading[Any]]:
        """Newest curve and counts; the last known ones where the server does not answer."""
        self._remember(await asyncio.to_thread(self._server.values))
        return {self._key(name): reading for name, reading in self._readings().items()}

    @property
    def hints(self) -> dict[str, list[str]]:  # type: ignore[override]
        """What live tables show."""
        return {"fields": [self._key("frames_reduced"), self._key("frames_failed")]}

    async def connect(
        self,
        mock: bool | LazyMock[Any] = False,  # noqa: FBT001, FBT002  # ophyd-async's signature
        timeout: float = DEFAULT_TIMEOUT,
        force_reconnect: bool = False,  # noqa: FBT001, FBT002
    ) -> None:
        """Connect to the server and remember its present readings."""
        if not mock:
            await asyncio.to_thread(self._keep_events, timeout)
        await super().connect(mock, timeout, force_reconnect)
        if not mock:
            self._remember(await asyncio.to_thread(self._server.values))

    async def disconnect(self) -> None:
        """End the subscriptions; the forwarder goes on until it is closed.

        Tango looks for the server of a subscription for ever, and while one does not answer at
        all (its host is off, or another program has its port) no other device can be connected.
        """
        await asyncio.to_thread(self._server.forget_events)

    def _keep_events(self, timeout: float) -> None:
        try:
            self._server.keep_events((name for name, _ in self.children()), timeout)
        except tango.DevFailed as error:
            raise NotConnectedError(f"{self._server.trl}: {cause(error)}") from error

    async def _catch_up(self) -> bool:
        alive = time.monotonic()
        while True:
            patience = alive + DEAD_SERVER_WAIT - time.monotonic()
            try:
                pending = await asyncio.wait_for(asyncio.to_thread(self._open_frames), patience)
            except TimeoutError:
                return False
            if pending == 0:
                return True
            if pending is not None:
                alive = time.monotonic()
            await asyncio.sleep(POLL)

    def _open_frames(self) -> int | None:
        """Frames not yet accounted for; None where the server gives no sign of life."""
        if not self.forwarder.flush(timeout=POLL):
            return None if self.forwarder.last_error or not self._server.answers() else 1
        return self._server.pending()

    def _key(self, name: str) -> str:
        return f"{self.name}-{name}"

    def _remember(self, values: dict[str, Any] | None) -> None:
        now = time.time()
        for name, value in (values or {}).items():
            self._last[name] = Reading(value=self._as_described(name, value), timestamp=now)

    def _as_described(self, name: str, value: Any) -> Any:
        """``value``, or NaN where a recipe changed within a run made a curve of another length.

        A stream has one shape; the reduced run, which opens a new stream, holds the curve.
        """
        length = self._lengths.get(name)
        if not isinstance(value, np.ndarray) or length in (None, len(value)):
            return value
        return np.full(length, np.nan)

    def _readings(self) -> dict[str, Reading[Any]]:
        truth: Reading[Any] = Reading(value=self.up_to_date, timestamp=time.time())
        return {**self._last, "up_to_date": truth}


def _data_key(source: str, value: object) -> DataKey:
    match value:
        case np.ndarray():
            key = DataKey(source=source, dtype="array", shape=list(value.shape))
            key["dtype_numpy"] = value.dtype.str
            return key
        case bool():
            return DataKey(source=source, dtype="boolean", shape=[])
        case int():
            return DataKey(source=source, dtype="integer", shape=[])
    return DataKey(source=source, dtype="string", shape=[])
