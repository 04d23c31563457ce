"""What a calibration found, with everything that a person needs to trust it or not."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ringline.processing.calibration.beam import beam_place
from ringline.processing.calibration.task import CalibrationTask
from ringline.processing.geometry import Geometry
from ringline.processing.recipe_mapping import geometry_digest
from ringline.processing.types import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class ControlPoints:
    """Places where rings were measured: one for each ring and sector of azimuth. Shape (n,)."""

    ring: IntArray
    """Index into ``Calibration.rings``."""
    slow: FloatArray
    """Pixels from the edge of the image, as stored."""
    fast: FloatArray
    chi: FloatArray
    """Azimuth, rad."""
    residual: FloatArray
    """Measured minus calculated 2theta, rad."""
    sigma: FloatArray
    """Standard error of the measured 2theta, rad."""
    used: IntArray
    """1 where the point took part in the last fit, 0 where it was an outlier."""

    def __len__(self) -> int:
        return len(self.ring)


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedRing:
    """One ring of the calibrant on the detector."""

    spacing: float
    """d, m."""
    two_theta: float
    """Calculated, rad."""
    indices: tuple[int, int, int] | None = None
    points: int = 0
    """Control points on it that were used."""
    coverage: float = 0.0
    """Part of its sectors on the detector in which it is there, 0 to 1."""
    residual: float = math.nan
    """Weighted mean of measured minus calculated 2theta, rad; NaN where it was not seen."""
    scatter: float = math.nan
    """Root mean square of the residuals of its points, rad."""


@dataclass(frozen=True, slots=True)
class Check:
    """One reason to trust a calibration, or not to."""

    name: str
    passed: bool
    words: str
    """What was found, and the bound, for people."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a calibration may be used, and why."""

    checks: tuple[Check, ...]

    @property
    def accepted(self) -> bool:
        """Whether every check passed."""
        return bool(self.checks) and all(check.passed for check in self.checks)

    @property
    def words(self) -> str:
        """One line: accepted, or rejected with the reasons."""
        if self.accepted:
            return "accepted: " + "; ".join(check.words for check in self.checks)
        return "rejected: " + "; ".join(c.words for c in self.checks if not c.passed)


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The outcome of a calibration, accepted or not."""

    task: CalibrationTask
    image_sha256: str
    """Of the image's dtype, shape and values."""
    verdict: Verdict
    geometry: Geometry | None = None
    """None where not even an approximate one was found."""
    covariance: FloatArray = field(default_factory=lambda: np.zeros((0, 0)))
    """Of the refined parameters (``task.refined``), m and rad, shape (n, n)."""
    rings: tuple[FittedRing, ...] = ()
    points: ControlPoints | None = None
    axis: FloatArray = field(default_factory=lambda: np.zeros(0))
    """2theta of the integrated curve, degrees, shape (bins,)."""
    curve: FloatArray = field(default_factory=lambda: np.zeros(0))
    """Integrated curve, shape (bins,)."""

    @cached_property
    def errors(self) -> Mapping[str, float]:
        """Standard error of each refined parameter, m and rad."""
        values = np.sqrt(np.diag(self.covariance)).tolist()
        return dict(zip(self.task.refined, values, strict=True)) if values else {}

    @property
    def center(self) -> tuple[float, float] | None:
        """Where the direct beam meets the detector's plane: (slow, fast), pixels along its axes.

        None without a geometry, or where the beam does not meet the detector.
        """
        place = None if self.geometry is None else beam_place(self.geometry)
        return None if place is None else (float(place[0]), float(place[1]))

    @cached_property
    def id(self) -> str:
        """By which reduced runs name the calibration of their geometry; "" without a geometry."""
        return "" if self.geometry is None else geometry_digest(self.geometry)
