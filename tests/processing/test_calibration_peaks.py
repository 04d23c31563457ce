"""Peaks of integrated curves that are a formula."""

from dataclasses import replace

import numpy as np
import pytest

from ringline.processing import calibrant_named
from ringline.processing.calibration.image import calibration_image
from ringline.processing.calibration.lines import Lines, lines_of
from ringline.processing.calibration.peaks import Curve, integrated, peaks_at, unexplained

from .calibration_scenes import PIXEL, TRUE, Floats, Powder, task  # noqa: TID252

WIDTH = np.deg2rad(0.06)
AXIS = np.deg2rad(np.arange(4.0, 24.0, 0.02))


def lines() -> Lines:
    found = lines_of(calibrant_named("LaB6"), TRUE.wavelength, largest=float(AXIS[-1] - 6 * WIDTH))
    return found.select(found.two_theta > AXIS[0])


def curve(extra: dict[float, float] | None = None, off: float = 0.0, noise: float = 0.3) -> Curve:
    """LaB6 with peaks of height 100, moved by ``off``; and others at angles in degrees."""
    places = {float(np.degrees(line)) + off: 100.0 for line in lines().two_theta}
    mean = 20.0 + 5.0 * np.cos(AXIS * 8)
    for place, height in {**places, **(extra or {})}.items():
        mean = mean + height * np.exp(-0.5 * ((AXIS - np.deg2rad(place)) / WIDTH) ** 2)
    counts = mean + np.random.default_rng(1).normal(0, noise, AXIS.size)
    return Curve(AXIS, counts, np.full(AXIS.size, noise))


def windows() -> tuple[Floats, Floats, Floats]:
    angles = lines().two_theta
    return angles, np.full(angles.size, WIDTH), np.full(angles.size, 4.5 * WIDTH)


@pytest.mark.parametrize("off", [0.0, 0.013, -0.05])
def test_peaks_are_where_they_are(off: float) -> None:
    found = peaks_at(curve(off=off), *windows())
    np.testing.assert_array_equal(found.line, lines().two_theta)
    np.testing.assert_allclose(np.degrees(found.off), off, atol=1.5e-3)
    pulls = (found.off - np.deg2rad(off)) / found.error
    assert 0.3 < pulls.std() < 2.5


def test_there_is_no_peak_where_there_is_none() -> None:
    flat = np.random.default_rng(2).normal(20.0, 0.3, AXIS.size)
    assert peaks_at(Curve(AXIS, flat, np.full(AXIS.size, 0.3)), *windows()).line.size <= 1


def test_lines_beyond_the_curve_have_no_peak() -> None:
    beyond = np.array([AXIS[-1] + 20 * WIDTH])
    found = peaks_at(curve(), beyond, np.array([WIDTH]), np.array([4.5 * WIDTH]))
    assert found.line.size == 0


def test_all_is_explained_where_only_the_powder_is() -> None:
    part, where = unexplained(curve(), lines(), WIDTH)
    assert (part, where) == (0.0, [])


def test_what_is_no_line_is_named_with_its_part_of_the_height() -> None:
    strange = {5.9: 60.0, 10.6: 100.0}
    gaps = np.abs(np.degrees(lines().two_theta)[:, None] - np.array(list(strange))).min(axis=0)
    assert gaps.min() > 0.5
    part, where = unexplained(curve(strange), lines(), WIDTH)
    np.testing.assert_allclose(np.degrees(where), sorted(strange), atol=0.03)
    total = 100.0 * lines().two_theta.size + sum(strange.values())
    assert part == pytest.approx(sum(strange.values()) / total, rel=0.1)


def test_a_peak_that_is_hardly_there_needs_no_explanation() -> None:
    assert unexplained(curve({5.9: 1.5}), lines(), WIDTH) == (0.0, [])


def test_a_hump_that_is_far_wider_than_rings_needs_no_explanation() -> None:
    hump = curve()
    wide = 80.0 * np.exp(-0.5 * ((AXIS - np.deg2rad(10.6)) / (12 * WIDTH)) ** 2)
    part, _ = unexplained(replace(hump, intensity=hump.intensity + wide), lines(), WIDTH)
    assert part == 0.0


def test_a_curve_without_any_peak_leaves_nothing_unexplained() -> None:
    flat = Curve(AXIS, np.zeros(AXIS.size), np.zeros(AXIS.size))
    assert unexplained(flat, lines(), WIDTH) == (0.0, [])


def test_the_integrated_curve_has_its_peaks_on_the_lines_of_the_truth() -> None:
    mean = Powder(top=1e4).mean()
    pixels = calibration_image(np.random.default_rng(3).poisson(mean).astype(np.int32), task())
    found = integrated(TRUE, pixels, 0.7 * PIXEL)
    assert np.diff(found.two_theta) == pytest.approx(0.7 * PIXEL, rel=0.1)
    angles = Powder().scene(TRUE).rings.two_theta[:8]
    width = np.full(8, 1.5 * PIXEL)
    peaks = peaks_at(found, angles, width, 4 * width)
    assert peaks.line.size >= 6
    assert np.abs(peaks.off).max() < 0.1 * PIXEL


def test_pixels_that_cannot_be_used_are_not_in_the_curve() -> None:
    counts = np.random.default_rng(3).poisson(Powder().mean()).astype(np.int32)
    counts[200:230] = 60_000
    mask = np.zeros(counts.shape, dtype=bool)
    mask[200:230] = True
    masked = calibration_image(counts, task(options={"mask": mask}))
    assert integrated(TRUE, masked, PIXEL).intensity.max() < 1000
