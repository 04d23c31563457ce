"""Pixels of any shape, in space: hexagons and cylinders against pyFAI and closed formulas."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pyFAI
import pytest
from numpy.typing import NDArray
from pyFAI.detectors import Aarhus
from pyFAI.ext import _geometry
from pyFAI.integrator.azimuthal import AzimuthalIntegrator

from ringline.processing import (
    Detector,
    Geometry,
    PixelArrays,
    Radial,
    Recipe,
    RecipeError,
    is_standard,
    pixel_arrays,
    read_recipe,
    recipe_from_json,
    write_poni,
    write_recipe,
)

from .pixel_coordinates import half_width  # noqa: TID252

Floats = NDArray[np.float64]


class SmallAarhus(Aarhus):  # type: ignore[misc]
    """pyFAI's cylinder of 0.3 m radius, with few pixels of 1 mm x 2 mm over 115 degrees."""

    MAX_SHAPE = (20, 300)

    def __init__(self) -> None:
        super().__init__(pixel1=1e-3, pixel2=2e-3)


def hexagons() -> pyFAI.detectors.Detector:
    return pyFAI.detector_factory("Pixirad1")


def geometry_of(theirs: pyFAI.detectors.Detector) -> Geometry:
    return Geometry(
        distance=0.21,
        poni1=0.011,
        poni2=0.013,
        rot1=0.3,
        rot2=-0.2,
        rot3=0.7,
        wavelength=0.7e-10,
        detector=Detector(
            pixel1=theirs.pixel1, pixel2=theirs.pixel2, corners=theirs.get_pixel_corners()
        ),
    )


def pyfai_coordinates(geometry: Geometry, p: tuple[Floats, Floats, Floats]) -> dict[str, Floats]:
    """What pyFAI's own functions make, in float64, of positions p1, p2, p3 on a detector."""
    where = {
        "L": geometry.distance,
        "rot1": geometry.rot1,
        "rot2": geometry.rot2,
        "rot3": geometry.rot3,
        "pos1": np.ascontiguousarray(p[0] - geometry.poni1),
        "pos2": np.ascontiguousarray(p[1] - geometry.poni2),
        "pos3": np.ascontiguousarray(p[2]),
    }
    found = {
        "two_theta": _geometry.calc_tth(**where),
        "r": _geometry.calc_r(**where),
        "chi": _geometry.calc_chi(**where),
        "q": _geometry.calc_q(**where, wavelength=geometry.wavelength),
    }
    return {name: np.reshape(values, p[0].shape) for name, values in found.items()}


def pyfai_centers(theirs: pyFAI.detectors.Detector) -> tuple[Floats, Floats, Floats]:
    """Centers as sums over corners of pyFAI's array.

    Its calc_cartesian_positions rounds to float32 and, of a hexagon, takes the first four
    corners alone: a quarter of the pitch beside the center.
    """
    corners = theirs.get_pixel_corners().astype(float)
    p3, p1, p2 = (sum(corners[:, :, k, axis] for k in range(corners.shape[2])) for axis in range(3))
    n = corners.shape[2]
    return p1 / n, p2 / n, p3 / n


@pytest.mark.parametrize("theirs", [hexagons(), SmallAarhus()], ids=["hexagons", "cylinder"])
def test_coordinates_of_centers_agree_with_pyfais_float64_functions_to_1e_12(
    theirs: pyFAI.detectors.Detector,
) -> None:
    geometry = geometry_of(theirs)
    arrays = pixel_arrays(geometry)
    for name, expected in pyfai_coordinates(geometry, pyfai_centers(theirs)).items():
        assert getattr(arrays, name).shape == theirs.shape
        np.testing.assert_allclose(getattr(arrays, name), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("theirs", [hexagons(), SmallAarhus()], ids=["hexagons", "cylinder"])
def test_corners_lie_where_pyfai_puts_them_and_bound_each_pixel(
    theirs: pyFAI.detectors.Detector,
) -> None:
    geometry = geometry_of(theirs)
    arrays = pixel_arrays(geometry)
    integrator = AzimuthalIntegrator(
        geometry.distance, geometry.poni1, geometry.poni2, geometry.rot1, geometry.rot2,
        geometry.rot3, detector=theirs, wavelength=geometry.wavelength,
    )  # fmt: skip
    expected = integrator.position_array(corners=True)
    found = arrays.corner_positions()
    assert not arrays.is_lattice
    for axis, values in zip((1, 2, 0), found, strict=True):
        np.testing.assert_allclose(values, expected[..., axis], rtol=1e-12, atol=1e-15)
    corners = theirs.get_pixel_corners().astype(float)
    around = pyfai_coordinates(geometry, (corners[..., 1], corners[..., 2], corners[..., 0]))
    for name, values in around.items():
        away = abs(values - getattr(arrays, name)[..., None])
        away = np.minimum(away, 2 * np.pi - away) if name == "chi" else away
        np.testing.assert_allclose(
            half_width(arrays, name),
            away.max(axis=-1),
            rtol=1e-9,
            atol=1e-14 * abs(values).max(),
        )


def test_pyfais_cylinder_itself_is_met_to_its_float32() -> None:
    geometry = geometry_of(SmallAarhus())
    integrator = AzimuthalIntegrator(
        geometry.distance, geometry.poni1, geometry.poni2, geometry.rot1, geometry.rot2,
        geometry.rot3, detector=SmallAarhus(), wavelength=geometry.wavelength,
    )  # fmt: skip
    arrays = pixel_arrays(geometry)
    for name, unit in (("q", "q_nm^-1"), ("two_theta", "2th_rad"), ("chi", "chi_rad")):
        expected = integrator.center_array(unit=unit, scale=False)
        np.testing.assert_allclose(getattr(arrays, name), expected, rtol=1e-6, atol=1e-7)
    i, j = np.indices(arrays.q.shape, dtype=float)
    # pyFAI's normals follow from float32 differences of corners 1 mm apart: 3e-8 / 1e-3 each.
    np.testing.assert_allclose(arrays.cos_incidence, integrator.cos_incidence(i, j), atol=2e-5)
    np.testing.assert_allclose(
        arrays.polarization(0.9), integrator.polarization(factor=0.9), rtol=1e-5
    )


def test_polygons_that_tile_a_flat_sensor_make_what_its_grid_makes() -> None:
    grid = Detector(pixel1=1e-4, pixel2=2e-4, shape=(150, 13))
    geometry = replace(geometry_of(hexagons()), detector=grid)
    polygons = replace(
        geometry, detector=Detector(pixel1=1e-4, pixel2=2e-4, corners=grid.pixel_corners())
    )
    flat, free = pixel_arrays(geometry), pixel_arrays(polygons)
    for name in ("q", "two_theta", "r", "chi", "solid_angle", "cos_incidence"):
        np.testing.assert_allclose(getattr(free, name), getattr(flat, name), rtol=1e-12)
    for name in ("q", "two_theta", "r", "chi"):
        np.testing.assert_allclose(half_width(free, name), half_width(flat, name), rtol=1e-9)
    np.testing.assert_allclose(free.polarization(0.5), flat.polarization(0.5), rtol=1e-12)


def test_a_solid_angle_is_that_of_the_polygon_seen_from_the_sample() -> None:
    for theirs in (hexagons(), SmallAarhus()):
        geometry = geometry_of(theirs)
        arrays = pixel_arrays(geometry)
        t = np.stack(arrays.corner_positions(), axis=-1)
        middle = np.stack(arrays.center_positions(), axis=-1)
        area = _areas(t)
        exact = sum(
            _triangle(middle, t[:, :, k], t[:, :, (k + 1) % t.shape[2]]) for k in range(t.shape[2])
        )
        # A pixel of width w at distance d is a point to (w / d)^2.
        small = area.max() / np.square(middle).sum(axis=-1).min()
        expected = exact * geometry.distance**2 / area
        np.testing.assert_allclose(arrays.solid_angle, expected, rtol=small)


def test_a_cylinder_round_the_sample_is_met_normally_along_its_equator() -> None:
    radius, height = 0.2, np.linspace(-0.05, 0.05, 42)
    angle = np.linspace(-2.0, 2.0, 401)
    p1, p2, p3 = np.broadcast_arrays(
        height[:, None], radius * np.sin(angle), radius * (np.cos(angle) - 1)
    )
    lattice = np.stack([p3, p1, p2], axis=-1)
    corners = np.stack(
        [lattice[:-1, :-1], lattice[1:, :-1], lattice[1:, 1:], lattice[:-1, 1:]], axis=2
    )
    detector = Detector(pixel1=2.5e-3, pixel2=2e-3, corners=corners)
    arrays = pixel_arrays(Geometry(distance=radius, wavelength=1e-10, detector=detector))
    y = 0.5 * (height[1:] + height[:-1])
    cosine = radius / np.sqrt(radius**2 + y**2)
    # Each pixel is a chord: its middle is radius x cos(half its angle) from the axis.
    np.testing.assert_allclose(
        arrays.cos_incidence, np.broadcast_to(cosine[:, None], (41, 400)), rtol=2e-5
    )
    np.testing.assert_allclose(
        arrays.solid_angle, np.broadcast_to(cosine[:, None] ** 3, (41, 400)), rtol=6e-5
    )
    assert arrays.two_theta.max() == pytest.approx(2.0, abs=0.01)


@pytest.mark.parametrize("kind", ["grid", "polygons"])
def test_positions_of_some_rows_are_those_rows_of_all(kind: str) -> None:
    grid = Detector(pixel1=1e-4, pixel2=2e-4, shape=(9, 7), orientation=3)
    detector = grid if kind == "grid" else replace(grid, corners=grid.pixel_corners())
    arrays = PixelArrays(replace(geometry_of(hexagons()), detector=detector))
    assert arrays.is_lattice == (kind == "grid")
    rows, lines = slice(3, 6), slice(3, 7) if kind == "grid" else slice(3, 6)
    for some, whole in zip(arrays.center_positions(rows), arrays.center_positions(), strict=True):
        assert whole.shape == (9, 7)
        np.testing.assert_array_equal(some, whole[rows])
    for some, whole in zip(arrays.corner_positions(rows), arrays.corner_positions(), strict=True):
        assert whole.shape == ((10, 8) if kind == "grid" else (9, 7, 4))
        np.testing.assert_array_equal(some, whole[lines])


def test_a_pixel_with_a_corner_that_is_nowhere_is_masked() -> None:
    corners = Detector(pixel1=1e-4, pixel2=1e-4, shape=(3, 4)).pixel_corners()
    corners[1, 2, 3, 0] = np.nan
    mask = Detector(pixel1=1e-4, pixel2=1e-4, corners=corners).built_in_mask()
    assert mask is not None
    assert np.argwhere(mask).tolist() == [[1, 2]]


def test_a_pixel_without_area_sees_nothing() -> None:
    corners = Detector(pixel1=1e-4, pixel2=1e-4, shape=(3, 4)).pixel_corners()
    corners[1, 2] = corners[1, 2, 0]
    detector = Detector(pixel1=1e-4, pixel2=1e-4, corners=corners)
    arrays = pixel_arrays(Geometry(distance=0.1, wavelength=1e-10, detector=detector))
    assert np.argwhere(arrays.solid_angle == 0).tolist() == [[1, 2]]


def recipe_with(corners: object) -> Recipe:
    detector = Detector(pixel1=1e-4, pixel2=1e-4, corners=corners)  # type: ignore[arg-type]
    geometry = Geometry(distance=0.1, wavelength=1e-10, detector=detector)
    return Recipe(geometry=geometry, binning=Radial(bins=10))


def test_corners_are_known_by_content_wherever_they_are(tmp_path: Path) -> None:
    corners = hexagons().get_pixel_corners()[:8, :9]
    np.save(tmp_path / "c.npy", corners)
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["entry/pixel_corners"] = corners.astype(">f4")
    recipes = [
        recipe_with(source)
        for source in (corners, tmp_path / "c.npy", f"{tmp_path}/c.h5::/entry/pixel_corners")
    ]
    assert len({recipe.digest for recipe in recipes}) == len(set(recipes)) == 1
    assert recipes[0].digest != recipe_with(corners + np.float32(1e-6)).digest
    assert recipes[0].shape == (8, 9)
    for recipe in recipes[1:]:
        assert recipe_from_json(recipe.to_json()) == recipe
        assert recipe.arrays()["corners"].path is not None


def test_corners_without_a_path_are_stored_beside_the_recipe(tmp_path: Path) -> None:
    recipe = recipe_with(hexagons().get_pixel_corners()[:8, :9])
    with pytest.raises(RecipeError, match="corners: no path is recorded"):
        recipe_from_json(recipe.to_json())
    write_recipe(recipe, tmp_path / "r.toml")
    back = read_recipe(tmp_path / "r.toml")
    assert back == recipe
    assert back.digest == recipe.digest
    np.save(tmp_path / f"{recipe.arrays()['corners'].sha256}.npy", np.zeros((8, 9, 6, 3)))
    with pytest.raises(RecipeError, match="corners .* changed since"):
        read_recipe(tmp_path / "r.toml")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"corners": np.zeros((3, 4, 2, 3))}, r"corners must have shape .*got \(3, 4, 2, 3\)"),
        ({"corners": np.zeros((3, 4, 4))}, "corners must have shape"),
        ({"corners": np.zeros((3, 4, 4, 3), int)}, "corners must be floats"),
        ({"corners": np.zeros((3, 4, 4, 3)), "shape": (4, 3)}, r"of \(3, 4\) pixels"),
        ({"corners": np.zeros((3, 4, 4, 3)), "orientation": 2}, "orientation must be 3"),
        ({"corners": "none.npy"}, "corners.*No such file.*none.npy"),
        ({"corners": "none.tif"}, "corners none.tif: must be a .npy file, or HDF5"),
    ],
)
def test_corners_out_of_bounds_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Detector(pixel1=1e-4, pixel2=1e-4, **values)  # type: ignore[arg-type]


def test_a_poni_file_of_corners_is_refused(tmp_path: Path) -> None:
    geometry = recipe_with(hexagons().get_pixel_corners()[:8, :9]).geometry
    assert not is_standard(geometry.detector)
    with pytest.raises(RecipeError, match=r"a.poni: a PONI file cannot hold corners"):
        write_poni(geometry, tmp_path / "a.poni")


def _areas(t: Floats) -> Floats:
    spokes = t[..., 1:, :] - t[..., :1, :]
    return 0.5 * np.linalg.norm(np.cross(spokes[..., :-1, :], spokes[..., 1:, :]).sum(-2), axis=-1)


def _triangle(a: Floats, b: Floats, c: Floats) -> Floats:
    """Solid angle of a triangle from the origin (Van Oosterom & Strackee 1983)."""
    la, lb, lc = (np.linalg.norm(v, axis=-1) for v in (a, b, c))
    volume = np.abs((a * np.cross(b, c)).sum(-1))
    dots = (a * b).sum(-1) * lc + (b * c).sum(-1) * la + (c * a).sum(-1) * lb
    return 2 * np.arctan2(volume, la * lb * lc + dots)
