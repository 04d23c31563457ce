from pathlib import Path
from typing import Any

import bluesky.plans as bp
import h5py
import hdf5plugin  # noqa: F401  # registers the filter
import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.utils import FailedStatus
from event_model import Filler

from ringline.plans import HANDLERS, ClassicDetector, GrowingHDF5Handler, SimulatedExposures

from .conftest import Documents  # noqa: TID252


@pytest.fixture
def classic(tmp_path: Path, exposures: SimulatedExposures) -> ClassicDetector:
    return ClassicDetector(tmp_path / "raw data", exposures)


def test_a_classic_detector_makes_a_resource_a_run_and_a_datum_a_frame(
    engine: RunEngine, documents: Documents, classic: ClassicDetector
) -> None:
    engine(bp.count([classic], 3))
    (resource,) = documents.named("resource")
    assert resource["spec"] == "AD_HDF5_SWMR"
    assert Path(resource["root"], resource["resource_path"]).is_file()
    assert [datum["datum_kwargs"] for datum in documents.named("datum")] == [
        {"point_number": 0},
        {"point_number": 1},
        {"point_number": 2},
    ]
    assert documents.keys()["classic"]["external"] == "FILESTORE:"
    events = documents.named("event")
    assert events[0]["data"]["classic"] == documents.named("datum")[0]["datum_id"]
    assert events[0]["data"]["classic_monitor"] == pytest.approx(1e6, rel=0.1)
    assert events[0]["filled"] == {"classic": False}


def test_the_handler_fills_every_event_of_a_file_that_grows_meanwhile(
    engine: RunEngine, documents: Documents, classic: ClassicDetector
) -> None:
    filler = Filler(HANDLERS, inplace=False)
    filled: list[Any] = []

    def fill(name: str, document: dict[str, Any]) -> None:
        name, document = filler(name, document)
        if name == "event":
            filled.append(document["data"]["classic"])

    engine.subscribe(fill)
    engine(bp.count([classic], 4))
    filler.close()
    (resource,) = documents.named("resource")
    with h5py.File(Path(resource["root"], resource["resource_path"])) as file:
        for index, image in enumerate(filled):
            np.testing.assert_array_equal(image[0], file["/entry/data/data"][index])


def test_a_frame_that_is_not_there_yet_is_an_error_that_makes_databroker_try_again(
    engine: RunEngine, documents: Documents, classic: ClassicDetector
) -> None:
    engine(bp.count([classic], 2))
    handler = GrowingHDF5Handler(str(classic.camera.last_file))
    with pytest.raises(OSError, match="frame 2 is not there yet, the file holds 2"):
        handler(point_number=2)
    handler.close()


def test_a_camera_that_fails_fails_the_plan_with_its_cause(
    engine: RunEngine, classic: ClassicDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(classic.camera, "expose", broken)
    with pytest.raises(FailedStatus) as caught:
        engine(bp.count([classic], 2))
    assert "no space left on device" in str(caught.value.__cause__)
