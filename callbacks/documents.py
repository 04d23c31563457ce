"""The documents of a reduced run, as plain functions."""

from __future__ import annotations

import json
import math
import platform
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ringline.callbacks.uris import uri_of_path
from ringline.processing import (
    Goniometer,
    MovingReduction,
    Recipe,
    Reduction,
    ResultColumn,
    geometry_digest,
    unit_named,
)
from ringline.processing.result_layout import position_key

Documents = list[tuple[str, dict[str, Any]]]

Made = Reduction | MovingReduction
"""What makes curves."""

OBJECT = "ringline"
"""Name of the object to which all data keys belong."""

CALIBRATION, DECISION = "calibration", "calibration decision"
"""Purposes of runs in the catalogue ``calibrations``."""
_OTHERS = frozenset({CALIBRATION, DECISION})
EXPOSURE = "calibration exposure"
"""Purpose of a raw run whose frames are there to be calibrated with."""

_NAMESPACE = uuid.UUID("6f1d2f0e-8a0c-5a70-9a58-6d1b5c7f1f6e")
_TECHNICAL = frozenset(
    {"uid", "time", "hints", "versions", "purpose", "plan_args", "num_points", "num_intervals"}
    | {"plan_pattern", "plan_pattern_args", "plan_pattern_module", "shape", "extents", "snaking"}
)
_SCALARS: dict[str, tuple[str, str]] = {
    "frame_index": ("integer", "<i8"),
    "raw_seq_num": ("integer", "<i8"),
    "monitor": ("number", "<f8"),
    "rejected": ("integer", "<i8"),
    "epoch": ("string", "<U64"),
    "frames": ("integer", "<i8"),
    "first_frame": ("integer", "<i8"),
    "last_frame": ("integer", "<i8"),
}
FRAME_SCALARS = ("frame_index", "raw_seq_num", "monitor", "rejected", "epoch")
TOTAL_SCALARS = ("frames", "first_frame", "last_frame", "epoch")


def reduced_uid(raw_uid: str, data_key: str) -> str:
    """Return the one uid that the reduction of a detector of a raw run has in the service way."""
    return str(uuid.uuid5(_NAMESPACE, f"{raw_uid}/{data_key}"))


def uid_within(run: str, *parts: object) -> str:
    """Return a uid that is the same whenever the same document is made again."""
    return str(uuid.uuid5(uuid.UUID(run), "/".join(str(part) for part in parts)))


@dataclass(frozen=True, slots=True)
class Making:
    """How the curves of a reduced run are made, as it begins."""

    recipe: Recipe | None
    engine: str
    shape: tuple[int, ...] | None = None
    """Of the first frame; None where none could be read."""
    goniometer: Goniometer | None = None
    """What moves the detector."""

    @property
    def calibration_id(self) -> str:
        """By which the run names the calibration of its geometry; "" of one that moves."""
        if self.recipe is None or self.goniometer is not None:
            return ""
        return calibration_id(self.recipe, self.shape)


def calibration_id(recipe: Recipe, shape: tuple[int, ...] | None = None) -> str:
    """Return the ``Calibration.id`` of a recipe's geometry, where that is one of a calibration.

    Parameters
    ----------
    recipe:
        Its detector may have no shape: that of the arrays is taken then.
    shape:
        That of the frames, where neither knows it.
    """
    slow, fast = recipe.shape or shape or (0, 0)
    geometry = recipe.geometry
    return geometry_digest(geometry.with_shape((slow, fast)) if slow else geometry)


def start_document(
    uid: str, raw_start: Mapping[str, Any], data_key: str, making: Making
) -> dict[str, Any]:
    """Return the start: what was reduced, by what, and whose it is."""
    recipe = making.recipe
    arrays = {} if recipe is None else recipe.arrays()
    return {
        **{key: value for key, value in raw_start.items() if key not in _TECHNICAL},
        "uid": uid,
        "time": time.time(),
        "purpose": "reduction",
        "original_run_uid": raw_start["uid"],
        "detector": data_key,
        # As text: a store may clamp integers, drop digits or turn NaN into nothing.
        "recipe": "" if recipe is None else recipe.to_json(),
        "recipe_digest": "" if recipe is None else recipe.digest,
        "calibration_id": making.calibration_id,
        "inputs": [
            {"name": name, "path": array.path or "", "sha256": array.sha256}
            for name, array in arrays.items()
        ],
        "engine": making.engine,
        **_moving(making.goniometer),
        **software_versions(),
    }


def _moving(goniometer: Goniometer | None) -> dict[str, Any]:
    """Return what moves the detector, whole and as text like the recipe."""
    if goniometer is None:
        return {}
    return {
        "goniometer": json.dumps(goniometer.to_mapping(), sort_keys=True),
        "goniometer_digest": goniometer.digest,
    }


def software_versions() -> dict[str, Any]:
    """Return what a run of ours tells of the software that made it."""
    return {
        "ringline_version": version("ringline"),
        "software": {
            **{name: version(name) for name in ("ringline", "numpy", "h5py")},
            "python": platform.python_version(),
        },
    }


def made_here(start: Mapping[str, Any]) -> bool:
    """Whether a run is one of ours, which is not to be reduced, rather than a raw one."""
    purpose = start.get("purpose")
    return purpose == "reduction" or (purpose in _OTHERS and "ringline_version" in start)


def to_be_reduced(start: Mapping[str, Any]) -> bool:
    """Whether the frames of a run are to be reduced: those of a calibration's exposure are not.

    A geometry that is yet to be found would reduce them, and say nothing of the sample.
    """
    return not made_here(start) and start.get("purpose") != EXPOSURE


@dataclass(frozen=True, slots=True)
class StreamFiles:
    """A stream of a reduced run and the result file that holds its arrays."""

    run: str
    stream: str
    number: int
    """Of the file in the run."""
    path: Path
    columns: Mapping[str, ResultColumn]
    """The arrays in the file, by data key."""
    scalars: Sequence[str]
    """What is inside events."""

    @property
    def descriptor(self) -> str:
        """Uid of the descriptor: each file, made by one recipe, has its own."""
        return uid_within(self.run, self.stream, self.number)

    def resource(self, key: str) -> str:
        """Uid of the stream resource of a data key."""
        return uid_within(self.run, self.stream, self.number, key)

    def opening(self, reduction: Made) -> Documents:
        """Return descriptor and stream resources."""
        along = axis_name(reduction)
        dims = [along] if reduction.azimuth is None else ["azimuth", along]
        descriptor = {
            "uid": self.descriptor,
            "time": time.time(),
            "run_start": self.run,
            "name": self.stream,
            "data_keys": {
                **{key: _array_key(column, dims) for key, column in self.columns.items()},
                **{key: _scalar_key(key) for key in self.scalars},
            },
            "object_keys": {OBJECT: [*self.columns, *self.scalars]},
            "configuration": {OBJECT: _configuration(reduction)},
            "hints": {OBJECT: {"fields": ["intensity"]}},
        }
        resources = [
            {
                "uid": self.resource(key),
                "run_start": self.run,
                "data_key": key,
                "mimetype": "application/x-hdf5",
                "uri": uri_of_path(self.path),
                "parameters": {
                    "dataset": column.dataset,
                    "swmr": True,
                    # As its writer opens it: one process cannot open a file in two ways.
                    "locking": False,
                    "chunk_shape": list(column.chunk),
                },
            }
            for key, column in self.columns.items()
        ]
        return [("descriptor", descriptor), *(("stream_resource", doc) for doc in resources)]

    def rows(
        self, row: int, seq_num: int, scalars: Mapping[str, list[Any]], taken: list[float]
    ) -> Documents:
        """Return the documents of new rows.

        Parameters
        ----------
        row:
            The first one's place in the file.
        seq_num:
            The first one's number in the stream.
        scalars:
            What is inside events, a value for each row.
        taken:
            When each frame was taken, as far as known: the timestamps of the data. The events
            themselves are of now; an event older than its descriptor would be lost to readers
            that sort by time.
        """
        count, now = len(taken), time.time()
        data = [
            {
                "uid": uid_within(self.run, self.stream, self.number, key, row),
                "stream_resource": self.resource(key),
                "descriptor": self.descriptor,
                "indices": {"start": row, "stop": row + count},
                "seq_nums": {"start": seq_num, "stop": seq_num + count},
            }
            for key in self.columns
        ]
        numbers = list(range(seq_num, seq_num + count))
        page = {
            "uid": [uid_within(self.run, self.stream, "event", number) for number in numbers],
            "descriptor": self.descriptor,
            "time": [now] * count,
            "seq_num": numbers,
            "data": dict(scalars),
            "timestamps": dict.fromkeys(scalars, taken),
            "filled": {},
        }
        return [*(("stream_datum", doc) for doc in data), ("event_page", page)]


def stop_document(
    run: str, raw_stop: Mapping[str, Any], events: Mapping[str, int], more: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the stop: how the raw run ended, and the accounts."""
    return {
        "uid": uid_within(run, "stop"),
        "time": time.time(),
        "run_start": run,
        "exit_status": raw_stop.get("exit_status", "success"),
        "reason": raw_stop.get("reason", ""),
        "num_events": dict(events),
        **more,
    }


def frame_scalars(reduction: Made) -> tuple[str, ...]:
    """Return what the events of curves hold: the positions of a moving detector as well."""
    motors = reduction.motors if isinstance(reduction, MovingReduction) else ()
    return (*FRAME_SCALARS, *(position_key(motor) for motor in motors))


def axis_name(reduction: Made) -> str:
    """Return what curves are plotted against: ``radial``, or ``azimuth``."""
    return "azimuth" if unit_named(reduction.recipe.binning.unit).periodic else "radial"


def _array_key(column: ResultColumn, dims: list[str]) -> dict[str, Any]:
    return {
        "source": OBJECT,
        "dtype": "array",
        "dtype_numpy": column.dtype,
        "shape": list(column.row_shape),
        "dims": dims,
        "external": "STREAM:",
        "object_name": OBJECT,
    }


def _scalar_key(name: str) -> dict[str, Any]:
    dtype, dtype_numpy = _SCALARS.get(name, ("number", "<f8"))
    return {
        "source": OBJECT,
        "dtype": dtype,
        "dtype_numpy": dtype_numpy,
        "shape": [],
        "object_name": OBJECT,
    }


def _configuration(reduction: Made) -> dict[str, Any]:
    data: dict[str, Any] = {
        axis_name(reduction): reduction.axis.tolist(),
        "unit": reduction.recipe.binning.unit,
        "recipe_digest": reduction.recipe.digest,
        "recipe": reduction.recipe.to_json(),
        "engine": reduction.engine,
    }
    if reduction.azimuth is not None:
        data["azimuth"] = reduction.azimuth.tolist()
    if isinstance(reduction, MovingReduction):
        data |= _moving(reduction.goniometer)
    now = time.time()
    return {
        "data": data,
        "timestamps": dict.fromkeys(data, now),
        "data_keys": {key: _configured_key(value) for key, value in data.items()},
    }


def _configured_key(value: Any) -> dict[str, Any]:
    if isinstance(value, list):
        return {"source": OBJECT, "dtype": "array", "shape": [len(value)], "dtype_numpy": "<f8"}
    return {"source": OBJECT, "dtype": "string", "shape": []}


def finite_or_none(value: float) -> float | None:
    """Return None for NaN, which JSON does not know."""
    return None if math.isnan(value) else value
