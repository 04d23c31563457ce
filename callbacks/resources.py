"""What resource documents say about files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ringline.callbacks.frames import InFile, new_style
from ringline.callbacks.uris import path_of_uri

_AREA_DETECTOR_DATASET = "/entry/data/data"


def location_of_stream(doc: Mapping[str, Any]) -> InFile:
    """Return where a StreamResource's frames are."""
    parameters = doc.get("parameters") or {}
    uri = doc["uri"]
    path = path_of_uri(uri)
    dataset = parameters.get("dataset") or parameters.get("path")
    template = parameters.get("template")
    if template is None:
        return InFile(doc["uid"], path, _dataset(dataset))
    name = new_style(template, parameters.get("filename", ""))
    separator = "/" if uri.endswith("/") and not name.startswith("/") else ""
    return InFile(doc["uid"], path, _dataset(dataset), separator + name)


def location_of_resource(doc: Mapping[str, Any]) -> InFile:
    """Return where a Resource's frames are."""
    kwargs = doc.get("resource_kwargs") or {}
    spec = str(doc.get("spec", "")).upper()
    path = Path(doc.get("root") or "/") / str(doc["resource_path"]).lstrip("/")
    if not doc.get("root"):
        path = Path(doc["resource_path"])
    if spec == "NPY_SEQ":
        return InFile(doc["uid"], path, None, "_{}.npy")
    if template := kwargs.get("template"):
        folder = f"{path}/"
        name = new_style(template, folder, kwargs.get("filename", ""))
        return InFile(doc["uid"], Path("/"), None, name.removeprefix("/"))
    dataset = kwargs.get("dataset") or kwargs.get("path") or kwargs.get("key")
    if dataset is None and spec.startswith("AD_HDF5"):
        dataset = _AREA_DETECTOR_DATASET
    return InFile(doc["uid"], path, _dataset(dataset))


def datum_range(
    resource: Mapping[str, Any], datum: Mapping[str, Any], per_event: int, number: int
) -> range:
    """Return the frames of a Datum.

    Parameters
    ----------
    resource:
        The document of its file.
    datum:
        Which part of the file.
    per_event:
        Frames of an event by the descriptor.
    number:
        How many Datums of the file came before, for those which say nothing themselves.
    """
    kwargs = datum.get("datum_kwargs") or {}
    each = int((resource.get("resource_kwargs") or {}).get("frame_per_point") or per_event)
    if indices := kwargs.get("indices"):
        return range(int(indices["start"]), int(indices["stop"]))
    for name in ("frame", "index", "frame_index"):
        if name in kwargs:
            return range(int(kwargs[name]), int(kwargs[name]) + each)
    point = int(kwargs.get("point_number", number))
    return range(point * each, (point + 1) * each)


def _dataset(name: Any) -> str | None:
    return None if name is None else str("/".join(name) if isinstance(name, list | tuple) else name)
