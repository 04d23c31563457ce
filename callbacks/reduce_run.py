"""Frames of one detector of one raw run become one reduced run."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from ringline.callbacks.derived import DerivedRun, Output, made_by
from ringline.callbacks.documents import Made, Making
from ringline.callbacks.frames import (
    FrameRange,
    InEvents,
    Location,
    Lost,
    MonitorInFile,
    NoRecipe,
    Reading,
)
from ringline.callbacks.ledger import LOST, Entry
from ringline.callbacks.rows import Loss, Outcome, Row
from ringline.callbacks.scan_sums import ScanSums
from ringline.callbacks.settings import Accounts, Result
from ringline.callbacks.surroundings import Interrupted, Surroundings
from ringline.processing import (
    Block,
    FrameError,
    MovingReduction,
    Recipe,
    RecipeError,
    Reduction,
    reduction_for,
)

_ENOUGH_FAILURES = 10
"""Before the end of a run, fewer do not make a fraction."""


class RunReducer:
    """Reduces ranges of frames in order and keeps the books.

    Input trouble costs a frame, never the run. Anything else is a bug: reported, and the frame
    is accounted for all the same.
    """

    def __init__(self, derived: DerivedRun, shared: Surroundings) -> None:
        self.derived, self._shared = derived, shared
        self._seen = 0
        self._locations: dict[str, Location] = {}
        self._reductions: dict[str, Made] = {}
        self._current: dict[str, Output] = {}
        """By stream of the raw run."""
        self._sums = ScanSums(derived, shared, self._locations)
        self._target: Output | None = None
        self._outcomes: list[Outcome] = []
        """What is to be committed; curves among them go to the target."""
        self._resumed: Counter[Entry] = Counter()
        self._complained = False
        self._block_began = 0.0

    def resume(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Go on where a killed process stopped: its frames are not reduced again."""
        self.derived.resume(records, self._shared.settings.engine)
        for ledger in self.derived.ledgers.values():
            self._resumed.update(replace(entry, output=LOST) for entry in ledger)
        for output in self.derived.outputs:
            self._current[output.raw_stream] = output
            if isinstance(output.reduction, Reduction):
                self._reductions[output.recipe.digest] = output.reduction
        self._sums.complete = not self.derived.outputs

    def announce(self, frames: int) -> None:
        """Count frames that exist and are still to come here."""
        self._seen += frames

    @property
    def accounts(self) -> Accounts:
        """Where the frames went so far."""
        return self.derived.accounts(self._seen)

    def take(self, ranges: Sequence[FrameRange]) -> None:
        """Reduce frames; Interrupted leaves the rest to the next process."""
        self._block_began = time.perf_counter()
        try:
            for frames in ranges:
                self._take(frames)
        finally:
            self._commit()

    def _take(self, frames: FrameRange) -> None:
        self._locations[frames.location.resource] = frames.location
        position = frames.start
        while position < frames.stop:
            stop = min(position + self._shared.settings.block, frames.stop)
            position = self._reduce_block(frames, position, stop)

    def stop(self, raw_stop: Mapping[str, Any]) -> None:
        """End the reduced run, if there is one."""
        self._commit()
        if self.derived.started and not self.derived.stopped:
            self._finish(raw_stop)
        self._check_failed_fraction(at_end=True)
        self.close()

    def _finish(self, raw_stop: Mapping[str, Any]) -> None:
        try:
            totals, problem = self._sums.totals()
            self.derived.stop(raw_stop, self._seen, totals, problem)
        except Interrupted:
            raise
        except Exception as error:  # a run without its sum is still a run
            self._shared.report(error)
            self.derived.stop(raw_stop, self._seen, {}, f"the sum is not there: {error}")

    def close(self) -> None:
        """Let go of files; a spooled run can be resumed."""
        self.derived.close()
        self.derived.close_spool()

    def _reduce_block(self, frames: FrameRange, start: int, stop: int) -> int:
        """Reduce some of the frames start .. stop - 1; return the first that is left."""
        self._shared.check()
        if self._is_resumed(frames, start):
            return start + 1
        if isinstance(frames.recipe, NoRecipe):
            self._lose(frames, start, frames.recipe.cause)
            return start + 1
        if self._outcomes and not self._shared.reader.is_ready(frames.location, start):
            self._commit()  # nobody waits for a curve because the next frame is late
        try:
            images = self._shared.reader.read(frames.location, start, stop, frames.arrived)
        except FrameError as error:
            self._shared.check()
            if stop - start == 1:
                self._lose(frames, start, str(error))
                return stop
            position = start
            while position < stop:  # find the bad ones
                position = self._reduce_block(frames, position, position + 1)
            return stop
        monitors = [
            math.nan if value is None else value
            for value in self._readings(frames, frames.monitor, start, len(images))
        ]
        block = Block(images, start, monitors)
        places = self._places(frames, start, len(images))
        for part in self._not_resumed(frames, block):
            for alike, where in _at_one_place(part, places[part.first - start :]):
                self._shared.check()
                self._reduce(frames, alike, where)
        return start + len(images)

    def _not_resumed(self, frames: FrameRange, block: Block) -> list[Block]:
        """Return the block without its frames that are accounted for, in parts of neighbours."""
        first, stop = block.first, block.first + len(block.images)
        done = [n for n in range(first + 1, stop) if self._is_resumed(frames, n)]
        ends = [first - 1, *done, stop]
        return [
            _part(block, before + 1, after)
            for before, after in pairwise(ends)
            if before + 1 < after
        ]

    def _reduce(self, frames: FrameRange, block: Block, where: Mapping[str, float]) -> None:
        """Reduce frames at once; where that fails, one by one, so that only the bad ones do.

        They are of one place of the detector: the positions of its motors, if it moves.
        """
        now = time.time() if frames.time is None else frames.time
        stop = block.first + len(block.images)
        try:
            maker = self._reduction(frames.recipe)
            if isinstance(maker, MovingReduction):
                where = maker.goniometer.motion.positions_of(where)
                reduction = maker.reduction_at(where)
            else:
                reduction = maker
            found = reduction.map_block(block)
            profiles = [reduction.finish(sums) for sums in found]
            output = self._output(frames.stream, maker, block.images.shape[1:])
        except Exception as error:
            if len(block.images) > 1:
                for index in range(block.first, stop):
                    self._shared.check()
                    self._reduce(frames, _part(block, index, index + 1), where)
                return
            cause = str(error)
            if not isinstance(error, (FrameError, RecipeError)):
                self._shared.report(error)
                cause = f"bug: {type(error).__name__}: {error}"
            self._lose(frames, block.first, cause)
        else:
            for k, (sums, profile) in enumerate(zip(found, profiles, strict=True)):
                entry = _entry(frames, block.first + k)
                monitor = _monitor(block, k)
                row = Row(frames.stream, entry, profile, now, monitor, sums.rejected, where)
                self._add(output, row)
                self._sums.add(output, sums, reduction.recipe)

    def _reduction(self, recipe: Recipe | NoRecipe) -> Made:
        if isinstance(recipe, NoRecipe):
            raise RecipeError(recipe.cause)
        if recipe.digest not in self._reductions:
            engine, moves = self._shared.settings.engine, self._shared.settings.goniometer
            self._reductions[recipe.digest] = (
                reduction_for(recipe, engine)
                if moves is None
                else MovingReduction(recipe, moves, engine)
            )
        return self._reductions[recipe.digest]

    def _output(self, stream: str, reduction: Made, shape: tuple[int, ...]) -> Output:
        current = self._current.get(stream)
        if current is None or current.digest != made_by(reduction):
            self._commit()
            self.derived.start(self._making(reduction.recipe, reduction.engine, shape))
            current = self._current[stream] = self.derived.open_output(stream, reduction, shape)
        return current

    def _making(self, recipe: Recipe | None, engine: str, shape: tuple[int, ...] | None) -> Making:
        return Making(recipe, engine, shape, self._shared.settings.goniometer)

    def _add(self, output: Output, row: Row) -> None:
        if self._target is not output:
            self._commit()
            self._target = output
        self._outcomes.append(row)
        self._commit_when_full()

    def _lose(self, frames: FrameRange, index: int, cause: str) -> None:
        recipe = frames.recipe if isinstance(frames.recipe, Recipe) else None
        self.derived.start(self._making(recipe, self._shared.settings.engine, None))
        location = frames.location
        dropped = isinstance(location, InEvents) and isinstance(location.images[index], Lost)
        self._outcomes.append(Loss(frames.stream, _entry(frames, index), cause, dropped))
        self._commit_when_full()

    def _commit_when_full(self) -> None:
        if len(self._outcomes) >= self._shared.settings.block:
            self._commit()

    def _commit(self) -> None:
        """Store what is reduced, account for it, and show the newest curve."""
        outcomes, self._outcomes = self._outcomes, []
        if not outcomes:
            return
        try:
            self.derived.commit(self._target, outcomes)
        except Exception as error:
            self._shared.report(error)
            self._give_up_output(error, outcomes)
        else:
            self._show(outcomes)
        self._check_failed_fraction()

    def _give_up_output(self, error: Exception, outcomes: Sequence[Outcome]) -> None:
        """Account for frames whose curves could not be stored; later ones get a new file."""
        cause = f"the curve could not be stored: {error}"
        losses = [
            Loss(outcome.stream, outcome.entry, cause) if isinstance(outcome, Row) else outcome
            for outcome in outcomes
        ]
        if (output := self._target) is not None:
            self.derived.abandon(output)
            self._current.pop(output.raw_stream, None)
            self._target = None
        self.derived.commit(None, losses)
        self._sums.complete = False

    def _show(self, outcomes: Sequence[Outcome]) -> None:
        now = time.perf_counter()
        took, self._block_began = now - self._block_began, now
        rows = [outcome for outcome in outcomes if isinstance(outcome, Row)]
        show = self._shared.settings.on_result
        if show is None or not rows:
            return
        last, origin = rows[-1], self.derived.origin
        try:
            show(
                Result(
                    profile=last.profile,
                    frame_index=last.entry.index,
                    frame=self._locations[last.entry.resource].name(last.entry.index),
                    raw_seq_num=last.entry.seq_num,
                    epoch=last.profile.recipe_digest,
                    raw_uid=origin.raw_start["uid"],
                    reduced_uid=origin.uid,
                    data_key=origin.data_key,
                    stream=last.stream,
                    monitor=last.monitor,
                    timestamp_written=time.time(),
                    rejected=last.rejected,
                    engine=_engine(self._target),
                    processing_time=took / len(outcomes),
                    accounts=self.accounts,
                    positions=last.positions,
                )
            )
        except Exception as error:
            self._shared.report(error)

    def _check_failed_fraction(self, *, at_end: bool = False) -> None:
        bound, accounts = self._shared.settings.failed_fraction, self.accounts
        enough = at_end or accounts.failed >= _ENOUGH_FAILURES
        if bound is None or self._complained or not enough:
            return
        if accounts.failed > bound * accounts.seen:
            self._complained = True
            worst = max(accounts.causes, key=lambda cause: accounts.causes[cause])
            self._shared.report(
                FrameError(
                    f"{accounts.failed} of {accounts.seen} frames failed, "
                    f"more than the fraction {bound} that is set; most of them: {worst}"
                )
            )

    def _is_resumed(self, frames: FrameRange, index: int) -> bool:
        """Whether a process before this one has accounted for the frame."""
        if not self._resumed:
            return False
        entry = _entry(frames, index)
        if self._resumed[entry] <= 0:
            return False
        self._resumed[entry] -= 1
        return True

    def _places(self, frames: FrameRange, start: int, count: int) -> list[dict[str, float]]:
        """Return the positions of the motors of each frame, as far as they are known."""
        places: list[dict[str, float]] = [{} for _ in range(count)]
        for motor, source in frames.positions.items():
            for place, value in zip(
                places, self._readings(frames, source, start, count), strict=True
            ):
                if value is not None:
                    place[motor] = value
        return places

    def _readings(
        self, frames: FrameRange, source: Reading | None, start: int, count: int
    ) -> list[float | None]:
        """Return one reading of each frame; None where there is none."""
        if not isinstance(source, MonitorInFile):
            return [source] * count
        first = (start - frames.start) // frames.per_event
        last = (start + count - 1 - frames.start) // frames.per_event
        place = MonitorInFile(source.location, source.start + first)
        values = self._shared.reader.monitors(place, last - first + 1, frames.arrived)
        events = range(start - frames.start, start - frames.start + count)
        return [values[offset // frames.per_event - first] for offset in events]


def _engine(output: Output | None) -> str:
    """Return what computes the curves of a file, and why."""
    made_by = None if output is None else output.reduction
    return "" if made_by is None else f"{made_by.engine}: {made_by.engine_reason}"


def _at_one_place(
    block: Block, places: Sequence[dict[str, float]]
) -> Iterator[tuple[Block, dict[str, float]]]:
    """Parts of a block that were taken at one place each; `places` begin with the block."""
    first, count = 0, len(block.images)
    for stop in range(1, count + 1):
        if stop == count or places[stop] != places[first]:
            yield _part(block, block.first + first, block.first + stop), places[first]
            first = stop


def _part(block: Block, first: int, stop: int) -> Block:
    """Return the frames of these indices."""
    at = slice(first - block.first, stop - block.first)
    monitors = None if block.monitors is None else block.monitors[at]
    return Block(block.images[at], first, monitors)


def _monitor(block: Block, number: int) -> float:
    """Return the monitor of a frame, NaN without one."""
    value = None if block.monitors is None else block.monitors[number]
    return math.nan if value is None else value


def _entry(frames: FrameRange, index: int) -> Entry:
    passed = (index - frames.start) // frames.per_event
    event = index // frames.per_event
    return Entry(frames.location.resource, index, frames.seq_num + passed, event)
