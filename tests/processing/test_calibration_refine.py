"""Geometries from control points whose truth is known in closed form."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from ringline.processing import Geometry, calibrant_named
from ringline.processing.calibration import REFINED, CalibrationTask
from ringline.processing.calibration.refine import Measured, Refined, refine

from ..benchmarks.powder_scene import directions  # noqa: TID252
from .calibration_scenes import PIXEL, TRUE, Floats, center_off, on_rings, task  # noqa: TID252

NEAR = replace(TRUE, distance=0.1103, poni1=0.0463, poni2=0.0518, rot1=0.0607, rot2=-0.0911)
"""Where points are measured from: some pixels and a millirad beside the truth."""


@dataclass(frozen=True)
class Points:
    """Places that lie exactly on rings of ``TRUE``."""

    slow: Floats
    fast: Floats
    angle: Floats
    """2theta of each one's ring."""
    ring: np.ndarray

    def measured(
        self, sigma: float, moved: Floats | float = 0.0, seen: Geometry = NEAR
    ) -> Measured:
        """As they are seen from another geometry, each moved by some 2theta."""
        there = directions(seen, self.slow, self.fast).two_theta
        shift = there - self.angle + moved
        return Measured(self.slow, self.fast, shift, np.full(shift.size, sigma), self.ring)


def points(rings: int = 9, sectors: int = 40, arc: float = 2 * np.pi) -> Points:
    """Of the first rings of LaB6, over an arc (rad) as far as the detector reaches."""
    found = calibrant_named("LaB6").rings(smallest_spacing=0.5e-10)[:rings]
    lines = np.array([2 * np.arcsin(TRUE.wavelength / (2 * ring.spacing)) for ring in found])
    ring = np.repeat(np.arange(rings), sectors)
    chi = np.tile(np.linspace(0, arc, sectors, endpoint=False), rings) + 0.01 * ring
    slow, fast = on_rings(TRUE, lines[ring], chi)
    rows, columns = TRUE.detector.known_shape
    on = (slow > 0) & (slow < rows) & (fast > 0) & (fast < columns)
    return Points(slow[on], fast[on], lines[ring[on]], ring[on])


def pulls(found: Refined) -> Floats:
    errors = np.sqrt(np.diag(found.covariance))
    off = [getattr(found.geometry, name) - getattr(TRUE, name) for name in found.names]
    return np.array(off) / errors


def refined(measured: Measured, given: CalibrationTask | None = None) -> Refined:
    given = task() if given is None else given
    return refine(NEAR, measured, given, given.refined)


def test_points_without_errors_give_the_geometry_exactly() -> None:
    found = refined(points().measured(1e-6))
    for name in REFINED:
        assert getattr(found.geometry, name) == pytest.approx(getattr(TRUE, name), abs=1e-9), name
    assert np.abs(found.residual).max() < 1e-9
    assert found.used.all()
    assert (found.scatter, found.ring_scatter) == (0.0, 0.0)


def test_errors_are_as_large_as_what_results_are_off_by() -> None:
    some, sigma, random = points(), 0.1 * PIXEL, np.random.default_rng(3)
    size = some.slow.size
    found = [refined(some.measured(sigma, random.normal(0, sigma, size))) for _ in range(40)]
    deviations = np.array([pulls(one) for one in found]).std(axis=0)
    np.testing.assert_allclose(deviations, 1.0, atol=0.3)
    squares = []
    for one in found:
        off = np.array([getattr(one.geometry, n) - getattr(TRUE, n) for n in one.names])
        squares.append(off @ np.linalg.inv(one.covariance) @ off)
    # Of 40 values of chi squared of five degrees of freedom the mean scatters by 0.5.
    assert np.mean(squares) == pytest.approx(len(REFINED), abs=1.5)


def test_points_that_scatter_more_than_they_say_widen_the_errors() -> None:
    some, sigma, own = points(), 0.05 * PIXEL, 0.2 * PIXEL
    random, size = np.random.default_rng(4), some.slow.size
    found = [refined(some.measured(sigma, random.normal(0, own, size))) for _ in range(40)]
    scatter = np.median([one.scatter for one in found])
    assert np.hypot(scatter, sigma) == pytest.approx(own, rel=0.1)
    assert np.array([pulls(one) for one in found]).std() == pytest.approx(1.0, abs=0.2)


def test_rings_that_are_off_as_a_whole_widen_the_errors() -> None:
    some, sigma, own = points(rings=16), 0.05 * PIXEL, 0.2 * PIXEL
    random, size = np.random.default_rng(5), some.slow.size
    found = []
    for _ in range(30):
        moved = random.normal(0, sigma, size) + random.normal(0, own, 16)[some.ring]
        found.append(refined(some.measured(sigma, moved)))
    # The distance takes up a part of what rings are off by.
    scatter = np.sqrt(np.mean([one.ring_scatter**2 for one in found]))
    assert scatter == pytest.approx(own, rel=0.3)
    # What is common to the points of a ring is no scatter of theirs.
    assert np.median([one.scatter for one in found]) < 0.1 * own
    deviations = np.array([pulls(one) for one in found]).std(axis=0)
    np.testing.assert_allclose(deviations, 1.0, atol=0.4)


def test_modules_that_are_not_quite_in_their_places_widen_the_errors() -> None:
    """Each sixteenth of the detector off by itself, by three times what its points scatter."""
    some, sigma, own = points(rings=16), 0.05 * PIXEL, 0.15 * PIXEL
    random, size = np.random.default_rng(10), some.slow.size
    rows, columns = TRUE.detector.known_shape
    part = (some.slow * 4 // rows).astype(int) * 4 + (some.fast * 4 // columns).astype(int)
    found = []
    for _ in range(20):
        moved = random.normal(0, sigma, size) + random.normal(0, own, 16)[part]
        found.append(refined(some.measured(sigma, moved)))
    # Five parameters take up a part of what sixteen modules are off by.
    assert np.median([one.patch_scatter for one in found]) == pytest.approx(own, rel=0.4)
    assert 0.6 < np.array([pulls(one) for one in found]).std() < 1.4


def test_the_covariance_is_that_of_repeated_measurements() -> None:
    some, sigma, random = points(), 0.1 * PIXEL, np.random.default_rng(6)
    found = [
        refined(some.measured(sigma, random.normal(0, sigma, some.slow.size))) for _ in range(60)
    ]
    values = np.array([[getattr(one.geometry, n) for n in one.names] for one in found])
    seen = np.corrcoef(values.T)
    stated = found[0].covariance
    scale = np.sqrt(np.diag(stated))
    np.testing.assert_allclose(seen, stated / np.outer(scale, scale), atol=0.3)
    # Where the normal meets the detector goes with the tilt, and is far less known than the center.
    assert abs(seen[REFINED.index("poni1"), REFINED.index("rot2")]) > 0.9


def test_points_far_off_are_left_out_and_change_nothing() -> None:
    some, sigma = points(), 0.1 * PIXEL
    random, size = np.random.default_rng(7), some.slow.size
    noise = random.normal(0, sigma, size)
    stray = np.zeros(size, dtype=bool)
    stray[::20] = True
    found = refined(some.measured(sigma, np.where(stray, 30 * sigma * np.sign(noise), noise)))
    assert not found.used[stray].any()
    assert found.used[~stray].all()
    assert np.abs(pulls(found)).max() < 4


@pytest.mark.parametrize("names", [("rot1",), ("rot1", "rot2"), ("distance",), ("poni1", "poni2")])
def test_what_is_fixed_stays_to_the_bit(names: tuple[str, ...]) -> None:
    given = task(guess=NEAR, options={"fixed": names})
    found = refined(points().measured(0.1 * PIXEL), given)
    for name in names:
        assert getattr(found.geometry, name) == getattr(NEAR, name)
    assert found.names == tuple(name for name in REFINED if name not in names)
    assert found.covariance.shape == (len(found.names),) * 2


def test_with_everything_else_right_the_rest_is_found_exactly() -> None:
    there = replace(NEAR, rot1=TRUE.rot1, rot2=TRUE.rot2)
    given = task(guess=there, options={"fixed": ("rot1", "rot2")})
    measured = points().measured(1e-6, seen=there)
    found = refine(there, measured, given, given.refined)
    for name in REFINED:
        assert getattr(found.geometry, name) == pytest.approx(getattr(TRUE, name), abs=1e-9), name


@pytest.mark.parametrize(
    ("name", "low", "high", "end"),
    [("distance", 0.1101, 0.1105, "low"), ("rot2", -0.1, -0.0905, "high")],
)
def test_a_bound_that_keeps_the_truth_out_is_where_it_ends(
    name: str, low: float, high: float, end: str
) -> None:
    given = task(guess=NEAR, options={"bounds": {name: (low, high)}})
    found = refined(points().measured(0.1 * PIXEL), given)
    value = getattr(found.geometry, name)
    assert low <= value <= high
    assert value == pytest.approx({"low": low, "high": high}[end], rel=1e-12)


def test_bounds_that_the_truth_is_within_change_nothing() -> None:
    measured = points().measured(1e-6)
    bounds = {"distance": (0.1, 0.12), "poni1": (0.04, 0.05), "rot1": (0.0, 0.1)}
    found = refined(measured, task(guess=TRUE, options={"bounds": bounds}))
    for name in REFINED:
        assert getattr(found.geometry, name) == pytest.approx(getattr(TRUE, name), abs=1e-7), name


def test_a_guess_does_not_matter_where_rings_tell_everything() -> None:
    some, sigma = points(), 0.1 * PIXEL
    measured = some.measured(sigma, np.random.default_rng(8).normal(0, sigma, some.slow.size))
    far = replace(TRUE, distance=0.121, poni1=0.049, poni2=0.049, rot1=0.0, rot2=0.0)
    free, guessed = refined(measured), refined(measured, task(guess=far))
    np.testing.assert_allclose(pulls(free), pulls(guessed), atol=0.05)


def test_a_guess_decides_what_one_ring_leaves_open_and_the_ring_stays_where_it_is() -> None:
    some, sigma = points(rings=1, arc=0.6), 0.1 * PIXEL
    measured = some.measured(sigma, np.random.default_rng(9).normal(0, sigma, some.slow.size))
    near, far = (task(guess=replace(TRUE, distance=d)) for d in (0.111, 0.099))
    one, other = refined(measured, near), refined(measured, far)
    assert one.geometry.distance - other.geometry.distance > 0.5e-3
    for found in (one, other):
        assert np.sqrt(np.mean(found.residual**2)) < 1.2 * sigma
        assert center_off(found.geometry, TRUE) < 30  # tilt and center go together
        assert found.covariance[0, 0] > (1e-3) ** 2


def test_rings_tell_the_wavelength_where_it_is_free() -> None:
    some, stated = points(rings=16), TRUE.wavelength * 1.002
    wrong = 2 * np.arcsin(np.sin(some.angle / 2) * 1.002)
    there = directions(TRUE, some.slow, some.fast).two_theta
    seen = replace(TRUE, wavelength=stated)
    shift = there - wrong
    measured = Measured(some.slow, some.fast, shift, np.full(shift.size, 1e-6), some.ring)
    found = refine(seen, measured, task(wavelength=stated), (*REFINED, "wavelength"))
    assert found.geometry.wavelength / TRUE.wavelength == pytest.approx(1.0, abs=3e-5)
    assert found.geometry.distance == pytest.approx(TRUE.distance, rel=1e-4)
