"""``ringline integrate``: images to curves, from the command line."""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from ringline.processing.binning import Cake
from ringline.processing.command_line import DONE, Command
from ringline.processing.errors import FrameError, RecipeError
from ringline.processing.frames import Block, Frame
from ringline.processing.image_files import ImageFile, Monitors, count_frames
from ringline.processing.integrate_options import add_arguments, recipes_of
from ringline.processing.moving import MovingReduction, with_range_of_all
from ringline.processing.moving_options import FramePositions, goniometer_of
from ringline.processing.multi_geometry import MultiGeometry
from ringline.processing.recipe import Recipe
from ringline.processing.reduction import Reduction, reduction_for
from ringline.processing.result_file import ResultRow, replacing_result_file
from ringline.processing.result_layout import Maker
from ringline.processing.sums import Sums
from ringline.processing.xy import write_xy

_BLOCK = 16


@dataclass(frozen=True, slots=True)
class _Reduced:
    """A frame, or several merged ones."""

    by: Reduction | MultiGeometry
    """What made the sums."""
    sums: Sums
    monitor: float
    """Of the (first) frame."""
    positions: tuple[float, ...] = ()
    """Of the motors of a moving detector."""


def run(options: argparse.Namespace) -> int:
    """Integrate; a file of several frames gives as many rows (.h5) or numbered files (.xy)."""
    output = Path(options.output)
    if output.suffix not in (".h5", ".xy"):
        raise RecipeError(f"output must end in .h5 or .xy, got {output}")
    if not output.parent.is_dir():
        raise RecipeError(f"output folder {output.parent} does not exist")
    recipes = recipes_of(options)
    if output.suffix == ".xy" and isinstance(recipes[0].binning, Cake):
        raise RecipeError(f"{output}: a cake cannot be written as .xy: use .h5")
    files = [ImageFile.parse(text) for text in options.images]
    monitors = Monitors.parse(options.monitor_data)
    maker: Maker
    if options.goniometer is not None:
        maker, total, found = _moving(files, recipes[0], monitors, options)
    elif options.merge:
        maker, total, found = _merged(files, recipes, monitors, options.engine)
    else:
        maker, total, found = _single(files, recipes[0], monitors, options.engine)
    shown = tqdm(found, total=total, unit="frame", disable=None, leave=False)
    rows = (_row(number, one) for number, one in enumerate(shown))
    if output.suffix == ".h5":
        _write_h5(output, rows, maker)
    else:
        _write_xy_files(output, rows, maker, total)
    digest, engine = _provenance(maker)
    print(f"{output}: {total} {'curve' if options.merge else 'frame'}{'s' if total > 1 else ''}, "
          f"recipe {digest[:12]}, engine {engine}", file=sys.stderr)  # fmt: skip
    return DONE


def _single(
    files: Sequence[ImageFile], recipe: Recipe, monitors: Monitors, engine: str
) -> tuple[Reduction, int, Iterator[_Reduced]]:
    """All frames by one recipe; what does not fit is refused before anything is written."""
    reduction = reduction_for(recipe, engine)
    counts, shape = count_frames(files, recipe.shape)
    reduction.bind(shape)
    monitors.check(files, counts)
    return reduction, sum(counts), _each(files, reduction, monitors)


def _each(
    files: Sequence[ImageFile], reduction: Reduction, monitors: Monitors
) -> Iterator[_Reduced]:
    index = 0
    for file in files:
        with file.open() as frames:
            count = frames.frame_count()
            readings = monitors.read(file, index, count)
            for start in range(0, count, _BLOCK):
                stop = min(start + _BLOCK, count)
                part = readings[start:stop]
                # Nothing holds the block when the next one is read, into the same memory.
                found = reduction.map_block(Block(frames.read(start, stop), index, part))
                pairs = zip(found, part, strict=True)
                yield from (_Reduced(reduction, sums, reading) for sums, reading in pairs)
                index += stop - start


def _moving(
    files: Sequence[ImageFile], recipe: Recipe, monitors: Monitors, options: argparse.Namespace
) -> tuple[MovingReduction, int, Iterator[_Reduced]]:
    """Each frame where its motors had put the detector."""
    goniometer = goniometer_of(options)
    positions = FramePositions.parse(options.positions, goniometer.motion)
    counts, shape = count_frames(files, recipe.shape)
    recipe = recipe.with_shape(shape)
    for readings in (positions, monitors):
        readings.check(files, counts)
    places = positions.read_all(files, counts)
    if options.range_of_all:
        recipe = with_range_of_all(recipe, goniometer, places, options.engine)
    moving = MovingReduction(recipe, goniometer, options.engine)
    for where in places:
        moving.recipe_at(where)  # what has no geometry is refused before anything is written
    return moving, sum(counts), _each_where(files, moving, monitors, places)


def _each_where(
    files: Sequence[ImageFile],
    moving: MovingReduction,
    monitors: Monitors,
    places: Sequence[Mapping[str, float]],
) -> Iterator[_Reduced]:
    index = 0
    for file in files:
        with file.open() as frames:
            count = frames.frame_count()
            readings = monitors.read(file, index, count)
            for start, stop in _stretches(places[index : index + count]):
                where, part = places[index + start], readings[start:stop]
                reduction = moving.reduction_at(where)
                found = reduction.map_block(Block(frames.read(start, stop), index + start, part))
                for sums, reading in zip(found, part, strict=True):
                    yield _Reduced(reduction, sums, reading, tuple(where.values()))
            index += count


def _stretches(places: Sequence[Mapping[str, float]]) -> Iterator[tuple[int, int]]:
    """Neighbouring frames at one place, first and one past the last, in blocks."""
    start = 0
    for stop in range(1, len(places) + 1):
        if stop == len(places) or places[stop] != places[start] or stop - start == _BLOCK:
            yield start, stop
            start = stop


def _merged(
    files: Sequence[ImageFile], recipes: Sequence[Recipe], monitors: Monitors, engine: str
) -> tuple[MultiGeometry, int, Iterator[_Reduced]]:
    """A frame of each geometry to one curve: of each file, or of the one file."""
    found = [file.frames() for file in files]
    counts = [count for _, count in found]
    one_file = len(files) == 1 and counts[0] == len(recipes)
    if not one_file and (len(files) != len(recipes) or len(set(counts)) > 1):
        raise RecipeError(
            f"{len(recipes)} --poni to merge need as many files with equal numbers of frames, or "
            f"one file with as many frames: got {len(files)} files with {counts} frames"
        )
    shapes = [shape for shape, _ in found] * (len(recipes) if one_file else 1)
    known = [_of_shape(recipe, shape) for recipe, shape in zip(recipes, shapes, strict=True)]
    merged = MultiGeometry(known, engine)
    monitors.check(files, counts)
    if one_file:
        return merged, 1, _positions(files[0], merged, monitors)
    return merged, counts[0], _side_by_side(files, merged, monitors)


def _of_shape(recipe: Recipe, shape: tuple[int, int]) -> Recipe:
    if recipe.shape not in (None, shape):
        raise FrameError(f"an image has shape {shape}, its --poni and arrays have {recipe.shape}")
    return recipe.with_shape(shape)


def _positions(file: ImageFile, merged: MultiGeometry, monitors: Monitors) -> Iterator[_Reduced]:
    """The one curve of a file whose frames are the positions."""
    readings = monitors.read(file, 0, len(merged.recipes))
    with file.open() as frames:
        images = (frames.read(index, index + 1)[0] for index in range(frames.frame_count()))
        pairs = enumerate(zip(images, readings, strict=True))
        sums = merged.map([Frame(image, k, reading) for k, (image, reading) in pairs])
        yield _Reduced(merged, sums, readings[0])


def _side_by_side(
    files: Sequence[ImageFile], merged: MultiGeometry, monitors: Monitors
) -> Iterator[_Reduced]:
    """A curve of the first frame of each file, one of the second, ..."""
    sources = [file.open() for file in files]
    try:
        count = sources[0].frame_count()
        readings = [monitors.read(file, k * count, count) for k, file in enumerate(files)]
        for start in range(0, count, _BLOCK):
            stop = min(start + _BLOCK, count)
            blocks = [
                Block(source.read(start, stop), start, part[start:stop])
                for source, part in zip(sources, readings, strict=True)
            ]
            pairs = zip(merged.map_block(blocks), readings[0][start:stop], strict=True)
            yield from (_Reduced(merged, sums, reading) for sums, reading in pairs)
    finally:
        for source in sources:
            source.close()


def _row(number: int, found: _Reduced) -> ResultRow:
    profile = found.by.finish(found.sums)
    return ResultRow(
        profile,
        number,
        number + 1,
        monitor=found.monitor,
        epoch=profile.recipe_digest,
        rejected=found.sums.rejected,
        positions=found.positions,
    )


def _provenance(maker: Maker) -> tuple[str, str]:
    """Digest and engine."""
    if isinstance(maker, Reduction):
        return maker.recipe.digest, maker.engine
    made_by = maker if isinstance(maker, MovingReduction) else maker.reduction
    return maker.digest, made_by.engine


def _write_h5(output: Path, rows: Iterator[ResultRow], maker: Maker) -> None:
    with replacing_result_file(output, maker) as file:
        for row in rows:
            file.append([row])


def _write_xy_files(output: Path, rows: Iterator[ResultRow], maker: Maker, total: int) -> None:
    digits = len(str(total - 1))
    for row in rows:
        number = f"_{row.frame_index:0{digits}}" if total > 1 else ""
        write_xy(output.with_stem(output.stem + number), row.profile, _recipe_of(row, maker))


def _recipe_of(row: ResultRow, maker: Maker) -> Recipe | MultiGeometry:
    if isinstance(maker, MovingReduction):
        return maker.recipe_at(dict(zip(maker.motors, row.positions, strict=True)))
    return maker.recipe if isinstance(maker, Reduction) else maker


command = Command("integrate", "Integrate images to curves or cakes.", add_arguments, run)
