"""Sharing pixels between bins: which pixel counts in which bin, and by how much."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ringline.processing.axes import Axis, AxisRequest, axes_request
from ringline.processing.bin_table import (
    FULL_SHARE,
    RUNS,
    BinNumbers,
    BinTable,
    Coefficients,
)
from ringline.processing.cell_kernels import QUANTUM, AxisGrid, Grid
from ringline.processing.geometry import PixelArrays
from ringline.processing.recipe import Recipe
from ringline.processing.share_kernels import (
    BOX,
    POINT,
    POLYGON,
    SHRUNK_BOX,
    Pixels,
    Room,
    Target,
    bin_points,
    extent,
    share_block,
    shares_beyond,
)
from ringline.processing.types import BoolArray, FloatArray
from ringline.processing.units import unit_named
from ringline.processing.worker_threads import in_parallel

KINDS = {"no": POINT, "bbox": BOX, "pseudo": SHRUNK_BOX, "full": POLYGON}

_BLOCK_PIXELS = 1 << 17
_SAMPLES = 8
_EVERYWHERE = np.array([-np.inf, np.inf])
_UNBOUNDED = AxisGrid(
    bins=1,
    uniform=False,
    density=0.0,
    low_end=-np.inf,
    high_end=np.inf,
    periodic=False,
    middle=0.0,
    bounded=False,
)

Both = tuple[FloatArray, FloatArray]
Extras = tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32], npt.NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Shares:
    """Which pixels count in which bins; those of a cake are numbered row by row of azimuth."""

    along: Axis
    """The axis of a curve, the radial axis of a cake."""
    across: Axis | None
    """The azimuthal axis of a cake."""
    table: BinTable


def share(recipe: Recipe, pixels: PixelArrays, seen: BoolArray, used: BoolArray) -> Shares:
    """Share the pixels of a recipe between the bins of its axes.

    Splitting ``no``: a pixel counts where its center is. ``bbox``: by its bounding box, center
    +- the farthest corner. ``pseudo``: by that of its corners, shrunk to its area. ``full``: by
    its polygon, corners joined by straight lines on the axes, cut exactly; the azimuth is
    a circle. Beyond a range that was asked for a pixel does not count; beyond one that is the
    pixels' own (at the beam, or a box across the azimuth's discontinuity) in the last bin.

    Parameters
    ----------
    recipe:
        Its detector's shape is known.
    pixels:
        Those of the recipe's geometry.
    seen:
        True for pixels that count for the range of the axes, shape (slow, fast).
    used:
        True for pixels that are shared, shape (slow, fast).

    Raises
    ------
    RecipeError:
        No range is given for an axis, and no pixel is seen.
    """
    sharing = _Sharing(recipe, pixels)
    request = axes_request(recipe.binning)
    along = sharing.axis(0, request.along, seen)
    across = None if request.across is None else sharing.axis(1, request.across, seen)
    return Shares(along, across, sharing.table(along, across, used))


class _Sharing:
    """The coordinates of a recipe's pixels, block by block of rows, and what comes of them."""

    def __init__(self, recipe: Recipe, pixels: PixelArrays) -> None:
        self._pixels = pixels
        self._kind = KINDS[recipe.splitting]
        self._compact = recipe.coefficients == "compact"
        self._wavelength = recipe.geometry.wavelength
        request = axes_request(recipe.binning)
        self._selects = request.selects
        other = request.across.unit if request.across else request.selects and request.selects[0]
        if other is None and self._kind in (SHRUNK_BOX, POLYGON):
            # The shape of a pixel has two dimensions also where a curve has one.
            other = unit_named("q_nm^-1" if request.along.unit.periodic else "chi_rad")
        self._units = (request.along.unit, other)
        slow, fast = recipe.geometry.detector.known_shape
        rows = max(_BLOCK_PIXELS // fast, 1)
        self._rows = [slice(at, min(at + rows, slow)) for at in range(0, slow, rows)]
        self._fast = fast
        self._kept: dict[tuple[int, bool], Both] = {}

    def axis(self, which: int, request: AxisRequest, seen: BoolArray) -> Axis:
        """An axis, its range that of the pixels seen where none is given."""
        if request.bounds is not None or request.edges is not None:
            return request.axis(None)
        limits = np.empty((len(self._rows), 2))

        def block(number: int) -> None:
            pixels = self._block(number, seen, keep=True)
            limits[number] = extent(pixels, which, request.unit.periodic)

        in_parallel(block, len(self._rows))
        low, high = float(limits[:, 0].min()), float(limits[:, 1].max())
        return request.axis((low, high) if low <= high else None)

    def table(self, along: Axis, across: Axis | None, used: BoolArray) -> BinTable:
        """The shares of all pixels in use."""
        grid, edges = self._grid(along, across)
        bins = along.bins * (1 if across is None else across.bins)
        width = 1 if self._kind == POINT else self._width(grid, edges, used)
        first = _room(used.size, wide=bins + RUNS[-1] >= 1 << 16)
        coefficients = _coefficients((used.size, width), compact=self._compact)
        unit = 1.0 / FULL_SHARE if self._compact else QUANTUM
        extras: list[Extras | None] = [None] * len(self._rows)

        def block(number: int) -> None:
            pixels = self._block(number, used, keep=False)
            begin, end = (at * self._fast for at in _bounds(self._rows[number]))
            target = Target(first[begin:end], coefficients[begin:end], unit)
            if self._kind == POINT:
                bin_points(grid, *edges, pixels, first[begin:end])
                return
            room = _room_for(grid, pixels)
            pixel, where, part = share_block(grid, *edges, pixels, target, room)
            extras[number] = (pixel + np.uint32(begin), where, part)

        in_parallel(block, len(self._rows))
        if self._kind == POINT:
            return BinTable(bins, first)
        pixel, where, part = (
            np.concatenate([extra[k] for extra in extras if extra is not None]) for k in range(3)
        )
        return BinTable(bins, first, coefficients, pixel, where, part)

    def _width(self, grid: Grid, edges: Both, used: BoolArray) -> int:
        """Length of the runs that costs least to read, judged by a few blocks of rows.

        A coefficient in a run is 4 bytes read in a row, one beyond it 12 and a jump.
        """
        step = max(len(self._rows) // _SAMPLES, 1)
        costs = np.zeros(RUNS[-1])
        for number in range(step // 2, len(self._rows), step):
            pixels = self._block(number, used, keep=True)
            costs += shares_beyond(grid, *edges, pixels, _room_for(grid, pixels), RUNS[-1])
        sampled = sum(
            self._fast * (stop - start)
            for start, stop in map(_bounds, self._rows[step // 2 :: step])
        )
        runs = np.array(RUNS)
        return int(runs[np.argmin(runs * sampled + 8.0 * costs[runs - 1])])

    def _grid(self, along: Axis, across: Axis | None) -> tuple[Grid, Both]:
        polygons = self._kind == POLYGON
        other = self._units[1]
        edges = _EVERYWHERE
        if across is not None:
            v, edges = _axis_grid(across, polygons), across.edges
        elif self._selects is not None and other is not None:
            low, high = self._selects[1]
            middle = 0.5 * (low + high)
            edges = np.array([low, high])
            v = _UNBOUNDED._replace(
                low_end=low, high_end=high, periodic=other.periodic, middle=middle, bounded=True
            )
        else:
            v = _UNBOUNDED._replace(periodic=other is not None and other.periodic)
        grid = Grid(_axis_grid(along, polygons), v, across is None, self._pole())
        return grid, (along.edges, edges)

    def _pole(self) -> float:
        """The radial coordinate on the beam."""
        radial = self._units[1] if self._units[0].periodic else self._units[0]
        if radial is None:
            return 0.0
        beam = (np.zeros(1), np.zeros(1), np.full(1, self._pixels.geometry.distance))
        return float(radial.value(beam, self._wavelength)[0])

    def _block(self, number: int, used: BoolArray, *, keep: bool) -> Pixels:
        centers, corners = _NO_CENTERS, _NO_CORNERS
        if self._kind in (POINT, BOX):
            centers = self._values(number, keep, corners=False)
        if self._kind != POINT:
            corners = self._values(number, keep, corners=True)
            if self._pixels.is_lattice:
                corners = (corners[0][..., np.newaxis], corners[1][..., np.newaxis])
        lattice = self._pixels.is_lattice
        return Pixels(self._kind, used[self._rows[number]], *centers, *corners, lattice)

    def _values(self, number: int, keep: bool, *, corners: bool) -> Both:  # noqa: FBT001
        """Both coordinates of a block's centers or corners."""
        key = (number, corners)
        values = self._kept.get(key) if keep else self._kept.pop(key, None)
        if values is not None:
            return values
        at = self._pixels.corner_positions if corners else self._pixels.center_positions
        position, (unit, other) = at(self._rows[number]), self._units
        u = np.ascontiguousarray(unit.value(position, self._wavelength))
        v = u if other is None else other.value(position, self._wavelength)
        values = (u, np.ascontiguousarray(v))
        if keep:
            self._kept[key] = values
        return values


_NO_CENTERS = (np.empty((0, 0)), np.empty((0, 0)))
_NO_CORNERS = (np.empty((0, 0, 0)), np.empty((0, 0, 0)))


def _room(pixels: int, *, wide: bool) -> BinNumbers:
    return np.empty(pixels, np.uint32) if wide else np.empty(pixels, np.uint16)


def _coefficients(shape: tuple[int, int], *, compact: bool) -> Coefficients:
    return np.empty(shape, np.uint16) if compact else np.empty(shape, np.float32)


def _bounds(rows: slice) -> tuple[int, int]:
    return int(rows.start), int(rows.stop)


def _room_for(grid: Grid, pixels: Pixels) -> Room:
    bins, line = grid.u.bins * grid.v.bins, grid.u.bins + 2
    polygon = np.empty((pixels.corner_u.shape[2] + 7, 2))
    return Room(polygon, np.empty(bins, np.int64), np.empty(bins), np.empty(line), np.empty(line))


def _axis_grid(axis: Axis, polygons: bool) -> AxisGrid:  # noqa: FBT001
    periodic = axis.unit.periodic
    middle = 0.5 * (axis.low + axis.high) if not axis.open_ended else 0.0
    ends = (axis.low, axis.high)
    if axis.open_ended:
        # A polygon goes on at the other end of the circle; a box ends there.
        far = np.pi if periodic and polygons else np.inf
        ends = (min(axis.low, -far), max(axis.high, far))
    uniform = axis.given is None
    density = 1.0 / axis.width
    return AxisGrid(axis.bins, uniform, density, *ends, periodic, middle, bounded=True)
