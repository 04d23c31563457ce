"""What must hold for every recipe and frame, whoever else computes it."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ringline.processing import (
    Cake,
    Corrections,
    Detector,
    Frame,
    FrameError,
    Geometry,
    Radial,
    Recipe,
    RecipeError,
    Reduction,
    Sums,
    detector_named,
    pixel_arrays,
    reduction_for,
)

from .pixel_coordinates import half_width  # noqa: TID252

SHAPE = (31, 37)


def recipe(**changes: object) -> Recipe:
    values: dict[str, object] = {
        "geometry": Geometry(
            distance=0.05,
            poni1=1.4e-3,
            poni2=1.9e-3,
            rot1=0.1,
            wavelength=1e-10,
            detector=Detector(pixel1=1e-4, pixel2=1e-4, shape=SHAPE),
        ),
        "binning": Radial(bins=25),
        "error_model": "poisson",
        **changes,
    }
    return Recipe(**values)  # type: ignore[arg-type]


def poisson(seed: int, mean: float = 20) -> NDArray[np.int32]:
    return np.random.default_rng(seed).poisson(mean, SHAPE).astype(np.int32)


def assert_sums_close(found: Sums, expected: Sums) -> None:
    for name in ("signal", "variance", "norm", "count"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-12)
    assert (found.frames, found.rejected) == (expected.frames, expected.rejected)
    assert (found.first_frame, found.last_frame) == (expected.first_frame, expected.last_frame)


@pytest.mark.parametrize("splitting", ["no", "bbox"])
@pytest.mark.parametrize("binning", [Radial(bins=25), Cake(radial_bins=20, azimuthal_bins=9)])
def test_a_uniform_image_reduces_to_a_flat_profile(splitting: str, binning: Radial | Cake) -> None:
    uniform = recipe(
        splitting=splitting, binning=binning, corrections=Corrections(solid_angle=False)
    )
    profile = reduction_for(uniform).reduce(np.full(SHAPE, 7, np.uint16))
    np.testing.assert_allclose(profile.intensity[np.isfinite(profile.intensity)], 7.0, rtol=1e-14)


def test_an_isotropic_scene_is_recovered_through_solid_angle_and_polarization() -> None:
    corrected = recipe(corrections=Corrections(polarization=0.95), binning=Radial(bins=10))
    arrays = pixel_arrays(corrected.geometry)
    image = 1000.0 * arrays.solid_angle * arrays.polarization(0.95)
    np.testing.assert_allclose(reduction_for(corrected).reduce(image).intensity, 1000.0, rtol=1e-13)


@pytest.mark.parametrize("splitting", ["no", "bbox"])
@pytest.mark.parametrize("binning", [Radial(bins=25), Cake(radial_bins=20, azimuthal_bins=9)])
@given(seed=st.integers(0, 2**32), masked=st.floats(0, 0.9))
@settings(max_examples=20)
def test_counts_are_conserved(
    splitting: str, binning: Radial | Cake, seed: int, masked: float
) -> None:
    mask = np.random.default_rng(seed).random(SHAPE) < masked
    kept = recipe(splitting=splitting, binning=binning, corrections=Corrections(mask=mask))
    image = poisson(seed)
    sums = reduction_for(kept).map(Frame(image))
    assert sums.signal.sum() == pytest.approx(image[~mask].sum(), rel=1e-12)
    assert sums.count.sum() == pytest.approx((~mask).sum(), rel=1e-12)


@given(seeds=st.lists(st.integers(0, 99), min_size=1, max_size=6), cut=st.integers(0, 6))
@settings(max_examples=20)
def test_reducing_in_two_chunks_equals_reducing_at_once(seeds: list[int], cut: int) -> None:
    reduction = reduction_for(recipe())
    frames = [Frame(poisson(seed), index) for index, seed in enumerate(seeds)]

    def total(part: list[Frame]) -> Sums:
        return sum((reduction.map(frame) for frame in part), start=Sums.zero((25,)))

    assert_sums_close(total(frames[:cut]) + total(frames[cut:]), total(frames))
    assert_sums_close(sum(reduction.map(frame) for frame in frames), total(frames))


def test_a_scan_reduces_to_the_curve_of_its_summed_image() -> None:
    reduction = reduction_for(recipe())
    frames = [poisson(seed) for seed in range(8)]
    scan = sum(
        (reduction.map(Frame(image, index)) for index, image in enumerate(frames)),
        start=Sums.zero((25,)),
    )
    mean = reduction.reduce(np.mean(frames, axis=0)).intensity
    np.testing.assert_allclose(reduction.finish(scan).intensity, mean, rtol=1e-12)
    assert (reduction.finish(scan).first_frame, reduction.finish(scan).last_frame) == (0, 7)


def test_poisson_sigma_is_the_scatter_of_repeated_exposures() -> None:
    reduction = reduction_for(recipe(splitting="no", binning=Radial(bins=12)))
    profiles = reduction.reduce_block([poisson(seed, 50) for seed in range(600)])
    scatter = np.std([profile.intensity for profile in profiles], axis=0)
    sigma = np.mean([profile.sigma for profile in profiles if profile.sigma is not None], axis=0)
    np.testing.assert_allclose(scatter, sigma, rtol=0.12)


def test_a_pixel_that_is_not_a_number_counts_nowhere_and_is_counted() -> None:
    image = poisson(1).astype(np.float32)
    spoiled = image.copy()
    spoiled[3, 4], spoiled[5, 6] = np.nan, np.inf
    mask = ~np.isfinite(spoiled)
    found = reduction_for(recipe()).map(Frame(spoiled))
    axis = reduction_for(recipe()).axis
    fixed = recipe(
        binning=Radial(bins=25, radial_range=(axis[0], axis[-1])),
        corrections=Corrections(mask=mask),
    )
    free = recipe(binning=fixed.binning)
    np.testing.assert_allclose(
        reduction_for(free).reduce(spoiled).intensity,
        reduction_for(fixed).reduce(image).intensity,
        rtol=1e-12,
    )
    assert found.rejected == 2
    assert found.count.sum() == pytest.approx(image.size - 2)


@pytest.mark.parametrize(
    "dtype", ["u1", "u2", "u4", "i2", "i4", "f4", "f8", ">u2", ">i4", ">f4", "?"]
)
def test_every_dtype_and_byte_order_gives_the_same_curve(dtype: str) -> None:
    image = poisson(5) % 2 if dtype == "?" else poisson(5)
    expected = reduction_for(recipe()).reduce(image.astype(np.float64)).intensity
    np.testing.assert_array_equal(
        reduction_for(recipe()).reduce(image.astype(dtype)).intensity, expected
    )


def test_strides_do_not_matter() -> None:
    image = poisson(6)
    expected = reduction_for(recipe()).reduce(image).intensity
    for view in (np.asfortranarray(image), np.repeat(image, 2, axis=1)[:, ::2]):
        np.testing.assert_array_equal(reduction_for(recipe()).reduce(view).intensity, expected)


def test_pixels_on_either_side_of_a_range_are_left_out_exactly() -> None:
    low, high = 12.0, 21.5
    ranged = recipe(splitting="no", binning=Radial(bins=9, radial_range=(low, high)))
    q = pixel_arrays(ranged.geometry).q
    sums = reduction_for(ranged).map(Frame(poisson(7)))
    edges = reduction_for(ranged).edges
    expected, _ = np.histogram(q, edges)
    np.testing.assert_array_equal(sums.count, expected)
    assert edges[0] == low
    assert edges[-1] == pytest.approx(high, rel=2e-7)


def test_a_box_counts_in_a_range_by_the_part_of_it_that_lies_inside() -> None:
    ranged = recipe(splitting="bbox", binning=Radial(bins=1, radial_range=(15.0, 20.0)))
    arrays = pixel_arrays(ranged.geometry)
    center, half = arrays.q, half_width(arrays, "q")
    inside = np.minimum(center + half, 20.0) - np.maximum(center - half, 15.0)
    expected = np.clip(inside / (2 * half), 0, 1).sum()
    found = reduction_for(ranged).map(Frame(poisson(8))).count.sum()
    assert found == pytest.approx(expected, rel=1e-6)


def test_bins_that_no_pixel_reaches_are_nan_not_zero() -> None:
    wide = recipe(binning=Radial(bins=20, radial_range=(0.1, 500.0)))
    profile = reduction_for(wide).reduce(np.zeros(SHAPE))
    assert np.isnan(profile.intensity[-1])
    assert np.nanmax(profile.intensity) == 0.0


def test_dead_pixels_of_the_flat_are_left_out() -> None:
    flat = np.ones(SHAPE)
    flat[0, 0], flat[1, 1] = 0.0, np.nan
    sums = reduction_for(recipe(corrections=Corrections(flat=flat))).map(Frame(poisson(9)))
    assert sums.count.sum() == pytest.approx(flat.size - 2)
    assert np.isfinite(sums.norm).all()


def test_the_detectors_gaps_are_left_out_without_a_mask() -> None:
    pilatus = detector_named("Pilatus300k")
    gaps = pilatus.built_in_mask()
    assert gaps is not None
    geometry = Geometry(distance=0.2, wavelength=1e-10, detector=pilatus)
    sums = reduction_for(recipe(geometry=geometry)).map(Frame(np.ones(gaps.shape)))
    assert sums.signal.sum() == pytest.approx((~gaps).sum())


def test_one_pixel_and_one_bin_work() -> None:
    geometry = Geometry(
        distance=0.1, wavelength=1e-10, detector=Detector(pixel1=1e-4, pixel2=1e-4, shape=(1, 1))
    )
    single = recipe(geometry=geometry, binning=Radial(bins=1))
    assert reduction_for(single).map(Frame(np.array([[5]]))).signal.sum() == pytest.approx(5.0)


def test_a_mask_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(RecipeError, match="all pixels are masked"):
        reduction_for(recipe(corrections=Corrections(mask=np.ones(SHAPE))))


def test_a_frame_of_another_shape_is_that_frames_error() -> None:
    with pytest.raises(FrameError, match=r"frame 4: shape \(31, 36\), recipe expects \(31, 37\)"):
        reduction_for(recipe()).map(Frame(np.zeros((31, 36)), index=4))


def test_a_recipe_without_a_shape_takes_that_of_its_first_frame() -> None:
    known = recipe()
    detector = Detector(pixel1=1e-4, pixel2=1e-4)
    geometry = Geometry(
        distance=0.05, poni1=1.4e-3, poni2=1.9e-3, rot1=0.1, wavelength=1e-10, detector=detector
    )
    unknown = recipe(geometry=geometry)
    reduction = reduction_for(unknown)
    with pytest.raises(RecipeError, match="shape is not known"):
        _ = reduction.axis
    profile = reduction.reduce(poisson(2))
    np.testing.assert_array_equal(
        profile.intensity, reduction_for(known).reduce(poisson(2)).intensity
    )
    assert profile.recipe_digest == unknown.digest
    with pytest.raises(FrameError, match="shape"):
        reduction.reduce(np.zeros((5, 5)))
    reduction_for(unknown).reduce(np.ones((5, 5)))


def test_a_reduction_is_not_pickled() -> None:
    with pytest.raises(TypeError, match="send its recipe"):
        pickle.dumps(reduction_for(recipe()))


def test_an_absent_engine_is_an_error_and_auto_says_what_it_chose() -> None:
    with pytest.raises(RecipeError, match="unknown engine 'nunpy': did you mean 'numpy'"):
        reduction_for(recipe(), engine="nunpy")
    assert reduction_for(recipe()).engine == "numba"


def test_threads_share_a_reduction() -> None:
    reduction: Reduction = reduction_for(recipe())
    expected = reduction.reduce(poisson(1)).intensity
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: reduction.reduce(poisson(1)).intensity, range(64)):
            np.testing.assert_array_equal(found, expected)


def test_a_warm_reduction_gives_the_same_bits() -> None:
    warm, cold = reduction_for(recipe()), reduction_for(recipe())
    warm.warm(["u2", "f4"])
    image = poisson(4).astype(np.uint16)
    np.testing.assert_array_equal(warm.reduce(image).intensity, cold.reduce(image).intensity)
    geometry = Geometry(distance=0.1, wavelength=1e-10, detector=Detector(pixel1=1e-4, pixel2=1e-4))
    with pytest.raises(RecipeError, match="shape is not known"):
        reduction_for(recipe(geometry=geometry)).warm()
