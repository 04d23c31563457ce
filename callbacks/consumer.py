"""The server's side of the service way."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ringline.callbacks.forwarder import WIRE_VERSION
from ringline.callbacks.reduction import ReductionCallback
from ringline.callbacks.spool import RecordFile, file_name
from ringline.callbacks.wire import from_json, to_json
from ringline.processing import Recipe, RecipeError, recipe_from_mapping

_SETTLE_TIMEOUT = 60.0  # s; tried again for as long as it takes
_FIRST_PAUSE, _LAST_PAUSE = 0.5, 60.0  # s
_MOST_ENDED = 10_000


@dataclass(slots=True)
class _Journal:
    """What came of one run, on disk."""

    records: RecordFile
    next: int = 0


class Consumer:
    """Takes what a :class:`Forwarder` sends, journals it, and feeds a ReductionCallback.

    A batch is on disk before it is acknowledged. Making a Consumer replays the journals of runs
    that a killed server left, each with the recipes that it had; frames whose curves are stored
    are not reduced again. When a run has ended and everything that came of it is in the store,
    its journal goes and a mark stays, so that a late repetition makes no second run.

    Parameters
    ----------
    callback:
        Its settings need a spool, or a restart reduces open runs from their beginning.
    spool:
        Folder of the journals.
    settle:
        Waits until everything emitted is in the store, for at most the given s: TimeoutError when
        it is not yet, another error when it will not be, and then the documents are emitted
        again: ``writer.settle``. None: everything is, at once.
    """

    def __init__(
        self,
        callback: ReductionCallback,
        spool: Path,
        *,
        settle: Callable[[float], None] | None = None,
    ) -> None:
        self._callback, self._folder, self._settle = callback, Path(spool) / "raw", settle
        self._lock = threading.Lock()
        self._journals: dict[str, _Journal] = {}
        self._ended = _EndedRuns(Path(spool) / "ended.jsonl")
        self._recipe = callback.recipe
        self._stopped: list[str] = []
        self._changed = threading.Condition()
        self._closing = False
        self._replay()
        self._settler = threading.Thread(
            target=self._settle_runs, name="ringline-settler", daemon=True
        )
        self._settler.start()

    def consume(self, text: str) -> str:
        """Take one batch (JSON) and return the reply (JSON).

        Raises
        ------
        ValueError
            It is not a batch.
        """
        run, number, documents = _parsed(text)
        with self._lock:
            return to_json({"run_uid": run, "next": self._take(run, number, documents)})

    def set_recipe(self, recipe: Recipe | Mapping[str, Recipe] | None) -> None:
        """Change the recipe between two frames, so that a restarted server does the same."""
        with self._lock:
            self._callback.set_recipe(recipe)
            self._recipe = self._callback.recipe
            for journal in self._journals.values():
                journal.records.append({"recipe": _recipe_mapping(self._recipe)})

    @property
    def open_runs(self) -> tuple[str, ...]:
        """Raw runs whose journals are kept."""
        with self._lock:
            return tuple(self._journals)

    def abandon(self, run: str, reason: str) -> None:
        """End a raw run whose stop will never come; its reduced run ends as aborted."""
        stop = {
            "uid": str(uuid.uuid4()),
            "time": time.time(),
            "run_start": run,
            "exit_status": "abort",
            "reason": reason,
        }
        with self._lock:
            journal = self._journals.get(run)
            if journal is not None and run not in self._stopped:
                journal.records.append({"document": ["stop", stop]})
                self._feed(run, [["stop", stop]])

    def settle(self, timeout: float | None = None) -> bool:
        """Wait until all ended runs are in the store; False when the time, s, is up."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._stopped, timeout)

    def close(self, timeout: float = 5.0) -> None:
        """Stop. Runs that are open are resumed by the next Consumer on the same spool."""
        self.settle(timeout)
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._settler.join(timeout)
        with self._lock:
            for journal in self._journals.values():
                journal.records.close()
            self._ended.close()

    def _take(self, run: str, number: int, documents: list[Any]) -> int:
        """Return the number of the document that is wanted next."""
        if run in self._ended:
            return number + len(documents)
        journal = self._journals.get(run)
        wanted = 0 if journal is None else journal.next
        new = documents[max(0, wanted - number) :]
        if number > wanted or not new or self._callback.busy:
            return wanted
        if journal is None:
            if new[0][0] != "start" or new[0][1].get("uid") != run:
                raise ValueError(f"run {run}: document 0 is not its start")
            journal = self._journals[run] = self._new_journal(run)
        journal.records.append(*({"document": document} for document in new))
        journal.next += len(new)
        self._feed(run, new)
        return journal.next

    def _new_journal(self, run: str) -> _Journal:
        records = RecordFile(self._folder / f"{file_name(run)}.jsonl")
        records.append({"run_uid": run}, {"recipe": _recipe_mapping(self._recipe)})
        return _Journal(records)

    def _feed(self, run: str, documents: list[Any]) -> None:
        for name, document in documents:
            self._callback(name, document)
            if name == "stop":
                with self._changed:
                    self._stopped.append(run)
                    self._changed.notify_all()

    def _replay(self) -> None:
        if not self._folder.is_dir():
            return
        paths = sorted(self._folder.iterdir(), key=lambda path: path.stat().st_mtime)
        for path in paths:
            self._replay_journal(RecordFile(path))
        if self._journals:
            self._callback.set_recipe(self._recipe)
            for journal in self._journals.values():
                journal.records.append({"recipe": _recipe_mapping(self._recipe)})

    def _replay_journal(self, records: RecordFile) -> None:
        entries = records.records()
        run = entries[0]["run_uid"] if entries else None
        documents = [entry["document"] for entry in entries if "document" in entry]
        if run is None or run in self._ended or not documents:
            if run is not None:
                self._callback.forget(run)
            records.remove()
            return
        self._journals[run] = _Journal(records, len(documents))
        for entry in entries[1:]:
            if "recipe" in entry:
                self._restore_recipe(entry["recipe"])
            else:
                self._feed(run, [entry["document"]])

    def _restore_recipe(self, mapping: Mapping[str, Any] | None) -> None:
        try:
            self._callback.set_recipe(_recipe_from(mapping))
        except RecipeError as error:
            # Another mask in the place of the first must not make half a run.
            self._callback.set_problem(f"the recipe of the interrupted run is gone: {error}")

    def _settle_runs(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopped or self._closing)
                if not self._stopped or self._closing:
                    return
                runs = list(self._stopped)
            if self._is_settled(runs):
                pause = _FIRST_PAUSE
                self._end(runs)
            else:
                with self._changed:
                    self._changed.wait_for(lambda: self._closing, pause)
                pause = min(2 * pause, _LAST_PAUSE)

    def _is_settled(self, runs: list[str]) -> bool:
        while not self._callback.wait(0.2):
            if self._closing:
                return False
        try:
            if self._settle is not None:
                self._settle(_SETTLE_TIMEOUT)
        except TimeoutError:
            return False
        except Exception:  # shown where the store is watched; here: again, from the spool
            for run in runs:
                self._callback.emit_again(run)
            return False
        return True

    def _end(self, runs: list[str]) -> None:
        for run in runs:
            with self._lock:
                if self._closing:
                    return  # the next Consumer does it
                self._ended.add(run)
                # The journal goes last: as long as it is there, a restart clears up the rest.
                self._callback.forget(run)
                journal = self._journals.pop(run, None)
                if journal is not None:
                    journal.records.remove()
        with self._changed:
            self._stopped = [run for run in self._stopped if run not in runs]
            self._changed.notify_all()


class _EndedRuns:
    """Uids of runs that are done, on disk, the oldest forgotten when there are many."""

    def __init__(self, path: Path) -> None:
        self._records = RecordFile(path)
        self._runs: dict[str, None] = dict.fromkeys(self._records.records())
        if len(self._runs) > 2 * _MOST_ENDED:
            self._runs = dict.fromkeys(list(self._runs)[-_MOST_ENDED:])
            self._records.replace(list(self._runs))

    def __contains__(self, run: str) -> bool:
        """Tell whether a run is done."""
        return run in self._runs

    def close(self) -> None:
        """Close the file."""
        self._records.close()

    def add(self, run: str) -> None:
        """Note that a run is done."""
        if run not in self._runs:
            self._records.append(run)
            self._runs[run] = None


def _parsed(text: str) -> tuple[str, int, list[Any]]:
    try:
        batch = from_json(text)
        version = batch["version"]
        run, number, documents = batch["run_uid"], batch["number"], batch["documents"]
        well_formed = all(len(pair) == 2 and hasattr(pair[1], "get") for pair in documents)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"not a batch of documents: {error!r}") from error
    if version != WIRE_VERSION:
        raise ValueError(f"version of the wire must be {WIRE_VERSION}, got {version!r}")
    if not isinstance(run, str) or not isinstance(number, int) or number < 0 or not well_formed:
        raise ValueError("not a batch of documents: run_uid, number or documents is malformed")
    return run, number, documents


def _recipe_mapping(recipe: Recipe | Mapping[str, Recipe] | None) -> dict[str, Any] | None:
    if recipe is None:
        return None
    if isinstance(recipe, Mapping):
        return {"each": {key: one.to_mapping() for key, one in recipe.items()}}
    return {"all": recipe.to_mapping()}


def _recipe_from(mapping: Mapping[str, Any] | None) -> Recipe | dict[str, Recipe] | None:
    if mapping is None:
        return None
    if "each" in mapping:
        return {key: recipe_from_mapping(one) for key, one in mapping["each"].items()}
    return recipe_from_mapping(mapping["all"])
