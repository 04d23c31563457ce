"""Joining frames with the beam monitor of their event."""

from __future__ import annotations

from dataclasses import replace

from ringline.callbacks.frames import FrameRange, MonitorInFile


class MonitorPairing:
    """Frames of one detector in one stream that wait for their monitor.

    A step scan announces a frame just before the event that holds the monitor. After a rewind a
    number comes again: a value belongs to the newest frame of its number. Frames leave in order,
    and older ones, whose event was lost, leave without a value.
    """

    def __init__(self) -> None:
        self._waiting: list[FrameRange] = []
        self._early: list[tuple[int, int, float | MonitorInFile]] = []

    def add(self, frames: FrameRange) -> list[FrameRange]:
        """Take frames; return those that are ready."""
        self._waiting.append(frames)
        ready = []
        early, self._early = self._early, []
        for first, stop, value in early:
            ready += self.give(first, stop, value)
        return ready

    def give(self, first: int, stop: int, value: float | MonitorInFile) -> list[FrameRange]:
        """Take the monitor of events first .. stop - 1; return the frames that are ready."""
        for position in reversed(range(len(self._waiting))):
            frames = self._waiting[position]
            low, high = max(first, frames.seq_num), min(stop, frames.seq_stop)
            if low >= high:
                continue
            ready = self._waiting[:position]
            if frames.seq_num < low:
                ready.append(frames.events(frames.seq_num, low))
            ready.append(replace(frames.events(low, high), monitor=_part(value, low - first)))
            rest = [frames.events(high, frames.seq_stop)] if high < frames.seq_stop else []
            self._waiting = rest + self._waiting[position + 1 :]
            if high < stop:
                self._early.append((high, stop, _part(value, high - first)))
            return ready
        self._early.append((first, stop, value))
        return []

    def release_all(self) -> list[FrameRange]:
        """Return all that wait."""
        ready, self._waiting = self._waiting, []
        return ready


def _part(value: float | MonitorInFile, skipped: int) -> float | MonitorInFile:
    if isinstance(value, MonitorInFile):
        return MonitorInFile(value.location, value.start + skipped)
    return value
