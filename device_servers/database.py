"""The embedded Tango database (pytango-db on SQLite) and the registration of our device."""

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import tango

from ringline.device_servers.process import Child
from ringline.processing import RecipeError

SERVER = "RinglineDS"
CLASS = "AzimuthalReducer"
CALIBRATOR = "GeometryCalibrator"

_START_S = 20.0
_NAP_S = 0.02


@dataclass(frozen=True, slots=True)
class Registration:
    """Which device runs in which server instance, on which folder."""

    device: str
    instance: str
    directory: Path
    readable: tuple[Path, ...] = ()
    detector_key: str = ""
    monitor_key: str = ""
    reducer: str = ""
    """Of a calibrator: the device that its geometries are for; empty: this is a reducer."""

    @property
    def device_class(self) -> str:
        """Of the two classes of this server."""
        return CALIBRATOR if self.reducer else CLASS

    @property
    def server(self) -> str:
        """Server and instance."""
        return f"{SERVER}/{self.instance}"

    @property
    def properties(self) -> dict[str, list[str]]:
        """Device properties; keys that are not given stay as they are."""
        keys = {name: getattr(self, name) for name in ("detector_key", "monitor_key", "reducer")}
        return {
            "directory": [str(self.directory)],
            "readable_folders": [str(folder) for folder in self.readable],
            **{name: [key] for name, key in keys.items() if key},
        }


def start_database(file: Path, *, host: str, port: int, log: Path) -> tuple[Child, str]:
    """Start a Tango database kept in ``file``; returns its process and its TANGO_HOST.

    Parameters
    ----------
    port:
        0: a free one.

    Raises
    ------
    RecipeError:
        It does not start: the file cannot be used, or the port is taken.
    """
    arguments = [sys.executable, "-m", "databaseds.database"]
    arguments += ["--host", host, "--port", str(port), "--print-host-port", "2"]
    child = Child(arguments, log, {"PYTANGO_DATABASE_NAME": str(file)})
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if child.exit_code is not None:
            at = f"{host}:{port}" if port else host
            raise RecipeError(f"the Tango database {file} did not start on {at}: {_cause(child)}")
        found = _port_announced(child)
        if found and _answers(host, found):
            return child, f"{host}:{found}"
        time.sleep(_NAP_S)
    child.stop()
    raise RecipeError(f"the Tango database {file} did not answer in {_START_S:g} s; see {log}")


def open_database(tango_host: str) -> tango.Database:
    """The database at ``host:port``.

    Raises
    ------
    RecipeError:
        The address is malformed, or nothing answers there.
    """
    host, _, port = tango_host.split(",", maxsplit=1)[0].rpartition(":")
    if not host or not port.isdigit():
        raise RecipeError(f"TANGO_HOST must be host:port, got {tango_host!r}")
    try:
        return tango.Database(host, int(port))
    except tango.DevFailed as error:
        reason = one_line(error)
        raise RecipeError(f"no Tango database answers at {tango_host}: {reason}") from error


def register(database: tango.Database, registration: Registration) -> None:
    """Make the device known, and its folders.

    A device that is registered already is not added again: that would reset the exported flag
    of a running server.

    Raises
    ------
    RecipeError:
        The name belongs to another server, works on another folder, or its server runs now.
    """
    device = registration.device
    known = _registered(database, device)
    if known is None:
        info = tango.DbDevInfo()
        info.name, info.server = device, registration.server
        info._class = registration.device_class  # noqa: SLF001
        database.add_device(info)
    else:
        _refuse_what_is_taken(database, registration, known)
    database.put_device_property(device, registration.properties)


def one_line(error: tango.DevFailed) -> str:
    """The cause of a Tango error: the first of its stack."""
    return " ".join(str(error.args[0].desc).split()) if error.args else str(error)


def is_alive(trl: str) -> bool:
    """Whether a device answers a ping now."""
    try:
        tango.DeviceProxy(trl).ping()
    except tango.DevFailed:
        return False
    return True


def trl_of(tango_host: str, device: str) -> str:
    """The full name of a device, which is right in any process whatever its TANGO_HOST."""
    return f"tango://{tango_host}/{device}"


def tango_host_of_environment() -> str | None:
    """TANGO_HOST, or what /etc/tangorc says; None where neither does."""
    return os.environ.get("TANGO_HOST") or tango.ApiUtil.get_env_var("TANGO_HOST") or None


def _registered(database: tango.Database, device: str) -> str | None:
    try:
        return str(database.get_device_info(device).ds_full_name)
    except tango.DevFailed as error:
        if error.args[0].reason == "DB_DeviceNotDefined":
            return None
        raise


def _refuse_what_is_taken(
    database: tango.Database, registration: Registration, server: str
) -> None:
    device, another = registration.device, "give another name with --device"
    if server.lower() != registration.server.lower():
        raise RecipeError(f"device {device} belongs to the server {server}: {another}")
    folders = list(database.get_device_property(device, "directory")["directory"])
    if folders and folders != registration.properties["directory"]:
        raise RecipeError(f"device {device} works on the folder {folders[0]}: {another}")
    host = f"{database.get_db_host()}:{database.get_db_port()}"
    if is_alive(trl_of(host, device)):
        raise RecipeError(f"device {device} is running already: stop its server, or {another}")


def _port_announced(child: Child) -> int | None:
    for line in child.said().splitlines():
        if line.startswith("Database DS listening on:") and "port=" in line:
            return int(line.rpartition("port=")[2].rstrip(". "))
    return None


def _cause(child: Child) -> str:
    said = child.said()
    if "Address in use" in said:
        return "the port is in use"
    errors = [line.strip() for line in said.splitlines() if "Error: " in line]
    return errors[-1].removeprefix("desc = ") if errors else f"see {child.log}"


def _answers(host: str, port: int) -> bool:
    try:
        tango.Database(host, port).get_info()
    except tango.DevFailed:
        return False
    return True
