"""Approximate geometries from the crests of rings: where the beam is, how the detector is tilted.

Crests run along the rings: their directions alone tell where the beam meets the detector, and
roughly the tilt. What is left, the distance, is scanned for where most crests lie on lines of the
calibrant. The best few are fitted to the lines themselves.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ringline.processing.calibration.places import places_on
from ringline.processing.calibration.ridges import Ridges
from ringline.processing.calibration.search_kernels import fit_rings, line_score
from ringline.processing.detector import Detector
from ringline.processing.geometry import Geometry
from ringline.processing.types import BoolArray, FloatArray

STRAY = 0.2
"""Part of the crests that are on no ring."""
_NO_LINES = np.zeros(0)
_PAIRS = 4000
_CELLS = (0.04, 0.15)
"""Sides of squares, in sizes of the detector, in which crossings of normals are counted."""
_STARTS = 4
_DISTANCES = (0.4, 1.2, 4.0)
"""At which directions are fitted first, in sizes of the detector."""
_RANGE = (0.1, 80.0)
"""Distances that are scanned, in sizes of the detector."""
_STEP = 0.004
"""Between distances that are scanned, relative."""
_COARSE = 12
_KEPT = 5
_PEAKS = 6
_FITTED = 14
_REFITTED = 3
_DIFFERENT = 0.02
_ITERATIONS = 25
_STRICTER = (0.003, 0.003, 0.0015, 0.0006, 0.0003)
"""Distances from lines, rad, from which crests count less, one after the other."""
_FEW = 1000
"""Crests that are enough to scan with."""
_FEWER = 300
_BEAMS = 2
_TILTS = (-0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3)
"""Beam along an axis of the detector, one after the other for each place of the beam."""


@dataclass(frozen=True, slots=True)
class Crests:
    """Crests in space, and the scales of the detector they are on."""

    points: FloatArray
    """m, shape (n, 3)."""
    tangents: FloatArray
    """Unit vectors along the crests, shape (n, 3)."""
    size: float
    """Of the detector's longer side, m."""
    blur: float
    """To which a crest is known, m."""

    @property
    def few(self) -> "Crests":
        """Enough of them to scan with."""
        return self.part(_FEW)

    def part(self, number: int) -> "Crests":
        """Some of them, about as many as asked for."""
        every = max(1, len(self.points) // number)
        return Crests(self.points[::every], self.tangents[::every], self.size, self.blur)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A geometry in the numbers of ``search_kernels``, and how well crests lie on its rings."""

    params: FloatArray
    score: float
    """Mean logarithm of the likelihood over that by chance."""


@dataclass(frozen=True, slots=True)
class Prior:
    """What is known before, in the numbers of ``search_kernels``; arrays of shape (5,)."""

    values: FloatArray
    sigma: FloatArray


@dataclass(frozen=True, slots=True)
class Freedom:
    """What a search may change."""

    free: BoolArray
    """Which of the numbers are fitted, shape (5,)."""
    prior: Prior | None = None
    """A guess, to stay near; None: anywhere."""

    @property
    def with_distance_held(self) -> "Freedom":
        """The same, the distance not fitted."""
        return Freedom(self.free & (np.arange(5) != 2), self.prior)

    @property
    def upright(self) -> "Freedom":
        """The same, the tilt not fitted."""
        return Freedom(self.free & (np.arange(5) < 3), self.prior)

    def rows(self, number: int) -> FloatArray:
        """The prior as the kernels take it: all crests together stand against it."""
        if self.prior is None:
            return np.zeros((2, 5))
        return np.stack([self.prior.values, 1.0 / (number * self.prior.sigma**2)])


def crests_of(ridges: Ridges, detector: Detector) -> Crests:
    """Crests with their places and directions in space."""
    points = places_on(detector, ridges.slow, ridges.fast)
    ahead, behind = (
        places_on(
            detector,
            ridges.slow - s * ridges.across_fast,
            ridges.fast + s * ridges.across_slow,
        )
        for s in (0.5, -0.5)
    )
    along = ahead - behind
    length = np.linalg.norm(along, axis=1)
    good = length > 0
    size = max(detector.known_shape) * max(detector.pixel1, detector.pixel2)
    pixel = max(detector.pixel1, detector.pixel2)
    return Crests(points[good], along[good] / length[good, None], size, 0.5 * ridges.bin * pixel)


def search(crests: Crests, lines: FloatArray, freedom: Freedom) -> Iterator[list[Candidate]]:
    """Geometries whose rings the crests lie on, the best first, the cheapest to find before.

    Parameters
    ----------
    crests:
        At least six.
    lines:
        2theta of the calibrant's rings, rad, ascending.
    freedom:
        Which numbers are fitted, and a guess.

    Yields
    ------
    :
        What is found near the guess; or else from where normals of crests cross, then from all
        over the detector, then with it tilted each way, for whoever is not content yet.
    """
    few = crests.few
    if freedom.prior is not None:
        beams = _by_direction(few, [freedom.prior.values], freedom)
        yield _refitted(crests, lines, _scanned(few, lines, beams, freedom), freedom)
        return
    beams = []
    for starts, some in ((_crossing_starts, few), (_scattered_starts, crests.part(_FEWER))):
        here = _by_direction(some, starts(some), freedom)
        beams += here[:_BEAMS]
        yield _refitted(crests, lines, _scanned(few, lines, here, freedom), freedom)
    yield _refitted(crests, lines, _tilted(crests, lines, beams, freedom), freedom)


def _refitted(
    crests: Crests, lines: FloatArray, found: list[Candidate], freedom: Freedom
) -> list[Candidate]:
    """The best few, fitted to all crests."""
    return _ranked([_fitted(crests, lines, one.params, freedom) for one in found[:_REFITTED]])


def _scanned(
    crests: Crests, lines: FloatArray, beams: list[FloatArray], freedom: Freedom
) -> list[Candidate]:
    """For each place of the beam the distances at which rings fit, the best first."""
    found: list[Candidate] = []
    for params in beams:
        found += _by_distance(crests, lines, params, freedom)
    some = _ranked(found)[:_FITTED]
    return _ranked([_fitted(crests, lines, one.params, freedom) for one in some])


def _tilted(
    crests: Crests, lines: FloatArray, beams: list[FloatArray], freedom: Freedom
) -> list[Candidate]:
    """Likewise with the detector tilted each way, where crests are too straight to tell."""
    few = crests.part(_FEWER)
    found: list[Candidate] = []
    for beam in beams:
        for b1 in _TILTS if freedom.free[3] else (0.0,):
            for b2 in _TILTS if freedom.free[4] else (0.0,):
                params = np.array([beam[0], beam[1], beam[2], b1, b2])
                found += _by_distance(few, lines, params, freedom.upright)
    some = _ranked(found)[: 4 * _FITTED]
    return _ranked([_fitted(few, lines, one.params, freedom) for one in some])


def _ranked(found: list[Candidate]) -> list[Candidate]:
    """Different ones, the best first."""
    kept: list[Candidate] = []
    for one in sorted(found, key=lambda one: -one.score):
        if all(np.abs(one.params - other.params).max() > 1e-4 for other in kept):
            kept.append(one)
    return kept


def numbers_of(geometry: Geometry) -> FloatArray:
    """A geometry in the numbers of ``search_kernels``."""
    b1, b2, b3 = geometry.rotation[2].tolist()
    away = geometry.distance / b3
    return np.array([geometry.poni1 + away * b1, geometry.poni2 + away * b2, np.log(away), b1, b2])


def geometry_of(params: FloatArray, detector: Detector, wavelength: float) -> Geometry:
    """The geometry of the numbers of ``search_kernels``; rot3 is 0."""
    c1, c2, log_away, b1, b2 = params.tolist()
    b3 = float(np.sqrt(1.0 - b1 * b1 - b2 * b2))
    away = float(np.exp(log_away))
    return Geometry(
        distance=away * b3,
        poni1=c1 - away * b1,
        poni2=c2 - away * b2,
        rot1=float(np.arctan2(-b2, b3)),
        rot2=float(np.arcsin(b1)),
        wavelength=wavelength,
        detector=detector,
    )


def _crossing_starts(crests: Crests) -> list[FloatArray]:
    """Where many normals of crests cross, with the detector upright."""
    crossings = _crossings(crests)
    places = []
    for cell in _CELLS:
        side = cell * crests.size
        squares, counts = np.unique(np.floor(crossings / side), axis=0, return_counts=True)
        order = np.argsort(-counts, kind="stable")[:_STARTS]
        places += [((squares[k] + 0.5) * side).tolist() for k in order]
    return [_upright(crests, place, distance) for place in places for distance in _DISTANCES]


def _scattered_starts(crests: Crests) -> list[FloatArray]:
    """All over the detector and around it."""
    middle = 0.5 * (crests.points.min(axis=0) + crests.points.max(axis=0))
    steps = np.linspace(-1.0, 1.0, 7) * crests.size
    return [
        _upright(crests, (middle[0] + down, middle[1] + right), distance)
        for down in steps
        for right in steps
        for distance in _DISTANCES[:2]
    ]


def _upright(crests: Crests, place: Sequence[float], distance: float) -> FloatArray:
    return np.array([place[0], place[1], math.log(distance * crests.size), 0.0, 0.0])


def _crossings(crests: Crests) -> FloatArray:
    random = np.random.default_rng(1)  # the same each time
    number = len(crests.points)
    one, other = random.integers(0, number, (2, _PAIRS))
    points, across = crests.points[:, :2], crests.tangents[:, 1::-1] * np.array([-1.0, 1.0])
    a, b, between = across[one], across[other], points[other] - points[one]
    sine = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    good = np.abs(sine) > 0.15
    along = (between[:, 0] * b[:, 1] - between[:, 1] * b[:, 0])[good] / sine[good]
    found = np.asarray(points[one][good] + along[:, None] * a[good])
    return found if len(found) else points.mean(axis=0, keepdims=True)


def _by_direction(crests: Crests, starts: list[FloatArray], freedom: Freedom) -> list[FloatArray]:
    """Numbers that make the rings run along the crests, from each start; the best few."""
    found = []
    for start in starts:
        params = start
        for scale in (0.15, 0.05):
            params, cost = _fit(crests, _NO_LINES, params, scale, freedom)
        found.append((float(cost), params))
    found.sort(key=lambda one: one[0])
    kept: list[FloatArray] = []
    for _, params in found:
        near = [np.abs((params - other)[[0, 1, 3, 4]]).max() < _DIFFERENT for other in kept]
        if not any(near):
            kept.append(params)
    return kept[:_KEPT]


def _by_distance(
    crests: Crests, lines: FloatArray, params: FloatArray, freedom: Freedom
) -> list[Candidate]:
    """The distances at which most crests lie on lines; beam and tilt follow the distance."""
    logs = _distances(crests, params, freedom)
    coarse = np.linspace(logs[0], logs[-1], min(_COARSE, len(logs)))
    table = []
    for log_away in coarse:
        start = params.copy()
        start[2] = log_away
        table.append(_fit(crests, _NO_LINES, start, 0.05, freedom.with_distance_held)[0])
    columns = np.array(table).T
    scanned = np.stack([np.interp(logs, coarse, column) for column in columns], axis=1)
    scanned[:, 2] = logs
    scores = np.array(
        [
            line_score(
                one, crests.points, lines, np.array([crests.blur / np.exp(one[2]), 0.006]), STRAY
            )
            for one in scanned
        ]
    )
    found: list[Candidate] = []
    taken = np.zeros(len(logs), dtype=bool)
    for k in np.argsort(-scores, kind="stable"):
        if not taken[k]:
            taken[max(k - 3, 0) : k + 4] = True
            found.append(Candidate(scanned[k], float(scores[k])))
        if len(found) == _PEAKS:
            break
    return found


def _distances(crests: Crests, params: FloatArray, freedom: Freedom) -> FloatArray:
    """Logarithms of the distances to scan."""
    if not freedom.free[2]:
        return params[2:3].copy()
    if freedom.prior is not None:
        middle, reach = freedom.prior.values[2], 2.5 * freedom.prior.sigma[2]
        low, high = float(middle - reach), float(middle + reach)
    else:
        low, high = (math.log(bound * crests.size) for bound in _RANGE)
    return np.linspace(low, high, max(1, math.ceil((high - low) / _STEP)))


def _fitted(crests: Crests, lines: FloatArray, params: FloatArray, freedom: Freedom) -> Candidate:
    """The numbers fitted to the lines, ever more strictly."""
    for part in _STRICTER:
        scale = part + 0.7 * crests.blur / float(np.exp(params[2]))
        # Far from the lines a tilt could do anything to please the points.
        some = freedom.upright if part == _STRICTER[0] else freedom
        params, _ = _fit(crests, lines, params, scale, some)
    blur = np.array([crests.blur / np.exp(params[2]), 0.001])
    return Candidate(params, float(line_score(params, crests.points, lines, blur, STRAY)))


def _fit(
    crests: Crests, lines: FloatArray, start: FloatArray, scale: float, freedom: Freedom
) -> tuple[FloatArray, float]:
    known = freedom.rows(len(crests.points))
    params, cost = fit_rings(
        start, crests.points, crests.tangents, lines, scale, freedom.free, known, _ITERATIONS
    )
    return np.asarray(params), float(cost)
