"""Calibration: where the detector stands, from the rings of a powder, with a verdict."""

from ringline.processing.calibration.calibrate import Progress, calibrate
from ringline.processing.calibration.drift import Drift, drift_of
from ringline.processing.calibration.goniometer import calibrate_goniometer
from ringline.processing.calibration.goniometer_task import (
    Exposure,
    ExposureFit,
    GoniometerCalibration,
    GoniometerTask,
)
from ringline.processing.calibration.result import (
    Calibration,
    Check,
    ControlPoints,
    FittedRing,
    Verdict,
)
from ringline.processing.calibration.task import (
    REFINED,
    Bound,
    CalibrationTask,
    calibration_task,
)

__all__ = [
    "REFINED",
    "Bound",
    "Calibration",
    "CalibrationTask",
    "Check",
    "ControlPoints",
    "Drift",
    "Exposure",
    "ExposureFit",
    "FittedRing",
    "GoniometerCalibration",
    "GoniometerTask",
    "Progress",
    "Verdict",
    "calibrate",
    "calibrate_goniometer",
    "calibration_task",
    "drift_of",
]
