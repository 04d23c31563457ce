"""Corrections and errors against plain NumPy on pyFAI's matrix of shares, and against pyFAI."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pyFAI.containers import ErrorModel
from pyFAI.ext.splitBBoxCSR import HistoBBox1d

from ringline.processing import (
    Corrections,
    Detector,
    Frame,
    Geometry,
    Radial,
    Recipe,
    Sums,
    pixel_arrays,
    reduction_for,
)

from .pixel_coordinates import half_width  # noqa: TID252

Floats = NDArray[np.float64]
SHAPE = (41, 53)
BINS = 30
GEOMETRY = Geometry(
    distance=0.08, poni1=2.1e-3, poni2=2.4e-3, rot1=0.2, rot2=-0.1, rot3=0.3,
    wavelength=1e-10, detector=Detector(pixel1=1e-4, pixel2=1.2e-4, shape=SHAPE),
)  # fmt: skip
RNG = np.random.default_rng(8)
IMAGE = RNG.poisson(RNG.uniform(0, 40, SHAPE)).astype(np.int32)
DARK = RNG.uniform(0, 5, SHAPE).astype(np.float32)
FLAT = RNG.uniform(0.5, 1.5, SHAPE).astype(np.float32)
SPREAD = RNG.uniform(1, 9, SHAPE).astype(np.float32)


def pyfai_shares(splitting: str) -> Any:
    arrays = pixel_arrays(GEOMETRY)
    half = half_width(arrays, "q") if splitting == "bbox" else None
    return HistoBBox1d(arrays.q, half, bins=BINS)


def matrix(splitting: str) -> Floats:
    """pyFAI's share of each pixel in each bin, shape (bins, pixels)."""
    theirs = pyfai_shares(splitting)
    dense = np.zeros((BINS, IMAGE.size))
    np.add.at(
        dense, (np.repeat(np.arange(BINS), np.diff(theirs.indptr)), theirs.indices), theirs.data
    )
    return dense


def recipe(splitting: str, error_model: str = "poisson", **corrections: Any) -> Recipe:
    return Recipe(
        geometry=GEOMETRY,
        binning=Radial(bins=BINS),
        splitting=splitting,
        error_model=error_model,
        corrections=Corrections(**corrections),
    )


def sums_of(made: Recipe, image: NDArray[Any], monitor: float | None = None) -> Sums:
    return reduction_for(made).map(Frame(image, monitor=monitor))


@pytest.mark.parametrize("splitting", ["no", "bbox"])
@pytest.mark.parametrize("error_model", ["poisson", "variance", "azimuthal", "hybrid"])
@pytest.mark.parametrize("dark_variance", [None, SPREAD])
def test_sigma_and_std_are_those_of_two_passes_in_float64(
    error_model: str, splitting: str, dark_variance: NDArray[Any] | None
) -> None:
    made = recipe(
        splitting, error_model, dark=DARK, flat=FLAT, polarization=0.9,
        dark_variance=dark_variance, variance=SPREAD,
    )  # fmt: skip
    shares, arrays = matrix(splitting), pixel_arrays(GEOMETRY)
    norm = (FLAT * arrays.solid_angle * arrays.polarization(0.9)).ravel()
    signal = (IMAGE - DARK.astype(float)).ravel()
    mean = shares @ signal / (shares @ norm)
    variance = {"variance": SPREAD}.get(error_model, np.maximum(IMAGE, 1)).ravel().astype(float)
    if dark_variance is not None:
        variance = variance + dark_variance.ravel()
    spread = np.square(shares) @ variance
    if error_model == "azimuthal":
        spread = np.square(shares * (signal - norm * mean[:, None])).sum(1)
    found = reduction_for(made).reduce(IMAGE)
    np.testing.assert_allclose(found.intensity, mean, rtol=1e-6)
    np.testing.assert_allclose(found.sigma, np.sqrt(spread) / (shares @ norm), rtol=1e-6)
    norms = np.square(shares) @ np.square(norm)
    np.testing.assert_allclose(found.std, np.sqrt(spread / norms), rtol=1e-6)


@pytest.mark.parametrize("splitting", ["no", "bbox"])
@pytest.mark.parametrize("error_model", ["poisson", "variance"])
def test_sigma_and_std_are_pyfais(error_model: str, splitting: str) -> None:
    made = recipe(splitting, error_model, dark=DARK, flat=FLAT, variance=SPREAD)
    theirs = pyfai_shares(splitting).integrate_ng(
        IMAGE,
        variance=SPREAD if error_model == "variance" else None,
        error_model=ErrorModel.parse(error_model),
        dark=DARK,
        flat=FLAT,
        solidangle=pixel_arrays(GEOMETRY).solid_angle.astype(np.float32),
    )
    found = reduction_for(made).reduce(IMAGE)
    np.testing.assert_allclose(found.intensity, theirs.intensity, rtol=3e-6)
    np.testing.assert_allclose(found.sigma, theirs.sem, rtol=3e-6)
    np.testing.assert_allclose(found.std, theirs.std, rtol=3e-6)


@pytest.mark.parametrize("splitting", ["no", "bbox"])
def test_pyfais_azimuthal_errors_are_those_of_one_pass(splitting: str) -> None:
    """It adds w^2 (x - mean before) (x - mean after) pixel by pixel, w its share times its norm.

    That is the sum about the final mean where all w are equal, as for a flat detector without
    splitting; otherwise it is near. Ours makes two passes.
    """
    theirs = pyfai_shares(splitting).integrate_ng(
        IMAGE, flat=FLAT, error_model=ErrorModel.AZIMUTHAL
    )
    one_pass = np.zeros(BINS)
    for number, shares in enumerate(matrix(splitting)):
        total = weight = 0.0
        for pixel in np.flatnonzero(shares):
            w, signal = shares[pixel] * FLAT.ravel()[pixel], shares[pixel] * IMAGE.ravel()[pixel]
            if weight > 0:
                before, after = total / weight, (total + signal) / (weight + w)
                one_pass[number] += w**2 * (signal / w - before) * (signal / w - after)
            total, weight = total + signal, weight + w
    np.testing.assert_allclose(theirs.variance, one_pass, rtol=2e-5)
    found = sums_of(recipe(splitting, "azimuthal", flat=FLAT, solid_angle=False), IMAGE)
    several = found.count > 5
    off = np.abs(theirs.variance / found.variance - 1)[several]
    assert 1e-3 < off.max() < 0.3
    # Without a flat and without splitting all weights are equal.
    plain = pyfai_shares("no").integrate_ng(IMAGE, error_model=ErrorModel.AZIMUTHAL)
    equal = sums_of(recipe("no", "azimuthal", solid_angle=False), IMAGE)
    np.testing.assert_allclose(equal.variance, plain.variance, rtol=1e-5, atol=1e-6)


def test_pyfais_public_interface_takes_the_dark_as_exact(integrator_for: Any) -> None:
    """As ours does without ``dark_variance``, which there is no way to give to pyFAI's."""
    theirs = integrator_for(GEOMETRY).integrate1d(
        IMAGE,
        BINS,
        dark=DARK,
        error_model="poisson",
        method=("no", "csr", "cython"),
        unit="q_nm^-1",
    )
    found = reduction_for(recipe("no", dark=DARK)).reduce(IMAGE)
    np.testing.assert_allclose(found.sigma, theirs.sem, rtol=1e-5)


@pytest.mark.parametrize("factor", [-1.0, -0.3, 0.0, 0.99, 1.0])
@pytest.mark.parametrize("axis", [0.0, 30.0, -117.0, 90.0])
def test_polarization_is_pyfais_with_its_axis_offset(
    factor: float, axis: float, integrator_for: Any
) -> None:
    theirs = integrator_for(GEOMETRY).polarization(SHAPE, factor, np.radians(axis))
    found = pixel_arrays(GEOMETRY).polarization(factor, float(np.radians(axis)))
    np.testing.assert_allclose(found, theirs, rtol=3e-6)
    made = recipe("no", polarization=factor, polarization_axis=axis, solid_angle=False)
    norm = matrix("no") @ theirs.ravel()
    np.testing.assert_allclose(sums_of(made, IMAGE).norm, norm, rtol=3e-6)


def test_a_scale_multiplies_intensity_and_errors() -> None:
    plain, scaled = (reduction_for(recipe("bbox", scale=k)).reduce(IMAGE) for k in (1.0, 2.5))
    for name in ("intensity", "sigma", "std"):
        np.testing.assert_allclose(getattr(scaled, name), 2.5 * getattr(plain, name), rtol=1e-13)


def test_a_monitor_divides_as_pyfais_normalization_factor() -> None:
    theirs = pyfai_shares("bbox").integrate_ng(
        IMAGE, error_model=ErrorModel.POISSON, normalization_factor=1.6
    )
    made = recipe("bbox", monitor=50.0, solid_angle=False)
    reduction = reduction_for(made)
    found = reduction.finish(sums_of(made, IMAGE, monitor=80.0))
    np.testing.assert_allclose(found.intensity, theirs.intensity, rtol=3e-6)
    np.testing.assert_allclose(found.sigma, theirs.sem, rtol=3e-6)
    np.testing.assert_allclose(found.std, theirs.std, rtol=3e-6)


@pytest.mark.parametrize("splitting", ["no", "bbox", "pseudo", "full"])
@pytest.mark.parametrize("error_model", ["poisson", "azimuthal"])
def test_what_does_not_count_in_a_frame_is_as_if_masked(splitting: str, error_model: str) -> None:
    image = IMAGE.astype(np.float32)
    image[3, 4], image[5:7, 6], image[20, 20] = np.nan, np.inf, -np.inf
    image[30, 30:33], image[8, 9], image[8, 10] = 500, -2, -2.75
    lost = ~np.isfinite(image) | (image >= 500) | (np.abs(image + 2) <= 0.5)
    bounds = {"dark": DARK, "flat": FLAT, "saturation": 500.0, "dummy": -2.0, "delta_dummy": 0.5}
    made = recipe(splitting, error_model, **bounds)
    edges = tuple(reduction_for(made).edges.tolist())
    fixed = Radial(edges=edges)
    found = reduction_for(_with(made, fixed)).map(Frame(image))
    masked = recipe(splitting, error_model, dark=DARK, flat=FLAT, mask=lost)
    expected = reduction_for(_with(masked, fixed)).map(Frame(np.where(lost, 0, image)))
    for name in ("signal", "norm", "norm_sq", "count", "variance"):
        np.testing.assert_allclose(
            getattr(found, name), getattr(expected, name), rtol=1e-10, atol=1e-9
        )
    assert found.rejected == lost.sum() == 8


def test_a_dummy_with_its_tolerance_is_pyfais() -> None:
    for dummy, delta in ((3.0, 0.0), (3.0, 1.0), (10.0, 2.5)):
        theirs = pyfai_shares("bbox").integrate_ng(
            IMAGE, error_model=ErrorModel.POISSON, dummy=dummy, delta_dummy=delta or None
        )
        made = recipe("bbox", dummy=dummy, delta_dummy=delta, solid_angle=False)
        found = sums_of(made, IMAGE)
        np.testing.assert_allclose(found.count, theirs.count, rtol=3e-6)
        np.testing.assert_allclose(found.signal, theirs.signal, rtol=3e-6)
        assert found.rejected == (np.abs(IMAGE - dummy) <= delta).sum()


def _with(made: Recipe, binning: Radial) -> Recipe:
    return Recipe(
        geometry=made.geometry, binning=binning, splitting=made.splitting,
        error_model=made.error_model, corrections=made.corrections,
    )  # fmt: skip
