"""The part of a calibrator that watches: what is in force, and whether the detector still fits."""

import json
from collections.abc import Callable, Collection
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace

from ringline.callbacks import CalibrationHistory
from ringline.device_servers.calibration_condition import CalibrationFacts
from ringline.device_servers.chain import Options
from ringline.device_servers.drift import DriftShown, Look
from ringline.device_servers.drift_watch import DriftWatch
from ringline.device_servers.errors import BusyError
from ringline.device_servers.images import ImageName
from ringline.device_servers.reducer_link import Newest, ReducerLink
from ringline.device_servers.work import Work

_STILL = "still looking: follow State, then read drift"


class Watching(Work[CalibrationFacts]):
    """Knows what is in force, and looks at frames on the worker while nothing else is done.

    Parameters
    ----------
    options, link:
        Folders, the reducer.
    facts, changed:
        As of ``Work``.
    """

    def __init__(
        self,
        options: Options,
        link: ReducerLink,
        facts: CalibrationFacts,
        changed: Callable[[], None],
    ) -> None:
        super().__init__(facts, changed)
        self._folders, self._link = options.folders, link
        self._drift = DriftWatch(link, self._folders, self._known_history)
        self._looking: Future[None] | None = None

    def watch(self, text: str) -> str:
        """Look at one image for whether the detector stands as calibrated; JSON."""
        image = ImageName.parse(text, self._folders)
        self._refuse_while_running()
        work = self._submit(self._look_at, image, busy=f"looking at {image.path.name}")
        look: Look = self._wait(work, _STILL)
        return json.dumps(look.to_mapping())

    def _known_history(self) -> CalibrationHistory:
        """The history; NotReadyError where it is not open."""
        raise NotImplementedError

    def _refuse_while_running(self) -> None:
        if self._facts.running:
            raise BusyError("a calibration is being made: follow State, or call Abort")

    def _on_in_force(self, found: str) -> None:
        """Every second, on the thread of the link."""
        self._know_in_force(found)
        facts = self._facts
        looking = self._looking is not None and not self._looking.done()
        if facts.opening or facts.running or facts.busy or looking:
            return
        newest = self._drift.due(facts.settings.watch_period)
        if newest is not None:
            with suppress(RuntimeError):  # the worker has ended meanwhile
                # It is not busy for others: State does not change each period.
                self._looking = self._submit(self._look, newest)

    def _know_in_force(self, found: str) -> None:
        if found == self._facts.readings.in_force:
            return
        with self._lock:
            readings = self._facts.readings.with_in_force(found)
            self._facts = replace(self._facts, readings=readings)
        self._changed()

    def _end_watch(self, names: Collection[str]) -> None:
        """Without a watch there is no alarm: so an operator ends one that is of no use."""
        if "watch_period" in names and not self._facts.settings.watch_period:
            self._show(drift=DriftShown())

    # on the worker

    def _look(self, newest: Newest) -> None:
        look = self._drift.look(newest)
        if self._facts.settings.watch_period:
            self._show_look(look)

    def _look_at(self, image: ImageName) -> Look:
        identifier = self._link.calibration_id()
        self._know_in_force(identifier)
        look = self._drift.compare(image, identifier)
        self._show_look(look)
        return look

    def _show_look(self, look: Look) -> None:
        """Show what came of a look, unless another geometry is in force by now."""
        with self._lock:
            readings = self._facts.readings
            if readings.in_force in ("", look.calibration):
                readings = replace(readings, drift=readings.drift.after(look))
                self._facts = replace(self._facts, readings=readings)
        self._changed()
