"""Geometry as Fit2D has it, against pyFAI and against where the direct beam goes."""

import numpy as np
import pyFAI.detectors
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyFAI.geometry import Geometry as PyfaiGeometry
from pyFAI.geometry.fit2d import Fit2dGeometry, convert_from_Fit2d, convert_to_Fit2d

from ringline.processing import (
    Detector,
    Fit2D,
    Geometry,
    RecipeError,
    fit2d_of,
    geometry_from_fit2d,
    pixel_arrays,
)

DETECTOR = Detector(pixel1=1e-4, pixel2=1.5e-4, shape=(40, 50))
CENTERS = st.floats(-3000, 3000)
PARAMETERS = st.builds(
    Fit2D,
    distance=st.floats(1.0, 1e4),
    center_x=CENTERS,
    center_y=CENTERS,
    tilt=st.floats(0.001, 60.0),
    tilt_plane_rotation=st.floats(-179.9, 179.9),
    wavelength=st.floats(0.1, 3.0),
)
ANGLES = st.floats(-1.0, 1.0)
GEOMETRIES = st.builds(
    Geometry,
    distance=st.floats(0.01, 10),
    poni1=st.floats(-0.3, 0.3),
    poni2=st.floats(-0.3, 0.3),
    rot1=ANGLES,
    rot2=ANGLES,
    rot3=ANGLES,
    wavelength=st.floats(1e-11, 3e-10),
    detector=st.just(DETECTOR),
)
NAMES = ("distance", "center_x", "center_y", "tilt", "tilt_plane_rotation", "wavelength")


@given(PARAMETERS)
def test_what_comes_from_fit2d_goes_back_the_same(parameters: Fit2D) -> None:
    back = fit2d_of(geometry_from_fit2d(parameters, DETECTOR))
    size = abs(parameters.distance) / 0.1 + 3000  # of the beam's way on the detector, pixels
    for name in NAMES:
        scale = size if name.startswith("center") else 1.0
        assert getattr(back, name) == pytest.approx(
            getattr(parameters, name), rel=1e-9, abs=1e-10 * scale
        )


@given(GEOMETRIES)
def test_two_theta_survives_fit2d_for_any_geometry(geometry: Geometry) -> None:
    back = geometry_from_fit2d(fit2d_of(geometry), DETECTOR)
    np.testing.assert_allclose(
        pixel_arrays(back).two_theta, pixel_arrays(geometry).two_theta, rtol=0, atol=1e-9
    )


@given(GEOMETRIES)
def test_the_center_is_where_two_theta_vanishes(geometry: Geometry) -> None:
    found = fit2d_of(geometry)
    p1 = np.array(found.center_y * DETECTOR.pixel1)
    p2 = np.array(found.center_x * DETECTOR.pixel2)
    x, y, z = geometry.sample_frame(p1, p2)
    assert np.hypot(x, y) < 1e-9 * z
    assert z == pytest.approx(found.distance * 1e-3, rel=1e-9)


@given(GEOMETRIES)
def test_the_parameters_are_pyfais(geometry: Geometry) -> None:
    theirs = convert_to_Fit2d(
        PyfaiGeometry(
            geometry.distance, geometry.poni1, geometry.poni2, geometry.rot1, geometry.rot2,
            geometry.rot3, wavelength=geometry.wavelength,
            detector=pyFAI.detectors.Detector(1e-4, 1.5e-4, max_shape=(40, 50)),
        )
    )  # fmt: skip
    ours = fit2d_of(geometry)
    assert ours.distance == pytest.approx(theirs.directDist, rel=1e-9)
    if ours.tilt > 0.1:  # theirs loses digits of small angles
        assert ours.center_x == pytest.approx(theirs.centerX, rel=1e-6, abs=1e-3)
        assert ours.center_y == pytest.approx(theirs.centerY, rel=1e-6, abs=1e-3)
        assert ours.tilt == pytest.approx(theirs.tilt, abs=1e-6)
        turned = ours.tilt_plane_rotation - theirs.tiltPlanRotation
        assert np.cos(np.deg2rad(turned)) == pytest.approx(1.0, abs=1e-9)


@given(PARAMETERS)
def test_the_geometry_is_pyfais(parameters: Fit2D) -> None:
    theirs = convert_from_Fit2d(
        Fit2dGeometry(
            directDist=parameters.distance, centerX=parameters.center_x,
            centerY=parameters.center_y, tilt=parameters.tilt,
            tiltPlanRotation=parameters.tilt_plane_rotation, pixelX=150.0, pixelY=100.0,
            wavelength=parameters.wavelength,
        )
    )  # fmt: skip
    ours = geometry_from_fit2d(parameters, DETECTOR)
    for name, theirs_name in (("distance", "dist"), ("poni1", "poni1"), ("poni2", "poni2")):
        assert getattr(ours, name) == pytest.approx(getattr(theirs, theirs_name), abs=1e-9)
    for name in ("rot1", "rot2", "rot3"):  # their arc cosine loses digits near 1
        assert getattr(ours, name) == pytest.approx(getattr(theirs, name), abs=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"distance": 0.0}, "distance must be > 0 mm, got 0.0"),
        ({"wavelength": float("nan")}, "wavelength must be > 0 angstrom, got nan"),
        ({"tilt": 90.0}, "tilt must be from 0 to below 90 degrees, got 90.0"),
        ({"center_x": float("inf")}, "center_x must be finite, got inf"),
    ],
)
def test_parameters_that_cannot_be_are_refused(change: dict[str, float], message: str) -> None:
    values = {"distance": 100.0, "center_x": 1.0, "center_y": 2.0, "wavelength": 1.0, **change}
    with pytest.raises(RecipeError) as refused:
        Fit2D(**values)
    assert str(refused.value) == message


def test_a_beam_that_misses_the_detector_has_no_fit2d() -> None:
    geometry = Geometry(distance=0.1, wavelength=1e-10, detector=DETECTOR, rot1=2.0)
    with pytest.raises(RecipeError, match="does not meet the detector"):
        fit2d_of(geometry)
