"""Tango attributes made from the tables of settings and readings."""

from typing import Any

from tango import AttrWriteType, DispLevel
from tango.server import attribute

from ringline.device_servers.kinds import (
    BinEdges,
    Choice,
    Count,
    Interval,
    Kind,
    Number,
    Quantiles,
    Switch,
    UnitName,
)
from ringline.device_servers.reading import Reading
from ringline.device_servers.setting import Setting


def setting_attribute(setting: Setting) -> Any:
    """The read-write attribute of a setting.

    Memorized values are restored by the device itself, all at once before the first client
    comes (``hw_memorized`` would write them one by one, and drop those out of range silently).
    """

    def read(device: Any) -> Any:
        return on_wire(setting.kind, setting.value(device.settings))

    def write(device: Any, value: Any) -> None:
        device.write_setting(setting, value)

    kind = _type_of(setting.kind)
    memorized = setting.memorized and "max_dim_x" not in kind  # Tango memorizes scalars only
    return attribute(
        name=setting.name,
        fget=read,
        fset=write,
        access=AttrWriteType.READ_WRITE,
        label=setting.label,
        unit=setting.unit,
        doc=_doc(setting),
        memorized=memorized,
        **kind,
    )


def reading_attribute(reading: Reading) -> Any:
    """The read-only attribute of a reading."""
    dims = dict(zip(("max_dim_x", "max_dim_y"), reading.dims, strict=False))
    dtype = reading.dtype
    for _ in reading.dims:
        dtype = (dtype,)

    def read(device: Any) -> Any:
        return reading.value(device.readings)

    return attribute(
        name=reading.name,
        fget=read,
        dtype=dtype,
        label=reading.label,
        unit=reading.unit,
        doc=reading.doc,
        display_level=DispLevel.EXPERT if reading.expert else DispLevel.OPERATOR,
        **({"format": reading.format} if reading.format else {}),
        **dims,
    )


def _doc(setting: Setting) -> str:
    match setting.kind:
        case Choice(labels=labels) | UnitName(labels=labels):
            return f"{setting.doc} One of: {', '.join(labels)}."
        case _:
            return setting.doc


def on_wire(kind: Kind, value: Any) -> Any:
    """A setting's value as Tango carries it."""
    match kind:
        case Interval() | BinEdges():
            return list(value or (0.0, 0.0))
        case Quantiles():
            return list(value)
        case _:
            return value


def _type_of(kind: Kind) -> dict[str, Any]:
    match kind:
        case Interval() | Quantiles():
            return {"dtype": (float,), "max_dim_x": 2, "format": "%.15g"}
        case BinEdges(most=most):
            return {"dtype": (float,), "max_dim_x": most, "format": "%.15g"}
        case Number(above=above, low=low, high=high):
            least = above if low is None else low
            bounds = {"min_value": least, "max_value": high}
            given = {name: bound for name, bound in bounds.items() if bound is not None}
            # All digits: a panel shows a set point in this format, and Apply writes what it shows.
            return {"dtype": float, "format": "%.15g", **given}
        case Count(low=low, high=high):
            return {"dtype": int, "min_value": low, "max_value": high, "format": "%d"}
        case Switch():
            return {"dtype": bool}
        case _:
            return {"dtype": str}
