"""Where lines are, where places on an image are in space, and what the kernels make of both."""

from dataclasses import replace
from typing import Any

import numpy as np
import pyFAI.detectors
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringline.processing import Detector, Geometry, ModuleGrid, calibrant_named, fit2d_of
from ringline.processing.calibration.lines import lines_of
from ringline.processing.calibration.places import places_on
from ringline.processing.calibration.search import geometry_of, numbers_of
from ringline.processing.calibration.search_kernels import two_theta_of_points
from ringline.processing.geometry import two_theta_of

from ..benchmarks.powder_scene import beam_center  # noqa: TID252
from .calibration_scenes import TRUE, Floats, seen_from_sample  # noqa: TID252

SMALL = Detector(pixel1=1e-4, pixel2=1.5e-4, shape=(40, 30))


@pytest.mark.parametrize("name", ["LaB6", "CeO2", "Al2O3", "AgBh"])
def test_lines_obey_braggs_law_and_ascend(name: str) -> None:
    wavelength = 0.8e-10
    lines = lines_of(calibrant_named(name), wavelength)
    spacing = np.array([ring.spacing for ring in lines.rings])
    np.testing.assert_allclose(2 * spacing * np.sin(lines.two_theta / 2), wavelength, rtol=1e-13)
    assert np.all(np.diff(lines.two_theta) > 0)
    assert lines.two_theta.size > 10


def test_the_first_lines_of_lab6_are_the_certificates() -> None:
    """NIST SRM 660c: a = 4.156826 angstrom; angles at Cu K alpha 1, 1.5405929 angstrom."""
    lines = lines_of(calibrant_named("LaB6"), 1.5405929e-10)
    expected = [21.358, 30.385, 37.442, 43.507, 48.958]
    np.testing.assert_allclose(np.degrees(lines.two_theta[:5]), expected, atol=2e-3)


def test_heights_follow_the_lorentz_factor_of_a_powder() -> None:
    lines = lines_of(calibrant_named("CeO2"), 0.7e-10)
    strength = np.array([ring.strength for ring in lines.rings], dtype=float)
    # sin(2 theta) sin(theta) is 2 sin^2(theta) cos(theta).
    expected = strength / (np.sin(lines.two_theta) * np.sin(lines.two_theta / 2))
    np.testing.assert_allclose(lines.strength, expected / expected.max(), rtol=1e-12)
    assert lines.strength.max() == 1.0


def test_orders_of_layers_are_all_as_strong_for_there_is_nothing_that_tells() -> None:
    assert set(lines_of(calibrant_named("AgBh"), 1e-10).strength) == {1.0}


@given(largest=st.floats(0.1, 2.9))
def test_lines_end_at_the_largest_angle_and_none_is_left_out(largest: float) -> None:
    powder, wavelength = calibrant_named("LaB6"), 1.2e-10
    all_of_them, some = lines_of(powder, wavelength), lines_of(powder, wavelength, largest)
    expected = all_of_them.two_theta[all_of_them.two_theta <= largest]
    np.testing.assert_allclose(some.two_theta, expected, rtol=1e-12)


def test_selected_lines_keep_what_belongs_together_and_gaps_look_both_ways() -> None:
    lines = lines_of(calibrant_named("LaB6"), 0.5e-10)
    some = lines.select(np.arange(lines.two_theta.size) % 3 == 1)
    assert [lines.rings.index(ring) for ring in some.rings[:3]] == [1, 4, 7]
    np.testing.assert_array_equal(some.two_theta, lines.two_theta[1::3])
    gaps = some.gaps()
    assert gaps[0] == min(some.two_theta[0], some.two_theta[1] - some.two_theta[0])
    for k in range(1, 6):
        others = np.delete(some.two_theta, k)
        assert gaps[k] == pytest.approx(np.abs(others - some.two_theta[k]).min(), rel=1e-12)


@pytest.mark.parametrize("orientation", [1, 2, 3, 4])
def test_places_on_a_grid_are_pyfais(orientation: int) -> None:
    random = np.random.default_rng(orientation)
    slow, fast = random.uniform(0, 40, 50), random.uniform(0, 30, 50)
    theirs = pyFAI.detectors.Detector(1e-4, 1.5e-4, max_shape=(40, 30), orientation=orientation)
    p1, p2, _ = theirs.calc_cartesian_positions(slow, fast, center=False)
    found = places_on(replace(SMALL, orientation=orientation), slow, fast)
    np.testing.assert_allclose(found, np.stack([p1, p2, np.zeros(50)], axis=1), atol=1e-12)


@pytest.mark.parametrize("orientation", [1, 2, 3, 4])
def test_the_middle_of_a_pixel_is_its_center(orientation: int) -> None:
    detector = replace(SMALL, orientation=orientation)
    i, j = (index.ravel() for index in np.indices(SMALL.known_shape))
    p1, p2, _ = np.broadcast_arrays(*detector.pixel_centers())
    found = places_on(detector, i + 0.5, j + 0.5)
    np.testing.assert_allclose(found[:, 0], p1.ravel(), rtol=1e-12)
    np.testing.assert_allclose(found[:, 1], p2.ravel(), rtol=1e-12)


def test_places_on_corners_are_those_on_the_grid_that_they_are_of() -> None:
    cornered = Detector(pixel1=1e-4, pixel2=1.5e-4, corners=SMALL.pixel_corners())
    random = np.random.default_rng(5)
    slow, fast = random.uniform(0, 40, 200), random.uniform(0, 30, 200)
    np.testing.assert_allclose(
        places_on(cornered, slow, fast), places_on(SMALL, slow, fast), atol=1e-15
    )


def test_places_on_a_tilted_module_lie_in_its_plane_up_to_its_edge() -> None:
    """Two modules, the second shifted by 1.3 pixels and tilted: nothing reaches over the joint."""
    corners = SMALL.pixel_corners()
    turn, origin = np.deg2rad(4.0), np.array([0.0, 20e-4, 0.0])
    tilt = np.array([[np.cos(turn), np.sin(turn), 0], [-np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    moved = np.array([2e-4, 1.3e-4, 0.4e-4])  # axes 3, 1, 2
    corners[20:] = (corners[20:] - origin) @ tilt.T + origin + moved
    detector = Detector(pixel1=1e-4, pixel2=1.5e-4, corners=corners)
    random = np.random.default_rng(6)
    slow, fast = random.uniform(0, 40, 400), random.uniform(0, 30, 400)
    slow[:4] = [19.98, 20.02, 19.5, 20.5]  # at the joint
    flat = np.stack([np.zeros(400), slow * 1e-4, fast * 1.5e-4], axis=1)
    expected = np.where((slow < 20)[:, None], flat, (flat - origin) @ tilt.T + origin + moved)
    found = places_on(detector, slow, fast)
    np.testing.assert_allclose(found[:, [2, 0, 1]], expected, atol=1e-12)


def test_gaps_of_a_grid_are_pixels_like_others() -> None:
    with_gap = replace(SMALL, modules=ModuleGrid(size=(18, 30), gap=(4, 0)))
    place = np.array([19.7]), np.array([11.2])
    np.testing.assert_array_equal(places_on(with_gap, *place), places_on(SMALL, *place))


TILT, LENGTH = st.floats(-0.7, 0.7), st.floats(-0.3, 0.3)


@st.composite
def geometries(draw: Any) -> Geometry:
    return Geometry(
        distance=draw(st.floats(0.02, 3.0)),
        poni1=draw(LENGTH),
        poni2=draw(LENGTH),
        rot1=draw(TILT),
        rot2=draw(TILT),
        wavelength=1e-10,
        detector=SMALL,
    )


@given(geometry=geometries())
def test_the_numbers_of_a_search_come_back_as_the_same_geometry(geometry: Geometry) -> None:
    found = geometry_of(numbers_of(geometry), SMALL, geometry.wavelength)
    for name in ("distance", "poni1", "poni2", "rot1", "rot2"):
        expected = getattr(geometry, name)
        assert getattr(found, name) == pytest.approx(expected, rel=1e-9, abs=1e-9), name


@given(geometry=geometries())
def test_the_numbers_are_the_beams_place_distance_and_direction(geometry: Geometry) -> None:
    c1, c2, log_away, b1, b2 = numbers_of(geometry)
    center = beam_center(geometry)
    np.testing.assert_allclose((c1 / 1e-4, c2 / 1.5e-4), center, rtol=1e-9, atol=1e-6)
    assert np.exp(log_away) * 1e3 == pytest.approx(fit2d_of(geometry).distance, rel=1e-9)
    # The beam is what the rotation turns into axis 3: its own inverse undoes that.
    beam = np.linalg.solve(geometry.rotation, [0.0, 0.0, 1.0])
    np.testing.assert_allclose((b1, b2), beam[:2], atol=1e-12)


@given(geometry=geometries(), rot3=st.floats(-3, 3))
def test_a_turn_about_the_beam_changes_no_number(geometry: Geometry, rot3: float) -> None:
    turned = numbers_of(replace(geometry, rot3=rot3))
    np.testing.assert_allclose(turned, numbers_of(geometry), atol=1e-12)


@given(geometry=geometries(), seed=st.integers(0, 1000))
def test_the_kernels_see_each_point_under_the_geometrys_angle(
    geometry: Geometry, seed: int
) -> None:
    points = np.random.default_rng(seed).uniform(-0.2, 0.2, (50, 3)) * [1, 1, 0.05]
    found = np.empty(50)
    two_theta_of_points(numbers_of(geometry), points, found)
    p1, p2, p3 = points.T
    np.testing.assert_allclose(found, two_theta_of(*geometry.sample_frame(p1, p2, p3)), atol=1e-9)
    apart: Floats = seen_from_sample(geometry, p1, p2, p3).two_theta
    np.testing.assert_allclose(found, apart, atol=1e-9)


def test_the_scenes_own_directions_are_those_of_the_geometry() -> None:
    p1, p2 = np.array([0.01, 0.05, 0.1]), np.array([0.0, 0.07, 0.02])
    p3 = np.array([0.0, 1e-3, -2e-3])
    expected = two_theta_of(*TRUE.sample_frame(p1, p2, p3))
    np.testing.assert_allclose(seen_from_sample(TRUE, p1, p2, p3).two_theta, expected, rtol=1e-12)
