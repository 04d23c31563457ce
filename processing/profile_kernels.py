"""Compiled last step: from sums to a profile, one pass over the bins."""

import math

from ringline.processing.compiled import jit


@jit
def add_profile(sums, span, intensity, sigma):
    """Mean and standard error of the bins span[0] .. span[1] - 1.

    Parameters
    ----------
    sums:
        signal, variance, norm and count, each of shape (bins,).
    intensity, sigma:
        Written to, shape (bins,); sigma (0,) where it is not wanted.
    """
    signal, variance, norm, count = sums
    for i in range(span[0], span[1]):
        mean = signal[i] / norm[i]
        intensity[i] = mean if count[i] > 0.0 else math.nan
    if sigma.size:
        for i in range(span[0], span[1]):
            error = math.sqrt(variance[i]) / norm[i]
            sigma[i] = error if count[i] > 0.0 else math.nan
