"""Detectors taken from pyFAI stand where they stand there."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyFAI.detectors
import pytest
from pyFAI.detectors.sensors import SensorConfig

from ringline.processing import (
    Detector,
    RecipeError,
    Sensor,
    detector_from_pyfai,
    detector_named,
    write_detector_file,
)

CUT = (7, 4700)


def assert_same_places(ours: Detector, theirs: pyFAI.detectors.Detector) -> None:
    """Centers of pixels: those of pyFAI at some hundred of them, in float32."""
    shape = ours.known_shape
    rng = np.random.default_rng(1)
    i, j = (rng.integers(0, n, 300) for n in shape)
    p1, p2, p3 = theirs.calc_cartesian_positions(i.astype(float), j.astype(float))
    found = [np.broadcast_to(part, shape)[i, j] for part in ours.pixel_centers()]
    size = max(float(np.abs(part).max()) for part in found)
    for part, expected in zip(found, (p1, p2, 0.0 if p3 is None else p3), strict=True):
        np.testing.assert_allclose(part, expected, rtol=0, atol=2e-7 * size)


@pytest.mark.parametrize(
    "name",
    ["ADSC_Q4", "ADSC_Q270", "Titan", "Mythen", "Eiger2CdTe_1MW", "ImXPadS140", "Xpad_flat"],
)
@pytest.mark.parametrize("orientation", [3, 2])
def test_pixels_stand_where_pyfai_has_them(name: str, orientation: int) -> None:
    theirs = pyFAI.detectors.detector_factory(name, {"orientation": orientation})
    if orientation == 2 and name in ("ImXPadS140", "Xpad_flat"):
        with pytest.raises(RecipeError, match="orientation must be 3 where corners say"):
            detector_from_pyfai(theirs)
        return
    ours = detector_from_pyfai(theirs)
    assert ours.shape == tuple(theirs.shape)
    assert_same_places(ours, theirs)
    mask = ours.built_in_mask()
    expected = np.zeros(theirs.shape) if theirs.mask is None else theirs.mask
    np.testing.assert_array_equal(
        np.zeros(theirs.shape, dtype=bool) if mask is None else mask, expected != 0
    )


@pytest.mark.parametrize(
    "name", ["Pilatus1M", "Eiger2 4M", "RayonixSx165", "Mar345", "Pixirad1", "Jungfrau", "Mythen"]
)
def test_one_that_the_table_has_is_that_of_the_table(name: str) -> None:
    assert detector_from_pyfai(name) == detector_named(name)


def test_a_detector_whose_mask_was_changed_is_not_that_of_the_table() -> None:
    theirs = pyFAI.detectors.detector_factory("Pilatus100k")
    mask = np.zeros((195, 487), np.int8)
    mask[3, 4] = 1
    theirs.mask = mask
    found = detector_from_pyfai(theirs)
    assert found != detector_named("Pilatus100k")
    np.testing.assert_array_equal(found.built_in_mask(), mask != 0)


def test_a_detector_that_bins_has_its_binned_pixels() -> None:
    theirs = pyFAI.detectors.detector_factory(
        "RayonixMx225", {"pixel1": 146.484e-6, "pixel2": 146.484e-6}
    )
    found = detector_from_pyfai(theirs)
    assert found == detector_named("RayonixMx225", (146.484e-6, 146.484e-6))


def cut(theirs: pyFAI.detectors.Detector) -> pyFAI.detectors.Detector:
    """A few rows of it: whole image plates take half a gigabyte."""
    theirs.max_shape = theirs.shape = CUT
    return theirs


@pytest.mark.parametrize("radius", [0.12726, 0.3])
def test_a_bent_image_plate_has_its_corners_on_a_cylinder(radius: float) -> None:
    theirs = cut(pyFAI.detectors.Rapid(radius=radius))
    ours = detector_from_pyfai(theirs)
    assert ours.name == "Rapid"
    assert_same_places(ours, theirs)
    corners = ours.pixel_corners()
    away = np.hypot(corners[..., 0] + radius, corners[..., 2])
    np.testing.assert_allclose(away, radius, rtol=1e-6)


def test_corners_given_to_pyfai_are_taken() -> None:
    theirs = pyFAI.detectors.Detector(1e-4, 2e-4, max_shape=(5, 6))
    corners = theirs.get_pixel_corners().copy()
    corners[..., 0] = np.linspace(0, 1e-3, 5, dtype=np.float32)[:, None, None]
    theirs.set_pixel_corners(corners)
    found = detector_from_pyfai(theirs)
    np.testing.assert_array_equal(found.pixel_corners(), corners)


def test_pixels_that_pyfai_calls_uniform_and_are_not_have_corners() -> None:
    """It widens pixels of a Jungfrau 8M at multiples of 256, though it says they are uniform."""
    theirs = pyFAI.detectors.detector_factory("Jungfrau8M")
    assert theirs.uniform_pixel
    found = detector_from_pyfai(theirs)
    assert found.corners is not None
    assert_same_places(found, theirs)


def test_the_sensor_comes_along() -> None:
    sensor = SensorConfig.from_dict({"material": "CdTe", "thickness": 1e-3})
    theirs = pyFAI.detectors.detector_factory("Pilatus100k")
    theirs.sensor = sensor
    expected = replace(detector_named("Pilatus100k"), sensor=Sensor("CdTe", 1e-3))
    assert detector_from_pyfai(theirs) == expected


def test_a_detector_file_that_pyfai_opened_is_read(tmp_path: Path) -> None:
    path = tmp_path / "it.h5"
    mine = Detector(
        pixel1=1e-4, pixel2=2e-4, shape=(5, 7), name="mine", mask=np.eye(5, 7), orientation=2
    )
    write_detector_file(path, mine)
    assert detector_from_pyfai(pyFAI.detectors.NexusDetector(str(path))) == mine
    assert detector_from_pyfai(str(path)) == mine


def test_what_pyfai_does_not_know_is_refused() -> None:
    for source in ("Pilatus1N", None, 3):
        with pytest.raises(RecipeError, match=rf"pyFAI knows no detector {source!r}"):
            detector_from_pyfai(source)
    with pytest.raises(RecipeError, match="pixel1 must be a number, got None"):
        detector_from_pyfai(pyFAI.detectors.Detector())


def test_without_pyfai_the_cure_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyFAI.detectors", None)
    with pytest.raises(RecipeError, match="detectors of pyFAI need it: pip install pyFAI"):
        detector_from_pyfai("Rapid")
