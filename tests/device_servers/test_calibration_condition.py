"""State and Status of a calibrator as a function of the facts."""

from dataclasses import replace

import pytest

from ringline.device_servers.calibration_condition import CalibrationFacts, condition_of
from ringline.device_servers.calibration_readings import CalibrationReadings, Outcome
from ringline.device_servers.calibration_settings import CalibrationSettings
from ringline.device_servers.drift import DriftShown, Look
from ringline.device_servers.known import Condition
from tests.device_servers.calibrators import FOUND, calibration_of

SET = CalibrationSettings(calibrant="LaB6", energy=20.0, detector="Pilatus1M", image="/a.h5")
READY = CalibrationFacts(settings=SET, readings=CalibrationReadings(), opening=False)
PASSED = Outcome.of(calibration_of(FOUND), "uid", "")
FAILED = Outcome.of(calibration_of(FOUND, passed=False), "uid", "")
MOVED = DriftShown(
    words="too few rings",
    last=Look(calibration="0123456789", words="moved: by a lot, on a.h5", told=True, alarm=True),
)


def showing(**readings: object) -> CalibrationFacts:
    return replace(READY, readings=replace(READY.readings, **readings))


@pytest.mark.parametrize(
    ("facts", "condition", "words"),
    [
        (READY, Condition.ON, "ready: call Calibrate"),
        (replace(READY, opening=True), Condition.INIT, "opening the store"),
        (replace(READY, failure="no disk", running=True), Condition.FAULT, "no disk: correct it"),
        (
            replace(READY, settings=CalibrationSettings()),
            Condition.STANDBY,
            "not configured: set calibrant, energy, detector, image",
        ),
        (
            replace(READY, settings=CalibrationSettings(guess="current")),
            Condition.STANDBY,
            "not configured: set calibrant, image",
        ),
        (
            replace(showing(step="measuring rings", progress=0.4), running=True, problem="x"),
            Condition.RUNNING,
            "measuring rings (40%)",
        ),
        (replace(READY, busy="rejecting"), Condition.RUNNING, "rejecting"),
        (replace(READY, problem="no mask"), Condition.ALARM, "no mask: correct this setting"),
        (
            replace(READY, forgotten={"energy": "memorized energy is ignored: x"}),
            Condition.ALARM,
            "memorized energy is ignored: x: set it again",
        ),
        (showing(outcome=PASSED), Condition.ON, "accepted: 7 rings: call Accept"),
        (
            showing(outcome=PASSED, in_force=PASSED.id),
            Condition.ON,
            f"in force: calibration {PASSED.id[:8]}",
        ),
        (showing(outcome=PASSED, dismissed=True), Condition.ON, "rejected by the operator"),
        (showing(outcome=FAILED), Condition.ALARM, "rejected: only 2 rings"),
        (
            showing(outcome=PASSED, in_force=PASSED.id, drift=MOVED),
            Condition.ALARM,
            "moved: by a lot, on a.h5, since calibration 01234567: Calibrate and Accept, or put",
        ),
        (replace(showing(drift=MOVED), running=True), Condition.RUNNING, " (0%)"),
        (
            showing(outcome=PASSED, lost="the calibration failed: no disk"),
            Condition.ALARM,
            "the calibration failed: no disk: correct it, then call Calibrate",
        ),
    ],
)
def test_state_and_status_follow_from_the_facts(
    facts: CalibrationFacts, condition: Condition, words: str
) -> None:
    found, status = condition_of(facts)
    assert found == condition
    assert status.startswith(words)
    assert "\n" not in status
