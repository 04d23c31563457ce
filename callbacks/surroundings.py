"""What all runs of a callback share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ringline.callbacks.reading import FrameReader
from ringline.callbacks.settings import ReductionSettings


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all runs of a callback share."""

    settings: ReductionSettings
    reader: FrameReader
    report: Callable[[BaseException], None]
    """Takes a bug."""
    check: Callable[[], None]
    """Raises Interrupted when the work is to be left to the next process."""


class Interrupted(Exception):  # noqa: N818 no error: the rest is done by the next process
    """The process ends before the work does."""
