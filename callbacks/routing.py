"""From the documents of one raw run to the frames that they announce."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Self

from ringline.callbacks.frames import (
    FrameRange,
    ImageInEvent,
    InEvents,
    InFile,
    Location,
    Lost,
    MonitorInFile,
    NoRecipe,
    Reading,
)
from ringline.callbacks.monitors import Pairings
from ringline.callbacks.resources import datum_range, location_of_resource, location_of_stream
from ringline.processing import Recipe

RecipeFor = Callable[[str, str], Recipe | NoRecipe | None]
"""Returns the recipe for a data key of a device; None: its images are not reduced."""


@dataclass(slots=True)
class Stream:
    """What a descriptor says, as far as frames are concerned."""

    name: str
    images: dict[str, int]
    """Frames in each event, by data key."""
    devices: dict[str, str]
    """Device of each data key."""
    readings: dict[str, str]
    """What is read in this stream, the monitor or a motor, by data key."""
    pairings: dict[str, Pairings]
    """By data key of the images; empty when nothing is read."""


@dataclass(frozen=True, slots=True)
class _Use:
    """One data key with images in one event."""

    stream: Stream
    key: str
    event: Mapping[str, Any]
    arrived: float


@dataclass(slots=True)
class Announced:
    """What one document, or a few, brought."""

    ranges: list[FrameRange] = field(default_factory=list)
    """Ready to be reduced, in order."""
    seen: dict[str, int] = field(default_factory=dict)
    """New frames, by data key; some may wait for their readings."""

    def __iadd__(self, other: Announced) -> Self:
        self.ranges += other.ranges
        for key, count in other.seen.items():
            self.seen[key] = self.seen.get(key, 0) + count
        return self


class RawRun:
    """Follows the documents of one run.

    Resource and Datum, StreamResource and StreamDatum, and images inside events all become
    ranges of frames.

    Parameters
    ----------
    start:
        Its start document.
    recipe_for:
        Tells the recipe in force, or that a data key is not reduced.
    readings:
        What of each event frames are to have, by data key: the monitor, and motors.
    """

    def __init__(
        self,
        start: Mapping[str, Any],
        recipe_for: RecipeFor,
        readings: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.start = start
        self._recipe_for, self._readings = recipe_for, readings
        self._streams: dict[str, Stream] = {}
        self._by_name: dict[str, Stream] = {}
        self._resources: dict[str, Mapping[str, Any]] = {}
        self._stream_files: dict[str, InFile] = {}
        self._datums: dict[str, Mapping[str, Any]] = {}
        self._datum_numbers: dict[str, int] = {}
        self._datums_used: dict[str, int] = {}
        self._unresolved: dict[str, list[_Use]] = {}
        self._in_events: dict[tuple[str, str], InEvents] = {}

    def descriptor(self, doc: Mapping[str, Any]) -> None:
        """Learn which data keys of a stream are images."""
        specs = doc["data_keys"]
        devices = {key: _device(key, doc) for key in specs}
        images = {
            key: frames_per_event(spec)
            for key, spec in specs.items()
            if is_image(spec) and self._recipe_for(key, devices[key]) is not None
        }
        readings = {key: name for key, name in self._readings.items() if key in specs}
        known = self._by_name.get(doc["name"])
        pairings = known.pairings if known else {}
        if readings:
            names = list(readings.values())
            pairings = {key: pairings.get(key) or Pairings(names) for key in images}
        stream = Stream(doc["name"], images, devices, readings, pairings)
        self._streams[doc["uid"]] = self._by_name[doc["name"]] = stream

    def resource(self, doc: Mapping[str, Any]) -> None:
        """Remember a file."""
        self._resources[doc["uid"]] = doc

    def stream_resource(self, doc: Mapping[str, Any]) -> None:
        """Remember a file of a stream."""
        self._resources[doc["uid"]] = doc
        self._stream_files[doc["uid"]] = location_of_stream(doc)

    def datum(self, doc: Mapping[str, Any], arrived: float) -> Announced:
        """Remember a frame, or resolve the event that came before it."""
        self._datums[doc["datum_id"]] = doc
        found = Announced()
        for use in self._unresolved.pop(doc["datum_id"], []):
            found += self._from_datum(replace(use, arrived=arrived))
        return found

    def stream_datum(self, doc: Mapping[str, Any], arrived: float) -> Announced:
        """Find the frames of a range of indices: never of sequence numbers."""
        resource = self._resources[doc["stream_resource"]]
        stream, key = self._streams[doc["descriptor"]], resource["data_key"]
        indices, seq_nums = doc["indices"], doc["seq_nums"]
        location = self._stream_files[doc["stream_resource"]]
        if (name := stream.readings.get(key)) is not None:
            source = MonitorInFile(location, indices["start"])
            return _given(stream, name, (seq_nums["start"], seq_nums["stop"]), source)
        if key not in stream.images:
            return Announced()
        each = int(resource.get("parameters", {}).get("multiplier") or stream.images[key])
        frames = range(indices["start"] * each, indices["stop"] * each)
        found = self._range(_Use(stream, key, doc, arrived), location, frames)
        return self._announce(stream, replace(found, seq_num=seq_nums["start"], per_event=each))

    def event(self, doc: Mapping[str, Any], arrived: float) -> Announced:
        """Find images in an event, or frames to which it refers, and its readings."""
        stream, data = self._streams[doc["descriptor"]], doc["data"]
        found = Announced()
        for key, name in stream.readings.items():
            if key in data:
                events = (doc["seq_num"], doc["seq_num"] + 1)
                found += _given(stream, name, events, _number(data[key]))
        for key in stream.images:
            value, use = data.get(key), _Use(stream, key, doc, arrived)
            if isinstance(value, ImageInEvent):
                found += self._take_in(use, list(value))
            elif isinstance(value, Lost):
                found += self._take_in(use, [value] * stream.images[key])
            elif isinstance(value, str) and value in self._datums:
                found += self._from_datum(use)
            elif isinstance(value, str):
                self._unresolved.setdefault(value, []).append(use)
        return found

    def stop(self) -> Announced:
        """Release what still waits: for its readings, or for a Datum that never came."""
        found = Announced()
        for use in (use for uses in self._unresolved.values() for use in uses):
            causes: list[str] = ["the Datum of an event never came"] * use.stream.images[use.key]
            found += self._take_in(use, causes)
        self._unresolved.clear()
        for stream in self._by_name.values():
            for pairings in stream.pairings.values():
                found.ranges += pairings.release_all()
        return found

    def _take_in(self, use: _Use, images: Sequence[ImageInEvent | Lost | str]) -> Announced:
        place = (use.stream.name, use.key)
        location = self._in_events.setdefault(place, InEvents("/".join(place)))
        first = len(location.images)
        location.images += images
        return self._announce_event(use, location, range(first, len(location.images)))

    def _from_datum(self, use: _Use) -> Announced:
        datum = self._datums[use.event["data"][use.key]]
        resource = self._resources[datum["resource"]]
        number = self._datum_numbers.get(datum["datum_id"])
        if number is None:
            number = self._datums_used.get(resource["uid"], 0)
            self._datums_used[resource["uid"]] = number + 1
            self._datum_numbers[datum["datum_id"]] = number
        frames = datum_range(resource, datum, use.stream.images[use.key], number)
        return self._announce_event(use, location_of_resource(resource), frames)

    def _announce_event(self, use: _Use, location: Location, frames: range) -> Announced:
        found = self._range(use, location, frames)
        each, event = max(1, len(frames)), use.event
        return self._announce(
            use.stream, replace(found, seq_num=event["seq_num"], per_event=each, time=event["time"])
        )

    def _range(self, use: _Use, location: Location, frames: range) -> FrameRange:
        recipe = self._recipe_for(use.key, use.stream.devices[use.key])
        return FrameRange(
            stream=use.stream.name,
            data_key=use.key,
            location=location,
            start=frames.start,
            stop=frames.stop,
            seq_num=0,
            recipe=recipe if recipe is not None else NoRecipe("the recipe was taken away"),
            arrived=use.arrived,
        )

    def _announce(self, stream: Stream, found: FrameRange) -> Announced:
        seen = {found.data_key: found.frames}
        if pairings := stream.pairings.get(found.data_key):
            return Announced(pairings.add(found), seen)
        return Announced([found], seen)


def _given(stream: Stream, name: str, events: tuple[int, int], value: Reading) -> Announced:
    """Frames that have all their readings now."""
    found = Announced()
    for pairings in stream.pairings.values():
        found.ranges += pairings.give(name, *events, value)
    return found


def is_image(spec: Mapping[str, Any]) -> bool:
    """Whether a data key holds images: two dimensions longer than one, external or an array."""
    shape = spec.get("shape") or ()
    array = bool(spec.get("external")) or spec.get("dtype") == "array"
    return array and sum(size != 1 for size in shape) >= 2


def frames_per_event(spec: Mapping[str, Any]) -> int:
    """Images in each event: all dimensions but the last two."""
    return max(1, math.prod(int(size or 1) for size in spec["shape"][:-2]))


def _device(key: str, descriptor: Mapping[str, Any]) -> str:
    for device, keys in (descriptor.get("object_keys") or {}).items():
        if key in keys:
            return str(device)
    return str(descriptor["data_keys"][key].get("object_name", ""))


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
