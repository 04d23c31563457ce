"""Curves, cakes and their sigma against pyFAI's integrators, on random recipes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyFAI.integrator.azimuthal import AzimuthalIntegrator

from ringline.processing import (
    Cake,
    Corrections,
    Detector,
    Frame,
    Geometry,
    Radial,
    Recipe,
    pixel_arrays,
    reduction_for,
)

SHAPE = (41, 53)


@st.composite
def corrections(draw: st.DrawFn) -> Corrections:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return Corrections(
        mask=rng.random(SHAPE) < draw(st.sampled_from([0.0, 0.1, 0.7])),
        dark=draw(st.sampled_from([None, rng.uniform(0, 5, SHAPE).astype(np.float32)])),
        flat=draw(st.sampled_from([None, rng.uniform(0.5, 1.5, SHAPE).astype(np.float32)])),
        polarization=draw(st.one_of(st.none(), st.floats(-1, 1))),
        solid_angle=draw(st.booleans()),
    )


@pytest.mark.parametrize("splitting", ["no", "bbox"])
@pytest.mark.parametrize("binning", [Radial(bins=60), Cake(radial_bins=30, azimuthal_bins=12)])
@settings(max_examples=50)
@given(data=st.data(), seed=st.integers(0, 2**32))
def test_intensity_and_poisson_sigma_agree_with_pyfai(
    data: st.DataObject,
    seed: int,
    splitting: str,
    binning: Radial | Cake,
    any_geometry: st.SearchStrategy[Geometry],
    oracle: Callable[..., Any],
) -> None:
    recipe = Recipe(
        geometry=data.draw(any_geometry),
        binning=binning,
        splitting=splitting,
        error_model="poisson",
        corrections=data.draw(corrections()),
    )
    image = np.random.default_rng(seed).poisson(50, SHAPE).astype(np.uint16)
    expected = oracle(recipe, image)
    found = reduction_for(recipe).reduce(image)
    assert found.sigma is not None
    # pyFAI keeps positions and shares in float32, which shows in bins of less than a pixel.
    full = expected.count > 1
    np.testing.assert_allclose(found.axis, expected.axis, rtol=1e-9)
    np.testing.assert_allclose(
        found.intensity[full], expected.intensity[full], rtol=2e-6, atol=2e-6 * 50
    )
    np.testing.assert_allclose(found.sigma[full], expected.sigma[full], rtol=2e-6)
    np.testing.assert_array_equal(np.isnan(found.intensity), expected.count == 0)


@pytest.mark.parametrize(
    ("unit", "splitting"),
    [(u, s) for u in ("q_A^-1", "2th_deg", "2th_rad", "r_mm", "r_m") for s in ("no", "bbox")],
)
def test_every_unit_agrees_with_pyfais_public_interface(
    unit: str,
    splitting: str,
    integrator_for: Callable[[Geometry], AzimuthalIntegrator],
    tilted_geometry: Geometry,
    counts: NDArray[np.uint16],
) -> None:
    recipe = Recipe(
        geometry=tilted_geometry, binning=Radial(bins=50, unit=unit), splitting=splitting
    )
    expected = integrator_for(tilted_geometry).integrate1d(
        counts, 50, unit=unit, method=(splitting, "csr", "cython")
    )
    found = reduction_for(recipe).reduce(counts)
    np.testing.assert_allclose(found.axis, expected.radial, rtol=1e-6)
    difference = np.abs(found.intensity / expected.intensity - 1)
    # pyFAI's corners are float32, which moves a few shares of the bounding boxes.
    assert np.median(difference) < 2e-6
    assert difference.max() < 2e-4


def test_an_azimuth_range_takes_the_pixels_that_pyfai_takes(
    integrator_for: Callable[[Geometry], AzimuthalIntegrator],
    tilted_geometry: Geometry,
    counts: NDArray[np.uint16],
) -> None:
    for azimuth_range in ((-60.0, 45.0), (10.0, 170.0), (-180.0, 180.0)):
        binning = Radial(bins=40, azimuth_range=azimuth_range)
        recipe = Recipe(geometry=tilted_geometry, binning=binning, splitting="no")
        expected = integrator_for(tilted_geometry).integrate1d(
            counts, 40, azimuth_range=azimuth_range, method=("no", "csr", "cython")
        )
        found = reduction_for(recipe).reduce(counts)
        np.testing.assert_array_equal(np.isnan(found.intensity), expected.count == 0)
        full = expected.count > 0
        np.testing.assert_allclose(found.intensity[full], expected.intensity[full], rtol=1e-6)


def test_an_azimuth_range_may_cross_the_discontinuity(
    tilted_geometry: Geometry, counts: NDArray[np.uint16]
) -> None:

    binning = Radial(bins=40, azimuth_range=(150.0, 210.0))
    reduction = reduction_for(Recipe(geometry=tilted_geometry, binning=binning, splitting="no"))
    chi = np.degrees(pixel_arrays(tilted_geometry).chi) % 360

    assert reduction.map(Frame(counts)).count.sum() == ((chi >= 150) & (chi <= 210)).sum()


@pytest.fixture
def counts() -> NDArray[np.uint16]:
    return np.random.default_rng(3).poisson(40, SHAPE).astype(np.uint16)


@pytest.fixture
def tilted_geometry() -> Geometry:

    return Geometry(
        distance=0.08,
        poni1=2.1e-3,
        poni2=2.4e-3,
        rot1=0.2,
        rot2=-0.1,
        rot3=0.3,
        wavelength=1e-10,
        detector=Detector(pixel1=1e-4, pixel2=1.2e-4, shape=SHAPE),
    )
