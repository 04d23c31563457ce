"""Finding reduced runs and reading their curves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ringline.callbacks.store import Store
from ringline.processing.types import FloatArray, IntArray

if TYPE_CHECKING:
    from databroker.v1 import Broker, Header

ORIGINAL = "original_run_uid"


def find_reduced(
    store: Store,
    *,
    raw_uid: str | None = None,
    sample: str | None = None,
    scan_id: int | None = None,
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
    """
    from tiled.queries import Key  # noqa: PLC0415 heavy

    found = store.reduced
    if raw_uid is not None:
        found = found.search(Key(f"start.{ORIGINAL}") == raw_uid)
    if scan_id is not None:
        found = found.search(Key("start.scan_id") == int(scan_id))
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
) -> list[Header]:
    """Return the same runs through databroker: ``find_reduced_headers(store.broker())``."""
    query: dict[str, Any] = {}
    if raw_uid is not None:
        query[ORIGINAL] = raw_uid
    if scan_id is not None:
        query["scan_id"] = int(scan_id)
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
    """All curves of one stream of a reduced run."""

    axis: FloatArray
    """Radial bin centers, shape (bins,)."""
    unit: str
    azimuth: FloatArray | None
    """Azimuthal bin centers, degrees; None for curves."""
    intensity: FloatArray
    """Shape (rows, bins) or (rows, azimuthal bins, bins)."""
    sigma: FloatArray | None
    """Shape of `intensity`; None without an error model."""
    frame_index: IntArray
    raw_seq_num: IntArray


def read_curves(run: Any, stream: str = "primary") -> Curves:
    """Read the curves of a reduced run which :func:`find_reduced` returned, also while it is open.

    Parameters
    ----------
    run:
        A run from the Tiled client.
    stream:
        ``primary``, ``total``, or one of a recipe that made curves of another length.
    """
    node = run[stream]
    axes = node.metadata["configuration"]["ringline"]["data"]
    keys = set(node)
    columns = {key: np.asarray(node[key].read()) for key in ("frame_index", "raw_seq_num")}
    columns |= {key: np.asarray(node[key].read()) for key in ("intensity", "sigma") if key in keys}
    # An open run grows between two requests.
    rows = min(len(values) for values in columns.values())
    azimuth = axes.get("azimuth")
    return Curves(
        axis=np.asarray(axes["radial"], dtype=float),
        unit=axes["unit"],
        azimuth=None if azimuth is None else np.asarray(azimuth, dtype=float),
        intensity=columns["intensity"][:rows],
        sigma=columns["sigma"][:rows] if "sigma" in columns else None,
        frame_index=columns["frame_index"][:rows],
        raw_seq_num=columns["raw_seq_num"][:rows],
    )
