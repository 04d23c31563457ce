"""Image files as the command line names them, and the monitor readings beside them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from ringline.processing.errors import FrameError, RecipeError
from ringline.processing.frames import FrameSource, open_frames
from ringline.processing.hdf5_frames import open_hdf5


@dataclass(frozen=True, slots=True)
class ImageFile:
    """``PATH`` or ``PATH::DATASET``."""

    path: Path
    dataset: str | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """What stands on the command line."""
        path, _, dataset = text.partition("::")
        return cls(Path(path), dataset or None)

    def open(self) -> FrameSource:
        """Its frames; FrameError where there are none."""
        return open_frames(self.path, self.dataset)

    def frames(self) -> tuple[tuple[int, int], int]:
        """Shape and number of its frames; FrameError where it cannot be read."""
        with self.open() as source:
            return source.frame_shape, source.frame_count()


@dataclass(frozen=True, slots=True)
class Monitors:
    """Where readings are, one for each frame: of the beam monitor, or of a motor."""

    path: Path | None = None
    """One file with the readings of all frames in order; None: each image's own file."""
    dataset: str | None = None
    """None: there are no readings."""
    what: str = "monitor"
    """Whose readings they are, for refusals."""

    @classmethod
    def parse(cls, text: str | None, what: str = "monitor") -> Self:
        """``DATASET`` in each image's file, ``PATH::DATASET``, or None."""
        if text is None:
            return cls(what=what)
        path, colons, dataset = text.rpartition("::")
        return cls(Path(path) if colons else None, dataset, what)

    def check(self, files: Sequence[ImageFile], counts: Sequence[int]) -> None:
        """Refuse readings that are not as many as frames; they can be read then.

        Raises
        ------
        RecipeError:
            There is no such file or dataset, or it has another number of readings.
        """
        if self.dataset is None:
            return
        owned = [(self.path, sum(counts))] if self.path else [
            (file.path, count) for file, count in zip(files, counts, strict=True)
        ]  # fmt: skip
        for path, count in owned:
            if len(found := self._values(path)) != count:
                raise RecipeError(
                    f"{path}::{self.dataset}: {len(found)} readings of the {self.what} for "
                    f"{count} frames"
                )

    def read(self, file: ImageFile, first: int, count: int) -> list[float]:
        """Readings of a file's ``count`` frames, the first of which is the ``first`` of all."""
        if self.dataset is None:
            return [math.nan] * count
        if self.path is None:
            return self._values(file.path)
        return self._values(self.path)[first : first + count]

    def _values(self, path: Path) -> list[float]:
        try:
            # As the frames are opened: one process cannot open a file in two ways.
            with open_hdf5(path) as opened:
                return [float(value) for value in np.asarray(opened[self.dataset]).reshape(-1)]
        except (FrameError, KeyError, ValueError, TypeError) as error:
            raise RecipeError(f"{self.what} {path}::{self.dataset}: {error}") from error


def count_frames(
    files: Sequence[ImageFile], expected: tuple[int, int] | None
) -> tuple[list[int], tuple[int, int]]:
    """How many frames each file holds, and the shape of all.

    Parameters
    ----------
    files:
        At least one.
    expected:
        The recipe's shape; None: that of the first file.

    Raises
    ------
    FrameError:
        A file cannot be read, or has another shape: named with both.
    """
    counts, shape = [], expected
    for file in files:
        found, count = file.frames()
        if found != (shape or found):
            by = "the recipe" if expected else f"{files[0].path}"
            raise FrameError(f"{file.path}: shape {found}, {by} has {shape}")
        shape = shape or found
        counts.append(count)
    if shape is None:
        raise FrameError("no image file is given")
    return counts, shape
