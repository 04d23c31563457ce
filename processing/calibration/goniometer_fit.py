"""The parameters of a goniometer that fit the control points of all images best."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import least_squares

from ringline.processing.calibration.goniometer_task import GoniometerTask
from ringline.processing.calibration.places import places_on
from ringline.processing.calibration.refine import Measured, Points, patch_of
from ringline.processing.calibration.robust_fit import FitPoints, Fitted, Problem, fit
from ringline.processing.errors import RecipeError
from ringline.processing.geometry import Geometry, two_theta_of
from ringline.processing.goniometer import Goniometer
from ringline.processing.motion import FIELDS
from ringline.processing.types import FloatArray

STATED = 0.02
"""Standard deviation of what is stated, relative: it matters where rings leave something open."""
_OPEN = 3.0
"""Likewise of other parameters, in changes that move rings by a radian: that is no knowledge."""
_SMALLEST = 1e-15
"""Smallest eigenvalue of a correlation matrix that rounding leaves."""
_FAR = 10.0
"""Residual, rad, where parameters give no geometry."""
_STEP = 1e-7
"""Largest change of a parameter by which slopes are found."""
_GRID = 5
"""Places on each side of the detector at which errors are looked at."""


@dataclass(frozen=True, slots=True)
class SeenRings:
    """The rings that were measured on one image."""

    positions: Mapping[str, float]
    geometry: Geometry
    """For which shifts were measured."""
    measured: Measured


def fitted(
    goniometer: Goniometer, seen: Sequence[SeenRings], task: GoniometerTask
) -> tuple[Goniometer, Fitted]:
    """Robust least squares over the points of all images, as ``robust_fit.fit``.

    Parameters
    ----------
    goniometer:
        Where to begin.
    seen:
        At least one image.
    task:
        What is fitted, stated and bounded.

    Returns
    -------
    :
        The goniometer with the covariance of its parameters, and the fit over ``task.free``.
    """
    problem = _Joint(goniometer, seen, task)
    found = fit(problem)
    places = [task.motion.parameters.index(name) for name in task.free]
    covariance = np.zeros((len(goniometer.values),) * 2)
    covariance[np.ix_(places, places)] = found.covariance
    best = problem.goniometer_of(found.values)
    return replace(best, covariance=tuple(map(tuple, covariance.tolist()))), found


def begun(
    task: GoniometerTask, known: Sequence[tuple[Mapping[str, float], Geometry]]
) -> Goniometer:
    """A goniometer whose formulas give geometries that are known, as nearly as they can.

    Parameters
    ----------
    task:
        Where its parameters start.
    known:
        Positions and geometries, at least one.
    """
    first = known[0][1]
    own = {name: getattr(first, name) for name in task.motion.parameters if name in FIELDS}
    values = {**dict.fromkeys(task.motion.parameters, 0.0), **own, **task.start, **task.stated}
    detector = first.detector
    start = Goniometer(detector=detector, motion=task.motion, values=tuple(values.values()))
    free = _Free(start, task, [positions for positions, _ in known])
    sizes = np.array([_size(name, first) for name in FIELDS])
    wanted = np.array([[getattr(one, name) for name in FIELDS] for _, one in known])
    # rot3 is not told by rings: geometries of single images have it as guessed.
    trusted = np.array([name != "rot3" for name in FIELDS])

    def off(scaled: FloatArray) -> FloatArray:
        values = free.whole(scaled * free.unit)
        found = np.array(
            [list(task.motion.at(values, positions).values()) for positions, _ in known]
        )
        return np.append(
            ((found - wanted) / sizes)[:, trusted].ravel() * 1e3, free.prior(scaled * free.unit)
        )

    best = least_squares(off, free.start / free.unit, x_scale="jac", method="trf")
    return start.with_values(free.whole(best.x * free.unit))


def error_at(goniometer: Goniometer, positions: Mapping[str, float]) -> float:
    """Largest standard error of 2theta on the detector, pixels; infinite where not known.

    From the covariance of the parameters, at places all over the detector.
    """
    if goniometer.covariance is None:
        return float("inf")
    geometry = goniometer.geometry_at(positions)
    detector = geometry.detector
    slow, fast = (
        grid.ravel()
        for grid in np.meshgrid(
            *(np.linspace(0.5, n - 1.5, _GRID) for n in detector.known_shape), indexing="ij"
        )
    )
    here, down, right = (
        places_on(detector, slow + a, fast + b) for a, b in ((0, 0), (1, 0), (0, 1))
    )
    at = _two_theta(geometry, here)
    pixel = np.hypot(_two_theta(geometry, down) - at, _two_theta(geometry, right) - at)
    columns = []
    for k, error in enumerate(np.sqrt(np.maximum(np.diag(goniometer.covariance), 0.0))):
        # Of what is hardly known, a small step all the same: angles come round again.
        step = min(1e-3 * error, _STEP)
        if step == 0:
            columns.append(np.zeros_like(at))
            continue
        high, low = (_moved(goniometer, k, s * step, positions, here) for s in (1, -1))
        columns.append((high - low) / (2 * step))
    jacobian = np.stack(columns, axis=1)
    variance = np.einsum("pi,ij,pj->p", jacobian, np.array(goniometer.covariance), jacobian)
    # Near the beam a pixel sees all azimuths, and hardly an angle.
    pixel = np.maximum(pixel, 0.3 * np.median(pixel))
    return float((np.sqrt(np.maximum(variance, 0.0)) / pixel).max())


def _moved(
    goniometer: Goniometer, number: int, step: float, positions: Mapping[str, float], p: FloatArray
) -> FloatArray:
    values = list(goniometer.values)
    values[number] += step
    return _two_theta(goniometer.with_values(values).geometry_at(positions), p)


def _two_theta(geometry: Geometry, places: FloatArray) -> FloatArray:
    p1, p2, p3 = places.T
    return two_theta_of(*geometry.sample_frame(p1, p2, p3))


class _Free:
    """The parameters that are fitted, as an array.

    Parameters
    ----------
    goniometer:
        Has the values of all, where the fit begins.
    task:
        What is fitted.
    places:
        Positions of images.
    """

    def __init__(
        self, goniometer: Goniometer, task: GoniometerTask, places: Sequence[Mapping[str, float]]
    ) -> None:
        names = task.motion.parameters
        self._all, self._task, self._places = np.array(goniometer.values), task, places
        self._which = np.array([names.index(name) for name in task.free], dtype=np.int64)
        self.start = self._all[self._which]
        self.unit = self._units()
        known = [STATED * abs(task.stated.get(name, 0.0)) for name in task.free]
        self._sigma = np.where(np.array(known) > 0, known, _OPEN * self.unit)
        self._middle = np.array(
            [task.stated.get(n, v) for n, v in zip(task.free, self.start, strict=True)]
        )

    def whole(self, values: FloatArray) -> list[float]:
        """All parameters."""
        found = self._all.copy()
        found[self._which] = values
        return [float(value) for value in found]

    def prior(self, values: FloatArray) -> FloatArray:
        """How far from what is stated, in its standard deviations."""
        return np.asarray((values - self._middle) / self._sigma)

    def bounds(self) -> tuple[FloatArray, FloatArray]:
        """Lowest and highest values."""
        given = {bound.name: bound for bound in self._task.bounds}
        low = [given[n].low if n in given else -np.inf for n in self._task.free]
        high = [given[n].high if n in given else np.inf for n in self._task.free]
        return np.array(low), np.array(high)

    def _units(self) -> FloatArray:
        """Changes of the parameters that change a geometry as much as a radian does."""
        unit = np.full(self.start.size, 1e-3)
        for _ in range(2):  # the second time with steps of the right size
            unit = np.array([self._unit(k, 1e-3 * unit[k]) for k in range(unit.size)])
        return unit

    def _unit(self, number: int, step: float) -> float:
        largest = 0.0
        for positions in self._places:
            middle = self._task.motion.at(self.whole(self.start), positions)
            moved = self.start.copy()
            moved[number] += step
            found = self._task.motion.at(self.whole(moved), positions)
            away = max(abs(middle["distance"]), 1e-3)
            for name in FIELDS:
                size = away if name in ("distance", "poni1", "poni2") else 1.0
                size = middle["wavelength"] if name == "wavelength" else size
                largest = max(largest, abs(found[name] - middle[name]) / (step * size))
        # Where no image tells a parameter, its size does not matter.
        return 1.0 / largest if largest > 0 and np.isfinite(largest) else 1.0


class _Joint(Problem):
    """Parameters of a goniometer, and the points of all images."""

    def __init__(
        self, goniometer: Goniometer, seen: Sequence[SeenRings], task: GoniometerTask
    ) -> None:
        self._goniometer, self._seen = goniometer, seen
        self._free = _Free(goniometer, task, [one.positions for one in seen])
        self._points = [Points(one.geometry, one.measured) for one in seen]
        rings = [one.measured.ring for one in seen]
        firsts = np.cumsum([0, *(int(ring.max(initial=-1)) + 1 for ring in rings)])
        points = FitPoints(
            sigma=np.concatenate([one.measured.sigma for one in seen]),
            ring=np.concatenate([ring + first for ring, first in zip(rings, firsts, strict=False)]),
            image=np.repeat(np.arange(len(seen)), [ring.size for ring in rings]),
            patch=np.concatenate([patch_of(one.geometry.detector, one.measured) for one in seen]),
        )
        super().__init__(points, self._free.start, self._free.unit, self._free.bounds())

    def goniometer_of(self, values: FloatArray) -> Goniometer:
        """The goniometer of parameters."""
        return self._goniometer.with_values(self._free.whole(values))

    def residual(self, values: FloatArray) -> FloatArray:
        """Measured minus calculated 2theta of each point, rad."""
        goniometer = self.goniometer_of(values)
        found = []
        for one, points in zip(self._seen, self._points, strict=True):
            try:
                found.append(points.residual(goniometer.geometry_at(one.positions)))
            except RecipeError:  # a step of the fit too far: behind the sample
                found.append(np.full(points.shift.size, _FAR))
        return np.concatenate(found)

    def prior(self, values: FloatArray) -> FloatArray:
        """From what is stated, in its standard deviations."""
        return self._free.prior(values)

    def inverse(self, normal: FloatArray) -> FloatArray:
        """Inverse in which what images leave open has large variances, not none."""
        scale = np.sqrt(np.diag(normal))
        values, vectors = np.linalg.eigh(normal / np.outer(scale, scale))
        found = (vectors / np.maximum(values, _SMALLEST)) @ vectors.T
        return np.asarray(found / np.outer(scale, scale))


def _size(name: str, geometry: Geometry) -> float:
    if name == "wavelength":
        return geometry.wavelength
    return geometry.distance if name in ("distance", "poni1", "poni2") else 1.0
