"""What the calibrator does, without Tango: settings, the worker, the history, the reducer."""

import json
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as StillRunning
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from ringline.callbacks import CalibrationHistory, Decision, open_store
from ringline.device_servers.calibration_condition import CalibrationFacts, condition_of
from ringline.device_servers.calibration_job import AbortedError, CalibrationJob, Prepared
from ringline.device_servers.calibration_readings import CalibrationReadings, Outcome
from ringline.device_servers.calibration_settings import (
    CALIBRATION_SETTINGS,
    CURRENT,
    CalibrationSettings,
)
from ringline.device_servers.chain import Options
from ringline.device_servers.configuration import changed_by, configuration, refuse_unknown
from ringline.device_servers.enforcement import enforce, former_of
from ringline.device_servers.errors import REFUSALS, BadInputError, BusyError, NotReadyError
from ringline.device_servers.images import ImageName
from ringline.device_servers.known import Finding
from ringline.device_servers.reducer_link import ReducerLink
from ringline.device_servers.setting import Setting
from ringline.device_servers.watching import Watching
from ringline.device_servers.work import PATIENCE_S
from ringline.processing import RecipeError, read_poni
from ringline.processing.calibration import Calibration
from ringline.processing.calibration.record import read_calibration
from ringline.processing.types import ImageArray

_log = logging.getLogger(__name__)

_STILL = "still being decided: follow State, then read in_force"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a calibrator works."""

    options: Options
    link: ReducerLink
    device: str
    """Its own name."""


class CalibrationService(Watching):
    """A calibrator. Every method returns within ``PATIENCE_S``; one worker does the long work.

    Parameters
    ----------
    around:
        Folders, the reducer.
    facts:
        What is known at the start: the settings restored, or a failure.
    changed:
        Called, from any thread and with no lock held, when there is something new to show.
    """

    def __init__(
        self, around: Surroundings, facts: CalibrationFacts, changed: Callable[[], None]
    ) -> None:
        super().__init__(around.options, around.link, facts, changed)
        self._around = around
        self._history: CalibrationHistory | None = None
        self._opened = ExitStack()
        self._checked: CalibrationSettings | None = None
        self._job: CalibrationJob | None = None
        self._closing = threading.Lock()
        self._closed = False
        if not facts.failure:
            self._submit(self._open)
            self._link.watch(self._on_in_force)

    # what is known

    @property
    def settings(self) -> CalibrationSettings:
        """Everything that is set."""
        return self._facts.settings

    @property
    def readings(self) -> CalibrationReadings:
        """Everything to show."""
        return self._facts.readings

    def condition(self) -> Finding:
        """State and Status."""
        return condition_of(self._facts)

    # settings

    def change(self, setting: Setting, value: object) -> None:
        """Set one setting; whether it fits the others is found by the worker."""
        self._set(setting, value, {setting.name})
        self._end_watch({setting.name})
        self._submit(self._check)

    def configure(self, text: str) -> None:
        """Set several settings, given as JSON: all or nothing."""
        given = configuration(text)
        refuse_unknown(given, CALIBRATION_SETTINGS)
        settings = changed_by(self.settings, given, CALIBRATION_SETTINGS)
        _check(settings)
        self._put(settings, set(given))
        self._end_watch(given)
        self._changed()
        self._submit(self._check)

    # calibrating

    def calibrate(self) -> None:
        """Begin a calibration. What can be refused is refused here, and nothing has changed."""
        if missing := self.settings.not_set():
            raise NotReadyError(f"not configured: set {', '.join(missing)}")
        image = ImageName.parse(self.settings.image, self._around.options.folders)
        job = CalibrationJob(self.settings, image, self._link, self._on_progress)
        with self._lock:
            if self._facts.running:
                raise BusyError("a calibration is being made: follow State, or call Abort")
            self._facts, self._job = replace(self._facts, running=True), job
        self._show(progress=0.0, step=f"reading {image.path.name}", last_error="")
        prepared: Future[Prepared] = Future()
        self._submit(self._calibrate, job, prepared)
        try:
            prepared.result(timeout=PATIENCE_S)
        except StillRunning:
            return  # a refusal will show in last_error

    def abort(self) -> None:
        """End the calibration at its next step; what was there before stays."""
        if not self._facts.running or self._job is None:
            raise NotReadyError("no calibration is being made")
        self._job.abort()

    def reject(self) -> None:
        """Put a calibration aside that its checks accepted."""
        readings = self.readings
        if not readings.outcome.uid:
            raise NotReadyError("there is no calibration to reject: call Calibrate")
        self._refuse_while_running()
        self._wait(self._submit(self._reject, readings.outcome, busy="rejecting"), _STILL)

    # putting in force

    def accept(self) -> None:
        """Put the newest calibration in force in the reducer."""
        self._refuse_while_running()
        readings = self.readings
        if not readings.accepted:
            told = readings.verdict or "there is none"
            raise NotReadyError(f"no calibration can be put in force: {told}: call Calibrate")
        self._put_in_force(lambda history: history.acceptance(
            history.find(readings.outcome.uid), self._link.device
        ))  # fmt: skip

    def revert(self) -> None:
        """Put the geometry in force that was before the present one."""
        self._refuse_while_running()
        self._put_in_force(lambda history: history.reversion(self._link.device))

    def restore(self, name: str) -> None:
        """Put a calibration in force again that was accepted earlier."""
        self._refuse_while_running()
        self._put_in_force(lambda history: history.restoration(name.strip(), self._link.device))

    # the history

    def list(self) -> str:
        """All calibrations, newest first, as JSON."""
        return json.dumps(self._known_history().summary(self._link.device))

    def compare(self, text: str) -> str:
        """How two calibrations differ, as JSON."""
        try:
            one, other = json.loads(text)
        except (ValueError, TypeError) as error:
            raise BadInputError(f"give two ids as JSON, [id, id], got {text!r}") from error
        return json.dumps(self._known_history().compare(str(one), str(other)))

    def close(self) -> None:
        """Stop the worker and close the store. Work under way is not waited for for ever."""
        if self._job is not None:
            self._job.abort()
        self._link.close()
        self._end_work()
        with self._closing:
            self._closed = True
            self._opened.close()

    # on the worker

    def _open(self) -> None:
        self._check()
        options = self._around.options
        try:
            with ExitStack() as opened:
                store = opened.enter_context(open_store(options.workspace, options.readable))
                history = opened.enter_context(CalibrationHistory(store))
                with self._closing:
                    if self._closed:
                        return
                    self._opened = opened.pop_all()
        except (RecipeError, OSError) as error:
            self._know(failure=str(error), opening=False)
            return
        self._history = history
        self._resume(history)
        self._know(opening=False)

    def _resume(self, history: CalibrationHistory) -> None:
        """Show again what was found last: it can still be put in force."""
        self._show(former=former_of(history, self._link.device))
        mine = [entry for entry in history.list() if entry.device == self._around.device]
        if not mine:
            return
        newest = mine[0]
        picture = newest.file.with_suffix(".png")
        try:
            calibration, _ = read_calibration(newest.file)
        except RecipeError as error:
            _log.warning("the newest calibration is not shown: %s", error)
            return
        rejected = [d.calibration_uid for d in history.decisions() if d.kind == "reject"]
        outcome = Outcome.of(calibration, newest.uid, str(picture) if picture.exists() else "")
        self._show(outcome=outcome, dismissed=newest.uid in rejected)

    def _check(self) -> None:
        """Say whether the settings make a task, if they changed."""
        settings = self.settings
        if settings is self._checked:
            return
        self._checked = settings
        try:
            _check(settings)
        except RecipeError as error:
            self._know(problem=str(error))
        else:
            self._know(problem="")

    def _calibrate(self, job: CalibrationJob, prepared: Future[Prepared]) -> None:
        try:
            history = self._known_history()
            made = job.prepare()
        except BaseException as error:
            self._know(running=False)  # before the client that waits is told
            prepared.set_exception(error)
            raise
        before = self.readings
        # What is shown meanwhile, or after a failure, must not pass for what comes of this one.
        self._show(outcome=Outcome.blank(), dismissed=False, lost="")
        prepared.set_result(made)
        try:
            calibration = job.calibrate(made)
            job.report(1.0, "storing")
            uid = history.record(calibration, made.image, job.circumstances(self._around.device))
            self._finish(calibration, uid, self._draw(history, uid, made.image, calibration))
        except AbortedError:
            shown = {"outcome": before.outcome, "dismissed": before.dismissed, "lost": before.lost}
            self._end(**shown, step="aborted", progress=0.0)
        except REFUSALS as error:
            self._end(step="failed", lost=f"the calibration failed: {error}")
            raise
        finally:
            self._know(running=False)

    def _draw(
        self, history: CalibrationHistory, uid: str, image: ImageArray, calibration: Calibration
    ) -> str:
        """The picture's path; a calibration without its picture is still one."""
        from ringline.processing.calibration.picture import draw_calibration  # noqa: PLC0415 heavy

        self._on_progress(1.0, "drawing")
        path = history.find(uid).file.with_suffix(".png")
        try:
            draw_calibration(path, image, calibration)
        except OSError as error:
            self._show(last_error=f"{path} cannot be written: {error.strerror or error}")
            return ""
        return str(path)

    def _finish(self, calibration: Calibration, uid: str, picture: str) -> None:
        self._end(outcome=Outcome.of(calibration, uid, picture), step="done", progress=1.0)

    def _end(self, **readings: Any) -> None:
        """Show what came of it and the end of the work at once: State never tells of another."""
        with self._lock:
            changed = replace(self._facts.readings, **readings)
            self._facts = replace(self._facts, readings=changed, running=False)
        self._changed()

    def _reject(self, outcome: Outcome) -> None:
        decision = Decision(
            kind="reject",
            device=self._link.device,
            time=time.time(),
            id=outcome.id,
            calibration_uid=outcome.uid,
        )
        with self._known_history().deciding(decision):
            self._show(dismissed=True)

    def _put_in_force(self, decide: Callable[[CalibrationHistory], Decision]) -> None:
        work = self._submit(self._decide, decide, busy="putting a geometry in force")
        self._wait(work, _STILL)

    def _decide(self, decide: Callable[[CalibrationHistory], Decision]) -> None:
        history = self._known_history()
        decision = enforce(history, self._link, lambda: decide(history))
        former = former_of(history, self._link.device)
        self._show(former=former)
        self._know_in_force(decision.id)

    # helpers

    def _known_history(self) -> CalibrationHistory:
        if self._facts.failure:
            raise NotReadyError(self._facts.failure)
        if self._history is None:
            raise NotReadyError("the store is not open yet: call again later")
        return self._history

    def _on_progress(self, part: float, words: str) -> None:
        self._show(progress=min(max(part, 0.0), 1.0), step=words)


def _check(settings: CalibrationSettings) -> None:
    """Refuse settings that together make no task, as far as that can be known now."""
    if not settings.not_set() and settings.guess != CURRENT:
        settings.task(read_poni(settings.guess) if settings.guess else None)
