"""The state of a reducer and its one actionable line, as a pure function of the facts."""

from dataclasses import dataclass
from enum import Enum

from ringline.device_servers.readings import Readings
from ringline.device_servers.settings import Settings


class Condition(Enum):
    """States, by their Tango names."""

    INIT = "INIT"
    STANDBY = "STANDBY"
    ON = "ON"
    RUNNING = "RUNNING"
    ALARM = "ALARM"
    FAULT = "FAULT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that is known about a reducer, at one moment."""

    settings: Settings
    readings: Readings
    opening: bool = True
    """The store is not open yet."""
    failure: str = ""
    """Why nothing works."""
    problem: str = ""
    """Why the settings do not make a recipe."""
    forgotten: str = ""
    """Memorized settings that could not be restored."""
    busy: str = ""
    """What the worker does now."""


def condition_of(facts: Facts) -> tuple[Condition, str]:
    """State and Status; Status says what to do."""
    accounts = facts.readings.accounts
    if facts.failure:
        return Condition.FAULT, f"{facts.failure}: correct it, then call Init"
    if facts.opening:
        return Condition.INIT, "opening the store"
    if facts.problem:
        stays = "; the former recipe stays in force" if facts.readings.recipe else ""
        return Condition.ALARM, f"{facts.problem}: correct this setting{stays}"
    if facts.forgotten:
        return Condition.ALARM, f"{facts.forgotten}: set it again, or accept the default by Reset"
    missing = facts.settings.not_set()
    if missing:
        return Condition.STANDBY, f"not configured: call LoadPoni, or set {', '.join(missing)}"
    lost = accounts.failed + accounts.dropped
    if lost:
        cause = max(accounts.causes, key=lambda text: accounts.causes[text], default="")
        return (
            Condition.ALARM,
            f"{lost} of {accounts.seen} frames failed, mostly: {cause or 'see last_error'}: "
            "the others are reduced; Reset clears this",
        )
    if facts.busy:
        return Condition.RUNNING, facts.busy
    if facts.readings.lag:
        return Condition.RUNNING, "reducing frames"
    return Condition.ON, f"ready: {_product(facts.settings)}"


def _product(settings: Settings) -> str:
    rows = f" x {settings.azimuthal_bins} azimuthal" if settings.azimuthal_bins else ""
    detector = "a detector" if settings.detector.startswith("{") else settings.detector
    return f"{settings.radial_bins} bins in {settings.radial_unit}{rows} from {detector}"
