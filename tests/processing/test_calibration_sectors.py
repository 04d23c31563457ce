"""Rings measured in sectors, on images that are a formula."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from ringline.processing.calibration.image import CalibrationImage
from ringline.processing.calibration.sectors import (
    SectorFit,
    Window,
    fit_sectors,
    near_rings,
    ring_widths,
)

from ..benchmarks.powder_scene import directions  # noqa: TID252
from .calibration_scenes import TRUE, Floats  # noqa: TID252

LINES = np.deg2rad([8.0, 13.0, 18.0, 23.0])
WIDTH = 1.3 * TRUE.detector.pixel1 / TRUE.distance
"""Standard deviation of rings, rad."""
COUNTS = 9
"""Windows hold so many standard deviations in all."""


@dataclass(frozen=True)
class Bells:
    """Gaussian rings on a sloping background, known at the middle of each pixel."""

    height: float
    behind: float
    moved: Floats
    """2theta of each ring less its line, rad."""
    slope: float = 0.0
    """Of the background, counts a rad."""

    def mean(self) -> Floats:
        angle = angles()
        total = self.behind + self.slope * (angle - LINES[1])
        for line, moved in zip(LINES, self.moved, strict=True):
            total += self.height * np.exp(-0.5 * ((angle - line - moved) / WIDTH) ** 2)
        return np.asarray(total)


def angles() -> Floats:
    slow, fast = (np.arange(n) + 0.5 for n in TRUE.detector.known_shape)
    return directions(TRUE, slow[:, None], fast[None, :]).two_theta


def taken(counts: Floats, there: np.ndarray | None = None) -> CalibrationImage:
    none = np.zeros(counts.shape, dtype=bool)
    there = ~none if there is None else there
    return CalibrationImage(counts.astype(np.float32), there, none, none)


def measured(counts: Floats, there: np.ndarray | None = None, sectors: int = 90) -> SectorFit:
    window = Window(LINES, np.full(LINES.size, 0.5 * COUNTS * WIDTH), sectors)
    near = near_rings(TRUE, taken(counts, there), window)
    return fit_sectors(near, np.full(LINES.size, WIDTH), counts.shape[1])


MOVED = WIDTH * np.array([0.12, -0.15, 0.05, 0.0])


def test_a_shift_of_each_ring_is_found_on_an_image_without_noise() -> None:
    fit = measured(Bells(500.0, 20.0, MOVED, slope=-40.0).mean())
    assert fit.seen.sum() > 250
    # To first order in the shift: what is left goes with its cube.
    off = np.abs(fit.shift - MOVED[fit.ring])[fit.seen] / WIDTH
    assert np.quantile(off, 0.98) < 3e-3
    assert off.max() < 0.02  # of arcs that the detector's edge cuts
    np.testing.assert_allclose(fit.height[fit.seen], 500.0, rtol=0.02)
    # The slope is 0 there; what a shift adds to second order, background and height share.
    assert np.median(fit.background[fit.ring == 1]) == pytest.approx(20.0, rel=0.1)


@pytest.mark.parametrize(("height", "behind"), [(4.0, 1.0), (300.0, 30.0), (30.0, 3000.0)])
def test_errors_have_the_size_of_what_noise_makes_of_shifts(height: float, behind: float) -> None:
    random = np.random.default_rng(12)
    mean = Bells(height, behind, 0.5 * MOVED).mean()
    pulls = []
    for _ in range(3):
        # Sectors as large as are needed to see such rings at all.
        fit = measured(random.poisson(mean).astype(float), sectors=36)
        pulls.append(((fit.shift - 0.5 * MOVED[fit.ring]) / fit.sigma)[fit.seen])
    found = np.concatenate(pulls)
    assert found.size > 100
    assert 0.8 < found.std() < 1.25
    assert abs(found.mean()) < 4 / np.sqrt(found.size)


def test_a_detector_with_gain_and_reading_noise_has_errors_of_the_right_size_too() -> None:
    random = np.random.default_rng(13)
    mean = Bells(60.0, 20.0, MOVED).mean()
    counts = 7.0 * random.poisson(mean) + 300.0 + random.normal(0, 40.0, mean.shape)
    fit = measured(counts)
    pulls = ((fit.shift - MOVED[fit.ring]) / fit.sigma)[fit.seen]
    assert pulls.size > 200
    assert 0.8 < pulls.std() < 1.25


def test_a_stray_pixel_moves_no_ring() -> None:
    counts = np.random.default_rng(14).poisson(Bells(100.0, 10.0, MOVED).mean()).astype(float)
    before = measured(counts)
    near = np.argwhere(np.abs(angles() - LINES[1] - 0.8 * WIDTH) < 0.1 * WIDTH)[::40]
    counts[tuple(near.T)] = 1e5
    after = measured(counts)
    both = before.seen & after.seen
    assert both.sum() > 0.97 * before.seen.sum()
    off = np.abs(after.shift - before.shift) / before.sigma
    assert off[both].max() < 3
    assert near.shape[0] > 5


def test_places_are_on_the_ring_in_its_sector() -> None:
    fit = measured(Bells(500.0, 20.0, np.zeros(4)).mean())
    places = directions(TRUE, fit.slow, fit.fast)
    whole = fit.seen & (fit.significance > 100)
    off = np.abs(places.two_theta[whole] - LINES[fit.ring[whole]])
    # Where the detector's edge cuts an arc lengthwise, the mean of its pixels is beside the ring.
    assert np.quantile(off, 0.95) < 0.2 * WIDTH
    assert off.max() < 3 * WIDTH
    turn = (places.chi[whole] + np.pi) / (2 * np.pi) * 90
    np.testing.assert_array_equal(np.floor(turn).astype(int), fit.sector[whole])


def test_nothing_is_seen_where_there_is_no_ring() -> None:
    noise = np.random.default_rng(15).poisson(50.0, TRUE.detector.known_shape).astype(float)
    fit = measured(noise)
    # Four standard errors happen once in 30 000.
    assert fit.visible.sum() > 250
    assert fit.seen.sum() <= 2


def test_a_gap_across_a_ring_leaves_its_sectors_out_or_right() -> None:
    counts = Bells(500.0, 20.0, MOVED).mean()
    there = np.ones(counts.shape, dtype=bool)
    there[250:262] = False
    there[:, 100:104] = False
    counts[~there] = -1
    fit = measured(counts, there)
    assert fit.seen.sum() > 200
    np.testing.assert_allclose(fit.shift[fit.seen], MOVED[fit.ring[fit.seen]], atol=3e-2 * WIDTH)


def test_widths_of_rings_are_found() -> None:
    window = Window(LINES, np.full(LINES.size, 6 * WIDTH), 90)
    counts = np.random.default_rng(16).poisson(Bells(80.0, 10.0, np.zeros(4)).mean())
    near = near_rings(TRUE, taken(counts.astype(float)), window)
    found = ring_widths(near, np.full(LINES.size, 3 * WIDTH))
    np.testing.assert_allclose(found, WIDTH, rtol=0.1)


def test_the_width_of_a_ring_that_is_not_seen_stays_as_guessed() -> None:
    window = Window(LINES, np.full(LINES.size, 6 * WIDTH), 90)
    absent = replace(Bells(80.0, 10.0, np.zeros(4)), height=0.0)
    counts = np.random.default_rng(17).poisson(absent.mean())
    near = near_rings(TRUE, taken(counts.astype(float)), window)
    guess = np.array([1.0, 2.0, 3.0, 4.0]) * WIDTH
    np.testing.assert_array_equal(ring_widths(near, guess), guess)


def test_each_pixel_near_a_ring_is_listed_once_with_its_counts_and_distance() -> None:
    counts = np.arange(520 * 480, dtype=float).reshape(520, 480)
    half = 2 * WIDTH
    near = near_rings(TRUE, taken(counts), Window(LINES, np.full(4, half), 12))
    angle = angles().ravel()
    expected = np.flatnonzero(np.abs(angle[:, None] - LINES).min(axis=1) < half)
    np.testing.assert_array_equal(np.sort(near.place), expected)
    np.testing.assert_array_equal(near.counts, near.place.astype(np.float32))
    off = angle[near.place] - LINES[near.ring[near.group]]
    np.testing.assert_allclose(near.off, off, atol=1e-7)
