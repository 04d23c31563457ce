"""Bragg peaks told from what is smooth."""

import numpy as np
import pytest
from pyFAI.integrator.azimuthal import AzimuthalIntegrator

from ringline.processing import (
    Cake,
    Corrections,
    Detector,
    Frame,
    Geometry,
    QuantileRange,
    Radial,
    Recipe,
    RecipeError,
    SigmaClip,
    pixel_arrays,
    reduction_for,
    separate,
)

SHAPE = (120, 150)
GEOMETRY = Geometry(
    distance=0.1,
    poni1=6e-3,
    poni2=7e-3,
    rot1=0.05,
    wavelength=1e-10,
    detector=Detector(pixel1=1e-4, pixel2=1e-4, shape=SHAPE),
)
SPOTS = ((20, 30), (77, 100), (110, 5))


def smooth_image() -> np.ndarray:  # type: ignore[type-arg]
    arrays = pixel_arrays(GEOMETRY)
    return 1000.0 * np.exp(-arrays.q / 10.0) * arrays.solid_angle


@pytest.mark.parametrize("outliers", [SigmaClip(4.0), QuantileRange(0.4, 0.6)])
@pytest.mark.parametrize("binning", [Radial(80), Cake(60, 4)])
def test_an_image_is_the_sum_of_its_smooth_part_and_its_peaks(outliers, binning) -> None:
    image = smooth_image()
    expected = image.copy()
    for at in SPOTS:
        image[at] += 5000.0
    recipe = Recipe(geometry=GEOMETRY, binning=binning, splitting="no", outliers=outliers)
    found = separate(reduction_for(recipe), Frame(image))
    np.testing.assert_allclose(found.smooth + found.bragg, image, rtol=1e-12)
    # Interpolated linearly, the curvature of the signal within a bin is lost.
    np.testing.assert_allclose(found.smooth, expected, rtol=0.02)
    assert all(found.bragg[at] == pytest.approx(5000.0, rel=0.02) for at in SPOTS)
    if isinstance(outliers, SigmaClip):
        assert {tuple(at) for at in np.argwhere(found.spots).tolist()} == set(SPOTS)


def test_a_masked_pixel_stays_as_it_was_recorded() -> None:
    image = smooth_image()
    mask = np.zeros(SHAPE, dtype=bool)
    mask[50, 60] = True
    image[50, 60] = 77777.0
    recipe = Recipe(
        geometry=GEOMETRY,
        binning=Radial(80),
        outliers=SigmaClip(4.0),
        corrections=Corrections(mask=mask),
    )
    found = separate(reduction_for(recipe), Frame(image))
    assert (found.smooth[50, 60], found.bragg[50, 60]) == (77777.0, 0.0)


def test_dark_and_monitor_are_put_back() -> None:
    image = 2.0 * smooth_image() + 30.0
    recipe = Recipe(
        geometry=GEOMETRY,
        binning=Radial(80),
        outliers=SigmaClip(4.0),
        corrections=Corrections(dark=np.full(SHAPE, 30.0), monitor=50.0),
    )
    found = separate(reduction_for(recipe), Frame(image, monitor=100.0))
    np.testing.assert_allclose(found.smooth, image, rtol=0.02)


def test_the_smooth_part_is_that_of_pyfai() -> None:
    random = np.random.default_rng(0)
    image = random.poisson(smooth_image()).astype(np.int32)
    for at in SPOTS:
        image[at] += 5000
    pyfai = AzimuthalIntegrator(
        GEOMETRY.distance, GEOMETRY.poni1, GEOMETRY.poni2, GEOMETRY.rot1, 0, 0, 1e-4, 1e-4,
        wavelength=1e-10,
    )  # fmt: skip
    pyfai.detector.max_shape = SHAPE
    theirs = pyfai.separate(image, npt=80, unit="q_nm^-1", method=("no", "csr", "cython"))
    recipe = Recipe(
        geometry=GEOMETRY, binning=Radial(80), splitting="no", outliers=QuantileRange(0.5, 0.5)
    )
    ours = separate(reduction_for(recipe), Frame(image))
    # Both take a median per ring, each by a rule of its own for even numbers: Poisson steps.
    assert np.median(np.abs(ours.smooth - theirs.amorphous) / theirs.amorphous) < 0.01


def test_a_recipe_that_keeps_outliers_is_refused() -> None:
    recipe = Recipe(geometry=GEOMETRY, binning=Radial(80))
    with pytest.raises(RecipeError, match="outliers"):
        separate(reduction_for(recipe), Frame(smooth_image()))
