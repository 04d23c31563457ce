"""Plain calls to a ``GeometryCalibrator``, for threads."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tango

from ringline.plans.tango_client import CALL_TIMEOUT_MS, SEND_TIMEOUT_MS, TangoClient, cause
from ringline.processing import RecipeError

_READ = (
    *("distance", "poni1", "poni2", "rot1", "rot2", "rot3", "wavelength"),
    *("accepted", "verdict", "calibration_id", "calibration_uid", "in_force"),
)
_OUTCOME = (
    *("verdict", "accepted", "calibration_id", "calibration_uid", "in_force"),
    *("raw_uid", "step", "last_error"),
)


@dataclass(frozen=True, slots=True)
class CalibratorReadiness:
    """What a plan asks the server before it exposes."""

    state: str
    status: str
    readable_folders: tuple[Path, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationOutcome:
    """What came of a calibration."""

    raw_uid: str
    """Of the run with the exposure; "" where there was none."""
    calibration_id: str
    """By which reduced runs name it; "" where no geometry was found."""
    calibration_uid: str
    """Of its run in the store."""
    verdict: str
    """In words."""
    passed: bool
    """Whether every check of the verdict passed."""
    accepted: bool
    """Whether it is the calibration in force."""
    remark: str = ""
    """What the device did last, or why it failed."""


class CalibratorClient(TangoClient):
    """Plain Tango calls, for threads; each ends within its time limit."""

    def values(self) -> dict[str, Any] | None:
        """The readings; None where it does not answer."""
        return self.read(_READ)

    def state(self) -> tuple[str, str] | None:
        """State and Status; None where it does not answer."""
        try:
            proxy = self.proxy(CALL_TIMEOUT_MS)
            return str(proxy.state()), " ".join(proxy.status().split())
        except tango.DevFailed:
            return None

    def outcome(self) -> CalibrationOutcome | None:
        """Of the newest calibration; None where it does not answer."""
        found = self.read(_OUTCOME)
        if found is None:
            return None
        identifier = found["calibration_id"] or ""
        return CalibrationOutcome(
            raw_uid=found["raw_uid"] or "",
            calibration_id=identifier,
            calibration_uid=found["calibration_uid"] or "",
            verdict=found["verdict"] or "",
            passed=bool(found["accepted"]),
            accepted=bool(identifier) and identifier == found["in_force"],
            remark=found["last_error"] or found["step"] or "",
        )

    def readiness(self) -> CalibratorReadiness:
        """See :class:`CalibratorReadiness`; RecipeError where it does not answer."""
        try:
            proxy = self.proxy(SEND_TIMEOUT_MS)
            folders = proxy.read_attribute("readable_folders").value or ()
            return CalibratorReadiness(
                state=str(proxy.state()),
                status=" ".join(proxy.status().split()),
                readable_folders=tuple(Path(folder) for folder in folders),
            )
        except tango.DevFailed as error:
            raise RecipeError(
                f"calibrator {self.trl} does not answer: start it with `ringline serve` "
                f"({cause(error)})"
            ) from error
