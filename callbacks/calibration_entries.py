"""What the history tells: calibrations, decisions about them, and when each was in force."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from ringline.callbacks.calibration_documents import PARAMETERS
from ringline.callbacks.documents import DECISION, software_versions
from ringline.processing import (
    Geometry,
    RecipeError,
    geometry_digest,
    geometry_from_mapping,
    geometry_to_mapping,
)

Kind = Literal["accept", "restore", "revert", "reject"]
"""What was decided: a new calibration, an older one, the geometry of before, or none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCalibration:
    """A calibration in the store, without its points and its image."""

    uid: str
    """Of its run."""
    id: str
    """``Calibration.id``; "" where no geometry was found."""
    time: float
    """When it was made, seconds since the epoch."""
    calibrant: str
    energy_kev: float
    detector: str
    accepted: bool
    """Whether it passed its checks."""
    verdict: str
    device: str
    raw_uid: str
    file: Path
    """That ``read_calibration`` reads."""
    record: Mapping[str, Any]
    """As ``calibration_to_mapping`` gives it, without ``rings``, ``points`` and ``curve``."""

    @property
    def geometry(self) -> Geometry | None:
        """What was found; None where nothing was."""
        found = self.record.get("geometry")
        return None if found is None else geometry_from_mapping(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """That a geometry was put in force for a device, or a calibration rejected."""

    kind: Kind
    device: str
    time: float
    """Seconds since the epoch."""
    id: str
    """Of the geometry that was put in force, or rejected."""
    calibration_uid: str = ""
    """Of the run of the calibration; "" where the geometry came from none."""
    geometry: Geometry | None = None
    """That was put in force; None for a rejection."""
    former: Geometry | None = None
    """That was in force before; None where none was known."""

    @property
    def former_id(self) -> str:
        """By which reduced runs name the former geometry; "" where none was known."""
        return "" if self.former is None else geometry_digest(self.former)


@dataclass(frozen=True, slots=True, kw_only=True)
class Validity:
    """When a geometry was in force for a device."""

    decision: Decision
    stop: float | None
    """When the next one was put in force, seconds since the epoch; None: it still is."""

    @property
    def start(self) -> float:
        """When it was put in force."""
        return self.decision.time


def stored_calibration(start: Mapping[str, Any]) -> StoredCalibration:
    """Return the calibration of a start document."""
    return StoredCalibration(
        uid=start["uid"],
        id=start["calibration_id"],
        time=float(start["time"]),
        calibrant=start["calibrant"],
        energy_kev=float(start["energy_kev"]),
        detector=start["detector"],
        accepted=bool(start["accepted"]),
        verdict=start["verdict"],
        device=start["device"],
        raw_uid=start.get("original_run_uid", ""),
        file=Path(start["file"]),
        record=json.loads(start["calibration"]),
    )


def decision_start(uid: str, decision: Decision) -> dict[str, Any]:
    """Return the start document of a decision."""
    return {
        "uid": uid,
        "time": decision.time,
        "purpose": DECISION,
        "decision": decision.kind,
        "device": decision.device,
        "calibration_id": decision.id,
        "calibration_uid": decision.calibration_uid,
        "geometry": _text(decision.geometry),
        "former_id": decision.former_id,
        "former": _text(decision.former),
        **software_versions(),
    }


def stored_decision(start: Mapping[str, Any]) -> Decision:
    """Return the decision of a start document."""
    return Decision(
        kind=start["decision"],
        device=start["device"],
        time=float(start["time"]),
        id=start["calibration_id"],
        calibration_uid=start["calibration_uid"],
        geometry=_geometry(start["geometry"]),
        former=_geometry(start["former"]),
    )


def validities(decisions: Iterable[Decision]) -> list[Validity]:
    """Return when each geometry was in force for one device: from its decision to the next.

    Parameters
    ----------
    decisions:
        Of one device, in any order.
    """
    ruling = sorted((d for d in decisions if d.kind != "reject"), key=lambda d: d.time)
    ends = [*(after.time for after in ruling[1:]), None]
    return [
        Validity(decision=decision, stop=end)
        for decision, end in zip(ruling, ends[: len(ruling)], strict=True)
    ]


def summarized(
    entries: Iterable[StoredCalibration], periods: Sequence[Validity]
) -> list[dict[str, Any]]:
    """Return calibrations as plain values, each with its times in force for one device.

    ``accepted_at``, ``valid_from`` and ``valid_to`` are of the newest time, None where there is
    none; ``periods`` are all of them, oldest first. Times are ISO 8601, UTC.

    Parameters
    ----------
    entries:
        The calibrations.
    periods:
        Of the device, oldest first.
    """
    return [
        {
            "id": entry.id,
            "uid": entry.uid,
            "time": _iso(entry.time),
            "calibrant": entry.calibrant,
            "energy": entry.energy_kev,
            "detector": entry.detector,
            "passed": entry.accepted,
            "verdict": entry.verdict,
            **_times([each for each in periods if each.decision.calibration_uid == entry.uid]),
        }
        for entry in entries
    ]


def compared(one: StoredCalibration, other: StoredCalibration) -> dict[str, Any]:
    r"""Return how two calibrations differ, the second minus the first.

    The error of a difference is :math:`\sqrt{\sigma_1^2 + \sigma_2^2}`: that of two images
    measured apart. A parameter that was not refined counts as exact; where neither was, there is
    no error, and ``sigmas`` is None.

    Raises
    ------
    RecipeError
        One has no geometry.
    """
    for entry in (one, other):
        if "geometry" not in entry.record:
            raise RecipeError(f"calibration {entry.uid} found no geometry: {entry.verdict}")
    geometries = [entry.record["geometry"] for entry in (one, other)]
    return {
        "ids": [one.id, other.id],
        "uids": [one.uid, other.uid],
        "same_detector": geometries[0]["detector"] == geometries[1]["detector"],
        "same_image": one.record["image_sha256"] == other.record["image_sha256"],
        "parameters": {
            name: {"unit": unit, **_difference(name, one.record, other.record)}
            for name, unit in PARAMETERS.items()
        },
    }


def _difference(name: str, *records: Mapping[str, Any]) -> dict[str, Any]:
    values = [float(record["geometry"][name]) for record in records]
    errors = [record["errors"].get(name) for record in records]
    known = [error for error in errors if error is not None]
    difference = values[1] - values[0]
    error = math.hypot(*known) if known else None
    return {
        "values": values,
        "errors": errors,
        "difference": difference,
        "error": error,
        "sigmas": difference / error if error else None,
    }


def _times(periods: Sequence[Validity]) -> dict[str, Any]:
    all_of_them = [[_iso(each.start), _iso(each.stop)] for each in periods]
    begin, end = all_of_them[-1] if all_of_them else (None, None)
    return {
        "accepted_at": begin,
        "valid_from": begin,
        "valid_to": end,
        "periods": all_of_them,
    }


def _iso(when: float | None) -> str | None:
    return None if when is None else datetime.fromtimestamp(when, UTC).isoformat()


def _text(geometry: Geometry | None) -> str:
    """As text: a store may drop digits."""
    return "" if geometry is None else json.dumps(geometry_to_mapping(geometry))


def _geometry(text: str) -> Geometry | None:
    return geometry_from_mapping(json.loads(text)) if text else None
