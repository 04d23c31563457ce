"""The geometry that fits all control points of an image best, and its error bars."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ringline.processing.calibration.places import places_on
from ringline.processing.calibration.robust_fit import FitPoints, Problem, fit
from ringline.processing.calibration.task import CalibrationTask
from ringline.processing.detector import Detector
from ringline.processing.geometry import Geometry, two_theta_of
from ringline.processing.types import BoolArray, FloatArray, IntArray

PATCHES = 8
"""Along each axis of the detector: about its modules."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Rings measured at places; arrays of shape (n,)."""

    slow: FloatArray
    fast: FloatArray
    shift: FloatArray
    """Of the ring from where ``geometry`` puts it at this place, 2theta, rad."""
    sigma: FloatArray
    ring: IntArray
    """Which ring it is."""


@dataclass(frozen=True, slots=True)
class Refined:
    """A refined geometry."""

    geometry: Geometry
    names: tuple[str, ...]
    covariance: FloatArray
    """Of the parameters ``names``, m and rad, shape (n, n)."""
    residual: FloatArray
    """Measured minus calculated 2theta of each point, rad."""
    used: BoolArray
    scatter: float
    """Standard deviation of points beyond their own errors, rad."""
    ring_scatter: float
    """Standard deviation of whole rings beyond the errors of their points, rad."""
    patch_scatter: float
    """Likewise of whole patches of the detector."""


def refine(
    geometry: Geometry, measured: Measured, task: CalibrationTask, names: Sequence[str]
) -> Refined:
    """Robust least squares over the points of an image, as ``robust_fit.fit``.

    Parameters
    ----------
    geometry:
        For which shifts were measured.
    measured:
        At least as many points as parameters.
    task:
        Its guess stays in force, weakly, where rings tell nothing; its bounds strictly.
    names:
        Parameters to refine: of ``REFINED``, or ``wavelength`` (relative shifts of all rings).
    """
    problem = _Problem(geometry, measured, task, tuple(names))
    found = fit(problem)
    return Refined(
        problem.geometry_of(found.values),
        tuple(names),
        found.covariance,
        found.residual,
        found.used,
        float(found.scatter[0]),
        found.ring_scatter,
        found.patch_scatter,
    )


def patch_of(detector: Detector, measured: Measured) -> IntArray:
    """Patch of the detector on which each point is, of ``PATCHES`` along each axis."""
    slow, fast = detector.known_shape
    row, column = (
        np.clip(place * PATCHES // size, 0, PATCHES - 1).astype(np.int64)
        for place, size in ((measured.slow, slow), (measured.fast, fast))
    )
    return np.asarray(row * PATCHES + column)


class Points:
    """Rings measured at places of a detector, as another geometry or wavelength sees them.

    Parameters
    ----------
    geometry:
        For which shifts were measured.
    measured:
        The points.
    """

    def __init__(self, geometry: Geometry, measured: Measured) -> None:
        self.geometry, self.shift = geometry, measured.shift
        self._places = places_on(geometry.detector, measured.slow, measured.fast)
        self.before = self.two_theta(geometry)
        """2theta of the places, rad, shape (n,)."""

    def two_theta(self, geometry: Geometry) -> FloatArray:
        """2theta of the places for a geometry, rad."""
        p1, p2, p3 = self._places.T
        return two_theta_of(*geometry.sample_frame(p1, p2, p3))

    def residual(self, geometry: Geometry) -> FloatArray:
        """Measured minus calculated 2theta of each point for another geometry, rad.

        The ring stands where 2theta was that of the line plus the shift; what the geometry
        changes there is the residual's change. With another wavelength lines move,
        d lambda / lambda = d theta / tan(theta).
        """
        moved = self.two_theta(geometry) - self.before
        ratio = geometry.wavelength / self.geometry.wavelength
        if ratio != 1.0:
            sine = np.clip(np.sin(0.5 * self.before) * ratio, -1, 1)
            moved = moved - (2 * np.arcsin(sine) - self.before)
        return np.asarray(self.shift + moved)


class _Problem(Problem):
    """Parameters of one image's geometry."""

    def __init__(
        self, geometry: Geometry, measured: Measured, task: CalibrationTask, names: tuple[str, ...]
    ) -> None:
        self._geometry, self._names, self._task = geometry, names, task
        self._points = Points(geometry, measured)
        super().__init__(
            FitPoints(
                measured.sigma,
                measured.ring,
                np.zeros_like(measured.ring),
                patch_of(geometry.detector, measured),
            ),
            np.array([float(getattr(geometry, name)) for name in names]),
            np.array([self._size(name) for name in names]),
            self._limits(),
        )

    def geometry_of(self, values: FloatArray) -> Geometry:
        """The geometry of parameters."""
        return replace(self._geometry, **dict(zip(self._names, values.tolist(), strict=True)))

    def residual(self, values: FloatArray) -> FloatArray:
        """Measured minus calculated 2theta of each point, rad."""
        return self._points.residual(self.geometry_of(values))

    def prior(self, values: FloatArray) -> FloatArray:
        """From the guess, in its standard deviations."""
        guess = self._task.guess
        if guess is None:
            return np.zeros(0)
        geometry = self.geometry_of(values)
        away = geometry.distance
        return np.array(
            [
                np.log(away / guess.distance) / _PRIOR_DISTANCE,
                *(
                    (a - b) / _PRIOR_TILT
                    for a, b in zip(_beam(geometry), _beam(guess), strict=True)
                ),
                *(
                    (a - b) / (_PRIOR_CENTER * away)
                    for a, b in zip(_center(geometry), _center(guess), strict=True)
                ),
            ]
        )

    def _size(self, name: str) -> float:
        if name == "wavelength":
            return self._geometry.wavelength
        return 1.0 if name.startswith("rot") else self._geometry.distance

    def _limits(self) -> tuple[FloatArray, FloatArray]:
        low, high = np.full(len(self._names), -np.inf), np.full(len(self._names), np.inf)
        for k, name in enumerate(self._names):
            if name == "distance":
                low[k] = 1e-3 * self._geometry.distance
            if name == "wavelength":
                low[k], high[k] = (f * self._geometry.wavelength for f in (0.5, 2.0))
            if name.startswith("rot"):
                low[k], high[k] = -1.4, 1.4
            for bound in self._task.bounds:
                if bound.name == name:
                    low[k], high[k] = bound.low, bound.high
        return low, high


_PRIOR_DISTANCE = 0.1
_PRIOR_TILT = 0.1
_PRIOR_CENTER = 0.05
"""Standard deviations of a guess: of the distance, relatively; of the beam's direction, rad; of
the center, as a part of the distance. They matter where rings leave something open."""


def _beam(geometry: Geometry) -> tuple[float, float]:
    """The beam's direction along the detector's axes."""
    third = geometry.rotation[2]
    return float(third[0]), float(third[1])


def _center(geometry: Geometry) -> tuple[float, float]:
    b1, b2, b3 = geometry.rotation[2].tolist()
    away = geometry.distance / max(b3, 1e-3)
    return geometry.poni1 + away * b1, geometry.poni2 + away * b2
