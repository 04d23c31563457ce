"""Compiled geometry of one pixel on the axes: the part of it that lies in each bin.

Arrays are passed one by one: those in a tuple cost an atomic count at every access.
"""

import math
from typing import NamedTuple

import numpy as np

from ringline.processing.compiled import inner

TURN = 2.0 * math.pi

QUANTUM = 2.0**-24
"""Shares are multiples of this. So float32 holds them exactly, those of a pixel add up to one
exactly, and a float64 sum of shares times integers is exact up to 2^29, in any order."""
SMALLEST = 0.5 * QUANTUM


class AxisGrid(NamedTuple):
    """One axis for the loops, but for its edges."""

    bins: int
    uniform: bool
    density: float
    """Bins per unit where they are uniform."""
    low_end: float
    high_end: float
    """How far the first bin and the last one reach: to their edges, or beyond all that the
    pixels reach where the range is theirs."""
    periodic: bool
    middle: float
    """Where the azimuth of polygons is centered."""
    bounded: bool
    """False for an axis that takes all: from minus to plus infinity."""


class Grid(NamedTuple):
    """Both axes for the loops; bins are numbered ``v * bins(u) + u``."""

    u: AxisGrid
    v: AxisGrid
    selects: bool
    """v is no axis: boxes and points that touch its one bin count in full."""
    pole: float
    """The radial coordinate where the azimuth is not defined."""


@inner
def find_bin(axis, edges, value):
    """The bin with edges[bin] <= value < edges[bin + 1]; -1 below all, the number of bins above."""
    bins = axis.bins
    if value < edges[0]:
        return -1
    if value >= edges[bins]:
        return bins
    if not axis.uniform:
        return int(np.searchsorted(edges, value, side="right")) - 1
    number = min(int((value - edges[0]) * axis.density), bins - 1)
    # A product is as good as the edges but for the last bit.
    if value < edges[number]:
        return number - 1
    if value >= edges[number + 1]:
        return number + 1
    return number


@inner
def area_left(polygon, size, x):
    """Signed area of the part of a polygon with u < x: the integral of v du, cut at x."""
    area = 0.0
    ua, va = polygon[size - 1, 0], polygon[size - 1, 1]
    for i in range(size):
        ub, vb = polygon[i, 0], polygon[i, 1]
        if ua <= x and ub <= x:
            area += (ub - ua) * (va + vb)
        elif ua < x or ub < x:
            cut = va + (vb - va) * ((x - ua) / (ub - ua))
            area += (x - ua) * (va + cut) if ua < x else (ub - x) * (cut + vb)
        ua, va = ub, vb
    return 0.5 * area


@inner
def area_left_below(polygon, size, x, y):
    """Signed area of the part of a polygon with u < x and v < y.

    Green: the integral of min(v, y) du around the contour, each side cut at u = x.
    """
    area = 0.0
    for i in range(size):
        j = i + 1 if i + 1 < size else 0
        ua, va, ub, vb = polygon[i, 0], polygon[i, 1], polygon[j, 0], polygon[j, 1]
        if ua == ub or (ua >= x and ub >= x):
            continue
        slope = (vb - va) / (ub - ua)
        if ua > x:
            va, ua = va + slope * (x - ua), x
        elif ub > x:
            vb, ub = va + slope * (x - ua), x
        if va <= y and vb <= y:
            area += (ub - ua) * (va + vb) * 0.5
        elif va >= y and vb >= y:
            area += (ub - ua) * y
        else:
            crossing = ua + (ub - ua) * (y - va) / (vb - va)
            if va < y:
                area += (crossing - ua) * (va + y) * 0.5 + (ub - crossing) * y
            else:
                area += (crossing - ua) * y + (ub - crossing) * (y + vb) * 0.5
    return area


@inner
def unwrapped(polygon, size, column, pole):
    """Make the azimuth of a polygon's corners continuous; its new size.

    A pixel around the beam goes once round the circle: it is closed along the pole.
    """
    first = before = polygon[0, column]
    for i in range(1, size):
        value = polygon[i, column]
        value -= TURN * math.floor((value - before) / TURN + 0.5)
        before = polygon[i, column] = value
    closing = first - TURN * math.floor((first - before) / TURN + 0.5)
    if abs(closing - first) < 1.0:
        return size
    other = 1 - column
    polygon[size, column], polygon[size, other] = closing, polygon[0, other]
    polygon[size + 1, column], polygon[size + 1, other] = closing, pole
    polygon[size + 2, column], polygon[size + 2, other] = first, pole
    return size + 3


@inner
def turned(angle, middle):
    """The angle within half a turn of ``middle``."""
    if abs(angle - middle) <= 0.5 * TURN:
        return angle
    return angle - TURN * math.floor((angle - middle) / TURN + 0.5)


@inner
def limits(polygon, size):
    """Lowest and highest u, lowest and highest v."""
    u0 = u1 = polygon[0, 0]
    v0 = v1 = polygon[0, 1]
    for i in range(1, size):
        u, v = polygon[i, 0], polygon[i, 1]
        u0, u1, v0, v1 = min(u0, u), max(u1, u), min(v0, v), max(v1, v)
    return u0, u1, v0, v1


@inner
def _edge(axis, edges, number, shift):
    """An edge as seen from a polygon that was turned by ``shift`` to reach the axis.

    The turned copies reach only what lies beyond the axis, so that nothing counts twice.
    """
    edge = edges[number]
    if number == 0:
        edge = axis.low_end
    elif number == axis.bins:
        edge = axis.high_end
    if shift > 0:
        return min(edge - shift, axis.low_end)
    if shift < 0:
        return max(edge - shift, axis.high_end)
    return edge


@inner
def _span(axis, edges, low, high, shift):
    """First and last bin between two positions; first > last where there is none."""
    low, high, most = low + shift, high + shift, axis.bins - 1
    if high < axis.low_end or low >= axis.high_end:
        return 1, 0
    first, last = find_bin(axis, edges, low), find_bin(axis, edges, high)
    return min(max(first, 0), most), min(max(last, 0), most)


@inner
def _add_share(bins, shares, count, number, share):
    """Note a share of the pixel in a bin; a bin met before (across the turn) is added to."""
    for i in range(count):
        if bins[i] == number:
            shares[i] += share
            return count
    bins[count], shares[count] = number, share
    return count + 1


@inner
def point_cells(grid, u_edges, v_edges, u, v, bins, shares):
    """The one bin that a point lies in; the number of bins found."""
    k0, k1 = _span(grid.u, u_edges, u, u, 0.0)
    j0 = j1 = 0
    if not grid.selects:
        j0, j1 = _span(grid.v, v_edges, v, v, 0.0)
    elif not v_edges[0] <= v <= v_edges[1]:
        return 0
    if k0 > k1 or j0 > j1:
        return 0
    bins[0], shares[0] = j0 * grid.u.bins + k0, 1.0
    return 1


@inner
def _overlap(axis, edges, number, low, high):
    """Fraction of low .. high in a bin; 1 for what has no width."""
    if high == low:
        return 1.0
    left, right = _edge(axis, edges, number, 0.0), _edge(axis, edges, number + 1, 0.0)
    return max(min(high, right) - max(low, left), 0.0) / (high - low)


@inner
def box_cells(grid, u_edges, v_edges, box, bins, shares):
    """The bins that a box u0 .. u1, v0 .. v1 overlaps, with its part in each; how many."""
    bins_u = grid.u.bins
    k0, k1 = _span(grid.u, u_edges, box[0], box[1], 0.0)
    j0 = j1 = 0
    if grid.selects:
        if not (box[3] >= v_edges[0] and box[2] <= v_edges[1]):
            return 0
    else:
        j0, j1 = _span(grid.v, v_edges, box[2], box[3], 0.0)
    count = 0
    for j in range(j0, j1 + 1):
        row = 1.0 if grid.selects else _overlap(grid.v, v_edges, j, box[2], box[3])
        for k in range(k0, k1 + 1):
            share = row * _overlap(grid.u, u_edges, k, box[0], box[1])
            if share > 0.0:
                bins[count], shares[count] = j * bins_u + k, share
                count += 1
    return count


@inner
def _line(grid, u_edges, k0, k1, polygon, size, y, shift_u, values):
    """Area left of each edge k0 .. k1 + 1 and below y."""
    for k in range(k0, k1 + 2):
        x = _edge(grid.u, u_edges, k, shift_u)
        values[k - k0] = area_left_below(polygon, size, x, y)


@inner
def _turned_cells(
    grid, u_edges, v_edges, polygon, size, area, bounds, shift, bins, shares, below, above, count
):
    """Add the bins that a polygon, turned by ``shift`` = (u, v), reaches."""
    k0, k1 = _span(grid.u, u_edges, bounds[0], bounds[1], shift[0])
    j0, j1 = _span(grid.v, v_edges, bounds[2], bounds[3], shift[1])
    if k0 > k1 or j0 > j1:
        return count
    bins_u, slivers = grid.u.bins, 0.0
    below[: k1 - k0 + 2] = 0.0
    y = _edge(grid.v, v_edges, j0, shift[1])
    if y > bounds[2]:
        _line(grid, u_edges, k0, k1, polygon, size, y, shift[0], below)
    for j in range(j0, j1 + 1):
        y = _edge(grid.v, v_edges, j + 1, shift[1])
        _line(grid, u_edges, k0, k1, polygon, size, y, shift[0], above)
        for k in range(k1 - k0 + 1):
            share = (above[k + 1] - above[k] - below[k + 1] + below[k]) / area
            # Less than the smallest share that is kept, or what rounding leaves of none.
            if share > SMALLEST:
                count = _add_share(bins, shares, count, j * bins_u + k0 + k, share)
            else:
                slivers += share
        for k in range(k1 - k0 + 2):
            below[k] = above[k]
    if count > 0:
        shares[0] += slivers
    return count


@inner
def _curve_cells(grid, u_edges, polygon, size, area, bounds, bins, shares):
    """The bins along u that a polygon reaches, whatever its v."""
    k0, k1 = _span(grid.u, u_edges, bounds[0], bounds[1], 0.0)
    count, before, slivers = 0, 0.0, 0.0
    for k in range(k0, k1 + 1):
        x = _edge(grid.u, u_edges, k, 0.0)
        if k == k0 and x > bounds[0]:
            before = area_left(polygon, size, x)
        x = _edge(grid.u, u_edges, k + 1, 0.0)
        until = area if x >= bounds[1] else area_left(polygon, size, x)
        share = (until - before) / area
        if share > SMALLEST:
            bins[count], shares[count] = k, share
            count += 1
        else:
            slivers += share
        before = until
    if count > 0:
        shares[0] += slivers
    return count


@inner
def _one_cell(grid, u_edges, v_edges, bounds, bins, shares):
    """Note the one cell that holds a polygon as a whole; 0 where there is no such cell."""
    k0, k1 = _span(grid.u, u_edges, bounds[0], bounds[1], 0.0)
    if k0 != k1 or bounds[0] < _edge(grid.u, u_edges, k0, 0.0):
        return 0
    j0 = 0
    if grid.v.bounded:
        j0, j1 = _span(grid.v, v_edges, bounds[2], bounds[3], 0.0)
        if j0 != j1 or bounds[2] < _edge(grid.v, v_edges, j0, 0.0):
            return 0
        if bounds[3] > _edge(grid.v, v_edges, j0 + 1, 0.0):
            return 0
    if bounds[1] > _edge(grid.u, u_edges, k0 + 1, 0.0):
        return 0
    bins[0], shares[0] = j0 * grid.u.bins + k0, 1.0
    return 1


@inner
def _on_one_branch(grid, polygon, size, bounds):
    """Make a polygon's azimuth continuous and bring it near the middle of its axis; its size."""
    for column in range(2):
        axis = grid.u if column == 0 else grid.v
        if not axis.periodic:
            continue
        if bounds[2 * column + 1] - bounds[2 * column] > 0.5 * TURN:
            size = unwrapped(polygon, size, column, grid.pole)
        shift = turned(polygon[0, column], axis.middle) - polygon[0, column]
        if shift != 0.0:
            for i in range(size):
                polygon[i, column] += shift
    return size


@inner
def polygon_cells(grid, u_edges, v_edges, polygon, corners, bins, shares, below, above):
    """The bins that a polygon reaches, with its part in each by area; how many."""
    total = 0.0
    for i in range(corners):
        total += polygon[i, 0] + polygon[i, 1]
    if not math.isfinite(total):
        return 0
    size = _on_one_branch(grid, polygon, corners, limits(polygon, corners))
    if size > corners and not math.isfinite(grid.pole):
        return 0
    bounds = limits(polygon, size)
    if _one_cell(grid, u_edges, v_edges, bounds, bins, shares):
        return 1
    area = area_left(polygon, size, math.inf)
    if not abs(area) > 1e-12 * (bounds[1] - bounds[0]) * (bounds[3] - bounds[2]):
        u, v = polygon[:corners, 0].mean(), polygon[:corners, 1].mean()
        return point_cells(grid, u_edges, v_edges, u, v, bins, shares)
    if not grid.v.bounded and not grid.u.periodic:
        return _curve_cells(grid, u_edges, polygon, size, area, bounds, bins, shares)
    count = 0
    for turn in range(3):
        shift = TURN * (0.0, 1.0, -1.0)[turn]
        if turn > 0 and not (grid.u.periodic or grid.v.periodic):
            break
        shifts = (shift, 0.0) if grid.u.periodic else (0.0, shift)
        count = _turned_cells(
            grid, u_edges, v_edges, polygon, size, area, bounds, shifts,
            bins, shares, below, above, count,
        )  # fmt: skip
    return count
