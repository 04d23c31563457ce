"""Detectors, devices that reduce and calibrate, and plans that take frames for them."""

from ringline.plans.calibration_device import CalibrationDevice
from ringline.plans.calibration_plans import CalibrationRejectedError, calibrate
from ringline.plans.calibrator_client import CalibrationOutcome
from ringline.plans.classic_detector import HANDLERS, ClassicDetector, GrowingHDF5Handler
from ringline.plans.drift_suspender import SuspendOnDrift
from ringline.plans.exposures import (
    Exposures,
    PlaybackExposures,
    SimulatedExposures,
    UnreadableExposures,
)
from ringline.plans.reduction_device import ReductionDevice
from ringline.plans.reduction_plans import (
    newest_curve,
    reduce_count,
    reduce_fly,
    reduce_scan,
    reduction_decorator,
    reduction_wrapper,
    until_reduced,
)
from ringline.plans.scene import Scene
from ringline.plans.simulated_detector import PlaybackDetector, SimulatedDetector, demo_scene

__all__ = [
    "HANDLERS",
    "CalibrationDevice",
    "CalibrationOutcome",
    "CalibrationRejectedError",
    "ClassicDetector",
    "Exposures",
    "GrowingHDF5Handler",
    "PlaybackDetector",
    "PlaybackExposures",
    "ReductionDevice",
    "Scene",
    "SimulatedDetector",
    "SimulatedExposures",
    "SuspendOnDrift",
    "UnreadableExposures",
    "calibrate",
    "demo_scene",
    "newest_curve",
    "reduce_count",
    "reduce_fly",
    "reduce_scan",
    "reduction_decorator",
    "reduction_wrapper",
    "until_reduced",
]
