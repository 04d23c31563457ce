"""The state of a calibrator and its one actionable line, as a pure function of the facts."""

from collections.abc import Iterator
from dataclasses import dataclass

from ringline.device_servers.calibration_readings import CalibrationReadings
from ringline.device_servers.calibration_settings import CalibrationSettings
from ringline.device_servers.known import (
    Condition,
    Finding,
    Known,
    forgotten_findings,
    grave_findings,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationFacts(Known):
    """Everything that is known about a calibrator, at one moment."""

    settings: CalibrationSettings
    readings: CalibrationReadings
    running: bool = False
    """A calibration is being made."""


def condition_of(facts: CalibrationFacts) -> Finding:
    """State and Status; Status says what to do."""
    return next(_findings(facts))


def _findings(facts: CalibrationFacts) -> Iterator[Finding]:
    """All that holds, the gravest first; a calibration that goes on is what a client waits for."""
    readings = facts.readings
    yield from grave_findings(facts)
    if facts.running:
        yield Condition.RUNNING, f"{readings.step} ({readings.progress:.0%})"
    if facts.busy:
        yield Condition.RUNNING, facts.busy
    if readings.drift.last.alarm:
        yield Condition.ALARM, _drift(readings)
    if facts.problem:
        yield Condition.ALARM, f"{facts.problem}: correct this setting"
    yield from forgotten_findings(facts)
    if readings.lost:
        yield Condition.ALARM, f"{readings.lost}: correct it, then call Calibrate"
    if readings.outcome.uid:
        yield _outcome(readings)
    if missing := facts.settings.not_set():
        yield Condition.STANDBY, f"not configured: set {', '.join(missing)}"
    yield Condition.ON, "ready: call Calibrate"


def _drift(readings: CalibrationReadings) -> str:
    look = readings.drift.last
    return (
        f"{look.words}, since calibration {look.calibration[:8]}: Calibrate and Accept, or put "
        "the detector back; watch_period 0 ends the alarm"
    )


def _outcome(readings: CalibrationReadings) -> Finding:
    outcome = readings.outcome
    if readings.dismissed:
        return Condition.ON, "rejected by the operator: call Calibrate for another"
    if not outcome.accepted:
        return Condition.ALARM, outcome.verdict
    if outcome.id == readings.in_force:
        return Condition.ON, f"in force: calibration {outcome.id[:8]}"
    return Condition.ON, f"{outcome.verdict}: call Accept to put it in force, or Reject"
