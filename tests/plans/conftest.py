import asyncio
import json
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from bluesky import RunEngine

from ringline.callbacks import Store, Workspace, find_reduced, open_store
from ringline.plans import (
    ReductionDevice,
    Scene,
    SimulatedDetector,
    SimulatedExposures,
    demo_scene,
)
from ringline.plans.served_system import Served, ServedSystem

T = TypeVar("T")

CONNECTED: list[ReductionDevice] = []
"""By the running test: to be disconnected, lest Tango looks for their servers for ever."""


class Documents:
    """What a RunEngine emitted."""

    def __init__(self) -> None:
        self.all: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, name: str, document: dict[str, Any]) -> None:
        self.all.append((name, document))

    def named(self, name: str) -> list[dict[str, Any]]:
        return [document for kind, document in self.all if kind == name]

    def keys(self) -> dict[str, Any]:
        (descriptor,) = self.named("descriptor")
        return dict(descriptor["data_keys"])

    def ranges(self, key: str) -> list[tuple[int, int]]:
        uids = {r["uid"] for r in self.named("stream_resource") if r["data_key"] == key}
        return [
            (datum["indices"]["start"], datum["indices"]["stop"])
            for datum in self.named("stream_datum")
            if datum["stream_resource"] in uids
        ]

    def file(self, key: str) -> Path:
        (uri,) = {r["uri"] for r in self.named("stream_resource") if r["data_key"] == key}
        return Path(str(uri).removeprefix("file://localhost"))


@pytest.fixture
def documents() -> Documents:
    return Documents()


@pytest.fixture
def engine(loop: asyncio.AbstractEventLoop, documents: Documents) -> Iterator[RunEngine]:
    made = RunEngine({}, context_managers=[], loop=loop)
    made.subscribe(documents)
    yield made
    while CONNECTED:
        run_in(made, CONNECTED.pop().disconnect())
    # An aborted plan leaves statuses waiting on the loop.
    asyncio.run_coroutine_threadsafe(_cancel_others(), loop).result(10)


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


@pytest.fixture(scope="session")
def scene() -> Scene:
    return demo_scene(shape=(96, 128), seed=3)


@pytest.fixture(scope="session")
def exposures(scene: Scene) -> SimulatedExposures:
    made = SimulatedExposures(scene)
    made.prepare()
    return made


@pytest.fixture
def detector(tmp_path: Path, exposures: SimulatedExposures) -> SimulatedDetector:
    return SimulatedDetector(tmp_path / "raw data", exposures)


@dataclass(frozen=True)
class System:
    """A running `ringline serve` with its folder."""

    workspace: Workspace
    served: Served

    @property
    def server_pid(self) -> int:
        return int(json.loads(self.workspace.info.read_text())["server_pid"])


@contextmanager
def running_system(folder: Path) -> Iterator[System]:
    workspace = Workspace(folder).create()
    with ServedSystem(workspace) as system:
        yield System(workspace, system.wait_until_ready())


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running_system(tmp_path_factory.mktemp("served") / "a folder") as running:
        yield running


@pytest.fixture(scope="session")
def store(system: System) -> Iterator[Store]:
    with open_store(system.workspace) as opened:
        yield opened


@pytest.fixture
def camera_detector(system: System, exposures: SimulatedExposures) -> SimulatedDetector:
    """A detector whose frames the server may read."""
    return SimulatedDetector(system.workspace.raw, exposures)


@pytest.fixture
def reduction(
    engine: RunEngine, system: System, camera_detector: SimulatedDetector
) -> Iterator[ReductionDevice]:
    device = connected(engine, system)
    settings = settings_for(camera_detector)
    run_in(engine, device.load_poni(camera_detector.poni_file))
    run_in(engine, device.configure(settings))
    yield device
    assert device.forwarder.close(), device.forwarder.last_error


def connected(engine: RunEngine, system: System) -> ReductionDevice:
    device = ReductionDevice(system.served.trl)
    run_in(engine, device.connect())
    CONNECTED.append(device)
    return device


def settings_for(detector: SimulatedDetector) -> dict[str, object]:
    return {
        "radial_bins": 300,
        "azimuthal_bins": 0,
        "radial_unit": "q_nm^-1",
        "error_model": "poisson",
        "mask_file": str(detector.mask_file),
        "polarization_factor": 0.98,
    }


def run_in(engine: RunEngine, coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run_coroutine_threadsafe(coroutine, engine.loop).result(30)


def finished_run(store: Store, raw_uid: str, limit: float = 30.0) -> Any:
    """The reduced run of a raw run, once it is complete in the store."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        for run in find_reduced(store, raw_uid=raw_uid):
            if run.metadata.get("stop"):
                return run
        time.sleep(0.05)
    raise AssertionError(f"no finished reduced run of {raw_uid}")
