"""Plans whose frames are reduced while they are taken, and the wrapper that does it to any plan."""

from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
from bluesky.protocols import Movable, Readable
from bluesky.utils import Msg, MsgGenerator
from ophyd_async.core import StandardDetector, TriggerInfo

from ringline.plans.calibration_plans import CALIBRATION_RUN
from ringline.plans.reducer_client import Readiness
from ringline.plans.reduction_device import ReductionDevice
from ringline.plans.waiting import result_of
from ringline.processing import RecipeError

P = ParamSpec("P")
R = TypeVar("R")
FLUSH_PERIOD = 0.1
"""Seconds between two announcements of frames in a fly scan."""
REFUSING_STATES = ("FAULT", "STANDBY", "INIT", "UNKNOWN")


def reduce_count(
    detectors: Sequence[Readable[Any]],
    reduction: ReductionDevice,
    num: int = 1,
    delay: float = 0.0,
) -> MsgGenerator[Any]:
    """Take ``num`` frames, as ``bluesky.plans.count``, and reduce them.

    Parameters
    ----------
    detectors:
        What to trigger and read; at least one with images.
    reduction:
        The device that reduces. It is not read; put it among the detectors to have its newest
        curve in the events too.
    num:
        Frames.
    delay:
        Seconds between them.

    Returns
    -------
    :
        uid of the raw run. When the plan returns, the frames are reduced.
    """
    return (yield from reduction_wrapper(bp.count(detectors, num, delay), reduction))


def reduce_scan(  # noqa: PLR0913, PLR0917  # as bluesky.plans.scan
    detectors: Sequence[Readable[Any]],
    reduction: ReductionDevice,
    motor: Movable[Any],
    start: float,
    stop: float,
    num: int,
) -> MsgGenerator[Any]:
    """Step ``motor`` from ``start`` to ``stop`` in ``num`` frames, as ``bluesky.plans.scan``.

    Returns
    -------
    :
        uid of the raw run. When the plan returns, the frames are reduced.
    """
    return (yield from reduction_wrapper(bp.scan(detectors, motor, start, stop, num), reduction))


def reduce_fly(
    detector: StandardDetector,
    reduction: ReductionDevice,
    *,
    frames: int,
    rate: float,
    md: dict[str, Any] | None = None,
) -> MsgGenerator[Any]:
    """Take ``frames`` frames at ``rate`` Hz without stopping, and reduce them meanwhile.

    Returns
    -------
    :
        uid of the raw run. When the plan returns, the frames are reduced.
    """
    if frames < 1:
        raise RecipeError(f"frames must be >= 1, got {frames!r}")
    if not rate > 0:
        raise RecipeError(f"rate must be > 0 Hz, got {rate!r}")
    exposures = TriggerInfo(number_of_events=frames, livetime=1.0 / rate)
    metadata = {"plan_name": "reduce_fly", "num_points": frames, "detectors": [detector.name]}

    def fly() -> MsgGenerator[Any]:
        yield from bps.prepare(detector, exposures, wait=True)
        yield from bps.declare_stream(detector, name="primary", collect=True)
        yield from bps.kickoff(detector, wait=True)
        yield from bps.collect_while_completing(
            [detector], [detector], flush_period=FLUSH_PERIOD, stream_name="primary"
        )

    run = bpp.run_wrapper(fly(), md=metadata | (md or {}))  # type: ignore[no-untyped-call]
    staged = bpp.stage_wrapper(run, [detector])  # type: ignore[no-untyped-call]
    return (yield from reduction_wrapper(staged, reduction))


def reduction_wrapper(plan: MsgGenerator[R], reduction: ReductionDevice) -> MsgGenerator[R]:
    """Reduce the frames of every run of ``plan``.

    Before anything moves the server is asked whether it is ready; each run's start document gets
    the digest of the recipe in force (``recipe_digest``) and the reducer's address
    (``reduction_device``); documents are forwarded; at the end the frames are waited for. What
    :func:`~ringline.plans.calibrate` does is left alone: its exposure is not reduced, and needs no
    reducer that is ready.

    As a standing order for all plans: ``RE.preprocessors.append(lambda plan:
    reduction_wrapper(plan, reduction))``.

    Raises
    ------
    RecipeError:
        Before the first frame: the server does not answer, is in FAULT or not configured, or may
        not read the folder that a detector of the plan writes to.
    """
    # Never unsubscribed by the plan: an aborted run's stop document comes after the plan has
    # ended. The RunEngine drops the subscription at its next call, and holds equal ones once.
    yield from bps.subscribe("all", reduction.forwarder)
    prepare = _Prepare(reduction)
    result: R = yield from bpp.plan_mutator(plan, prepare)  # type: ignore[no-untyped-call]
    if prepare.used:
        yield from until_reduced(reduction)
    return result


def reduction_decorator(
    reduction: ReductionDevice,
) -> Callable[[Callable[P, MsgGenerator[R]]], Callable[P, MsgGenerator[R]]]:
    """:func:`reduction_wrapper` for plan functions."""

    def decorate(function: Callable[P, MsgGenerator[R]]) -> Callable[P, MsgGenerator[R]]:
        @wraps(function)
        def wrapped(*args: P.args, **kwargs: P.kwargs) -> MsgGenerator[R]:
            result: R = yield from reduction_wrapper(function(*args, **kwargs), reduction)
            return result

        return wrapped

    return decorate


def until_reduced(reduction: ReductionDevice) -> MsgGenerator[bool]:
    """Wait until every frame announced so far is reduced; whether it is.

    False: the server is dead (after 5 s at most). Its documents are kept and delivered later.
    """
    yield from bps.trigger(reduction, wait=True)
    return reduction.up_to_date


def newest_curve(reduction: ReductionDevice) -> MsgGenerator[dict[str, Any]]:
    """Wait for the frames so far; the newest readings by their attribute's name.

    For plans that act on results: ``curve = (yield from newest_curve(reduction))["intensity"]``.
    """
    yield from until_reduced(reduction)
    readings = yield from bps.read(reduction)
    prefix = f"{reduction.name}-"
    return {key.removeprefix(prefix): reading["value"] for key, reading in readings.items()}


class _Prepare:
    """For each message of a plan: the messages that must come in its place, if any."""

    def __init__(self, reduction: ReductionDevice) -> None:
        self._reduction = reduction
        self._own: list[Msg] = []
        self.used = False
        """Whether the plan did anything else than calibrate."""

    def __call__(self, msg: Msg) -> tuple[MsgGenerator[Any] | None, None]:
        if msg.run == CALIBRATION_RUN or any(msg is own for own in self._own):
            return None, None
        first, self.used = not self.used, True
        match msg.command:
            case "stage" if isinstance(getattr(msg.obj, "folder", None), Path):
                return self._stage(msg), None
            case "open_run":
                return self._open_run(msg), None
        return (self._first(msg) if first else None), None

    def _first(self, msg: Msg) -> MsgGenerator[Any]:
        yield from _readiness(self._reduction)
        self._own.append(msg)
        return (yield msg)

    def _stage(self, msg: Msg) -> MsgGenerator[Any]:
        readiness = yield from _readiness(self._reduction)
        folder = msg.obj.folder.resolve()
        readable = [Path(path).resolve() for path in readiness.readable_folders]
        if not any(folder == path or path in folder.parents for path in readable):
            allowed = ", ".join(str(path) for path in readable) or "none"
            raise RecipeError(
                f"{msg.obj.name} writes to {folder}, which {self._reduction.name} may not read: "
                f"its readable_folders are {allowed}"
            )
        self._own.append(msg)
        return (yield msg)

    def _open_run(self, msg: Msg) -> MsgGenerator[Any]:
        readiness = yield from _readiness(self._reduction)
        metadata = {
            "recipe_digest": readiness.recipe_digest,
            "reduction_device": self._reduction.get_trl(),
        }
        opening = msg._replace(kwargs={**msg.kwargs, **metadata})
        self._own.append(opening)
        return (yield opening)


def _readiness(reduction: ReductionDevice) -> MsgGenerator[Readiness]:
    readiness = yield from result_of(reduction.readiness)
    if readiness.state in REFUSING_STATES or not readiness.recipe_digest:
        status = " ".join(readiness.status.split())
        raise RecipeError(
            f"{reduction.name}: State must be ON, RUNNING or ALARM with a recipe, "
            f"got {readiness.state}: {status}"
        )
    return readiness
