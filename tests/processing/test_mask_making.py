"""Masks made of frames whose faults are known, and of real images."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import fabio
import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from ringline.plans import demo_scene
from ringline.plans.scene import Faults, MeanImages
from ringline.processing import (
    Detector,
    FrameError,
    Geometry,
    MadeMask,
    MaskSettings,
    RecipeError,
    detector_named,
    make_mask,
    pixel_arrays,
    read_poni,
)
from ringline.processing.mask_expectation import thirds
from ringline.processing.mask_making import CAUSE_BITS
from ringline.processing.mask_rings import FEWEST, Members, rings_of, scattering_of
from ringline.processing.mask_statistics import frame_statistics

Image = NDArray[np.generic]
Place = Geometry | Detector | None

SHAPE = (360, 400)
DETECTOR = Detector(pixel1=1e-4, pixel2=1e-4, shape=SHAPE)
GEOMETRY = Geometry(distance=0.1, wavelength=1e-10, detector=DETECTOR, poni1=0.0177, poni2=0.0203)
PLACES = [pytest.param(GEOMETRY, id="geometry"), pytest.param(None, id="none")]
BY_COUNTS = ("dead", "weak", "hot", "noisy", "shadow")


def photons(mean: Image | float, frames: int, seed: int = 1) -> NDArray[np.uint32]:
    rng = np.random.default_rng(seed)
    return rng.poisson(np.broadcast_to(mean, (frames, *SHAPE))).astype(np.uint32)


def masked(made: MadeMask) -> dict[str, int]:
    return {name: count for name, count in made.counts.items() if count}


def places(mask: NDArray[np.bool_]) -> list[tuple[int, ...]]:
    return [tuple(int(n) for n in place) for place in np.argwhere(mask)]


# The simulated detector, whose faults are known.


@pytest.fixture(scope="module")
def scene() -> tuple[Geometry, Faults, NDArray[np.float32]]:
    simulated = demo_scene()
    images = MeanImages(simulated)
    return simulated.geometry, images.faults, images.at(0.0)


@pytest.mark.parametrize("known", ["geometry", "detector", "nothing"])
def test_all_faults_of_a_simulated_detector_are_found_and_nothing_else(
    scene: tuple[Geometry, Faults, NDArray[np.float32]], known: str
) -> None:
    geometry, faults, mean = scene
    place = {"geometry": geometry, "detector": geometry.detector, "nothing": None}[known]
    frames = np.random.default_rng(3).poisson(mean, (60, *mean.shape)).astype(np.uint32)
    made = make_mask(frames, place=place)
    np.testing.assert_array_equal(made.gap, faults.gaps)
    assert (made.hot & faults.hot).sum() == faults.hot.sum() > 5
    assert (made.mask & faults.dead).sum() == faults.dead.sum() > 20
    for cause in ("dead", "weak", "hot", "noisy"):
        assert not (made.causes[cause] & ~faults.mask).any(), cause
    assert not (faults.shadow & ~made.mask).any()
    extra = made.shadow & ~faults.mask
    # Margin of two pixels, and as much again for what is blurred over squares.
    assert ndimage.distance_transform_edt(~faults.shadow)[extra].max() <= 5


def test_a_single_frame_of_few_photons_shows_hot_pixels_and_the_beam_stop(
    scene: tuple[Geometry, Faults, NDArray[np.float32]],
) -> None:
    geometry, faults, mean = scene
    made = make_mask([np.random.default_rng(4).poisson(mean)], place=geometry)
    assert (made.hot == faults.hot).all()
    assert not ((made.dead | made.weak | made.noisy) & ~faults.mask).any()
    assert not (faults.shadow & ~made.mask).any()
    assert (made.shadow & ~faults.mask).sum() < 1500


# What chance does.


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("frames", [1, 2, 8])
@pytest.mark.parametrize("counts", [0.01, 0.5, 5.0, 500.0])
def test_counting_noise_alone_masks_nothing(counts: float, frames: int, place: Place) -> None:
    assert masked(make_mask(photons(counts, frames), place=place)) == {}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("counts", "frames"), [(0.5, 1), (0.5, 12), (5.0, 3), (500.0, 6)])
def test_no_more_good_pixels_are_masked_by_chance_than_the_bound(
    counts: float, frames: int, place: Place
) -> None:
    # Whatever differs at all is far enough: chance alone decides.
    loose = MaskSettings(
        false_positives=100, weak_below=0.9999, hot_above=1.0001, noisy_above=1.0001
    )
    made = make_mask(photons(counts, frames, seed=2), loose, place=place)
    assert made.counts["dead"] + made.counts["weak"] <= 140
    assert made.counts["hot"] <= 140
    assert made.counts["noisy"] <= 140


def test_chance_does_mask_pixels_if_it_may() -> None:
    loose = MaskSettings(false_positives=100, weak_below=0.9999, hot_above=1.0001)
    made = make_mask(photons(500.0, 1), loose, place=GEOMETRY)
    assert made.counts["dead"] + made.counts["weak"] > 5


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("frames", [1, 6])
@pytest.mark.parametrize("width", [0.8, 2.5])
def test_strong_narrow_rings_and_the_dark_between_them_are_kept(
    width: float, frames: int, place: Place
) -> None:
    radius = pixel_arrays(GEOMETRY).r / 1e-4
    rings = sum(np.exp(-0.5 * ((radius - r) / width) ** 2) for r in (40, 70, 77, 130, 190, 200))
    made = make_mask(photons(0.5 + 3000.0 * np.asarray(rings), frames), place=place)
    assert masked(made) == {}


@pytest.mark.parametrize("place", PLACES)
def test_scattering_that_falls_steeply_from_the_beam_is_no_shadow(place: Place) -> None:
    radius = pixel_arrays(GEOMETRY).r / 1e-4
    made = make_mask(photons(1e5 / (1.0 + (radius / 8.0) ** 3) + 1.0, 3), place=place)
    assert masked(made) == {}


def test_polarized_scattering_is_no_shadow() -> None:
    mean = 200.0 * pixel_arrays(replace(GEOMETRY, distance=0.02)).polarization(1.0)
    assert mean.min() < 0.6 * mean.max()
    assert masked(make_mask(photons(mean, 2), place=replace(GEOMETRY, distance=0.02))) == {}


# Single pixels.


@pytest.mark.parametrize("place", PLACES)
def test_dead_weak_and_hot_pixels_are_told_apart(place: Place) -> None:
    mean = np.full(SHAPE, 60.0)
    mean[50, 60] = 0.0
    mean[80, 90] = 2.0
    mean[100, 120] = 18.0
    mean[200, 210] = 400.0
    made = make_mask(photons(mean, 10), place=place)
    assert places(made.dead) == [(50, 60), (80, 90)]
    assert places(made.weak) == [(100, 120)]
    assert places(made.hot) == [(200, 210)]
    assert made.counts["noisy"] == made.counts["shadow"] == made.counts["gap"] == 0


def test_a_dead_column_is_found_where_a_geometry_tells_what_is_expected() -> None:
    mean = np.full(SHAPE, 60.0)
    mean[40:90, 55] = 0.0
    made = make_mask(photons(mean, 4), place=GEOMETRY)
    np.testing.assert_array_equal(made.dead, mean == 0)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("bright", "found"), [(1, 0), (2, 0), (8, 1)])
def test_a_pixel_that_is_bright_in_a_tenth_of_the_frames_is_not_hot(
    bright: int, found: int, place: Place
) -> None:
    stack = photons(5.0, 20)
    stack[:bright, 100, 100] = 30_000
    made = make_mask(stack, place=place)
    assert int(made.hot[100, 100]) + int(made.noisy[100, 100]) == found
    assert sum(made.counts.values()) == found


def test_one_frame_cannot_tell_a_cosmic_ray_from_a_hot_pixel() -> None:
    stack = photons(5.0, 2)
    stack[0, 100, 100] = 30_000
    assert places(make_mask(stack[:1]).hot) == [(100, 100)]
    assert masked(make_mask(stack)) == {}


@pytest.mark.parametrize("place", PLACES)
def test_a_lasting_bragg_spot_is_not_hot(place: Place) -> None:
    rows, columns = np.indices(SHAPE)
    spot = np.exp(-0.5 * ((rows - 100.2) ** 2 + (columns - 150.1) ** 2) / 0.6**2)
    assert masked(make_mask(photons(5.0 + 9000.0 * spot, 6), place=place)) == {}


@pytest.mark.parametrize("place", PLACES)
def test_a_flickering_pixel_is_noisy(place: Place) -> None:
    stack = photons(50.0, 16)
    stack[::2, 100, 100] = 0
    stack[1::2, 100, 100] = 100
    assert masked(make_mask(stack, place=place)) == {"noisy": 1}
    assert make_mask(stack, place=place).noisy[100, 100]


@pytest.mark.parametrize("place", PLACES)
def test_a_beam_that_fluctuates_makes_no_pixel_noisy(place: Place) -> None:
    flux = np.random.default_rng(5).uniform(0.3, 1.0, 12)
    stack = np.concatenate([photons(400.0 * flux[i], 1, seed=i) for i in range(12)])
    assert masked(make_mask(stack, place=place)) == {}


@pytest.mark.parametrize("place", PLACES)
def test_a_pixel_that_always_says_the_same_is_dead_once_that_is_no_chance(place: Place) -> None:
    stack = photons(30.0, 20)
    stack[:, 100, 100] = 30
    assert places(make_mask(stack, place=place).dead) == [(100, 100)]
    assert masked(make_mask(stack[:5], place=place)) == {}


@pytest.mark.parametrize("place", PLACES)
def test_a_dark_takes_away_what_makes_pixels_hot_without_scattering(place: Place) -> None:
    dark = np.ones(SHAPE, dtype=np.float32)
    dark[100, 100] = 80.0
    stack = photons(4.0 + dark, 12)
    assert places(make_mask(stack, place=place).hot) == [(100, 100)]
    assert masked(make_mask(stack, place=place, dark=dark)) == {}


def test_a_gain_scales_what_chance_explains() -> None:
    stack = photons(8.0, 1) * 50
    assert make_mask(stack, MaskSettings(hot_above=1.2)).counts["hot"] > 5
    assert masked(make_mask(stack, MaskSettings(hot_above=1.2, gain=50))) == {}


# What makers write where there is no value.


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i4", "f4"])
def test_values_that_are_none_are_gaps_or_dead_pixels(dtype: str) -> None:
    kind = np.dtype(dtype)
    none = {"u": np.iinfo(kind.str).max if kind.kind == "u" else 0, "i": -1, "f": np.nan}[kind.kind]
    stack = photons(20.0, 3).astype(dtype)
    stack[:, 100:110] = none
    stack[:, 40, 50] = stack[:, 200:203, 210] = none
    stack[1, 300, 300] = none  # in one frame only
    made = make_mask(stack)
    assert made.gap[100:110].all()
    assert made.counts["gap"] == 10 * SHAPE[1]
    assert places(made.dead) == [(40, 50), (200, 210), (201, 210), (202, 210)]
    assert sum(made.counts.values()) == 10 * SHAPE[1] + 4


def test_rows_and_columns_that_are_empty_are_gaps_unless_there_are_hardly_any_photons() -> None:
    mean = np.full(SHAPE, 3.0)
    mean[:, 200:207] = mean[90] = 0.0
    np.testing.assert_array_equal(make_mask(photons(mean, 1)).gap, mean == 0)
    assert masked(make_mask(photons(mean * 1e-3, 1))) == {}


def test_what_a_user_says_of_values_counts() -> None:
    stack = photons(20.0, 2).astype(np.int32) - 100
    assert make_mask(stack).gap.all()
    stack[:, 10, 10] = 5000
    made = make_mask(stack + 100, MaskSettings(saturation=4000))
    assert places(made.dead) == [(10, 10)]
    assert not make_mask(stack, MaskSettings(minimum=-1000)).gap.any()


def test_the_gaps_of_a_named_detector_are_masked_whatever_stands_there() -> None:
    detector = detector_named("Pilatus 100k")
    detector = detector_named("Pilatus 300k") if detector.built_in_mask() is None else detector
    gaps = detector.built_in_mask()
    assert gaps is not None
    assert detector.shape is not None
    frame = np.random.default_rng(1).poisson(20.0, detector.shape).astype(np.int32)
    np.testing.assert_array_equal(make_mask([frame], place=detector).gap, gaps)


# Shadows.


def shadowed(through: float) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Falling scattering with rings behind a round beam stop on a slanting arm."""
    rows, columns = np.indices(SHAPE)
    radius = pixel_arrays(GEOMETRY).r / 1e-4
    mean = 30.0 + 200.0 * np.exp(-radius / 60.0)
    mean += 800.0 * np.exp(-0.5 * ((radius - 90.0) / 1.5) ** 2)
    across = np.abs((rows - 177.0) + 0.5 * (columns - 203.0))
    shadow = (np.hypot(rows - 175.0, columns - 205.0) < 18) | ((across < 5) & (columns > 203))
    return np.where(shadow, through * mean, mean), shadow


@pytest.mark.parametrize("through", [0.0, 0.02, 0.1])
@pytest.mark.parametrize("frames", [1, 5])
def test_the_beam_stop_and_its_arm_are_masked_with_a_margin(frames: int, through: float) -> None:
    mean, shadow = shadowed(through)
    made = make_mask(photons(mean, frames), place=GEOMETRY)
    assert (made.shadow & shadow).sum() > 0.98 * shadow.sum()
    away = ndimage.distance_transform_edt(~shadow)
    assert away[made.shadow].max() <= 6
    assert made.counts["hot"] == made.counts["noisy"] == 0
    assert made.counts["weak"] + made.counts["dead"] <= 0.02 * shadow.sum()


def test_an_arm_that_lets_half_of_the_photons_through_is_masked() -> None:
    mean, shadow = shadowed(0.5)
    made = make_mask(photons(mean, 5), place=GEOMETRY)
    arm = shadow & (pixel_arrays(GEOMETRY).r > 30e-4)
    assert (made.shadow & arm).sum() > 0.9 * arm.sum()
    assert ndimage.distance_transform_edt(~shadow)[made.shadow].max() <= 6


def test_without_a_geometry_the_largest_dark_area_is_the_shadow() -> None:
    mean, shadow = shadowed(0.02)
    made = make_mask(photons(mean, 3))
    assert (made.shadow & shadow).sum() > 0.95 * shadow.sum()
    assert ndimage.distance_transform_edt(~shadow)[made.shadow].max() <= 6


def test_the_margin_grows_shadows_by_so_many_pixels() -> None:
    mean, _ = shadowed(0.0)
    bare, grown = (
        make_mask(photons(mean, 3), MaskSettings(margin=margin), place=GEOMETRY).shadow
        for margin in (0, 4)
    )
    np.testing.assert_array_equal(grown, ndimage.distance_transform_edt(~bare) <= 4)


def test_a_shadow_smaller_than_the_smallest_is_none() -> None:
    mean = np.full(SHAPE, 100.0)
    mean[60:80, 70:90] = 0.0
    made = make_mask(photons(mean, 2), MaskSettings(margin=0), place=GEOMETRY)
    assert made.shadow[60:80, 70:90].mean() > 0.9
    small = make_mask(photons(mean, 2), MaskSettings(shadow_area=600), place=GEOMETRY)
    assert small.counts["shadow"] == 0


# The result, and the settings.


def test_causes_do_not_overlap_and_add_up_to_the_mask_and_its_bits() -> None:
    mean, _ = shadowed(0.02)
    mean[20, 30], mean[60, 300] = 0.0, 5000.0
    stack = photons(mean, 6)
    stack[:, :, 150] = np.iinfo(np.uint32).max
    stack[::2, 300, 40] = 900
    made = make_mask(stack, place=GEOMETRY)
    assert all(made.counts[name] for name in ("gap", "dead", "hot", "noisy", "shadow"))
    assert sum(mask.astype(int) for mask in made.causes.values()).max() == 1
    assert sum(made.counts.values()) == made.mask.sum()
    np.testing.assert_array_equal(made.pixel_mask != 0, made.mask)
    bits = {"gap": 1, "dead": 2, "weak": 4, "hot": 8, "noisy": 16, "shadow": 256}
    assert {name: 1 << bit for name, bit in CAUSE_BITS.items()} == bits
    for name, value in bits.items():
        assert (made.pixel_mask[made.causes[name]] == value).all()
    assert made.frames == 6
    np.testing.assert_allclose(made.rate[1, 2], stack[:, 1, 2].mean(), rtol=1e-6)
    assert np.isnan(made.rate[1, 150])


def test_frames_are_asked_for_once_and_may_exceed_memory(tmp_path: Path) -> None:
    mean, _ = shadowed(0.02)
    stack = photons(mean, 9)
    little = MaskSettings(memory=1 << 20, scratch=tmp_path)
    found = make_mask((image for image in stack), little, place=GEOMETRY)
    np.testing.assert_array_equal(found.pixel_mask, make_mask(stack, place=GEOMETRY).pixel_mask)
    assert list(tmp_path.iterdir()) == []


REFUSED = {
    "false_positives": (0, -1, 1000, float("nan"), "x"),
    "dead_below": (-0.1, 1.0, 0.6),
    "weak_below": (1.0, 0.05),
    "hot_above": (1.0, float("inf")),
    "noisy_above": (1.0, 0.5),
    "shadow_below": (1.0, -0.1),
    "shadow_area": (0, 2.5),
    "margin": (-1, 1.5),
    "transient": (0.5, -0.1),
    "polarization": (1.1, -2.0),
    "gain": (0.0, -1.0),
    "memory": (1000,),
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in REFUSED.items() for value in values]
)
def test_settings_out_of_bounds_are_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(RecipeError, match=f"{name}|weak_below"):
        MaskSettings(**{name: value})  # type: ignore[arg-type]


def test_a_saturation_below_the_minimum_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"saturation must be > minimum \(5\), got 4"):
        MaskSettings(minimum=5, saturation=4)


def test_what_is_not_one_set_of_frames_is_refused() -> None:
    frame = photons(3.0, 1)[0]
    with pytest.raises(FrameError, match="there are no frames"):
        make_mask([])
    with pytest.raises(FrameError, match=r"frame 1: shape \(360, 399\), the first has"):
        make_mask([frame, frame[:, 1:]])
    with pytest.raises(FrameError, match="frame 0: no image"):
        make_mask([np.array([["a"]])])  # type: ignore[list-item]
    with pytest.raises(RecipeError, match=r"detector: shape \(1043, 981\), the frames have"):
        make_mask([frame], place=detector_named("Pilatus 1M"))
    with pytest.raises(RecipeError, match=r"dark: shape \(3, 4\), the frames have"):
        make_mask([frame], dark=np.zeros((3, 4)))


# Parts, against plain loops.


def test_statistics_of_lasting_values_are_those_of_a_loop() -> None:
    rng = np.random.default_rng(6)
    stack = rng.poisson(4, (25, 5, 7)).astype(np.int32)
    stack[rng.random(stack.shape) < 0.2] = -1
    stack[:, 0, 0] = -2
    stack[1:, 0, 1] = -1
    found = frame_statistics(stack, MaskSettings(transient=0.15, gain=2.0))
    for pixel in np.ndindex(5, 7):
        values = np.sort(stack[:, *pixel][stack[:, *pixel] >= 0]) / 2.0
        kept = values[
            : len(values) - min(int(np.ceil(0.15 * len(values))), max(len(values) - 1, 0))
        ]
        assert found.valid[pixel] == len(values)
        assert found.lasting[pixel] == len(kept)
        assert found.total[pixel] == values.sum()
        assert found.lasting_total[pixel] == kept.sum()
        if len(kept):
            assert found.squares[pixel] == pytest.approx(len(kept) * np.var(kept))
            assert found.constant[pixel] == (len(set(values)) == 1)


def test_the_third_of_the_neighbours_is_that_of_sorted_lists() -> None:
    rng = np.random.default_rng(7)
    values, use = rng.poisson(5.0, (13, 17)).astype(float), rng.random((13, 17)) < 0.7
    use[:6, :6] = False
    use[0, :2] = True
    low, high = thirds(values, use)
    for i, j in np.ndindex(13, 17):
        around = [
            values[k, m]
            for k in range(max(i - 3, 0), min(i + 4, 13))
            for m in range(max(j - 3, 0), min(j + 4, 17))
            if use[k, m] and (k, m) != (i, j)
        ]
        expected = (sorted(around)[2], sorted(around)[-3]) if len(around) > 2 else (np.nan,) * 2
        np.testing.assert_equal((low[i, j], high[i, j]), expected)


def test_rings_have_enough_pixels_and_keep_the_order_of_angles() -> None:
    scattering = scattering_of(GEOMETRY, None)
    rings = rings_of(scattering, 0.5)
    members = np.bincount(rings.ring.ravel())
    assert len(members) == rings.count == rings.middle.size
    assert members[:-1].min() >= FEWEST / 2
    order = np.argsort(scattering.two_theta.ravel())
    assert (np.diff(rings.ring.ravel()[order]) >= 0).all()
    assert (np.diff(rings.middle) > 0).all()


def test_quantiles_of_rings_are_values_of_sorted_lists() -> None:
    rng = np.random.default_rng(8)
    ring, values = rng.integers(0, 5, 200), rng.normal(size=200)
    ring[ring == 3] = 4
    found = Members(ring, 6).quantile(values, 0.75)
    for number in (0, 1, 2, 4):
        mine = sorted(values[ring == number])
        assert found[number] == mine[round(0.75 * (len(mine) - 1))]
    assert np.isnan(found[[3, 5]]).all()


# Real images.


def test_a_real_image_keeps_its_grainy_rings_and_loses_beam_stop_and_arm(
    shared_data: Callable[[str], Path],
) -> None:
    image = fabio.open(shared_data("ceo2-pilatus1m/CeO2_Pilatus1M.tif")).data
    geometry = read_poni(shared_data("ceo2-pilatus1m/CeO2_Pilatus1M.poni"))
    # It is stored upside down for this geometry.
    geometry = replace(geometry, detector=replace(geometry.detector, orientation=2))
    made = make_mask([image], place=geometry)
    assert made.mask[image < 0].all()
    assert (made.dead & (image == -2)).sum() == 26  # one touches a gap
    assert made.counts["gap"] - (image == -1).sum() == 1
    assert made.counts["hot"] < 150
    bright = image > np.quantile(image, 0.98)
    assert (made.hot & bright).sum() < 0.005 * bright.sum()
    # Seen by eye: in the middle, and a straight arm to the lower right.
    assert made.mask[515:545, 480:490].all()
    for row, column in ((535, 550), (560, 650), (590, 750), (615, 850), (655, 950)):
        assert made.shadow[row, column]
    assert not made.shadow[:480].any()
    assert not made.shadow[:, :450].any()


def test_what_an_instrument_file_masks_is_masked_and_hardly_more(
    shared_data: Callable[[str], Path],
) -> None:
    name = "ceo2-pilatus2m/ceria_50x30_740mm_000005_Pilatus2M.hdf5"
    with h5py.File(shared_data(name)) as file:
        image = file["imageseries/images"][0]
    with h5py.File(shared_data("ceo2-pilatus2m/Pilatus2M_CeO2_Yb_edge.hexrd")) as file:
        good = file["instrument/detectors/Pilatus2M/buffer"][()]
        shift = file["instrument/detectors/Pilatus2M/transform/translation"][()]
    pixel, (rows, columns) = 172e-6, image.shape
    geometry = Geometry(
        distance=-1e-3 * shift[2],
        wavelength=12.39842e-10 / 61.3323,
        detector=Detector(pixel1=pixel, pixel2=pixel, shape=image.shape),
        poni1=0.5 * rows * pixel + 1e-3 * shift[1],
        poni2=0.5 * columns * pixel - 1e-3 * shift[0],
    )
    made = make_mask([image], place=geometry)
    assert made.mask[~good].all()
    assert (made.gap | made.dead)[image < 0].all()
    assert (made.mask & good & ~made.shadow).sum() < 1e-3 * good.sum()
    assert 0.002 < (made.shadow & good).mean() < 0.015
