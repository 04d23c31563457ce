"""Plans wait while the detector does not stand where it was calibrated."""

from collections.abc import Mapping
from typing import Any

from bluesky import RunEngine
from bluesky.protocols import Reading
from bluesky.suspenders import SuspendBoolHigh

from ringline.plans.calibration_device import CalibrationDevice


class SuspendOnDrift(SuspendBoolHigh):
    """Suspends plans while the drift alarm of a calibrator is on.

    ``RE.install_suspender(SuspendOnDrift(calibrator))``: a plan then stops at its last checkpoint,
    and goes on once another geometry is in force, an image is within the error bars again, or
    somebody writes 0 to ``watch_period``. Bluesky's own suspenders take no signals of ophyd-async.

    Parameters
    ----------
    calibrator:
        Connected.
    sleep:
        Seconds that a plan still waits when the alarm has ended.
    """

    def __init__(self, calibrator: CalibrationDevice, *, sleep: float = 0.0) -> None:
        words = f"read {calibrator.drift.name or 'drift'} and Status of {calibrator.get_trl()}"
        super().__init__(  # type: ignore[no-untyped-call]
            calibrator.drift_alarm, sleep=sleep, tripped_message=words
        )

    def install(self, RE: RunEngine, *, event_type: str | None = None) -> None:  # noqa: ARG002, N803
        """Begin to listen; the present value counts."""
        with self._lock:
            self.RE = RE
        RE.loop.call_soon_threadsafe(self._sig.subscribe_reading, self._take)

    def remove(self) -> None:
        """Listen no more; what waits goes on."""
        engine = self.RE
        if engine is None:
            return
        engine.loop.call_soon_threadsafe(self._sig.clear_sub, self._take)
        self(False)  # noqa: FBT003 # as if the alarm had ended
        with self._lock:
            self.RE = None
            self._tripped = False

    def _take(self, reading: Mapping[str, Reading[Any]]) -> None:
        (found,) = reading.values()
        self(found["value"])
