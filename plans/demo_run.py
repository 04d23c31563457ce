"""What the demo does between the start of the services and their end."""

import asyncio
import io
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import h5py
import numpy as np
from bluesky import RunEngine
from tqdm import tqdm

from ringline.callbacks import Store, StoreWriter, find_reduced, find_reduced_headers, read_curves
from ringline.plans.demo_picture import Picture, draw
from ringline.plans.frame_file import IMAGES, TIMESTAMPS
from ringline.plans.latency import CurveWatch
from ringline.plans.reduction_device import ReductionDevice
from ringline.plans.reduction_plans import reduce_fly
from ringline.plans.served_system import Served
from ringline.plans.simulated_detector import PlaybackDetector, SimulatedDetector
from ringline.processing import Calibrant, Recipe, RecipeError, open_frames
from ringline.processing.types import FloatArray

ENDING_LIMIT = 5.0
"""Seconds given to documents on their way when the demo is ended early."""
STORE_LIMIT = 60.0
"""Seconds in which the reduced run must be complete in the store after its last frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What `ringline demo --json` prints."""

    frames_seen: int
    frames_reduced: int
    frames_dropped: int
    frames_failed: int
    frame_rate_hz: float
    raw_uid: str
    reduced_uid: str
    store: str
    tango_host: str
    device: str
    picture: str
    latency_p95_ms: float | None
    causes: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """A detector with what is known of it."""

    detector: SimulatedDetector | PlaybackDetector
    recipe: Recipe
    powders: tuple[Calibrant, ...]
    sample: str
    frames: int
    rate: float


@dataclass(frozen=True, slots=True)
class Taken:
    """What a run left behind."""

    raw_uid: str
    file: Path
    """With the frames."""
    written: FloatArray
    """When each frame was written, seconds since 1970."""
    latency: FloatArray
    """Seconds from then until the curve was on the Tango attribute."""

    @property
    def latency_p95_ms(self) -> float | None:
        """None where no curve was shown."""
        known = self.latency[np.isfinite(self.latency)]
        return round(1e3 * float(np.percentile(known, 95)), 1) if known.size else None

    @property
    def rate(self) -> float:
        """Frames a second, from the first frame's exposure to the last curve."""
        shown = self.written + np.nan_to_num(self.latency)
        period = float(np.median(np.diff(self.written))) if len(self.written) > 1 else 1.0
        return float(len(shown) / (shown.max() - self.written[0] + period))


def take_frames(experiment: Experiment, store: Store, served: Served) -> Taken:
    """Take and reduce the frames with a RunEngine; raw documents go to the raw catalogue."""
    # No signal handlers of the RunEngine: Ctrl-C shall end the demo, not pause a plan.
    engine = RunEngine({}, context_managers=[])
    reduction = ReductionDevice(served.trl)
    with _documents_delivered(engine, store, reduction):
        connecting = _connect(experiment, reduction)
        asyncio.run_coroutine_threadsafe(connecting, engine.loop).result()
        with _watch(served, experiment.frames) as watch:
            raw_uid = _run(engine, experiment, reduction)
    file = experiment.detector.camera.last_file
    with h5py.File(file, "r", locking=False) as opened:
        written = np.asarray(opened[TIMESTAMPS][:], dtype=np.float64)
    return Taken(raw_uid, file, written, watch.latencies(written))


def report_of(taken: Taken, experiment: Experiment, store: Store, served: Served) -> Report:
    """Look the reduced run up through databroker, draw it, and account for every frame."""
    header = _finished_run(store, taken.raw_uid)
    accounts = header.stop["accounts"]
    workspace = store.readable[0]
    picture = workspace / "ringline-demo.png"
    report = Report(
        frames_seen=int(accounts["frames_seen"]),
        frames_reduced=int(accounts["frames_reduced"]),
        frames_dropped=int(accounts["frames_dropped"]),
        frames_failed=int(accounts["frames_failed"]),
        frame_rate_hz=round(taken.rate, 2),
        raw_uid=taken.raw_uid,
        reduced_uid=str(header.start["uid"]),
        store=str(workspace),
        tango_host=served.tango_host,
        device=served.device,
        picture=str(picture),
        latency_p95_ms=taken.latency_p95_ms,
        causes=dict(accounts["causes"]),
    )
    _draw(taken, experiment, store, report)
    return report


def account_of(report: Report, experiment: Experiment) -> str:
    """The report for people."""
    lines = [
        (
            f"Ringline reduced {report.frames_reduced} of {report.frames_seen} frames "
            f"({experiment.sample}) at {report.frame_rate_hz:.1f} Hz"
        ),
        f"  failed   {report.frames_failed}",
        *(f"             {count} x {cause}" for cause, count in report.causes.items()),
        f"  dropped  {report.frames_dropped}",
        f"  latency  {report.latency_p95_ms} ms from frame written to curve on Tango (95 %)",
        f"  picture  {report.picture}",
        f"  store    {report.store}",
        f"  raw run  {report.raw_uid}",
        f"  reduced  {report.reduced_uid}",
        f"  device   {report.device} (again with: ringline serve --directory '{report.store}')",
    ]
    return "\n".join(lines)


@contextmanager
def _documents_delivered(
    engine: RunEngine, store: Store, reduction: ReductionDevice
) -> Iterator[None]:
    """Documents go to the raw catalogue, and have arrived there and at the reducer at the end."""
    writer = StoreWriter(store.raw, readable=store.readable)
    engine.subscribe(writer)  # type: ignore[no-untyped-call]
    try:
        yield
    except BaseException:
        # The end of the run is still told; the store must not be closed under a writer.
        reduction.forwarder.close(ENDING_LIMIT)
        with suppress(Exception):
            writer.close(ENDING_LIMIT)
        raise
    writer.close()
    if not reduction.forwarder.close():
        raise RecipeError(f"the server takes no documents: {reduction.forwarder.last_error}")


async def _connect(experiment: Experiment, reduction: ReductionDevice) -> None:
    await experiment.detector.connect()
    await reduction.connect()
    # Whole: settings that an earlier run left memorized have no part in it.
    await reduction.configure({"recipe": experiment.recipe.to_mapping()})


def _run(engine: RunEngine, experiment: Experiment, reduction: ReductionDevice) -> str:
    plan = reduce_fly(
        experiment.detector,
        reduction,
        frames=experiment.frames,
        rate=experiment.rate,
        md={"sample": {"name": experiment.sample}},
    )
    try:
        with redirect_stdout(io.StringIO()):  # where a RunEngine says that it halts
            (raw_uid,) = cast("tuple[str]", engine(plan))
    except BaseException:
        if not engine.state.is_idle:
            with redirect_stdout(io.StringIO()):
                engine.halt()  # type: ignore[no-untyped-call]
        raise
    finally:
        experiment.detector.camera.stop()
    return raw_uid


@contextmanager
def _watch(served: Served, frames: int) -> Iterator[CurveWatch]:
    """A watch on the curve, with a progress bar."""
    with tqdm(total=frames, unit="frame", desc="reduced", file=sys.stderr) as bar:

        def advance(reduced: int) -> None:
            # Counts of an earlier run are still shown when the device is subscribed to.
            bar.update(max(0, min(reduced, frames) - bar.n))

        watch = CurveWatch(served.trl, advance)
        try:
            yield watch
        finally:
            watch.close()


def _finished_run(store: Store, raw_uid: str) -> Any:
    """The header of the reduced run, when its stop document is in the store."""
    deadline = time.monotonic() + STORE_LIMIT
    while time.monotonic() < deadline:
        for header in find_reduced_headers(store.broker(), raw_uid=raw_uid):
            if header.stop:
                return header
        time.sleep(0.1)
    raise RecipeError(
        f"no finished reduced run of {raw_uid} in the store after {STORE_LIMIT:g} s: "
        f"see the logs in {store.readable[0]}"
    )


def _draw(taken: Taken, experiment: Experiment, store: Store, report: Report) -> None:
    (run,) = find_reduced(store, raw_uid=taken.raw_uid)
    curves = read_curves(run)
    with open_frames(taken.file, IMAGES) as frames:
        assert curves.frame_index is not None  # a row a frame: only sums have none
        newest = int(curves.frame_index[-1])
        image = frames.read(newest, newest + 1)[0]
    given = experiment.recipe.corrections.mask
    mask = None if given is None else given.values.astype(bool)
    picture = Picture(
        image=image,
        mask=mask,
        geometry=experiment.recipe.geometry,
        curves=curves,
        powders=experiment.powders,
        title="Ringline",
        subtitle=f"{experiment.sample}: {report.frames_seen} frames seen, "
        f"{report.frames_reduced} reduced, {report.frames_dropped} dropped, "
        f"{report.frames_failed} failed, {report.frame_rate_hz:.1f} Hz",
    )
    draw(picture, Path(report.picture))
