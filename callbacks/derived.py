"""One reduced run: files, documents and accounts, changed by records that can be replayed."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ringline.callbacks.documents import (
    TOTAL_SCALARS,
    Documents,
    Made,
    Making,
    StreamFiles,
    frame_scalars,
    start_document,
    stop_document,
)
from ringline.callbacks.ledger import LOST, Entry, Ledger
from ringline.callbacks.rows import (
    Outcome,
    Row,
    plain,
    result_row,
    scalars_of_rows,
    scalars_of_total,
)
from ringline.callbacks.settings import Accounts, Emit
from ringline.callbacks.spool import RecordFile
from ringline.callbacks.tally import Tally
from ringline.processing import (
    MovingReduction,
    Profile,
    Recipe,
    RecipeError,
    ResultFile,
    goniometer_from_mapping,
    recipe_from_json,
    reduction_for,
    unit_named,
)


@dataclass(frozen=True, slots=True)
class Origin:
    """What a reduced run comes from."""

    raw_start: Mapping[str, Any]
    data_key: str
    uid: str
    """Of the reduced run."""
    results: Path
    """Folder for its files."""


@dataclass(slots=True)
class Output:
    """One result file: the curves of one recipe, or moving detector, in one stream."""

    number: int
    raw_stream: str
    reduction: Made
    frames: StreamFiles
    totals: StreamFiles
    file: ResultFile
    rows: int = 0
    abandoned: bool = False

    @property
    def recipe(self) -> Recipe:
        """What makes the curves; of a moving detector, each curve has its own."""
        return self.reduction.recipe

    @property
    def digest(self) -> str:
        """Of all that makes the curves."""
        return made_by(self.reduction)


def made_by(reduction: Made) -> str:
    """Return the digest of all that makes curves."""
    if isinstance(reduction, MovingReduction):
        return reduction.digest
    return reduction.recipe.digest


class DerivedRun:
    """The reduced run of one detector of one raw run.

    Every change is a record: the documents that it brings and what it means for the state.
    A record is spooled before its documents are emitted, so a successor that reads the spool has
    the same state, emits the same documents again, and goes on.

    Parameters
    ----------
    origin:
        Where it comes from and where it writes.
    emit:
        Takes the documents.
    spool:
        Keeps the records; None: they are not kept.
    report:
        Takes an error of `emit` or the spool: the books are kept all the same.
    """

    def __init__(
        self,
        origin: Origin,
        emit: Emit,
        spool: RecordFile | None,
        report: Callable[[BaseException], None],
    ) -> None:
        self.origin = origin
        self._emit, self._spool, self._report = emit, spool, report
        self.started = self.stopped = False
        self.outputs: list[Output] = []
        self.ledgers: dict[str, Ledger] = {}
        self._tally = Tally()
        self._events: dict[str, int] = {}

    def resume(self, records: Sequence[Mapping[str, Any]], engine: str) -> None:
        """Take over the state of a run that a killed process left."""
        stopped = any(record["kind"] == "stop" for record in records)
        rows: Counter[int] = Counter()
        for record in records:
            if record["kind"] == "block" and record["output"] is not None:
                rows[record["output"]] += sum(frame[5] is None for frame in record["frames"])
        for record in records:
            if record["kind"] == "output" and not stopped:
                self._resume_output(record, rows[record["number"]], engine)
            self._apply(record)
            self._publish(record["documents"])

    def accounts(self, seen: int) -> Accounts:
        """Return the accounts, with the number of frames announced."""
        return self._tally.accounts(seen)

    def start(self, making: Making) -> None:
        """Begin, with the first frame that is accounted for."""
        if not self.started:
            uid, raw_start, key = self.origin.uid, self.origin.raw_start, self.origin.data_key
            document = start_document(uid, raw_start, key, making)
            self._record({"kind": "start", "documents": [("start", document)]})

    def open_output(self, raw_stream: str, reduction: Made, shape: tuple[int, ...]) -> Output:
        """Begin a file: for the first curve of a stream, and for each change of recipe.

        Parameters
        ----------
        raw_stream:
            Name of the stream in the raw run.
        reduction:
            What makes the curves, compiled.
        shape:
            Of the frames.
        """
        number = len(self.outputs) + 1
        stream, total = self._stream_names(raw_stream, reduction)
        path = self.origin.results / f"{self.origin.uid}_{number}.h5"
        # A file that no record speaks of was begun just before the process died.
        path.unlink(missing_ok=True)
        output = self._output((number, raw_stream, stream, total), path, reduction, None)
        self.outputs.append(output)
        record = {
            "kind": "output",
            "documents": output.frames.opening(reduction),
            "number": number,
            "raw_stream": raw_stream,
            "streams": [stream, total],
            "path": str(path),
            "recipe": reduction.recipe.to_json(),
            "shape": list(shape),
        }
        if isinstance(reduction, MovingReduction):
            record["goniometer"] = reduction.goniometer.to_mapping()
        self._record(record)
        return output

    def commit(self, output: Output | None, outcomes: Sequence[Outcome]) -> None:
        """Store the curves of a block in a file, and account for all its frames.

        Parameters
        ----------
        output:
            Where the curves go; None when there are none.
        outcomes:
            In the order of the frames.
        """
        documents: Documents = []
        rows = [outcome for outcome in outcomes if isinstance(outcome, Row)]
        if output is not None and rows:
            output.file.append([result_row(row) for row in rows])
            scalars = scalars_of_rows(rows)
            first = self._events.get(output.frames.stream, 0) + 1
            times = [row.time for row in rows]
            documents = output.frames.rows(output.rows, first, scalars, times)
        record = {
            "kind": "block",
            "documents": documents,
            "output": output.number if output is not None and rows else None,
            "frames": [plain(outcome) for outcome in outcomes],
        }
        self._record(record)

    def abandon(self, output: Output) -> None:
        """Close a file that cannot be written further; rows that nobody announced are removed."""
        output.abandoned = True
        with contextlib.suppress(OSError, RuntimeError, RecipeError):
            output.file.close()
            ResultFile.resume(output.frames.path, output.reduction, output.rows).close()

    def stop(
        self,
        raw_stop: Mapping[str, Any],
        seen: int,
        totals: Mapping[int, Profile],
        problem: str | None = None,
    ) -> None:
        """Write the sums of the scan and end the run."""
        documents: Documents = []
        events = {name: count for name, count in self._events.items() if count}
        for output in self.outputs:
            total = None if output.abandoned else totals.get(output.number)
            if total is not None:
                output.file.write_total(total)
                stream = output.totals.stream
                events[stream] = events.get(stream, 0) + 1
                scalars = scalars_of_total(total, output.digest)
                documents += output.totals.opening(output.reduction)
                documents += output.totals.rows(0, events[stream], scalars, [time.time()])
        more = {"accounts": self._tally.document(seen, problem), "epochs": self._epochs()}
        documents.append(("stop", stop_document(self.origin.uid, raw_stop, events, more)))
        self.close()
        self._record({"kind": "stop", "documents": documents})

    def close(self) -> None:
        """Close the files."""
        for output in self.outputs:
            output.file.close()

    def close_spool(self) -> None:
        """Close the spool."""
        if self._spool is not None:
            self._spool.close()

    def _record(self, record: dict[str, Any]) -> None:
        if self._spool is not None:
            try:
                self._spool.append(record)
            except OSError as error:
                self._report(error)
                self._spool = None
        self._apply(record)
        self._publish(record["documents"])

    def _publish(self, documents: Documents) -> None:
        for name, document in documents:
            try:
                self._emit(name, document)
            except Exception as error:
                self._report(error)

    def _apply(self, record: Mapping[str, Any]) -> None:
        match record["kind"]:
            case "start":
                self.started = True
            case "block":
                self._apply_block(record)
            case "stop":
                self.stopped = True

    def _apply_block(self, record: Mapping[str, Any]) -> None:
        number, reduced = record["output"], 0
        for stream, resource, index, seq_num, event, cause, dropped in record["frames"]:
            output = LOST if cause is not None else number
            entry = Entry(resource, index, seq_num, event, output)
            self.ledgers.setdefault(stream, Ledger()).add(entry)
            if cause is None:
                reduced += 1
            else:
                self._tally.lose(entry.index, cause, dropped=dropped)
        self._tally.reduced += reduced
        for opened in self.outputs:
            if opened.number == number:
                opened.rows += reduced
                name = opened.frames.stream
                self._events[name] = self._events.get(name, 0) + reduced

    def _resume_output(self, record: Mapping[str, Any], rows: int, engine: str) -> None:
        reduction = _made_again(record, engine)
        names = (record["number"], record["raw_stream"], *record["streams"])
        self.outputs.append(self._output(names, Path(record["path"]), reduction, rows))

    def _output(
        self,
        names: tuple[int, str, str, str],
        path: Path,
        reduction: Made,
        rows: int | None,
    ) -> Output:
        number, raw_stream, stream, total = names
        if rows is None:
            file = ResultFile.create(path, reduction)
        else:
            file = ResultFile.resume(path, reduction, rows)
        without = reduction.recipe.error_model == "none"
        wanted = ["intensity"] if without else ["intensity", "sigma", "std"]
        columns = {key: file.columns[key] for key in wanted}
        totals = {key: file.totals[key] for key in wanted}
        run = self.origin.uid
        return Output(
            number,
            raw_stream,
            reduction,
            StreamFiles(run, stream, number, path, columns, frame_scalars(reduction)),
            StreamFiles(run, total, number, path, totals, TOTAL_SCALARS),
            file,
        )

    def _stream_names(self, raw_stream: str, reduction: Made) -> tuple[str, str]:
        """Return the names for curves and sum: a new form of the curve needs a new stream."""
        total = "total" if raw_stream == "primary" else f"{raw_stream}_total"
        forms = [_form(out.reduction) for out in self.outputs if out.raw_stream == raw_stream]
        distinct = list(dict.fromkeys([*forms, _form(reduction)]))
        number = distinct.index(_form(reduction)) + 1
        suffix = "" if number == 1 else f"_{number}"
        return raw_stream + suffix, total + suffix

    def _epochs(self) -> list[dict[str, Any]]:
        firsts: dict[int, int] = {}
        for ledger in self.ledgers.values():
            for entry in ledger:
                firsts.setdefault(entry.output, entry.index)
        return [
            {
                "digest": output.recipe.digest,
                "stream": output.frames.stream,
                "first_frame": firsts[output.number],
                "rows": output.rows,
                "recipe": output.recipe.to_json(),
                **_moving(output.reduction),
            }
            for output in self.outputs
            if output.number in firsts
        ]


def _moving(reduction: Made) -> dict[str, Any]:
    """Return what tells an epoch of a moving detector, whose rows have recipes of their own."""
    if isinstance(reduction, MovingReduction):
        return {"goniometer_digest": reduction.goniometer.digest}
    return {}


def _made_again(record: Mapping[str, Any], engine: str) -> Made:
    recipe = recipe_from_json(record["recipe"])
    if "goniometer" in record:
        return MovingReduction(recipe, goniometer_from_mapping(record["goniometer"]), engine)
    slow, fast = record["shape"]
    reduction = reduction_for(recipe, engine)
    reduction.bind((slow, fast))
    return reduction


def _form(reduction: Made) -> tuple[object, ...]:
    recipe = reduction.recipe
    around = unit_named(recipe.binning.unit).periodic
    motors = reduction.motors if isinstance(reduction, MovingReduction) else ()
    return reduction.output_shape, recipe.error_model == "none", around, motors
