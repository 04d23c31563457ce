"""Compiled loops over pixels: the part of each that lies in each bin."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from ringline.processing.types import FloatArray

POINT, BOX, SHRUNK_BOX, POLYGON = 0, 1, 2, 3
"""Shape of a pixel on the axes; the splittings ``no``, ``bbox``, ``pseudo`` and ``full``."""

TURN = 2.0 * math.pi

QUANTUM = 2.0**-24
"""Shares are multiples of this. So float32 holds them exactly, those of a pixel add up to one
exactly, and a float64 sum of shares times integers is exact up to 2^29, in any order."""
SMALLEST = 0.5 * QUANTUM

_jit = njit(nogil=True, cache=True)


class AxisGrid(NamedTuple):
    """One axis for the loops."""

    edges: FloatArray
    uniform: bool
    open_ended: bool
    """What lies beyond the ends counts in the last bins."""
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


class Cells(NamedTuple):
    """Room for what one pixel is shared between."""

    bin: npt.NDArray[np.int64]
    share: FloatArray
    below: FloatArray
    above: FloatArray


class Pixels(NamedTuple):
    """A block of pixels on both axes."""

    kind: int
    used: npt.NDArray[np.bool_]
    """Shape (rows, columns)."""
    center_u: FloatArray
    center_v: FloatArray
    """Shape (rows, columns); empty for polygons."""
    corner_u: FloatArray
    corner_v: FloatArray
    """Lattice (rows + 1, columns + 1, 1), or polygons (rows, columns, corners); empty for
    points."""
    lattice: bool


class Target(NamedTuple):
    """Where the shares of a block go."""

    first: npt.NDArray[np.uint16] | npt.NDArray[np.uint32]
    """First bin of each pixel, shape (pixels,); the number of bins where it has none."""
    coefficients: npt.NDArray[np.float32] | npt.NDArray[np.uint16]
    """Shares in the bins from the first on, shape (pixels, width)."""
    trash: int
    quantum: float
    """Shares are rounded to multiples of this; those in uint16 are counted in it."""


@_jit
def find_bin(edges, uniform, value):
    """The bin that a value lies in: -1 below the first, the number of bins from the last edge."""
    bins = edges.size - 1
    if uniform:
        number = math.floor((value - edges[0]) / ((edges[bins] - edges[0]) / bins))
        return int(min(max(number, -1), bins))
    return int(np.searchsorted(edges, value, side="right")) - 1


@_jit
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


@_jit
def unwrapped(polygon, size, column, middle, pole):
    """Make the azimuth of a polygon's corners continuous, near ``middle``; its new size.

    A pixel around the beam goes once round the circle: it is closed along the pole.
    """
    first = polygon[0, column]
    first -= TURN * math.floor((first - middle) / TURN + 0.5)
    before = polygon[0, column] = first
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


@_jit
def _edge(edges, number, open_ended, shift):
    """An edge as seen from a polygon that was turned by ``shift`` to reach the axis.

    The turned copies reach only what lies beyond the axis, so that nothing counts twice.
    """
    last = edges.size - 1
    if shift > 0:
        return min(edges[number] - shift, edges[0])
    if shift < 0:
        return max(edges[number] - shift, edges[last])
    if open_ended and number == 0:
        return -math.inf
    if open_ended and number == last:
        return math.inf
    return edges[number]


@_jit
def _span(axis, low, high, shift):
    """First and last bin between two positions; first > last where there is none."""
    bins = axis.edges.size - 1
    first = find_bin(axis.edges, axis.uniform, low + shift)
    last = find_bin(axis.edges, axis.uniform, high + shift)
    if not axis.open_ended and (last < 0 or first >= bins):
        return 1, 0
    return min(max(first, 0), bins - 1), min(max(last, 0), bins - 1)


@_jit
def _add_share(cells, count, number, share):
    """Note a share of the pixel in a bin; a bin met before (across the turn) is added to."""
    for i in range(count):
        if cells.bin[i] == number:
            cells.share[i] += share
            return count
    cells.bin[count], cells.share[count] = number, share
    return count + 1


@_jit
def point_cells(grid, u, v, cells):
    """The one bin that a point lies in; the number of bins found."""
    bins_u, bins_v = grid.u.edges.size - 1, grid.v.edges.size - 1
    k = find_bin(grid.u.edges, grid.u.uniform, u)
    j = 0
    if grid.selects:
        if not (v >= grid.v.edges[0] and v <= grid.v.edges[1]):
            return 0
    else:
        j = find_bin(grid.v.edges, grid.v.uniform, v)
    if grid.u.open_ended:
        k = min(max(k, 0), bins_u - 1)
    if grid.v.open_ended:
        j = min(max(j, 0), bins_v - 1)
    if k < 0 or k >= bins_u or j < 0 or j >= bins_v:
        return 0
    cells.bin[0], cells.share[0] = j * bins_u + k, 1.0
    return 1


@_jit
def _overlap(axis, number, low, high):
    """Fraction of low .. high in a bin; 1 for what has no width."""
    if high == low:
        return 1.0
    left = _edge(axis.edges, number, axis.open_ended, 0.0)
    right = _edge(axis.edges, number + 1, axis.open_ended, 0.0)
    return max(min(high, right) - max(low, left), 0.0) / (high - low)


@_jit
def box_cells(grid, box, cells):
    """The bins that a box u0 .. u1, v0 .. v1 overlaps, with its part in each; how many."""
    bins_u = grid.u.edges.size - 1
    k0, k1 = _span(grid.u, box[0], box[1], 0.0)
    j0 = j1 = 0
    if grid.selects:
        if not (box[3] >= grid.v.edges[0] and box[2] <= grid.v.edges[1]):
            return 0
    else:
        j0, j1 = _span(grid.v, box[2], box[3], 0.0)
    count = 0
    for j in range(j0, j1 + 1):
        row = 1.0 if grid.selects else _overlap(grid.v, j, box[2], box[3])
        for k in range(k0, k1 + 1):
            share = row * _overlap(grid.u, k, box[0], box[1])
            if share > 0.0:
                cells.bin[count], cells.share[count] = j * bins_u + k, share
                count += 1
    return count


@_jit
def _line(grid, k0, k1, polygon, size, y, shift_u, values):
    """Area left of each edge k0 .. k1 + 1 and below y."""
    for k in range(k0, k1 + 2):
        x = _edge(grid.u.edges, k, grid.u.open_ended, shift_u)
        values[k - k0] = area_left_below(polygon, size, x, y)


@_jit
def _turned_cells(grid, polygon, size, area, shift, cells, count):
    """Add the bins that a polygon, turned by ``shift`` = (u, v), reaches."""
    u0, v0 = polygon[:size, 0].min(), polygon[:size, 1].min()
    u1, v1 = polygon[:size, 0].max(), polygon[:size, 1].max()
    k0, k1 = _span(grid.u, u0, u1, shift[0])
    j0, j1 = _span(grid.v, v0, v1, shift[1])
    if k0 > k1 or j0 > j1:
        return count
    turned = shift[0] != 0.0 or shift[1] != 0.0
    bins_u = grid.u.edges.size - 1
    below, above = cells.below, cells.above
    below[: k1 - k0 + 2] = 0.0
    y = _edge(grid.v.edges, j0, grid.v.open_ended, shift[1])
    if y > v0:
        _line(grid, k0, k1, polygon, size, y, shift[0], below)
    for j in range(j0, j1 + 1):
        y = _edge(grid.v.edges, j + 1, grid.v.open_ended, shift[1])
        _line(grid, k0, k1, polygon, size, y, shift[0], above)
        for k in range(k1 - k0 + 1):
            share = (above[k + 1] - above[k] - below[k + 1] + below[k]) / area
            # Less than the smallest share that is kept, or what rounding leaves of none.
            if share > SMALLEST:
                number = j * bins_u + k0 + k
                if turned:
                    count = _add_share(cells, count, number, share)
                else:
                    cells.bin[count], cells.share[count] = number, share
                    count += 1
        for k in range(k1 - k0 + 2):
            below[k] = above[k]
    return count


@_jit
def polygon_cells(grid, polygon, size, cells):
    """The bins that a polygon reaches, with its part in each by area; how many."""
    corners = size
    for i in range(size):
        if not (math.isfinite(polygon[i, 0]) and math.isfinite(polygon[i, 1])):
            return 0
    if grid.u.periodic:
        size = unwrapped(polygon, size, 0, grid.u.middle, grid.pole)
    elif grid.v.periodic:
        size = unwrapped(polygon, size, 1, grid.v.middle, grid.pole)
    if size > corners and not math.isfinite(grid.pole):
        return 0
    u, v = polygon[0, 0], polygon[0, 1]
    area = area_left_below(polygon, size, math.inf, math.inf)
    width = polygon[:size, 0].max() - polygon[:size, 0].min()
    height = polygon[:size, 1].max() - polygon[:size, 1].min()
    if not abs(area) > 1e-12 * width * height:
        for i in range(1, corners):
            u, v = u + polygon[i, 0], v + polygon[i, 1]
        return point_cells(grid, u / corners, v / corners, cells)
    count = _turned_cells(grid, polygon, size, area, (0.0, 0.0), cells, 0)
    if grid.u.periodic:
        count = _turned_cells(grid, polygon, size, area, (TURN, 0.0), cells, count)
        count = _turned_cells(grid, polygon, size, area, (-TURN, 0.0), cells, count)
    elif grid.v.periodic and grid.v.bounded:
        count = _turned_cells(grid, polygon, size, area, (0.0, TURN), cells, count)
        count = _turned_cells(grid, polygon, size, area, (0.0, -TURN), cells, count)
    return count


@_jit
def _load_polygon(pixels, i, j, polygon):
    """Copy a pixel's corners, in order around it; how many."""
    u, v = pixels.corner_u, pixels.corner_v
    if not pixels.lattice:
        size = u.shape[2]
        for corner in range(size):
            polygon[corner, 0], polygon[corner, 1] = u[i, j, corner], v[i, j, corner]
        return size
    polygon[0, 0], polygon[0, 1] = u[i, j, 0], v[i, j, 0]
    polygon[1, 0], polygon[1, 1] = u[i + 1, j, 0], v[i + 1, j, 0]
    polygon[2, 0], polygon[2, 1] = u[i + 1, j + 1, 0], v[i + 1, j + 1, 0]
    polygon[3, 0], polygon[3, 1] = u[i, j + 1, 0], v[i, j + 1, 0]
    return 4


@_jit
def _half_width(polygon, size, column, center, periodic):
    """Largest distance from a pixel's center to a corner."""
    half = 0.0
    for i in range(size):
        distance = abs(polygon[i, column] - center)
        if periodic:
            distance = min(distance, TURN - distance)
        half = max(half, distance)
    return half


@_jit
def load_box(grid, pixels, i, j, polygon, box):
    """The bounding box of a pixel, as pyFAI defines it: center +- the farthest corner.

    With ``pseudo``, that of the corners, shrunk about their middle to the polygon's area.
    """
    size = _load_polygon(pixels, i, j, polygon)
    if pixels.kind == BOX:
        u, v = pixels.center_u[i, j], pixels.center_v[i, j]
        half_u = _half_width(polygon, size, 0, u, grid.u.periodic)
        half_v = _half_width(polygon, size, 1, v, grid.v.periodic)
    else:
        if grid.u.periodic:
            unwrapped(polygon, size, 0, polygon[0, 0], 0.0)
        if grid.v.periodic:
            unwrapped(polygon, size, 1, polygon[0, 1], 0.0)
        u, v = polygon[:size, 0].mean(), polygon[:size, 1].mean()
        width = polygon[:size, 0].max() - polygon[:size, 0].min()
        height = polygon[:size, 1].max() - polygon[:size, 1].min()
        area = abs(area_left_below(polygon, size, math.inf, math.inf))
        scale = 0.5 * math.sqrt(area / (width * height)) if width * height > 0.0 else 0.0
        half_u, half_v = scale * width, scale * height
    if grid.v.periodic and grid.v.bounded:
        v -= TURN * math.floor((v - grid.v.middle) / TURN + 0.5)
    if grid.u.periodic:
        u -= TURN * math.floor((u - grid.u.middle) / TURN + 0.5)
    box[0], box[1], box[2], box[3] = u - half_u, u + half_u, v - half_v, v + half_v


@_jit
def _pixel_cells(grid, pixels, i, j, polygon, box, cells):
    """The bins of one pixel, whatever its shape."""
    if pixels.kind == POLYGON:
        size = _load_polygon(pixels, i, j, polygon)
        return polygon_cells(grid, polygon, size, cells)
    if pixels.kind == POINT:
        u, v = pixels.center_u[i, j], pixels.center_v[i, j]
        if grid.v.periodic and grid.v.bounded:
            v -= TURN * math.floor((v - grid.v.middle) / TURN + 0.5)
        if grid.u.periodic:
            u -= TURN * math.floor((u - grid.u.middle) / TURN + 0.5)
        return point_cells(grid, u, v, cells)
    load_box(grid, pixels, i, j, polygon, box)
    return box_cells(grid, box, cells)


@_jit
def _quantize(cells, count, quantum):
    """Count the shares in quanta, so that their sum is rounded as well as each of them."""
    total, counted, largest = 0.0, 0.0, 0
    for i in range(count):
        total += cells.share[i]
        if cells.share[i] > cells.share[largest]:
            largest = i
    for i in range(count):
        cells.share[i] = round(cells.share[i] / quantum)
        counted += cells.share[i]
    cells.share[largest] += round(total / quantum) - counted


@_jit
def _run_start(cells, count, width):
    """Which of a pixel's bins begins the run of ``width`` bins that holds most of it."""
    best, most = 0, -1.0
    for i in range(count):
        held = 0.0
        for k in range(count):
            if cells.bin[i] <= cells.bin[k] < cells.bin[i] + width:
                held += cells.share[k]
        if held > most:
            best, most = i, held
    return best


@_jit
def extent(pixels, which, periodic):
    """Lowest and highest coordinate of the pixels in use: inf and -inf where there are none."""
    low, high = math.inf, -math.inf
    rows, columns = pixels.used.shape
    polygon = np.empty((pixels.corner_u.shape[2] + 6, 2))
    centers = pixels.center_u if which == 0 else pixels.center_v
    for i in range(rows):
        for j in range(columns):
            if not pixels.used[i, j]:
                continue
            if pixels.kind in (POINT, BOX):
                center, half = centers[i, j], 0.0
                if pixels.kind == BOX:
                    size = _load_polygon(pixels, i, j, polygon)
                    half = _half_width(polygon, size, which, center, periodic)
                if math.isfinite(center) and math.isfinite(half):
                    low, high = min(low, center - half), max(high, center + half)
                continue
            for corner in range(_load_polygon(pixels, i, j, polygon)):
                value = polygon[corner, which]
                if math.isfinite(value):
                    low, high = min(low, value), max(high, value)
    return low, high


@_jit
def longest_run(grid, pixels, cells, most):
    """How many shares of a block lie beyond runs of 1 .. ``most`` bins, shape (most,)."""
    rows, columns = pixels.used.shape
    polygon, box = np.empty((pixels.corner_u.shape[2] + 6, 2)), np.empty(4)
    beyond = np.zeros(most)
    for pixel in range(0, rows * columns, 7):
        i, j = pixel // columns, pixel % columns
        if not pixels.used[i, j]:
            continue
        count = _pixel_cells(grid, pixels, i, j, polygon, box, cells)
        for width in range(1, most + 1):
            start = cells.bin[_run_start(cells, count, width)] if count > 0 else 0
            for k in range(count):
                if cells.bin[k] < start or cells.bin[k] >= start + width:
                    beyond[width - 1] += 7.0
    return beyond


@_jit
def share_block(grid, pixels, target, cells):
    """Share a block of pixels between the bins.

    Returns
    -------
    :
        What does not fit into the runs: pixel (within the block), bin and share.
    """
    rows, columns = pixels.used.shape
    width = target.coefficients.shape[1]
    room, extras = 1024, 0
    extra_pixel, extra_bin = np.empty(room, np.uint32), np.empty(room, np.uint32)
    extra_share = np.empty(room, np.float32)
    polygon, box = np.empty((pixels.corner_u.shape[2] + 6, 2)), np.empty(4)
    # Shares in uint16 are counted in quanta.
    unit = QUANTUM if target.quantum == QUANTUM else 1.0
    for pixel in range(rows * columns):
        i, j = pixel // columns, pixel % columns
        target.first[pixel] = target.trash
        target.coefficients[pixel, :] = 0.0
        if not pixels.used[i, j]:
            continue
        count = _pixel_cells(grid, pixels, i, j, polygon, box, cells)
        if count == 0:
            continue
        _quantize(cells, count, target.quantum)
        start = cells.bin[_run_start(cells, count, width)] if count > 1 else cells.bin[0]
        target.first[pixel] = start
        if extras + count > room:
            grown = 2 * room + count
            extra_pixel = _grown(extra_pixel, grown)
            extra_bin = _grown(extra_bin, grown)
            extra_share = _grown(extra_share, grown)
            room = grown
        for k in range(count):
            if cells.share[k] <= 0.0:
                continue
            if start <= cells.bin[k] < start + width:
                target.coefficients[pixel, cells.bin[k] - start] = cells.share[k] * unit
            else:
                extra_pixel[extras], extra_bin[extras] = pixel, cells.bin[k]
                extra_share[extras] = cells.share[k] * unit
                extras += 1
    return extra_pixel[:extras].copy(), extra_bin[:extras].copy(), extra_share[:extras].copy()


@_jit
def _grown(values, size):
    new = np.empty(size, values.dtype)
    new[: values.size] = values
    return new
