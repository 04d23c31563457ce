"""Loops over the pixels of a calibration image, compiled by numba."""

from math import sqrt

from ringline.processing.compiled import jit

_HOT_RATIO = 3.0
_DEAD_RATIO = 0.4
_DEAD_FROM = 12.0
_SIGMAS = 6.0


@jit
def mark_isolated(counts, usable, marked):
    """Mark usable pixels that no picture makes: alone far above, or far below, all around them.

    Hot is what exceeds thrice the second largest of its neighbours, by six standard deviations of
    the counting noise: a ring, and a spot on it, has neighbours nearly as bright. Dead is what is
    under 0.4 of the third smallest neighbour, where counts leave no doubt. Pixels without five
    usable neighbours are left.
    """
    rows, columns = counts.shape
    for i in range(rows):
        for j in range(columns):
            if not usable[i, j]:
                continue
            value = counts[i, j]
            first = second = -1e30
            low1 = low2 = low3 = 1e30
            number = 0
            for k in range(max(i - 1, 0), min(i + 2, rows)):
                for m in range(max(j - 1, 0), min(j + 2, columns)):
                    if (k == i and m == j) or not usable[k, m]:
                        continue
                    other = counts[k, m]
                    number += 1
                    if other > first:
                        second, first = first, other
                    elif other > second:
                        second = other
                    if other < low1:
                        low3, low2, low1 = low2, low1, other
                    elif other < low2:
                        low3, low2 = low2, other
                    elif other < low3:
                        low3 = other
            if number < 5:
                continue
            near = max(second, 0.0)
            hot = value > _HOT_RATIO * near + _SIGMAS * sqrt(near + 1.0)
            dead = low3 > _DEAD_FROM and value < _DEAD_RATIO * low3 - sqrt(low3)
            if hot or dead:
                marked[i, j] = True


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
