"""The cases of ``ringline benchmark`` that run in its own process."""

import itertools
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np

from ringline.processing.benchmark_peer import Peer
from ringline.processing.benchmark_scene import SCENES, Scene, moved
from ringline.processing.benchmark_timing import Contender, Times, median_ms, memory_reader, race
from ringline.processing.benchmark_timing import ratio as ratio_of
from ringline.processing.frames import Frame, open_frames
from ringline.processing.outliers import SigmaClip
from ringline.processing.recipe import Recipe
from ringline.processing.reduction import Reduction, reduction_for

DATASET = "entry/data/data"
OURS, PEER, MEMORY = "ringline", "pyFAI", "memory"


@dataclass(frozen=True)
class Settings:
    """What is measured, and how."""

    peer: bool
    rounds: int
    frames: int
    """In a block, and in a file."""
    scene: Scene


@dataclass(frozen=True, kw_only=True)
class Row:
    """What came out for one setting. Times are medians, ms for each frame."""

    case: str
    title: str
    ours: float
    peer: float | None = None
    ratio: float | None = None
    """Median over the rounds of pyFAI's time / ours."""
    goal: float | None = None
    """For the ratio."""
    difference: float | None = None
    """Largest difference of the two intensities, relative."""
    deviation: float | None = None
    """The same in standard errors."""
    floor: float | None = None
    """Time to read the frame's bytes from memory / ours."""
    extra: dict[str, float] = field(default_factory=dict)


def compare(
    row: Row, settings: Settings, own: Contender, other: Contender, memory: Contender | None = None
) -> Row:
    """Time two contenders in turn, and fill in a row; without a peer only ours."""
    contenders = {OURS: own}
    if settings.peer:
        contenders[PEER] = other
    if memory is not None:
        contenders[MEMORY] = memory
    times = race(contenders, settings.rounds)
    return filled(row, times)


def filled(row: Row, times: Times) -> Row:
    """A row with what the times say."""
    row = replace(row, ours=median_ms(times[OURS]))
    if PEER in times:
        row = replace(row, peer=median_ms(times[PEER]), ratio=ratio_of(times, PEER, OURS))
    if MEMORY in times:
        row = replace(row, floor=ratio_of(times, MEMORY, OURS))
    return row


def _empty(case: str, title: str, goal: float | None = None) -> Row:
    return Row(case=case, title=title, goal=goal, ours=0.0)


def _agreed(row: Row, reduction: Reduction, peer: Peer, settings: Settings) -> Row:
    """A row with how far the two results are apart, in bins that have a whole pixel at least."""
    if not settings.peer:
        return row
    image = settings.scene.frames(1)[0]
    sums, found = reduction.map(Frame(image)), peer.integrate(image)
    profile = reduction.finish(sums)
    if profile.sigma is None:
        raise AssertionError
    known = (sums.count >= 1) & (profile.sigma > 0) & np.isfinite(found.intensity)
    apart = np.abs(profile.intensity - found.intensity)[known]
    return replace(
        row,
        difference=float((apart / profile.intensity[known]).max(initial=0.0)),
        deviation=float((apart / profile.sigma[known]).max(initial=0.0)),
    )


def single(row: Row, settings: Settings, recipe: Recipe) -> Row:
    """One frame at a time."""
    frames = settings.scene.frames(min(settings.frames, 4))
    reduction, peer = reduction_for(recipe), Peer(recipe)
    row = _agreed(row, reduction, peer, settings)
    return compare(
        row,
        settings,
        Contender(lambda k: reduction.reduce(frames[k % len(frames)])),
        Contender(lambda k: peer.integrate(frames[k % len(frames)])),
    )


def block(row: Row, settings: Settings, recipe: Recipe, *, floor: bool = False) -> Row:
    """Several frames at once, against two workers."""
    frames = settings.scene.frames(settings.frames)
    reduction, peer = reduction_for(recipe), Peer(recipe)
    row = _agreed(row, reduction, peer, settings)
    memory = None
    if floor:
        read, size = memory_reader()
        memory = Contender(lambda _: read(), size / frames[0].nbytes)
    return compare(
        row,
        settings,
        Contender(lambda _: reduction.reduce_block(frames), len(frames)),
        Contender(lambda _: peer.integrate_block(frames), len(frames)),
        memory,
    )


def _one(case: str, settings: Settings) -> list[Row]:
    splitting, coefficients, goal, what = {
        "single-no": ("no", "exact", 25, "no split"),
        "single-full": ("full", "exact", 10, "full split, exact coefficients"),
        "single-compact": ("full", "compact", 15, "full split, compact coefficients"),
    }[case]
    row = _empty(case, f"one frame, {what}", goal)
    return [single(row, settings, settings.scene.recipe(splitting, coefficients))]


def _block(case: str, settings: Settings) -> list[Row]:
    splitting, goal = {"block-no": ("no", 40), "block-full": ("full", 20)}[case]
    row = _empty(case, f"{settings.frames} frames at once, {splitting} split", goal)
    return [block(row, settings, settings.scene.recipe(splitting), floor=splitting == "no")]


def _cake(case: str, settings: Settings) -> list[Row]:
    splitting, goal = {"cake-no": ("no", 15), "cake-full": ("full", 6)}[case]
    row = _empty(case, f"1000 x 360 bins, {splitting} split", goal)
    return [single(row, settings, settings.scene.recipe(splitting, sectors=360))]


def _sigma_clip(case: str, settings: Settings) -> list[Row]:
    row = _empty(case, "sigma clipping, 5 iterations", 8)
    recipe = replace(settings.scene.recipe("no"), outliers=SigmaClip(5, 5))
    return [single(row, settings, recipe)]


def _file(case: str, settings: Settings) -> list[Row]:
    """A file of frames to their curves, as ``ringline integrate`` reads it."""
    frames, recipe = settings.scene.frames(settings.frames), settings.scene.recipe("no")
    count = 16 * len(frames)
    reduction, peer = reduction_for(recipe), Peer(recipe)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frames.h5"
        with h5py.File(path, "w") as file:
            chunks, filters = (1, *frames.shape[1:]), hdf5plugin.Bitshuffle(cname="lz4")
            shape = (count, *frames.shape[1:])
            data = file.create_dataset(DATASET, shape, frames.dtype, chunks=chunks, **filters)
            for index in range(count):
                data[index] = frames[index % len(frames)]

        def reduce_file(_: int) -> None:
            with open_frames(path, DATASET) as source:
                for start in range(0, count, 16):
                    reduction.reduce_block(source.read(start, min(start + 16, count)))

        row = _empty(case, f"bitshuffle-LZ4 HDF5 file of {count} frames to curves", 8)
        row = _agreed(row, reduction, peer, settings)
        bits = 8 * path.stat().st_size / (count * frames[0].size)
        row = replace(row, extra={"bits_per_pixel": bits})
        return [
            compare(
                row,
                settings,
                Contender(reduce_file, count),
                Contender(lambda _: peer.integrate_file(path, DATASET), count),
            )
        ]


def _setup(case: str, settings: Settings) -> list[Row]:
    """From a recipe to its first curve, in this process."""
    recipe, image = settings.scene.recipe("full"), settings.scene.frames(1)[0]
    ours, theirs = itertools.count(), itertools.count()
    return [
        compare(
            _empty(case, "setup and first curve, full split", 1),
            settings,
            Contender(lambda _: reduction_for(moved(recipe, next(ours))).reduce(image)),
            Contender(lambda _: Peer(moved(recipe, next(theirs))).integrate(image)),
        )
    ]


def _detectors(case: str, settings: Settings) -> list[Row]:
    """Other detectors."""
    rows = []
    for name in ("Pilatus 1M", "Eiger 16M"):
        known = replace(settings, scene=SCENES[name])
        for splitting in ("no", "full"):
            recipe = known.scene.recipe(splitting)
            title = f"{name}, {splitting} split"
            rows.append(single(_empty(case, f"{title}, one frame"), known, recipe))
            rows.append(block(_empty(case, f"{title}, block"), known, recipe))
        del known.scene.__dict__["_frames"]
    return rows


def _bins(case: str, settings: Settings) -> list[Row]:
    """Cost against the number of bins."""
    rows = []
    for splitting, bins in itertools.product(("no", "full"), (100, 300, 1000, 3000, 10_000)):
        recipe = settings.scene.recipe(splitting, bins=bins)
        for what, measure in (("one frame", single), ("block", block)):
            row = replace(_empty(case, f"{bins} bins, {splitting} split, {what}"),
                          extra={"bins": bins})  # fmt: skip
            rows.append(measure(row, replace(settings, peer=False), recipe))
    return rows


def _frames(case: str, settings: Settings) -> list[Row]:
    """Cost against the number of frames in a block."""
    rows = []
    for splitting, count in itertools.product(("no", "full"), (1, 2, 4, 5, 8, 16, 32)):
        row = replace(_empty(case, f"{count} frames at once, {splitting} split"),
                      extra={"frames": count})  # fmt: skip
        known = replace(settings, peer=False, frames=count)
        rows.append(block(row, known, settings.scene.recipe(splitting)))
    return rows


CASES: dict[str, Callable[[str, Settings], list[Row]]] = {
    "single-no": _one,
    "single-full": _one,
    "single-compact": _one,
    "block-no": _block,
    "block-full": _block,
    "cake-no": _cake,
    "cake-full": _cake,
    "sigma-clip": _sigma_clip,
    "file": _file,
    "setup": _setup,
    "detectors": _detectors,
    "bins": _bins,
    "frames": _frames,
}
