"""Units of an axis against pyFAI's own arrays and formulas; formulas of one's own."""

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyFAI import units as pyfai_units
from pyFAI.integrator.azimuthal import AzimuthalIntegrator

from ringline.processing import (
    Detector,
    Frame,
    Geometry,
    Radial,
    Recipe,
    RecipeError,
    pixel_arrays,
    reduction_for,
)
from ringline.processing.units import UNITS, unit_named

THEIRS = {"log(q)": "log(q.nm)_None"}


def value_of(name: str, geometry: Geometry) -> NDArray[np.float64]:
    """A unit at the centers of pixels, in that unit."""
    unit = unit_named(name)
    positions = pixel_arrays(geometry).center_positions()
    return unit.value(positions, geometry.wavelength) * unit.scale


@pytest.mark.parametrize("name", UNITS)
@settings(max_examples=10)
@given(data=st.data())
def test_every_unit_is_pyfais_formula_of_its_own_positions(
    name: str, data: st.DataObject, any_geometry: Any, integrator_for: Any
) -> None:
    geometry = data.draw(any_geometry)
    integrator: AzimuthalIntegrator = integrator_for(geometry)
    theirs = pyfai_units.ANY_UNITS[THEIRS.get(name, name)]
    # Without these, pyFAI's positions are of centers in float32: 1e-9 off.
    i, j = np.mgrid[: geometry.detector.known_shape[0], : geometry.detector.known_shape[1]] * 1.0
    z, y, x = integrator.calc_pos_zyx(d1=i, d2=j, corners=False)
    expected = theirs.equation(x, y, z, geometry.wavelength) * theirs.scale
    found = value_of(name, geometry)
    scale = np.abs(expected).max() if UNITS[name].periodic or name == "log(q)" else 0.0
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12 * scale)


@pytest.mark.parametrize("name", UNITS)
def test_every_unit_is_pyfais_array_of_centers(name: str, integrator_for: Any) -> None:
    geometry = _tilted()
    integrator = integrator_for(geometry)
    theirs = THEIRS.get(name, name)
    expected = integrator.array_from_unit(typ="center", unit=theirs, scale=True)
    np.testing.assert_allclose(value_of(name, geometry), expected, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize(
    ("formula", "name"),
    [
        ("sqrt(x**2 + y**2)", "r_m"),
        ("hypot(x, y)", "r_m"),
        ("r", "r_m"),
        ("4e-9 * π / λ * sin(arctan2(hypot(x, y), z) / 2)", "q_nm^-1"),
        ("4e-9 * pi / wavelength * sin(two_theta / 2)", "q_nm^-1"),
        ("q", "q_nm^-1"),
        ("log(q)", "log(q)"),
        ("(q / 2 / pi) ** 2", "d*2_nm^-2"),
        ("arctan2(y, x)", "chi_rad"),
        ("chi * 180 / pi", "chi_deg"),
    ],
)
def test_a_formula_is_the_unit_that_it_says(formula: str, name: str) -> None:
    geometry = _tilted()
    found = value_of(f"formula: {formula}", geometry)
    np.testing.assert_allclose(found, value_of(name, geometry), rtol=1e-13, atol=1e-15)


def test_a_formula_makes_the_curve_of_the_unit_that_it_says() -> None:
    image = np.random.default_rng(0).poisson(9, (41, 53))
    for splitting in ("no", "bbox", "full"):
        curves = [
            reduction_for(Recipe(geometry=_tilted(), binning=Radial(25, unit), splitting=splitting))
            for unit in ("q_nm^-1", "formula: 4e-9*pi/wavelength*sin(0.5*arctan2(hypot(x,y),z))")
        ]
        one, other = (curve.reduce(image) for curve in curves)
        np.testing.assert_allclose(one.axis, other.axis, rtol=1e-12)
        np.testing.assert_allclose(one.intensity, other.intensity, rtol=1e-6)


def test_pixels_where_a_formula_has_no_value_count_nowhere() -> None:
    geometry = _tilted()
    arrays = pixel_arrays(geometry)
    for splitting in ("no", "bbox", "pseudo", "full"):
        binning = Radial(25, "formula: sqrt(x - 0.0012)")
        made = Recipe(geometry=geometry, binning=binning, splitting=splitting)
        count = reduction_for(made).map(Frame(np.ones((41, 53)))).count.sum()
        x = arrays.center_positions()[1]
        corners = arrays.corner_positions()[1]
        whole = np.minimum.reduce(
            [corners[:-1, :-1], corners[1:, :-1], corners[1:, 1:], corners[:-1, 1:]]
        )
        assert count == ((x if splitting == "no" else np.minimum(whole, x)) >= 0.0012).sum()
    nowhere = Recipe(geometry=geometry, binning=Radial(25, "formula: log(-1 - x**2)"))
    with pytest.raises(RecipeError, match="no range to bin"):
        reduction_for(nowhere)


@pytest.mark.parametrize("splitting", ["no", "bbox", "pseudo", "full"])
def test_the_logarithm_of_q_leaves_out_the_pixel_that_reaches_the_beam(splitting: str) -> None:
    """ln 0 has no place on the axis: what reaches it has no finite part of its extent in a bin.

    That is a polygon round the beam, a center on it, and all pixels with a corner on it.
    """
    detector = Detector(pixel1=1e-4, pixel2=1e-4, shape=(11, 11))
    for at, lost in ((5.6e-4, {"full": 1}), (5.5e-4, {"no": 1, "bbox": 1, "full": 1}),
                     (5e-4, {"bbox": 4, "pseudo": 4, "full": 4})):  # fmt: skip
        there = Geometry(distance=0.1, poni1=at, poni2=at, wavelength=1e-10, detector=detector)
        made = Recipe(geometry=there, binning=Radial(20, "log(q)"), splitting=splitting)
        reduction = reduction_for(made)
        sums = reduction.map(Frame(np.ones((11, 11))))
        assert np.isfinite(reduction.axis).all()
        assert sums.count.sum() == 121 - lost.get(splitting, 0)


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("__import__('os').system('true')", "not allowed|cannot be called"),
        ("x.real", "Attribute is not allowed"),
        ("(lambda: x)()", "not allowed|cannot be called"),
        ("[x for x in y]", "not allowed"),
        ("eval(x)", "unknown 'eval'|cannot be called"),
        ("sqrt(x, out=y)", "cannot be called"),
        ("sqrt(x, y)", "takes 1, got 2"),
        ("hypot(x)", "takes 2, got 1"),
        ("sqrt(*x)", "not allowed"),
        ("'x'", "not a number"),
        ("x if y else z", "not allowed"),
        ("x and y", "not allowed"),
        ("x[0]", "not allowed"),
        ("x << 99", "not allowed"),
        ("1j * x", "not a number"),
        ("0 < x < 1", "cannot be computed"),
        ("sqrt", "cannot be computed"),
        ("x + sqrt", "cannot be computed"),
        ("1 / 0", "cannot be computed"),
        ("x + (-8) ** 0.5", "complex"),
        ("", "cannot be"),
        ("x +", "cannot be"),
        ("wavelenght", "did you mean 'wavelength'"),
        ("x + " * 300 + "x", "at most 1000"),
        ("(" * 400 + "x" + ")" * 400, "cannot be"),
        ("9" * 400, "cannot be computed"),
    ],
)
def test_a_formula_with_other_words_is_refused(formula: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Radial(bins=5, unit=f"formula: {formula}")


@pytest.mark.parametrize("formula", ["9**9**9**9", "x * 9**9**9", "2**(2**(2**(2**(2**2))))"])
def test_powers_of_powers_are_refused_at_once(formula: str) -> None:
    began = time.monotonic()
    with pytest.raises(RecipeError, match="cannot be computed"):
        Radial(bins=5, unit=f"formula: {formula}")
    assert time.monotonic() - began < 1


def _tilted() -> Geometry:
    return Geometry(
        distance=0.08, poni1=2.1e-3, poni2=2.4e-3, rot1=0.2, rot2=-0.1, rot3=0.3,
        wavelength=1e-10, detector=Detector(pixel1=1e-4, pixel2=1.2e-4, shape=(41, 53)),
    )  # fmt: skip
