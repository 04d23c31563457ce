"""Which single pixels are faulty: what they measured against what they should."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage, special

from ringline.processing.mask_expectation import Expectation, thirds
from ringline.processing.mask_settings import MaskSettings
from ringline.processing.mask_statistics import FrameStatistics
from ringline.processing.types import BoolArray, FloatArray

_SHARED = 0.1
_RING_OF_EIGHT = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], dtype=bool)
FEWEST_FRAMES = 4
"""With fewer a variance says nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """All that pixels are judged by, arrays of shape (slow, fast)."""

    statistics: FrameStatistics
    expectation: Expectation
    dark: FloatArray | float
    """Photons a frame that no scattering makes."""
    settings: MaskSettings
    chance: float
    """Probability below which chance does not explain what one pixel shows."""


def too_few(evidence: Evidence, below: float) -> BoolArray:
    """Pixels with less than ``below`` times what is expected, which chance does not explain."""
    statistics, expectation = evidence.statistics, evidence.expectation
    frames, dark = statistics.valid, evidence.dark * statistics.valid
    expected = expectation.lower * frames
    found = (statistics.valid > 0) & (statistics.total - dark <= below * expected)
    photons, mean = statistics.total[found], (expected + dark)[found]
    deep = mean - photons > _deviations(evidence.chance) * _sigma(
        mean, (expectation.scatter * expected)[found]
    )
    found[found] = deep & (special.gammaincc(photons + 1.0, mean) < evidence.chance)
    return found


def too_many(evidence: Evidence) -> BoolArray:
    """Pixels whose lasting values are far above what is expected: not by chance, nor in moments.

    A spot of photons reaches the pixels around, so one whose neighbours together, the brightest of
    them left out, have ``_SHARED`` of its excess is not hot.
    """
    statistics, expectation = evidence.statistics, evidence.expectation
    frames, dark = statistics.lasting, evidence.dark * statistics.lasting
    expected = expectation.upper * frames
    signal = statistics.lasting_total - dark
    found = (signal > evidence.settings.hot_above * expected) & (signal > 0)
    photons, mean = statistics.lasting_total[found], (expected + dark)[found]
    high = photons - mean > _deviations(evidence.chance) * _sigma(
        mean, (expectation.scatter * expected)[found]
    )
    found[found] = high & (special.gammainc(photons, mean) < evidence.chance)
    return found & ~_is_spot(evidence)


def _is_spot(evidence: Evidence) -> BoolArray:
    """Where the excess over what there is at least is shared by the pixels around."""
    statistics = evidence.statistics
    measured, frames = statistics.lasting > 0, np.maximum(statistics.lasting, 1)
    mean = np.nan_to_num(evidence.expectation.around) + evidence.dark
    excess = np.where(measured, statistics.lasting_total / frames - mean, 0.0)
    around = ndimage.maximum_filter(excess, footprint=_RING_OF_EIGHT, mode="constant")
    shared = ndimage.convolve(excess, _RING_OF_EIGHT.astype(float), mode="constant") - around
    # Where photons are rare the darkest neighbours say nothing of the others.
    upper = np.nan_to_num(evidence.expectation.upper) + evidence.dark
    noise = np.sqrt(7.0 * np.minimum(upper, 2.0 * mean + 3.0 / frames) / frames)
    return np.asarray(shared > _SHARED * excess + 3.0 * noise)


def stuck(evidence: Evidence) -> BoolArray:
    r"""Pixels with the same value in all frames, where photons would vary.

    The probability of n equal Poisson numbers of mean m is at most :math:`p^{n-1}` with p that of
    the most frequent one: :math:`e^{-m}` for m < 1, and less than
    :math:`1 / \sqrt{2 \pi (m - 1/2)}` else.
    """
    statistics = evidence.statistics
    found = statistics.constant & (statistics.valid > 1)
    frames = statistics.valid[found]
    mean = (evidence.expectation.lower + evidence.dark)[found]
    with np.errstate(invalid="ignore", divide="ignore"):
        often = -0.5 * np.log(2.0 * np.pi * (mean - 0.5))
    most = np.where(mean < 1.0, -mean, np.minimum(often, -0.5))
    found[found] = (frames - 1) * most < np.log(evidence.chance)
    return found


def noisy(evidence: Evidence) -> BoolArray:
    r"""Pixels whose lasting values vary far more than photons do, and than those around.

    The squares about the mean of n Poisson numbers of mean m are about a gamma variable of mean
    :math:`(n-1) m` and variance :math:`(n-1)^2 (m/n + 2 m^2 / (n-1))`. They are compared with it
    times the third largest ratio of variance to mean among the neighbours, but not less than 1:
    where the beam fluctuates or a sample changes, that is what all pixels there show.
    """
    statistics = evidence.statistics
    count = statistics.lasting
    use = count >= FEWEST_FRAMES - 1
    if not use.any():
        return use
    frames = np.maximum(statistics.valid, 1)
    mean = np.maximum(statistics.total / frames, evidence.expectation.upper + evidence.dark)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(use, statistics.squares / ((count - 1) * mean), 0.0)
    usual = np.fmax(thirds(ratio, use & np.isfinite(ratio))[1], 1.0)
    found = use & (ratio > evidence.settings.noisy_above * usual)
    n, m = statistics.valid[found], mean[found]
    middle, variance = (n - 1) * m, (n - 1.0) ** 2 * (m / n + 2.0 * m**2 / (n - 1))
    reduced = statistics.squares[found] / usual[found]
    found[found] = special.gammaincc(middle**2 / variance, reduced * middle / variance) < (
        evidence.chance
    )
    return found


def _deviations(chance: float) -> float:
    """Standard deviations beyond which a normal number is with that probability."""
    return float(-special.ndtri(chance))


def _sigma(mean: FloatArray, scatter: FloatArray) -> FloatArray:
    return np.asarray(np.sqrt(mean + np.square(scatter)))
