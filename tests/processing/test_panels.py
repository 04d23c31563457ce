"""Panels anywhere in space, as grids and as corners, against positions written out."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ringline.processing import Detector, Geometry, RecipeError, pixel_arrays
from ringline.processing.panel_geometry import geometry_of_panels
from ringline.processing.panels import Panel, Vector
from ringline.processing.rotations import rotation_about, rotation_angles

Floats = NDArray[np.float64]
TURNS = st.tuples(*3 * [st.floats(-3.0, 3.0)])
PLACES = st.tuples(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3), st.floats(0.05, 2.0))
SIZE = (5, 7)
NOT_IN_THE_PLANE = 1e-4
"""m from the sample to a panel's plane: nearer, rounding of directions shows."""


def vector(values: Floats) -> Vector:
    one, two, three = values.tolist()
    return one, two, three


def panel_from(turn: tuple[float, ...], place: Vector, sign: float = 1.0) -> Panel:
    slow, fast, _ = rotation_about(np.array(turn)).T
    return Panel(size=SIZE, origin=place, slow=vector(sign * 1e-4 * slow), fast=vector(2e-4 * fast))


def corners_of(geometry: Geometry) -> Floats:
    """Corners in the frame of the sample, whatever the detector is: (slow, fast, 4, axes)."""
    corners = geometry.detector.pixel_corners()
    along = geometry.sample_frame(corners[..., 1], corners[..., 2], corners[..., 0])
    return np.stack(along, axis=-1)


def expected_corners(panel: Panel) -> Floats:
    found = np.empty((*SIZE, 4, 3))
    for i in range(SIZE[0]):
        for j in range(SIZE[1]):
            for number, (di, dj) in enumerate(((0, 0), (1, 0), (1, 1), (0, 1))):
                for axis in range(3):
                    found[i, j, number, axis] = (
                        panel.origin[axis]
                        + (i + di) * panel.slow[axis]
                        + (j + dj) * panel.fast[axis]
                    )
    return found


@given(turn=TURNS, place=PLACES, sign=st.sampled_from([-1.0, 1.0]))
def test_a_grid_stands_where_its_panel_does(
    turn: tuple[float, ...], place: Vector, sign: float
) -> None:
    panel = panel_from(turn, place, sign)
    assume(panel.distance > NOT_IN_THE_PLANE)
    geometry = geometry_of_panels([panel], wavelength=1e-10, name="it")
    assert geometry.detector.corners is None
    assert (geometry.detector.pixel1, geometry.detector.pixel2) == (1e-4, 2e-4)
    np.testing.assert_allclose(corners_of(geometry), expected_corners(panel), rtol=0, atol=1e-14)


@given(turn=TURNS, place=PLACES)
def test_corners_make_of_a_panel_what_a_grid_makes(turn: tuple[float, ...], place: Vector) -> None:
    whole = panel_from(turn, place)
    assume(whole.distance > NOT_IN_THE_PLANE)
    upper = Panel(size=(2, 7), origin=whole.origin, slow=whole.slow, fast=whole.fast)
    below = vector(np.array(whole.origin) + 2 * np.array(whole.slow))
    lower = Panel(first=(2, 0), size=(3, 7), origin=below, slow=whole.slow, fast=whole.fast)
    grid = geometry_of_panels([whole], wavelength=1e-10, name="it")
    corners = geometry_of_panels([upper, lower], wavelength=1e-10, name="it")
    assert corners.detector.corners is not None
    assert corners.distance == pytest.approx(grid.distance, rel=1e-12)
    ours, theirs = pixel_arrays(corners), pixel_arrays(grid)
    for name, tolerance in (("two_theta", 1e-9), ("solid_angle", 1e-9), ("q", 1e-9)):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=tolerance)
    turned = np.exp(1j * ours.chi) - np.exp(1j * theirs.chi)
    np.testing.assert_allclose(turned, 0.0, atol=1e-9)


@pytest.mark.parametrize(
    ("slow", "fast", "orientation"),
    [
        ((1e-4, 0.0, 0.0), (0.0, 1e-4, 0.0), 3),
        ((-1e-4, 0.0, 0.0), (0.0, 1e-4, 0.0), 2),
        ((1e-4, 0.0, 0.0), (0.0, -1e-4, 0.0), 4),
        ((-1e-4, 0.0, 0.0), (0.0, -1e-4, 0.0), 1),
    ],
)
def test_a_panel_along_the_axes_is_flipped_and_not_turned(
    slow: Vector, fast: Vector, orientation: int
) -> None:
    panel = Panel(size=SIZE, origin=(0.001, 0.002, 0.1), slow=slow, fast=fast)
    geometry = geometry_of_panels([panel], wavelength=1e-10, name="it")
    assert geometry.detector.orientation == orientation
    assert (geometry.rot1, geometry.rot2, geometry.rot3) == (0, 0, 0)
    assert geometry.distance == pytest.approx(0.1)


def test_a_skew_panel_keeps_its_corners() -> None:
    panel = Panel(size=SIZE, origin=(0.0, 0.0, 0.1), slow=(1e-4, 1e-6, 0.0), fast=(0.0, 1e-4, 0.0))
    geometry = geometry_of_panels([panel], wavelength=1e-10, name="it")
    assert geometry.detector.corners is not None
    np.testing.assert_allclose(corners_of(geometry), expected_corners(panel), rtol=0, atol=1e-16)


def test_pixels_of_no_panel_are_masked_and_shared_ones_refused() -> None:
    def panel(first: tuple[int, int]) -> Panel:
        return Panel(
            first=first, size=(2, 3), origin=(0.0, 0.0, 0.1), slow=(1e-4, 0.0, 0.0),
            fast=(0.0, 1e-4, 0.0),
        )  # fmt: skip

    detector = geometry_of_panels(
        [panel((0, 0)), panel((3, 4))], wavelength=1e-10, name="it"
    ).detector
    assert detector.shape == (5, 7)
    mask = detector.built_in_mask()
    assert mask is not None
    expected = np.ones((5, 7), dtype=bool)
    expected[:2, :3] = expected[3:, 4:] = False
    np.testing.assert_array_equal(mask, expected)
    with pytest.raises(RecipeError, match="share pixels .* rows 1 to 2 and columns 2 to 4"):
        geometry_of_panels([panel((0, 0)), panel((1, 2))], wavelength=1e-10, name="it")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"slow": (0.0, 1e-4, 0.0)}, "must span an area"),
        ({"slow": (0.0, 0.0, 0.0)}, "must span an area"),
        ({"origin": (0.0, 0.0, 0.0)}, "distance must be > 0 m"),
    ],
)
def test_a_panel_that_cannot_be_is_refused(change: dict[str, Vector], message: str) -> None:
    vectors = {
        "origin": (0.0, 0.0, 0.1), "slow": (1e-4, 0.0, 0.0), "fast": (0.0, 1e-4, 0.0), **change
    }  # fmt: skip
    with pytest.raises(RecipeError, match=message):
        geometry_of_panels([Panel(size=SIZE, **vectors)], wavelength=1e-10, name="it")


ANGLES = st.floats(-3.14, 3.14)
RIGHT = st.sampled_from([-np.pi / 2, np.pi / 2, 0.0])


@given(rot1=ANGLES, rot2=st.one_of(st.floats(-1.57, 1.57), RIGHT), rot3=ANGLES)
def test_the_angles_of_a_rotation_make_it_again(rot1: float, rot2: float, rot3: float) -> None:
    detector = Detector(pixel1=1e-4, pixel2=1e-4)

    def rotation(rot1: float, rot2: float, rot3: float) -> Floats:
        return Geometry(
            distance=1.0, wavelength=1e-10, detector=detector, rot1=rot1, rot2=rot2, rot3=rot3
        ).rotation

    matrix = rotation(rot1, rot2, rot3)
    np.testing.assert_allclose(rotation(*rotation_angles(matrix)), matrix, rtol=0, atol=4e-16 * 4)


@given(vector=st.tuples(*3 * [st.floats(-4.0, 4.0)]))
def test_a_rotation_about_a_vector_is_the_exponential_of_its_cross_product(
    vector: tuple[float, ...],
) -> None:
    cross = np.cross(np.eye(3), vector).T @ np.eye(3)  # column k: e_k x v
    series, term = np.zeros((3, 3)), np.eye(3)
    for order in range(1, 80):
        series, term = series + term, term @ -cross / order
    np.testing.assert_allclose(rotation_about(np.array(vector)), series, rtol=0, atol=1e-12)


def test_a_quarter_turn_about_the_third_axis_takes_the_first_to_the_second() -> None:
    found = rotation_about(np.array([0.0, 0.0, np.pi / 2])) @ [1.0, 0.0, 0.0]
    np.testing.assert_allclose(found, [0.0, 1.0, 0.0], atol=1e-15)
