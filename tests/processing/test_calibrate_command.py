from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from ringline.processing import pixel_arrays, read_poni, write_detector_file, write_poni
from ringline.processing.calibration import (
    Calibration,
    CalibrationTask,
    Check,
    Progress,
    Verdict,
    command,
)
from ringline.processing.calibration.record import image_digest, read_calibration
from ringline.processing.command_line import main
from ringline.processing.types import ImageArray

from .made_calibrations import DETECTOR, made, made_geometry, powder_image  # noqa: TID252

PLAIN = replace(DETECTOR, modules=None, name="Detector")
"""As a PONI file holds it."""
ENERGY = f"{12.398419843320026 / 0.41!r}"


@dataclass
class Files:
    """A folder with the image of a powder, and what was asked of the calibration."""

    folder: Path
    tasks: list[CalibrationTask]

    def run(self, *words: str, image: str = "image.npy") -> int:
        name = image if image.startswith("/") else str(self.folder / image)
        place = ["-o", str(self.folder / "out.poni")]
        return main(["calibrate", name, "--calibrant", "LaB6", *place, *words])

    @property
    def guess(self) -> str:
        return str(self.folder / "guess.poni")

    def written(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()} - {"image.h5", "guess.poni"}


@pytest.fixture
def files(tmp_path: Path) -> Files:
    geometry = made_geometry(PLAIN)
    image = powder_image(geometry)
    with h5py.File(tmp_path / "image.h5", "w") as file:
        file["entry/data/data"] = np.stack([image, image + 1])
        file["entry/one"] = image[None]
    write_poni(geometry, tmp_path / "guess.poni")
    return Files(tmp_path, [])


@pytest.fixture
def calibrated(files: Files, monkeypatch: pytest.MonkeyPatch) -> Files:
    """What calibrates is left out: it takes the task and finds a known geometry."""
    monkeypatch.setattr(command, "calibrate", found_with(files, passed=True))
    return files


@pytest.fixture
def rejected(files: Files, monkeypatch: pytest.MonkeyPatch) -> Files:
    monkeypatch.setattr(command, "calibrate", found_with(files, passed=False))
    return files


def found_with(files: Files, *, passed: bool) -> Callable[..., Calibration]:
    def calibrate(image: ImageArray, task: CalibrationTask, progress: Progress) -> Calibration:
        files.tasks.append(task)
        progress(0.5, "half way")
        progress(1.0, "done")
        size = len(task.refined)
        return replace(
            made(made_geometry(task.detector)).calibration,
            task=task,
            image_sha256=image_digest(image),
            covariance=np.eye(size) * 1e-12,
            verdict=Verdict(
                (
                    Check("rings", passed=True, words="24 rings, 3 needed"),
                    Check("scatter", passed=passed, words="scatter 0.9 pixel, 0.3 allowed"),
                )
            ),
        )

    return calibrate


def detector_file(files: Files) -> str:
    path = files.folder / "detector.h5"
    write_detector_file(path, replace(DETECTOR, name="made"))
    return str(path)


def test_what_passes_is_written_as_poni_and_told_with_its_errors(
    calibrated: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    assert calibrated.run("--guess", calibrated.guess, image="image.h5::entry/one") == 0
    assert read_poni(calibrated.folder / "out.poni") == made_geometry(PLAIN)
    told = capsys.readouterr().out
    assert "distance    100.0000 ± 0.0010 mm" in told
    assert "accepted" in told
    assert "scatter 0.9 pixel, 0.3 allowed" in told
    assert calibrated.written() == {"out.poni"}


def test_picture_and_record_are_written_where_asked(calibrated: Files) -> None:
    folder = calibrated.folder
    words = ["--picture", str(folder / "p.png"), "--record", str(folder / "r.h5")]
    assert calibrated.run("--guess", calibrated.guess, *words, image="image.h5#1") == 0
    assert (folder / "p.png").read_bytes().startswith(b"\x89PNG")
    calibration, image = read_calibration(folder / "r.h5")
    assert calibration.task == calibrated.tasks[0]
    with h5py.File(folder / "image.h5") as file:
        np.testing.assert_array_equal(image, file["entry/data/data"][1])


def test_what_fails_leaves_the_poni_file_alone_and_says_why(
    rejected: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = rejected.folder
    (folder / "out.poni").write_text("of before")
    words = ["--picture", str(folder / "p.png"), "--record", str(folder / "r.h5")]
    assert rejected.run("--guess", rejected.guess, *words, image="image.h5#0") == 3
    assert (folder / "out.poni").read_text() == "of before"
    assert (folder / "p.png").exists()
    assert not read_calibration(folder / "r.h5")[0].verdict.accepted
    told = capsys.readouterr().err
    assert "image.h5#0: rejected: scatter: scatter 0.9 pixel, 0.3 allowed" in told
    assert "24 rings" not in told


def test_every_option_reaches_the_task(calibrated: Files) -> None:
    shape = PLAIN.known_shape
    np.save(calibrated.folder / "mask.npy", np.eye(*shape))
    np.save(calibrated.folder / "dark.npy", np.ones(shape))
    words = ["--energy", "29", "--fix", "rot1,rot2", "--fix", "distance"]
    words += ["--bounds", "poni1", "0.02", "0.04", "--bounds", "poni2", "-1", "1"]
    words += ["--saturation", "5000", "--orientation", "2"]
    words += ["--mask", str(calibrated.folder / "mask.npy")]
    words += ["--dark", str(calibrated.folder / "dark.npy")]
    assert calibrated.run("--guess", calibrated.guess, *words, image="image.h5#0") == 0
    (task,) = calibrated.tasks
    assert task.calibrant.name == "LaB6"
    assert task.energy_kev == pytest.approx(29.0)
    assert task.fixed == {"rot1", "rot2", "distance"}
    bounds = {bound.name: (bound.low, bound.high) for bound in task.bounds}
    assert bounds == {"poni1": (0.02, 0.04), "poni2": (-1.0, 1.0)}
    assert task.saturation == 5000.0
    assert task.detector.orientation == 2
    assert task.guess is not None
    assert task.guess.detector.orientation == 2
    assert task.guess.distance == 0.1
    assert task.mask is not None
    assert task.mask.values.sum() == min(shape)
    assert task.dark is not None


def test_detector_and_energy_of_the_guess_serve_where_none_are_given(calibrated: Files) -> None:
    assert calibrated.run("--guess", calibrated.guess, image="image.h5#0") == 0
    (task,) = calibrated.tasks
    assert task.detector == PLAIN
    assert task.wavelength == 0.41e-10


def test_without_a_guess_detector_and_energy_are_enough(calibrated: Files) -> None:
    words = ["--detector", detector_file(calibrated), "--energy", ENERGY]
    assert calibrated.run(*words, image="image.h5#0") == 0
    (task,) = calibrated.tasks
    assert task.guess is None
    assert task.detector.shape == DETECTOR.shape


def test_a_detector_from_a_file_is_named_in_the_poni_file(calibrated: Files) -> None:
    words = ["--detector", detector_file(calibrated), "--energy", ENERGY]
    assert calibrated.run(*words, image="image.h5#0") == 0
    found = read_poni(calibrated.folder / "out.poni")
    assert found.detector.mask is not None  # the gaps
    assert found == made_geometry(calibrated.tasks[0].detector)


def test_the_powders_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["calibrate", "--calibrants"])
    assert ended.value.code == 0
    assert {"LaB6", "CeO2", "AgBh"} <= set(capsys.readouterr().out.split())


def test_a_file_whose_name_ends_like_a_frame_is_taken_as_it_is(calibrated: Files) -> None:
    (calibrated.folder / "image.h5").rename(calibrated.folder / "image#7")
    assert calibrated.run("--guess", calibrated.guess, image="image#7::entry/one") == 0


@pytest.mark.parametrize(
    ("image", "words", "message"),
    [
        ("image.h5#0", ["--calibrant", "LaB7"], "unknown calibrant 'LaB7': did you mean 'LaB6'"),
        ("image.h5#0", ["--energy", "1000"], "energy must be 1 .. 500 keV, got 1000 keV"),
        ("image.h5#0", ["--energy", "-1"], "energy must be > 0 keV, got -1.0"),
        ("image.h5", [], "holds 2 frames: name one as"),
        ("image.h5#2", [], "has 2 frames, there is no frame 2"),
        ("image.h5::entry/two#0", [], "entry/two"),
        ("none.h5#0", [], "none.h5: No such file"),
        ("image.h5#0", ["--fix", "rot4"], "unknown parameter 'rot4': did you mean 'rot"),
        ("image.h5#0", ["--fix", "wavelength"], "two or more images"),
        ("image.h5#0", ["--bounds", "distance", "2", "1"], "low < high, got 2 .. 1"),
        ("image.h5#0", ["--bounds", "distance", "1", "2"], "is outside its bounds 1 .. 2"),
        ("image.h5#0", ["--bounds", "distance", "1", "x"], "bound of distance must be a number"),
        ("image.h5#0", ["--bounds", "rot1", "-1", "1", "--bounds", "rot1", "-2", "2"], "twice"),
        ("image.h5#0", ["--mask", "none.npy"], "none.npy"),
        ("image.h5#0", ["--saturation", "0"], "saturation must be > 0 counts"),
        ("image.h5#0", ["--orientation", "5"], "orientation must be 1, 2, 3 or 4, got 5"),
        ("image.h5#0", ["--detector", "Pilatus 100k"], "pixels of 300 x 300 um"),
        ("image.h5#0", ["--detector", "Pilatos 100k"], "did you mean 'Pilatus"),
        ("image.h5#0", ["-o", "out.pony"], "output must end in .poni"),
        ("image.h5#0", ["--picture", "p.jpg"], "picture must end in .png"),
        ("image.h5#0", ["--record", "nowhere/r.h5"], "record folder nowhere does not exist"),
    ],
)
def test_what_cannot_be_right_is_refused_in_one_line_before_anything_is_written(
    calibrated: Files,
    capsys: pytest.CaptureFixture[str],
    image: str,
    words: list[str],
    message: str,
) -> None:
    assert calibrated.run("--guess", calibrated.guess, *words, image=image) == 2
    told = capsys.readouterr().err
    assert told.startswith("ringline calibrate: ")
    assert message in told
    assert told.count("\n") == 1
    assert calibrated.tasks == []
    assert calibrated.written() == set()


def test_detector_and_energy_must_be_known(
    calibrated: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    assert calibrated.run("--energy", "30", image="image.h5#0") == 2
    assert "the detector is missing: give --detector NAME|FILE" in capsys.readouterr().err
    assert calibrated.run("--detector", "Pilatus 100k", image="image.h5#0") == 2
    assert "an energy (keV) is needed" in capsys.readouterr().err


def test_an_image_of_another_shape_than_the_detector_is_refused_with_both(
    calibrated: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--detector", "Pilatus 100k", "--energy", "30"]
    assert calibrated.run(*words, image="image.h5#0") == 2
    told = capsys.readouterr().err
    assert "(240, 200)" in told
    assert "(195, 487)" in told


def test_the_record_must_not_replace_the_image(
    calibrated: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--guess", calibrated.guess, "--record", str(calibrated.folder / "image.h5")]
    assert calibrated.run(*words, image="image.h5#0") == 2
    assert "is the image to calibrate" in capsys.readouterr().err


@pytest.mark.parametrize("begun", ["from a guess", "anywhere"])
def test_the_image_of_a_powder_becomes_the_poni_file_of_where_the_detector_stood(
    files: Files,
    begun: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    true = made_geometry(PLAIN)
    guess = replace(true, distance=0.105, poni1=0.029, poni2=0.03, rot1=0.0, rot2=0.0)
    write_poni(guess, files.folder / "guess.poni")
    anywhere = ["--detector", detector_file(files), "--energy", ENERGY]
    words = ["--guess", files.guess] if begun == "from a guess" else anywhere
    record = files.folder / "record.h5"
    picture = files.folder / "picture.png"
    words += ["--record", str(record), "--picture", str(picture)]
    assert files.run(*words, image="image.h5#0") == 0, capsys.readouterr().err
    found = read_poni(files.folder / "out.poni")
    calibration, _ = read_calibration(record)
    assert calibration.verdict.accepted
    for name, error in calibration.errors.items():
        assert abs(getattr(found, name) - getattr(true, name)) < 6 * error, name
    # Rings are where they were, to a part of a pixel.
    moved = pixel_arrays(found).two_theta - pixel_arrays(true).two_theta
    assert np.abs(moved).max() < 0.2 * 3e-4 / 0.1
    assert picture.stat().st_size > 50_000


def test_an_image_without_rings_fails_with_a_reason(
    files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(3).poisson(20, PLAIN.known_shape)
    with h5py.File(files.folder / "image.h5", "r+") as file:
        file["noise"] = noise[None]
    record = files.folder / "record.h5"
    words = ["--guess", files.guess, "--record", str(record)]
    assert files.run(*words, image="image.h5::noise") == 3
    told = capsys.readouterr().err
    assert "image.h5::noise: rejected: " in told
    assert not read_calibration(record)[0].verdict.accepted
    assert not (files.folder / "out.poni").exists()


def test_a_real_image_gives_the_geometry_that_another_program_found(
    shared_data: Callable[[str], Path], tmp_path: Path
) -> None:
    """CeO2 on a Pilatus 1M, calibrated by Dioptas; the image is stored upside down."""
    image = shared_data("ceo2-pilatus1m/CeO2_Pilatus1M.tif")
    theirs = read_poni(shared_data("ceo2-pilatus1m/CeO2_Pilatus1M.poni"))
    words = [str(image), "--calibrant", "CeO2", "--detector", "Pilatus 1M", "--orientation", "2"]
    words += ["--energy", f"{theirs.energy_kev!r}", "-o", str(tmp_path / "out.poni")]
    assert main(["calibrate", *words]) == 0
    found = read_poni(tmp_path / "out.poni")
    assert found.detector.orientation == 2
    moved = replace(theirs, detector=found.detector)
    shift = pixel_arrays(found).two_theta - pixel_arrays(moved).two_theta
    assert np.abs(shift).max() < 0.3 * 172e-6 / theirs.distance
