"""``ringline calibrate-goniometer``: images at several positions to a goniometer file."""

import argparse
import sys
from collections.abc import Sequence

from ringline.processing.calibration.command import (
    FAILED,
    ListCalibrants,
    output_place,
    progress_bar,
    task_of,
)
from ringline.processing.calibration.goniometer import calibrate_goniometer
from ringline.processing.calibration.goniometer_report import goniometer_report
from ringline.processing.calibration.goniometer_task import Exposure, GoniometerTask
from ringline.processing.calibration.report import reasons_of
from ringline.processing.calibration.task import Bound
from ringline.processing.checks import as_number
from ringline.processing.command_line import DONE, Command
from ringline.processing.errors import RecipeError
from ringline.processing.goniometer_file import read_goniometer, write_goniometer
from ringline.processing.image_files import ImageFile, count_frames
from ringline.processing.motions import ARMS, MOVES, motion_named, with_free_wavelength
from ringline.processing.moving_options import FramePositions

_MOTOR = "pos"
"""Name of the motor where none is given: pyFAI's."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``ringline calibrate-goniometer``."""
    add = parser.add_argument
    add("images", nargs="+", metavar="IMAGE", help="frames of a powder: FILE[::DATASET]; all count")
    add("--positions", action="append", required=True, metavar="[MOTOR=]DATASET|LIST",
        help="of a motor, a number for each frame: a dataset in the image's HDF5 file, "
        "FILE::DATASET or 0,10,20 for the frames of all images in order")  # fmt: skip
    add("--model", metavar="NAME", default=ARMS[1],
        help=f"how one motor moves the detector: {', '.join((*ARMS, *MOVES))} "
        f"(default: {ARMS[1]})")  # fmt: skip
    add("--like", metavar="FILE",
        help="goniometer file (pyFAI's JSON): formulas of any motors, and where "
        "to begin")  # fmt: skip
    add("--free-wavelength", action="store_true", help="find the wavelength, too")
    add("--state", action="append", default=[], metavar="NAME=VALUE",
        help="parameter that is known, m, rad or that a unit of the motor: what is found is held "
        "against it (arm_scale=0.0174533)")  # fmt: skip
    add("--fix", action="append", default=[], metavar="NAMES",
        help="parameters that stay as stated, with commas")  # fmt: skip
    add("--bounds", action="append", nargs=3, default=[], metavar=("NAME", "LOW", "HIGH"),
        help="keep a parameter between two values")  # fmt: skip
    add("--calibrant", required=True, metavar="NAME",
        help="powder of the table (--calibrants), or a .D file of plane spacings")  # fmt: skip
    add("--calibrants", action=ListCalibrants, nargs=0, help="list the powders, and end")
    add("--detector", metavar="NAME|FILE",
        help="of the table, or a NeXus detector file (default: the guess's)")  # fmt: skip
    add("--orientation", type=int, metavar="1-4", help="of the images (default: the detector's)")
    add("--energy", type=float, metavar="KEV", help="of the photons (default: the guess's)")
    add("--guess", metavar="FILE",
        help="PONI file: where the detector stood at the first image "
        "(default: anywhere)")  # fmt: skip
    add("--mask", metavar="FILE", help="image: left out where not 0")
    add("--dark", metavar="FILE", help="image: subtracted")
    add("--saturation", type=float, metavar="N",
        help="counts from which pixels do not measure "
        "(default: found from the images)")  # fmt: skip
    add("-o", "--output", required=True, metavar="OUT.json",
        help="pyFAI's goniometer file; written only where the calibration passes its "
        "checks")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Calibrate; a calibration that fails its checks writes no file."""
    output = output_place("output", options.output, ".json")
    task = _task(options)
    exposures = _exposures(options, task)
    with progress_bar() as progress:
        found = calibrate_goniometer(exposures, task, progress)
    if found.goniometer is None or not found.verdict.accepted:
        for reason in reasons_of(found.verdict):
            print(f"ringline calibrate-goniometer: rejected: {reason}", file=sys.stderr)
        return FAILED
    write_goniometer(found.goniometer, output)
    print(goniometer_report(found))
    print(f"{output}: goniometer {found.goniometer.digest[:12]}", file=sys.stderr)
    return DONE


def _task(options: argparse.Namespace) -> GoniometerTask:
    # Parameters are those of the motion, not of single images.
    own = argparse.Namespace(**{**vars(options), "fix": [], "bounds": []})
    images, start = task_of(own), {}
    if options.like is not None:
        like = read_goniometer(options.like)
        motion, start = like.motion, like.parameters
        if options.free_wavelength:
            motion = with_free_wavelength(motion)
    else:
        wavelength = None if options.free_wavelength else images.wavelength
        motion = motion_named(options.model, _motor(options.positions), wavelength)
    return GoniometerTask(
        images=images,
        motion=motion,
        start=start,
        stated=_stated(options.state),
        fixed=frozenset(name for names in options.fix for name in names.split(",")),
        bounds=tuple(
            Bound(name, as_number(f"bound of {name}", low), as_number(f"bound of {name}", high))
            for name, low, high in options.bounds
        ),
    )


def _motor(positions: Sequence[str]) -> str:
    """The one motor of a model, as the positions name it."""
    if len(positions) > 1:
        raise RecipeError("a model has one motor: give one --positions, or formulas with --like")
    name, equals, _ = positions[0].partition("=")
    return name if equals else _MOTOR


def _stated(words: Sequence[str]) -> dict[str, float]:
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise RecipeError(f"--state {word}: give NAME=VALUE")
        found[name] = as_number(name, value)
    return found


def _exposures(options: argparse.Namespace, task: GoniometerTask) -> list[Exposure]:
    """All frames of all images, each with its positions."""
    files = [ImageFile.parse(text) for text in options.images]
    positions = FramePositions.parse(options.positions, task.motion)
    counts, _ = count_frames(files, task.images.detector.shape)
    positions.check(files, counts)
    places = iter(positions.read_all(files, counts))
    found = []
    for file, count in zip(files, counts, strict=True):
        with file.open() as frames:
            found += [Exposure(frames.read(k, k + 1)[0].copy(), next(places)) for k in range(count)]
    return found


command = Command(
    "calibrate-goniometer",
    "Find how a detector moves, from the rings of a powder at several positions.",
    add_arguments,
    run,
)
