"""Per-pixel arrays against pyFAI's, and against closed formulas."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyFAI.detectors
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyFAI.detectors import ALL_DETECTORS
from pyFAI.integrator.azimuthal import AzimuthalIntegrator

from ringline.processing import (
    Detector,
    Geometry,
    RecipeError,
    detector_named,
    detector_names,
    is_standard,
    pixel_arrays,
)

PAIRS = (("q", "q_nm^-1"), ("two_theta", "2th_rad"), ("r", "r_m"), ("chi", "chi_rad"))


@settings(max_examples=40)
@given(data=st.data())
def test_every_pixel_array_agrees_with_pyfai_to_1e_9(
    data: st.DataObject,
    any_geometry: st.SearchStrategy[Geometry],
    integrator_for: Callable[[Geometry], AzimuthalIntegrator],
) -> None:
    geometry = data.draw(any_geometry)
    arrays, integrator = pixel_arrays(geometry), integrator_for(geometry)
    for coordinate, unit in PAIRS:
        expected = integrator.center_array(unit=unit, scale=False)
        scale = np.abs(expected).max()
        np.testing.assert_allclose(
            getattr(arrays, coordinate), expected, rtol=1e-9, atol=1e-13 * scale
        )
    i, j = np.indices(arrays.q.shape, dtype=float)
    np.testing.assert_allclose(arrays.solid_angle, integrator.cos_incidence(i, j) ** 3, rtol=1e-9)


@settings(max_examples=20)
@given(data=st.data(), factor=st.floats(-1, 1))
def test_polarization_agrees_with_pyfai_to_1e_9_and_to_its_float32(
    data: st.DataObject,
    factor: float,
    any_geometry: st.SearchStrategy[Geometry],
    integrator_for: Callable[[Geometry], AzimuthalIntegrator],
) -> None:
    geometry = data.draw(any_geometry)
    found, integrator = pixel_arrays(geometry).polarization(factor), integrator_for(geometry)
    np.testing.assert_allclose(found, integrator.polarization(factor=factor), rtol=1e-6, atol=1e-7)
    # pyFAI rounds its array to float32; its angles are float64. In-plane and normal parts:
    two_theta = integrator.center_array(unit="2th_rad", scale=False)
    chi = integrator.center_array(unit="chi_rad", scale=False)
    across = 1 - (np.sin(two_theta) * np.cos(chi)) ** 2
    along = 1 - (np.sin(two_theta) * np.sin(chi)) ** 2
    expected = 0.5 * ((1 + factor) * across + (1 - factor) * along)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_polarization_is_one_half_of_one_plus_cos2_where_the_beam_is_unpolarized() -> None:
    arrays = pixel_arrays(_flat_geometry())
    expected = (1 + np.cos(arrays.two_theta) ** 2) / 2
    np.testing.assert_allclose(arrays.polarization(0.0), expected, rtol=1e-15)


def test_a_fully_polarized_beam_scatters_nothing_along_itself_at_ninety_degrees() -> None:
    # chi = 0 lies along axis 2: a detector turned by 90 degrees about axis 1 looks there.
    geometry = Geometry(
        distance=0.1,
        poni1=0.5e-4,
        poni2=0.5e-4,
        rot1=-np.pi / 2,
        wavelength=1e-10,
        detector=Detector(pixel1=1e-4, pixel2=1e-4, shape=(1, 1)),
    )
    arrays = pixel_arrays(geometry)
    assert arrays.two_theta[0, 0] == pytest.approx(np.pi / 2)
    assert arrays.polarization(1.0)[0, 0] == pytest.approx(0.0, abs=1e-15)


def test_q_of_a_flat_detector_follows_the_closed_formula() -> None:
    geometry = _flat_geometry()
    y = (np.arange(30) + 0.5) * 1e-4 - 1e-3
    x = (np.arange(40) + 0.5) * 2e-4 - 3e-3
    two_theta = np.arctan(np.hypot(y[:, None], x[None, :]) / 0.1)
    np.testing.assert_allclose(
        pixel_arrays(geometry).q, 40 * np.pi * np.sin(two_theta / 2), rtol=1e-12
    )


def test_energy_is_12_398_kev_at_one_angstrom() -> None:
    assert _flat_geometry().energy_kev == pytest.approx(12.398419843320026, rel=1e-15)


# Those of European XFEL are not pyFAI's: test_xfel_detectors.py.
KNOWN_TO_PYFAI = [name for name in detector_names() if name.lower() in ALL_DETECTORS]


@pytest.mark.parametrize("name", KNOWN_TO_PYFAI)
def test_the_table_of_detectors_agrees_with_pyfai(name: str) -> None:
    ours, theirs = detector_named(name), pyFAI.detectors.detector_factory(name)
    assert_same_pixels(ours, theirs)
    mask, expected = ours.built_in_mask(), theirs.mask
    np.testing.assert_array_equal(
        np.zeros(ours.known_shape, dtype=bool) if mask is None else mask,
        np.zeros(ours.known_shape, dtype=bool) if expected is None else expected != 0,
    )


def assert_same_pixels(ours: Detector, theirs: Any) -> None:
    assert ours.shape == tuple(theirs.shape)
    assert (ours.pixel1, ours.pixel2) == pytest.approx((theirs.pixel1, theirs.pixel2), rel=1e-6)


@pytest.mark.parametrize("name", KNOWN_TO_PYFAI)
def test_detectors_are_found_by_pyfais_aliases_of_them(name: str) -> None:
    for alias in pyFAI.detectors.detector_factory(name).aliases:
        assert detector_named(alias) == detector_named(name)


@pytest.mark.parametrize(
    ("name", "pixel", "shape"),
    [
        ("RayonixMx225", 36.621e-6, (6144, 6144)),
        ("MAR 225", 146.484e-6, (1536, 1536)),
        ("RayonixLx170", 88.5417e-6, (960, 1920)),
        ("RayonixSx165", 79e-6, (2048, 2048)),
        ("Perkin", 400e-6, (1024, 1024)),
        ("Perkin", 100e-6, (4096, 4096)),
        ("Pixium", 154e-6, (1910, 2480)),
        ("Mar345", 150e-6, (2300, 2300)),
    ],
)
def test_a_detector_that_bins_has_fewer_and_larger_pixels(
    name: str, pixel: float, shape: tuple[int, int]
) -> None:
    ours = detector_named(name, (pixel, pixel))
    assert ours.shape == shape
    theirs = pyFAI.detectors.detector_factory(name, {"pixel1": pixel, "pixel2": pixel})
    assert_same_pixels(ours, theirs)
    mask = ours.built_in_mask()
    if mask is not None:
        np.testing.assert_array_equal(mask, theirs.mask.astype(bool))
    assert not is_standard(ours)
    assert is_standard(detector_named(name))


def test_pixels_of_a_detector_that_bins_have_exactly_the_size_that_is_given() -> None:
    found = detector_named("RayonixMx225", (73.25e-6, 73.23e-6))
    assert (found.pixel1, found.pixel2, found.shape) == (73.25e-6, 73.23e-6, (3072, 3072))
    assert not is_standard(found)


def test_a_size_that_a_detector_cannot_bin_to_is_refused_with_those_it_has() -> None:
    with pytest.raises(RecipeError) as refused:
        detector_named("RayonixSx165", (50e-6, 50e-6))
    assert "no pixels of 50 x 50 um" in str(refused.value)
    assert "square ones of 39.5, 79, 158, 316 um" in str(refused.value)


def test_an_unknown_detector_is_refused_with_near_names() -> None:
    with pytest.raises(
        RecipeError, match=r"unknown detector 'Pilatus1N': did you mean .*Pilatus1M"
    ):
        detector_named("Pilatus1N")


def test_pixel_corners_surround_their_center_and_tile_the_sensor() -> None:
    for orientation in (1, 2, 3, 4):
        detector = Detector(pixel1=1e-4, pixel2=2e-4, shape=(5, 7), orientation=orientation)
        corners = detector.pixel_corners()
        p1, p2, p3 = detector.pixel_centers()
        assert not p3.any()
        assert corners.shape == (5, 7, 4, 3)
        np.testing.assert_allclose(corners[..., 1].mean(axis=-1), np.broadcast_to(p1, (5, 7)))
        np.testing.assert_allclose(corners[..., 2].mean(axis=-1), np.broadcast_to(p2, (5, 7)))
        assert np.ptp(corners[..., 1]) == pytest.approx(5e-4)
        assert np.ptp(corners[..., 2]) == pytest.approx(14e-4)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("distance", 0.0),
        ("distance", float("nan")),
        ("wavelength", 0.0),
        ("wavelength", float("nan")),
        ("wavelength", -1e-10),
        ("poni1", float("inf")),
        ("rot1", float("nan")),
        ("rot3", "much"),
    ],
)
def test_a_geometry_out_of_bounds_is_refused_naming_field_and_value(
    name: str, value: object
) -> None:
    values = {"distance": 0.1, "wavelength": 1e-10, name: value}
    with pytest.raises(RecipeError, match=rf"^{name} must be .*, got {value!r}$"):
        Geometry(detector=Detector(pixel1=1e-4, pixel2=1e-4), **values)  # type: ignore[arg-type]


def _flat_geometry() -> Geometry:
    return Geometry(
        distance=0.1,
        poni1=1e-3,
        poni2=3e-3,
        wavelength=1e-10,
        detector=Detector(pixel1=1e-4, pixel2=2e-4, shape=(30, 40)),
    )
