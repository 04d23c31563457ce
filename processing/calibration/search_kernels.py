"""Loops of the search for a geometry, compiled by numba.

A geometry is five numbers here: c1, c2, where the beam meets the detector's plane, m; the
logarithm of the distance D from the sample to that place; b1, b2, the beam's direction along the
detector's axes. A point X on the detector is seen from the sample at P = X - C + D b, and
cos(2theta) = b.P / |P|.
"""

from math import atan2, exp, log, sqrt

import numpy as np

from ringline.processing.compiled import inner, jit

_STEP = 1e-7
_STEEPEST = 0.75
"""Squared sine of the largest tilt that is looked at: 60 degrees."""


@inner
def _seen(params, point):
    """Position from the sample, and the beam's direction: P1, P2, P3, b1, b2, b3."""
    b1, b2 = params[3], params[4]
    b3 = sqrt(max(1.0 - b1 * b1 - b2 * b2, 1e-12))
    away = exp(params[2])
    return (
        point[0] - params[0] + away * b1,
        point[1] - params[1] + away * b2,
        point[2] + away * b3,
        b1,
        b2,
        b3,
    )


@inner
def _two_theta(params, point):
    p1, p2, p3, b1, b2, b3 = _seen(params, point)
    along = b1 * p1 + b2 * p2 + b3 * p3
    c1, c2, c3 = b2 * p3 - b3 * p2, b3 * p1 - b1 * p3, b1 * p2 - b2 * p1
    return atan2(sqrt(c1 * c1 + c2 * c2 + c3 * c3), along)


@inner
def _misdirection(params, point, tangent):
    """Cosine of the angle between a crest and the direction in which 2theta grows."""
    p1, p2, p3, b1, b2, b3 = _seen(params, point)
    square = p1 * p1 + p2 * p2 + p3 * p3
    along = b1 * p1 + b2 * p2 + b3 * p3
    g1, g2, g3 = square * b1 - along * p1, square * b2 - along * p2, square * b3 - along * p3
    # The part of the gradient within the detector's plane.
    length = sqrt(g1 * g1 + g2 * g2) + 1e-30
    return (tangent[0] * g1 + tangent[1] * g2 + tangent[2] * g3) / length


@jit
def two_theta_of_points(params, points, found):
    """2theta, rad, of points of shape (n, 3), m."""
    for i in range(points.shape[0]):
        found[i] = _two_theta(params, points[i])


@inner
def _nearest(lines, value):
    """Index of the line at or above a value, from 0 to their number."""
    low, high = 0, lines.size
    while low < high:
        middle = (low + high) // 2
        if lines[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@jit
def line_score(params, points, lines, blur, stray):
    """Mean logarithm of how much better than by chance the points lie on lines.

    A point between two lines would lie anywhere in their gap by chance, or in as much of it as
    all points cover; on a ring it lies within ``blur`` (rad, shape (2,): constant, and a part of
    2theta) of a line. A part ``stray`` of the points is on none.
    """
    number = points.shape[0]
    values = np.empty(number)
    mean = square = 0.0
    for i in range(number):
        values[i] = _two_theta(params, points[i])
        mean += values[i] / number
    for i in range(number):
        square += (values[i] - mean) ** 2 / number
    span = 3.5 * sqrt(square)  # of an even distribution
    total = 0.0
    for i in range(number):
        value = values[i]
        width = blur[0] + blur[1] * value
        above = _nearest(lines, value)
        if above == lines.size:
            total += log(stray)
            continue
        below = lines[above - 1] if above > 0 else 0.0
        gap = min(max(lines[above] - below, 1.0e-9), span)
        off = (lines[above] - value) / width
        density = exp(-0.5 * off * off)
        if above > 0:
            off = (value - below) / width
            density = 0.5 * (density + exp(-0.5 * off * off))
        ratio = density * gap / (width * 2.5066282746310002)
        total += log((1.0 - stray) * ratio + stray)
    return total / number


@inner
def _residual(params, point, tangent, lines, slot):
    """Misdirection of a crest, or, where there are lines, distance in 2theta from line ``slot``."""
    if lines.size == 0:
        return _misdirection(params, point, tangent)
    return _two_theta(params, point) - lines[slot]


@inner
def _closest(lines, value):
    above = _nearest(lines, value)
    if above == lines.size or (above > 0 and value - lines[above - 1] < lines[above] - value):
        above -= 1
    return above


@jit
def _normal_equations(params, points, tangents, lines, scale, free, normal, slope):
    """Sums for a step, residuals weighted down where large; returns the mean cost."""
    normal[:], slope[:] = 0.0, 0.0
    cost = 0.0
    changed = params.copy()
    row = np.empty(params.size)
    for i in range(points.shape[0]):
        slot = 0
        if lines.size:
            slot = _closest(lines, _two_theta(params, points[i]))
        here = _residual(params, points[i], tangents[i], lines, slot)
        square = (here / scale) ** 2
        cost += log(1.0 + square)
        weight = 1.0 / (1.0 + square)
        for k in range(params.size):
            row[k] = 0.0
            if free[k]:
                changed[k] = params[k] + _STEP
                moved = _residual(changed, points[i], tangents[i], lines, slot)
                row[k] = (moved - here) / _STEP
                changed[k] = params[k]
        for k in range(params.size):
            slope[k] -= weight * row[k] * here
            for m in range(params.size):
                normal[k, m] += weight * row[k] * row[m]
    return cost / points.shape[0]


@jit
def fit_rings(start, points, tangents, lines, scale, free, prior, iterations):
    """Levenberg-Marquardt: a geometry whose rings run along the crests; and its cost.

    Where there are lines, one whose rings pass through the points instead.

    Parameters
    ----------
    start:
        Shape (5,).
    points, tangents:
        Shape (n, 3).
    lines:
        2theta, rad, ascending; none for directions.
    scale:
        Residual, rad, from which points count less (Cauchy).
    free:
        Shape (5,): which are fitted.
    prior:
        Shape (2, 5): values known before, and 1 / standard deviation squared, for each point.
    iterations:
        At most.
    """
    size = start.size
    params = start.copy()
    normal, slope = np.zeros((size, size)), np.zeros(size)
    new_normal, new_slope = np.zeros((size, size)), np.zeros(size)
    cost = _normal_equations(params, points, tangents, lines, scale, free, normal, slope)
    cost += _add_prior(params, prior, normal, slope, points.shape[0] * scale * scale)
    damping = 1e-3
    for _ in range(iterations):
        matrix = normal.copy()
        for k in range(size):
            matrix[k, k] = normal[k, k] * (1.0 + damping) + 1e-30
            if not free[k]:
                matrix[k, k] = 1.0
        moved = params + np.linalg.solve(matrix, slope)
        valid = moved[3] ** 2 + moved[4] ** 2 < _STEEPEST and abs(moved[2] - params[2]) < 2.0
        new = cost
        if valid:
            new = _normal_equations(
                moved, points, tangents, lines, scale, free, new_normal, new_slope
            )
            new += _add_prior(moved, prior, new_normal, new_slope, points.shape[0] * scale * scale)
        if valid and new < cost:
            gain = cost - new
            params, cost = moved, new
            normal[:], slope[:] = new_normal, new_slope
            damping = max(damping * 0.2, 1e-9)
            if gain < 1e-9 * cost:
                break
        else:
            damping *= 8.0
            if damping > 1e8:
                break
    return params, cost


@jit
def _add_prior(params, prior, normal, slope, unit):
    """What is known before, as one more residual a parameter."""
    cost = 0.0
    for k in range(params.size):
        weight = prior[1, k]
        if weight > 0.0:
            off = params[k] - prior[0, k]
            normal[k, k] += weight * unit
            slope[k] -= weight * unit * off
            cost += weight * off * off
    return cost


@jit
def sharpness(center, points, width, counts):
    """How far from even the distances of points from a center are spread over rings.

    Sum of squared counts over what chance would give, from a histogram of ``width``, m.
    """
    counts[:] = 0.0
    for i in range(points.shape[0]):
        d1, d2 = points[i, 0] - center[0], points[i, 1] - center[1]
        place = sqrt(d1 * d1 + d2 * d2) / width
        low = int(place)
        if low + 1 < counts.size:
            part = place - low
            counts[low] += 1.0 - part
            counts[low + 1] += part
    return 0.0


@jit
def directions(params, points, tangents, found):
    """Misdirection of each point: cosine of the angle between crest and gradient."""
    for i in range(points.shape[0]):
        found[i] = _misdirection(params, points[i], tangents[i])
