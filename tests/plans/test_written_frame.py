import asyncio
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from event_model import compose_run

from ringline.plans.written_frame import FramePlace, FrameWatch
from ringline.processing import RecipeError

IMAGE = {"source": "x", "dtype": "array", "shape": [4, 5], "external": "FILESTORE:"}


def test_the_newest_frame_of_the_detector_counts_and_no_other_ones() -> None:
    watch, run = FrameWatch("camera"), compose_run()
    watch("start", run.start_doc)
    keys = {"camera": IMAGE, "other": IMAGE}
    bundle = run.compose_descriptor(
        name="primary", data_keys=keys, object_keys={"camera": ["camera"], "other": ["other"]}
    )
    watch("descriptor", bundle.descriptor_doc)
    for key in keys:
        file = run.compose_stream_resource(
            mimetype="application/x-hdf5",
            uri=f"file://localhost/data/{key}.h5",
            data_key=key,
            parameters={"dataset": "/entry/data"},
        )
        watch("stream_resource", file.stream_resource_doc)
        for start in (0, 3):
            indices = {"start": start, "stop": start + 3}
            datum = file.compose_stream_datum(indices=indices, descriptor=bundle.descriptor_doc)
            watch("stream_datum", datum)
    assert str(watch.place) == "/data/camera.h5::/entry/data#5"


def test_documents_of_other_runs_are_left_aside() -> None:
    """An open run may monitor a signal meanwhile."""
    watch, outer, inner = FrameWatch("camera"), compose_run(), compose_run()
    watch("start", outer.start_doc)
    bundle = outer.compose_descriptor(
        name="monitor", data_keys={"x": {"source": "x", "dtype": "number", "shape": []}}
    )
    watch("descriptor", bundle.descriptor_doc)
    watch("start", inner.start_doc)
    watch("event", bundle.compose_event(data={"x": 1.0}, timestamps={"x": 1.0}))
    with pytest.raises(RecipeError, match="detector camera wrote no image"):
        _ = watch.place


def test_images_inside_events_are_refused_by_name() -> None:
    watch, run = FrameWatch("camera"), compose_run()
    watch("start", run.start_doc)
    inside: dict[str, Any] = {"source": "x", "dtype": "array", "shape": [4, 5]}
    bundle = run.compose_descriptor(
        name="primary", data_keys={"camera": inside}, object_keys={"camera": ["camera"]}
    )
    watch("descriptor", bundle.descriptor_doc)
    event = bundle.compose_event(data={"camera": np.ones((4, 5))}, timestamps={"camera": 1.0})
    watch("event", event)
    with pytest.raises(RecipeError, match="camera wrote no image to a file"):
        _ = watch.place


def test_a_frame_that_is_not_written_is_waited_for_and_then_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["data"] = np.ones((2, 4, 5))

    async def wait(number: int, limit: float) -> float:
        began = time.monotonic()
        await FramePlace(tmp_path / "a.h5", "data", number).until_written(limit)
        return time.monotonic() - began

    assert asyncio.run(wait(1, 5.0)) < 2.0
    with pytest.raises(RecipeError, match=r"data#2: not written after 0.2 s: the file holds 2"):
        asyncio.run(wait(2, 0.2))


def test_a_file_of_another_machine_is_not_waited_for() -> None:
    place = FramePlace(Path("/no such folder/a.tif"), None, 0)
    asyncio.run(place.until_written(0.0))
    assert str(place) == "/no such folder/a.tif#0"
