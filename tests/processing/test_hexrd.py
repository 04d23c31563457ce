"""Instrument files of HEXRD, against real data and its conventions written out."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ringline.processing import (
    Corrections,
    Geometry,
    Radial,
    Recipe,
    RecipeError,
    pixel_arrays,
    read_hexrd,
    read_poni,
    recipe_from_json,
    reduction_for,
    write_poni,
)

Floats = NDArray[np.float64]
Tree = dict[str, object]
CEO2 = "ceo2-pilatus2m/Pilatus2M_CeO2_Yb_edge.hexrd"
IMAGE = "ceo2-pilatus2m/ceria_50x30_740mm_000005_Pilatus2M.hdf5"
PEAKS = (3.708, 4.282, 6.056, 7.103, 7.419, 8.569, 9.340, 9.583, 10.500, 11.139)
SHAPE, PIXEL = (4, 6), (0.2, 0.3)
"""(rows, columns), and their sizes in mm."""


def panel(
    tilt: tuple[float, float, float] = (0.0, 0.0, 0.0),
    translation: tuple[float, float, float] = (0.0, 0.0, -100.0),
    **more: object,
) -> Tree:
    return {
        "pixels": {"rows": SHAPE[0], "columns": SHAPE[1], "size": list(PIXEL)},
        "transform": {"tilt": list(tilt), "translation": list(translation)},
        **more,
    }


def instrument(azimuth: float = 90.0, polar: float = 90.0, **detectors: Tree) -> Tree:
    vector = {"azimuth": azimuth, "polar_angle": polar}
    return {"beam": {"energy": 61.3323, "vector": vector}, "detectors": detectors, "id": "it"}


def written(tree: Tree, folder: Path) -> Path:
    path = folder / "it.yml"
    path.write_text(yaml.safe_dump(tree))
    return path


def peak_near(two_theta: float, axis: Floats, intensity: Floats) -> float:
    """The centroid of what stands above the background and a third of the peak."""
    near = np.abs(axis - two_theta) < 0.04
    x, y = axis[near], intensity[near]
    foot = np.abs(x - two_theta) > 0.03
    above = y - np.polyval(np.polyfit(x[foot], y[foot], 1), x)
    above = np.clip(above - above.max() / 3, 0, None)
    return float((x * above).sum() / above.sum())


def test_ten_rings_of_ceria_are_where_its_cell_has_them(
    shared_data: Callable[[str], Path],
) -> None:
    (found,) = read_hexrd(shared_data(CEO2)).values()
    assert found.geometry.energy_kev == pytest.approx(61.3323, rel=1e-15)
    assert found.saturation == 1e6
    recipe = Recipe(
        geometry=found.geometry,
        binning=Radial(6000, unit="2th_deg"),
        splitting="bbox",
        corrections=Corrections(saturation=found.saturation),
    )
    with h5py.File(shared_data(IMAGE), "r") as file:
        profile = reduction_for(recipe).reduce(file["imageseries/images"][0])
    for expected in PEAKS:
        measured = peak_near(expected, profile.axis, profile.intensity)
        assert measured == pytest.approx(expected, abs=0.003)


def test_the_real_panel_is_a_grid_that_a_poni_file_holds(
    shared_data: Callable[[str], Path], tmp_path: Path
) -> None:
    (geometry,) = (found.geometry for found in read_hexrd(shared_data(CEO2)).values())
    detector = geometry.detector
    assert (detector.shape, detector.orientation, detector.corners) == ((1679, 1475), 2, None)
    assert (detector.pixel1, detector.pixel2) == (172e-6, 172e-6)
    with h5py.File(shared_data(CEO2), "r") as file:
        buffer = file["instrument/detectors/Pilatus2M/buffer"][()]
    np.testing.assert_array_equal(detector.built_in_mask(), ~buffer)
    unmasked = replace(geometry, detector=replace(detector, mask=None))
    write_poni(unmasked, tmp_path / "it.poni")
    back = read_poni(tmp_path / "it.poni")
    assert replace(back, detector=unmasked.detector) == unmasked
    recipe = Recipe(geometry=geometry, binning=Radial(10))
    assert recipe_from_json(recipe.with_stored_arrays(tmp_path).to_json()) == recipe


COORDINATES = st.floats(-50.0, 50.0)
TURN = st.floats(-2.0, 2.0)


def expected_angles(
    direction: tuple[float, float], turned: Callable[[Floats], Floats], place: tuple[float, ...]
) -> tuple[Floats, Floats]:
    """2theta and eta of each pixel, from the words of HEXRD's documentation.

    ``direction`` is (azimuth, polar angle) in degrees of where the beam comes from.
    """
    azimuth, polar = np.deg2rad(direction)
    beam = -np.array(
        [np.sin(polar) * np.cos(azimuth), np.cos(polar), np.sin(polar) * np.sin(azimuth)]
    )
    x_axis = np.array([1.0, 0.0, 0.0]) - beam[0] * beam
    x_axis /= np.sqrt(x_axis @ x_axis)
    y_axis = np.cross(-beam, x_axis)
    two_theta, eta = np.empty(SHAPE), np.empty(SHAPE)
    for i in range(SHAPE[0]):
        for j in range(SHAPE[1]):
            flat = np.array(
                [
                    (j - (SHAPE[1] - 1) / 2) * PIXEL[1],  # columns to the right
                    ((SHAPE[0] - 1) / 2 - i) * PIXEL[0],  # rows downwards
                    0.0,
                ]
            )
            ray = turned(flat) + np.array(place)
            two_theta[i, j] = np.arccos(ray @ beam / np.sqrt(ray @ ray))
            eta[i, j] = np.arctan2(ray @ y_axis, ray @ x_axis)
    return two_theta, eta


def about(axis: int, angle: float) -> Callable[[Floats], Floats]:
    """A right-handed turn about one axis, from the figure of two others."""
    first, second = ((1, 2), (2, 0), (0, 1))[axis]

    def turned(point: Floats) -> Floats:
        found = point.copy()
        found[first] = np.cos(angle) * point[first] - np.sin(angle) * point[second]
        found[second] = np.sin(angle) * point[first] + np.cos(angle) * point[second]
        return found

    return turned


@given(
    axis=st.integers(0, 2),
    angle=TURN,
    place=st.tuples(COORDINATES, COORDINATES, st.floats(-200.0, -20.0)),
    azimuth=st.floats(30.0, 150.0),
    polar=st.floats(30.0, 150.0),
)
def test_angles_are_those_of_hexrd_for_any_tilt_place_and_beam(
    axis: int,
    angle: float,
    place: tuple[float, float, float],
    azimuth: float,
    polar: float,
    tmp_path: Path,
) -> None:
    tilt = [0.0, 0.0, 0.0]
    tilt[axis] = angle
    one, two, three = tilt
    path = written(instrument(azimuth, polar, only=panel((one, two, three), place)), tmp_path)
    geometry = read_hexrd(path)["only"].geometry
    expected, eta = expected_angles((azimuth, polar), about(axis, angle), place)
    found = pixel_arrays(geometry)
    np.testing.assert_allclose(found.two_theta, expected, rtol=0, atol=1e-7)  # of arccos
    across = np.sin(expected)
    np.testing.assert_allclose(
        across * np.exp(1j * found.chi), across * np.exp(1j * eta), rtol=0, atol=1e-7
    )


def test_the_middle_of_an_untilted_panel_is_at_its_translation(tmp_path: Path) -> None:
    path = written(instrument(only=panel(translation=(10.0, -20.0, -100.0))), tmp_path)
    geometry = read_hexrd(path)["only"].geometry
    assert geometry.distance == pytest.approx(0.1)
    # Seen along the beam the direct beam is 10 mm to the left of the middle, 20 mm above it.
    assert geometry.poni1 == pytest.approx(2 * 0.2e-3 + 20e-3)
    assert geometry.poni2 == pytest.approx(3 * 0.3e-3 - 10e-3)
    assert (geometry.rot1, geometry.rot2, geometry.rot3) == pytest.approx((0, 0, 0), abs=1e-15)
    assert geometry.detector.orientation == 2


def test_panels_that_are_parts_of_one_image_make_one_geometry(tmp_path: Path) -> None:
    def part(name: str, first: tuple[int, int], x: float) -> Tree:
        found = panel(
            translation=(x, 0.0, -100.0), group="whole", saturation_level=float(len(name))
        )
        pixels = found["pixels"]
        assert isinstance(pixels, dict)
        pixels["roi"] = list(first)
        return found

    tree = instrument(a=part("a", (0, 0), 2.0), bb=part("bb", (0, 7), -2.0), alone=panel())
    found = read_hexrd(written(tree, tmp_path))
    assert list(found) == ["whole", "alone"]
    whole, detector = found["whole"].geometry, found["whole"].geometry.detector
    assert (detector.shape, found["whole"].saturation) == ((4, 13), 1.0)
    mask = detector.built_in_mask()
    assert mask is not None
    np.testing.assert_array_equal(np.flatnonzero(mask.any(axis=0)), [6])
    single = instrument(a=panel(translation=(2.0, 0.0, -100.0)))
    expected = pixel_arrays(read_hexrd(written(single, tmp_path))["a"].geometry)
    np.testing.assert_allclose(pixel_arrays(whole).two_theta[:, :6], expected.two_theta, rtol=1e-12)


@pytest.mark.parametrize(
    ("buffer", "rows", "columns"),
    [
        (None, [], []),
        ([0.4, 0.25], [0, 3], [0, 5]),  # x, y: of pixels of 0.3 x 0.2 mm
        ([0.1, 0.05], [], []),
        (0.31, [0, 1, 2, 3], [0, 5]),
    ],
)
def test_a_buffer_in_mm_masks_pixels_by_their_centers(
    buffer: object, rows: list[int], columns: list[int], tmp_path: Path
) -> None:
    path = written(instrument(only=panel(buffer=buffer)), tmp_path)
    mask = read_hexrd(path)["only"].geometry.detector.built_in_mask()
    expected = np.zeros(SHAPE, dtype=bool)
    expected[rows] = True
    expected[:, columns] = True
    if not expected.any():
        assert mask is None
    else:
        np.testing.assert_array_equal(mask, expected)


def test_a_buffer_in_a_file_says_where_pixels_count(tmp_path: Path) -> None:
    counts = np.arange(24).reshape(SHAPE) % 5 != 0
    np.save(tmp_path / "mask.npy", counts)
    path = written(instrument(only=panel(buffer="mask.npy")), tmp_path)
    found = read_hexrd(path)["only"].geometry.detector.built_in_mask()
    np.testing.assert_array_equal(found, ~counts)


def fill(group: h5py.Group, tree: Tree) -> None:
    for name, value in tree.items():
        if isinstance(value, dict):
            fill(group.create_group(name), value)
        elif isinstance(value, (int, float)):
            group[name] = np.array([value])
        else:
            group[name] = value


def test_an_hdf5_file_says_the_same_as_a_yaml_file(tmp_path: Path) -> None:
    tree = instrument(
        one=panel((0.1, 0.2, 0.3), (1.0, 2.0, -300.0), saturation_level=5e4, buffer=[0.25, 0.35]),
        other=panel((0.0, 0.0, 0.1), (-50.0, 2.0, -300.0)),
    )
    with h5py.File(tmp_path / "it.hexrd", "w") as file:
        fill(file.create_group("instrument"), tree)
    assert read_hexrd(tmp_path / "it.hexrd") == read_hexrd(written(tree, tmp_path))


def test_values_with_a_status_are_read(tmp_path: Path) -> None:
    tree = instrument(only=panel((0.1, 0.2, 0.3)))
    plain = read_hexrd(written(tree, tmp_path))
    tree["beam"] = {
        "energy": {"value": 61.3323, "status": 0},
        "vector": {
            "azimuth": {"value": 90.0, "status": 0}, "polar_angle": {"value": 90.0, "status": 1}
        },
    }  # fmt: skip
    assert read_hexrd(written(tree, tmp_path)) == plain


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"beam": {}}, "entry 'energy' is missing"),
        ({**instrument(), "beam": 3}, "beam must have entries, got 3"),
        (
            {**instrument(), "beam": {"X1": {"energy": 1}, "X2": {"energy": 2}}},
            "beams X1, X2: one beam is expected",
        ),
        (instrument(azimuth=0.0), "the beam is along X"),
        (instrument(a=panel(detector_type="cylindrical")), "detector_type 'cylindrical'"),
        (
            instrument(a=panel(distortion={"function_name": "GE_41RT"})),
            "panel 'a': a panel with a d",
        ),
        (instrument(a=panel(buffer=[[1, 2], [3, 4]])), "buffer of (2, 2) pixels, the panel has"),
        (instrument(a=panel(buffer="no.npy")), "panel 'a': buffer no.npy cannot be read"),
        (instrument(a=panel(buffer="broad")), "panel 'a': buffer broad cannot be read"),
        (instrument(a={"pixels": {}, "transform": {}}), "panel 'a': entry 'rows' is missing"),
        (instrument(a=panel((0.0, 0.0, float("nan")))), "tilt must be finite, got nan"),
        (instrument(a=panel(saturation_level=-1.0)), "saturation_level must be > 0, got -1.0"),
    ],
)
def test_a_file_that_describes_no_instrument_is_refused_by_its_name(
    tree: Tree, message: str, tmp_path: Path
) -> None:
    path = written(tree, tmp_path)
    with pytest.raises(RecipeError) as refused:
        read_hexrd(path)
    assert message in str(refused.value)
    assert str(path) in str(refused.value)


def test_what_is_no_instrument_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="nowhere.yml: No such file"):
        read_hexrd(tmp_path / "nowhere.yml")
    for name, content in (("a.yml", b"\xff\xfe\x00"), ("b.yml", b"a: [1, 2"), ("c.yml", b"3")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(RecipeError, match=rf"{name}: not an instrument file"):
            read_hexrd(tmp_path / name)


def test_geometries_of_an_instrument_are_values(tmp_path: Path) -> None:
    path = written(instrument(only=panel((0.1, 0.2, 0.3))), tmp_path)
    geometry = read_hexrd(path)["only"].geometry
    assert isinstance(geometry, Geometry)
    assert hash(geometry) == hash(read_hexrd(path)["only"].geometry)
