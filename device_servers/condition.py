"""The state of a reducer and its one actionable line, as a pure function of the facts."""

from collections.abc import Iterator
from dataclasses import dataclass

from ringline.callbacks import Accounts
from ringline.device_servers.known import (
    Condition,
    Finding,
    Known,
    forgotten_findings,
    grave_findings,
)
from ringline.device_servers.readings import Readings
from ringline.device_servers.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts(Known):
    """Everything that is known about a reducer, at one moment."""

    settings: Settings
    readings: Readings
    open_runs: tuple[str, ...] = ()
    """Raw runs that are not yet reduced and stored to the end."""


def condition_of(facts: Facts) -> Finding:
    """State and Status; Status says what to do."""
    return next(_findings(facts))


def _findings(facts: Facts) -> Iterator[Finding]:
    """All that holds, the gravest first."""
    readings = facts.readings
    yield from grave_findings(facts)
    if facts.problem:
        stays = "; the former recipe stays in force" if readings.recipe else ""
        yield Condition.ALARM, f"{facts.problem}: correct this setting{stays}"
    yield from forgotten_findings(facts)
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
