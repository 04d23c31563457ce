"""The geometry that fits all control points best, and its error bars."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import least_squares

from ringline.processing.calibration.places import places_on
from ringline.processing.calibration.task import CalibrationTask
from ringline.processing.geometry import Geometry, two_theta_of
from ringline.processing.types import BoolArray, FloatArray, IntArray

_OUTLIER = 4.5
"""Residual in its standard errors beyond which a point takes no part."""
_ROUNDS = 8


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


def refine(
    geometry: Geometry, measured: Measured, task: CalibrationTask, names: Sequence[str]
) -> Refined:
    """Least squares over the points, without outliers.

    Points scatter more than counting tells, by grains and by faults of the detector, and whole
    rings do, by neighbours and backgrounds: variances of their own are added to points and to
    rings such that the residuals have the size of their errors.

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
    values = problem.start
    used = np.ones(measured.shift.size, dtype=bool)
    scatter = 0.0
    residual = measured.shift
    for _ in range(_ROUNDS):
        sigma = np.sqrt(measured.sigma**2 + scatter**2)
        values = problem.solved(values, used, sigma)
        residual = problem.residual(values)
        scatter = _own_scatter(residual, measured.sigma, used, len(names))
        pull = residual / np.sqrt(measured.sigma**2 + scatter**2)
        now = np.abs(pull) < _OUTLIER
        if now.sum() < len(names) + 3 or (now == used).all():
            break
        used = now
    sigma = np.sqrt(measured.sigma**2 + scatter**2)
    own, covariance = 0.0, np.zeros((len(names), len(names)))
    for _ in range(2):
        rings = RingSums.of(problem.residual(values), sigma, measured.ring, used)
        own = rings.own_scatter()
        values, covariance = problem.step(values, used, sigma, own)
    return Refined(
        problem.geometry_of(values),
        tuple(names),
        covariance,
        problem.residual(values),
        used,
        scatter,
        own,
    )


@dataclass(frozen=True, slots=True)
class RingSums:
    """Weighted mean residual of each ring that has points, and its error, rad; shape (rings,)."""

    mean: FloatArray
    error: FloatArray

    @classmethod
    def of(
        cls, residual: FloatArray, sigma: FloatArray, ring: IntArray, used: BoolArray
    ) -> "RingSums":
        """Of points with residuals."""
        weight = used / sigma**2
        total = np.bincount(ring, weight)
        some = total > 0
        mean = np.bincount(ring, weight * residual)[some] / total[some]
        return cls(mean, 1.0 / np.sqrt(total[some]))

    def own_scatter(self) -> float:
        """Standard deviation of rings beyond the errors of their means, rad."""
        return _extra(self.mean**2, self.error**2, max(self.mean.size - 1, 1))


class _Problem:
    """Residuals as a function of scaled parameters."""

    def __init__(
        self, geometry: Geometry, measured: Measured, task: CalibrationTask, names: tuple[str, ...]
    ) -> None:
        self._geometry, self._measured, self._names = geometry, measured, names
        self._points = places_on(geometry.detector, measured.slow, measured.fast)
        self._before = self._two_theta(geometry)
        self._task = task
        self.start = np.array([self._value(geometry, name) for name in names])
        self._bounds = self._limits()

    def geometry_of(self, values: FloatArray) -> Geometry:
        """The geometry of parameters."""
        return replace(self._geometry, **dict(zip(self._names, values.tolist(), strict=True)))

    def residual(self, values: FloatArray) -> FloatArray:
        """Measured minus calculated 2theta of each point, rad.

        The ring stands where 2theta was that of the line plus the shift; what the geometry
        changes there is the residual's change.
        """
        geometry = self.geometry_of(values)
        moved = self._two_theta(geometry) - self._before
        if "wavelength" in self._names:
            # Lines move, d lambda / lambda = d theta / tan(theta).
            line = self._before + self._measured.shift * 0
            ratio = geometry.wavelength / self._geometry.wavelength
            sine = np.clip(np.sin(0.5 * line) * ratio, -1, 1)
            moved = moved - (2 * np.arcsin(sine) - line)
        return np.asarray(self._measured.shift + moved)

    def solved(self, values: FloatArray, used: BoolArray, sigma: FloatArray) -> FloatArray:
        """Best values, from these."""
        found = least_squares(
            lambda scaled: self._weighted(scaled * self._unit, used, sigma),
            np.clip(values, self._bounds[0], self._bounds[1]) / self._unit,
            bounds=(self._bounds[0] / self._unit, self._bounds[1] / self._unit),
            x_scale="jac",
            method="trf",
            xtol=1e-12,
            ftol=1e-12,
            gtol=1e-12,
            max_nfev=30,
        )
        return np.asarray(found.x * self._unit)

    def step(
        self, values: FloatArray, used: BoolArray, sigma: FloatArray, ring_scatter: float
    ) -> tuple[FloatArray, FloatArray]:
        """One step to the best values where rings have errors in common, and their covariance."""
        jacobian, residual = self._jacobian(values), self._whole(values)
        weight = np.append(used / sigma**2, np.ones(residual.size - used.size))
        weighted = jacobian * weight[:, None]
        normal, slope = weighted.T @ jacobian, weighted.T @ residual
        if ring_scatter > 0:
            # The inverse of a covariance with one common variance for each ring (Woodbury).
            points = used.size
            for ring in np.unique(self._measured.ring[used]):
                of_ring = np.append(
                    self._measured.ring == ring, np.zeros(residual.size - points, bool)
                )
                total = float(weight[of_ring].sum())
                shared = weighted[of_ring].sum(axis=0)
                part = 1.0 / (1.0 / ring_scatter**2 + total)
                normal -= part * np.outer(shared, shared)
                slope -= part * shared * float((weight * residual)[of_ring].sum())
        inverse = np.linalg.pinv(normal, rcond=1e-14, hermitian=True)
        moved = np.clip(values - inverse @ slope * self._unit, *self._bounds)
        return moved, inverse * np.outer(self._unit, self._unit)

    def _jacobian(self, values: FloatArray) -> FloatArray:
        """Of all residuals by the scaled parameters."""
        columns = []
        for k in range(values.size):
            step = np.zeros_like(values)
            step[k] = 1e-6 * self._unit[k]
            high, low = (self._whole(values + s * step) for s in (1, -1))
            columns.append((high - low) / 2e-6)
        return np.stack(columns, axis=1)

    def _whole(self, values: FloatArray) -> FloatArray:
        return np.concatenate([self.residual(values), self._prior(values)])

    def _weighted(self, values: FloatArray, used: BoolArray, sigma: FloatArray) -> FloatArray:
        own = (self.residual(values) / sigma)[used]
        return np.concatenate([own, self._prior(values)])

    def _prior(self, values: FloatArray) -> FloatArray:
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

    @property
    def _unit(self) -> FloatArray:
        return np.array([self._size(name) for name in self._names])

    def _size(self, name: str) -> float:
        if name == "wavelength":
            return self._geometry.wavelength
        return 1.0 if name.startswith("rot") else self._geometry.distance

    @staticmethod
    def _value(geometry: Geometry, name: str) -> float:
        return float(getattr(geometry, name))

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

    def _two_theta(self, geometry: Geometry) -> FloatArray:
        p1, p2, p3 = self._points.T
        return two_theta_of(*geometry.sample_frame(p1, p2, p3))


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


def _own_scatter(residual: FloatArray, sigma: FloatArray, used: BoolArray, fitted: int) -> float:
    """Standard deviation to add to all errors such that chi squared is as it should be."""
    square, variance = residual[used] ** 2, sigma[used] ** 2
    return _extra(square, variance, max(square.size - fitted, 1))


def _extra(square: FloatArray, variance: FloatArray, freedom: int) -> float:
    """Root of what must be added to variances such that chi squared is ``freedom``; or 0."""
    if (square / variance).sum() <= freedom:
        return 0.0
    low, high = 0.0, float(square.sum())
    for _ in range(60):
        middle = 0.5 * (low + high)
        if (square / (variance + middle)).sum() > freedom:
            low = middle
        else:
            high = middle
    return float(np.sqrt(high))
