"""The callback that turns raw runs into reduced runs."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from event_model import unpack_datum_page

from ringline.callbacks.derived import DerivedRun, Origin
from ringline.callbacks.documents import reduced_uid, to_be_reduced
from ringline.callbacks.frames import FrameRange, NoRecipe
from ringline.callbacks.inbox import Inbox, Note
from ringline.callbacks.membership import Membership
from ringline.callbacks.monitors import MONITOR
from ringline.callbacks.reading import FrameReader
from ringline.callbacks.reduce_run import RunReducer
from ringline.callbacks.routing import Announced, RawRun
from ringline.callbacks.settings import Accounts, Emit, ReductionSettings
from ringline.callbacks.spool import RecordFile, file_name
from ringline.callbacks.surroundings import Interrupted, Surroundings
from ringline.processing import Recipe, RecipeError
from ringline.processing.moving import check_moving

Recipes = Recipe | Mapping[str, Recipe] | NoRecipe | None
_REMEMBERED = 1000
"""Ended runs whose accounts can be asked for."""

_ABORTED = {"exit_status": "abort", "reason": "the reduction was closed before the raw run ended"}


@dataclass(slots=True)
class _Run:
    """A raw run that is open, and the reduced runs that come of it, by data key."""

    raw: RawRun
    reducers: dict[str, RunReducer] = field(default_factory=dict)
    pending: dict[str, list[FrameRange]] = field(default_factory=dict)


class ReductionCallback:
    """Raw documents in, documents of reduced runs out: one for each run and image data key.

    Subscribe it to a RunEngine, feed it from databroker, or let a Consumer feed it. A call only
    enqueues; a worker thread finds the frames, reads them from their files, reduces them, writes
    the curves to HDF5 and calls `emit`. Frames that cannot be read or reduced are counted with
    their cause. A bug is kept and raised by :meth:`drain`; the books are kept all the same.

    Parameters
    ----------
    recipe:
        One for all images, or one for each data key or device; None: not known yet, frames that
        come meanwhile fail.
    emit:
        Takes the documents of reduced runs, on the worker thread: a `StoreWriter`.
    settings:
        Folders, which images, bounds.
    """

    def __init__(
        self,
        recipe: Recipe | Mapping[str, Recipe] | None,
        emit: Emit,
        *,
        settings: ReductionSettings,
    ) -> None:
        self.settings = settings
        self._emit = emit
        self._recipe: Recipes = self._stored(recipe)
        self._in_force: Recipes = self._recipe
        self._runs: dict[str, _Run] = {}
        self._membership = Membership()
        self._finished: dict[str, Accounts] = {}
        self._total, self._baseline = Accounts(), Accounts()
        self._books = threading.Lock()
        self._inbox = Inbox(self._handle, settings.spool or settings.results)
        reader = FrameReader(settings.frame_timeout, settings.readable, lambda: self._inbox.closing)
        self._shared = Surroundings(settings, reader, self._inbox.fail, self._check)
        self._interrupted = False

    def __call__(self, name: str, document: Mapping[str, Any]) -> None:
        """Take one raw document; only enqueues."""
        self._inbox.take(name, document)

    @property
    def recipe(self) -> Recipe | Mapping[str, Recipe] | None:
        """The recipe for frames that are yet to come; None: frames fail for want of one."""
        return None if isinstance(self._recipe, NoRecipe) else self._recipe

    def set_recipe(self, recipe: Recipe | Mapping[str, Recipe] | None) -> None:
        """Reduce frames that come from now on with another recipe."""
        self._recipe = self._stored(recipe)
        self._inbox.note(self._recipe)

    def set_problem(self, cause: str) -> None:
        """Let frames that come from now on fail, for the cause that the recipe is not there."""
        self._recipe = NoRecipe(cause)
        self._inbox.note(self._recipe)

    def accounts(self, raw_uid: str | None = None) -> Accounts:
        """Return the accounts of one raw run, or of all since the start or :meth:`reset`."""
        if raw_uid is not None:
            return self._accounts_of(raw_uid)
        return _difference(self._all(), self._baseline)

    def reset(self) -> None:
        """Begin new accounts of all runs, and forget the error."""
        self._baseline = self._all()
        self._inbox.clear_error()

    @property
    def lag(self) -> int:
        """Frames announced and not yet accounted for, and documents not yet looked at.

        It is 0 only when nothing is left to do.
        """
        in_hand = self._inbox.lag
        return self._all().pending + in_hand

    @property
    def busy(self) -> bool:
        """Whether more documents wait than ``settings.queue``: send none for now."""
        return self._inbox.waiting >= self.settings.queue

    @property
    def error(self) -> BaseException | None:
        """The first bug, which :meth:`drain` raises."""
        return self._inbox.error

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all taken so far is accounted for; False when the time, s, is up."""
        return self._inbox.wait(timeout)

    def drain(self, timeout: float | None = None) -> None:
        """Wait until all taken so far is accounted for.

        Raises
        ------
        TimeoutError
            It was not, in time.
        Exception
            The first bug, if there was one, each time until :meth:`reset`.
        """
        self._inbox.drain(timeout)

    def close(self, timeout: float | None = 30.0) -> None:
        """Finish what waits and stop.

        With a spool, what is not done in time is left to the next callback on the same spool,
        and so are open runs; without one, open runs end as aborted.
        """
        self._inbox.close(timeout)
        if not self._inbox.ended:
            return  # still busy with a frame: its files are not ours to close
        for uid in list(self._runs):
            self._close_run(uid)
        self._shared.reader.close()

    def emit_again(self, raw_uid: str) -> None:
        """Emit the documents of a run that has ended once more: the store lost some."""
        for path in self._spooled(raw_uid):
            spool = RecordFile(path)
            for record in spool.records():
                for name, document in record["documents"]:
                    self._emit(name, document)
            spool.close()

    def forget(self, raw_uid: str) -> None:
        """Delete the spool of a run whose documents are all in the store."""
        for path in self._spooled(raw_uid):
            path.unlink(missing_ok=True)

    def _check(self) -> None:
        if self.settings.spool is not None and self._inbox.closing:
            raise Interrupted

    def _handle(self, items: list[Note]) -> None:
        if self._interrupted:
            return
        try:
            for item in items:
                self._handle_one(item)
            for run in self._runs.values():
                self._reduce_pending(run)
        except Interrupted:
            self._interrupted = True

    def _handle_one(self, item: Note) -> None:
        try:
            if item.name == "recipe":
                self._in_force = item.content
            else:
                self._route(item)
        except Interrupted:
            raise
        except Exception as error:  # one document must not take the others with it
            self._inbox.fail(error)

    def _route(self, note: Note) -> None:
        uid = self._membership.run_of(note.name, note.content)
        if uid is None:
            return
        if note.name == "start":
            self._start(uid, note.content)
        run = self._runs.get(uid)
        if run is None:
            if note.name == "stop":
                self._membership.forget(uid)
            return
        announced = _announced(run.raw, note)
        self._queue(uid, run, announced)
        if note.name == "stop":
            self._stop(uid, run, note.content)

    def _start(self, uid: str, document: Mapping[str, Any]) -> None:
        if not to_be_reduced(document) or uid in self._runs:
            return
        raw = RawRun(document, self._recipe_for, self._readings())
        run = self._runs[uid] = _Run(raw)
        for path in self._spooled(uid):
            self._resume(uid, run, path)

    def _resume(self, uid: str, run: _Run, path: Path) -> None:
        spool = RecordFile(path)
        records = spool.records()
        head = next((record for record in records if record["kind"] == "start"), None)
        if head is None:
            spool.remove()
            return
        key = head["documents"][0][1]["detector"]
        run.reducers[key] = self._reducer(uid, run, key, spool)
        run.reducers[key].resume(records)

    def _queue(self, uid: str, run: _Run, announced: Announced) -> None:
        for key, count in announced.seen.items():
            if key not in run.reducers:
                run.reducers[key] = self._reducer(uid, run, key, self._spool(uid, key))
            run.reducers[key].announce(count)
        for frames in announced.ranges:
            run.pending.setdefault(frames.data_key, []).append(frames)

    def _reduce_pending(self, run: _Run) -> None:
        pending, run.pending = run.pending, {}
        for key, ranges in pending.items():
            run.reducers[key].take(ranges)

    def _stop(self, uid: str, run: _Run, document: Mapping[str, Any]) -> None:
        self._reduce_pending(run)
        for reducer in run.reducers.values():
            try:
                reducer.stop(document)
            except Interrupted:
                raise
            except Exception as error:
                self._inbox.fail(error)
        self._forget_run(uid, run)

    def _close_run(self, uid: str) -> None:
        run = self._runs[uid]
        if self.settings.spool is None:
            self._queue(uid, run, run.raw.stop())
            self._stop(uid, run, _ABORTED)
        else:
            for reducer in run.reducers.values():
                reducer.close()

    def _forget_run(self, uid: str, run: _Run) -> None:
        accounts = _sum(reducer.accounts for reducer in run.reducers.values())
        with self._books:
            self._finished[uid] = accounts
            while len(self._finished) > _REMEMBERED:
                del self._finished[next(iter(self._finished))]
            self._total += accounts
            del self._runs[uid]
        self._membership.forget(uid)
        self._shared.reader.close()

    def _reducer(self, uid: str, run: _Run, key: str, spool: RecordFile | None) -> RunReducer:
        identifier = str(uuid.uuid4()) if spool is None else reduced_uid(uid, key)
        origin = Origin(run.raw.start, key, identifier, self.settings.results)
        derived = DerivedRun(origin, self._emit, spool, self._inbox.fail)
        return RunReducer(derived, self._shared)

    def _spool(self, uid: str, key: str) -> RecordFile | None:
        folder = self._spool_folder()
        if folder is None:
            return None
        return RecordFile(folder / f"{file_name(uid)}.{file_name(key)}.jsonl")

    def _spooled(self, uid: str) -> list[Path]:
        folder = self._spool_folder()
        if folder is None or not folder.is_dir():
            return []
        prefix = f"{file_name(uid)}."
        return [path for path in sorted(folder.iterdir()) if path.name.startswith(prefix)]

    def _spool_folder(self) -> Path | None:
        return None if self.settings.spool is None else self.settings.spool / "reduced"

    def _readings(self) -> dict[str, str]:
        """Return what of each event is read, by data key."""
        monitor, moves = self.settings.monitor, self.settings.goniometer
        found = {} if monitor is None else {monitor: MONITOR}
        motors = {} if moves is None else moves.data_key_of
        return found | {key: motor for motor, key in motors.items()}

    def _recipe_for(self, key: str, device: str) -> Recipe | NoRecipe | None:
        if self.settings.detector not in (None, key, device):
            return None
        recipe = self._in_force
        if isinstance(recipe, Mapping):
            return recipe.get(key, recipe.get(device))
        return NoRecipe("there is no recipe") if recipe is None else recipe

    def _stored(self, recipe: Recipe | Mapping[str, Recipe] | None) -> Recipes:
        """Return the recipe with its arrays in files, so that its record can be read anywhere."""
        if isinstance(recipe, Mapping):
            return {key: self._with_files(one) for key, one in recipe.items()}
        return None if recipe is None else self._with_files(recipe)

    def _with_files(self, recipe: Recipe) -> Recipe:
        if self.settings.goniometer is not None:
            check_moving(recipe, self.settings.goniometer)
        if all(array.path for array in recipe.arrays().values()):
            return recipe
        folder = self.settings.stored_arrays
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return recipe.with_stored_arrays(folder)
        except OSError as error:
            raise RecipeError(f"folder {folder} cannot be written: {error.strerror}") from error

    def _accounts_of(self, raw_uid: str) -> Accounts:
        run = self._runs.get(raw_uid)
        if run is None:
            return self._finished.get(raw_uid, Accounts())
        return _sum(reducer.accounts for reducer in list(run.reducers.values()))

    def _all(self) -> Accounts:
        with self._books:
            return self._total + _sum(self._accounts_of(uid) for uid in list(self._runs))


def _announced(raw: RawRun, note: Note) -> Announced:
    document, arrived = note.content, note.arrived
    match note.name:
        case "descriptor":
            raw.descriptor(document)
        case "resource":
            raw.resource(document)
        case "stream_resource":
            raw.stream_resource(document)
        case "datum":
            return raw.datum(document, arrived)
        case "datum_page":
            found = Announced()
            for datum in unpack_datum_page(document):
                found += raw.datum(datum, arrived)
            return found
        case "stream_datum":
            return raw.stream_datum(document, arrived)
        case "event":
            return raw.event(document, arrived)
        case "stop":
            return raw.stop()
    return Announced()


def _sum(accounts: Iterable[Accounts]) -> Accounts:
    return sum(accounts, start=Accounts())


def _difference(whole: Accounts, part: Accounts) -> Accounts:
    causes = {
        cause: count - part.causes.get(cause, 0)
        for cause, count in whole.causes.items()
        if count > part.causes.get(cause, 0)
    }
    return Accounts(
        whole.seen - part.seen,
        whole.reduced - part.reduced,
        whole.dropped - part.dropped,
        whole.failed - part.failed,
        causes,
    )
