"""The reducer that a calibrator gives its geometries to: another device, perhaps of this server.

A call may find the device in this same process, and then runs in the calling thread: it is made
by a thread that no command of the reducer ever waits for, with no lock held.
"""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass

import tango

from ringline.device_servers.database import one_line
from ringline.device_servers.errors import BadInputError, NotReadyError
from ringline.processing import (
    Geometry,
    geometry_digest,
    geometry_from_mapping,
    geometry_to_mapping,
)

_EVERY_S = 1.0
_LOOK_MS = 1000
_PUT_MS = 5000
"""Longer than a client waits for a command: the reducer answers, or it is down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Newest:
    """What the reducer did last."""

    frame: str
    """Name of the newest frame that was reduced with the recipe in force; "" where there is
    none: a frame from before would be compared with a geometry that it never had."""
    calibration: str
    """Id of the geometry in force; "" where there is none."""


class ReducerLink:
    """One ``AzimuthalReducer``, by its name; it need not run.

    Parameters
    ----------
    device:
        Its name, or full address; empty: there is none.
    """

    def __init__(self, device: str) -> None:
        self._address = device
        self._proxies: dict[int, tango.DeviceProxy] = {}
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def device(self) -> str:
        """Its name, domain/family/member, by which the history knows it."""
        return "/".join(self._address.partition("#")[0].lower().split("/")[-3:])

    def calibration_id(self) -> str:
        """Id of the geometry in force; empty where there is none. NotReadyError: no answer."""
        return str(self._read("calibration_id", _LOOK_MS))

    def newest(self) -> Newest:
        """The newest frame, and what is in force, of one moment. NotReadyError: no answer."""
        names = ["newest_frame", "epoch", "recipe_digest", "calibration_id"]
        try:
            read = self._proxy(_LOOK_MS).read_attributes(names)
            frame, epoch, digest, known = (str(each.value or "") for each in read)
        except tango.DevFailed as error:
            raise self._no_answer(error) from error
        return Newest(frame=frame if epoch == digest else "", calibration=known)

    def geometry(self) -> Geometry | None:
        """The geometry in force; None where there is none. NotReadyError: no answer."""
        recipe = str(self._read("recipe", _PUT_MS))
        return geometry_from_mapping(json.loads(recipe)["geometry"]) if recipe else None

    def put(self, geometry: Geometry) -> None:
        """Put a geometry in force, all of it or nothing.

        Raises
        ------
        NotReadyError:
            The reducer does not answer, or has another geometry after all.
        BadInputError:
            It refuses this one.
        """
        text = json.dumps({"geometry": geometry_to_mapping(geometry)})
        try:
            self._proxy(_PUT_MS).command_inout("Configure", text)
        except tango.DevFailed as error:
            if error.args[0].reason.startswith("Ringline_"):
                raise BadInputError(f"{self._address} refuses it: {one_line(error)}") from error
            raise self._no_answer(error) from error
        wanted, found = geometry_digest(geometry), self.calibration_id()
        if found != wanted:
            raise NotReadyError(
                f"{self._address} has the geometry {found[:8] or 'of none'}, not {wanted[:8]}: "
                "someone else set it meanwhile"
            )

    def watch(self, found: Callable[[str], None]) -> None:
        """Tell, every second, the id of what is in force; empty where it is not known."""
        self._thread = threading.Thread(
            target=self._watch, args=(found,), name="ringline-link", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """End the watching; it may be waiting for the reducer, so do not wait for ever."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(_LOOK_MS / 1000)

    def _watch(self, found: Callable[[str], None]) -> None:
        with tango.EnsureOmniThread():
            while not self._closing.is_set():
                try:
                    known = self.calibration_id()
                except NotReadyError:
                    known = ""
                if not self._closing.is_set():
                    found(known)
                self._closing.wait(_EVERY_S)

    def _read(self, attribute: str, timeout_ms: int) -> object:
        try:
            return self._proxy(timeout_ms).read_attribute(attribute).value
        except tango.DevFailed as error:
            raise self._no_answer(error) from error

    def _proxy(self, timeout_ms: int) -> tango.DeviceProxy:
        if not self._address:
            raise NotReadyError("there is no reducer: set the property reducer, then call Init")
        if timeout_ms not in self._proxies:
            proxy = tango.DeviceProxy(self._address)
            proxy.set_timeout_millis(timeout_ms)
            self._proxies[timeout_ms] = proxy
        return self._proxies[timeout_ms]

    def _no_answer(self, error: tango.DevFailed) -> NotReadyError:
        return NotReadyError(f"the reducer {self._address} does not answer: {one_line(error)}")
