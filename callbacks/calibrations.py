"""The history of calibrations in the store: made, accepted, in force from when to when."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Self, TypeVar

from ringline.callbacks.calibration_documents import Circumstances, calibration_documents
from ringline.callbacks.calibration_entries import (
    Decision,
    StoredCalibration,
    Validity,
    compared,
    decision_start,
    stored_calibration,
    stored_decision,
    summarized,
    validities,
)
from ringline.callbacks.documents import CALIBRATION, DECISION, Documents, stop_document
from ringline.callbacks.store import Store
from ringline.callbacks.writer import StoreWriter
from ringline.processing import Geometry, RecipeError
from ringline.processing.calibration import Calibration
from ringline.processing.calibration.record import write_calibration
from ringline.processing.types import ImageArray

_PATIENCE_S = 30.0

Entry = TypeVar("Entry", StoredCalibration, Decision)


class StoreError(RuntimeError):
    """The store did not take what it was given."""


class CalibrationHistory:
    """Every calibration, accepted or not, and every decision about one, as runs in the store.

    They are in the catalogue ``calibrations``, for all users of databroker and Tiled: calibrations
    with ``purpose`` "calibration", decisions with ``purpose`` "calibration decision". A calibration
    is in force for a device from the decision that says so until the next one for that device.
    What a method returns is durable.

    Parameters
    ----------
    store:
        An open store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._writer = StoreWriter(store.calibrations, readable=store.readable)

    def record(
        self, calibration: Calibration, image: ImageArray, around: Circumstances | None = None
    ) -> str:
        """Store a calibration with its image, points, rings and curve; return the run's uid.

        Parameters
        ----------
        calibration:
            Accepted by its checks or not.
        image:
            From which it was made, shape (slow, fast).
        around:
            Where the image is from, and which device made the calibration.

        Raises
        ------
        RecipeError
            The calibration was made from another image.
        StoreError
            The store, or the disk, did not take it.
        """
        uid = str(uuid.uuid4())
        file = self._store.workspace.calibrations / f"{uid}.h5"
        try:
            write_calibration(file, calibration, image)
        except OSError as error:
            raise StoreError(f"{file} cannot be written: {error.strerror or error}") from error
        known = Circumstances() if around is None else around
        try:
            self._emit(calibration_documents(uid, calibration, image, file, known))
        except StoreError:
            file.unlink(missing_ok=True)
            raise
        return uid

    def accept(self, name: str, device: str, when: float | None = None) -> Decision:
        """Put a calibration in force for a device.

        Parameters
        ----------
        name:
            As of :meth:`find`.
        device:
            Whose geometry it is: any name, the same each time.
        when:
            Seconds since the epoch; None: now.

        Raises
        ------
        RecipeError
            There is no single such calibration, or it did not pass its checks.
        """
        decision = self.acceptance(self.find(name), device, when)
        with self.deciding(decision):
            return decision

    def revert(self, device: str, when: float | None = None) -> Decision:
        """Put the geometry back in force that was before the present one.

        Raises
        ------
        RecipeError
            None was in force before.
        """
        decision = self.reversion(device, when)
        with self.deciding(decision):
            return decision

    def acceptance(
        self, entry: StoredCalibration, device: str, when: float | None = None
    ) -> Decision:
        """Return the decision that :meth:`accept` takes, not yet taken; RecipeError likewise."""
        geometry = entry.geometry
        if geometry is None or not entry.accepted:
            raise RecipeError(f"calibration {entry.id[:8] or entry.uid} was {entry.verdict}")
        earlier = self.decisions(device)
        known = any(d.id == entry.id for d in earlier if d.kind != "reject")
        return Decision(
            kind="restore" if known else "accept",
            device=device,
            time=time.time() if when is None else when,
            id=entry.id,
            calibration_uid=entry.uid,
            geometry=geometry,
            former=_before(earlier, entry.id),
        )

    def restoration(self, name: str, device: str) -> Decision:
        """Return the decision that puts a calibration in force again, not yet taken.

        Raises
        ------
        RecipeError
            As :meth:`find`, or it never was in force for the device.
        """
        entry = self.find(name)
        if entry.id not in {each.decision.id for each in self.validity(device)}:
            raise RecipeError(f"calibration {entry.id[:8]} never was in force for {device}")
        return self.acceptance(entry, device)

    def reversion(self, device: str, when: float | None = None) -> Decision:
        """Return the decision that :meth:`revert` takes, not yet taken; RecipeError likewise."""
        ruling = validities(self.decisions(device))
        if not ruling or ruling[-1].decision.former is None:
            raise RecipeError(f"no geometry of {device or 'the device'} from before is known")
        last = ruling[-1].decision
        origin = [d.decision.calibration_uid for d in ruling if d.decision.id == last.former_id]
        return Decision(
            kind="revert",
            device=device,
            time=time.time() if when is None else when,
            id=last.former_id,
            calibration_uid=origin[-1] if origin else "",
            geometry=last.former,
            former=last.geometry,
        )

    @contextmanager
    def deciding(self, decision: Decision) -> Iterator[Decision]:
        """Record a decision around what carries it out; it holds only if that raises nothing.

        The intent is in the store before, and its success or failure after: a process that dies
        between leaves a decision that does not hold.
        """
        uid = str(uuid.uuid4())
        self._emit([("start", decision_start(uid, decision))])
        try:
            yield decision
        except BaseException as error:
            failed = {"exit_status": "fail", "reason": str(error)}
            with suppress(StoreError):  # without a stop it does not hold either
                self._emit([("stop", stop_document(uid, failed, {}, {}))])
            raise
        self._emit([("stop", stop_document(uid, {}, {}, {}))])

    def list(self) -> Sequence[StoredCalibration]:
        """Return all calibrations, newest first."""
        return _newest_first(stored_calibration(start) for start in self._starts(CALIBRATION))

    def decisions(self, device: str | None = None) -> Sequence[Decision]:
        """Return the decisions that hold, newest first: of a device, or of all."""
        found = _newest_first(stored_decision(start) for start in self._starts(DECISION))
        return [each for each in found if device in (None, each.device)]

    def find(self, name: str) -> StoredCalibration:
        """Return one calibration; the newest, where the same geometry was found several times.

        Parameters
        ----------
        name:
            The id of its geometry, the uid of its run, or the beginning of either.

        Raises
        ------
        RecipeError
            There is none, or there are several.
        """
        known = self.list()
        found = [c for c in known if name and (c.id.startswith(name) or c.uid.startswith(name))]
        different = {entry.id or entry.uid for entry in found}
        if len(different) == 1:
            return found[0]
        if different:
            some = ", ".join(sorted(each[:12] for each in different)[:4])
            raise RecipeError(f"{name!r} begins {len(different)} calibrations: {some}")
        newest = ", ".join((entry.id or entry.uid)[:12] for entry in known[:3])
        raise RecipeError(f"no calibration {name!r}; the newest: {newest or 'there is none'}")

    def compare(self, one: str, other: str) -> dict[str, Any]:
        """Return how two calibrations differ, with errors: see ``compared``."""
        return compared(self.find(one), self.find(other))

    def validity(self, device: str) -> Sequence[Validity]:
        """Return when which geometry was in force for a device, oldest first."""
        return validities(self.decisions(device))

    def in_force(self, device: str, when: float | None = None) -> Validity | None:
        """Return what was in force for a device at a time, or is now; None where nothing was.

        Parameters
        ----------
        device:
            As of :meth:`accept`.
        when:
            Seconds since the epoch; None: now.
        """
        moment = time.time() if when is None else when
        past = [each for each in self.validity(device) if each.start <= moment]
        return past[-1] if past else None

    def summary(self, device: str) -> Sequence[dict[str, Any]]:
        """Return all calibrations, newest first, with when each was in force for a device."""
        return summarized(self.list(), self.validity(device))

    def close(self) -> None:
        """End the thread that writes; the store stays open."""
        self._writer.clear_error()
        self._writer.close(_PATIENCE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _starts(self, purpose: str) -> Iterator[Any]:
        from tiled.queries import Key  # noqa: PLC0415 heavy

        for run in self._store.calibrations.search(Key("start.purpose") == purpose).values():
            end = run.metadata.get("stop")
            if end is not None and end["exit_status"] == "success":
                yield run.metadata["start"]

    def _emit(self, documents: Documents) -> None:
        for name, document in documents:
            self._writer(name, document)
        try:
            self._writer.drain(_PATIENCE_S)
        except Exception as error:
            self._writer.clear_error()
            raise StoreError(f"the store did not take it: {error}") from error


def _newest_first(entries: Iterable[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda entry: entry.time, reverse=True)


def _before(decisions: Sequence[Decision], name: str) -> Geometry | None:
    """The geometry that was in force before the one of an id, which may be so already."""
    ruling = validities(decisions)
    if not ruling:
        return None
    last = ruling[-1].decision
    return last.former if last.id == name else last.geometry
