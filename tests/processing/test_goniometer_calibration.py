"""Calibration of goniometers from images of which the motion is known; pyFAI beside it."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from pyFAI.calibrant import Calibrant as PyfaiCalibrant
from pyFAI.detectors import Detector as PyfaiDetector
from pyFAI.goniometer import GeometryTransformation, GoniometerRefinement
from pyFAI.goniometer import Goniometer as PyfaiGoniometer

from ringline.processing import (
    Detector,
    Geometry,
    Goniometer,
    Motion,
    RecipeError,
    arm_motion,
    linear_motion,
    pixel_arrays,
    read_goniometer,
    read_poni,
    write_goniometer,
    write_poni,
)
from ringline.processing.calibration import (
    Bound,
    CalibrationTask,
    Exposure,
    GoniometerCalibration,
    GoniometerTask,
    calibrate_goniometer,
    calibration_task,
)
from ringline.processing.command_line import main

from .calibration_scenes import Powder  # noqa: TID252

DETECTOR = Detector(pixel1=200e-6, pixel2=200e-6, shape=(330, 300), name="small")
WAVELENGTH = 0.7e-10
ENERGY = 12.398419843320026 / 0.7
TURN = np.pi / 180
ARM = (0.0, 15.0, 40.0)
TABLE = (0.0, 40.0, 110.0)


def of(motion: Motion, **values: float) -> Goniometer:
    return Goniometer(
        detector=DETECTOR, motion=motion, values=tuple(values[name] for name in motion.parameters)
    )


def arm() -> Goniometer:
    """Mounted askew, turning against its scale."""
    return of(
        arm_motion(2, "arm", WAVELENGTH), distance=0.11, poni1=0.031, poni2=0.028, rot1=0.03,
        rot2=-0.02, rot3=0.015, arm_scale=-TURN,
    )  # fmt: skip


def table(wavelength: float = 1.003 * WAVELENGTH) -> Goniometer:
    return of(
        linear_motion("distance", "z"), distance_zero=0.09, distance_scale=1e-3, poni1=0.031,
        poni2=0.028, rot1=0.03, rot2=-0.02, wavelength=wavelength,
    )  # fmt: skip


def image_at(geometry: Geometry, seed: int) -> NDArray[np.int32]:
    # Turns about the beam change no ring, and scenes are made without.
    mean = Powder(behind=8.0).mean(replace(geometry, rot3=0.0))
    return np.random.default_rng(seed).poisson(mean).astype(np.int32)


def images() -> CalibrationTask:
    return calibration_task("LaB6", DETECTOR, energy_kev=ENERGY)


def arm_task(**more: object) -> GoniometerTask:
    given = {"images": images(), "motion": arm().motion, **more}
    return GoniometerTask(**given)  # type: ignore[arg-type]


def table_task(**more: object) -> GoniometerTask:
    known = {"stated": {"distance_scale": 1e-3}, "fixed": frozenset({"distance_scale"})}
    given = {"images": images(), "motion": table().motion, **known, **more}
    return GoniometerTask(**given)  # type: ignore[arg-type]


@cache
def arm_found() -> GoniometerCalibration:
    return calibrate_goniometer(arm_exposures(), arm_task())


@cache
def table_found() -> GoniometerCalibration:
    return calibrate_goniometer(table_exposures(), table_task())


@cache
def arm_exposures() -> tuple[Exposure, ...]:
    return made_exposures(arm(), ARM)


@cache
def table_exposures() -> tuple[Exposure, ...]:
    return made_exposures(table(), TABLE)


def made_exposures(goniometer: Goniometer, places: Sequence[float]) -> tuple[Exposure, ...]:
    (motor,) = goniometer.motion.motors
    return tuple(
        Exposure(image_at(goniometer.geometry_at({motor: place}), k), {motor: place})
        for k, place in enumerate(places)
    )


def pulls(found: GoniometerCalibration, truth: Goniometer) -> dict[str, float]:
    assert found.goniometer is not None
    return {
        name: (value - truth.parameters[name]) / found.errors[name]
        for name, value in found.goniometer.parameters.items()
        if found.errors[name] > 0
    }


def failed(found: GoniometerCalibration) -> list[str]:
    return [check.name for check in found.verdict.checks if not check.passed]


def assert_same_rings(found: Geometry, truth: Geometry, pixels: float) -> None:
    """2theta of every pixel, to some part of what a pixel sees."""
    off = pixel_arrays(found).two_theta - pixel_arrays(truth).two_theta
    assert np.abs(off).max() < pixels * DETECTOR.pixel1 / truth.distance


def test_an_arm_that_turns_is_found_without_a_guess_to_its_error_bars() -> None:
    found = arm_found()
    assert found.verdict.accepted, found.verdict.words
    assert set(pulls(found, arm())) == {*arm().parameters}
    assert max(map(abs, pulls(found, arm()).values())) < 5
    assert found.errors["arm_scale"] < 1e-4 * TURN


@pytest.mark.parametrize("place", [0.0, 7.0, 33.0, 50.0, -15.0])
def test_an_arm_puts_rings_where_they_are_between_images_and_beyond(place: float) -> None:
    found = arm_found().goniometer
    assert found is not None
    where = {"arm": place}
    assert_same_rings(found.geometry_at(where), arm().geometry_at(where), 0.1)


def test_what_each_image_told_is_in_the_order_of_the_images() -> None:
    for exposure, one in zip(arm_exposures(), arm_found().exposures, strict=True):
        assert one.positions == exposure.positions
        assert one.geometry is not None
        assert one.points is not None
        assert_same_rings(one.geometry, arm().geometry_at(one.positions), 0.1)
        used = one.points.used == 1
        pixel = DETECTOR.pixel1 / 0.11
        assert np.sqrt(np.mean(one.points.residual[used] ** 2)) < 0.2 * pixel


def test_the_order_of_the_images_changes_no_bit() -> None:
    again = calibrate_goniometer(arm_exposures()[::-1], arm_task())
    assert again.goniometer == arm_found().goniometer
    assert again.verdict == arm_found().verdict
    assert [one.positions["arm"] for one in again.exposures] == list(ARM[::-1])


def test_the_wavelength_is_found_to_its_error_bars_from_two_places_or_more() -> None:
    found, truth = table_found(), table()
    assert found.verdict.accepted, found.verdict.words
    assert found.goniometer is not None
    value, error = found.goniometer.parameters["wavelength"], found.errors["wavelength"]
    assert abs(value / truth.parameters["wavelength"] - 1) < 1e-4
    assert abs(value - truth.parameters["wavelength"]) < 5 * error
    assert error < 1e-4 * value
    assert found.errors["distance_scale"] == 0.0
    assert max(map(abs, pulls(found, truth).values())) < 5


def test_an_image_with_a_single_ring_takes_part() -> None:
    shown = [sum(ring.points > 0 for ring in one.rings) for one in far_found().exposures]
    assert shown[-1] == 1
    assert far_found().verdict.accepted, far_found().verdict.words


@cache
def far_found() -> GoniometerCalibration:
    """The last image is so far away that it sees the first ring only."""
    places = (0.0, 40.0, 220.0)
    return calibrate_goniometer(made_exposures(table(WAVELENGTH), places), table_task())


def test_pyfai_finds_the_same_from_the_same_points() -> None:
    found = arm_found()
    assert found.goniometer is not None
    motion, start = found.goniometer.motion, found.goniometer
    function = GeometryTransformation(
        *(motion.formulas[name] for name in ("distance", "poni1", "poni2", "rot1", "rot2", "rot3")),
        param_names=list(motion.parameters), pos_names=["arm"],
    )  # fmt: skip
    # From another place, so that it has something to find.
    values = [value * 1.003 for value in start.values]
    detector = PyfaiDetector(DETECTOR.pixel1, DETECTOR.pixel2, max_shape=DETECTOR.shape)
    theirs = GoniometerRefinement(
        values, lambda place: place, function, detector=detector, wavelength=WAVELENGTH
    )
    for one in found.exposures:
        assert one.points is not None
        used = one.points.used == 1
        calibrant = PyfaiCalibrant(
            dspacing=[1e10 * ring.spacing for ring in one.rings], wavelength=WAVELENGTH
        )
        place = one.positions["arm"]
        single = theirs.new_geometry(f"{place}", metadata=place, calibrant=calibrant)
        # Their pixels are counted from the middle of the first.
        columns = (one.points.slow - 0.5, one.points.fast - 0.5, one.points.ring)
        single.geometry_refinement.data = np.stack(columns, axis=1)[used].astype(float)
    for _ in range(3):
        theirs.refine3(method="slsqp", verbose=False, maxiter=1000)
    ours = start
    for place in (*ARM, 33.0):
        ai = theirs.get_ai(place)
        geometry = Geometry(
            distance=ai.dist, poni1=ai.poni1, poni2=ai.poni2, rot1=ai.rot1, rot2=ai.rot2,
            rot3=ai.rot3, wavelength=WAVELENGTH, detector=DETECTOR,
        )  # fmt: skip
        # They weigh all points alike.
        assert_same_rings(ours.geometry_at({"arm": place}), geometry, 0.1)


def test_a_motor_that_slipped_is_told_by_its_position() -> None:
    slipped = list(arm_exposures())
    slipped[1] = Exposure(slipped[1].image, {"arm": 15.4})
    found = calibrate_goniometer(slipped, arm_task())
    assert not found.verdict.accepted
    assert any("arm=" in name for name in failed(found))


def test_a_scale_that_is_not_as_stated_is_named() -> None:
    found = calibrate_goniometer(arm_exposures(), arm_task(stated={"arm_scale": -1.015 * TURN}))
    assert failed(found) == ["arm_scale"]


def test_a_scale_that_is_as_stated_is_told_and_passes() -> None:
    found = calibrate_goniometer(arm_exposures()[:2], arm_task(stated={"arm_scale": -TURN}))
    assert found.verdict.accepted, found.verdict.words
    assert "arm_scale is -0.017" in found.verdict.words


def test_an_energy_that_is_not_as_stated_is_named() -> None:
    task = arm_task(
        images=calibration_task("LaB6", DETECTOR, energy_kev=ENERGY * 1.008),
        motion=arm_motion(2, "arm", WAVELENGTH / 1.008),
    )
    found = calibrate_goniometer(arm_exposures(), task)
    assert not found.verdict.accepted
    assert "energy" in failed(found) or found.goniometer is None


def test_another_powder_is_not_accepted() -> None:
    task = arm_task(images=calibration_task("CeO2", DETECTOR, energy_kev=ENERGY))
    assert not calibrate_goniometer(arm_exposures()[:2], task).verdict.accepted


def test_images_without_rings_tell_no_goniometer() -> None:
    random = np.random.default_rng(3)
    flat = [Exposure(random.poisson(20, (330, 300)), {"arm": place}) for place in ARM[:2]]
    found = calibrate_goniometer(flat, arm_task())
    assert found.goniometer is None
    assert not found.verdict.accepted
    assert [one.geometry for one in found.exposures] == [None, None]


def test_a_guess_is_where_the_detector_stood_at_the_first_image() -> None:
    guess = replace(arm().geometry_at({"arm": 40.0}), distance=0.112, rot3=0.0)
    task = arm_task(images=calibration_task("LaB6", DETECTOR, guess=guess))
    found = calibrate_goniometer(arm_exposures()[::-1], task)
    assert found.verdict.accepted, found.verdict.words
    assert max(map(abs, pulls(found, arm()).values())) < 5


REFUSED = {
    "an unknown parameter": (
        {"stated": {"arm_scal": 1.0}}, "unknown parameter 'arm_scal': did you mean 'arm_scale'",
    ),
    "a fixed one without a value": (
        {"fixed": frozenset({"arm_scale"})}, "arm_scale cannot be fixed without a value",
    ),
    "another wavelength": (
        {"motion": arm_motion(2, "arm", 1e-10)}, "the motion is for a wavelength of 1e-10 m",
    ),
    "bounds of single images": (
        {"images": calibration_task(
            "LaB6", DETECTOR, energy_kev=ENERGY, options={"bounds": {"rot1": (-0.1, 0.1)}})},
        "fix or bound parameters of the motion",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_task_that_cannot_be_is_refused(case: str) -> None:
    change, message = REFUSED[case]
    with pytest.raises(RecipeError) as error:
        arm_task(**change)
    assert message in str(error.value)


def test_exposures_that_tell_no_motion_are_refused() -> None:
    one, other = arm_exposures()[:2]
    with pytest.raises(RecipeError, match="at least two images, got 1"):
        calibrate_goniometer([one], arm_task())
    with pytest.raises(RecipeError, match="a motion needs images at two or more positions"):
        calibrate_goniometer([one, one], arm_task())
    with pytest.raises(RecipeError, match="image 2: the position of 'arm' is missing"):
        calibrate_goniometer([one, Exposure(other.image, {"am": 1.0})], arm_task())
    with pytest.raises(RecipeError, match="image 2: image of shape .5, 5."):
        calibrate_goniometer([one, Exposure(np.zeros((5, 5)), {"arm": 1.0})], arm_task())
    still = [Exposure(exposure.image, {"z": 0.0}) for exposure in table_exposures()]
    with pytest.raises(RecipeError, match="the wavelength needs images at two or more positions"):
        calibrate_goniometer(still, table_task())


def test_a_parameter_stays_within_its_bounds_and_that_is_told() -> None:
    bounds = (Bound("poni1", 0.0315, 0.033),)
    found = calibrate_goniometer(arm_exposures()[:2], arm_task(bounds=bounds))
    assert found.goniometer is not None
    assert found.goniometer.parameters["poni1"] >= 0.0315
    assert not found.verdict.accepted
    assert "bounds" in failed(found)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / "arm.h5", "w") as file:
        file["entry/data/data"] = np.stack([one.image for one in arm_exposures()])
        file["arm"] = list(ARM)
    return tmp_path


def calibrate_at(folder: Path, *words: str) -> int:
    named = [str(folder / word[1:]) if word.startswith("@") else word for word in words]
    return main(["calibrate-goniometer", "--calibrant", "LaB6", *named])


@pytest.fixture
def guess(folder: Path) -> Path:
    path = folder / "guess.poni"
    plain = replace(DETECTOR, name="Detector")
    write_poni(replace(arm().geometry_at({"arm": 0.0}), detector=plain, rot3=0.0), path)
    return path


def test_the_command_writes_a_file_that_pyfai_reads(
    folder: Path, guess: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["@arm.h5", "--guess", str(guess), "--positions", "arm=arm"]
    assert calibrate_at(folder, *words, "-o", "@g.json") == 0
    found = read_goniometer(folder / "g.json")
    assert found.errors.keys() == found.parameters.keys()
    theirs = PyfaiGoniometer.sload(str(folder / "g.json")).get_ai(20.0)
    assert theirs.rot2 == pytest.approx(found.geometry_at({"arm": 20.0}).rot2, abs=1e-15)
    assert_same_rings(found.geometry_at({"arm": 20.0}), arm().geometry_at({"arm": 20.0}), 0.1)
    shown = capsys.readouterr().out
    assert "arm=15: " in shown
    assert "accepted" in shown


def test_the_command_goes_on_from_the_formulas_of_a_file(folder: Path, guess: Path) -> None:
    start = arm().with_values([1.002 * value for value in arm().values])
    write_goniometer(replace(start, detector=read_poni(guess).detector), folder / "g.json")
    words = ["@arm.h5", "--guess", str(guess), "--positions", "arm=0,15,40"]
    assert calibrate_at(folder, *words, "--like", "@g.json", "-o", "@again.json") == 0
    found = read_goniometer(folder / "again.json")
    assert found.motion == start.motion
    assert_same_rings(found.geometry_at({"arm": 20.0}), arm().geometry_at({"arm": 20.0}), 0.1)


def test_the_command_writes_nothing_where_checks_fail(
    folder: Path, guess: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["@arm.h5", "--guess", str(guess), "--positions", "arm=0,15.4,40"]
    assert calibrate_at(folder, *words, "-o", "@g.json") == 3
    assert not (folder / "g.json").exists()
    assert "rejected: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--positions arm=0,1 -o @g.json", "--positions arm: 2 positions for 3 frames"),
        ("--positions arm=arm -o @g.txt", "output must end in .json"),
        ("--positions arm=arm --model arm-rot3 -o @g.json", "unknown motion 'arm-rot3'"),
        ("--positions arm=arm --state arm_scale -o @g.json", "give NAME=VALUE"),
        ("--positions a=arm --positions b=arm -o @g.json", "a model has one motor"),
    ],
)
def test_the_command_refuses_in_one_line(
    folder: Path, guess: Path, words: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert calibrate_at(folder, "@arm.h5", "--guess", str(guess), *words.split()) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error
