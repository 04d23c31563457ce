"""Least squares over control points of any number of images: outliers, errors of whole rings."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from ringline.processing.types import BoolArray, FloatArray, IntArray

_OUTLIER = 4.5
"""Residual in its standard errors beyond which a point takes no part."""
_ROUNDS = 8
_HALVINGS = 12
_SHARED_ROUNDS = 3
_FEWEST_RINGS = 3
_FEWEST_PATCHES = 12
"""Of which whole ones can be told to scatter."""


@dataclass(frozen=True, slots=True)
class FitPoints:
    """What is known of the points before the fit; arrays of shape (n,)."""

    sigma: FloatArray
    """Standard errors of the measured 2theta, rad."""
    ring: IntArray
    """Which ring of which image it is: rings of two images have two numbers."""
    image: IntArray
    """Which image it is on: 0, 1, ..."""
    patch: IntArray
    """Which patch of the detector it is on: modules are not placed exactly."""

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
    patch_scatter: float
    """Likewise of whole patches of the detector."""


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

    def step(self, values: FloatArray, weights: "Weights") -> tuple[FloatArray, FloatArray]:
        """One step to the best values where points have errors in common, and their covariance."""
        jacobian, residual = self._jacobian(values), self._whole(values)
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


@dataclass(frozen=True, slots=True)
class Shared:
    """An error that points have in common, each group its own."""

    group: IntArray
    """Which group each point is of, shape (n,)."""
    scatter: float
    """Standard deviation of the error, rad."""


class Weights:
    """Inverse of the covariance of all residuals (Woodbury).

    Parameters
    ----------
    single:
        1 / variance of each point's own error, 0 for one that takes no part, shape (n,).
    shared:
        Errors in common.
    """

    def __init__(self, single: FloatArray, shared: Sequence[Shared]) -> None:
        self._single = single
        members = [np.zeros((single.size, 0))]
        inverse: list[float] = []
        for one in shared:
            if one.scatter > 0:
                _, number = np.unique(one.group, return_inverse=True)
                members.append(np.eye(int(number.max()) + 1)[number])
                inverse += [one.scatter**-2] * members[-1].shape[1]
        self._members = np.concatenate(members, axis=1)
        inner = np.diag(inverse) + self._members.T @ (single[:, None] * self._members)
        self._inner = np.linalg.inv(inner)

    def product(self, left: FloatArray, right: FloatArray) -> FloatArray:
        """Of the columns of two matrices; rows beyond the points are the prior's, of weight 1."""
        n = self._single.size
        weighted = self._single[:, None] * right[:n]
        found = left[:n].T @ weighted + left[n:].T @ right[n:]
        sums = self._members.T @ (self._single[:, None] * left[:n])
        return np.asarray(found - sums.T @ self._inner @ (self._members.T @ weighted))

    def square(self, residual: FloatArray) -> float:
        """Of residuals: chi squared."""
        return float(self.product(residual[:, None], residual[:, None])[0, 0])


def fit(problem: Problem) -> Fitted:
    """Least squares over the points, without outliers.

    Points scatter more than counting tells, by grains and by faults of the detector, and whole
    rings do, by neighbours and backgrounds, and whole patches of a detector, by modules that are
    not quite in their places: variances of their own are added to the points of each image, to
    rings and to patches such that the residuals have the size of their errors.
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
    rings, patches = Shared(points.ring, 0.0), Shared(points.patch, 0.0)
    covariance = np.zeros((values.size, values.size))
    for _ in range(_SHARED_ROUNDS):
        residual = problem.residual(values)
        single = used / (points.sigma**2 + scatter[points.image] ** 2)
        rings = _shared(residual, single, points.ring, _FEWEST_RINGS, 1)
        patches = _shared(residual, single, points.patch, _FEWEST_PATCHES, values.size)
        # What is common to the points of a group is no scatter of theirs.
        alone, groups = residual, 0
        for one in (rings, patches):
            if one.scatter > 0:
                means = _means(alone, single, one.group)
                alone, groups = alone - means[one.group], groups + int((means != 0).sum())
        scatter = _own_scatter(alone, points, used, values.size + groups)
        single = used / (points.sigma**2 + scatter[points.image] ** 2)
        values, covariance = problem.step(values, Weights(single, (rings, patches)))
    return Fitted(
        values,
        covariance,
        problem.residual(values),
        used,
        scatter,
        rings.scatter,
        patches.scatter,
    )


def _means(residual: FloatArray, single: FloatArray, group: IntArray) -> FloatArray:
    """Weighted mean residual of each group, rad; 0 of one without points that are used."""
    total = np.bincount(group, single)
    found = np.bincount(group, single * residual)
    return np.divide(found, total, where=total > 0, out=np.zeros_like(found))


def _shared(
    residual: FloatArray, single: FloatArray, group: IntArray, fewest: int, fitted: int
) -> Shared:
    """The scatter of groups' means beyond the errors of these; 0 where groups are too few.

    ``fitted`` is how many of the means the fit has brought to nothing.
    """
    total = np.bincount(group, single)
    some = total > 0
    number = int(some.sum())
    if number < fewest:
        return Shared(group, 0.0)
    mean = _means(residual, single, group)[some]
    return Shared(group, _extra(mean**2, 1.0 / total[some], max(number - fitted, 1)))


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
