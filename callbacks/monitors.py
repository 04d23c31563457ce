"""Joining frames with the readings of their event: the beam monitor, positions of motors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ringline.callbacks.frames import FrameRange, Reading, later

MONITOR = ""
"""Name of the monitor among readings; motors have theirs."""


class Pairing:
    """Frames of one detector in one stream that wait for one reading.

    A step scan announces a frame just before the event that holds the reading. After a rewind a
    number comes again: a value belongs to the newest frame of its number. Frames leave in order,
    and older ones, whose event was lost, leave without a value.

    Parameters
    ----------
    motor:
        Whose position it is; ``MONITOR``: it is the monitor.
    """

    def __init__(self, motor: str = MONITOR) -> None:
        self._motor = motor
        self._waiting: list[FrameRange] = []
        self._early: list[tuple[int, int, Reading]] = []

    def add(self, frames: FrameRange) -> list[FrameRange]:
        """Take frames; return those that are ready."""
        self._waiting.append(frames)
        ready = []
        early, self._early = self._early, []
        for first, stop, value in early:
            ready += self.give(first, stop, value)
        return ready

    def give(self, first: int, stop: int, value: Reading) -> list[FrameRange]:
        """Take the reading of events first .. stop - 1; return the frames that are ready."""
        for position in reversed(range(len(self._waiting))):
            frames = self._waiting[position]
            low, high = max(first, frames.seq_num), min(stop, frames.seq_stop)
            if low >= high:
                continue
            ready = self._waiting[:position]
            if frames.seq_num < low:
                ready.append(frames.events(frames.seq_num, low))
            ready.append(self._with(frames.events(low, high), later(value, low - first)))
            rest = [frames.events(high, frames.seq_stop)] if high < frames.seq_stop else []
            self._waiting = rest + self._waiting[position + 1 :]
            if high < stop:
                self._early.append((high, stop, later(value, high - first)))
            return ready
        self._early.append((first, stop, value))
        return []

    def release_all(self) -> list[FrameRange]:
        """Return all that wait."""
        ready, self._waiting = self._waiting, []
        return ready

    def _with(self, frames: FrameRange, value: Reading) -> FrameRange:
        if self._motor == MONITOR:
            return replace(frames, monitor=value)
        return replace(frames, positions={**frames.positions, self._motor: value})


class Pairings:
    """Frames of one detector in one stream that wait for several readings, one after the other.

    Parameters
    ----------
    names:
        ``MONITOR``, and those of motors.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._pairings = {name: Pairing(name) for name in names}

    def add(self, frames: FrameRange) -> list[FrameRange]:
        """Take frames; return those that have all readings."""
        return self._through([frames], 0)

    def give(self, name: str, first: int, stop: int, value: Reading) -> list[FrameRange]:
        """Take a reading of events first .. stop - 1; return the frames that have all readings."""
        place = list(self._pairings).index(name)
        return self._through(self._pairings[name].give(first, stop, value), place + 1)

    def release_all(self) -> list[FrameRange]:
        """Return all that wait."""
        ready = []
        for place, pairing in enumerate(self._pairings.values(), 1):
            ready += self._through(pairing.release_all(), place)
        return ready

    def _through(self, ready: list[FrameRange], place: int) -> list[FrameRange]:
        """Pass frames on to the pairings from one on."""
        for pairing in list(self._pairings.values())[place:]:
            ready = [done for frames in ready for done in pairing.add(frames)]
        return ready
