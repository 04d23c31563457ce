"""What all tests share."""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from ringline.processing import RecipeError
from ringline.processing.opencl_device import opencl_device

ROOT = Path(__file__).resolve().parent.parent

# Machines that run tests are shared and noisy: examples are counted, not timed.
settings.register_profile(
    "ringline", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.load_profile("ringline")


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """Path of a file of the real data beside the project; skips where it is absent."""

    def find(name: str) -> Path:
        path = ROOT.parent / "shared" / "data" / name
        if not path.exists():
            pytest.skip(f"real data absent: ../shared/data/{name}")
        return path

    return find


@pytest.fixture(scope="session")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """One loop for all engines: PyTango's asyncio mode is tied to the first it meets."""
    made = asyncio.new_event_loop()
    yield made
    if made.is_running():
        made.call_soon_threadsafe(made.stop)
        while made.is_running():
            time.sleep(0.01)
    made.close()


@pytest.fixture(autouse=True)
def _skip_opencl_without_device(request: pytest.FixtureRequest) -> None:
    """Tests with a parameter ``engine`` of ``opencl`` need a device that works."""
    parameters = getattr(request.node, "callspec", None)
    if parameters is not None and parameters.params.get("engine") == "opencl":
        try:
            opencl_device()
        except RecipeError as error:
            pytest.skip(str(error))
