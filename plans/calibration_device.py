"""The calibrator as plans see it: settings, results, and a calibration to wait for."""

import asyncio
import time
from contextlib import suppress
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

from ringline.plans.calibrator_client import (
    CalibrationOutcome,
    CalibratorClient,
    CalibratorReadiness,
)
from ringline.plans.tango_client import DeviceBusyError, cause
from ringline.processing import RecipeError

DEAD_SERVER_WAIT = 4.5
"""Seconds without a sign of life after which a wait gives up."""
LONGEST_CALIBRATION = 600.0
"""Seconds after which a calibration that goes on is not waited for."""
ACCEPTING_LIMIT = 5.0
"""Seconds in which a calibration must be in force after it was accepted."""
_POLL = 0.05
_UNITS = {
    **dict.fromkeys(("distance", "poni1", "poni2"), "m"),
    **dict.fromkeys(("rot1", "rot2", "rot3"), "rad"),
    "wavelength": "angstrom",
}


class CalibrationDevice(TangoDevice, StandardReadable, Triggerable):
    """A ``GeometryCalibrator``: its settings and results as signals.

    Reading gives the geometry that was found last, with its verdict and the calibration that is in
    force; ``trigger`` calibrates the image that is set, and waits for the verdict.

    ``drift_alarm`` says whether reduced frames show the detector elsewhere than it was calibrated:
    ``SuspendOnDrift`` lets plans wait for it.

    A server that dies does not hold a plan up: a wait ends after 5 s without a sign of life.

    Parameters
    ----------
    trl:
        Of the device: ``tango://HOST:PORT/ringline/calibrator/1``, or without host for the
        database at ``TANGO_HOST``.
    name:
        Of this device in documents.
    """

    calibrant: SignalRW[str]
    energy: SignalRW[float]
    image: SignalRW[str]
    watch_period: SignalRW[float]
    progress: SignalR[float]
    step: SignalR[str]
    verdict: SignalR[str]
    accepted: SignalR[bool]
    distance: SignalR[float]
    poni1: SignalR[float]
    poni2: SignalR[float]
    rot1: SignalR[float]
    rot2: SignalR[float]
    rot3: SignalR[float]
    wavelength: SignalR[float]
    ring_two_theta: SignalR[Array1D[np.float64]]
    ring_residuals: SignalR[Array1D[np.float64]]
    axis: SignalR[Array1D[np.float64]]
    curve: SignalR[Array1D[np.float64]]
    calibration_id: SignalR[str]
    calibration_uid: SignalR[str]
    in_force: SignalR[str]
    drift_alarm: SignalR[bool]
    drift: SignalR[str]
    last_error: SignalR[str]

    def __init__(self, trl: str, name: str = "calibrator") -> None:
        self._server = CalibratorClient(trl)
        self._last: dict[str, Reading[Any]] = {}
        super().__init__(trl=trl, support_events=True, auto_fill_signals=False, name=name)

    async def readiness(self) -> CalibratorReadiness:
        """State and folders of the server.

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

    async def start(self) -> str:
        """Begin to calibrate the image that is set: the device's ``Calibrate``.

        Returns
        -------
        :
            ``calibration_uid`` of the newest calibration before, for :meth:`outcome`.

        Raises
        ------
        RecipeError:
            The device refuses; the message is its own.
        """
        before = await self._newest()
        await asyncio.to_thread(self._server.command, "Calibrate")
        return before.calibration_uid

    async def outcome(self, before: str) -> CalibrationOutcome:
        """Wait for the end of a calibration that was started; what came of it.

        Parameters
        ----------
        before:
            What :meth:`start` gave.

        Raises
        ------
        RecipeError:
            The server died or hangs, the calibration did not end in time, or it was not completed:
            by an error, by ``Abort``, or because the server was started again.
        """
        try:
            async with asyncio.timeout(LONGEST_CALIBRATION):
                state, status = await self._ended()
        except TimeoutError:
            raise RecipeError(
                f"{self.name}: the calibration goes on after {LONGEST_CALIBRATION:g} s: it is not "
                "waited for"
            ) from None
        found = await self._newest()
        if found.calibration_uid == before:
            why = status if state == "FAULT" else found.remark
            raise RecipeError(f"{self.name}: the calibration was not completed: {why}")
        return found

    async def accept(self) -> CalibrationOutcome:
        """Put the newest calibration in force: the device's ``Accept``.

        Raises
        ------
        RecipeError:
            The device refuses, or cannot put it in force; the message is its own.
        """
        with suppress(DeviceBusyError):  # it goes on, or its State tells of something else
            await asyncio.to_thread(self._server.command, "Accept")
        deadline = time.monotonic() + ACCEPTING_LIMIT
        while True:
            await self._ended()
            if (found := await self._newest()).accepted:
                return found
            if time.monotonic() > deadline:
                raise RecipeError(f"{self.name}: it was not put in force: {found.remark}")
            await asyncio.sleep(_POLL)

    @AsyncStatus.wrap
    async def trigger(self) -> None:
        """Calibrate the image that is set, and wait for the verdict, whatever that is."""
        await self.outcome(await self.start())

    async def describe(self) -> dict[str, DataKey]:
        """Keys of :meth:`read`."""
        await self._look()
        return {
            self._key(name): self._data_key(name, reading["value"])
            for name, reading in self._last.items()
        }

    async def read(self) -> dict[str, Reading[Any]]:
        """Geometry and verdict; the last known ones where the server does not answer."""
        await self._look()
        return {self._key(name): reading for name, reading in self._last.items()}

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
            await self._look()

    async def disconnect(self) -> None:
        """End the subscriptions: Tango looks for the server of one for ever."""
        await asyncio.to_thread(self._server.forget_events)

    def _keep_events(self, timeout: float) -> None:
        try:
            self._server.keep_events((name for name, _ in self.children()), timeout)
        except tango.DevFailed as error:
            raise NotConnectedError(f"{self._server.trl}: {cause(error)}") from error

    async def _ended(self) -> tuple[str, str]:
        """State and Status once the device is not busy any more."""
        alive = time.monotonic()
        while True:
            patience = alive + DEAD_SERVER_WAIT - time.monotonic()
            try:
                found = await asyncio.wait_for(asyncio.to_thread(self._server.state), patience)
            except TimeoutError:
                raise RecipeError(self._dead()) from None
            if found is not None:
                alive = time.monotonic()
                if found[0] not in ("RUNNING", "INIT"):
                    return found
            await asyncio.sleep(_POLL)

    async def _newest(self) -> CalibrationOutcome:
        found = await asyncio.to_thread(self._server.outcome)
        if found is None:
            raise RecipeError(self._dead())
        return found

    def _dead(self) -> str:
        return (
            f"{self.name}: {self._server.trl} gave no sign of life for {DEAD_SERVER_WAIT:g} s: "
            "the calibration is lost"
        )

    async def _look(self) -> None:
        values, now = await asyncio.to_thread(self._server.values), time.time()
        for name, value in (values or {}).items():
            self._last[name] = Reading(value=_known(value), timestamp=now)

    def _data_key(self, name: str, value: object) -> DataKey:
        source = f"{self._server.trl}/{name}"
        match value:
            case bool():
                return DataKey(source=source, dtype="boolean", shape=[])
            case str():
                return DataKey(source=source, dtype="string", shape=[])
        return DataKey(source=source, dtype="number", shape=[], units=_UNITS[name])

    def _key(self, name: str) -> str:
        return f"{self.name}-{name}"


def _known(value: object) -> object:
    """Tango shows a number that it does not know as None."""
    return np.nan if value is None else value
