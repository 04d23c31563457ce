"""A real Tango database, real server processes, and one small detector."""

import itertools
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
import pytest
import tango

from ringline.callbacks import Workspace, open_store
from ringline.device_servers.database import (
    Registration,
    open_database,
    register,
    start_database,
    trl_of,
)
from ringline.device_servers.process import Child
from ringline.device_servers.setting_table import SETTINGS
from ringline.processing import recipe_from_mapping, reduction_for

SHAPE = (40, 50)
PIXEL = 1e-3
GEOMETRY = {
    "distance": 0.1,
    "poni1": 0.0201,
    "poni2": 0.0249,
    "rot1": 0.01,
    "rot2": -0.02,
    "rot3": 0.03,
    "wavelength": 1e-10,
    "detector": {"pixel1": PIXEL, "pixel2": PIXEL, "shape": list(SHAPE), "name": "Detector"},
}
RECIPE = {"geometry": GEOMETRY, "binning": {"kind": "radial", "bins": 64}}


def recipe_mapping(**binning: object) -> dict[str, object]:
    """The small recipe, as a mapping."""
    return {**RECIPE, "binning": {"kind": "radial", "bins": 64, **binning}}


def wait_for(fact: Callable[[], object], what: str, seconds: float = 20.0) -> None:
    """Wait until a fact holds."""
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline, f"{what} did not come true in {seconds} s"
        time.sleep(0.02)


@dataclass
class Server:
    """A device server process with one AzimuthalReducer."""

    tango_host: str
    registration: Registration
    log: Path
    processes: list[Child] = field(default_factory=list)

    @property
    def trl(self) -> str:
        return trl_of(self.tango_host, self.registration.device)

    @property
    def database(self) -> tango.Database:
        return open_database(self.tango_host)

    def start(self) -> tango.DeviceProxy:
        arguments = [sys.executable, "-m", "ringline.device_servers.server"]
        arguments += [self.registration.instance, "-ORBendPoint", "giop:tcp:127.0.0.1:0"]
        environment = {
            "TANGO_HOST": self.tango_host,
            "PYTHONWARNINGS": "ignore",
            "PYTHONFAULTHANDLER": "1",
        }
        self.processes.append(Child(arguments, self.log, environment))
        proxy = tango.DeviceProxy(self.trl)
        wait_for(lambda: self._ready(proxy), f"{self.trl} ready: {self.log}", 60)
        return proxy

    def stop(self) -> int | None:
        self.processes[-1].stop()
        return self.processes[-1].exit_code

    def kill(self) -> None:
        if self.processes and self.processes[-1].exit_code is None:
            os.kill(self.processes[-1].pid, signal.SIGKILL)
            wait_for(lambda: self.processes[-1].exit_code is not None, "killed")

    def _ready(self, proxy: tango.DeviceProxy) -> bool:
        assert self.processes[-1].exit_code is None, self.processes[-1].said()
        try:
            return bool(proxy.state() != tango.DevState.INIT)
        except tango.DevFailed:
            return False


@pytest.fixture(scope="session")
def tango_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Tango database for the session."""
    folder = tmp_path_factory.mktemp("tango")
    child, found = start_database(
        folder / "tango.db", host="127.0.0.1", port=0, log=folder / "database.log"
    )
    yield found
    child.stop()


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with an empty store: making one takes seconds, copying it does not."""
    directory = tmp_path_factory.mktemp("empty store")
    open_store(Workspace(directory)).close()
    return directory


@pytest.fixture(scope="session")
def new_server(
    tango_host: str, empty_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Server]]:
    """Makes servers, each registered with a name and a folder of its own; not started."""
    numbers = itertools.count(1)
    with ExitStack() as killed:

        def make() -> Server:
            number = next(numbers)
            # A space, as in the folders of people.
            directory = tmp_path_factory.mktemp(f"work space {number}")
            shutil.copytree(empty_store, directory, dirs_exist_ok=True)
            registration = Registration(f"test/reducer/{number}", f"t{number}", directory)
            register(open_database(tango_host), registration)
            server = Server(tango_host, registration, directory / "server.log")
            killed.callback(server.kill)  # ending in order takes seconds, and is tested elsewhere
            return server

        yield make


@pytest.fixture(scope="session")
def server(new_server: Callable[[], Server]) -> Server:
    """One server for all tests that leave it running."""
    made = new_server()
    made.start()
    return made


@pytest.fixture
def reducer(server: Server) -> tango.DeviceProxy:
    """Its device, with the small recipe in force."""
    proxy = tango.DeviceProxy(server.trl)
    proxy.Configure(json.dumps({"recipe": RECIPE, "engine": "auto"}))
    proxy.Reset()
    return proxy


@pytest.fixture
def images() -> np.ndarray:
    """Three frames, shape (3, slow, fast)."""
    return np.random.default_rng(7).poisson(100, (3, *SHAPE)).astype(np.uint16)


@pytest.fixture
def image_file(server: Server, images: np.ndarray) -> Path:
    """The frames in a file that the server may read."""
    path = server.registration.directory / "raw" / "three frames.h5"
    with h5py.File(path, "w") as file:
        file["entry/data"] = images
    return path


@pytest.fixture
def curves(images: np.ndarray) -> list[np.ndarray]:
    """What the recipe makes of the frames."""
    reduction = reduction_for(recipe_from_mapping(RECIPE))
    return [profile.intensity for profile in reduction.reduce_block(images)]


def reason(error: pytest.ExceptionInfo[tango.DevFailed]) -> tuple[str, str]:
    """Reason and description of a refusal."""
    first = error.value.args[0]
    return first.reason, first.desc


def everything(proxy: tango.DeviceProxy) -> str:
    """What a refusal leaves as it was."""
    names = [*SETTINGS, "recipe", "recipe_digest", "intensity", "frame_index", "generation"]
    read = proxy.read_attributes(names)
    return str([(each.name, each.value, each.w_value) for each in read]) + str(proxy.state())


def refused(proxy: tango.DeviceProxy, command: str, argument: str, expected: str) -> str:
    """The message of a refusal that has the reason and leaves everything as it was."""
    before = everything(proxy)
    with pytest.raises(tango.DevFailed) as refusal:
        proxy.command_inout(command, argument)
    found, text = reason(refusal)
    assert found == expected
    assert "\n" not in text
    assert everything(proxy) == before
    assert proxy.last_error == text
    return text
