"""``ringline separate``: Bragg peaks and smooth signal of images, from the command line."""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
from tqdm import tqdm

from ringline.processing.binning import Azimuthal
from ringline.processing.command_line import DONE, Command
from ringline.processing.errors import RecipeError
from ringline.processing.files import replacement
from ringline.processing.frames import Frame
from ringline.processing.image_files import ImageFile, Monitors, count_frames
from ringline.processing.integrate_options import add_arguments, recipes_of
from ringline.processing.outliers import QuantileRange
from ringline.processing.recipe import Recipe
from ringline.processing.reduction import Reduction, reduction_for
from ringline.processing.separation import Separation, separate

_IMAGES = {
    "smooth": "smooth signal, counts",
    "bragg": "what is above or below it, counts",
    "spots": "1 where clipping found a pixel too bright",
}


def run(options: argparse.Namespace) -> int:
    """Write smooth signal, Bragg peaks and spots of each frame to an HDF5 file."""
    output = Path(options.output)
    if output.suffix != ".h5":
        raise RecipeError(f"output must end in .h5, got {output}")
    if not output.parent.is_dir():
        raise RecipeError(f"output folder {output.parent} does not exist")
    if options.merge:
        raise RecipeError("--merge makes one curve: images are separated one by one")
    recipe = _recipe(options)
    files = [ImageFile.parse(text) for text in options.images]
    monitors = Monitors.parse(options.monitor_data)
    reduction = reduction_for(recipe, options.engine)
    counts, shape = count_frames(files, recipe.shape)
    reduction.bind(shape)
    monitors.check(files, counts)
    total = sum(counts)
    frames = tqdm(_frames(files, monitors), total=total, unit="frame", disable=None, leave=False)
    with replacement(output) as temporary, h5py.File(temporary, "w") as file:
        spots = _write(file, (total, *shape), frames, reduction)
    print(f"{output}: {total} frame{'s' if total > 1 else ''}, {spots} spotty pixels, recipe "
          f"{recipe.digest[:12]}", file=sys.stderr)  # fmt: skip
    return DONE


def _recipe(options: argparse.Namespace) -> Recipe:
    """The recipe; without a word on outliers the smooth signal is the median of each ring."""
    recipe = recipes_of(options)[0]
    if isinstance(recipe.binning, Azimuthal):
        raise RecipeError("--azimuthal: the smooth signal is that along rings or in a cake")
    return recipe if recipe.outliers else replace(recipe, outliers=QuantileRange())


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


def _write(
    file: h5py.File, shape: tuple[int, int, int], frames: Iterator[Frame], reduction: Reduction
) -> int:
    """Write the file; how many spotty pixels there are."""
    file.attrs["default"] = "entry"
    entry = _group(file, "entry", "NXentry")
    entry.attrs["default"] = "separation"
    data = _group(entry, "separation", "NXdata")
    data.attrs.update({"signal": "bragg", "auxiliary_signals": ["smooth", "spots"]})
    for name, title in _IMAGES.items():
        kind = np.uint8 if name == "spots" else np.float32
        data.create_dataset(
            name, shape, kind, chunks=(1, *shape[1:]), compression=hdf5plugin.Bitshuffle()
        )
        data[name].attrs["long_name"] = title
    process = _group(entry, "process", "NXprocess")
    process["program"], process["version"] = "ringline", version("ringline")
    process["date"] = datetime.now(UTC).isoformat()
    process["recipe"], process["recipe_digest"] = (
        reduction.recipe.to_json(), reduction.recipe.digest,
    )  # fmt: skip
    spots = 0
    for index, frame in enumerate(frames):
        found = separate(reduction, frame)
        spots += _put(data, index, found)
    return spots


def _put(data: h5py.Group, index: int, found: Separation) -> int:
    data["smooth"][index] = found.smooth
    data["bragg"][index] = found.bragg
    data["spots"][index] = found.spots
    return int(found.spots.sum())


def _group(parent: h5py.Group, name: str, nx_class: str) -> h5py.Group:
    group = parent.create_group(name)
    group.attrs["NX_class"] = nx_class
    return group


command = Command(
    "separate", "Tell Bragg peaks from the smooth signal of images.", add_arguments, run
)
