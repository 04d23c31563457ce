"""The documents of calibrations, and of decisions about them, as plain functions."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ringline.callbacks.documents import (
    CALIBRATION,
    OBJECT,
    Documents,
    software_versions,
    stop_document,
    uid_within,
)
from ringline.callbacks.table_documents import Columns, data_key, rows_of, table_documents
from ringline.callbacks.uris import uri_of_path
from ringline.processing import geometry_to_mapping
from ringline.processing.calibration import Calibration
from ringline.processing.calibration.record import calibration_to_mapping
from ringline.processing.types import ImageArray

IMAGE = "/entry/image/data"
"""Where ``write_calibration`` puts the image."""
PARAMETERS: Mapping[str, str] = {
    **dict.fromkeys(("distance", "poni1", "poni2"), "m"),
    **dict.fromkeys(("rot1", "rot2", "rot3"), "rad"),
    "wavelength": "m",
}
"""Of a geometry, with their units."""
_IN_STREAMS = ("rings", "points", "curve")
"""Parts of the record that would make start documents long: they are streams."""
_POINTS = {"ring": "", "slow": "", "fast": "", "chi": "rad", "residual": "rad", "sigma": "rad"}
_RINGS = {"spacing": "m", "two_theta": "rad", "points": "", "coverage": ""}
_SEEN = {"residual": "rad", "scatter": "rad"}
_CURVE = {"two_theta": "degree", "intensity": ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What is known of a calibration besides what it found."""

    source: str = ""
    """The image, as its file and the place in it are named."""
    raw_uid: str = ""
    """Of the raw run that the image came from."""
    device: str = ""
    """That made the calibration."""


def calibration_documents(
    uid: str, calibration: Calibration, image: ImageArray, file: Path, around: Circumstances
) -> Documents:
    """Return the documents of a run that holds a calibration.

    Parameters
    ----------
    uid:
        Of the run.
    calibration:
        Accepted or not.
    image:
        From which it was made, shape (slow, fast).
    file:
        That ``write_calibration`` wrote.
    around:
        What else is known.
    """
    now = time.time()
    streams = {
        "points": (_point_columns(calibration), {**_POINTS, "used": ""}),
        "rings": (_ring_columns(calibration), {**_RINGS, **_SEEN}),
        "curve": (_curve_columns(calibration), _CURVE),
    }
    documents = [
        ("start", {**_start(calibration, file, around), "uid": uid, "time": now}),
        *_result_documents(uid, calibration, image, file),
    ]
    for name, (columns, units) in streams.items():
        documents += table_documents(uid, name, columns, units)
    counts = {"primary": 1, **{name: rows_of(columns) for name, (columns, _) in streams.items()}}
    events = {name: count for name, count in counts.items() if count}
    outcome = {"verdict": calibration.verdict.words, "accepted": calibration.verdict.accepted}
    return [*documents, ("stop", stop_document(uid, {}, events, outcome))]


def _start(calibration: Calibration, file: Path, around: Circumstances) -> dict[str, Any]:
    task, record = calibration.task, calibration_to_mapping(calibration)
    arrays = {"mask": task.mask, "dark": task.dark}
    raw = {"original_run_uid": around.raw_uid} if around.raw_uid else {}
    return {
        "purpose": CALIBRATION,
        **raw,
        "calibration_id": calibration.id,
        "accepted": calibration.verdict.accepted,
        "verdict": calibration.verdict.words,
        "calibrant": task.calibrant.name,
        "energy_kev": task.energy_kev,
        "detector": task.detector.name,
        "device": around.device,
        "image": around.source,
        "image_sha256": calibration.image_sha256,
        "file": str(file),
        # As text: a store may clamp integers, drop digits or turn NaN into nothing.
        "calibration": json.dumps({k: v for k, v in record.items() if k not in _IN_STREAMS}),
        "inputs": [
            {"name": name, "path": array.path or "", "sha256": array.sha256}
            for name, array in arrays.items()
            if array is not None
        ],
        **software_versions(),
    }


def _result_documents(
    run: str, calibration: Calibration, image: ImageArray, file: Path
) -> Documents:
    """The stream ``primary``: one row, with the image in the file and the parameters."""
    units = {"passed": "", **{f"{name}{part}": unit for name, unit in PARAMETERS.items()
                              for part in ("", "_error")}}  # fmt: skip
    descriptor, page = table_documents(run, "primary", _parameters(calibration), units)
    resource = uid_within(run, "image")
    descriptor[1]["data_keys"]["image"] = {
        **data_key(0, ""),
        "dtype": "array",
        "dtype_numpy": image.dtype.str,
        "shape": list(image.shape),
        "dims": ["slow", "fast"],
        "external": "STREAM:",
    }
    descriptor[1]["object_keys"] = {OBJECT: list(descriptor[1]["data_keys"])}
    described = {
        "uid": resource,
        "run_start": run,
        "data_key": "image",
        "mimetype": "application/x-hdf5",
        "uri": uri_of_path(file),
        "parameters": {"dataset": IMAGE, "swmr": False, "locking": False},
    }
    datum = {
        "uid": uid_within(run, "image", 0),
        "stream_resource": resource,
        "descriptor": descriptor[1]["uid"],
        "indices": {"start": 0, "stop": 1},
        "seq_nums": {"start": 1, "stop": 2},
    }
    return [descriptor, ("stream_resource", described), ("stream_datum", datum), page]


def _parameters(calibration: Calibration) -> Columns:
    plain = {} if calibration.geometry is None else geometry_to_mapping(calibration.geometry)
    columns: dict[str, list[Any]] = {"passed": [calibration.verdict.accepted]}
    for name in PARAMETERS:
        columns[name] = [plain.get(name, math.nan)]
        columns[f"{name}_error"] = [calibration.errors.get(name, math.nan)]
    return columns


def _point_columns(calibration: Calibration) -> Columns:
    points = calibration.points
    names = (*_POINTS, "used")
    return {} if points is None else {name: getattr(points, name).tolist() for name in names}


def _ring_columns(calibration: Calibration) -> Columns:
    rings = calibration.rings
    return {
        name: np.array([getattr(ring, name) for ring in rings]).tolist()
        for name in (*_RINGS, *_SEEN)
    }


def _curve_columns(calibration: Calibration) -> Columns:
    return {"two_theta": calibration.axis.tolist(), "intensity": calibration.curve.tolist()}
