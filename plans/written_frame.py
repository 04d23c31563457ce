"""Where the frame that a run has just saved lies."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ringline.callbacks.frames import FrameRange, InFile, NoRecipe
from ringline.callbacks.membership import Membership
from ringline.callbacks.routing import Announced, RawRun
from ringline.processing import FrameError, RecipeError, open_frames

_POLL = 0.05


class FrameWatch:
    """Subscribe it to the documents of a run: it knows where the newest frame of a detector is.

    Stream documents, Resource and Datum are understood, as they are where frames are reduced.

    Parameters
    ----------
    detector:
        Name of the device whose images count.
    """

    def __init__(self, detector: str) -> None:
        self._detector = detector
        self._membership = Membership()
        self._run: RawRun | None = None
        self._found: list[FrameRange] = []

    def __call__(self, name: str, document: Mapping[str, Any]) -> None:
        """Take one document; those of other runs than the newest are left aside."""
        uid = self._membership.run_of(name, document)
        if name == "start":
            self._run = RawRun(document, self._wanted)
        elif self._run is not None and uid == self._run.start["uid"]:
            self._found += _announced(self._run, name, document).ranges

    @property
    def place(self) -> "FramePlace":
        """Of the newest frame.

        Raises
        ------
        RecipeError:
            There is none, or it lies in no file.
        """
        for found in reversed(self._found):
            if isinstance(found.location, InFile):
                path, number = found.location.place(found.stop - 1)
                return FramePlace(path, found.location.dataset, number)
        raise RecipeError(
            f"detector {self._detector} wrote no image to a file, from which it could be read"
        )

    def _wanted(self, key: str, device: str) -> NoRecipe | None:
        return NoRecipe("it is looked for alone") if self._detector in (key, device) else None


class FramePlace:
    """A frame in a file."""

    def __init__(self, path: Path, dataset: str | None, number: int) -> None:
        self._path, self._dataset, self._number = path, dataset, number

    def __str__(self) -> str:
        """As servers take it: ``path[::dataset]#frame``."""
        dataset = "" if self._dataset is None else f"::{self._dataset}"
        return f"{self._path}{dataset}#{self._number}"

    async def until_written(self, limit: float) -> None:
        """Wait until it can be read; not where this machine does not have its folder.

        Parameters
        ----------
        limit:
            Seconds.

        Raises
        ------
        RecipeError:
            It cannot be read in that time; the message says why.
        """
        deadline = time.monotonic() + limit
        while (problem := await asyncio.to_thread(self._problem)) is not None:
            if time.monotonic() > deadline:
                raise RecipeError(f"{self}: not written after {limit:g} s: {problem}")
            await asyncio.sleep(_POLL)

    def _problem(self) -> str | None:
        if not self._path.parent.is_dir():
            return None
        try:
            with open_frames(self._path, self._dataset) as frames:
                count = frames.frame_count()
        except FrameError as error:
            return str(error)
        return None if count > self._number else f"the file holds {count} frames"


def _announced(run: RawRun, name: str, document: Mapping[str, Any]) -> Announced:
    match name:
        case "descriptor":
            run.descriptor(document)
        case "resource":
            run.resource(document)
        case "stream_resource":
            run.stream_resource(document)
        case "datum":
            return run.datum(document, 0.0)
        case "stream_datum":
            return run.stream_datum(document, 0.0)
        case "event":
            return run.event(document, 0.0)
    return Announced()
