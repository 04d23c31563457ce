"""Documents as values that nobody else changes, and as JSON text."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import PurePath
from typing import Any

import numpy as np

_ARRAY = "__ndarray__"


def snapshot(value: Any) -> Any:
    """Copy a document so far that later changes by its maker do not reach the copy."""
    if isinstance(value, Mapping):
        return {key: snapshot(item) for key, item in value.items()}
    if isinstance(value, list):
        return [snapshot(item) for item in value]
    if isinstance(value, tuple):
        return tuple(snapshot(item) for item in value)
    if isinstance(value, np.ndarray):
        return value.copy()
    return value


def to_json(value: Any) -> str:
    """Return JSON text. Arrays keep type and shape; floats keep every digit."""
    return json.dumps(value, default=_plain, separators=(",", ":"))


def from_json(text: str) -> Any:
    """Read what :func:`to_json` wrote."""
    return json.loads(text, object_hook=_restored)


def _plain(value: Any) -> Any:
    for kinds, convert in _CONVERSIONS:
        if isinstance(value, kinds):
            return convert(value)
    return repr(value)


def _array(value: np.ndarray[Any, Any]) -> Any:
    if value.dtype.hasobject:
        return value.tolist()
    raw = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode("ascii")
    return {_ARRAY: [value.dtype.str, list(value.shape), raw]}


_CONVERSIONS: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (np.ndarray, _array),
    (np.generic, lambda value: value.item()),
    (Mapping, dict),
    ((bytes, set, frozenset, range), list),
    (date, lambda value: value.isoformat()),
    (PurePath, str),
)


def _restored(mapping: dict[str, Any]) -> Any:
    if set(mapping) == {_ARRAY}:
        kind, shape, raw = mapping[_ARRAY]
        return np.frombuffer(base64.b64decode(raw), dtype=kind).reshape(shape).copy()
    return mapping
