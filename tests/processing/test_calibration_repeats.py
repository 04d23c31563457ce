"""The same image gives the same geometry, whoever calibrates it and however it is stored."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ringline.processing import Detector, Geometry
from ringline.processing.calibration import Calibration, calibrate

from .calibration_scenes import (  # noqa: TID252
    DETECTOR,
    TRUE,
    Powder,
    center_off,
    exposed,
    image,
    mean_in_space,
    solved,
    task,
)

PARAMETERS = ("distance", "poni1", "poni2", "rot1", "rot2")


def bits(found: Calibration) -> list[str]:
    """Everything that a calibration found, to the last bit."""
    geometry, points = found.geometry, found.points
    assert geometry is not None
    assert points is not None
    arrays = (
        points.ring,
        points.slow,
        points.fast,
        points.residual,
        points.sigma,
        found.covariance,
    )
    return [
        *(getattr(geometry, name).hex() for name in PARAMETERS),
        *(array.tobytes().hex() for array in (*arrays, found.axis, found.curve)),
        found.verdict.words,
        found.id,
    ]


def test_the_image_of_the_other_tests_gives_its_geometry() -> None:
    found = solved()
    assert found.verdict.accepted, found.verdict.words
    assert found.geometry is not None
    for name in PARAMETERS:
        off = getattr(found.geometry, name) - getattr(TRUE, name)
        assert abs(off) < 5 * found.errors[name], name
    assert center_off(found.geometry, TRUE) < 0.05
    assert found.geometry.distance == pytest.approx(TRUE.distance, rel=2e-4)


def test_twice_in_one_process_gives_the_same_bits_and_progress_goes_from_nothing_to_all() -> None:
    told: list[tuple[float, str]] = []
    found = calibrate(image(), task(), lambda part, words: told.append((part, words)))
    assert bits(found) == bits(solved())
    parts = [part for part, _ in told]
    assert parts == sorted(parts)
    assert (parts[0], parts[-1]) == (0.0, 1.0)
    assert all(words for _, words in told)


SCRIPT = """
import sys
import numpy as np
from ringline.processing import Detector
from ringline.processing.calibration import calibrate, calibration_task
from dataclasses import replace

detector = Detector(pixel1=200e-6, pixel2=200e-6, shape=(520, 480), name="plain")
wavelength = float.fromhex(sys.argv[2])
task = replace(calibration_task("LaB6", detector, energy_kev=20.0), wavelength=wavelength)
found = calibrate(np.load(sys.argv[1]), task)
points, geometry = found.points, found.geometry
names = ("distance", "poni1", "poni2", "rot1", "rot2")
arrays = (points.ring, points.slow, points.fast, points.residual, points.sigma, found.covariance)
for name in names:
    print(getattr(geometry, name).hex())
for array in (*arrays, found.axis, found.curve):
    print(array.tobytes().hex())
print(found.verdict.words)
print(found.id)
"""


def test_a_fresh_process_with_one_thread_gives_the_same_bits(tmp_path: Any) -> None:
    np.save(tmp_path / "image.npy", image())
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "image.npy"), TRUE.wavelength.hex()],
        env={**os.environ, "RINGLINE_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.splitlines() == bits(solved())


WAYS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "big-endian, columns first": lambda counts: np.asfortranarray(counts.astype(">i8")),
    "two bytes, every other of a larger one": lambda counts: np.repeat(
        counts.astype("u2"), 2, axis=1
    )[:, ::2],
    "big-endian floats, read backwards": lambda counts: counts.astype(">f4")[::-1].copy()[::-1],
}


@pytest.mark.parametrize("way", WAYS)
def test_counts_are_counts_whatever_their_type_and_place_in_memory(way: str) -> None:
    stored = WAYS[way](image())
    np.testing.assert_array_equal(stored, image())
    found = calibrate(stored, task())
    expected = solved()
    if stored.dtype.kind == "f":
        # Noise of whole counts has a least size, which numbers with fractions have not.
        same_within_errors(found, expected, 0.05)
    else:
        assert found.geometry == expected.geometry
        np.testing.assert_array_equal(found.covariance, expected.covariance)


def same_within_errors(found: Calibration, expected: Calibration, part: float) -> None:
    """Parameters differ by less than a part of their standard errors."""
    assert found.verdict.accepted, found.verdict.words
    for name in PARAMETERS:
        off = getattr(found.geometry, name) - getattr(expected.geometry, name)
        assert abs(off) < part * expected.errors[name], name


STORED = {
    1: (slice(None, None, -1),) * 2,
    2: (slice(None, None, -1),),
    4: (slice(None), slice(None, None, -1)),
}


@pytest.mark.parametrize("orientation", STORED)
def test_an_image_stored_turned_gives_the_same_place_of_the_detector(orientation: int) -> None:
    turned = replace(DETECTOR, orientation=orientation)
    found = calibrate(image()[STORED[orientation]], task(detector=turned))
    assert found.geometry is not None
    assert found.geometry.detector.orientation == orientation
    # The search begins elsewhere: it ends where points, not digits, are the same.
    same_within_errors(found, solved(), 0.3)
    np.testing.assert_allclose(found.center, solved().center, atol=0.01)


def test_the_other_axis_first_gives_the_mirror_image() -> None:
    """The transposed image is of a detector whose axes are exchanged: a reflected laboratory."""
    turned = replace(DETECTOR, shape=(480, 520))
    found = calibrate(image().T, task(detector=turned)).geometry
    expected = solved().geometry
    assert found is not None
    assert expected is not None
    errors = solved().errors
    assert found.distance == pytest.approx(expected.distance, abs=0.5 * errors["distance"])
    assert found.poni1 == pytest.approx(expected.poni2, abs=0.5 * errors["poni2"])
    assert found.poni2 == pytest.approx(expected.poni1, abs=0.5 * errors["poni1"])
    # The beam's direction along the two axes is exchanged.
    b1, b2 = found.rotation[2, :2]
    np.testing.assert_allclose((b2, b1), expected.rotation[2, :2], atol=0.5 * errors["rot1"])


def test_a_grid_and_its_corners_give_the_same_geometry() -> None:
    """To a billionth: positions of places on corners are rounded otherwise."""
    cornered = Detector(
        pixel1=DETECTOR.pixel1, pixel2=DETECTOR.pixel2, corners=DETECTOR.pixel_corners()
    )
    found = calibrate(image(), task(detector=cornered))
    assert found.geometry is not None
    for name in PARAMETERS:
        expected = getattr(solved().geometry, name)
        assert getattr(found.geometry, name) == pytest.approx(expected, abs=2e-9), name


def two_modules() -> Detector:
    """The lower half as on a grid, the upper one 1.5 mm further up, nearer, and tilted by 3 deg."""
    corners = DETECTOR.pixel_corners()
    turn, joint = np.deg2rad(3.0), np.array([0.0, 260 * DETECTOR.pixel1, 0.0])
    tilt = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    corners[260:] = (corners[260:] - joint) @ tilt.T + joint + [-2e-3, 1.5e-3, 0.3e-3]
    return Detector(pixel1=DETECTOR.pixel1, pixel2=DETECTOR.pixel2, corners=corners, name="two")


def test_a_detector_of_two_modules_in_space_is_calibrated_as_it_is() -> None:
    detector = two_modules()
    scene = Powder().scene(TRUE)
    counts = exposed(mean_in_space(scene, detector.pixel_corners()), seed=2)
    found = calibrate(counts, task(detector=detector))
    assert found.verdict.accepted, found.verdict.words
    assert found.geometry is not None
    for name in PARAMETERS:
        off = getattr(found.geometry, name) - getattr(TRUE, name)
        assert abs(off) < 5 * found.errors[name], name
    assert found.geometry.distance == pytest.approx(TRUE.distance, rel=3e-4)
    assert center_off(found.geometry, TRUE) < 0.1


@pytest.mark.parametrize("fixed", [("rot1", "rot2"), ("distance",)])
def test_what_is_fixed_stays_through_the_whole_calibration(fixed: tuple[str, ...]) -> None:
    guess: Geometry = replace(TRUE, poni1=0.0455, poni2=0.0525)
    found = calibrate(image(), task(guess=guess, options={"fixed": fixed}))
    assert found.geometry is not None
    for name in fixed:
        assert getattr(found.geometry, name) == getattr(TRUE, name)
    assert set(found.errors) == set(PARAMETERS) - set(fixed)
    assert found.verdict.accepted, found.verdict.words
    assert center_off(found.geometry, TRUE) < 0.05


def test_a_guess_that_is_wrong_by_far_does_not_lead_astray() -> None:
    guess = replace(TRUE, distance=0.19, poni1=0.01, poni2=0.09, rot1=0.0, rot2=0.0)
    found = calibrate(image(), task(guess=guess))
    same_within_errors(found, solved(), 0.3)


def test_a_guess_keeps_its_turn_about_the_beam() -> None:
    guess = replace(TRUE, distance=0.112, rot3=0.4)
    found = calibrate(image(), task(guess=guess))
    assert found.geometry is not None
    assert found.geometry.rot3 == 0.4
    assert found.verdict.accepted
    assert center_off(replace(found.geometry, rot3=0.0), TRUE) < 0.05
