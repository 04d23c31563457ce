"""Least squares over control points of any number of images: outliers, errors of whole rings."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from ringline.processing.types import BoolArray, FloatArray, IntArray

_OUTLIER = 4.5
"""Residual in its standard errors beyond which a point takes no part."""
_ROUNDS = 8
_HALVINGS = 12
_FEWEST_RINGS = 3
"""Of which whole rings can be told to scatter."""


@dataclass(frozen=True, slots=True)
class FitPoints:
    """What is known of the points before the fit; arrays of shape (n,)."""

    sigma: FloatArray
    """Standard errors of the measured 2theta, rad."""
    ring: IntArray
    """Which ring of which image it is: rings of two images have two numbers."""
    image: IntArray
    """Which image it is on: 0, 1, ..."""

    @property
    def images(self) -> int:
        """How many."""
        return int(self.image.max(initial=0)) + 1


@dataclass(frozen=True, slots=True)
class Fitted:
    """The best values, and what is left."""

    values: FloatArray
    covariance: FloatArray
    residual: FloatArray
    """Measured minus calculated 2theta of each point, rad."""
    used: BoolArray
    scatter: FloatArray
    """Standard deviation of points beyond their own errors, rad, shape (images,)."""
    ring_scatter: float
    """Standard deviation of whole rings beyond the errors of their points, rad."""


class Problem(ABC):
    """Residuals of points as a function of parameters.

    Parameters
    ----------
    points:
        Their errors, and on which ring and image they are.
    start:
        Where the fit begins, shape (parameters,).
    unit:
        A change of each parameter that moves rings by about a radian; shape of ``start``.
    bounds:
        Lowest and highest values, each of the shape of ``start``.
    """

    def __init__(
        self,
        points: FitPoints,
        start: FloatArray,
        unit: FloatArray,
        bounds: tuple[FloatArray, FloatArray],
    ) -> None:
        self.points, self.start = points, start
        self._unit, self._bounds = unit, bounds

    @abstractmethod
    def residual(self, values: FloatArray) -> FloatArray:
        """Measured minus calculated 2theta of each point, rad, shape (n,)."""

    @abstractmethod
    def prior(self, values: FloatArray) -> FloatArray:
        """How far parameters are from what was known before, in standard errors."""

    def inverse(self, normal: FloatArray) -> FloatArray:
        """Inverse of the matrix of normal equations."""
        return np.asarray(np.linalg.pinv(normal, rcond=1e-14, hermitian=True))

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
            max_nfev=100,
        )
        return np.asarray(found.x * self._unit)

    def step(
        self, values: FloatArray, used: BoolArray, sigma: FloatArray, ring_scatter: float
    ) -> tuple[FloatArray, FloatArray]:
        """One step to the best values where rings have errors in common, and their covariance."""
        jacobian, residual = self._jacobian(values), self._whole(values)
        weights = _Weights(used, sigma, self.points.ring, ring_scatter)
        inverse = self.inverse(weights.product(jacobian, jacobian))
        slope = weights.product(jacobian, residual[:, None])[:, 0]
        step = -inverse @ slope * self._unit
        cost = weights.square(residual)
        for _ in range(_HALVINGS):
            moved = np.clip(values + step, *self._bounds)
            if weights.square(self._whole(moved)) <= cost:
                break
            # Where rings leave something open, the valley bends.
            step = 0.5 * step
        else:
            moved = values
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
        return np.concatenate([self.residual(values), self.prior(values)])

    def _weighted(self, values: FloatArray, used: BoolArray, sigma: FloatArray) -> FloatArray:
        own = (self.residual(values) / sigma)[used]
        return np.concatenate([own, self.prior(values)])


class _Weights:
    """Inverse of the covariance of all residuals, rings having an error in common (Woodbury)."""

    def __init__(
        self, used: BoolArray, sigma: FloatArray, ring: IntArray, ring_scatter: float
    ) -> None:
        self._single = used / sigma**2
        self._ring = ring
        total = np.bincount(ring, self._single)
        common = ring_scatter**2
        self._part = common / (1.0 + common * total)

    def product(self, left: FloatArray, right: FloatArray) -> FloatArray:
        """Of the columns of two matrices; rows beyond the points are the prior's, of weight 1."""
        n = self._single.size
        weighted = self._single[:, None] * right[:n]
        found = left[:n].T @ weighted + left[n:].T @ right[n:]
        sums = self._by_ring(self._single[:, None] * left[:n])
        return np.asarray(found - sums.T @ (self._part[:, None] * self._by_ring(weighted)))

    def square(self, residual: FloatArray) -> float:
        """Of residuals: chi squared."""
        return float(self.product(residual[:, None], residual[:, None])[0, 0])

    def _by_ring(self, rows: FloatArray) -> FloatArray:
        """Sums of rows over each ring, shape (rings, columns)."""
        columns = [np.bincount(self._ring, column) for column in rows.T]
        return np.stack(columns, axis=1)


def fit(problem: Problem) -> Fitted:
    """Least squares over the points, without outliers.

    Points scatter more than counting tells, by grains and by faults of the detector, and whole
    rings do, by neighbours and backgrounds: variances of their own are added to the points of each
    image and to rings such that the residuals have the size of their errors.
    """
    points, values = problem.points, problem.start
    used = np.ones(points.sigma.size, dtype=bool)
    scatter = np.zeros(points.images)
    for _ in range(_ROUNDS):
        sigma = np.sqrt(points.sigma**2 + scatter[points.image] ** 2)
        values = problem.solved(values, used, sigma)
        residual = problem.residual(values)
        scatter = _own_scatter(residual, points, used, values.size)
        pull = residual / np.sqrt(points.sigma**2 + scatter[points.image] ** 2)
        now = np.abs(pull) < _OUTLIER
        if now.sum() < values.size + 3 or (now == used).all():
            break
        used = now
    sigma = np.sqrt(points.sigma**2 + scatter[points.image] ** 2)
    own, covariance = 0.0, np.zeros((values.size, values.size))
    for _ in range(2):
        rings = RingSums.of(problem.residual(values), sigma, points.ring, used)
        own = rings.own_scatter()
        values, covariance = problem.step(values, used, sigma, own)
    return Fitted(values, covariance, problem.residual(values), used, scatter, own)


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
        """Standard deviation of rings beyond the errors of their means, rad.

        0 where rings are too few to tell.
        """
        if self.mean.size < _FEWEST_RINGS:
            return 0.0
        return _extra(self.mean**2, self.error**2, max(self.mean.size - 1, 1))


def _own_scatter(
    residual: FloatArray, points: FitPoints, used: BoolArray, fitted: int
) -> FloatArray:
    """Standard deviation to add to an image's errors such that chi squared is as it should be."""
    found, total = np.zeros(points.images), int(used.sum())
    for image in range(points.images):
        own = used & (points.image == image)
        square, variance = residual[own] ** 2, points.sigma[own] ** 2
        if square.size:
            share = fitted * (square.size / total)  # of the parameters
            found[image] = _extra(square, variance, max(square.size - share, 1.0))
    return found


def _extra(square: FloatArray, variance: FloatArray, freedom: float) -> float:
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
