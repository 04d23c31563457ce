"""Counting frames by what became of them."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ringline.callbacks.settings import Accounts

_MOST_CAUSES, _MOST_FRAMES = 50, 1000
_OTHER = "other causes"
_FRAME_NUMBER = re.compile(r"\b(frames?) \d+(\.\.\d+)?")


@dataclass(slots=True)
class Tally:
    """The numbers behind :class:`Accounts`."""

    reduced: int = 0
    dropped: int = 0
    failed: int = 0
    causes: Counter[str] = field(default_factory=Counter)
    lost_frames: list[int] = field(default_factory=list)

    def lose(self, index: int, cause: str, *, dropped: bool) -> None:
        """Count a frame without a curve. Causes that differ in the frame's number are one."""
        cause = _FRAME_NUMBER.sub(r"\1 N", cause)
        if cause not in self.causes and len(self.causes) >= _MOST_CAUSES:
            cause = _OTHER
        self.causes[cause] += 1
        self.dropped += dropped
        self.failed += not dropped
        if len(self.lost_frames) < _MOST_FRAMES:
            self.lost_frames.append(index)

    def accounts(self, seen: int) -> Accounts:
        """Return the numbers, with that of the frames announced."""
        causes = MappingProxyType(dict(self.causes))
        return Accounts(seen, self.reduced, self.dropped, self.failed, causes)

    def document(self, seen: int, problem: str | None) -> dict[str, Any]:
        """Return them as the stop document shows them."""
        document: dict[str, Any] = {
            "frames_seen": seen,
            "frames_reduced": self.reduced,
            "frames_dropped": self.dropped,
            "frames_failed": self.failed,
            "causes": dict(self.causes),
            "failed_frames": list(self.lost_frames),
        }
        if problem is not None:
            document["total_incomplete"] = problem
        return document
