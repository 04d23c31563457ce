"""Finding reduced runs and reading their curves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ringline.callbacks.store import Store
from ringline.processing.result_layout import position_key
from ringline.processing.types import FloatArray, IntArray

if TYPE_CHECKING:
    from databroker.v1 import Broker, Header

ORIGINAL = "original_run_uid"
_COLUMNS = ("frame_index", "raw_seq_num", "intensity", "sigma", "std", "rejected")


def find_reduced(
    store: Store,
    *,
    raw_uid: str | None = None,
    sample: str | None = None,
    scan_id: int | None = None,
    calibration_id: str | None = None,
) -> list[Any]:
    """Return reduced runs through the Tiled client, newest first.

    Parameters
    ----------
    store:
        An open store.
    raw_uid:
        Uid of the raw run.
    sample:
        Name of the sample: ``sample`` of the raw run, or ``name`` in it.
    scan_id:
        Of the raw run.
    calibration_id:
        Of the geometry that the run began with: ``Calibration.id``, or what
        ``CalibrationHistory`` tells.
    """
    from tiled.queries import Key  # noqa: PLC0415 heavy

    found = store.reduced
    if raw_uid is not None:
        found = found.search(Key(f"start.{ORIGINAL}") == raw_uid)
    if scan_id is not None:
        found = found.search(Key("start.scan_id") == int(scan_id))
    if calibration_id is not None:
        found = found.search(Key("start.calibration_id") == calibration_id)
    runs = list(found.values())
    if sample is not None:
        # One key holds a name in one laboratory and a mapping in the next.
        runs = [run for run in runs if _sample_name(run.metadata["start"]) == sample]
    return sorted(runs, key=lambda run: float(run.metadata["start"]["time"]), reverse=True)


def find_reduced_headers(
    broker: Broker,
    *,
    raw_uid: str | None = None,
    sample: str | None = None,
    scan_id: int | None = None,
    calibration_id: str | None = None,
) -> list[Header]:
    """Return the same runs through databroker: ``find_reduced_headers(store.broker())``."""
    query: dict[str, Any] = {}
    if raw_uid is not None:
        query[ORIGINAL] = raw_uid
    if scan_id is not None:
        query["scan_id"] = int(scan_id)
    if calibration_id is not None:
        query["calibration_id"] = calibration_id
    headers = list(broker(**query))
    if sample is not None:
        headers = [header for header in headers if _sample_name(header.start) == sample]
    return sorted(headers, key=lambda header: float(header.start["time"]), reverse=True)


def _sample_name(start: Any) -> str | None:
    sample = start.get("sample", start.get("sample_name"))
    if hasattr(sample, "get"):
        sample = sample.get("name")
    return None if sample is None else str(sample)


@dataclass(frozen=True, slots=True)
class Curves:
    """All curves of one stream of a reduced run: a row a frame, or the sum of a scan."""

    axis: FloatArray
    """Bin centers in ``unit``, radial or those of an azimuthal profile, shape (bins,)."""
    unit: str
    azimuth: FloatArray | None
    """Azimuthal bin centers of cakes, degrees; None for curves."""
    intensity: FloatArray
    """Shape (rows, bins) or (rows, azimuthal bins, bins)."""
    sigma: FloatArray | None
    """Standard error, shape of `intensity`; None without an error model."""
    std: FloatArray | None
    """Standard deviation of a pixel, likewise."""
    rejected: IntArray | None
    """Pixels left out in each frame because of what it holds; None for a sum."""
    frame_index: IntArray | None
    """Index of each frame in its detector's file, or count of images inside events; None for a
    sum."""
    raw_seq_num: IntArray | None
    """Number of each frame in its stream of the raw run, from 1; None for a sum."""
    positions: Mapping[str, FloatArray]
    """Of the motors of a detector that moves, for each frame, by motor; else empty."""


def read_curves(run: Any, stream: str = "primary") -> Curves:
    """Read the curves of a reduced run which :func:`find_reduced` returned, also while it is open.

    Parameters
    ----------
    run:
        A run from the Tiled client.
    stream:
        ``primary``, or one of a recipe that made curves of another length or kind
        (``primary_2``). ``total``, or likewise ``total_2``: the scan's sum, a row for each part
        of the scan that one recipe reduced, there when the run has ended.
    """
    node = run[stream]
    axes = node.metadata["configuration"]["ringline"]["data"]
    # What the descriptor promises, not what is there: an open run must not pass for a sum
    # because the numbers of its frames are still on their way.
    promised = node.metadata["data_keys"]
    positions = [key for key in promised if key.startswith(position_key(""))]
    wanted = [*(key for key in _COLUMNS if key in promised), *positions]
    columns = {key: np.asarray(node[key].read()) for key in wanted}
    # An open run grows between two requests.
    rows = min(len(values) for values in columns.values())
    found = {key: values[:rows] for key, values in columns.items()}
    azimuth = axes.get("azimuth")
    # An azimuthal profile has no radial axis: the azimuth is what it is plotted against.
    along, across = (axes["radial"], azimuth) if "radial" in axes else (azimuth, None)
    return Curves(
        axis=np.asarray(along, dtype=float),
        unit=axes["unit"],
        azimuth=None if across is None else np.asarray(across, dtype=float),
        intensity=found["intensity"],
        sigma=found.get("sigma"),
        std=found.get("std"),
        rejected=found.get("rejected"),
        frame_index=found.get("frame_index"),
        raw_seq_num=found.get("raw_seq_num"),
        positions={key.removeprefix(position_key("")): found[key] for key in positions},
    )
