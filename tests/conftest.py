"""What all tests share."""

import asyncio
import faulthandler
import itertools
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from ringline.processing import (
    Azimuthal,
    Cake,
    Detector,
    Geometry,
    Radial,
    Recipe,
    RecipeError,
    reduction_for,
)
from ringline.processing.opencl_device import opencl_device

ROOT = Path(__file__).resolve().parent.parent

# Machines that run tests are shared and noisy: examples are counted, not timed. The same ones each
# time, so that what passed passes again; `--hypothesis-profile explore` looks for others.
settings.register_profile(
    "ringline",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.register_profile("explore", settings.get_profile("ringline"), derandomize=False)
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


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Compile what servers of the tests need: on a new machine that takes longer than they wait."""
    if session.config.option.collectonly or not session.items:
        return
    geometry = Geometry(
        distance=0.1, wavelength=1e-10, detector=Detector(pixel1=1e-4, pixel2=1e-4, shape=(8, 9))
    )
    binnings = (Radial(5), Azimuthal(5), Cake(5, 4))
    for binning, splitting in itertools.product(binnings, ("no", "bbox")):
        for error_model in ("none", "poisson"):
            recipe = Recipe(
                geometry=geometry, binning=binning, splitting=splitting, error_model=error_model
            )
            reduction_for(recipe).warm(("u2", "u4", "i4", "f8"))


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """A process that cannot end says what it waits for, and ends: threads of libraries may hang."""
    faulthandler.dump_traceback_later(60, exit=True, file=sys.__stderr__)
