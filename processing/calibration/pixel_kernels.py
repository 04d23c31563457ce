"""Loops over the pixels of a calibration image, compiled by numba."""

import numpy as np

from ringline.processing.compiled import inner, jit

_AROUND = np.array([[0, -1], [0, 1], [-1, 0], [1, 0], [-1, -1], [-1, 1], [1, -1], [1, 1]])
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
def mark_isolated(counts, usable, levels, noise, span, marked):
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
    span:
        Rows to look at: first, and one past the last.
    """
    rows, columns = counts.shape
    near = np.empty(8)
    least = _SIGMAS * noise.min()
    for i in range(span[0], span[1]):
        for j in range(columns):
            if not usable[i, j]:
                continue
            value = counts[i, j]
            limit_high, limit_low = value - least, value + least
            bright = dark = number = 0
            for step in range(_AROUND.shape[0]):
                # Only what is far beyond nearly all of its neighbourhood can be alone.
                if bright > 1 and dark > 2:
                    break
                k, m = i + _AROUND[step, 0], j + _AROUND[step, 1]
                if k < 0 or k >= rows or m < 0 or m >= columns or not usable[k, m]:
                    continue
                near[number] = counts[k, m]
                bright += near[number] > limit_high
                dark += near[number] < limit_low
                number += 1
            if number < 5 or (bright > 1 and dark > 2):
                continue
            order = np.sort(near[:number])
            middle = 0.5 * (order[number // 2] + order[(number - 1) // 2])
            second, third = order[number - 2], order[2]
            if bright <= 1:
                limit = _HOT_RATIO * (second - middle) + _SIGMAS * _noise_at(second, levels, noise)
                marked[i, j] = value - middle > limit
            else:
                below = third - value
                marked[i, j] = below > _SIGMAS * _noise_at(third, levels, noise) and (
                    below > _DEAD_RATIO * (third - levels[0])
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
