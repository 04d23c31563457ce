"""Loops over the pixels of a calibration image, compiled by numba."""

import numpy as np

from ringline.processing.compiled import inner, jit

_HOT_RATIO = 3.0
_DEAD_RATIO = 0.7
_SIGMAS = 6.0


@inner
def _noise_at(value, levels, noise):
    """Standard deviation of counts at a level, from a table."""
    place = np.searchsorted(levels, value)
    if place == 0:
        return noise[0]
    if place == levels.size:
        # Beyond the table as by counting.
        return noise[-1] * np.sqrt(max(value, 1.0) / max(levels[-1], 1.0))
    part = (value - levels[place - 1]) / (levels[place] - levels[place - 1])
    return noise[place - 1] + part * (noise[place] - noise[place - 1])


@jit
def mark_isolated(counts, usable, levels, noise, marked):
    """Mark usable pixels that no picture makes: alone far above, or far below, all around them.

    Hot is what stands out of its neighbours' median by thrice as much as the second largest of
    them, and by six standard deviations: a ring, and a spot on it, has neighbours nearly as
    bright. Dead is what stands as far below their third smallest. Pixels without five usable
    neighbours are left.

    Parameters
    ----------
    counts, usable, marked:
        Shape (slow, fast).
    levels, noise:
        Standard deviation of counts by level, ascending.
    """
    rows, columns = counts.shape
    near = np.empty(8)
    for i in range(rows):
        for j in range(columns):
            if not usable[i, j]:
                continue
            value = counts[i, j]
            above = below = number = 0
            for k in range(max(i - 1, 0), min(i + 2, rows)):
                for m in range(max(j - 1, 0), min(j + 2, columns)):
                    if (k == i and m == j) or not usable[k, m]:
                        continue
                    near[number] = counts[k, m]
                    above += near[number] > value
                    below += near[number] < value
                    number += 1
            # Only what is at the very end of its neighbourhood can be alone.
            if number < 5 or (above > 1 and below > 1):
                continue
            order = np.sort(near[:number])
            middle = 0.5 * (order[number // 2] + order[(number - 1) // 2])
            if above <= 1:
                second = order[number - 2]
                limit = _HOT_RATIO * (second - middle) + _SIGMAS * _noise_at(second, levels, noise)
                marked[i, j] = value - middle > limit
            elif below <= 1:
                third = order[2]
                marked[i, j] = third - value > _SIGMAS * _noise_at(third, levels, noise) and (
                    third - value > _DEAD_RATIO * (third - levels[0])
                )


@jit
def binned(counts, usable, size, total, number):
    """Sums of usable pixels in squares of ``size``, and how many they are.

    ``total`` and ``number`` have the shape of the image over ``size``, what is left over not
    counted.
    """
    for i in range(total.shape[0] * size):
        for j in range(total.shape[1] * size):
            if usable[i, j]:
                total[i // size, j // size] += counts[i, j]
                number[i // size, j // size] += 1
