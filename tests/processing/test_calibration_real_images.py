"""Real images, calibrated before by others."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import fabio
import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from ringline.processing import (
    Corrections,
    Geometry,
    Radial,
    Recipe,
    detector_named,
    read_poni,
    reduction_for,
)
from ringline.processing.calibration import Calibration, calibrate, calibration_task

from ..benchmarks.powder_scene import beam_center  # noqa: TID252
from .calibration_scenes import Floats, seen_from_sample  # noqa: TID252

Data = Callable[[str], Path]


@pytest.mark.parametrize("orientation", [2, 3])
def test_ceo2_without_a_guess_is_where_dioptas_found_it(
    orientation: int, shared_data: Data
) -> None:
    """Stored upside down: turned up before, or said to be (orientation 2)."""
    theirs = read_poni(shared_data("ceo2-pilatus1m/CeO2_Pilatus1M.poni"))
    image = fabio.open(shared_data("ceo2-pilatus1m/CeO2_Pilatus1M.tif")).data
    detector = replace(detector_named("Pilatus 1M"), orientation=orientation)
    asked = calibration_task("CeO2", detector, energy_kev=theirs.energy_kev)
    found = calibrate(image if orientation == 2 else image[::-1], asked)
    assert found.verdict.accepted, found.verdict.words
    assert found.geometry is not None
    assert found.geometry.distance == pytest.approx(theirs.distance, rel=1e-3)
    off = np.subtract(beam_center(found.geometry), beam_center(theirs))
    assert np.abs(off).max() < 0.3
    np.testing.assert_allclose(found.center, beam_center(found.geometry), atol=1e-6)


LAB6 = "lab6-pilatus300kw/b_toney_lab6_th3_scan1_0008"
FIRST_RING = 0.213452155107
"""2theta of 100 at 0.8856 angstrom, rad, as the file of control points has it."""


def picked(path: Path) -> tuple[Floats, Floats]:
    """Control points that a person picked, slow and fast, in pixels from the image's edge.

    pyFAI counts from the middle of the first pixel.
    """
    rows = [line for line in path.read_text().splitlines() if line.startswith("point:")]
    columns = np.array([[float(word.split("=")[1]) for word in row.split()[1:]] for row in rows])
    return columns[:, 1] + 0.5, columns[:, 0] + 0.5


def header_geometry(header: Mapping[str, str]) -> Geometry:
    names = {"distance": "dist"} | {n: n for n in ("poni1", "poni2", "rot1", "rot2", "rot3")}
    values: dict[str, Any] = {name: float(header[key]) for name, key in names.items()}
    wavelength = float(header["wavelength"])
    return Geometry(detector=detector_named("Pilatus300kw"), wavelength=wavelength, **values)


@pytest.mark.parametrize(("longer", "up", "right"), [(1.05, 20, -20), (0.95, -20, -20)])
def test_the_one_ring_of_lab6_goes_through_the_points_that_a_person_picked(
    longer: float, up: int, right: int, shared_data: Data
) -> None:
    """One ring leaves most of the geometry open: it is rejected, but lies on the ring."""
    theirs = header_geometry(fabio.open(shared_data(f"{LAB6}.azim")).header)
    slow, fast = picked(shared_data(f"{LAB6}.npt"))
    assert slow.size > 40
    pixel = theirs.detector.pixel1
    guess = replace(
        theirs,
        distance=theirs.distance * longer,
        poni1=theirs.poni1 + up * pixel,
        poni2=theirs.poni2 + right * pixel,
    )
    assert rms_off(guess, slow, fast) > 0.3  # a guess that is off
    asked = calibration_task("LaB6", theirs.detector, guess=guess)
    found = calibrate(fabio.open(shared_data(f"{LAB6}.tif")).data, asked)
    assert found.geometry is not None
    assert rms_off(found.geometry, slow, fast) < 0.008
    assert not found.verdict.accepted
    assert "only one ring is seen (at least 3)" in found.verdict.words


def rms_off(geometry: Geometry, slow: Floats, fast: Floats) -> float:
    """How far places are from the first ring, degrees."""
    pixel = geometry.detector.pixel1
    places = seen_from_sample(geometry, slow * pixel, fast * pixel, np.zeros(slow.size))
    return float(np.degrees(np.sqrt(np.mean((places.two_theta - FIRST_RING) ** 2))))


CEO2_2M = "ceo2-pilatus2m/ceria_50x30_740mm_000005_Pilatus2M.hdf5"
THEORY = (3.708, 4.282, 6.056, 7.103, 7.419, 8.569, 9.340, 9.583, 10.500, 11.139)
"""2theta of CeO2 at 61.3323 keV, degrees."""


@pytest.fixture(scope="module")
def ceo2_2m(shared_data: Data) -> tuple[NDArray[np.int32], Calibration]:
    with h5py.File(shared_data(CEO2_2M)) as file:
        image = file["imageseries/images"][0]
    asked = calibration_task("CeO2", detector_named("Pilatus 2M"), energy_kev=61.3323)
    return image, calibrate(image, asked)


def test_peaks_of_ceo2_are_on_theory_in_the_reduced_curve(
    ceo2_2m: tuple[NDArray[np.int32], Calibration],
) -> None:
    image, found = ceo2_2m
    assert found.verdict.accepted, found.verdict.words
    assert found.geometry is not None
    recipe = Recipe(
        geometry=found.geometry,
        binning=Radial(bins=4000, unit="2th_deg"),
        splitting="bbox",
        corrections=Corrections(mask=image < 0),
    )
    profile = reduction_for(recipe).reduce(image)
    off = [middle(profile.axis, profile.intensity, angle) - angle for angle in THEORY]
    np.testing.assert_allclose(off, 0.0, atol=3e-3)


def middle(axis: Floats, intensity: Floats, angle: float) -> float:
    """Where the upper half of a peak has its middle, above a line between its feet."""
    near = np.abs(axis - angle) < 0.06
    x, y = axis[near], intensity[near]
    y = y - np.interp(x, x[[0, -1]], [y[:4].mean(), y[-4:].mean()])
    high = np.where(y > 0.4 * y.max(), y, 0.0)
    return float((x * high).sum() / high.sum())


def test_the_calibration_of_the_pilatus_2m_says_how_good_it_is(
    ceo2_2m: tuple[NDArray[np.int32], Calibration],
) -> None:
    _, found = ceo2_2m
    assert sum(ring.points > 0 for ring in found.rings) >= 10
    assert found.errors["distance"] / 0.74 < 1e-4
    seen = [ring for ring in found.rings if ring.points > 20]
    assert max(abs(np.degrees(ring.residual)) for ring in seen) < 3e-3
