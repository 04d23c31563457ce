"""How pixels are shared between bins: against clipping in plain Python, and against pyFAI."""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyFAI.ext.splitBBoxCSR import HistoBBox1d
from pyFAI.ext.splitPixel import pseudoSplit2D_engine
from pyFAI.ext.splitPixelFullCSR import FullSplitCSR_1d, FullSplitCSR_2d, recenter
from pyFAI.integrator.azimuthal import AzimuthalIntegrator

from ringline.processing import (
    Cake,
    Corrections,
    Frame,
    Geometry,
    Radial,
    Recipe,
    Sums,
    reduction_for,
)

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Point = tuple[Any, Any]
Integrator = Callable[[Geometry], AzimuthalIntegrator]

SHAPE = (41, 53)
TURN = 2 * math.pi
FLOAT32 = 2e-6
"""What is left of pyFAI's shares, which are differences of float32 numbers."""


# --- the oracle: Sutherland and Hodgman's clipping, in any arithmetic ---


def cut(polygon: list[Point], axis: int, at: Any, *, above: bool) -> list[Point]:
    """The part of a polygon on one side of a line."""
    kept: list[Point] = []
    for one, two in pairwise([polygon[-1], *polygon] if polygon else []):
        inside = [(p[axis] >= at) == above or p[axis] == at for p in (one, two)]
        if inside[0] != inside[1]:
            part = (at - one[axis]) / (two[axis] - one[axis])
            kept.append(tuple(a + part * (b - a) for a, b in zip(one, two, strict=True)))  # type: ignore[arg-type]
        if inside[1]:
            kept.append(two)
    return kept


def area(polygon: Sequence[Point]) -> Any:
    if not polygon:
        return 0
    u, v = polygon[0]
    around = pairwise([*polygon, polygon[0]])
    return abs(sum((a[0] - u) * (b[1] - v) - (b[0] - u) * (a[1] - v) for a, b in around)) / 2


def part_inside(polygon: list[Point], u: Sequence[Any], v: Sequence[Any]) -> Any:
    """What part of a polygon lies within bounds of both coordinates."""
    rest = polygon
    for axis, (low, high) in enumerate((u, v)):
        if low > -math.inf:
            rest = cut(rest, axis, low, above=True)
        if high < math.inf:
            rest = cut(rest, axis, high, above=False)
    return area(rest) / area(polygon)


def continuous(corners: Floats, pole: float = 0.0) -> list[Point]:
    """Corners (radius, azimuth) without a jump; those around the beam closed along it."""
    polygon = [(float(corners[0, 0]), float(corners[0, 1]))]
    for radius, chi in corners[1:].tolist():
        polygon.append((radius, chi - TURN * round((chi - polygon[-1][1]) / TURN)))
    last, first = polygon[-1][1], polygon[0][1]
    end = first - TURN * round((first - last) / TURN)
    if abs(end - first) > 1:
        polygon += [(polygon[0][0], end), (pole, end), (pole, first)]
    return polygon


def shares_by_clipping(corners: Floats, u_edges: Floats, v_edges: Floats) -> Floats:
    """Shares of each pixel (radius, azimuth) in each bin (azimuth, radius), turn by turn."""
    found = np.zeros((len(corners), len(v_edges) - 1, len(u_edges) - 1))
    for number, pixel in enumerate(corners):
        polygon = continuous(pixel)
        whole = area(polygon)
        lows, highs = (np.array([f(p[k] for p in polygon) for k in (0, 1)]) for f in (min, max))
        for j, (v0, v1) in enumerate(pairwise(v_edges)):
            for turn in (-TURN, 0.0, TURN) if math.isfinite(v1 - v0) else (0.0,):
                if highs[1] <= v0 + turn or lows[1] >= v1 + turn:
                    continue
                row = cut(cut(polygon, 1, v0 + turn, above=True), 1, v1 + turn, above=False)
                first = max(np.searchsorted(u_edges, lows[0], side="right") - 1, 0)
                last = min(np.searchsorted(u_edges, highs[0], side="left"), len(u_edges) - 1)
                for k in range(first, last):
                    cell = cut(row, 0, u_edges[k], above=True)
                    cell = cut(cell, 0, u_edges[k + 1], above=False)
                    found[number, j, k] += area(cell) / whole
    return found


# --- positions as pyFAI has them, in float64 ---


def corners_of(integrator: AzimuthalIntegrator) -> Floats:
    """(q, chi) of the four corners of each pixel, shape (pixels, 4, 2)."""
    i, j = np.mgrid[: integrator.detector.shape[0], : integrator.detector.shape[1]] * 1.0
    around = [(i - 0.5, j - 0.5), (i + 0.5, j - 0.5), (i + 0.5, j + 0.5), (i - 0.5, j + 0.5)]
    values = [(integrator.qFunction(*at), integrator.chi(*at)) for at in around]
    return np.ascontiguousarray(np.moveaxis(np.array(values), (0, 1), (2, 3)).reshape(-1, 4, 2))


def turns(corners: Floats) -> Bools:
    """Pixels across the azimuth's discontinuity, or around the beam."""
    return np.asarray(np.ptp(corners[..., 1], axis=1) > math.pi)


def torn(corners: Floats, orientation: int) -> Bools:
    """Pixels that pyFAI tears apart when it makes their azimuth continuous.

    It takes those for which an approximate area has the sign of a crossed quadrangle, and adds a
    turn to each negative azimuth. That also finds skewed ones next to the beam that cross
    nothing. Around the beam nothing helps.
    """
    found = np.zeros(len(corners), bool)
    for number, pixel in enumerate(corners):
        moved = pixel.copy()
        recenter(moved, TURN, chiDiscAtPi=True, orientation=orientation)
        whole = continuous(pixel)
        sides = np.diff([v for _, v in whole[:4]])
        found[number] = len(whole) > 4 or not np.allclose(np.diff(moved[:, 1]), sides)
    return found


def recipe_for(geometry: Geometry, binning: Any, splitting: str, mask: Bools | None) -> Recipe:
    flat_mask = None if mask is None else mask.reshape(geometry.detector.known_shape)
    return Recipe(
        geometry=geometry,
        binning=binning,
        splitting=splitting,
        corrections=Corrections(mask=flat_mask, solid_angle=False),
    )


def counts(seed: int) -> NDArray[np.uint16]:
    return np.random.default_rng(seed).poisson(50, SHAPE).astype(np.uint16)


def ours(recipe: Recipe, image: NDArray[np.generic]) -> tuple[Floats, Floats, Sums]:
    reduction = reduction_for(recipe)
    sums = reduction.map(Frame(image))
    v = reduction.azimuth_edges
    return reduction.edges, np.array([]) if v is None else np.radians(v), sums


# --- full ---


@settings(max_examples=6)
@given(data=st.data(), seed=st.integers(0, 2**32))
@pytest.mark.parametrize("kind", ["all", "range", "sector", "across"])
def test_full_splitting_of_a_curve_is_clipping_of_polygons(
    kind: str,
    data: st.DataObject,
    seed: int,
    any_geometry: st.SearchStrategy[Geometry],
    integrator_for: Integrator,
) -> None:
    geometry = data.draw(any_geometry)
    corners = corners_of(integrator_for(geometry))
    low, high = np.quantile(corners[..., 0], [0.2, 0.9])
    sector = {"sector": (-50.0, 77.0), "across": (150.0, 215.0)}.get(kind)
    radial = (low, high) if kind in ("range", "across") else None
    mask = np.random.default_rng(seed).random(len(corners)) < 0.9
    binning = Radial(bins=23, azimuth_range=sector, radial_range=radial)
    edges, _, sums = ours(recipe_for(geometry, binning, "full", mask), counts(seed))
    bounds = [-math.inf, math.inf] if sector is None else np.radians(sector)
    expected = shares_by_clipping(corners[~mask], edges, np.array(bounds))[:, 0]
    np.testing.assert_allclose(sums.count, expected.sum(0), rtol=1e-6, atol=1e-5)
    signal = counts(seed).ravel()[~mask] @ expected
    np.testing.assert_allclose(sums.signal, signal, rtol=1e-6, atol=1e-3)


@settings(max_examples=6)
@given(data=st.data(), seed=st.integers(0, 2**32))
@pytest.mark.parametrize("sector", [None, (-180, 180), (0, 360), (170, 190), (-200, -160)])
def test_full_splitting_of_a_cake_is_clipping_on_a_circle(
    sector: tuple[float, float] | None,
    data: st.DataObject,
    seed: int,
    any_geometry: st.SearchStrategy[Geometry],
    integrator_for: Integrator,
) -> None:
    geometry = data.draw(any_geometry)
    corners = corners_of(integrator_for(geometry))
    mask = np.random.default_rng(seed).random(len(corners)) < 0.9
    binning = Cake(radial_bins=17, azimuthal_bins=9, azimuth_range=sector)
    u, v, sums = ours(recipe_for(geometry, binning, "full", mask), counts(seed))
    v[-1] = min(v[-1], v[0] + TURN)
    if sector is None:
        # What is not seen between the last pixel and the first belongs to the bins at the ends.
        v[0], v[-1] = min(v[0], -math.pi), math.pi
    expected = shares_by_clipping(corners[~mask], u, v)
    # Where a circle closes, its upper end is a float32 step above the lower one.
    loose = 3e-3 if sector in ((-180, 180), (0, 360)) else 1e-5
    np.testing.assert_allclose(sums.count, expected.sum(0), rtol=1e-6, atol=loose)
    signal = np.tensordot(counts(seed).ravel()[~mask].astype(float), expected, 1)
    np.testing.assert_allclose(sums.signal, signal, rtol=1e-6, atol=100 * loose)


@settings(max_examples=20)
@given(data=st.data(), pixel=st.integers(0, SHAPE[0] * SHAPE[1] - 1))
def test_the_shares_of_one_pixel_are_those_of_rational_arithmetic(
    data: st.DataObject,
    pixel: int,
    any_geometry: st.SearchStrategy[Geometry],
    integrator_for: Integrator,
) -> None:
    geometry = data.draw(any_geometry)
    corners = corners_of(integrator_for(geometry))[pixel]
    polygon = [(Fraction(u), Fraction(v)) for u, v in continuous(corners)]
    low, high = float(min(polygon)[0]), float(max(polygon)[0])
    cuts = data.draw(st.lists(st.floats(-0.5, 1.5), min_size=2, max_size=9, unique=True))
    edges = tuple(sorted({low + at * (high - low) for at in cuts} | {low, high}))
    mask = np.arange(SHAPE[0] * SHAPE[1]) != pixel
    binning = Radial(edges=edges)
    _, _, sums = ours(recipe_for(geometry, binning, "full", mask), np.ones(SHAPE))
    everywhere = (-math.inf, math.inf)
    expected = [
        float(part_inside(polygon, (Fraction(a), Fraction(b)), everywhere))
        for a, b in pairwise(edges)
    ]
    # Positions differ in the last bits, shares are multiples of 2^-24.
    np.testing.assert_allclose(sums.count, expected, atol=2**-24 + 1e-9 * high / (high - low))
    assert sums.count.sum() == 1.0


@settings(max_examples=12)
@given(data=st.data(), seed=st.integers(0, 2**32))
def test_full_splitting_of_a_curve_agrees_with_pyfai(
    data: st.DataObject,
    seed: int,
    any_geometry: st.SearchStrategy[Geometry],
    integrator_for: Integrator,
) -> None:
    """But for the pixels that pyFAI tears apart near the beam (see ``torn``).

    Its shares are float32 differences of areas between a side and azimuth 0.
    """
    geometry = data.draw(any_geometry)
    corners = corners_of(integrator_for(geometry))
    mask = np.random.default_rng(seed).random(len(corners)) < 0.3
    mask |= torn(corners, geometry.detector.orientation)
    orientation = geometry.detector.orientation
    theirs = FullSplitCSR_1d(corners, 60, mask=mask.astype(np.int8), orientation=orientation)
    recipe = recipe_for(geometry, Radial(bins=60), "full", mask)
    rounding = 2.0**-23 * math.pi / quadrangles(corners)[1]
    assert_agree(recipe, theirs, seed, rounding)


@settings(max_examples=12)
@given(data=st.data(), seed=st.integers(0, 2**32))
def test_full_splitting_of_a_cake_agrees_with_pyfai_where_no_side_crosses_an_azimuthal_edge(
    data: st.DataObject,
    seed: int,
    any_geometry: st.SearchStrategy[Geometry],
    integrator_for: Integrator,
) -> None:
    """Where one does, pyFAI's shares are those of stairs instead of a slope: see the next test.

    Those across the azimuth's discontinuity it cuts there; ours go on at the other end, see
    ``test_full_splitting_of_a_cake_is_clipping_on_a_circle``.
    """
    geometry = data.draw(any_geometry)
    corners = corners_of(integrator_for(geometry))
    mask = np.random.default_rng(seed).random(len(corners)) < 0.3
    mask |= torn(corners, geometry.detector.orientation) | turns(corners)
    edges = np.linspace(-math.pi, math.pi * (1 + 2**-23), 13)
    mask |= np.ptp(np.searchsorted(edges, corners[..., 1]), axis=1) > 0
    orientation, sector = geometry.detector.orientation, (-180.0, 180.0)
    radial = (float(corners[..., 0].min()), float(corners[..., 0].max()))
    theirs = FullSplitCSR_2d(
        corners, (30, 12), pos0_range=radial, pos1_range=tuple(np.radians(sector)),
        mask=mask.astype(np.int8), orientation=orientation,
    )  # fmt: skip
    binning = Cake(30, 12, radial_range=radial, azimuth_range=sector)
    # It starts from memory that it did not clear.
    mask[np.flatnonzero(~mask)[0]] = True
    recipe = recipe_for(geometry, binning, "full", mask)
    # In bins, a polygon is a small part of the rectangle that its sides are summed in.
    size = np.ptp(corners[~mask][..., 0]) / 30 + np.ptp(corners[..., 0], axis=1)
    rounding = 2.0**-23 * size * (TURN / 12) / np.abs(quadrangles(corners)[0])
    assert_agree(recipe, theirs, seed, rounding)


def test_pyfais_full_splitting_of_a_cake_takes_stairs_for_a_slope() -> None:
    """Below a side that crosses a row of bins, it fills whole rows from the bottom up.

    With dx the width of the side in one column and A the area below it, row after row gets
    min(dx, what is left of A). That is exact only where the side stays in one row. Ours is the
    area itself. (The shares of its first pixel are whatever was in memory.)
    """
    rng = np.random.default_rng(5)
    pixels = np.array([[0, 0], [0.4, 0], [0.4, -0.7], [0, -0.7]]) + rng.uniform(0, 0.3, (40, 4, 2))
    pixels += rng.uniform(0.1, 2.2, (40, 1, 2))
    pixels[..., 1] += 0.8
    found = FullSplitCSR_2d(
        pixels, (3, 4), pos0_range=(0, 3), pos1_range=(0, 4), pos1_period=0.0, chiDiscAtPi=False
    )
    bins = np.repeat(np.arange(12), np.diff(found.indptr))
    theirs = np.zeros((40, 12))
    np.add.at(theirs, (found.indices, bins), found.data)
    np.testing.assert_allclose(theirs[1:], [stairs(pixel) for pixel in pixels[1:]], atol=1e-4)
    exact = [
        [float(part_inside([(u, v) for u, v in pixel], (k, k + 1), (j, j + 1)))
         for k in range(3) for j in range(4)]
        for pixel in pixels.tolist()
    ]  # fmt: skip
    assert np.abs(theirs - exact)[1:].max() > 0.05


def stairs(pixel: Floats) -> Floats:
    """pyFAI's shares of a pixel in 3 x 4 bins of width 1."""
    found = np.zeros((3, 4))
    for (ua, va), (ub, vb) in pairwise([*pixel, pixel[0]]):
        for k in range(3):
            u0, u1 = np.clip([min(ua, ub), max(ua, ub)], k, k + 1)
            left = (u1 - u0) * (va + (vb - va) * (0.5 * (u0 + u1) - ua) / (ub - ua))
            for j in range(4):
                filled = min(u1 - u0, left)
                found[k, j] += math.copysign(filled, ub - ua)
                left -= filled
    return np.asarray(found.ravel() / found.sum())


@settings(max_examples=12)
@given(data=st.data(), seed=st.integers(0, 2**32))
def test_full_splitting_within_ranges_agrees_with_pyfai_for_pixels_within_them(
    data: st.DataObject,
    seed: int,
    any_geometry: st.SearchStrategy[Geometry],
    integrator_for: Integrator,
) -> None:
    """Pixels that the ends of a range cut are those of the next test."""
    geometry = data.draw(any_geometry)
    orientation = geometry.detector.orientation
    corners = corners_of(integrator_for(geometry))
    low, high = (float(q) for q in np.quantile(corners[..., 0], [0.2, 0.9]))
    sector = tuple(np.degrees(np.quantile(corners[..., 1], [0.2, 0.7])).tolist())
    mask = torn(corners, orientation) | turns(corners)
    for values, bounds in ((corners[..., 0], (low, high)), (corners[..., 1], np.radians(sector))):
        for bound in bounds:
            near = 1e-6 * abs(bound)
            mask |= (values.min(1) <= bound + near) & (values.max(1) >= bound - near)
    theirs = FullSplitCSR_1d(
        corners, 30, pos0_range=(low, high), pos1_range=tuple(np.radians(sector)),
        mask=mask.astype(np.int8), orientation=orientation,
    )  # fmt: skip
    binning = Radial(bins=30, radial_range=(low, high), azimuth_range=sector)
    recipe = recipe_for(geometry, binning, "full", mask)
    assert_agree(recipe, theirs, seed, 2.0**-23 * math.pi / quadrangles(corners)[1])


@settings(max_examples=12)
@given(data=st.data())
def test_a_pixel_cut_by_a_range_counts_by_its_part_inside_where_pyfai_takes_all_of_it(
    data: st.DataObject, any_geometry: st.SearchStrategy[Geometry], integrator_for: Integrator
) -> None:
    """pyFAI divides the shares of a pixel by their sum within the range: it counts as a whole.

    And with an azimuth range, a pixel that touches it counts as a whole.
    """
    geometry = data.draw(any_geometry)
    orientation = geometry.detector.orientation
    corners = corners_of(integrator_for(geometry))
    pixel = data.draw(st.integers(0, len(corners) - 1))
    if torn(corners[pixel : pixel + 1], orientation)[0] or turns(corners[pixel : pixel + 1])[0]:
        return
    (u0, v0), (u1, v1) = corners[pixel].min(0).tolist(), corners[pixel].max(0).tolist()
    u_cut, v_cut = u0 + 0.6 * (u1 - u0), v0 + 0.3 * (v1 - v0)
    mask = np.arange(len(corners)) != pixel
    polygon = continuous(corners[pixel])
    radial, sector = (0.5 * u0, u_cut), (v_cut, v1 + 0.1)
    reached = (radial[0], u_cut * (1 + 2**-23))
    for bounds, inside in (
        ({"radial_range": radial}, part_inside(polygon, reached, (-math.inf, math.inf))),
        (
            {"radial_range": (0.5 * u0, 2 * u1), "azimuth_range": tuple(np.degrees(sector))},
            part_inside(polygon, (-math.inf, math.inf), sector),
        ),
    ):
        binning = Radial(bins=9, **bounds)  # type: ignore[arg-type]
        _, _, sums = ours(recipe_for(geometry, binning, "full", mask), np.ones(SHAPE))
        theirs = FullSplitCSR_1d(
            corners, 9, pos0_range=bounds["radial_range"], orientation=orientation,
            pos1_range=sector if "azimuth_range" in bounds else None, mask=mask.astype(np.int8),
        ).integrate_ng(np.ones(SHAPE))  # fmt: skip
        assert sums.count.sum() == pytest.approx(inside, abs=1e-3)
        assert theirs.count.sum() == pytest.approx(1.0, abs=1e-6)


# --- pseudo ---


@settings(max_examples=8)
@given(data=st.data(), seed=st.integers(0, 2**32))
def test_pseudo_splitting_is_that_of_a_rectangle_of_the_polygons_area(
    data: st.DataObject,
    seed: int,
    any_geometry: st.SearchStrategy[Geometry],
    integrator_for: Integrator,
) -> None:
    geometry = data.draw(any_geometry)
    corners = corners_of(integrator_for(geometry))
    mask = np.random.default_rng(seed).random(len(corners)) < 0.5
    mask |= turns(corners)
    sector = (-180.0, 180.0)
    binning = Cake(11, 7, radial_range=(0.0, 2.0 * corners[..., 0].max()), azimuth_range=sector)
    u, v, sums = ours(recipe_for(geometry, binning, "pseudo", mask), counts(seed))
    expected = np.zeros((7, 11))
    for pixel in corners[~mask]:
        middle, box = pixel.mean(0), np.ptp(pixel, axis=0)
        half = 0.5 * box * math.sqrt(area(pixel.tolist()) / box.prod())
        rows, columns = (
            np.diff(np.clip(edges, middle[k] - half[k], middle[k] + half[k])) / (2 * half[k])
            for k, edges in ((1, v), (0, u))
        )
        expected += np.outer(rows, columns)
    np.testing.assert_allclose(sums.count, expected, atol=1e-5)
    curve = Radial(bins=11, radial_range=binning.radial_range)
    _, _, flat = ours(recipe_for(geometry, curve, "pseudo", mask), counts(seed))
    np.testing.assert_allclose(flat.count, expected.sum(0), atol=1e-5)


def test_pyfais_pseudo_splitting_swaps_the_sides_of_the_rectangle() -> None:
    """A parallelogram of width W and height H in a box, area A, shrinks to sqrt(A / (W H)) of it.

    pyFAI gives the first coordinate the height of that and the second one the width, and drops
    the shrinking where the result is larger than the box: always, unless W = H. Where a pixel
    spreads over bins both ways it also multiplies by its height in bins squared:
    1 / width * height for 1 / (width * height).
    """
    pixel = np.array([[[2.2, 1.1], [2.6, 1.3], [2.6, 1.9], [2.2, 1.7]]])
    found = pseudoSplit2D_engine(
        pixel, np.ones(1), (40, 40), pos0_range=(0, 4), pos1_range=(0, 4), chiDiscAtPi=False
    )
    reached = np.asarray(found.count) > 1e-3
    # The whole box 2.2 .. 2.6 by 1.1 .. 1.9, though the area is 0.24 of its 0.32.
    box = (
        np.argwhere(reached.any(0)).ravel()[[0, -1]],
        np.argwhere(reached.any(1)).ravel()[[0, -1]],
    )
    np.testing.assert_array_equal(box, ([22, 25], [11, 18]))
    assert np.asarray(found.count).sum() == pytest.approx(8.0**2, rel=0.01)
    square = np.array([[[2.2, 1.2], [2.8, 1.4], [2.8, 1.8], [2.2, 1.6]]])
    found = pseudoSplit2D_engine(
        square, np.ones(1), (1, 40), pos0_range=(0, 4), pos1_range=(0, 4), chiDiscAtPi=False
    )
    side = np.asarray(found.count).ravel()
    # W = H = 0.6, A = 0.24: a square of side sqrt(0.24) about (2.5, 1.5), in both.
    side_expected = np.diff(
        np.clip(np.linspace(0, 4, 41), 1.5 - 0.24**0.5 / 2, 1.5 + 0.24**0.5 / 2)
    )
    np.testing.assert_allclose(side, side_expected / 0.24**0.5, atol=1e-5)


# --- bbox and no ---


@settings(max_examples=15)
@given(data=st.data(), seed=st.integers(0, 2**32))
@pytest.mark.parametrize("splitting", ["no", "bbox"])
def test_boxes_and_points_within_ranges_agree_with_pyfai(
    splitting: str,
    data: st.DataObject,
    seed: int,
    any_geometry: st.SearchStrategy[Geometry],
    integrator_for: Integrator,
) -> None:
    """But for what the ends of a radial range cut.

    pyFAI divides a box by its part inside, which then counts as a whole; it rounds bin numbers
    towards 0, so that what is up to one bin below the range is in the first bin. With an
    azimuth range both take all of a box that touches it.
    """
    geometry = data.draw(any_geometry)
    integrator = integrator_for(geometry)
    i, j = np.mgrid[: SHAPE[0], : SHAPE[1]] * 1.0
    q, chi = integrator.qFunction(i, j), integrator.chi(i, j)
    around = corners_of(integrator).reshape(*SHAPE, 4, 2)
    dq = np.abs(around[..., 0] - q[..., None]).max(-1)
    turn = np.abs(around[..., 1] - chi[..., None])
    dchi = np.minimum(turn, TURN - turn).max(-1)
    mask = np.random.default_rng(seed).random(SHAPE) < 0.3
    mask |= turns(around.reshape(-1, 4, 2)).reshape(SHAPE)
    low, high = (float(at) for at in np.quantile(q, [0.2, 0.9]))
    sector = tuple(np.degrees(np.quantile(chi, [0.2, 0.7])).tolist())
    half = {"delta_pos0": dq, "delta_pos1": dchi} if splitting == "bbox" else {}
    top = high * (1 + 2**-23)
    if splitting == "bbox":
        parts = (np.minimum(q + dq, top) - np.maximum(q - dq, low)) / (2 * dq)
        gained = np.where((parts < 1) & (q - dq < top), 1 - np.maximum(parts, 0), 0)
        gained[q + dq < low - (top - low) / 30] = 0
    else:
        gained = 1.0 * ((q < low) & (q > low - (top - low) / 30))
    inside = (chi + dchi >= np.radians(sector[0])) & (chi - dchi <= np.radians(sector[1]))
    if splitting == "no":
        inside = (chi >= np.radians(sector[0])) & (chi <= np.radians(sector[1]))
    binning = Radial(bins=30, radial_range=(low, high), azimuth_range=sector)
    for without in (mask, mask | (gained > 0)):
        theirs = HistoBBox1d(
            q, half.get("delta_pos0"), chi, half.get("delta_pos1"), bins=30,
            pos0_range=(low, high), pos1_range=tuple(np.radians(sector)),
            mask=without.astype(np.int8),
        )  # fmt: skip
        recipe = recipe_for(geometry, binning, splitting, without)
        total = ours(recipe, counts(seed))[2].count.sum()
        assert theirs.data.sum() - total == pytest.approx(gained[inside & ~without].sum(), abs=0.02)
    assert_agree(recipe, theirs, seed, np.full(q.size, 2.0**-21))


def quadrangles(corners: Floats) -> tuple[Floats, Floats]:
    """Area and height in azimuth of quadrangles whose azimuth may jump."""
    chi = np.unwrap(corners[..., 1], axis=1)
    u, v = corners[..., 0], chi
    du, dv = np.roll(u, -1, 1) - u[:, :1], np.roll(v, -1, 1) - v[:, :1]
    return 0.5 * ((u - u[:, :1]) * dv - du * (v - v[:, :1])).sum(1), np.ptp(chi, axis=1)


def assert_agree(recipe: Recipe, theirs: Any, seed: int, rounding: Floats) -> None:
    """Counts and signal are those of pyFAI's matrix, but for the rounding of its shares."""
    mask = recipe.corrections.mask
    assert mask is not None
    image = np.where(mask.values, 0, counts(seed)).ravel().astype(np.float64)
    one = (~mask.values).ravel().astype(np.float64)
    _, _, sums = ours(recipe, counts(seed))
    touched = reduction_for(recipe).map(Frame(np.minimum(rounding, 1).reshape(SHAPE))).signal
    loose = 1e-5 + 6 * touched
    bins = np.repeat(np.arange(sums.count.size), np.diff(theirs.indptr))
    for found, values, scale in ((sums.count, one, 1), (sums.signal, image, image.max())):
        expected = np.bincount(bins, theirs.data * values[theirs.indices], sums.count.size)
        # pyFAI numbers the bins of a cake radius by radius.
        expected = expected.reshape(found.shape[::-1]).T
        assert np.all(np.abs(found - expected) < scale * loose)
    assert np.median(loose) < 1
