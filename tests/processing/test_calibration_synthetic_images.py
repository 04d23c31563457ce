"""Some of the benchmark's images: those that tell a geometry give it, spoiled ones are rejected.

All of them: ``python tests/benchmarks/calibration.py``.
"""

import re

import pytest

from ringline.processing import calibrant_named
from ringline.processing.calibration import Calibration, CalibrationTask, calibrate

from ..benchmarks.calibration_cases import TOLERANCES  # noqa: TID252
from ..benchmarks.calibration_images import (  # noqa: TID252
    CalibrationImage,
    spoiled_image,
    synthetic_image,
)
from .calibration_scenes import center_off  # noqa: TID252

SOLVED = {
    24: {"tilt 15-30 deg", "low counts", "texture", "CeO2"},
    21: {"texture", "spotty", "center edge", "high counts"},
    25: {"RayonixSx165", "tilt 15-30 deg", "high counts"},
    26: {"Pilatus300kw", "texture", "center edge"},
    33: {"AgBh", "tilt 15-30 deg", "center off"},
}
"""Number, and what it is there for."""


@pytest.mark.parametrize("number", SOLVED)
def test_an_image_gives_its_geometry_without_a_guess(number: int) -> None:
    made = synthetic_image(number)
    assert SOLVED[number] <= set(made.labels)
    found = calibrate_without_guess(made)
    assert found.verdict.accepted, found.verdict.words
    assert found.geometry is not None
    truth = made.truth
    assert found.geometry.distance == pytest.approx(truth.distance, rel=TOLERANCES["distance"])
    assert center_off(found.geometry, truth) < TOLERANCES["center"]
    for name in ("rot1", "rot2"):
        off = getattr(found.geometry, name) - getattr(truth, name)
        assert abs(off) < TOLERANCES[name], name
    for name, error in found.errors.items():
        off = getattr(found.geometry, name) - getattr(truth, name)
        assert abs(off) < 6 * error, name
        # No better than can be, but of that order.
        assert 0.7 < error / made.attainable[name] < 8, name


def calibrate_without_guess(made: CalibrationImage) -> Calibration:
    asked = CalibrationTask(
        calibrant=calibrant_named(made.calibrant),
        detector=made.detector,
        wavelength=made.wavelength,
    )
    return calibrate(made.image, asked)


@pytest.mark.parametrize(
    ("number", "kind", "check", "words"),
    [
        (26, "one ring", "rings", r"no rings of Si 640c can be told|only one ring is seen"),
        (32, "blank", "rings", r"no rings are seen: the image shows none"),
        (37, "saturated", "saturation", r"9\d\.\d % of the pixels are saturated \(at most 2 %\)"),
        (42, "single crystal", "rings", r"no rings of LaB6 can be told|[012] rings are seen"),
    ],
)
def test_a_spoiled_image_is_rejected_and_the_reason_named(
    number: int, kind: str, check: str, words: str
) -> None:
    made = spoiled_image(number)
    assert made.kind == kind
    found = calibrate_without_guess(made)
    assert not found.verdict.accepted
    failed = {one.name: one.words for one in found.verdict.checks if not one.passed}
    assert re.search(words, failed[check]), failed
    assert failed[check] in found.verdict.words


@pytest.mark.parametrize("number", [3, 6])
def test_a_wrong_calibrant_is_told_by_rings_that_do_not_fit_it(number: int) -> None:
    made = spoiled_image(number)
    assert made.kind == "wrong calibrant"
    found = calibrate_without_guess(made)
    assert not found.verdict.accepted
    failed = {one.name: one.words for one in found.verdict.checks if not one.passed}
    # Which of these it is depends on the few rings that could be either's.
    told = {"residuals", "peaks", "calibrant", "missing rings"} & failed.keys()
    assert told, failed
    assert all(failed[name] in found.verdict.words for name in told)


def test_of_a_wrong_energy_it_says_what_the_rings_tell_instead() -> None:
    made = spoiled_image(21)
    assert made.kind == "wrong energy"
    found = calibrate_without_guess(made)
    assert not found.verdict.accepted
    (words,) = (one.words for one in found.verdict.checks if one.name == "energy")
    stated = found.task.energy_kev
    assert stated == pytest.approx(1.05 * made.truth.energy_kev)
    told = float(words.split("rings tell ")[1].split()[0])
    assert told == pytest.approx(made.truth.energy_kev, rel=0.01)
    assert f"stated are {stated:.4f} keV" in words
    assert words in found.verdict.words
