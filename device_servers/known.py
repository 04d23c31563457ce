"""What every device of this server knows about itself, and the states that it can be in."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Condition(Enum):
    """States, by their Tango names."""

    INIT = "INIT"
    STANDBY = "STANDBY"
    ON = "ON"
    RUNNING = "RUNNING"
    ALARM = "ALARM"
    FAULT = "FAULT"


Finding = tuple[Condition, str]
"""A state, and the line that says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Facts about a device, at one moment."""

    settings: Any
    """All its settings: a frozen dataclass."""
    readings: Any
    """All its readings: a frozen dataclass."""
    opening: bool = True
    """The store is not open yet."""
    failure: str = ""
    """Why nothing works."""
    problem: str = ""
    """Why the settings together are of no use."""
    forgotten: Mapping[str, str] = field(default_factory=dict)
    """Memorized settings that could not be restored, and have not been set since: why."""
    busy: str = ""
    """What the worker does now."""


def grave_findings(known: Known) -> Iterator[Finding]:
    """What keeps any device from working."""
    if known.failure:
        yield Condition.FAULT, f"{known.failure}: correct it, then call Init"
    if known.opening:
        yield Condition.INIT, "opening the store"


def forgotten_findings(known: Known) -> Iterator[Finding]:
    """Memorized settings that are lost."""
    if known.forgotten:
        yield Condition.ALARM, f"{'; '.join(known.forgotten.values())}: set it again"
