"""Parallax against pyFAI's tables, and against Beer and Lambert."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyFAI
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyFAI.detectors import Detector as PyfaiDetector
from pyFAI.integrator.azimuthal import AzimuthalIntegrator
from pyFAI.io.ponifile import PoniFile
from pyFAI.parallax import Parallax, ThickSensor, ThinSensor

from ringline.processing import (
    Detector,
    Geometry,
    PixelArrays,
    Radial,
    Recipe,
    RecipeError,
    Sensor,
    detector_named,
    pixel_arrays,
    read_poni,
    recipe_from_json,
    write_poni,
)
from ringline.processing.detector_table import known_sensor
from ringline.processing.sensor import Slab

from .pixel_coordinates import half_width  # noqa: TID252

SHAPE = (155, 122)
SENSORS = [
    Sensor("Si", 450e-6),
    Sensor("Si", 1e-3),
    Sensor("CdTe", 1e-3),
    Sensor("Si", 20e-6),
    Sensor("Si"),
]


def geometry_with(sensor: Sensor | None, distance: float = 0.1, **values: object) -> Geometry:
    detector = Detector(pixel1=688e-6, pixel2=688e-6, shape=SHAPE, sensor=sensor)
    placed: dict[str, object] = {
        "poni1": 0.02, "poni2": 0.03, "rot1": 0.3, "rot2": -0.2, "rot3": 0.5,
        "wavelength": 0.6e-10, "parallax": True, **values,
    }  # fmt: skip
    return Geometry(distance=distance, detector=detector, **placed)  # type: ignore[arg-type]


def integrator_of(geometry: Geometry) -> AzimuthalIntegrator:
    """pyFAI's, with the same attenuation; its corners are float32, so none are asked for."""
    integrator = AzimuthalIntegrator(
        geometry.distance, geometry.poni1, geometry.poni2, geometry.rot1, geometry.rot2,
        geometry.rot3, wavelength=geometry.wavelength,
        detector=PyfaiDetector(688e-6, 688e-6, max_shape=SHAPE, orientation=3),
    )  # fmt: skip
    sensor, mu = known_sensor(geometry.detector), geometry.slab.attenuation
    thick = sensor.thickness is None
    integrator.parallax = Parallax(
        ThickSensor(mu=mu) if thick else ThinSensor(thickness=sensor.thickness, mu=mu)
    )
    return integrator


@pytest.fixture
def fine_tables(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """pyFAI with 131072 angles from 0 to 90 degrees, instead of 1024."""
    monkeypatch.setattr(Parallax, "SIZE", 1 << 17)
    return


def differences(geometry: Geometry) -> dict[str, float]:
    """The largest from pyFAI: q relative to the largest q, 2theta and chi in rad, corners in m."""
    arrays, integrator = pixel_arrays(geometry), integrator_of(geometry)
    chi = abs(arrays.chi - integrator.center_array(unit="chi_rad", scale=False))
    q = abs(arrays.q - integrator.center_array(unit="q_nm^-1", scale=False))
    two_theta = abs(arrays.two_theta - integrator.center_array(unit="2th_rad", scale=False))
    i, j = np.indices((SHAPE[0] + 1, SHAPE[1] + 1)) - 0.5
    t3, t1, t2 = integrator.calc_pos_zyx(d1=i, d2=j, do_parallax=True)
    corners = [
        abs(a - b).max() for a, b in zip(arrays.corner_positions(), (t1, t2, t3), strict=True)
    ]
    return {
        "q": q.max() / arrays.q.max(),
        "two_theta": two_theta.max(),
        "chi": np.minimum(chi, 2 * np.pi - chi).max(),
        "corners": max(corners),
    }


@pytest.mark.parametrize("sensor", SENSORS, ids=str)
@pytest.mark.parametrize("distance", [0.05, 0.2, 1.0])
@pytest.mark.usefixtures("fine_tables")
def test_positions_agree_with_pyfai_to_1e_12_where_its_table_is_fine(
    sensor: Sensor, distance: float
) -> None:
    geometry = geometry_with(sensor, distance)
    found = differences(geometry)
    assert found.pop("chi") < 1e-9  # beside the beam a nanometre is much of a turn
    assert max(found.values()) < 1e-12, found
    moved = abs(pixel_arrays(geometry).q - pixel_arrays(replace(geometry, parallax=False)).q)
    assert moved.max() > 1e-6 * pixel_arrays(geometry).q.max()


@pytest.mark.parametrize("sensor", SENSORS, ids=str)
def test_pyfais_own_table_is_off_by_at_most_1e_8_from_what_is_exact(sensor: Sensor) -> None:
    for distance in (0.05, 0.2, 1.0):
        # pyFAI draws lines between angles 1.5 mrad apart: 3e-7 of the displacement beside it.
        found = differences(geometry_with(sensor, distance))
        assert found["two_theta"] < 1e-8
        assert found["q"] < 1e-8
        assert found["corners"] < 2e-9


def test_a_ray_is_absorbed_on_average_as_deep_as_beer_and_lambert_have_it() -> None:
    for thickness, mu in ((450e-6, 1100.0), (1e-3, 120.0), (20e-6, 15_000.0)):
        for cosine in (1.0, 0.8, 0.3):
            path = np.linspace(0, thickness / cosine, 400_001)
            decay = np.exp(-mu * path)
            mean = np.trapezoid(decay * path, path) / np.trapezoid(decay, path)
            found = Slab(mu, thickness).mean_path(np.array(cosine))
            assert found == pytest.approx(mean, rel=1e-8)
    assert Slab(1100.0, None).mean_path(np.array(0.5)) == 1 / 1100.0
    assert Slab(1100.0, 1e-3).mean_path(np.array(0.0)) == 1 / 1100.0


@settings(max_examples=40, deadline=None)
@given(distance=st.floats(0.01, 2), sensor=st.sampled_from(SENSORS), wavelength=st.floats(0.2, 3.0))
def test_a_ray_that_enters_where_a_pixel_is_said_to_be_appears_at_the_pixel(
    distance: float, sensor: Sensor, wavelength: float
) -> None:
    geometry = geometry_with(
        sensor, distance, wavelength=wavelength * 1e-10, rot1=0.0, rot2=0.0, rot3=0.0
    )
    t1, t2, t3 = pixel_arrays(geometry).center_positions()
    r = np.hypot(t1, t2)
    alpha = np.arctan2(r, t3)
    mu, thickness = geometry.slab.attenuation, sensor.thickness
    e = np.full_like(r, np.inf) if thickness is None else mu * thickness / np.cos(alpha)
    with np.errstate(over="ignore", invalid="ignore"):
        # pyFAI's formula for <x>, as in the docstring of its measure_displacement_integrate.
        part = (1 - np.exp(-e) * (1 + e)) / (1 - np.exp(-e))
    x = np.sin(alpha) / mu * np.where(e > 700, 1.0, part)
    y1, y2, _ = pixel_arrays(replace(geometry, parallax=False)).center_positions()
    np.testing.assert_allclose(r + x, np.hypot(y1, y2), rtol=1e-9)
    np.testing.assert_allclose(t3, distance, rtol=1e-14)


def test_a_bent_sensor_is_crossed_along_each_pixels_own_normal() -> None:
    # A cylinder round the sample: along its equator rays enter normally and stay where they are.
    radius, height, angle = 0.1, np.linspace(-0.02, 0.02, 42), np.linspace(-1.0, 1.0, 201)
    p1, p2, p3 = np.broadcast_arrays(
        height[:, None], radius * np.sin(angle), radius * (np.cos(angle) - 1)
    )
    lattice = np.stack([p3, p1, p2], axis=-1)
    corners = np.stack(
        [lattice[:-1, :-1], lattice[1:, :-1], lattice[1:, 1:], lattice[:-1, 1:]], axis=2
    )
    detector = Detector(pixel1=1e-3, pixel2=1e-3, corners=corners, sensor=Sensor("Si", 450e-6))
    geometry = Geometry(distance=radius, wavelength=0.6e-10, detector=detector, parallax=True)
    built, entered = (
        np.stack(PixelArrays(replace(geometry, parallax=on)).center_positions())
        for on in (False, True)
    )
    moved = built - entered
    np.testing.assert_allclose(moved[1:], 0.0, atol=1e-16)
    middle = moved[0, 20]
    np.testing.assert_allclose(middle, 0.0, atol=1e-16)
    # Up and down each moves as on a flat sensor as far away.
    flat = replace(
        geometry, poni1=0.02, detector=Detector(
            pixel1=0.04 / 41, pixel2=1e-3, shape=(41, 1), sensor=Sensor("Si", 450e-6)
        ), poni2=0.5e-3, distance=float(radius * np.cos(0.005)),
    )  # fmt: skip
    shift = [
        PixelArrays(replace(flat, parallax=on)).center_positions()[0][:, 0] for on in (False, True)
    ]
    np.testing.assert_allclose(moved[0, :, 100], shift[0] - shift[1], rtol=1e-9, atol=1e-15)


def test_polygons_of_a_flat_sensor_move_as_its_grid_does() -> None:
    geometry = geometry_with(Sensor("Si", 450e-6))
    grid = geometry.detector
    polygons = replace(grid, corners=grid.pixel_corners())
    flat, free = PixelArrays(geometry), PixelArrays(replace(geometry, detector=polygons))
    for ours, expected in zip(free.center_positions(), flat.center_positions(), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-11, atol=1e-14)
    for ours, expected in zip(free.corner_positions(), flat.corner_positions(), strict=True):
        np.testing.assert_allclose(ours[..., 0], expected[:-1, :-1], rtol=1e-11, atol=1e-14)
    for coordinate in ("q", "two_theta", "r", "chi"):
        np.testing.assert_allclose(
            half_width(free, coordinate), half_width(flat, coordinate), rtol=1e-7
        )


def test_parallax_leaves_solid_angle_and_absorption_and_a_pixel_at_the_poni() -> None:
    geometry = geometry_with(Sensor("Si", 450e-6), poni1=50.5 * 688e-6, poni2=60.5 * 688e-6)
    seen, built = PixelArrays(geometry), PixelArrays(replace(geometry, parallax=False))
    np.testing.assert_array_equal(seen.solid_angle, built.solid_angle)
    np.testing.assert_array_equal(seen.absorption, built.absorption)
    moved = np.stack(seen.center_positions()) - np.stack(built.center_positions())
    far = np.linalg.norm(moved, axis=0)
    assert far[50, 60] < 1e-16
    assert far.max() > 1e-5
    np.testing.assert_array_equal(
        seen.center_positions(slice(7, 9))[0], seen.center_positions()[0][7:9]
    )
    np.testing.assert_array_equal(
        seen.corner_positions(slice(7, 9))[0], seen.corner_positions()[0][7:10]
    )


def test_a_poni_file_of_version_3_tells_parallax_and_sensor_as_pyfai_does(tmp_path: Path) -> None:
    geometry = geometry_with(Sensor("Si", 450e-6))
    ours, theirs = tmp_path / "ours.poni", tmp_path / "theirs.poni"
    write_poni(geometry, ours)
    assert read_poni(ours) == geometry
    read = PoniFile(str(ours))
    assert (read.API_VERSION, read.parallax) == (3, True)
    with theirs.open("w") as file:
        read.write(file)
    assert read_poni(theirs) == geometry
    # pyFAI's attenuation is a line between tabulated energies: up to some percent too large.
    q = pyFAI.load(str(ours)).center_array(unit="q_nm^-1", scale=False)
    arrays = pixel_arrays(geometry)
    moved = abs(arrays.q - pixel_arrays(replace(geometry, parallax=False)).q).max()
    assert abs(arrays.q - q).max() < 0.1 * moved


def test_parallax_makes_explicit_the_sensor_that_the_table_knows(tmp_path: Path) -> None:
    geometry = Geometry(
        distance=0.1, wavelength=1e-10, detector=detector_named("Eiger1M"), parallax=True
    )
    assert geometry.detector.sensor == Sensor("Si", 450e-6)
    write_poni(geometry, tmp_path / "e.poni")
    assert read_poni(tmp_path / "e.poni") == geometry
    assert PoniFile(str(tmp_path / "e.poni")).detector.sensor.thickness == 450e-6


def test_recipes_keep_parallax_and_those_without_keep_their_digest() -> None:
    recipe = Recipe(geometry=geometry_with(Sensor("Si", 450e-6)), binning=Radial(bins=10))
    assert recipe_from_json(recipe.to_json()) == recipe
    without = replace(recipe, geometry=replace(recipe.geometry, parallax=False))
    assert without.digest != recipe.digest
    assert "parallax" not in without.to_json()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sensor": None}, "detector 'Detector': its sensor is not known"),
        ({"sensor": Sensor("Unobtainium", 1e-3)}, "unknown sensor material 'Unobtainium'"),
        ({"sensor": Sensor("Si"), "wavelength": 1e-6}, "energy must be from 0.1 to 800 keV"),
        ({"sensor": Sensor("Si"), "parallax": 1}, "parallax must be true or false, got 1"),
    ],
)
def test_parallax_of_an_unknown_sensor_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        geometry_with(**values)  # type: ignore[arg-type]
