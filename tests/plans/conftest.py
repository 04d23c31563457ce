import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bluesky import RunEngine

from ringline.plans import Scene, SimulatedDetector, SimulatedExposures, demo_scene


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
def engine(documents: Documents) -> Iterator[RunEngine]:
    made = RunEngine({}, context_managers=[])
    made.subscribe(documents)
    yield made
    # An aborted plan leaves statuses waiting on the loop.
    asyncio.run_coroutine_threadsafe(_cancel_others(), made.loop).result(10)
    made.loop.call_soon_threadsafe(made.loop.stop)
    made._th.join()
    made.loop.close()


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
