"""State and Status as a function of the facts."""

from dataclasses import replace

import pytest

from ringline.callbacks import Accounts
from ringline.device_servers.condition import Condition, Facts, condition_of
from ringline.device_servers.readings import Curve, Readings
from ringline.device_servers.settings import Settings

SET = Settings(distance=1.0, wavelength=1e-10, detector="Pilatus1M")
READINGS = Readings(curve=Curve.blank(3))
READY = Facts(settings=SET, readings=READINGS, opening=False)
LOST = Accounts(seen=9, reduced=5, dropped=1, failed=3, causes={"torn file": 3, "no room": 1})


@pytest.mark.parametrize(
    ("facts", "condition", "words"),
    [
        (READY, Condition.ON, "ready: 1000 bins in q_nm^-1 from Pilatus1M"),
        (
            replace(READY, settings=replace(SET, radial_bins=0, azimuthal_bins=36)),
            Condition.ON,
            "ready: 36 bins in chi_deg from Pilatus1M",
        ),
        (replace(READY, opening=True), Condition.INIT, "opening the store"),
        (replace(READY, settings=Settings()), Condition.STANDBY, "call LoadPoni, or set distance"),
        (replace(READY, busy="reducing a.h5"), Condition.RUNNING, "reducing a.h5"),
        (replace(READY, open_runs=("abcdefghi",)), Condition.RUNNING, "reducing run abcdefgh"),
        (replace(READY, problem="bins"), Condition.ALARM, "bins: correct this setting"),
        (
            replace(READY, forgotten={"x": "memorized x", "y": "memorized y"}),
            Condition.ALARM,
            "memorized x; memorized y: set it again",
        ),
        (
            replace(READY, readings=replace(READINGS, accounts=LOST)),
            Condition.ALARM,
            "4 of 9 frames failed (torn file): correct it, then call Reset",
        ),
        (replace(READY, failure="no disk"), Condition.FAULT, "no disk: correct it, then call Init"),
    ],
)
def test_each_fact_has_its_state_and_says_what_to_do(
    facts: Facts, condition: Condition, words: str
) -> None:
    found, status = condition_of(facts)
    assert (found, words in status) == (condition, True), status
    assert "\n" not in status


def test_the_gravest_fact_wins() -> None:
    all_at_once = replace(READY, failure="no disk", problem="bins", busy="compiling")
    assert condition_of(all_at_once)[0] is Condition.FAULT
    assert condition_of(replace(all_at_once, failure=""))[0] is Condition.ALARM
