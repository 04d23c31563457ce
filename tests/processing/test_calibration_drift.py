"""Whether a detector that moved is told from one that did not, by what it was moved by."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from ringline.processing import Geometry, RecipeError
from ringline.processing.calibration import Drift, calibrate, drift_of

from .calibration_scenes import (  # noqa: TID252
    DETECTOR,
    TRUE,
    Powder,
    center_off,
    exposed,
    solved,
    task,
)

UM = 1e-6


def later(geometry: Geometry, seed: int, powder: Powder | None = None) -> NDArray[np.int32]:
    return exposed((powder or Powder()).mean(geometry), seed)


def moved(geometry: Geometry, seed: int = 11) -> Drift:
    return drift_of(later(geometry, seed), solved())


def test_a_detector_that_stands_raises_no_alarm_however_often_it_is_looked_at() -> None:
    found = [moved(TRUE, seed) for seed in range(20, 28)]
    assert all(one.told and not one.alarm for one in found)
    # In its errors the distance scatters as it should: all looks share the calibration's error.
    pulls = np.array([one.distance / one.distance_error for one in found])
    assert np.abs(pulls).max() < 4


def test_a_distance_out_of_the_error_bars_is_an_alarm_and_told_by_how_much() -> None:
    further = replace(TRUE, distance=TRUE.distance + 100 * UM)
    found = moved(further)
    assert found.alarm
    # The center stays where it is on the detector only if the beam is normal to it.
    assert found.distance == pytest.approx(100 * UM, abs=5 * found.distance_error)
    assert found.distance_error < 20 * UM
    assert "distance off by +" in found.words


@pytest.mark.parametrize("pixels", [0.5, 3.0, 12.0])
def test_a_beam_center_out_of_the_error_bars_is_an_alarm_and_told_by_how_much(
    pixels: float,
) -> None:
    shifted = replace(TRUE, poni1=TRUE.poni1 + pixels * DETECTOR.pixel1)
    found = moved(shifted)
    assert found.alarm
    off = np.array(found.center) - (pixels, 0.0)
    assert np.abs(off).max() < 0.1
    assert center_off(shifted, TRUE) == pytest.approx(pixels, abs=1e-6)


def test_what_is_within_the_error_bars_is_no_alarm() -> None:
    assert not moved(replace(TRUE, poni2=TRUE.poni2 + 0.01 * DETECTOR.pixel2)).alarm


def test_faint_rings_tell_less_and_say_so() -> None:
    bright, faint = moved(TRUE), drift_of(later(TRUE, 12, Powder(top=8.0)), solved())
    assert faint.told
    assert not faint.alarm
    assert faint.distance_error > 2 * bright.distance_error


def test_an_image_without_rings_tells_nothing() -> None:
    found = drift_of(np.full(DETECTOR.known_shape, 5, np.int32), solved())
    assert not found.told
    assert not found.alarm
    assert "too few rings" in found.words


def test_what_was_fixed_stays_fixed() -> None:
    held = calibrate(
        later(TRUE, 13), task(guess=TRUE, options={"fixed": ("distance", "rot1", "rot2")})
    )
    found = drift_of(later(replace(TRUE, poni1=TRUE.poni1 + 40 * UM), 14), held)
    assert found.alarm
    assert (found.distance, found.distance_error) == (0.0, 0.0)
    assert found.center[0] == pytest.approx(40 * UM / DETECTOR.pixel1, abs=0.03)


def test_a_calibration_without_geometry_cannot_be_watched() -> None:
    blank = calibrate(np.zeros(DETECTOR.known_shape, np.int32), task())
    with pytest.raises(RecipeError, match="no geometry to compare with"):
        drift_of(later(TRUE, 15), blank)


def test_an_image_of_another_shape_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"image of shape \(4, 5\)"):
        drift_of(np.zeros((4, 5), np.int32), solved())
