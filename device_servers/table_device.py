"""A Tango device made of a table of settings and one of readings, in front of a service."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Protocol

import tango
from tango import DevState, Except
from tango.server import Device, device_property

from ringline.device_servers.attributes import on_wire
from ringline.device_servers.database import one_line
from ringline.device_servers.errors import REFUSALS, BusyError, reason_of
from ringline.device_servers.kinds import LISTS
from ringline.device_servers.known import Finding
from ringline.device_servers.memory import Memory
from ringline.device_servers.publisher import Publisher
from ringline.device_servers.reading import Reading
from ringline.device_servers.setting import Setting
from ringline.processing import RecipeError

_log = logging.getLogger(__name__)


class TableService(Protocol):
    """What is behind such a device; every method returns at once."""

    @property
    def settings(self) -> Any:
        """Everything that is set."""

    @property
    def readings(self) -> Any:
        """Everything to show, up to date: cheap."""

    def condition(self) -> Finding:
        """State and Status."""

    def change(self, setting: Setting, value: object) -> None:
        """Set one setting."""

    def remember_error(self, message: str) -> None:
        """Show a refusal."""

    def close(self) -> None:
        """Stop all work."""


class TableDevice(Device):  # type: ignore[misc] # tango has no types
    """Settings are read-write attributes and memorized, readings read-only; all push events.

    A class derived from it names its tables, makes the attributes from them, and its service.
    """

    SETTINGS: ClassVar[Mapping[str, Setting]]
    READINGS: ClassVar[Mapping[str, Reading]]
    DEFAULT: ClassVar[Any]
    """The settings of a device that never had others."""

    directory = device_property(
        dtype=str, default_value="",
        doc="Folder for store and results; empty: $RINGLINE_DIRECTORY, or ~/ringline.",
    )  # fmt: skip
    readable_folders = device_property(
        dtype=(str,), default_value=(), doc="More folders from which frames are read.",
    )  # fmt: skip

    def make_service(self, failure: str) -> TableService:
        """The service, with the settings that are memorized.

        Parameters
        ----------
        failure:
            Where not empty, why the device cannot work: the service then only says so.
        """
        raise NotImplementedError

    # life

    def init_device(self) -> None:
        """Start. An exception here would end the whole server: FAULT instead."""
        self._memory = Memory(self.get_name(), self.SETTINGS, self.DEFAULT)
        self._publisher = Publisher(self._shown, self._push)
        try:
            super().init_device()
            self._service = self.make_service("")
        except Exception as error:
            _log.exception("%s cannot start", self.get_name())
            self._service = self.make_service(_line(error))
        self.readings = self._service.readings
        """Everything else that is shown, as it was when a client began to read."""
        for name in (*self.SETTINGS, *self.READINGS, "State", "Status"):
            self.set_change_event(name, implemented=True, detect=False)
        self._set_points(self.DEFAULT)
        self._publisher.start()

    def server_init_hook(self) -> None:
        """Tango has restored the set points from its 15 digits: put ours."""
        self._set_points(None)

    def delete_device(self) -> None:
        """Stop the threads and close the store."""
        self._memory.close()
        self._publisher.close()
        self._service.close()

    def dev_state(self) -> DevState:
        """From the facts, so that it is never older than the last command."""
        return DevState.names[self._service.condition()[0].value]

    def dev_status(self) -> str:
        """One line that says what to do."""
        return self._service.condition()[1]

    # what the attributes use

    @property
    def settings(self) -> Any:
        """Everything that is set."""
        return self._service.settings

    def read_attr_hardware(self, attributes: list[int]) -> None:  # noqa: ARG002
        """Look once for all attributes of a read: what belongs together comes together."""
        self.readings = self._service.readings

    def write_setting(self, setting: Setting, value: Any) -> None:
        """Take what a client wrote."""
        with self.refusals():
            before = self.settings
            try:
                self._service.change(setting, value)
            except RecipeError:
                # Tango puts the former set point of a spectrum back with the length of the
                # refused one, and so shows what lies behind it in memory.
                self._set_point(setting)
                raise
            self._set_points(before, without=setting.name)
            by_tango = "" if isinstance(setting.kind, LISTS) else setting.name
            self._memory.keep(self.settings, but=by_tango)
            self._memory.keep_later(lambda: self.settings)

    # what the commands use

    @contextmanager
    def refusals(self, *, shown: bool = True) -> Iterator[None]:
        """Refusals become Tango errors with a reason of ours."""
        try:
            yield
        except REFUSALS as error:
            if shown and not isinstance(error, BusyError):
                self._service.remember_error(str(error))
            Except.throw_exception(reason_of(error), str(error), self.get_name())

    @contextmanager
    def settings_put(self) -> Iterator[None]:
        """Settings that change meanwhile are shown as set points, and memorized."""
        before = self.settings
        yield
        self._set_points(before)
        self._memory.keep(self.settings)

    def folder(self) -> Path:
        """The folder of store and results."""
        default = os.environ.get("RINGLINE_DIRECTORY") or "~/ringline"
        return Path(self.directory or default).expanduser().absolute()

    def more_folders(self) -> tuple[Path, ...]:
        """Other folders from which frames are read."""
        return tuple(Path(path).absolute() for path in self.readable_folders if path)

    # helpers

    def _set_points(self, before: Any, without: str = "") -> None:
        """Show settings that no client wrote as set points: a panel would apply the old ones."""
        for name, setting in self.SETTINGS.items():
            value = setting.value(self.settings)
            if name != without and (before is None or value != setting.value(before)):
                self._set_point(setting)

    def _set_point(self, setting: Setting) -> None:
        value = on_wire(setting.kind, setting.value(self.settings))
        self.get_device_attr().get_w_attr_by_name(setting.name).set_write_value(value)

    def _shown(self) -> dict[str, Any]:
        condition, status = self._service.condition()
        settings, readings = self.settings, self._service.readings
        return {
            **{name: on_wire(s.kind, s.value(settings)) for name, s in self.SETTINGS.items()},
            **{name: reading.value(readings) for name, reading in self.READINGS.items()},
            "State": DevState.names[condition.value],
            "Status": status,
        }

    def _push(self, name: str, value: Any) -> None:
        if name == "State":
            self.set_state(value)
        elif name == "Status":
            self.set_status(value)
        self.push_change_event(name, value)


def _line(error: Exception) -> str:
    if isinstance(error, tango.DevFailed):
        return one_line(error)
    return str(error) or type(error).__name__
