"""Compiled sums of how far pixels are from the mean of their ring."""

import numpy as np

from ringline.processing.compiled import inner, jit


@jit
def scatter_runs(raw, lost, first, coefficients, unit, pixel_values, mean, span, sums):
    """Add (share x (raw - dark - norm x mean)) squared of the pixels span[0] .. span[1] - 1.

    Parameters
    ----------
    raw:
        Pixels of the frame, shape (pixels,).
    lost:
        True for pixels that do not count in it, shape (pixels,) or, where all do, (0,).
    first, coefficients, unit:
        As in a ``BinTable``; coefficients of shape (pixels, 0) where there are none.
    pixel_values:
        norm and dark, each of shape (pixels,), the dark (0,) where it is 0.
    mean:
        Of each bin, shape (bins + 1 + the longest run,).
    sums:
        Shape (bins + 1 + the longest run,); what does not count is added beyond the bins.
    """
    norm, dark = pixel_values
    width = coefficients.shape[1]
    for pixel in range(span[0], span[1]):
        if lost.size and lost[pixel]:
            continue
        number, signal = first[pixel], _signal(raw, dark, pixel)
        for step in range(max(width, 1)):
            share = coefficients[pixel, step] * unit if width > 0 else 1.0
            off = share * (signal - norm[pixel] * mean[number + step])
            # Beyond the bins a pixel may hold anything, also what is not a number.
            if share > 0.0:
                sums[number + step] += off * off


@jit
def scatter_extras(raw, lost, pixels, bins, coefficients, pixel_values, mean, sums):
    """Add the same of the shares beyond the runs; arguments as above."""
    norm, dark = pixel_values
    for k in range(pixels.size):
        pixel, number = pixels[k], bins[k]
        if lost.size and lost[pixel]:
            continue
        off = coefficients[k] * (_signal(raw, dark, pixel) - norm[pixel] * mean[number])
        sums[number] += off * off


@inner
def _signal(raw, dark, pixel):
    return np.float64(raw[pixel]) - dark[pixel] if dark.size else np.float64(raw[pixel])
