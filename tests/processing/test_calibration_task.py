"""What a calibration refuses, before anything is calculated."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ringline.processing import RecipeError, detector_named
from ringline.processing.calibration import Bound, calibrate, calibration_task

from .calibration_scenes import DETECTOR, TRUE, task  # noqa: TID252


def asked(**options: Any) -> None:
    calibration_task("LaB6", DETECTOR, guess=TRUE, options=options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fixed": "rot4"}, "unknown parameter 'rot4': did you mean 'rot"),
        ({"fixed": ["distanse"]}, "unknown parameter 'distanse': did you mean 'distance'"),
        ({"bounds": {"poni3": (0, 1)}}, "unknown parameter 'poni3': did you mean 'poni"),
        ({"fixed": "wavelength"}, "wavelength can be refined with two or more images only"),
        ({"bounds": {"rot3": (-1, 1)}}, "rot3 turns the detector about the beam"),
        ({"bounds": {"distance": (0.2, 0.1)}}, "bounds of distance must have low < high, got 0.2"),
        ({"bounds": {"distance": (0.1, 0.1)}}, "must have low < high, got 0.1 .. 0.1"),
        ({"bounds": {"distance": (0.2, 0.3)}}, "distance 0.11 is outside its bounds 0.2 .. 0.3"),
        ({"bounds": {"rot1": (np.nan, 0.3)}}, "bound of rot1"),
        ({"bounds": {"rot1": 0.3}}, "bounds of rot1 must be two numbers, low and high, got 0.3"),
        ({"bounds": "distance"}, "bounds must map names"),
        ({"fixed": 3}, "fixed must be names of parameters, got 3"),
        ({"masc": None}, "unknown key 'masc': did you mean 'mask'"),
        ({"saturation": -1.0}, "saturation must be > 0 counts"),
        ({"mask": np.zeros((3, 4))}, "mask: shape (3, 4), the detector has (520, 480)"),
        ({"dark": np.zeros((3, 4))}, "dark: shape (3, 4), the detector has (520, 480)"),
        ({"dark": np.zeros(4)}, "dark must have two dimensions"),
        ({"mask": "nowhere.npy"}, "nowhere.npy"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_its_name(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecipeError) as refused:
        asked(**options)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("energy", "message"),
    [
        (0.5, "energy must be 1 .. 500 keV, got 0.5 keV"),
        (501.0, "energy must be 1 .. 500 keV, got 501 keV"),
        (8e3, "energy must be 1 .. 500 keV, got 8000 keV"),
        (0.0, "energy must be > 0 keV"),
        (float("nan"), "energy must be > 0 keV, got nan"),
        (None, "an energy (keV) is needed"),
    ],
)
def test_an_energy_that_was_mistyped_is_refused(energy: float | None, message: str) -> None:
    with pytest.raises(RecipeError, match=r"energy") as refused:
        calibration_task("LaB6", DETECTOR, energy_kev=energy)
    assert message in str(refused.value)


@pytest.mark.parametrize("energy", [1.0, 12.4, 500.0])
def test_energies_up_to_the_bounds_are_taken(energy: float) -> None:
    made = calibration_task("LaB6", DETECTOR, energy_kev=energy)
    assert made.energy_kev == pytest.approx(energy, rel=1e-14)


@pytest.mark.parametrize(("name", "near"), [("LaB7", "LaB6"), ("ceo", "CeO2"), ("AgBeh", "AgBh")])
def test_an_unknown_calibrant_is_refused_with_near_names(name: str, near: str) -> None:
    with pytest.raises(RecipeError, match=rf"unknown calibrant '{name}': did you mean .*{near}"):
        calibration_task(name, DETECTOR, energy_kev=20.0)


@pytest.mark.parametrize("name", ["distance", "poni1", "poni2"])
def test_a_length_is_not_fixed_without_a_guess_that_tells_it(name: str) -> None:
    with pytest.raises(RecipeError, match=f"{name} cannot be fixed without a guess"):
        calibration_task("LaB6", DETECTOR, energy_kev=20.0, options={"fixed": name})


def test_tilts_can_be_fixed_at_zero_without_a_guess() -> None:
    made = calibration_task("LaB6", DETECTOR, energy_kev=20.0, options={"fixed": "rot1 rot2"})
    assert made.refined == ("distance", "poni1", "poni2")


def test_zero_must_lie_within_bounds_of_tilts_where_nothing_is_guessed() -> None:
    with pytest.raises(RecipeError, match="rot1 0 is outside its bounds 0.1 .. 0.2"):
        calibration_task(
            "LaB6", DETECTOR, energy_kev=20.0, options={"bounds": {"rot1": (0.1, 0.2)}}
        )


def test_rot3_may_be_said_to_be_fixed_for_it_always_is() -> None:
    made = calibration_task("LaB6", DETECTOR, guess=TRUE, options={"fixed": "rot3,rot2"})
    assert made.fixed == {"rot2"}


def test_the_energy_of_the_guess_serves_where_none_is_stated() -> None:
    assert calibration_task("LaB6", DETECTOR, guess=TRUE).wavelength == TRUE.wavelength
    other = calibration_task("LaB6", DETECTOR, guess=TRUE, energy_kev=20.0)
    assert other.energy_kev == pytest.approx(20.0)


def test_a_bound_tells_its_values_when_reversed() -> None:
    with pytest.raises(RecipeError, match="got 3 .. 2"):
        Bound("distance", 3.0, 2.0)


def test_an_image_of_another_shape_is_refused_with_both_shapes() -> None:
    with pytest.raises(RecipeError) as refused:
        calibrate(np.zeros((480, 520), dtype=np.int32), task())
    assert "(480, 520)" in str(refused.value)
    assert "plain has (520, 480)" in str(refused.value)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros(480, dtype=np.int32), "image must have two dimensions (slow, fast), got (480,)"),
        (np.zeros((2, 520, 480)), "image must have two dimensions"),
        (np.zeros((520, 480), dtype=complex), "image must be numeric, got dtype complex128"),
        (np.zeros((520, 480), dtype="U1"), "image must be numeric"),
    ],
)
def test_what_is_no_image_is_refused(image: Any, message: str) -> None:
    with pytest.raises(RecipeError) as refused:
        calibrate(image, task())
    assert message in str(refused.value)


def test_a_detector_without_a_shape_takes_that_of_the_image() -> None:
    unshaped = replace(DETECTOR, shape=None)
    found = calibrate(np.zeros((60, 50), dtype=np.int32), task(detector=unshaped))
    assert found.task.detector.shape == (60, 50)
    assert not found.verdict.accepted


def test_a_mask_of_another_shape_than_the_image_is_refused() -> None:
    unshaped = replace(DETECTOR, shape=None)
    asked = task(detector=unshaped, options={"mask": np.zeros((60, 51))})
    with pytest.raises(RecipeError, match=r"mask: shape \(60, 51\)"):
        calibrate(np.zeros((60, 50), dtype=np.int32), asked)


def test_a_guess_of_another_detector_is_refused() -> None:
    other = replace(TRUE, detector=detector_named("Pilatus 1M"))
    with pytest.raises(RecipeError, match="guess"):
        calibration_task("LaB6", DETECTOR, guess=other)
