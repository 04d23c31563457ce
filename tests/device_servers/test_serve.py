"""`ringline serve`: one command, one folder, everything."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import tango

from ringline.device_servers.database import Registration, open_database, register
from ringline.processing import RecipeError
from tests.device_servers.conftest import RECIPE, Server, wait_for

SERVE = [sys.executable, "-m", "ringline.processing.command_line", "serve"]


def environment(tango_host: str | None = None) -> dict[str, str]:
    others = {name: value for name, value in os.environ.items() if name != "TANGO_HOST"}
    return others | ({"TANGO_HOST": tango_host} if tango_host else {})


@dataclass
class Served:
    """`ringline serve` on a folder."""

    directory: Path
    output: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *options: str, tango_host: str | None = None) -> dict[str, object]:
        with self.output.open("wb") as stream:
            arguments = [*SERVE, "--directory", str(self.directory), *options]
            process = subprocess.Popen(
                arguments, env=environment(tango_host), stdout=stream, stderr=subprocess.STDOUT
            )
        self.processes.append(process)
        wait_for(lambda: self._said("ready"), "ready", 60)
        return self.info()

    def info(self) -> dict[str, object]:
        found: dict[str, object] = json.loads((self.directory / "ringline.json").read_text())
        return found

    def end(self, number: signal.Signals) -> int:
        self.processes[-1].send_signal(number)
        return self.processes[-1].wait(20)

    def _said(self, word: str) -> bool:
        assert self.processes[-1].poll() is None, self.output.read_text()
        return word in self.output.read_text()


@contextmanager
def serving(empty_store: Path, folder: Path) -> Iterator[Served]:
    directory = Path(shutil.copytree(empty_store, folder / "my data"))
    made = Served(directory, folder / "output.txt")
    try:
        yield made
    finally:
        for process in made.processes:
            if process.poll() is None:
                process.terminate()
                process.wait(20)


@pytest.fixture
def served(empty_store: Path, tmp_path: Path) -> Iterator[Served]:
    """Not started."""
    with serving(empty_store, tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def running(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Started once, for the tests that leave it running."""
    with serving(empty_store, tmp_path_factory.mktemp("running")) as made:
        made.start()
        yield made


def alive(pid: object) -> bool:
    try:
        os.kill(int(str(pid)), 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def state(info: dict[str, object]) -> tango.DevState | None:
    try:
        return tango.DeviceProxy(str(info["trl"])).state()
    except tango.DevFailed:
        return None


def test_it_says_where_everything_is_stops_without_traces_and_comes_back(served: Served) -> None:
    info = served.start("--readable", "/usr", "/var")
    text = served.output.read_text()
    assert f"Ringline serves from {served.directory}" in text
    assert f"TANGO_HOST={info['tango_host']}" in text
    assert str(info["trl"]) in text
    assert text.endswith("ready; Ctrl-C stops it\n")
    assert info["device"] == "ringline/azimuthal/1"
    assert info["calibrator"] == "ringline/calibrator/1"
    calibrator = tango.DeviceProxy(str(info["calibrator_trl"]))
    assert calibrator.state() == tango.DevState.STANDBY
    assert list(calibrator.get_property("reducer")["reducer"]) == ["ringline/azimuthal/1"]
    assert list(calibrator.readable_folders) == [str(served.directory), "/usr", "/var"]
    assert str(info["tango_host"]).startswith("127.0.0.1:")
    proxy = tango.DeviceProxy(str(info["trl"]))
    assert list(proxy.readable_folders) == [str(served.directory), "/usr", "/var"]
    proxy.Configure(json.dumps({"recipe": RECIPE}))
    assert served.end(signal.SIGTERM) == 0
    assert_gone(info)
    assert not (served.directory / "ringline.json").exists()
    again = served.start()
    assert again["tango_host"] == info["tango_host"]
    assert tango.DeviceProxy(str(again["trl"])).distance == 0.1
    assert served.end(signal.SIGINT) == 0


def assert_gone(info: dict[str, object]) -> None:
    wait_for(lambda: not alive(info["server_pid"]), "the server is gone")
    wait_for(lambda: not alive(info["database_pid"]), "the database is gone")


def refusal(*options: str, tango_host: str | None = None) -> str:
    done = subprocess.run(
        [*SERVE, *options],
        env=environment(tango_host),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith("ringline serve: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_a_second_one_on_the_same_folder_is_refused(running: Served) -> None:
    text = refusal("--directory", str(running.directory))
    assert f"{running.directory} is served already" in text
    assert "--directory" in text
    assert state(running.info()) == tango.DevState.STANDBY


def test_a_server_that_dies_is_started_again(running: Served) -> None:
    info = running.info()
    os.kill(int(str(info["server_pid"])), signal.SIGKILL)
    wait_for(lambda: running.info()["server_pid"] != info["server_pid"], "a new server", 60)
    assert state(running.info()) == tango.DevState.STANDBY


def test_a_database_that_dies_is_started_again_at_the_same_address(running: Served) -> None:
    info = running.info()
    os.kill(int(str(info["database_pid"])), signal.SIGKILL)
    wait_for(lambda: running.info()["database_pid"] != info["database_pid"], "a new database", 60)
    assert running.info()["tango_host"] == info["tango_host"]
    fresh = open_database(str(info["tango_host"]))
    assert "ringline/azimuthal/1" in list(fresh.get_device_exported("ringline/*"))


def test_nothing_is_left_when_it_is_killed(running: Served) -> None:
    info = running.info()
    assert running.end(signal.SIGKILL) == -signal.SIGKILL
    assert_gone(info)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    text = refusal("--directory", str(tmp_path / "file" / "inside"))
    assert str(tmp_path / "file") in text
    assert "cannot be written" in text


def test_a_readable_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    text = refusal("--directory", str(tmp_path), "--readable", "/no/such/folder")
    assert "/no/such/folder" in text


def test_a_port_that_is_taken_is_refused(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        text = refusal("--directory", str(tmp_path), "--port", str(port))
    assert f"did not start on 127.0.0.1:{port}: the port is in use" in text


def test_a_database_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tango.db").write_bytes(b"this is no database" * 100)
    text = refusal("--directory", str(tmp_path))
    assert str(tmp_path / "tango.db") in text
    assert "not a database" in text


def test_a_device_name_that_is_none_is_refused(tmp_path: Path) -> None:
    text = refusal("--directory", str(tmp_path), "--device", "reducer")
    assert "--device must be domain/family/member, got 'reducer'" in text


def test_a_tango_host_without_a_database_is_refused(tmp_path: Path) -> None:
    text = refusal("--directory", str(tmp_path), tango_host="127.0.0.1:1")
    assert "no Tango database answers at 127.0.0.1:1" in text


def test_it_uses_the_database_at_tango_host(served: Served, tango_host: str) -> None:
    options = ("--device", "Test/Served/1", "--instance", "served")
    info = served.start(*options, tango_host=tango_host)
    assert (info["tango_host"], info["database_pid"]) == (tango_host, None)
    assert info["trl"] == f"tango://{tango_host}/test/served/1"
    assert info["calibrator"] == "test/calibrator/1"
    elsewhere = str(served.directory.with_name("elsewhere"))
    text = refusal("--directory", elsewhere, *options, tango_host=tango_host)
    assert f"works on the folder {served.directory}" in text
    text = refusal("--directory", elsewhere, *options[:2], tango_host=tango_host)
    assert "belongs to the server RinglineDS/served" in text
    assert "--device" in text
    assert state(info) == tango.DevState.STANDBY


def test_registering_leaves_a_running_server_exported(server: Server) -> None:
    """Adding a device that is there resets its exported flag: nobody would find it any more."""
    with pytest.raises(RecipeError, match="is running already"):
        register(server.database, server.registration)
    assert server.database.get_device_info(server.registration.device).exported


def test_registering_again_leaves_what_is_memorized(
    new_server: Callable[[], Server], tmp_path: Path
) -> None:
    made = new_server()
    device = made.registration.device
    made.database.put_device_attribute_property(device, {"distance": {"__value": ["0.5"]}})
    again = Registration(device, made.registration.instance, made.registration.directory)
    register(made.database, again)
    found = made.database.get_device_attribute_property(device, "distance")
    assert list(found["distance"]["__value"]) == ["0.5"]


def test_help_and_start_are_quick(tmp_path: Path) -> None:
    began = time.monotonic()
    done = subprocess.run([*SERVE, "--help"], capture_output=True, text=True, check=True)
    assert "--directory" in done.stdout
    assert time.monotonic() - began < 10
