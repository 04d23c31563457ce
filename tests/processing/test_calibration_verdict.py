"""Each check passes for good evidence and fails for what it is there to find.

The evidence is measured on images, and spoiled one thing at a time.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ringline.processing.calibration import Check
from ringline.processing.calibration.image import calibration_image
from ringline.processing.calibration.lines import lines_of
from ringline.processing.calibration.peaks import Curve, integrated
from ringline.processing.calibration.refine import refine
from ringline.processing.calibration.settle import Settled, measured_of, settle
from ringline.processing.calibration.verdict import Evidence, verdict
from ringline.processing.geometry import Geometry

from ..benchmarks.powder_scene import directions  # noqa: TID252
from .calibration_scenes import PIXEL, TRUE, Floats, Powder, center_off, exposed, image, task  # noqa: TID252

NAMES = [
    "saturation", "rings", "coverage", "residuals", "precision", "bounds", "energy", "peaks",
    "calibrant", "missing rings", "halves",
]  # fmt: skip


def evidence_of(
    counts: NDArray[Any],
    *,
    start: Geometry = TRUE,
    calibrant: str = "LaB6",
    options: Mapping[str, Any] | None = None,
) -> Evidence:
    """What is measured on an image from a geometry near the truth."""
    guess = None if options is None else start
    asked = task(calibrant, wavelength=start.wavelength, guess=guess, options=options)
    pixels = calibration_image(counts, asked)
    lines = lines_of(asked.calibrant, asked.wavelength)
    settled = settle(start, pixels, lines, asked, 1.5)
    assert settled is not None
    step = 0.6 * float(np.median(settled.fit.width))
    curve = integrated(settled.refined.geometry, pixels, step)
    return Evidence(asked, pixels, lines, settled, curve)


@cache
def good() -> Evidence:
    return evidence_of(image())


def checked(evidence: Evidence, name: str) -> Check:
    (found,) = (check for check in verdict(evidence).checks if check.name == name)
    return found


def with_points(evidence: Evidence, which: NDArray[np.bool_]) -> Evidence:
    """The same with some of the points, refined anew."""
    return _refined(evidence, replace(evidence.settled, points=evidence.settled.points & which))


def with_shifts(evidence: Evidence, moved: Floats) -> Evidence:
    """The same with points measured elsewhere, 2theta in rad."""
    fit = evidence.settled.fit
    shifted = replace(fit, shift=fit.shift + moved)
    return _refined(evidence, replace(evidence.settled, fit=shifted))


def _refined(evidence: Evidence, settled: Settled) -> Evidence:
    asked, measured = evidence.task, measured_of(settled.fit, settled.points)
    refined = refine(evidence.geometry, measured, asked, asked.refined)
    # What was measured holds for the geometry of before: points lie at that distance from it.
    return replace(evidence, settled=replace(settled, refined=refined))


def flat() -> Curve:
    """The curve of no rings at all."""
    curve = good().curve
    noise = np.random.default_rng(6).normal(5.0, 0.1, curve.intensity.size)
    return Curve(curve.two_theta, noise, np.full(noise.size, 0.1))


def test_good_evidence_passes_every_check() -> None:
    found = verdict(good())
    assert [check.name for check in found.checks] == NAMES
    assert [check.name for check in found.checks if not check.passed] == []
    assert found.accepted
    assert found.words.startswith("accepted: ")


def test_it_is_the_geometry_of_the_image() -> None:
    found = good().geometry
    assert found.distance == pytest.approx(TRUE.distance, rel=2e-4)
    assert center_off(found, TRUE) < 0.05


@pytest.mark.parametrize(("part", "passed"), [(0.018, True), (0.022, False)])
def test_two_percent_of_saturated_pixels_are_too_many(part: float, passed: bool) -> None:  # noqa: FBT001
    pixels = good().image
    full = np.zeros(pixels.full.size, dtype=bool)
    full[: int(part * full.size)] = True
    spoiled = replace(good(), image=replace(pixels, full=full.reshape(pixels.full.shape)))
    found = checked(spoiled, "saturation")
    assert found.passed is passed
    assert f"{100 * part:.2g} % of the pixels are saturated (at most 2 %)" in found.words


@pytest.mark.parametrize(
    ("number", "passed", "words"),
    [(1, False, "only one ring is seen"), (2, False, "2 rings are seen"), (3, True, "3 rings")],
)
def test_three_rings_are_needed(number: int, passed: bool, words: str) -> None:  # noqa: FBT001
    kept = np.unique(good().settled.fit.ring[good().settled.points])[:number]
    found = checked(with_points(good(), np.isin(good().settled.fit.ring, kept)), "rings")
    assert found.passed is passed
    assert words in found.words
    assert "at least 3" in found.words


def test_spots_are_no_powder() -> None:
    """The same rings, but of a few grains each."""
    mean, places = Powder(top=2000.0).mean(), np.random.default_rng(2)
    slow, fast = (np.arange(n) + 0.5 for n in TRUE.detector.known_shape)
    chi = directions(TRUE, slow[:, None], fast[None, :]).chi
    ring = directions(TRUE, slow[:, None], fast[None, :]).two_theta // 0.02
    grain = np.floor((chi + np.pi) / np.deg2rad(1.5)).astype(int)
    lit = (places.random((300, 240)) < 0.12)[ring.astype(int) % 300, grain]
    found = checked(evidence_of(exposed(np.where(lit, mean, 5.0))), "coverage")
    assert not found.passed
    assert "spots rather than rings" in found.words


@cache
def wedge(degrees: float, smallest: float = 0.0, largest: float = 1.0) -> Evidence:
    """The same image, but only some of its azimuths and of its angles (rad)."""
    slow, fast = (np.arange(n) + 0.5 for n in TRUE.detector.known_shape)
    places = directions(TRUE, slow[:, None], fast[None, :])
    shown = (places.chi > 0.4) & (places.chi < 0.4 + np.deg2rad(degrees))
    shown &= (places.two_theta > smallest) & (places.two_theta < largest)
    return evidence_of(np.where(shown, image(), -1))


def test_a_few_degrees_of_azimuth_are_not_enough() -> None:
    found = checked(wedge(4.0, 0.3), "coverage")
    assert not found.passed
    assert float(found.words.split(" over ")[1].split()[0]) < 12
    assert "deg of azimuth (at least 12)" in found.words
    assert "spots" not in found.words
    assert checked(wedge(40.0), "coverage").passed


def test_rings_that_are_off_as_wholes_are_seen() -> None:
    fit = good().settled.fit
    moved = np.where(fit.ring % 2 == 0, 0.8, -0.8) * PIXEL
    found = checked(with_shifts(good(), moved), "residuals")
    assert not found.passed
    assert "pixel rms (at most 0.35)" in found.words


def test_points_that_scatter_by_more_than_a_pixel_are_seen() -> None:
    fit = good().settled.fit
    moved = np.random.default_rng(5).normal(0, 1.6 * PIXEL, fit.shift.size)
    found = checked(with_shifts(good(), moved), "residuals")
    assert not found.passed
    assert "(at most 1)" in found.words


def test_a_center_that_is_hardly_known_is_not_enough() -> None:
    found = checked(wedge(4.0, 0.3), "precision")
    assert not found.passed
    assert "needed 0.5 %" in found.words
    error = float(found.words.split("the center to ")[1].split()[0])
    assert error > 1


def test_a_parameter_at_its_bound_is_named() -> None:
    within = {"distance": (0.109, 0.112)}
    beside = {"distance": (0.10999, 0.112), "rot1": (0.0605, 0.07)}
    assert checked(evidence_of(image(), options={"bounds": within}), "bounds").passed
    start = replace(TRUE, rot1=0.061)
    found = checked(evidence_of(image(), start=start, options={"bounds": beside}), "bounds")
    assert not found.passed
    assert "rot1 ended at a bound" in found.words


def test_an_energy_that_is_wrong_by_more_than_a_percent_is_told() -> None:
    factor = 0.985
    start = replace(TRUE, wavelength=TRUE.wavelength * factor, distance=TRUE.distance / factor)
    found = checked(evidence_of(image(), start=start), "energy")
    assert not found.passed
    told = TRUE.energy_kev
    assert f"stated are {told / factor:.4f} keV" in found.words
    assert float(found.words.split()[2]) == pytest.approx(told, rel=3e-3)


def test_an_energy_is_not_looked_at_where_the_distance_is_fixed() -> None:
    found = checked(evidence_of(image(), options={"fixed": "distance"}), "energy")
    assert found.passed
    assert "was not looked at" in found.words


def test_rings_near_the_beam_do_not_tell_the_energy_and_say_so() -> None:
    lines = good().lines.two_theta
    found = checked(wedge(40.0, 0.0, float(lines[1:3].mean())), "energy")
    assert found.passed
    assert "do not tell the energy" in found.words


def test_a_curve_whose_peaks_are_beside_the_lines_is_seen() -> None:
    curve = good().curve
    moved = Curve(curve.two_theta + 0.6 * PIXEL, curve.intensity, curve.sigma)
    found = checked(replace(good(), curve=moved), "peaks")
    assert not found.passed
    off = np.degrees(0.6 * PIXEL)
    assert float(found.words.split(" by ")[1].split()[0]) == pytest.approx(off, rel=0.15)


def test_a_curve_without_peaks_is_seen() -> None:
    found = checked(replace(good(), curve=flat()), "peaks")
    assert not found.passed
    assert int(found.words.split()[0]) < 2
    assert "peaks of the integrated curve are on lines (at least 2)" in found.words


def test_strong_peaks_of_something_else_are_named_by_their_angles() -> None:
    curve, lines = good().curve, good().lines.two_theta
    width = float(np.median(good().settled.fit.width))
    middle = float(lines[2:4].mean())
    top = float(curve.intensity.max())
    peak = np.exp(-0.5 * ((curve.two_theta - middle) / width) ** 2)
    spoiled = replace(curve, intensity=curve.intensity + 0.9 * top * peak)
    found = checked(replace(good(), curve=spoiled), "calibrant")
    assert not found.passed
    assert f"at {np.degrees(middle):.1f}" in found.words
    faint = replace(curve, intensity=curve.intensity + 0.1 * top * peak)
    assert checked(replace(good(), curve=faint), "calibrant").passed


def test_lines_that_are_not_there_are_counted() -> None:
    absent = (1, 3, 6, 8, 10, 12)
    found = checked(evidence_of(exposed(Powder(without=absent).mean())), "missing rings")
    assert not found.passed
    number = int(found.words.split()[0])
    assert 4 <= number <= len(absent)


def test_one_line_that_is_not_there_is_forgiven() -> None:
    found = checked(evidence_of(exposed(Powder(without=(3,)).mean())), "missing rings")
    assert found.passed
    assert found.words.startswith("1 of ")


def test_two_halves_that_tell_two_geometries_are_seen() -> None:
    fit = good().settled.fit
    other = replace(TRUE, poni1=TRUE.poni1 + 0.5 * TRUE.detector.pixel1)
    moved = directions(other, fit.slow, fit.fast).two_theta
    moved -= directions(TRUE, fit.slow, fit.fast).two_theta
    odd = (fit.sector + fit.ring) % 2 == 1
    found = checked(with_shifts(good(), np.where(odd & fit.seen, moved, 0.0)), "halves")
    assert not found.passed
    assert float(found.words.split("chi squared ")[1].split()[0]) > 25


def test_what_fails_is_in_the_words_and_what_passes_is_not() -> None:
    found = verdict(replace(good(), curve=flat()))
    assert not found.accepted
    assert found.words.startswith("rejected: ")
    assert "peaks of the integrated curve are on lines" in found.words
    assert "saturated" not in found.words
