"""What the device does, without Tango: settings, the recipe in force, the worker, the store."""

import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from ringline.callbacks import Result
from ringline.device_servers.chain import Chain, Options
from ringline.device_servers.condition import Facts, condition_of
from ringline.device_servers.configuration import configuration, configured, names_set_by
from ringline.device_servers.errors import BadInputError, BusyError, NotReadyError
from ringline.device_servers.images import ImageName, read_image_named
from ringline.device_servers.known import Finding
from ringline.device_servers.readings import Curve, Readings
from ringline.device_servers.separations import SeparationJob
from ringline.device_servers.setting import Setting
from ringline.device_servers.settings import GEOMETRY, Settings
from ringline.device_servers.work import Work
from ringline.processing import (
    Frame,
    Profile,
    Recipe,
    RecipeError,
    Reduction,
    read_poni,
    reduction_for,
    write_poni,
)
from ringline.processing.types import FloatArray

_RATE_S = 2.0
_STILL = "still reducing: follow State, then read intensity"
_NOT_CONFIGURED = "not configured: call LoadPoni, or set distance, wavelength and detector"


class Service(Work[Facts]):
    """A reducer. Every method returns within ``PATIENCE_S``; long work is done by one worker.

    Parameters
    ----------
    options:
        Folders and data keys.
    facts:
        What is known at the start: the settings restored, or a failure.
    changed:
        Called, from any thread and with no lock held, when there is something new to show.
    """

    def __init__(self, options: Options, facts: Facts, changed: Callable[[], None]) -> None:
        super().__init__(facts, changed)
        self._options = options
        self._built: Settings | None = None
        self._chain: Chain | None = None
        self._building = threading.Lock()
        self._finished: deque[tuple[float, int]] = deque(maxlen=1000)
        self._count = 0
        self._closed = False
        self._begin_accumulation()
        if not facts.failure:
            self._submit(self._open)

    # what is known

    @property
    def settings(self) -> Settings:
        """Everything that is set."""
        return self._facts.settings

    @property
    def readings(self) -> Readings:
        """Everything to show, up to date: cheap."""
        return self._live().readings

    def condition(self) -> Finding:
        """State and Status."""
        return condition_of(self._live())

    # settings

    def change(self, setting: Setting, value: object) -> None:
        """Set one setting; the recipe is built by the worker."""
        self._set(setting, value, names_set_by({setting.name: value}))
        self._submit(self._build)

    def configure(self, text: str) -> None:
        """Set several settings, given as JSON: all or nothing."""
        given = configuration(text)
        self._adopt(configured(self.settings, given), names_set_by(given))

    def load_poni(self, path: str) -> None:
        """Take the geometry from a PONI file."""
        self._adopt(self.settings.with_geometry(read_poni(_absolute(path))), GEOMETRY)

    def save_poni(self, path: str) -> None:
        """Write the geometry to a PONI file."""
        file = _absolute(path)
        if file.suffix != ".poni":
            raise BadInputError(f"the file to write must end in .poni, got {path!r}")
        try:
            write_poni(self.settings.geometry(), file)
        except OSError as error:
            raise BadInputError(f"{file} cannot be written: {error.strerror or error}") from error

    # work

    def arm(self) -> None:
        """Check and compile the recipe now, and begin a new accumulation.

        The files of arrays are read again: they may have changed.
        """
        self._built = None
        recipe = self._recipe()
        self._begin_accumulation()
        reduction = self._wait(
            self._submit(self._compile, recipe, busy="compiling the recipe"), _STILL
        )
        if recipe.shape is not None:
            # On a new machine loops are compiled for seconds: not while the first frames wait.
            self._submit(reduction.warm, busy="compiling the loops")

    def disarm(self) -> None:
        """Say that no frames are expected."""
        self._show(armed=False)

    def reset(self) -> None:
        """Clear curve, counts and alarms."""
        self._begin_accumulation()
        curve = Curve.blank(self.settings.points)
        nothing = {"frame_index": -1, "newest_frame": "", "epoch": "", "pixels_rejected": 0}
        self._show(curve=curve, **nothing, last_error="")

    def integrate(self, text: str) -> FloatArray:
        """Reduce one frame of a file with the recipe in force, and show it."""
        image = ImageName.parse(text, self._options.folders)
        recipe = self._recipe()
        work = self._submit(self._integrate, recipe, image, busy=f"reducing {image.path.name}")
        profile: Profile = self._wait(work, _STILL)
        return profile.intensity

    def separate(self, text: str) -> str:
        """Write Bragg peaks and smooth signal of one frame to a file; what is shown stays."""
        image = ImageName.parse(text, self._options.folders)
        recipe, folder = self._recipe(), self._options.workspace.results
        job = SeparationJob.of(image, recipe, self.settings.engine, folder)
        work = self._submit(job.run, busy=f"separating {image.path.name}")
        written: str = self._wait(work, f"still separating: follow State, then read {job.output}")
        return written

    def consume(self, text: str) -> str:
        """Take documents; the reply says which are expected next.

        A setting that was written before is in force for them; one that makes no recipe is not,
        and the former stays.
        """
        self._build()
        facts, chain = self._facts, self._chain
        if facts.failure or facts.readings.recipe is None:
            raise NotReadyError(facts.failure or facts.problem or _NOT_CONFIGURED)
        if chain is None:
            raise NotReadyError("the store is not open yet: send again later")
        try:
            return chain.consume(text)
        except ValueError as error:
            raise BadInputError(str(error)) from error

    def abandon(self, uid: str) -> None:
        """End a raw run whose stop will never come."""
        chain = self._chain
        found = [run for run in (chain.open_runs if chain else ()) if uid and run.startswith(uid)]
        if chain is None or len(found) != 1:
            known = ", ".join(chain.open_runs) if chain else ""
            raise BadInputError(f"no single open run {uid!r}; open runs: {known or 'none'}")
        chain.abandon(found[0])

    def close(self) -> None:
        """Stop the worker and close the store. Work under way is not waited for for ever."""
        self._end_work()
        with self._building:
            self._closed = True
            if self._chain is not None:
                self._chain.close()

    # on the worker

    def _open(self) -> None:
        self._build()
        recipe, engine = self._facts.readings.recipe, self.settings.engine
        try:
            chain = Chain(self._options, recipe, engine, self._on_result)
        except (RecipeError, OSError) as error:
            self._know(failure=str(error), opening=False)
            return
        with self._building:
            if self._closed:
                chain.close()
                return
            self._chain = chain
            if self._facts.readings.recipe is not recipe:  # built meanwhile, for a command
                chain.set_recipe(self._facts.readings.recipe)
        self._know(opening=False)

    def _build(self) -> None:
        """Make the recipe of the settings, if they changed. Any thread."""
        with self._building:
            settings = self.settings
            if settings is self._built:
                return
            try:
                self._enforce(settings, None if settings.not_set() else settings.recipe())
            except RecipeError as error:
                self._built = settings
                self._know(problem=str(error))
        self._changed()

    def _enforce(self, settings: Settings, recipe: Recipe | None) -> None:
        if recipe is not None and self._chain is not None:
            self._chain.set_recipe(recipe)
        self._built = settings
        with self._lock:
            facts = self._facts
            curve = facts.readings.curve
            if facts.readings.frame_index < 0 and len(curve.intensity) != settings.points:
                curve = Curve.blank(settings.points)
            readings = replace(facts.readings, recipe=recipe, armed=False, curve=curve)
            self._facts = replace(facts, problem="", readings=readings)

    def _compile(self, recipe: Recipe) -> Reduction:
        reduction = self._reduction(recipe, self.settings.engine)
        readings = self._facts.readings
        if recipe.shape is not None and readings.frame_index < 0:
            self._show(armed=True, curve=Curve.awaited(reduction))
        else:
            self._show(armed=True)
        return reduction

    def _reduction(self, recipe: Recipe, engine: str) -> Reduction:
        reduction = reduction_for(recipe, engine)
        self._show(engine_used=f"{reduction.engine}: {reduction.engine_reason}")
        return reduction

    def _integrate(self, recipe: Recipe, image: ImageName) -> Profile:
        reduction = self._compile(recipe)
        began = time.perf_counter()
        sums = reduction.map(Frame(read_image_named(image), image.frame))
        profile = reduction.finish(sums)
        self._show(
            curve=Curve.of(profile),
            frame_index=image.frame,
            newest_frame=str(image),
            epoch=profile.recipe_digest,
            pixels_rejected=sums.rejected,
            processing_time=1e3 * (time.perf_counter() - began),
            raw_uid="",
            reduced_uid="",
        )
        return profile

    def _on_result(self, result: Result) -> None:
        self._finished.append((time.monotonic(), result.accounts.reduced))
        self._show(
            curve=Curve.of(result.profile),
            frame_index=result.frame_index,
            newest_frame=result.frame,
            epoch=result.epoch,
            pixels_rejected=result.rejected,
            engine_used=result.engine,
            processing_time=1e3 * result.processing_time,
            raw_uid=result.raw_uid,
            reduced_uid=result.reduced_uid,
        )

    # helpers

    def _adopt(self, settings: Settings, names: Collection[str]) -> None:
        """Put settings in force after they have been checked in full."""
        recipe = None if settings.not_set() else settings.recipe()
        if recipe is not None:
            self._check_by_compiling(recipe, settings.engine)
        with self._building:
            self._put(settings, names)
            self._enforce(settings, recipe)
        self._changed()

    def _check_by_compiling(self, recipe: Recipe, engine: str) -> None:
        try:
            self._wait(
                self._submit(self._reduction, recipe, engine, busy="compiling the recipe"), _STILL
            )
        except BusyError:
            return  # every value is checked; what only compiling can find shows in Status

    def _recipe(self) -> Recipe:
        """The recipe of the settings, built now if they changed."""
        self._build()
        facts = self._facts
        if facts.failure:
            raise NotReadyError(facts.failure)
        if facts.problem:
            raise RecipeError(facts.problem)
        if facts.readings.recipe is None:
            raise NotReadyError(_NOT_CONFIGURED)
        return facts.readings.recipe

    def _begin_accumulation(self) -> None:
        if self._chain is not None:
            self._chain.reset()
        self._count += 1
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._show(generation=f"{now} {self._count}")

    def _live(self) -> Facts:
        facts, chain = self._facts, self._chain
        if chain is None:
            return facts
        accounts, lag, error = chain.accounts(), chain.lag, chain.error
        readings = replace(facts.readings, accounts=accounts, lag=lag, frame_rate=self._rate())
        bug = f"unexpected {type(error).__name__}: {error}" if error else ""
        runs = chain.open_runs
        return replace(facts, readings=readings, failure=facts.failure or bug, open_runs=runs)

    def _rate(self) -> float:
        now = time.monotonic()
        recent = [item for item in tuple(self._finished) if now - item[0] <= _RATE_S]
        if len(recent) < 2:
            return 0.0
        (first, low), (last, high) = recent[0], recent[-1]
        return max(0.0, (high - low) / max(last - first, 1e-3))


def _absolute(path: str) -> Path:
    file = Path(path.strip())
    if not file.is_absolute():
        raise BadInputError(f"the path must be absolute, got {path!r}")
    return file
