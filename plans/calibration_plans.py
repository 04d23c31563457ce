"""The plan that calibrates: one exposure of a powder, and what came of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky.protocols import Readable
from bluesky.utils import MsgGenerator

from ringline.callbacks.documents import EXPOSURE
from ringline.plans.calibration_device import CalibrationDevice
from ringline.plans.calibrator_client import CalibrationOutcome
from ringline.plans.waiting import result_of
from ringline.plans.written_frame import FrameWatch
from ringline.processing import RecipeError

CALIBRATION_RUN = "calibration"
"""Run key of the messages of :func:`calibrate`: wrappers that reduce leave them alone."""
WRITING_LIMIT = 30.0
"""Seconds in which the exposure must be in its file."""


class CalibrationRejectedError(RuntimeError):
    """A calibration that was to be accepted failed its verdict."""

    def __init__(self, outcome: CalibrationOutcome) -> None:
        self.outcome = outcome
        super().__init__(
            f"the calibration is not accepted, the former one stays in force: {outcome.verdict}"
        )


def calibrate(  # noqa: PLR0913  # what is known of the beam and the detector is said by name
    detector: Readable[Any],
    calibrant: str,
    calibrator: CalibrationDevice,
    *,
    energy: float | None = None,
    guess: str | Path | None = None,
    accept: bool = False,
    settings: Mapping[str, object] | None = None,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[CalibrationOutcome]:
    """Expose a powder once, have the detector's geometry found, and accept it if asked.

    The exposure is a raw run of its own with ``purpose`` "calibration exposure", which is not
    reduced; the calibration's run in the store names it as ``original_run_uid``. The RunEngine is
    free while the calibrator works. Can be called within an open run of another plan.

    Parameters
    ----------
    detector:
        With images in files that the calibrator may read.
    calibrant:
        Name of the powder.
    calibrator:
        The device that calibrates.
    energy:
        Of the photons, keV; None: as it is set there.
    guess:
        PONI file of about where the detector stands; "current": where the reducer has it; "":
        anywhere; None: as it is set there.
    accept:
        Whether to put a calibration that passes its verdict in force; one that fails then ends
        the plan.
    settings:
        More settings of the calibrator by name: ``fixed``, ``bounds``, ``mask_file``, ...
    md:
        More metadata of the raw run.

    Returns
    -------
    :
        Uids, verdict, and whether it is in force now.

    Raises
    ------
    RecipeError:
        Before the exposure: the calibrator does not answer or is busy, refuses a setting, or may
        not read the detector's folder. After it: the server died, or the frame cannot be read.
    CalibrationRejectedError:
        ``accept`` was asked for, and the verdict is against it.
    """
    given = {
        "calibrant": calibrant,
        "energy": energy,
        "guess": None if guess is None else str(guess),
    }
    asked = {**(settings or {}), **{k: value for k, value in given.items() if value is not None}}
    metadata = {
        "plan_name": "calibrate",
        "purpose": EXPOSURE,
        "detectors": [detector.name],
        "num_points": 1,
        "calibrant": calibrant,
        "sample": {"name": calibrant},
        "calibration_device": calibrator.get_trl(),
        **({} if energy is None else {"energy_kev": energy}),
        **(md or {}),
    }
    plan = _calibrate(detector, calibrator, asked, metadata, accept=accept)
    outcome: CalibrationOutcome = yield from bpp.set_run_key_wrapper(  # type: ignore[no-untyped-call]
        plan, CALIBRATION_RUN
    )
    return outcome


def _calibrate(
    detector: Readable[Any],
    calibrator: CalibrationDevice,
    settings: dict[str, object],
    metadata: dict[str, Any],
    *,
    accept: bool,
) -> MsgGenerator[CalibrationOutcome]:
    yield from _require_ready(calibrator, detector)
    # Before the exposure: what is refused costs no beam.
    yield from result_of(lambda: calibrator.configure(settings))
    watch = FrameWatch(detector.name)
    raw_uid = yield from bpp.subs_wrapper(_expose(detector, metadata), watch)  # type: ignore[no-untyped-call]
    place = watch.place
    yield from result_of(lambda: place.until_written(WRITING_LIMIT))
    yield from result_of(lambda: calibrator.configure({"image": str(place), "raw_uid": raw_uid}))
    before = yield from result_of(calibrator.start)
    # After a pause it is waited for, not started again.
    yield from bps.checkpoint()
    found = yield from result_of(lambda: calibrator.outcome(before))
    if found.raw_uid != raw_uid:
        raise RecipeError(
            f"{calibrator.name} was given another image than that of run {raw_uid} meanwhile"
        )
    if not accept:
        return found
    if not found.passed:
        raise CalibrationRejectedError(found)
    return (yield from result_of(calibrator.accept))


def _expose(detector: Readable[Any], metadata: dict[str, Any]) -> MsgGenerator[str]:
    """One frame as a run; its uid."""

    @bpp.stage_decorator([detector])  # type: ignore[untyped-decorator]
    @bpp.run_decorator(md=metadata)  # type: ignore[untyped-decorator]
    def expose() -> MsgGenerator[None]:
        yield from bps.trigger_and_read([detector])

    uid: str = yield from expose()
    return uid


def _require_ready(calibrator: CalibrationDevice, detector: Readable[Any]) -> MsgGenerator[None]:
    readiness = yield from result_of(calibrator.readiness)
    if readiness.state in ("FAULT", "INIT", "UNKNOWN"):
        raise RecipeError(
            f"{calibrator.name}: State must be ON, STANDBY or ALARM, got {readiness.state}: "
            f"{readiness.status}"
        )
    if readiness.state == "RUNNING":
        raise RecipeError(f"{calibrator.name} is calibrating: {readiness.status}")
    folder = getattr(detector, "folder", None)
    if not isinstance(folder, Path):
        return
    readable = [path.resolve() for path in readiness.readable_folders]
    resolved = folder.resolve()
    if not any(resolved == path or path in resolved.parents for path in readable):
        allowed = ", ".join(str(path) for path in readable) or "none"
        raise RecipeError(
            f"{detector.name} writes to {resolved}, which {calibrator.name} may not read: its "
            f"readable_folders are {allowed}"
        )
