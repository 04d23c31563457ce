"""``ringline integrate``: images to curves, from the command line."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from ringline.processing.binning import Cake, Radial
from ringline.processing.command_line import DONE, Command
from ringline.processing.corrections import Corrections
from ringline.processing.errors import FrameError, RecipeError
from ringline.processing.frames import Frame, FrameSource, open_frames
from ringline.processing.geometry import Geometry
from ringline.processing.poni import read_poni
from ringline.processing.recipe import ERROR_MODELS, SPLITTINGS, Recipe
from ringline.processing.reduction import ENGINES, Reduction, reduction_for
from ringline.processing.result_file import ResultRow, replacing_result_file
from ringline.processing.sums import Profile
from ringline.processing.units import UNITS
from ringline.processing.xy import write_xy

_BLOCK = 16


@dataclass(frozen=True, slots=True)
class _Image:
    """A file on the command line, ``PATH`` or ``PATH::DATASET``."""

    path: Path
    dataset: str | None

    def open(self) -> FrameSource:
        return open_frames(self.path, self.dataset)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``ringline integrate``."""
    add = parser.add_argument
    add("images", nargs="+", metavar="IMAGE", help="image file; FILE::DATASET for HDF5")
    add("--poni", required=True, metavar="FILE", help="geometry")
    for name, what in (
        ("mask", "left out where not 0"),
        ("dark", "subtracted"),
        ("flat", "divided by"),
    ):
        add(f"--{name}", metavar="FILE", help=f"image that is {what}; FILE::DATASET for HDF5")
    add("--polarization", type=float, metavar="X", help="factor from -1 to 1 (default: none)")
    add("--no-solid-angle", action="store_true", help="leave the solid angle in")
    add("--orientation", type=int, metavar="1-4", help="of the image (default: the PONI's)")
    add("--bins", type=int, default=1000, metavar="N", help="radial bins (default: 1000)")
    add("--unit", default="q_nm^-1", metavar="U", help=f"one of {', '.join(UNITS)}")
    add("--range", nargs=2, type=float, metavar=("LO", "HI"), help="radial range, in the unit")
    add("--azimuth-range", nargs=2, type=float, metavar=("LO", "HI"), help="degrees")
    add("--cake", type=int, metavar="N", help="azimuthal bins: a cake instead of a curve")
    add("--split", default="bbox", metavar="S", help=f"one of {', '.join(SPLITTINGS)}")
    add("--error", default="none", metavar="M", help=f"one of {', '.join(ERROR_MODELS)}")
    add("--engine", default="auto", metavar="E", help=f"auto, {', '.join(ENGINES)}")
    add("-o", "--output", required=True, metavar="OUT", help="OUT.h5 (NeXus) or OUT.xy (text)")


def run(options: argparse.Namespace) -> int:
    """Integrate; a file of several frames gives as many rows (.h5) or numbered files (.xy)."""
    output = Path(options.output)
    if output.suffix not in (".h5", ".xy"):
        raise RecipeError(f"output must end in .h5 or .xy, got {output}")
    if not output.parent.is_dir():
        raise RecipeError(f"output folder {output.parent} does not exist")
    recipe = _recipe(options)
    if output.suffix == ".xy" and isinstance(recipe.binning, Cake):
        raise RecipeError(f"{output}: a cake cannot be written as .xy: use .h5")
    reduction = reduction_for(recipe, options.engine)
    images = [_image(text) for text in options.images]
    total = _check(images, recipe, reduction)
    profiles = tqdm(
        _profiles(images, reduction), total=total, unit="frame", disable=None, leave=False
    )
    if output.suffix == ".h5":
        _write_h5(output, profiles, reduction)
    else:
        _write_xy_files(output, profiles, recipe, total)
    print(f"{output}: {total} frame{'s' if total > 1 else ''}, recipe {recipe.digest[:12]}, "
          f"engine {reduction.engine}", file=sys.stderr)  # fmt: skip
    return DONE


def _recipe(options: argparse.Namespace) -> Recipe:
    geometry = _geometry(options)
    radial_range = None if options.range is None else tuple(options.range)
    azimuth_range = None if options.azimuth_range is None else tuple(options.azimuth_range)
    binning = (
        Radial(options.bins, options.unit, radial_range, azimuth_range)
        if options.cake is None
        else Cake(options.bins, options.cake, options.unit, radial_range, azimuth_range)
    )
    corrections = Corrections(
        mask=options.mask,
        dark=options.dark,
        flat=options.flat,
        polarization=options.polarization,
        solid_angle=not options.no_solid_angle,
    )
    return Recipe(
        geometry=geometry,
        binning=binning,
        splitting=options.split,
        error_model=options.error,
        corrections=corrections,
    )


def _geometry(options: argparse.Namespace) -> Geometry:
    geometry = read_poni(options.poni)
    if options.orientation is None:
        return geometry
    return replace(geometry, detector=replace(geometry.detector, orientation=options.orientation))


def _image(text: str) -> _Image:
    path, _, dataset = text.partition("::")
    return _Image(Path(path), dataset or None)


def _check(images: Sequence[_Image], recipe: Recipe, reduction: Reduction) -> int:
    """Refuse what does not fit before anything is written; compile; count the frames."""
    total, shape = 0, recipe.shape
    for image in images:
        with image.open() as frames:
            if shape is None:
                shape = frames.frame_shape
            if frames.frame_shape != shape:
                by = "the recipe" if recipe.shape else f"{images[0].path}"
                raise FrameError(f"{image.path}: shape {frames.frame_shape}, {by} has {shape}")
            total += frames.frame_count()
            reduction.bind(frames.frame_shape)
    return total


def _profiles(images: Sequence[_Image], reduction: Reduction) -> Iterator[Profile]:
    index = 0
    for image in images:
        with image.open() as frames:
            count = frames.frame_count()
            for start in range(0, count, _BLOCK):
                for pixels in frames.read(start, min(start + _BLOCK, count)):
                    yield reduction.finish(reduction.map(Frame(pixels, index)))
                    index += 1


def _write_h5(output: Path, profiles: Iterator[Profile], reduction: Reduction) -> None:
    with replacing_result_file(output, reduction) as file:
        for index, profile in enumerate(profiles):
            file.append([ResultRow(profile, index, index + 1, epoch=profile.recipe_digest)])


def _write_xy_files(output: Path, profiles: Iterator[Profile], recipe: Recipe, total: int) -> None:
    digits = len(str(total - 1))
    for index, profile in enumerate(profiles):
        number = f"_{index:0{digits}}" if total > 1 else ""
        write_xy(output.with_stem(output.stem + number), profile, recipe)


command = Command("integrate", "Integrate images to curves or cakes.", add_arguments, run)
