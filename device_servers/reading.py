"""One reading, as people see it, and when it is news."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One reading of a device, as people see it."""

    name: str
    dtype: Any
    label: str
    doc: str
    value: Callable[[Any], Any]
    """Of all the readings of a device, this one."""
    unit: str = ""
    format: str = ""
    dims: tuple[int, ...] = ()
    expert: bool = False


def same(one: Any, other: Any) -> bool:
    """Whether a value need not be pushed again. Arrays are never changed in place."""
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return one is other
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return bool(one == other)
