"""Which pixels of a calibration image can be used."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ringline.processing import Detector, ModuleGrid, detector_named
from ringline.processing.calibration.image import CalibrationImage, calibration_image

from ..benchmarks.powder_scene import directions  # noqa: TID252
from .calibration_scenes import DETECTOR, TRUE, Floats, Powder, task  # noqa: TID252

READOUTS = {
    "counting": (1.0, 0.0, 0.0),
    "few counts": (0.02, 0.0, 0.0),
    "pedestal": (1.0, 100.0, 2.0),
    "gain": (12.0, 250.0, 15.0),
    "weak gain": (0.3, 40.0, 1.0),
}
"""Units a photon, what is read without light, and noise of reading in units."""


def read_out(mean: Floats, readout: str, seed: int = 1) -> NDArray[np.int32]:
    gain, pedestal, noise = READOUTS[readout]
    random = np.random.default_rng(seed)
    if readout == "few counts":
        return random.poisson(gain * mean).astype(np.int32)
    units = gain * random.poisson(mean) + pedestal + random.normal(0, noise or 1e-9, mean.shape)
    return np.maximum(np.rint(units), 0).astype(np.int32)


def looked_at(
    image: NDArray[Any], detector: Detector = DETECTOR, **options: Any
) -> CalibrationImage:
    return calibration_image(image, task(detector=detector, options=options))


def scattered(number: int, seed: int = 3) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pixels far from each other."""
    random = np.random.default_rng(seed)
    cells = random.permutation(50 * 46)[:number]
    return 10 + 10 * (cells // 46), 10 + 10 * (cells % 46)


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("width", [1.5, 4.0])
def test_hot_pixels_are_found_and_hardly_any_other(readout: str, width: float) -> None:
    image = read_out(Powder(width=width).mean(), readout)
    places = scattered(200)
    around = image[np.clip(places[0] + 1, 0, 519), places[1]]
    image[places] = 2 * image.max() + 5 * around
    found = looked_at(image).isolated
    assert found[places].mean() > 0.98
    found[places] = False
    assert found.mean() < 2e-4


@pytest.mark.parametrize("readout", ["counting", "pedestal", "gain", "weak gain"])
def test_dead_pixels_are_found_in_light_that_shows_them(readout: str) -> None:
    image = read_out(Powder(behind=200.0).mean(), readout)
    places = scattered(200)
    image[places] = 0
    found = looked_at(image).isolated
    # On the slopes of rings the noise is not known so well.
    assert found[places].mean() > 0.93
    found[places] = False
    assert found.mean() < 2e-4


@pytest.mark.parametrize("readout", READOUTS)
def test_narrow_rings_are_left_alone(readout: str) -> None:
    """Full width 1.2 pixels, without bad pixels: on the crests no more is marked than elsewhere."""
    mean = Powder(width=1.2, top=3000.0).mean()
    found = looked_at(read_out(mean, readout))
    bright = mean > 0.3 * mean.max()
    assert bright.sum() > 500
    assert found.isolated[bright].mean() < 5e-3
    assert found.isolated.mean() < 2e-4


@pytest.mark.parametrize("shape", [[(0, 0), (0, 1), (1, 0)], [(0, 0), (1, 0), (1, 1), (2, 1)]])
def test_spots_of_a_few_pixels_are_left_alone(shape: list[tuple[int, int]]) -> None:
    image = read_out(Powder(top=0.0, behind=20.0).mean(), "counting")
    rows, columns = scattered(200)
    random = np.random.default_rng(4)
    for down, right in shape:
        image[rows + down, columns + right] = random.integers(2500, 4000, 200)
    found = looked_at(image)
    for down, right in shape:
        assert found.usable[rows + down, columns + right].all()


def test_two_hot_pixels_side_by_side_are_found_both() -> None:
    image = read_out(Powder(top=0.0, behind=20.0).mean(), "counting")
    rows, columns = scattered(200)
    random = np.random.default_rng(4)
    for right in (0, 1):
        image[rows, columns + right] = random.integers(2500, 4000, 200)
    found = looked_at(image).isolated
    assert found[rows, columns].all()
    assert found[rows, columns + 1].all()


@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "f4"])
def test_a_plateau_at_the_top_is_saturation(dtype: str) -> None:
    mean = Powder(top=2000.0).mean()
    image = np.minimum(np.random.default_rng(1).poisson(mean), 250).astype(dtype)
    cut = image == 250
    assert cut.mean() > 1e-3
    found = looked_at(image)
    np.testing.assert_array_equal(found.full, cut)
    assert found.saturated_part == cut.mean()
    assert not found.usable[cut].any()


def test_the_largest_number_of_sixteen_bits_is_saturation_wherever_it_stands() -> None:
    image = np.random.default_rng(1).poisson(50, DETECTOR.known_shape).astype(np.uint16)
    image[40:43, 50:52] = 65535
    found = looked_at(image)
    assert found.full.sum() == 6
    assert found.full[40:43, 50:52].all()


def test_the_highest_counts_of_an_image_that_is_not_overexposed_are_no_saturation() -> None:
    image = np.random.default_rng(1).poisson(Powder(top=3e4).mean()).astype(np.int32)
    assert not looked_at(image).full.any()


def test_few_counts_are_no_plateau() -> None:
    image = np.random.default_rng(1).poisson(0.3, DETECTOR.known_shape).astype(np.uint16)
    assert (image == image.max()).sum() >= 1
    assert not looked_at(image).full.any()


def test_a_stated_saturation_is_where_pixels_end() -> None:
    image = np.random.default_rng(1).poisson(Powder().mean()).astype(np.int32)
    found = looked_at(image, saturation=150.0)
    np.testing.assert_array_equal(found.full, image >= 150)


@pytest.mark.parametrize(
    ("name", "dtype", "gap"),
    [
        ("Eiger2 1M", "u4", 2**32 - 1),
        ("Eiger2 1M", "u2", 65535),
        ("Pilatus 300k", "i4", -1),
        ("Pilatus 300k", "f4", np.nan),
        ("Pilatus 300k", "f8", -2),
    ],
)
def test_gaps_are_neither_there_nor_saturated(name: str, dtype: str, gap: float) -> None:
    detector = detector_named(name)
    hidden = detector.built_in_mask()
    assert hidden is not None
    assert hidden.mean() > 0.02
    image = np.random.default_rng(1).poisson(8, hidden.shape).astype(dtype)
    image[hidden] = gap
    found = looked_at(image, detector)
    np.testing.assert_array_equal(found.there, ~hidden)
    assert found.saturated_part == 0.0
    assert np.all(found.counts[hidden] == 0)


@pytest.mark.parametrize(
    ("dtype", "gap"), [("i4", -1), ("i2", -2), ("u4", 2**32 - 1), ("f4", np.nan), ("f8", np.inf)]
)
def test_pixels_that_hold_no_count_are_not_there_even_where_no_mask_says_so(
    dtype: str, gap: float
) -> None:
    image = np.random.default_rng(1).poisson(8, DETECTOR.known_shape).astype(dtype)
    image[100:120] = gap
    found = looked_at(image)
    assert not found.there[100:120].any()
    assert found.there.sum() == 500 * 480
    assert not found.full.any()


def test_masks_of_task_and_detector_both_count() -> None:
    detector = replace(DETECTOR, modules=ModuleGrid(size=(250, 480), gap=(20, 0)))
    mask = np.zeros(DETECTOR.known_shape, dtype=np.int8)
    mask[:, :7] = 1
    image = np.random.default_rng(1).poisson(8, mask.shape).astype(np.int32)
    there = looked_at(image, detector, mask=mask).there
    expected = np.ones(mask.shape, dtype=bool)
    expected[250:270] = False
    expected[:, :7] = False
    np.testing.assert_array_equal(there, expected)


def test_the_dark_is_subtracted_and_saturation_looked_for_before() -> None:
    dark = np.full(DETECTOR.known_shape, 30.0)
    dark[10, 10] = 90.0
    image = np.random.default_rng(1).poisson(8, dark.shape) + dark
    image[20, 20] = 200
    found = looked_at(image, dark=dark, saturation=190.0)
    np.testing.assert_array_equal(found.counts, (image - dark).astype(np.float32))
    assert found.full[20, 20]
    assert found.full.sum() == 1


def test_what_rings_cross_is_not_marked_where_the_image_has_steep_edges() -> None:
    """The edge of a beam stop's shadow: pixels stand beside others of their kind."""
    mean = Powder(behind=100.0).mean()
    slow, fast = (np.arange(n) + 0.5 for n in DETECTOR.known_shape)
    inside = directions(TRUE, slow[:, None], fast[None, :]).two_theta < 0.06
    assert inside.sum() > 1000
    image = read_out(np.where(inside, 0.02 * mean, mean), "pedestal")
    assert looked_at(image).isolated.mean() < 1e-4
