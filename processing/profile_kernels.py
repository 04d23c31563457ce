"""Compiled last step: from sums to a profile, one pass over the bins."""

import math

from ringline.processing.compiled import jit


@jit
def add_profile(sums, span, intensity, sigma, std):
    """Mean, standard error and standard deviation of the bins span[0] .. span[1] - 1.

    Parameters
    ----------
    sums:
        signal, variance, norm, norm_sq and count, each of shape (bins,).
    intensity, sigma, std:
        Written to, shape (bins,); the last two (0,) where they are not wanted.
    """
    signal, variance, norm, norm_sq, count = sums
    for i in range(span[0], span[1]):
        mean = signal[i] / norm[i]
        intensity[i] = mean if count[i] > 0.0 else math.nan
    if sigma.size:
        for i in range(span[0], span[1]):
            error = math.sqrt(variance[i] if count[i] > 0.0 else math.nan)
            sigma[i] = error / norm[i]
            std[i] = error / math.sqrt(norm_sq[i])
