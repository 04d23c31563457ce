"""``ringline calibrate``: from the image of a powder to a PONI file, from the command line."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ringline.processing.calibrants import calibrant_names
from ringline.processing.calibration.calibrate import Progress, calibrate
from ringline.processing.calibration.picture import draw_calibration
from ringline.processing.calibration.record import write_calibration
from ringline.processing.calibration.report import reasons_of, report_of
from ringline.processing.calibration.task import REFINED, CalibrationTask, calibration_task
from ringline.processing.checks import as_number, require_count
from ringline.processing.command_line import DONE, Command
from ringline.processing.detector import Detector
from ringline.processing.detector_file import DETECTOR_FILES, read_detector_file
from ringline.processing.detector_table import detector_named
from ringline.processing.errors import FrameError, RecipeError
from ringline.processing.geometry import Geometry
from ringline.processing.image_files import ImageFile
from ringline.processing.poni import read_poni, write_poni
from ringline.processing.types import ImageArray

FAILED = 3
"""Exit code of a calibration that failed its verdict."""


@dataclass(frozen=True, slots=True)
class _Outputs:
    """Where the results go; all folders are there."""

    poni: Path
    picture: Path | None
    record: Path | None


class ListCalibrants(argparse.Action):
    """Print the names of the table and end."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any, **__: Any) -> None:
        """End after the list."""
        print("\n".join(calibrant_names()))
        parser.exit()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``ringline calibrate``."""
    add = parser.add_argument
    add("image", metavar="IMAGE", help="frame of a powder: FILE[::DATASET][#FRAME]")
    add("--calibrant", required=True, metavar="NAME",
        help="powder of the table (--calibrants), or a .D file of plane spacings")  # fmt: skip
    add("--calibrants", action=ListCalibrants, nargs=0, help="list the powders, and end")
    add("--detector", metavar="NAME|FILE",
        help="of the table, or a NeXus detector file (default: the guess's)")  # fmt: skip
    add("--orientation", type=int, metavar="1-4", help="of the image (default: the detector's)")
    add("--energy", type=float, metavar="KEV", help="of the photons (default: the guess's)")
    add("--guess", metavar="FILE",
        help="PONI file: where the detector stands approximately (default: anywhere)")  # fmt: skip
    add("--fix", action="append", default=[], metavar="NAMES",
        help=f"those of {', '.join(REFINED)} that stay as guessed, with commas")  # fmt: skip
    add("--bounds", action="append", nargs=3, default=[], metavar=("NAME", "LOW", "HIGH"),
        help="keep a parameter between two values, m or rad")  # fmt: skip
    add("--mask", metavar="FILE", help="image: left out where not 0")
    add("--dark", metavar="FILE", help="image: subtracted")
    add("--saturation", type=float, metavar="N",
        help="counts from which pixels do not measure (default: found from the image)")  # fmt: skip
    add("--picture", metavar="OUT.png", help="to check it by eye")
    add("--record", metavar="OUT.h5", help="NeXus: all that was found, with the image")
    add("-o", "--output", required=True, metavar="OUT.poni",
        help="written only where the calibration passes its checks")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Calibrate; a calibration that fails its checks writes no PONI file."""
    outputs = _outputs(options)
    task = task_of(options)
    image = _read(options.image)
    task = task.with_shape((image.shape[0], image.shape[1]))
    with progress_bar() as progress:
        found = calibrate(image, task, progress)
    if outputs.record is not None:
        write_calibration(outputs.record, found, image)
    if outputs.picture is not None:
        draw_calibration(outputs.picture, image, found)
    if found.geometry is None or not found.verdict.accepted:
        for reason in reasons_of(found.verdict):
            print(f"ringline calibrate: {options.image}: rejected: {reason}", file=sys.stderr)
        return FAILED
    write_poni(found.geometry, outputs.poni)
    print(report_of(found))
    print(f"{outputs.poni}: calibration {found.id[:12]}", file=sys.stderr)
    return DONE


def _outputs(options: argparse.Namespace) -> _Outputs:
    poni = output_place("output", options.output, ".poni")
    picture = options.picture and output_place("picture", options.picture, ".png")
    record = options.record and output_place("record", options.record, ".h5")
    if record is not None and record.exists() and record.samefile(_parsed(options.image)[0].path):
        raise RecipeError(f"{record} is the image to calibrate: it would be replaced")
    return _Outputs(poni, picture, record)


def output_place(name: str, text: str, suffix: str) -> Path:
    """Where an output goes; RecipeError for another suffix or a folder that is not there."""
    path = Path(text)
    if path.suffix != suffix:
        raise RecipeError(f"{name} must end in {suffix}, got {path}")
    if not path.parent.is_dir():
        raise RecipeError(f"{name} folder {path.parent} does not exist")
    return path


def task_of(options: argparse.Namespace) -> CalibrationTask:
    """The task that options make; RecipeError where they do not go together."""
    guess = None if options.guess is None else read_poni(options.guess)
    detector = _detector(options, guess)
    given = {name: getattr(options, name) for name in ("mask", "dark", "saturation")}
    bounds: dict[str, tuple[float, float]] = {}
    for name, low, high in options.bounds:
        if name in bounds:
            raise RecipeError(f"--bounds {name}: given twice")
        bounds[name] = (as_number(f"bound of {name}", low), as_number(f"bound of {name}", high))
    return calibration_task(
        options.calibrant,
        detector,
        energy_kev=options.energy,
        guess=None if guess is None else replace(guess, detector=detector),
        options={
            **{name: value for name, value in given.items() if value is not None},
            "fixed": ",".join(options.fix),
            "bounds": bounds,
        },
    )


def _detector(options: argparse.Namespace, guess: Geometry | None) -> Detector:
    """That of the options, else the guess's; refused where the two do not go together."""
    if options.detector is not None:
        detector = _named(options.detector, options.orientation)
    elif guess is not None:
        detector = guess.detector
    else:
        raise RecipeError("the detector is missing: give --detector NAME|FILE, or --guess FILE")
    if options.orientation is not None:
        detector = replace(detector, orientation=options.orientation)
    if guess is not None and _pixels(guess.detector) != _pixels(detector):
        raise RecipeError(
            f"{options.guess} is of a detector with pixels of {_size(guess.detector)} um, "
            f"--detector {options.detector} has {_size(detector)} um"
        )
    return detector


def _named(text: str, orientation: int | None) -> Detector:
    path = Path(text)
    if path.suffix.lower() not in DETECTOR_FILES and not path.is_file():
        return detector_named(text)
    found = read_detector_file(path, orientation)
    for name in ("flat", "dark"):
        if getattr(found, name) is not None:
            print(f"ringline calibrate: {path}: its {name} is not applied", file=sys.stderr)
    return found.detector


def _pixels(detector: Detector) -> tuple[float, float]:
    return round(detector.pixel1, 9), round(detector.pixel2, 9)


def _size(detector: Detector) -> str:
    return f"{1e6 * detector.pixel1:g} x {1e6 * detector.pixel2:g}"


def _read(text: str) -> ImageArray:
    """The one frame that is named."""
    file, frame = _parsed(text)
    with file.open() as frames:
        count = frames.frame_count()
        if frame is None and count > 1:
            raise RecipeError(
                f"{text}: holds {count} frames: name one as {text}#0, or make one of all with "
                "`ringline average`"
            )
        number = frame or 0
        if number >= count:
            raise FrameError(f"{file.path}: has {count} frames, there is no frame {number}")
        image: ImageArray = frames.read(number, number + 1)[0].copy()
    return image


def _parsed(text: str) -> tuple[ImageFile, int | None]:
    """File and frame; a file whose own name ends in # and a number is taken as it is."""
    name, mark, number = text.rpartition("#")
    if not mark or not number.isdecimal() or Path(text).is_file():
        return ImageFile.parse(text), None
    return ImageFile.parse(name), require_count("frame", int(number), at_least=0)


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Told how far it is; a bar where there is a terminal."""
    bar_format = "{desc:<30} {percentage:3.0f}%|{bar}| {elapsed}"
    with tqdm(total=1.0, bar_format=bar_format, disable=None, leave=False) as bar:

        def tell(part: float, words: str) -> None:
            bar.set_description_str(words)
            bar.update(max(0.0, part - bar.n))

        yield tell


command = Command(
    "calibrate", "Find where the detector stands, from the rings of a powder.", add_arguments, run
)
