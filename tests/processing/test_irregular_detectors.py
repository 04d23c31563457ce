"""Detectors of the table with corners, against pyFAI's to the last bit, and in PONI files."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyFAI
import pyFAI.detectors
import pytest

from ringline.processing import (
    Detector,
    Geometry,
    Radial,
    Recipe,
    RecipeError,
    detector_named,
    detector_names,
    is_standard,
    pixel_arrays,
    read_poni,
    recipe_from_json,
    reduction_for,
    write_poni,
)
from ringline.processing.detector_table import is_listed, known_sensor
from ringline.processing.irregular_detectors import IRREGULAR, irregular_detector

NAMES = [each.name for each in IRREGULAR]
OF_PYFAI = [name for name in NAMES if not name.endswith("1M")]
SMALL = ["Pixirad1", "Jungfrau", "ImXPadS70V", "Xpad_flat"]


@pytest.mark.parametrize("name", OF_PYFAI)
def test_corners_and_mask_are_pyfais(name: str) -> None:
    ours, theirs = detector_named(name), pyFAI.detectors.detector_factory(name)
    assert ours.corners is not None
    expected = theirs.get_pixel_corners()
    if name == "Cirpad":  # rounded there before its modules are turned
        np.testing.assert_allclose(ours.corners.values, expected, rtol=0, atol=3e-8)
    else:
        np.testing.assert_array_equal(ours.corners.values, expected)
    mask = ours.built_in_mask()
    if theirs.mask is None:
        assert mask is None or not mask.any()
    else:
        np.testing.assert_array_equal(mask, theirs.mask != 0)


def test_corners_are_not_made_before_a_detector_is_asked_for() -> None:
    irregular_detector.cache_clear()
    assert set(NAMES) <= set(detector_names())
    assert detector_named("Pilatus1M").corners is None
    assert not is_listed(Detector(name="Pixirad1", pixel1=60e-6, pixel2=60e-6))
    assert irregular_detector.cache_info().currsize == 0


@pytest.mark.parametrize("name", SMALL)
def test_a_poni_file_names_them(name: str, tmp_path: Path) -> None:
    detector = detector_named(name)
    assert is_standard(detector)
    assert not is_standard(replace(detector, pixel1=1e-3))
    geometry = Geometry(distance=0.1, poni1=0.01, wavelength=1e-10, detector=detector)
    path = tmp_path / "it.poni"
    write_poni(geometry, path)
    assert read_poni(path) == geometry
    theirs = pyFAI.load(str(path)).detector
    assert type(theirs) is type(pyFAI.detectors.detector_factory(name))


@pytest.mark.parametrize("name", SMALL)
def test_a_poni_file_of_pyfais_that_names_them_is_read(name: str, tmp_path: Path) -> None:
    path = tmp_path / "it.poni"
    integrator = pyFAI.integrator.azimuthal.AzimuthalIntegrator(
        0.1, 0.01, 0.02, wavelength=1e-10, detector=name
    )
    integrator.save(str(path))
    assert read_poni(path).detector == detector_named(name)


def test_one_that_is_not_as_its_name_says_goes_into_no_poni_file(tmp_path: Path) -> None:
    detector = detector_named("Jungfrau")
    assert detector.corners is not None
    moved = replace(detector, corners=detector.corners.values + np.float32(1e-3))
    geometry = Geometry(distance=0.1, wavelength=1e-10, detector=moved)
    with pytest.raises(RecipeError, match="cannot hold corners of pixels"):
        write_poni(geometry, tmp_path / "it.poni")
    masked = replace(detector, mask=np.eye(512, 1024))
    with pytest.raises(RecipeError, match="cannot hold"):
        write_poni(replace(geometry, detector=masked), tmp_path / "it.poni")


def test_a_recipe_records_them_by_content(tmp_path: Path) -> None:
    recipe = Recipe(
        geometry=Geometry(
            distance=0.1, poni1=0.01, wavelength=1e-10, detector=detector_named("ImXPadS10")
        ),
        binning=Radial(20),
    )
    assert recipe_from_json(recipe.with_stored_arrays(tmp_path).to_json()) == recipe
    image = np.ones((120, 80), np.uint16)
    profile = reduction_for(recipe).reduce(image)
    assert profile.sums.count.sum() == 118 * 78  # without the outermost pixels


def test_hexagons_are_regular_and_touch() -> None:
    corners = detector_named("Pixirad1").pixel_corners()
    sides = np.linalg.norm(np.roll(corners, 1, axis=2) - corners, axis=-1)
    np.testing.assert_allclose(sides, 60e-6 / np.sqrt(3), rtol=2e-3)  # float32 at 30 mm
    centers = corners.mean(axis=2)
    for row, column in ((0, 1), (1, 0)):  # to the right, and to the row above
        away = np.linalg.norm(centers[row, column] - centers[0, 0])
        assert away == pytest.approx(60e-6, rel=1e-4)


def test_wide_pixels_are_between_chips() -> None:
    corners = detector_named("Jungfrau").pixel_corners()
    wide = np.ptp(corners[0, :, :, 2], axis=-1)
    expected = np.full(1024, 75e-6)
    for column in (255, 256, 511, 512, 767, 768):
        expected[column] = 150e-6
    np.testing.assert_allclose(wide, expected, rtol=1e-3)


def test_modules_of_a_cirpad_follow_each_other_along_an_arc() -> None:
    detector = detector_named("Cirpad")
    corners = detector.pixel_corners()
    first = corners[0::560, 0, 0, :2]  # axes 3 and 1 where each module begins
    last = corners[559::560, 0, 1, :2]
    along = (last - first) / np.linalg.norm(last - first, axis=-1, keepdims=True)
    turns = np.rad2deg(np.unwrap(np.arctan2(along[:, 0], along[:, 1])))
    np.testing.assert_allclose(turns, 6.74 * np.arange(20), atol=1e-9)
    np.testing.assert_allclose(
        np.linalg.norm(first[1:] - last[:-1], axis=-1), 20 * 130e-6, rtol=1e-9
    )


def test_medipix_is_one_chip_as_maxipix_is() -> None:
    assert detector_named("Medipix") == detector_named("Timepix") == detector_named("Maxipix")


def test_their_sensors_are_not_known_and_they_are_not_flipped() -> None:
    detector = detector_named("Pixirad1")
    with pytest.raises(RecipeError, match="its sensor is not known"):
        known_sensor(detector)
    with pytest.raises(RecipeError, match="orientation must be 3 where corners say"):
        replace(detector, orientation=2)
    arrays = pixel_arrays(Geometry(distance=0.1, wavelength=1e-10, detector=detector))
    assert np.isfinite(arrays.two_theta).all()
