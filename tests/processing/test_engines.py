"""Engine equals engine, for any recipe and frame."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringline.processing import (
    ENGINES,
    Azimuthal,
    Block,
    Cake,
    Corrections,
    Detector,
    Geometry,
    Radial,
    Recipe,
    reduction_for,
)
from ringline.processing.sums import Sums

SHAPE = (23, 31)
DTYPES = ("u1", "<u2", ">u2", "u4", ">i4", "f4", "?")
OTHERS = [name for name in ENGINES if name != "numpy"]


def images(dtype: str, frames: int, seed: int) -> Any:
    """Counts over the whole range of small numbers, some of them 0, some special."""
    random = np.random.default_rng(seed)
    values = random.poisson(40, (frames, *SHAPE)) * (random.random((frames, *SHAPE)) < 0.8)
    found = values.astype(dtype)
    if found.dtype.kind == "f":
        found[random.random(found.shape) < 0.01] = np.nan
        found += random.normal(size=found.shape).astype(found.dtype)
    if found.dtype.kind == "i":
        found[random.random(found.shape) < 0.01] = -1
    return found


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    seed = draw(st.integers(0, 99))
    random = np.random.default_rng(seed)
    geometry = Geometry(
        distance=draw(st.floats(0.05, 0.3)),
        poni1=draw(st.floats(-1e-3, 4e-3)),
        poni2=draw(st.floats(-1e-3, 4e-3)),
        rot1=draw(st.floats(-0.3, 0.3)),
        rot2=draw(st.floats(-0.3, 0.3)),
        wavelength=1e-10,
        detector=Detector(pixel1=1e-4, pixel2=1.2e-4, shape=SHAPE),
    )
    unit = draw(st.sampled_from(["q_nm^-1", "2th_deg", "r_mm", "d*2_A^-2"]))
    bins = draw(st.integers(1, 60))
    binning = draw(
        st.sampled_from([Radial(bins, unit), Azimuthal(bins), Cake(bins, 1 + bins // 3, unit)])
    )
    corrections = Corrections(
        mask=draw(st.sampled_from([None, random.random(SHAPE) < 0.1])),
        dark=draw(st.sampled_from([None, random.random(SHAPE) * 5])),
        flat=draw(st.sampled_from([None, 0.5 + random.random(SHAPE)])),
        dark_variance=draw(st.sampled_from([None, random.random(SHAPE)])),
        variance=1.0 + random.random(SHAPE),
        polarization=draw(st.sampled_from([None, 0.9])),
        saturation=draw(st.sampled_from([None, 55.0])),
        dummy=draw(st.sampled_from([None, -1.0, 40.0])),
        delta_dummy=draw(st.sampled_from([0.0, 1.5])),
    )
    return Recipe(
        geometry=geometry,
        binning=binning,
        corrections=corrections,
        splitting=draw(st.sampled_from(["no", "bbox", "pseudo", "full"])),
        coefficients=draw(st.sampled_from(["exact", "compact"])),
        error_model=draw(st.sampled_from(["none", "poisson", "variance", "azimuthal", "hybrid"])),
    )


def arrays(sums: Sums) -> dict[str, Any]:
    return {
        name: getattr(sums, name) for name in ("signal", "variance", "norm", "norm_sq", "count")
    }


def agree(found: Sums, expected: Sums, tolerance: float) -> None:
    """Equal to a tolerance, relative to the largest value of each kind of sum."""
    assert found.rejected == expected.rejected
    for name, values in arrays(expected).items():
        scale = max(float(np.abs(values).max()), 1e-300)
        np.testing.assert_allclose(
            getattr(found, name) / scale, values / scale, rtol=0, atol=tolerance, err_msg=name
        )


@pytest.mark.parametrize("engine", OTHERS)
@settings(max_examples=120)
@given(
    recipe=recipes(),
    dtype=st.sampled_from(DTYPES),
    frames=st.integers(1, 20),
    seed=st.integers(0, 9),
)
def test_an_engine_equals_the_reference_for_any_recipe_and_frame(
    engine: str, recipe: Recipe, dtype: str, frames: int, seed: int
) -> None:
    block = Block(images(dtype, frames, seed), first=3)
    found = reduction_for(recipe, engine).map_block(block)
    expected = reduction_for(recipe, "numpy").map_block(block)
    assert [sums.first_frame for sums in found] == list(range(3, 3 + frames))
    whole_counts = np.dtype(dtype).kind in "uib"
    for ours, theirs in zip(found, expected, strict=True):
        agree(ours, theirs, 1e-12)
        if whole_counts and recipe.splitting == "no" and recipe.error_model != "azimuthal":
            assert all(
                np.array_equal(arrays(ours)[name], values)
                for name, values in arrays(theirs).items()
            )


@pytest.mark.parametrize("engine", sorted(ENGINES))
@settings(max_examples=40)
@given(
    recipe=recipes(), dtype=st.sampled_from(DTYPES), cut=st.integers(1, 18), seed=st.integers(0, 9)
)
def test_the_size_of_a_block_does_not_change_a_bit(
    engine: str, recipe: Recipe, dtype: str, cut: int, seed: int
) -> None:
    reduction = reduction_for(recipe, engine)
    block = images(dtype, 19, seed)
    whole = reduction.map_block(Block(block))
    parts = [
        *reduction.map_block(Block(block[:cut])),
        *reduction.map_block(Block(block[cut:], first=cut)),
    ]
    for ours, theirs in zip(parts, whole, strict=True):
        for name, values in arrays(theirs).items():
            np.testing.assert_array_equal(getattr(ours, name), values, err_msg=name)


@pytest.mark.parametrize("engine", sorted(ENGINES))
@pytest.mark.parametrize("dtype", ["<u2", ">u2", "f4"])
def test_strides_and_byte_order_do_not_change_a_bit(engine: str, dtype: str) -> None:
    recipe = Recipe(
        geometry=Geometry(
            distance=0.1, wavelength=1e-10, detector=Detector(pixel1=1e-4, pixel2=1e-4, shape=SHAPE)
        ),
        binning=Radial(20),
        splitting="full",
        error_model="poisson",
    )
    reduction = reduction_for(recipe, engine)
    plain = images(dtype, 1, 3)[0]
    wide = np.zeros((2 * SHAPE[0], 3 * SHAPE[1]), plain.dtype)
    wide[::2, ::3] = plain
    turned = np.asfortranarray(plain)
    expected = reduction.reduce(plain.astype(plain.dtype.newbyteorder("=")))
    for image in (plain, wide[::2, ::3], turned):
        np.testing.assert_array_equal(reduction.reduce(image).intensity, expected.intensity)
        np.testing.assert_array_equal(reduction.reduce(image).sigma, expected.sigma)


@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_counts_near_the_largest_of_their_type_do_not_overflow(engine: str) -> None:
    recipe = Recipe(
        geometry=Geometry(
            distance=0.1, wavelength=1e-10, detector=Detector(pixel1=1e-4, pixel2=1e-4, shape=SHAPE)
        ),
        binning=Radial(1),
        splitting="no",
        error_model="poisson",
        corrections=Corrections(solid_angle=False),
    )
    for dtype in ("u1", "u2", "u4", "i2", "i4"):
        largest = np.iinfo(dtype).max
        image = np.full(SHAPE, largest, dtype)
        profile = reduction_for(recipe, engine).reduce(image)
        assert profile.intensity[0] == largest, dtype


@pytest.mark.parametrize("engine", sorted(ENGINES))
@pytest.mark.parametrize("coefficients", ["exact", "compact"])
@pytest.mark.parametrize("error_model", ["poisson", "variance", "azimuthal"])
def test_a_ring_that_is_lost_as_a_whole_in_a_frame_is_a_gap(
    engine: str, coefficients: str, error_model: str
) -> None:
    random = np.random.default_rng(1)
    recipe = Recipe(
        geometry=Geometry(
            distance=0.1, wavelength=1e-10, detector=Detector(pixel1=1e-4, pixel2=1e-4, shape=SHAPE)
        ),
        binning=Radial(40),
        splitting="full",
        coefficients=coefficients,
        error_model=error_model,
        corrections=Corrections(
            dark=random.random(SHAPE),
            flat=0.5 + random.random(SHAPE),
            variance=random.random(SHAPE),
            saturation=100.0,
        ),
    )
    image = random.poisson(30, SHAPE).astype(np.uint16)
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    lost = np.hypot(rows, columns) > 15
    image[lost] = 200
    reduction = reduction_for(recipe, engine)
    sums = reduction.map_block(Block(image[np.newaxis]))[0]
    profile = reduction.finish(sums)
    assert sums.rejected == lost.sum()
    assert np.isnan(profile.intensity[-10:]).all()
    assert profile.sigma is not None
    assert np.isnan(profile.sigma[-10:]).all()
    known = np.isfinite(profile.intensity)
    assert known.sum() > 10
    assert np.isfinite(profile.sigma[known]).all()
    assert np.abs(profile.intensity[known]).max() < 200
