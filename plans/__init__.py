"""Detectors, the reduction device and plans that take frames and have them reduced."""

from ringline.plans.classic_detector import HANDLERS, ClassicDetector, GrowingHDF5Handler
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
    "ClassicDetector",
    "Exposures",
    "GrowingHDF5Handler",
    "PlaybackDetector",
    "PlaybackExposures",
    "ReductionDevice",
    "Scene",
    "SimulatedDetector",
    "SimulatedExposures",
    "UnreadableExposures",
    "demo_scene",
    "newest_curve",
    "reduce_count",
    "reduce_fly",
    "reduce_scan",
    "reduction_decorator",
    "reduction_wrapper",
    "until_reduced",
]
