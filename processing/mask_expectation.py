"""What each pixel should measure, from the pixels around it and on the same ring."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ringline.processing.mask_kernels import REACH, third_neighbours
from ringline.processing.mask_rings import Scattering, photon_reach, ring_means, rings_of
from ringline.processing.mask_statistics import FrameStatistics
from ringline.processing.types import BoolArray, FloatArray
from ringline.processing.worker_threads import in_parallel

_RING_WIDTH = 0.5
_AREA = 31
"""Side of the square, pixels, within which a ring's intensity changes little along it."""
_PRIOR = 100.0
"""Photons that a square must have for its own departure from the ring to count half."""
_NEAR = 15
"""Side of the square, pixels, whose sum bounds what a pixel measures where photons are rare."""
_THIRD_OF_48 = 1.6
"""Standard deviations by which the third smallest of 48 normal numbers is below their mean."""
_FEWEST = 24.5
"""Pixels that must measure, of the 49 in the square of the neighbours."""
_PARTS = 16


@dataclass(frozen=True, slots=True, eq=False)
class Expectation:
    """What a good pixel measures, photons a frame, shape (slow, fast); NaN: that is not known.

    Both bounds allow for three standard errors.
    """

    lower: FloatArray
    upper: FloatArray
    around: FloatArray
    """What there is at least around the pixel, as its darkest neighbours say."""
    scatter: FloatArray | float = 0.0
    """Standard deviation of pixels beyond that of counting, relative to what is expected."""


def local_expectation(statistics: FrameStatistics, signal: FloatArray) -> Expectation:
    r"""Bounds from the neighbours alone, of which a ring or a gap between rings may be some.

    The upper bound is the third largest of the 48 neighbours: a line of bright pixels through a
    pixel has more than that. The lower one is :math:`m + \sqrt{m}`, with m the third smallest,
    as that lies more than a standard deviation below what is expected. In corners, where less than
    half of the neighbours measure, a ring may end: nothing is known.

    Parameters
    ----------
    signal:
        Photons of all frames less the dark, >= 0, shape (slow, fast).
    """
    measured = statistics.valid > 0
    frames = np.maximum(statistics.valid, 1)
    rate = signal / frames
    low, high = thirds(rate, measured)
    cornered = box(np.ones_like(rate), measured, 2 * REACH + 1) < _FEWEST
    low[cornered] = high[cornered] = np.nan
    lower = low + np.sqrt(low / frames)
    # Where photons are rare all those neighbours have none. Few outliers do not move this sum.
    usual = np.nan_to_num(frames * high)
    tame = np.minimum(signal, usual + photon_reach(usual))
    photons, exposed = box(tame, measured, _NEAR), box(frames, measured, _NEAR)
    with np.errstate(invalid="ignore", divide="ignore"):
        bound = (photons + 3.0 * np.sqrt(photons) + 5.0) / exposed
    around = low + _THIRD_OF_48 * np.sqrt(low / frames)
    return Expectation(lower, np.maximum(high, bound), around)


def ring_expectation(
    statistics: FrameStatistics,
    signal: FloatArray,
    scattering: Scattering,
    good: BoolArray,
) -> Expectation:
    """Bounds from the ring of each pixel, times what its surroundings are relative to theirs.

    The upper bound is at least that from the neighbours, which may be brighter than the ring is
    elsewhere: grains, an arc.

    Parameters
    ----------
    signal:
        Photons of all frames less the dark, >= 0, shape (slow, fast).
    good:
        Pixels to learn from: measured and in no shadow.
    """
    rings = rings_of(scattering, _RING_WIDTH)
    exposure = statistics.valid * scattering.seen
    means = ring_means(rings, signal, exposure, good)
    known = np.isfinite(means.rate)
    local = local_expectation(statistics, signal)
    if not known.any():
        return local

    def spread(values: FloatArray) -> FloatArray:
        return np.interp(scattering.two_theta, rings.middle[known], values[known])

    rate = spread(means.rate) * scattering.seen
    scatter = np.where(known, means.scatter, 0.0)[rings.ring]
    error = spread(means.error) * scattering.seen
    mean = rate * statistics.valid
    near = np.abs(signal - mean) <= photon_reach(mean) + 6.0 * scatter * mean
    near &= good
    around, expected = box(signal, near, _AREA), box(mean, near, _AREA)
    factor = (around + _PRIOR) / (expected + _PRIOR)
    relative = np.sqrt(around) / (expected + _PRIOR)
    lower = np.maximum(rate - 3.0 * error, 0.0) * np.maximum(factor - 3.0 * relative, 0.0)
    upper = (rate + 3.0 * error) * (factor + 3.0 * relative)
    return Expectation(lower, np.fmax(upper, local.upper), np.fmin(lower, local.around), scatter)


def thirds(values: FloatArray, use: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Third smallest and third largest of the up to 48 usable neighbours of each pixel.

    Shapes (slow, fast); NaN where there are fewer than three.
    """
    framed = [
        np.pad(np.where(use, values, fill), REACH, constant_values=fill)
        for fill in (np.inf, -np.inf)
    ]
    low, high = np.empty(values.shape), np.empty(values.shape)
    edges = np.linspace(0, values.shape[0], _PARTS + 1).astype(int)

    def part(number: int) -> None:
        third_neighbours(*framed, edges[number], edges[number + 1], low, high)

    in_parallel(part, _PARTS)
    low[~np.isfinite(low)] = np.nan
    high[~np.isfinite(high)] = np.nan
    return low, high


def box(values: FloatArray, use: BoolArray, side: int) -> FloatArray:
    """Sum of the usable values in the square of ``side`` pixels around each, shape (slow, fast)."""
    chosen = np.where(use, values, 0.0)
    found = ndimage.uniform_filter(chosen, side, mode="constant") * float(side**2)
    return np.asarray(np.maximum(found, 0.0))
