"""Compiled loops over the pixels of a block: what each is shared between."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ringline.processing.cell_kernels import (
    QUANTUM,
    TURN,
    area_left,
    box_cells,
    limits,
    point_cells,
    polygon_cells,
    turned,
    unwrapped,
)
from ringline.processing.compiled import inner, jit
from ringline.processing.types import FloatArray

POINT, BOX, SHRUNK_BOX, POLYGON = 0, 1, 2, 3
"""Shape of a pixel on the axes; the splittings ``no``, ``bbox``, ``pseudo`` and ``full``."""


class Pixels(NamedTuple):
    """A block of pixels on both axes."""

    kind: int
    used: npt.NDArray[np.bool_]
    """Shape (rows, columns)."""
    center_u: FloatArray
    center_v: FloatArray
    """Shape (rows, columns); empty where corners say all."""
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
    quantum: float
    """Shares are rounded to multiples of this; those in uint16 are counted in it."""


class Room(NamedTuple):
    """Where the bins of one pixel are worked out."""

    polygon: FloatArray
    """Shape (corners + 3, 2)."""
    bins: npt.NDArray[np.int64]
    shares: FloatArray
    """Shape (bins of the output,)."""
    below: FloatArray
    above: FloatArray
    """Shape (bins along u + 2,)."""


@inner
def _load_polygon(u, v, lattice, i, j, polygon):
    """Copy a pixel's corners, in order around it; how many."""
    if not lattice:
        size = u.shape[2]
        for corner in range(size):
            polygon[corner, 0], polygon[corner, 1] = u[i, j, corner], v[i, j, corner]
        return size
    polygon[0, 0], polygon[0, 1] = u[i, j, 0], v[i, j, 0]
    polygon[1, 0], polygon[1, 1] = u[i + 1, j, 0], v[i + 1, j, 0]
    polygon[2, 0], polygon[2, 1] = u[i + 1, j + 1, 0], v[i + 1, j + 1, 0]
    polygon[3, 0], polygon[3, 1] = u[i, j + 1, 0], v[i, j + 1, 0]
    return 4


@inner
def _half_width(polygon, size, column, center, periodic):
    """Largest distance from a pixel's center to a corner."""
    half = 0.0
    for i in range(size):
        distance = abs(polygon[i, column] - center)
        if periodic:
            distance = min(distance, TURN - distance)
        half = max(half, distance)
    return half


@inner
def _bounding_box(grid, polygon, size, u, v):
    """The bounding box as pyFAI defines it: center +- the farthest corner."""
    half_u = _half_width(polygon, size, 0, u, grid.u.periodic)
    half_v = _half_width(polygon, size, 1, v, grid.v.periodic)
    return u, v, half_u, half_v


@inner
def _shrunk_box(grid, polygon, size):
    """The corners' bounding box, shrunk about their middle to the polygon's area."""
    if grid.u.periodic:
        unwrapped(polygon, size, 0, 0.0)
    if grid.v.periodic:
        unwrapped(polygon, size, 1, 0.0)
    u = v = 0.0
    for i in range(size):
        u, v = u + polygon[i, 0] / size, v + polygon[i, 1] / size
    bounds = limits(polygon, size)
    width, height = bounds[1] - bounds[0], bounds[3] - bounds[2]
    area = abs(area_left(polygon, size, math.inf))
    scale = 0.5 * math.sqrt(area / (width * height)) if width * height > 0.0 else 0.0
    return u, v, scale * width, scale * height


@inner
def _pixel_cells(grid, u_edges, v_edges, kind, center, size, polygon, bins, shares, below, above):
    """The bins of one pixel, whatever its shape; how many."""
    if kind == POLYGON:
        return polygon_cells(grid, u_edges, v_edges, polygon, size, bins, shares, below, above)
    u, v, half_u, half_v = center[0], center[1], 0.0, 0.0
    if kind == BOX:
        u, v, half_u, half_v = _bounding_box(grid, polygon, size, u, v)
    elif kind == SHRUNK_BOX:
        u, v, half_u, half_v = _shrunk_box(grid, polygon, size)
    if not math.isfinite(u + v + half_u + half_v):
        return 0
    if grid.u.periodic:
        u = turned(u, grid.u.middle)
    if grid.v.periodic and grid.v.bounded:
        v = turned(v, grid.v.middle)
    box = (u - half_u, u + half_u, v - half_v, v + half_v)
    return box_cells(grid, u_edges, v_edges, box, bins, shares)


@inner
def _quantize(shares, count, quanta):
    """Count the shares in quanta, so that their sum is rounded as well as each of them: the sum."""
    total, counted, largest = 0.0, 0.0, 0
    for i in range(count):
        total += shares[i]
        if shares[i] > shares[largest]:
            largest = i
    for i in range(count):
        shares[i] = math.floor(shares[i] * quanta + 0.5)
        counted += shares[i]
    whole = math.floor(total * quanta + 0.5)
    shares[largest] += whole - counted
    return whole


@inner
def _run_start(bins, shares, count, width):
    """The first bin of the run of ``width`` bins that holds most of a pixel."""
    best, most = bins[0], -1.0
    for i in range(count):
        held = 0.0
        for k in range(count):
            if bins[i] <= bins[k] < bins[i] + width:
                held += shares[k]
        if held > most:
            best, most = bins[i], held
    return best


@jit
def extent(pixels, which, periodic):
    """Lowest and highest coordinate of the pixels in use: inf and -inf where there are none."""
    low, high = math.inf, -math.inf
    rows, columns = pixels.used.shape
    used, kind, lattice = pixels.used, pixels.kind, pixels.lattice
    corner_u, corner_v = pixels.corner_u, pixels.corner_v
    polygon = np.empty((corner_u.shape[2] + 7, 2))
    centers = pixels.center_u if which == 0 else pixels.center_v
    for i in range(rows):
        for j in range(columns):
            if not used[i, j]:
                continue
            size = 0 if kind == POINT else _load_polygon(corner_u, corner_v, lattice, i, j, polygon)
            if kind in (POINT, BOX):
                center = centers[i, j]
                half = _half_width(polygon, size, which, center, periodic)
                if math.isfinite(center) and math.isfinite(half):
                    low, high = min(low, center - half), max(high, center + half)
                continue
            for corner in range(size):
                value = polygon[corner, which]
                if math.isfinite(value):
                    low, high = min(low, value), max(high, value)
    return low, high


@jit
def shares_beyond(grid, u_edges, v_edges, pixels, room, most):
    """How many shares of a block lie beyond runs of 1 .. ``most`` bins, shape (most,)."""
    used, kind, lattice = pixels.used, pixels.kind, pixels.lattice
    center_u, center_v = pixels.center_u, pixels.center_v
    corner_u, corner_v = pixels.corner_u, pixels.corner_v
    polygon, bins, shares, below, above = room
    beyond, step = np.zeros(most), 7
    for pixel in range(0, used.size, step):
        i, j = pixel // used.shape[1], pixel % used.shape[1]
        if not used[i, j]:
            continue
        center = (center_u[i, j], center_v[i, j]) if kind == BOX else (0.0, 0.0)
        size = _load_polygon(corner_u, corner_v, lattice, i, j, polygon)
        count = _pixel_cells(
            grid, u_edges, v_edges, kind, center, size, polygon, bins, shares, below, above
        )
        for width in range(1, most + 1):
            start = _run_start(bins, shares, count, width) if count > 0 else 0
            for k in range(count):
                if not start <= bins[k] < start + width:
                    beyond[width - 1] += step
    return beyond


@jit
def share_block(grid, u_edges, v_edges, pixels, target, room):
    """Share a block of pixels between the bins.

    Returns
    -------
    :
        What does not fit into the runs: pixel (within the block), bin and share.
    """
    used, kind, lattice = pixels.used, pixels.kind, pixels.lattice
    center_u, center_v = pixels.center_u, pixels.center_v
    corner_u, corner_v = pixels.corner_u, pixels.corner_v
    polygon, bins, shares, below, above = room
    first, coefficients, quantum = target
    width = coefficients.shape[1]
    trash = (u_edges.size - 1) * (v_edges.size - 1)
    quanta = 1.0 / quantum
    # Shares in uint16 are counted in quanta.
    unit = QUANTUM if quantum == QUANTUM else 1.0
    size, extras, pixel = 1024, 0, -1
    extra_pixel, extra_bin = np.empty(size, np.uint32), np.empty(size, np.uint32)
    extra_share = np.empty(size, np.float32)
    for i in range(used.shape[0]):
        for j in range(used.shape[1]):
            pixel += 1
            first[pixel] = trash
            for k in range(width):
                coefficients[pixel, k] = 0
            if not used[i, j]:
                continue
            center = (center_u[i, j], center_v[i, j]) if kind == BOX else (0.0, 0.0)
            corners = _load_polygon(corner_u, corner_v, lattice, i, j, polygon)
            count = _pixel_cells(
                grid, u_edges, v_edges, kind, center, corners, polygon, bins, shares, below, above
            )
            # Less than half a quantum in all: it does not count, and is nothing to reject.
            if count == 0 or _quantize(shares, count, quanta) <= 0:
                continue
            start = _run_start(bins, shares, count, width) if count > 1 else bins[0]
            first[pixel] = start
            if extras + count > size:
                size = 2 * size + count
                extra_pixel, extra_bin = _grown(extra_pixel, size), _grown(extra_bin, size)
                extra_share = _grown(extra_share, size)
            for k in range(count):
                if start <= bins[k] < start + width:
                    coefficients[pixel, bins[k] - start] = shares[k] * unit
                elif shares[k] > 0.0:
                    extra_pixel[extras], extra_bin[extras] = pixel, bins[k]
                    extra_share[extras] = shares[k] * quantum
                    extras += 1
    return extra_pixel[:extras].copy(), extra_bin[:extras].copy(), extra_share[:extras].copy()


@jit
def bin_points(grid, u_edges, v_edges, pixels, first):
    """The one bin of each pixel of a block, where its center is."""
    used, center_u, center_v = pixels.used, pixels.center_u, pixels.center_v
    trash = (u_edges.size - 1) * (v_edges.size - 1)
    bins, shares = np.empty(1, np.int64), np.empty(1)
    pixel = -1
    for i in range(used.shape[0]):
        for j in range(used.shape[1]):
            pixel += 1
            first[pixel] = trash
            u, v = center_u[i, j], center_v[i, j]
            if not used[i, j] or not math.isfinite(u + v):
                continue
            if grid.u.periodic:
                u = turned(u, grid.u.middle)
            if grid.v.periodic and grid.v.bounded:
                v = turned(v, grid.v.middle)
            if point_cells(grid, u_edges, v_edges, u, v, bins, shares):
                first[pixel] = bins[0]


@jit
def _grown(values, size):
    new = np.empty(size, values.dtype)
    new[: values.size] = values
    return new
