"""`ringline serve`: Tango database, device server and store in one folder."""

import argparse
import fcntl
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import tango

from ringline.callbacks import Workspace
from ringline.device_servers.database import (
    SERVER,
    Registration,
    open_database,
    register,
    start_database,
    tango_host_of_environment,
    trl_of,
)
from ringline.device_servers.process import Child
from ringline.processing import RecipeError
from ringline.processing.command_line import Command

_READY_S = 60.0
_WATCH_S = 0.2
_NAP_S = 0.05
_LONGEST_PAUSE_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What to run, and where."""

    workspace: Workspace
    registration: Registration
    """Of the reducer."""
    calibrator: Registration
    host: str
    port: int

    @property
    def logs(self) -> Path:
        """What the processes print."""
        return self.workspace.directory / "logs"

    @property
    def last_port(self) -> Path:
        """Keeps the database's port, so that clients find it again after a restart."""
        return self.workspace.directory / "tango_port"


class Stopping:
    """An event that a signal handler may set.

    A handler runs in the thread that waits: it would wait for ever for the lock of a
    `threading.Event`, when the signal comes while that thread holds it.
    """

    def __init__(self) -> None:
        self._asked = False

    def set(self) -> None:
        """Ask to stop."""
        self._asked = True

    def is_set(self) -> bool:
        """Whether it was asked for."""
        return self._asked

    def wait(self, seconds: float) -> bool:
        """Wait, at most so long, until it is asked for; whether it was."""
        deadline = time.monotonic() + seconds
        while not self._asked and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(_NAP_S, left))
        return self._asked


class System:
    """The processes of one place: started together, watched, stopped together."""

    def __init__(self, place: Place, stopping: Stopping) -> None:
        self._place, self._stopping = place, stopping
        self._database: Child | None = None
        self._server: Child | None = None
        self.tango_host = ""

    @property
    def trl(self) -> str:
        """Full name of the reducer."""
        return trl_of(self.tango_host, self._place.registration.device)

    @property
    def calibrator_trl(self) -> str:
        """Full name of the calibrator."""
        return trl_of(self.tango_host, self._place.calibrator.device)

    def start(self) -> None:
        """Start all, and wait until the device answers.

        Raises
        ------
        RecipeError:
            The database or the device server does not start.
        """
        self._place.logs.mkdir(exist_ok=True)
        self.tango_host = tango_host_of_environment() or self._start_database(_port(self._place))
        database = open_database(self.tango_host)
        for registration in (self._place.registration, self._place.calibrator):
            register(database, registration)
        self._start_server()
        self._wait_until_ready()

    def watch(self) -> None:
        """Start again what dies, until asked to stop."""
        pause = 1.0
        while not self._stopping.wait(_WATCH_S):
            dead = self._dead()
            if dead is None:
                continue
            _say(f"{dead} ended: starting it again (its log is in {self._place.logs})")
            began = time.monotonic()
            try:
                self._restart()
            except RecipeError as error:
                _say(str(error))
            # What dies at once is not started in a tight loop.
            pause = 1.0 if time.monotonic() - began > pause else min(2 * pause, _LONGEST_PAUSE_S)
            self._stopping.wait(pause if self._dead() else 0)

    def stop(self) -> None:
        """End all: the device server first, since it unregisters with the database."""
        self._place.workspace.info.unlink(missing_ok=True)
        for child in (self._server, self._database):
            if child is not None:
                child.stop()

    def state(self) -> tuple[tango.DevState, str]:
        """State and Status of the reducer."""
        proxy = tango.DeviceProxy(self.trl)
        return proxy.state(), proxy.status()

    def _start_database(self, port: int) -> str:
        log = self._place.logs / "tango-database.log"
        file = self._place.workspace.tango_database
        self._database, tango_host = start_database(file, host=self._place.host, port=port, log=log)
        self._place.last_port.write_text(tango_host.rpartition(":")[2])
        return tango_host

    def _start_server(self) -> None:
        arguments = [sys.executable, "-m", "ringline.device_servers.server"]
        instance = self._place.registration.instance
        arguments += [instance, "-ORBendPoint", f"giop:tcp:{self._place.host}:0"]
        log = self._place.logs / f"{SERVER}.log"
        self._server = Child(arguments, log, {"TANGO_HOST": self.tango_host})

    def _wait_until_ready(self) -> None:
        server = self._server
        deadline = time.monotonic() + _READY_S
        while server is not None and not self._stopping.is_set():
            if server.exit_code is not None:
                last = server.said().strip().splitlines()[-1:] or [f"see {server.log}"]
                raise RecipeError(f"the device server did not start: {last[0]}")
            if time.monotonic() > deadline:
                raise RecipeError(f"{self.trl} was not ready in {_READY_S:g} s; see {server.log}")
            if self._is_ready():
                self._write_info(server)
                return
            time.sleep(_NAP_S)

    def _is_ready(self) -> bool:
        try:
            calibrator = tango.DeviceProxy(self.calibrator_trl).state()
            return tango.DevState.INIT not in (self.state()[0], calibrator)
        except tango.DevFailed:
            return False

    def _write_info(self, server: Child) -> None:
        info = {
            "tango_host": self.tango_host,
            "device": self._place.registration.device,
            "trl": self.trl,
            "calibrator": self._place.calibrator.device,
            "calibrator_trl": self.calibrator_trl,
            "pid": os.getpid(),
            "server_pid": server.pid,
            "database_pid": self._database.pid if self._database else None,
            "store": str(self._place.workspace.directory),
        }
        target = self._place.workspace.info
        # Written aside and moved: a reader never sees half of it.
        aside = target.with_suffix(".part")
        aside.write_text(json.dumps(info, indent=1) + "\n")
        aside.replace(target)

    def _dead(self) -> str | None:
        if self._database is not None and self._database.exit_code is not None:
            return "the Tango database"
        if self._server is not None and self._server.exit_code is not None:
            return SERVER
        return None

    def _restart(self) -> None:
        if self._database is not None and self._database.exit_code is not None:
            self._start_database(int(self.tango_host.rpartition(":")[2]))
            if self._server is not None:
                self._write_info(self._server)
        if self._server is not None and self._server.exit_code is not None:
            self._start_server()
            self._wait_until_ready()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument(
        "--directory", type=Path, default=Path("ringline"), metavar="D",
        help="folder for everything: settings, results, store (default: ./ringline)",
    )  # fmt: skip
    parser.add_argument(
        "--readable", type=Path, nargs="+", default=[], metavar="PATH",
        help="more folders that hold frames; files elsewhere are refused",
    )  # fmt: skip
    parser.add_argument(
        "--detector", default="", metavar="KEY",
        help="data key or device name whose images are reduced (default: every image)",
    )  # fmt: skip
    parser.add_argument(
        "--monitor", default="", metavar="KEY", help="data key of the beam monitor (default: none)"
    )
    parser.add_argument("--device", default="ringline/azimuthal/1", help="name of the reducer")
    parser.add_argument(
        "--calibrator", default="", metavar="DEVICE",
        help="name of the calibrator (default: that of the reducer, of the family calibrator)",
    )  # fmt: skip
    parser.add_argument("--instance", default="1", help="name of the server instance")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: this computer only)"
    )
    parser.add_argument(
        "--port", type=int, default=0, help="port of the Tango database (default: a free one)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT."""
    workspace = Workspace(arguments.directory.absolute())
    workspace.create()
    registration = Registration(
        device=arguments.device.lower(),
        instance=arguments.instance,
        directory=workspace.directory,
        readable=tuple(_existing_folder(path) for path in arguments.readable),
        detector_key=arguments.detector,
        monitor_key=arguments.monitor,
    )
    place = Place(
        workspace=workspace,
        registration=registration,
        calibrator=_calibrator_of(registration, arguments.calibrator.lower()),
        host=arguments.host,
        port=arguments.port,
    )
    stopping = Stopping()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    with _sole_owner(workspace):
        system = System(place, stopping)
        try:
            system.start()
            if not stopping.is_set():
                _say(_where(place, system))
            system.watch()
        finally:
            system.stop()
    return 0


command = Command("serve", "run Tango database, device server and store in one folder",
                  add_arguments, run)  # fmt: skip


def _calibrator_of(reducer: Registration, name: str) -> Registration:
    """The calibrator that stands beside a reducer."""
    parts = reducer.device.split("/")
    if len(parts) != 3:
        raise RecipeError(f"--device must be domain/family/member, got {reducer.device!r}")
    return replace(
        reducer,
        device=name or f"{parts[0]}/calibrator/{parts[2]}",
        detector_key="",
        monitor_key="",
        reducer=reducer.device,
    )


def _where(place: Place, system: System) -> str:
    state, status = system.state()
    return (
        f"Ringline serves from {place.workspace.directory}\n"
        f"  Tango    TANGO_HOST={system.tango_host}\n"
        f"  device   {system.trl}\n"
        f"  state    {state}: {status}\n"
        f"  details  {place.workspace.info}\n"
        f"  logs     {place.logs}\n"
        f"ready; Ctrl-C stops it"
    )


def _port(place: Place) -> int:
    """The port asked for; else the last one, where it is free; else any.

    Never 0: a port that the system chooses cannot be opened again for a minute after the database
    died, since its ORB allows that only for a port that it was given.
    """
    if place.port:
        return place.port
    try:
        last = int(place.last_port.read_text())
    except (OSError, ValueError):
        last = 0
    return _free_port(place.host, last) or _free_port(place.host, 0) or 0


def _free_port(host: str, port: int) -> int | None:
    """`port`, where it is free; for 0, any that is."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return None
        return int(probe.getsockname()[1])


@contextmanager
def _sole_owner(workspace: Workspace) -> Iterator[None]:
    """Two systems on one folder would share a database file and results."""
    with (workspace.directory / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RecipeError(
                f"{workspace.directory} is served already: stop that one, "
                f"or give another folder with --directory"
            ) from None
        yield


def _existing_folder(path: Path) -> Path:
    if not path.is_dir():
        raise RecipeError(f"--readable {path}: there is no such folder")
    return path.resolve()


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
