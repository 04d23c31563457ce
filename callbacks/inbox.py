"""Where documents wait for the worker: few, small, and nobody else's."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from event_model import unpack_event_page

from ringline.callbacks.frames import ImageFile, Lost
from ringline.callbacks.wire import snapshot
from ringline.callbacks.worker import Merging, Worker


@dataclass(slots=True)
class Note:
    """A document, or a change of recipe, in its place among the documents."""

    name: str
    content: Any
    arrived: float
    """By the monotonic clock, s."""

    @property
    def weight(self) -> int:
        """How many frames it may announce; 1 for what announces none."""
        if self.name != "stream_datum":
            return 1
        indices = self.content["indices"]
        return max(1, int(indices["stop"]) - int(indices["start"]))


class Inbox(Worker[Note]):
    """Takes documents from the RunEngine's thread.

    Neighbouring ranges of a stream merge while they wait, and images inside events go to a file:
    when the worker is behind, the lag grows and memory does not.

    Parameters
    ----------
    handle:
        Takes all notes that wait.
    folder:
        For the file with images.
    """

    def __init__(self, handle: Callable[[list[Note]], None], folder: Path) -> None:
        super().__init__("ringline-reduction", handle, merging=Merging(_merge_key, _merge))
        self._folder = folder
        self._images: ImageFile | None = None

    def take(self, name: str, document: Any) -> None:
        """Take a document."""
        now = time.monotonic()
        match name:
            case "event":
                self.put(Note(name, self._event(document), now))
            case "event_page":
                for event in unpack_event_page(document):
                    self.put(Note("event", self._event(event), now))
            case _:
                if name == "start":
                    self._images = None  # the last run's file goes with its last image
                self.put(Note(name, snapshot(document), now))

    def note(self, recipe: Any) -> None:
        """Take a change of recipe: it is for documents that come later."""
        self.put(Note("recipe", recipe, time.monotonic()), barrier=True)

    @property
    def lag(self) -> int:
        """Frames and other documents not yet looked at; 0 only when the worker is idle."""
        with self._changed:
            in_hand = self._put - self._done - len(self._waiting)
            return sum(note.weight for note in self._waiting) + min(in_hand, 1)

    def _event(self, document: Mapping[str, Any]) -> dict[str, Any]:
        data = {key: self._kept(value) for key, value in document["data"].items()}
        others = {key: value for key, value in document.items() if key != "data"}
        return {**snapshot(others), "data": data}

    def _kept(self, value: Any) -> Any:
        image = _as_image(value)
        if image is None:
            return snapshot(value)
        try:
            self._images = self._images or ImageFile(self._folder)
            return self._images.append(image)
        except OSError as error:
            return Lost(f"no room for an image that came inside an event: {error.strerror}")


def _as_image(value: Any) -> np.ndarray[Any, Any] | None:
    if not isinstance(value, np.ndarray):
        nested = isinstance(value, list | tuple) and value
        if not nested or not isinstance(value[0], list | tuple | np.ndarray):
            return None
        try:
            value = np.asarray(value)
        except ValueError:  # rows of different lengths
            return None
    return value if value.ndim >= 2 and value.dtype.kind in "biuf" else None


def _merge_key(note: Note) -> Hashable | None:
    if note.name != "stream_datum":
        return None
    return (note.content["stream_resource"], note.content["descriptor"])


def _merge(first: Note, second: Note) -> bool:
    for name in ("indices", "seq_nums"):
        if first.content[name]["stop"] != second.content[name]["start"]:
            return False
    for name in ("indices", "seq_nums"):
        first.content[name]["stop"] = second.content[name]["stop"]
    first.arrived = second.arrived
    return True
