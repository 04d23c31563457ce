"""The state of a reducer and its one actionable line, as a pure function of the facts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from ringline.callbacks import Accounts
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
    forgotten: Mapping[str, str] = field(default_factory=dict)
    """Memorized settings that could not be restored, and have not been set since: why."""
    busy: str = ""
    """What the worker does now."""
    open_runs: tuple[str, ...] = ()
    """Raw runs that are not yet reduced and stored to the end."""


def condition_of(facts: Facts) -> tuple[Condition, str]:
    """State and Status; Status says what to do."""
    return next(_findings(facts))


def _findings(facts: Facts) -> Iterator[tuple[Condition, str]]:
    """All that holds, the gravest first."""
    readings = facts.readings
    if facts.failure:
        yield Condition.FAULT, f"{facts.failure}: correct it, then call Init"
    if facts.opening:
        yield Condition.INIT, "opening the store"
    if facts.problem:
        stays = "; the former recipe stays in force" if readings.recipe else ""
        yield Condition.ALARM, f"{facts.problem}: correct this setting{stays}"
    if facts.forgotten:
        yield Condition.ALARM, f"{'; '.join(facts.forgotten.values())}: set it again"
    if missing := facts.settings.not_set():
        yield Condition.STANDBY, f"not configured: call LoadPoni, or set {', '.join(missing)}"
    if readings.accounts.failed or readings.accounts.dropped:
        yield Condition.ALARM, _losses(readings.accounts)
    if facts.busy:
        yield Condition.RUNNING, facts.busy
    if facts.open_runs:
        yield Condition.RUNNING, f"reducing run {', '.join(uid[:8] for uid in facts.open_runs)}"
    yield Condition.ON, f"ready: {_product(facts.settings)}"


def _losses(accounts: Accounts) -> str:
    lost = accounts.failed + accounts.dropped
    most = max(accounts.causes, key=lambda cause: accounts.causes[cause], default="unknown cause")
    return f"{lost} of {accounts.seen} frames failed ({most}): correct it, then call Reset"


def _product(settings: Settings) -> str:
    detector = "a detector" if settings.detector.startswith("{") else settings.detector
    if not settings.radial_bins:
        return f"{settings.azimuthal_bins} bins in {settings.azimuthal_unit} from {detector}"
    rows = f" x {settings.azimuthal_bins} azimuthal" if settings.azimuthal_bins else ""
    return f"{settings.radial_bins} bins in {settings.radial_unit}{rows} from {detector}"
