"""Rings measured sector by sector: loops compiled by numba."""

from math import atan2, exp, pi, sqrt

from ringline.processing.compiled import jit

TERMS = 4
"""A constant, a slope, the ring's profile, and what a shift adds to it."""


@jit
def gather(t1, t2, t3, counts, usable, offset, lines, half, sectors, merged, found, place):
    """List the pixels near rings; returns how many there are.

    Parameters
    ----------
    t1, t2, t3:
        Positions in the frame of the sample, m, shape (rows, columns).
    counts, usable:
        Of the same shape.
    offset:
        Flat index of the first pixel.
    lines, half:
        2theta of each ring, ascending, and how far around it pixels are taken, rad, shape (n,).
    sectors:
        Of azimuth, of a full turn.
    merged:
        How many of them, one after the other, make one of each ring, shape (n,).
    found:
        Columns of float32: 2theta less the ring's, counts; shape (2, as many as pixels).
    place:
        Columns of int64: ring times sectors plus sector, flat index; shape (2, likewise).
    """
    number = 0
    rows, columns = t1.shape
    for i in range(rows):
        for j in range(columns):
            if not usable[i, j]:
                continue
            two_theta = atan2(sqrt(t1[i, j] ** 2 + t2[i, j] ** 2), t3[i, j])
            low, high = 0, lines.size
            while low < high:
                middle = (low + high) // 2
                if lines[middle] < two_theta:
                    low = middle + 1
                else:
                    high = middle
            if low == lines.size or (
                low > 0 and two_theta - lines[low - 1] < lines[low] - two_theta
            ):
                low -= 1
            off = two_theta - lines[low]
            if abs(off) > half[low]:
                continue
            turn = (atan2(t1[i, j], t2[i, j]) + pi) / (2 * pi)
            sector = min(int(turn * sectors), sectors - 1)
            sector -= sector % merged[low]
            found[0, number] = off
            found[1, number] = counts[i, j]
            place[0, number] = low * sectors + sector
            place[1, number] = offset + i * columns + j
            number += 1
    return number


@jit
def add_terms(off, counts, group, members, taken, width, half, matrix, right):
    """Normal equations of each group's profile: background, ring, shift.

    Parameters
    ----------
    off, counts, group, taken:
        Of each pixel: 2theta from its ring, counts, its group, whether it takes part; shape (n,).
    members:
        Ring of each group, shape (groups,).
    width, half:
        Standard deviation of each ring's profile and half its window, rad, shape (rings,).
    matrix, right:
        Sums, shapes (groups, 4, 4), of which one half is filled, and (groups, 4).
    """
    for i in range(off.size):
        if not taken[i]:
            continue
        where = group[i]
        ring = members[where]
        unit = off[i] / width[ring]
        bell = exp(-0.5 * unit * unit)
        terms = (1.0, off[i] / half[ring], bell, unit * bell)
        for k in range(TERMS):
            right[where, k] += terms[k] * counts[i]
            for m in range(k + 1):
                matrix[where, k, m] += terms[k] * terms[m]


@jit
def add_residuals(off, counts, group, members, taken, width, half, fitted, excess, sandwich):
    """Squared residuals of each pixel, and their sums of each group.

    Parameters
    ----------
    fitted:
        Coefficients of each group's terms, shape (groups, 4).
    excess:
        Squared residual over what counting alone would make of it, of each pixel, shape (n,).
    sandwich:
        Sums of squared residuals times products of terms, shape (groups, 4, 4), one half.
    """
    for i in range(off.size):
        where = group[i]
        ring = members[where]
        unit = off[i] / width[ring]
        bell = exp(-0.5 * unit * unit)
        terms = (1.0, off[i] / half[ring], bell, unit * bell)
        model = 0.0
        for k in range(TERMS):
            model += terms[k] * fitted[where, k]
        square = (counts[i] - model) ** 2
        excess[i] = square / (max(model, 0.0) + 1.0)
        if not taken[i]:
            continue
        for k in range(TERMS):
            for m in range(k + 1):
                sandwich[where, k, m] += square * terms[k] * terms[m]


@jit
def add_places(off, group, members, taken, place, columns, width, sums):
    """Sums of row and column of each group's pixels on the crest, and of their weights.

    ``sums`` has shape (groups, 3).
    """
    for i in range(off.size):
        if not taken[i]:
            continue
        where = group[i]
        unit = off[i] / width[members[where]]
        bell = exp(-0.5 * unit * unit)
        sums[where, 0] += bell
        sums[where, 1] += bell * (place[i] // columns)
        sums[where, 2] += bell * (place[i] % columns)


@jit
def add_profiles(off, counts, group, members, half, total, number):
    """Sums of counts, and numbers of pixels, along each ring's profile; shape (rings, steps)."""
    steps = total.shape[1]
    for i in range(off.size):
        ring = members[group[i]]
        step = int((off[i] / half[ring] + 1.0) * 0.5 * steps)
        if 0 <= step < steps:
            total[ring, step] += counts[i]
            number[ring, step] += 1.0
