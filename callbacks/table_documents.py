"""A stream of plain columns, all rows at once: what table programs read."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from ringline.callbacks.documents import OBJECT, Documents, uid_within

Columns = Mapping[str, Sequence[Any]]
"""Values of a stream by data key, one for each row: all bool, int or float."""


def table_documents(run: str, stream: str, columns: Columns, units: Mapping[str, str]) -> Documents:
    """Return descriptor and rows of a stream; nothing where there are no rows.

    Parameters
    ----------
    run:
        Uid of the run.
    stream:
        Name of the stream.
    columns:
        What is in it.
    units:
        Of each column; empty: none.
    """
    rows = rows_of(columns)
    if not rows:
        return []
    now, numbers = time.time(), list(range(1, rows + 1))
    keys = {name: data_key(values[0], units[name]) for name, values in columns.items()}
    page = {
        "uid": [uid_within(run, stream, "event", number) for number in numbers],
        "descriptor": uid_within(run, stream),
        "time": [now] * rows,
        "seq_num": numbers,
        "data": {name: list(values) for name, values in columns.items()},
        "timestamps": {name: [now] * rows for name in columns},
        "filled": {},
    }
    return [("descriptor", _descriptor(run, stream, keys)), ("event_page", page)]


def rows_of(columns: Columns) -> int:
    """Return how many rows there are."""
    return max((len(values) for values in columns.values()), default=0)


def _descriptor(run: str, stream: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "uid": uid_within(run, stream),
        "time": time.time(),
        "run_start": run,
        "name": stream,
        "data_keys": dict(keys),
        "object_keys": {OBJECT: list(keys)},
        "configuration": {},
        "hints": {},
    }


def data_key(value: object, unit: str) -> dict[str, Any]:
    """Return the description of a column, from one of its values."""
    kinds = {bool: ("boolean", "|b1"), int: ("integer", "<i8"), float: ("number", "<f8")}
    dtype, dtype_numpy = kinds[type(value)]
    units = {"units": unit} if unit else {}
    common = {"source": OBJECT, "shape": [], "object_name": OBJECT}
    return {**common, "dtype": dtype, "dtype_numpy": dtype_numpy, **units}
