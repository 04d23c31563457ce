"""``ringline separate``: Bragg peaks and smooth signal of images, from the command line."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ringline.processing.command_line import DONE, Command
from ringline.processing.errors import RecipeError
from ringline.processing.frames import Frame
from ringline.processing.image_files import ImageFile, Monitors, count_frames
from ringline.processing.integrate_options import add_arguments, recipes_of
from ringline.processing.reduction import reduction_for
from ringline.processing.separation import separating
from ringline.processing.separation_file import write_separations


def run(options: argparse.Namespace) -> int:
    """Write smooth signal, Bragg peaks and spots of each frame to an HDF5 file."""
    output = Path(options.output)
    if output.suffix != ".h5":
        raise RecipeError(f"output must end in .h5, got {output}")
    if not output.parent.is_dir():
        raise RecipeError(f"output folder {output.parent} does not exist")
    if options.merge:
        raise RecipeError("--merge makes one curve: images are separated one by one")
    if options.goniometer is not None:
        raise RecipeError("--goniometer makes curves: images are separated with one --poni")
    recipe = separating(recipes_of(options)[0])
    files = [ImageFile.parse(text) for text in options.images]
    monitors = Monitors.parse(options.monitor_data)
    reduction = reduction_for(recipe, options.engine)
    counts, shape = count_frames(files, recipe.shape)
    reduction.bind(shape)
    monitors.check(files, counts)
    total = sum(counts)
    frames = tqdm(_frames(files, monitors), total=total, unit="frame", disable=None, leave=False)
    spots = write_separations(output, reduction, frames, (total, *shape))
    print(f"{output}: {total} frame{'s' if total > 1 else ''}, {spots} spotty pixels, recipe "
          f"{recipe.digest[:12]}", file=sys.stderr)  # fmt: skip
    return DONE


def _frames(files: list[ImageFile], monitors: Monitors) -> Iterator[Frame]:
    index = 0
    for file in files:
        with file.open() as source:
            count = source.frame_count()
            readings = monitors.read(file, index, count)
            for number in range(count):
                reading = readings[number] if np.isfinite(readings[number]) else None
                yield Frame(source.read(number, number + 1)[0], index, reading)
                index += 1


command = Command(
    "separate", "Tell Bragg peaks from the smooth signal of images.", add_arguments, run
)
