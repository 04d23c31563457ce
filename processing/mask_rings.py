"""Rings of pixels at the same scattering angle, and what a good pixel on them measures."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ringline.processing.geometry import Geometry, pixel_arrays
from ringline.processing.pixel_statistics import MAD_TO_SIGMA
from ringline.processing.types import BoolArray, FloatArray, IntArray

FEWEST = 64
"""Pixels of a ring, at least: narrow rings near the beam are put together."""
_ROUNDS = 4
_REACH = 6.0
"""Standard deviations within which a value is one of the ring's, for its mean."""
_CHANCE = 14.0
"""Minus the natural logarithm of the chance that a count beyond its bound has."""


@dataclass(frozen=True, slots=True, eq=False)
class Scattering:
    """Where pixels are, and how much of the scattering they see; shape (slow, fast)."""

    two_theta: FloatArray
    """rad."""
    seen: FloatArray
    """Relative solid angle times polarization."""
    step: float
    """2theta from one pixel to the next, about, rad."""


@dataclass(frozen=True, slots=True, eq=False)
class Rings:
    """Which ring each pixel belongs to, shape (slow, fast), in rising order of 2theta."""

    ring: IntArray
    count: int
    """Of rings."""
    middle: FloatArray
    """Mean 2theta of each ring's pixels, rad, shape (count,)."""


def scattering_of(geometry: Geometry, polarization: float | None) -> Scattering:
    """Scattering angles and relative exposure of the pixels of a geometry, its shape known."""
    arrays, detector = pixel_arrays(geometry), geometry.detector
    seen = arrays.solid_angle
    if polarization is not None:
        seen = seen * arrays.polarization(polarization)
    two_theta = arrays.two_theta
    # A pixel of a flat detector covers p / L cos^2(2theta).
    away = np.cos(min(float(np.median(two_theta)), 1.0)) ** 2
    step = min(detector.pixel1, detector.pixel2) / geometry.distance * float(away)
    return Scattering(two_theta, seen, step)


def rings_of(scattering: Scattering, width: float) -> Rings:
    """Rings of ``width`` pixels, wider where they would have less than ``FEWEST`` pixels."""
    two_theta = scattering.two_theta
    number = ((two_theta - two_theta.min()) / (width * scattering.step)).astype(np.int64)
    found = np.bincount(number.ravel())
    group = (np.cumsum(found) - found) // FEWEST
    _, merged = np.unique(group, return_inverse=True)
    ring, count = merged[number], int(merged[-1]) + 1
    members = np.bincount(ring.ravel(), minlength=count)
    return Rings(ring, count, sums(ring, two_theta, count) / members)


def sums(ring: IntArray, values: FloatArray | BoolArray, count: int) -> FloatArray:
    """Sum of values of each ring, shape (count,)."""
    found = np.bincount(ring.ravel(), weights=values.ravel(), minlength=count)
    return found.astype(np.float64)


class Members:
    """The pixels of each ring, in order, to take quantiles of: once for several images."""

    def __init__(self, ring: IntArray, count: int) -> None:
        self._order = np.argsort(ring, kind="stable")
        self._start = np.concatenate(([0], np.cumsum(np.bincount(ring, minlength=count))))

    def quantile(self, values: FloatArray, part: float) -> FloatArray:
        """A quantile of each ring, shape (count,); NaN where it has no pixels.

        Parameters
        ----------
        values:
            Of the pixels that the rings were given for, likewise of one dimension.
        part:
            From 0 to 1; the nearest of the values is taken.
        """
        ordered = values[self._order]
        found = np.full(self._start.size - 1, np.nan)
        for ring, (begin, end) in enumerate(pairwise(self._start)):
            if begin < end:
                place = round(part * (end - begin - 1))
                found[ring] = np.partition(ordered[begin:end], place)[place]
        return found


def photon_reach(mean: FloatArray) -> FloatArray:
    r"""How far above its mean m a Poisson number hardly ever is (a chance of :math:`e^{-14}`).

    .. math:: \frac{L}{3} + \sqrt{\frac{L^2}{9} + 2 L m}

    (Bernstein's inequality); below its mean it is even less often.
    """
    third = _CHANCE / 3.0
    return np.asarray(third + np.sqrt(third**2 + 2.0 * _CHANCE * mean))


@dataclass(frozen=True, slots=True, eq=False)
class RingMeans:
    """What the pixels of each ring measure, outliers left out; NaN where nothing does."""

    rate: FloatArray
    """Mean, photons a frame at full exposure, shape (count,)."""
    error: FloatArray
    """Its standard error from counting, likewise, that of three photons at least."""
    scatter: FloatArray
    """Standard deviation of pixels beyond that of counting, relative to the mean, from the median
    absolute deviation."""


def ring_means(rings: Rings, total: FloatArray, exposure: FloatArray, use: BoolArray) -> RingMeans:
    """Mean of each ring without its outliers, also where most pixels have no photon at all.

    It begins with the median, one photon more at most, and takes the mean of all pixels that are
    within reach of the last one: the reach of photons, or ``_REACH`` times the robust scatter.

    Parameters
    ----------
    total:
        Photons in all frames, shape (slow, fast).
    exposure:
        Frames times relative exposure, likewise.
    use:
        Which pixels to look at.
    """
    ring, count = rings.ring[use], rings.count
    members = Members(ring, count)
    photons, exposed = total[use], exposure[use]
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = members.quantile((photons + 1.0) / exposed, 0.5)
        scatter = np.zeros(count)
        for _ in range(_ROUNDS):
            mean = rate[ring] * exposed
            away = np.abs(photons - mean)
            near = away <= np.maximum(photon_reach(mean), _REACH * scatter[ring] * mean)
            kept, frames = (
                sums(ring[near], values[near], count) for values in (photons, exposed)
            )  # fmt: skip
            rate = kept / frames
            mean = rate[ring] * exposed
            typical = sums(ring, mean, count) / np.bincount(ring, minlength=count)
            scatter = _excess(members, photons - mean, ring, typical)
        return RingMeans(rate, np.sqrt(np.maximum(kept, 9.0)) / frames, scatter)


def _excess(
    members: Members, residual: FloatArray, ring: IntArray, typical: FloatArray
) -> FloatArray:
    """Relative scatter of each ring beyond that of counting, from what pixels depart from it."""
    middle = members.quantile(residual, 0.5)
    deviation = members.quantile(np.abs(residual - middle[ring]), 0.5)
    excess = np.square(MAD_TO_SIGMA * deviation) - typical
    # With a few photons a deviation is a whole number: it tells nothing finer than that.
    excess = np.where(typical > 4.0, np.maximum(excess, 0.0), 0.0)
    return np.nan_to_num(np.sqrt(excess) / typical)
