"""The process RinglineDS: how it starts, where it finds its device, how it ends."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import tango

from ringline.device_servers.process import Child
from tests.device_servers.conftest import RECIPE, Server, wait_for

RINGLINE_DS = [sys.executable, "-m", "ringline.device_servers.server"]
ENDPOINT = ["-ORBendPoint", "giop:tcp:127.0.0.1:0"]


def outcome(
    arguments: list[str], tango_host: str | None, **more: object
) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "TANGO_HOST"}
    if tango_host is not None:
        environment["TANGO_HOST"] = tango_host
    return subprocess.run(
        [*RINGLINE_DS, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_an_instance_that_is_not_registered_is_refused_with_the_cure(tango_host: str) -> None:
    done = outcome(["nobody", *ENDPOINT], tango_host)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "'nobody' is not registered" in done.stderr
    assert "tango_admin --add-server RinglineDS/nobody AzimuthalReducer" in done.stderr


@pytest.mark.parametrize(
    ("tango_host", "words"),
    [
        ("127.0.0.1:1", "no Tango database answers at 127.0.0.1:1"),
        ("somewhere", "TANGO_HOST must be host:port, got 'somewhere'"),
    ],
)
def test_a_database_that_does_not_answer_is_one_line(tango_host: str, words: str) -> None:
    done = outcome(["1"], tango_host)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_signal_that_the_parent_blocked_still_stops_the_server(
    new_server: Callable[[], Server],
) -> None:
    """The Starter's children inherit a mask in which SIGTERM is blocked."""
    server = new_server()
    signals = {signal.SIGTERM, signal.SIGINT}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        server.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    process = server.processes[-1]
    os.kill(process.pid, signal.SIGTERM)
    began = time.monotonic()
    wait_for(lambda: process.exit_code is not None, "the end")
    assert process.exit_code == 0
    assert time.monotonic() - began < 5


def test_a_folder_that_cannot_be_written_is_fault_and_init_recovers(
    new_server: Callable[[], Server], tmp_path: Path
) -> None:
    """An exception in init_device would end the server, and its other devices with it."""
    server = new_server()
    blocked = tmp_path / "a file"
    blocked.touch()
    properties = {"directory": [str(blocked / "inside")]}
    server.database.put_device_property(server.registration.device, properties)
    proxy = server.start()
    assert proxy.state() == tango.DevState.FAULT
    assert str(blocked) in proxy.status()
    assert "then call Init" in proxy.status()
    with pytest.raises(tango.DevFailed) as refusal:
        proxy.Arm()
    assert refusal.value.args[0].reason == "Ringline_NotReady"
    right = {"directory": [str(server.registration.directory)]}
    server.database.put_device_property(server.registration.device, right)
    proxy.Init()
    wait_for(lambda: proxy.state() == tango.DevState.STANDBY, proxy.status())
    assert "not configured: call LoadPoni, or set distance, wavelength, detector" in proxy.status()
    for command, argument in (("Arm", None), ("Consume", "{}"), ("Integrate", "/x")):
        with pytest.raises(tango.DevFailed) as refusal:
            proxy.command_inout(command, argument)
        assert refusal.value.args[0].reason in ("Ringline_NotReady", "Ringline_BadInput")


@dataclass
class Alone:
    """RinglineDS without a database server."""

    folder: Path
    port: int
    children: list[Child] = field(default_factory=list)

    def start(self, *options: str, device: str = "quick/look/1") -> tango.DeviceProxy:
        endpoint = ["-ORBendPoint", f"giop:tcp:127.0.0.1:{self.port}"]
        environment = {"RINGLINE_DIRECTORY": str(self.folder), "TANGO_HOST": ""}
        arguments = [*RINGLINE_DS, "quick", *options, *endpoint]
        self.children.append(Child(arguments, self.folder / "log", environment))
        wait_for(lambda: self._answers(device), device)
        return tango.DeviceProxy(self.trl(device))  # its store is not open yet

    def trl(self, device: str) -> str:
        return f"tango://127.0.0.1:{self.port}/{device}#dbase=no"

    def kill(self) -> None:
        os.kill(self.children[-1].pid, signal.SIGKILL)
        wait_for(lambda: self.children[-1].exit_code is not None, "killed")

    def _answers(self, device: str) -> bool:
        assert self.children[-1].exit_code is None, self.children[-1].said()
        try:
            tango.DeviceProxy(self.trl(device)).ping()
        except tango.DevFailed:
            return False
        return True


@pytest.fixture
def alone(empty_store: Path, tmp_path: Path) -> Iterator[Alone]:
    made = Alone(Path(shutil.copytree(empty_store, tmp_path / "work")), free_port())
    yield made
    made.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_it_runs_without_a_database_for_a_quick_look(alone: Alone) -> None:
    proxy = alone.start("-nodb", "-dlist", "quick/look/1")
    proxy.Configure(json.dumps({"recipe": RECIPE}))
    assert proxy.read_attribute("distance").w_value == 0.1
    wait_for(lambda: proxy.state() == tango.DevState.ON, "ON")


def test_both_classes_run_without_a_database_where_they_are_named(alone: Alone) -> None:
    classes = "AzimuthalReducer::quick/look/1,GeometryCalibrator::quick/cal/1"
    proxy = alone.start("-nodb", "-dlist", classes, device="quick/cal/1")
    wait_for(lambda: proxy.state() == tango.DevState.STANDBY, "STANDBY", 60)
    assert proxy.info().dev_class == "GeometryCalibrator"
    reducer = tango.DeviceProxy(alone.trl("quick/look/1"))
    assert reducer.info().dev_class == "AzimuthalReducer"


def test_it_keeps_settings_in_a_file_of_properties(alone: Alone, tmp_path: Path) -> None:
    file = tmp_path / "properties.txt"
    file.write_text('RinglineDS/quick/DEVICE/AzimuthalReducer: "quick/look/1"\n')
    alone.start(f"-file={file}").Configure(json.dumps({"recipe": RECIPE}))
    alone.kill()
    proxy = alone.start(f"-file={file}")
    assert proxy.distance == 0.1
    wait_for(lambda: proxy.recipe, "the recipe")
    assert json.loads(proxy.recipe)["binning"]["bins"] == 64
