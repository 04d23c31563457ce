"""The options of ``ringline integrate`` for a detector that moves, and the positions of frames."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from ringline.processing.checks import did_you_mean
from ringline.processing.errors import RecipeError
from ringline.processing.geometry import Geometry
from ringline.processing.goniometer import Goniometer
from ringline.processing.goniometer_file import read_goniometer
from ringline.processing.image_files import ImageFile, Monitors
from ringline.processing.motion import Motion

MOVING = ("goniometer", "positions", "range_of_all")
"""Names of the options, as the parser has them."""


def add_moving(group: argparse._ArgumentGroup) -> None:
    """Goniometer and positions."""
    add = group.add_argument
    add("--goniometer", metavar="FILE",
        help="instead of --poni: where the detector stands at any position "
        "(pyFAI's JSON)")  # fmt: skip
    add("--positions", action="append", default=[], metavar="[MOTOR=]DATASET|LIST",
        help="of a motor, a number for each frame: a dataset in the image's HDF5 file, "
        "FILE::DATASET or 0,10,20 for the frames of all images in order; "
        "once for each motor")  # fmt: skip
    add("--range-of-all", action="store_true",
        help="ranges that are not given hold all positions "
        "(each takes its time)")  # fmt: skip


def check_moving_options(options: argparse.Namespace) -> None:
    """Refuse options that do not go with those of a moving detector."""
    if options.goniometer is None:
        if options.positions or options.range_of_all:
            word = "--positions" if options.positions else "--range-of-all"
            raise RecipeError(f"{word} is for a detector that moves: give --goniometer FILE")
        return
    for word, given in (("--poni", options.poni), ("--merge", options.merge)):
        if given:
            raise RecipeError(f"--goniometer has the geometry of each frame: leave out {word}")


@dataclass(frozen=True)
class Readings:
    """The positions of one motor, for all frames."""

    motor: str
    source: Monitors | tuple[float, ...]
    """Where they are, or what they are."""

    def check(self, files: Sequence[ImageFile], counts: Sequence[int]) -> None:
        """Refuse positions that are not as many as frames."""
        if isinstance(self.source, Monitors):
            self.source.check(files, counts)
        elif len(self.source) != sum(counts):
            raise RecipeError(
                f"--positions {self.motor}: {len(self.source)} positions for {sum(counts)} frames"
            )

    def read(self, file: ImageFile, first: int, count: int) -> Sequence[float]:
        """Positions of a file's ``count`` frames, the first of which is the ``first`` of all."""
        if isinstance(self.source, Monitors):
            return self.source.read(file, first, count)
        return self.source[first : first + count]


@dataclass(frozen=True)
class FramePositions:
    """The positions of all motors, for all frames."""

    readings: tuple[Readings, ...]

    @classmethod
    def parse(cls, words: Sequence[str], motion: Motion) -> Self:
        """What stands on the command line.

        Raises
        ------
        RecipeError:
            A motor that the goniometer does not have, or one without positions.
        """
        found = {}
        for word in words:
            name, equals, text = word.partition("=")
            if not equals and len(motion.motors) > 1:
                raise RecipeError(
                    f"--positions {word}: of which motor? Give MOTOR=... for each of "
                    f"{', '.join(motion.motors)}"
                )
            motor = name if equals else motion.motors[0]
            if motor not in motion.motors:
                near = did_you_mean(motor, motion.motors)
                raise RecipeError(f"--positions {word}: unknown motor {motor!r}: {near}")
            if motor in found:
                raise RecipeError(f"--positions {motor}: given twice")
            found[motor] = Readings(motor, _source(text if equals else word, motor))
        for motor in motion.motors:
            if motor not in found:
                raise RecipeError(f"the positions of {motor!r} are missing: give --positions")
        return cls(tuple(found[motor] for motor in motion.motors))

    def check(self, files: Sequence[ImageFile], counts: Sequence[int]) -> None:
        """Refuse positions that are not as many as frames; they can be read then."""
        for readings in self.readings:
            readings.check(files, counts)

    def read(self, file: ImageFile, first: int, count: int) -> list[dict[str, float]]:
        """Positions of each of a file's frames, the first of which is the ``first`` of all."""
        columns = [readings.read(file, first, count) for readings in self.readings]
        motors = [readings.motor for readings in self.readings]
        return [dict(zip(motors, row, strict=True)) for row in zip(*columns, strict=True)]

    def read_all(self, files: Sequence[ImageFile], counts: Sequence[int]) -> list[dict[str, float]]:
        """Positions of all frames in order."""
        found: list[dict[str, float]] = []
        for file, count in zip(files, counts, strict=True):
            found += self.read(file, len(found), count)
        return found


def goniometer_of(options: argparse.Namespace) -> Goniometer:
    """The goniometer of ``--goniometer``, its detector oriented as ``--orientation`` says."""
    found = read_goniometer(options.goniometer)
    if options.orientation is not None:
        found = replace(found, detector=replace(found.detector, orientation=options.orientation))
    return found


def geometry_of(options: argparse.Namespace) -> Geometry:
    """A geometry that stands for all positions in a recipe."""
    goniometer = goniometer_of(options)
    try:
        return goniometer.geometry_at(dict.fromkeys(goniometer.motion.motors, 0.0))
    except RecipeError:  # no frame is taken there
        return Geometry(detector=goniometer.detector, distance=1.0, wavelength=1e-10)


def _source(text: str, motor: str) -> Monitors | tuple[float, ...]:
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError:
        return Monitors.parse(text, f"position of {motor}")
