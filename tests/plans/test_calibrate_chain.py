"""The whole chain: simulated exposure, real servers, the store, and reduction afterwards."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tango
from bluesky import RunEngine

from ringline.callbacks import CalibrationHistory, find_reduced, open_store
from ringline.plans import (
    CalibrationDevice,
    CalibrationOutcome,
    CalibrationRejectedError,
    ReductionDevice,
    SimulatedDetector,
    SimulatedExposures,
    calibrate,
    demo_scene,
    reduce_count,
    reduction_wrapper,
)
from ringline.processing import RecipeError, recipe_from_json

from .conftest import (  # noqa: TID252
    CONNECTED,
    Documents,
    System,
    connected,
    finished_run,
    run_in,
    running_system,
)

ENERGY = 12.398419843320026 / 0.41328


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running_system(tmp_path_factory.mktemp("calibrated") / "served") as system:
        yield system


@pytest.fixture(scope="module")
def powder() -> SimulatedExposures:
    made = SimulatedExposures(demo_scene(), evolution=1000)
    made.prepare()
    return made


@pytest.fixture
def camera(served: System, powder: SimulatedExposures) -> SimulatedDetector:
    return SimulatedDetector(served.workspace.raw, powder, name="camera")


@pytest.fixture
def calibrator(engine: RunEngine, served: System) -> CalibrationDevice:
    device = CalibrationDevice(served.served.calibrator_trl)
    run_in(engine, device.connect())
    CONNECTED.append(device)
    return device


@pytest.fixture
def reduction(engine: RunEngine, served: System) -> Iterator[ReductionDevice]:
    device = connected(engine, served)
    yield device
    assert device.forwarder.close(), device.forwarder.last_error


def settings_of(camera: SimulatedDetector) -> dict[str, object]:
    pixels = {"pixel1": camera.detector.pixel1, "pixel2": camera.detector.pixel2}
    return {"detector": json.dumps(pixels), "mask_file": str(camera.mask_file), "guess": ""}


def outcome_of(engine: RunEngine, plan: Any) -> CalibrationOutcome:
    found: list[CalibrationOutcome] = []

    def kept() -> Iterator[Any]:
        found.append((yield from plan))

    engine(kept())
    return found[0]


def test_an_exposure_is_calibrated_accepted_and_used_for_what_is_reduced_next(
    engine: RunEngine,
    documents: Documents,
    served: System,
    camera: SimulatedDetector,
    calibrator: CalibrationDevice,
    reduction: ReductionDevice,
) -> None:
    """With a reducer that has no geometry yet, and standing orders to reduce everything."""
    engine.preprocessors.append(lambda plan: reduction_wrapper(plan, reduction))
    plan = calibrate(
        camera, "LaB6", calibrator, energy=ENERGY, settings=settings_of(camera), accept=True
    )
    outcome = outcome_of(engine, plan)
    assert outcome.passed, outcome.verdict
    assert outcome.accepted
    assert documents.named("start")[0]["uid"] == outcome.raw_uid
    proxy = tango.DeviceProxy(served.served.calibrator_trl)
    true = camera.geometry
    refined = ("distance", "poni1", "poni2", "rot1", "rot2")
    for name, error in zip(refined, proxy.errors, strict=False):
        found = float(getattr(proxy, name))
        assert abs(found - getattr(true, name)) < 6 * error, name
        assert error < 1e-3 * 0.2
    reducer = tango.DeviceProxy(served.served.trl)
    assert recipe_from_json(reducer.recipe).geometry.distance == proxy.distance
    (raw_uid,) = engine(reduce_count([camera], reduction, num=2))
    with open_store(served.workspace) as store:
        run = finished_run(store, raw_uid)
        assert run.metadata["start"]["calibration_id"] == outcome.calibration_id
        assert find_reduced(store, raw_uid=outcome.raw_uid) == []
        with CalibrationHistory(store) as history:
            kept = history.find(outcome.calibration_uid)
        made = json.loads(proxy.List())
    assert kept.raw_uid == outcome.raw_uid
    assert [entry["uid"] for entry in made] == [outcome.calibration_uid]
    assert Path(proxy.picture).read_bytes().startswith(b"\x89PNG")


def test_the_wrong_powder_is_rejected_and_the_geometry_in_force_stays(
    engine: RunEngine, served: System, camera: SimulatedDetector, calibrator: CalibrationDevice
) -> None:
    before = tango.DeviceProxy(served.served.trl).recipe_digest
    wrong = calibrate(
        camera, "CeO2", calibrator, energy=ENERGY, settings=settings_of(camera), accept=True
    )
    with pytest.raises(CalibrationRejectedError, match="stays in force: rejected: "):
        engine(wrong)
    assert tango.DeviceProxy(served.served.trl).recipe_digest == before


def test_what_the_real_calibrator_refuses_costs_no_exposure(
    engine: RunEngine,
    documents: Documents,
    camera: SimulatedDetector,
    calibrator: CalibrationDevice,
    tmp_path: Path,
) -> None:
    whole = {"calibrant": "LaB6", "energy": ENERGY, "image": str(camera.poni_file)}
    run_in(engine, calibrator.configure({**settings_of(camera), **whole}))
    for arguments, message in (
        ({"energy": 1e4}, "energy"),
        ({"guess": tmp_path / "none.poni"}, "none.poni"),
        ({"settings": {"fixed": "rot4"}}, "rot4"),
    ):
        with pytest.raises(RecipeError, match=message):
            engine(calibrate(camera, "LaB6", calibrator, **arguments))  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match="LaB7"):
        engine(calibrate(camera, "LaB7", calibrator))
    assert documents.all == []
