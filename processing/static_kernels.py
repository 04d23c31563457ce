"""Compiled sums over pixels that are the same for all frames."""

import numpy as np

from ringline.processing.bin_table import RUNS
from ringline.processing.compiled import inner, jit

NORM, NORM_SQ, COUNT, DARK, VARIANCE = range(5)
"""Rows of the sums."""


@jit
def add_runs(first, coefficients, unit, pixel_values, span, sums):
    """Add the runs of the pixels span[0] .. span[1] - 1 to the sums.

    Parameters
    ----------
    first, coefficients, unit:
        As in a ``BinTable``; coefficients of shape (pixels, 0) where there are none.
    pixel_values:
        norm, dark and variance, each of shape (pixels,) or (0,) where it is 0.
    sums:
        Shape (5, bins + 1 + the longest run); what does not count is added beyond the bins.
    """
    norm, dark, variance = pixel_values
    width = coefficients.shape[1]
    for pixel in range(span[0], span[1]):
        number, normed = first[pixel], norm[pixel]
        for step in range(max(width, 1)):
            share = coefficients[pixel, step] * unit if width > 0 else 1.0
            _add(sums, number + step, share, normed, pixel, dark, variance)


@jit
def add_extras(pixels, bins, coefficients, pixel_values, sums):
    """Add the shares beyond the runs to the sums; arguments as above."""
    norm, dark, variance = pixel_values
    for k in range(pixels.size):
        pixel = pixels[k]
        share = np.float64(coefficients[k])
        _add(sums, bins[k], share, norm[pixel], pixel, dark, variance)


@inner
def _add(sums, number, share, norm, pixel, dark, variance):
    sums[NORM, number] += share * norm
    sums[NORM_SQ, number] += share * norm * (share * norm)
    sums[COUNT, number] += share
    if dark.size:
        sums[DARK, number] += share * dark[pixel]
    if variance.size:
        sums[VARIANCE, number] += share * share * variance[pixel]


def zero_sums(bins: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Room for the sums, with what lies beyond the bins."""
    return np.zeros((5, bins + 1 + RUNS[-1]))
