"""``ringline average``: many frames to one dark or flat, from the command line."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tqdm import tqdm

from ringline.processing.arrays import InputArray, input_array
from ringline.processing.average_file import (
    AVERAGE_SUFFIXES,
    IMAGE_SUFFIXES,
    AveragedFile,
    Origin,
    write_average,
    write_image,
)
from ringline.processing.averaging import (
    Average,
    average,
    frames_of,
    normalized,
    subtract_dark,
)
from ringline.processing.averaging_settings import (
    METHODS,
    Averaging,
    ClippedMean,
    Mean,
    Median,
    Method,
)
from ringline.processing.checks import require_choice, require_positive
from ringline.processing.command_line import DONE, Command
from ringline.processing.errors import FrameError, RecipeError
from ringline.processing.frames import open_frames
from ringline.processing.types import ImageArray


@dataclass(frozen=True, slots=True)
class _Files:
    """The files on the command line that can be opened, all of one shape."""

    files: tuple[AveragedFile, ...]
    shape: tuple[int, int]

    @property
    def frames(self) -> int:
        return sum(file.frames for file in self.files)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``ringline average``."""
    add = parser.add_argument
    add("images", nargs="+", metavar="IMAGE", help="frames; FILE::DATASET for HDF5")
    add("--method", default="sigma_clip", metavar="M", help=f"one of {', '.join(METHODS)}")
    clip = ClippedMean()
    add("--threshold", type=float, metavar="X",
        help=f"of sigma_clip, standard deviations (default: {clip.threshold:g})")  # fmt: skip
    add("--iterations", type=int, metavar="N",
        help=f"of sigma_clip, at most (default: {clip.iterations})")  # fmt: skip
    add("--floor", type=float, metavar="X",
        help="of sigma_clip, smallest standard deviation (default: 1 for integers)")  # fmt: skip
    add("--minimum", type=float, metavar="X", help="values below it do not count")
    add("--saturation", type=float, metavar="X",
        help="values from it on do not count (default: the largest of an integer)")  # fmt: skip
    add("--mask", metavar="FILE", help="image: left out where not 0")
    add("--dark", metavar="FILE", help="image: subtracted from the average")
    add("--as-flat", action="store_true", help="divide the average by its mean")
    add("--skip-bad", action="store_true", help="leave out what cannot be read, and name it")
    add("--memory", type=float, default=256, metavar="MIB", help="for frames (default: 256)")
    add("--scratch", metavar="FOLDER", help="for what exceeds it (default: that of the output)")
    add("--variance", metavar="FILE", help="image file for the variance of the average")
    add("-o", "--output", required=True, metavar="OUT",
        help="OUT.h5 (NeXus, all that is known) or OUT.npy, .tif, .edf (image)")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Average all frames of all files into one image."""
    output = _output(options.output, AVERAGE_SUFFIXES)
    variance = None if options.variance is None else _output(options.variance, IMAGE_SUFFIXES)
    if variance == output:
        raise RecipeError(f"output and variance are the same file, {output}")
    settings = _settings(options, output)
    arrays = _arrays(options)
    skipped: list[str] | None = [] if options.skip_bad else None
    files = _check(options.images, skipped)
    for file in files.files:
        for target in (output, variance):
            if target is not None and target.exists() and target.samefile(file.path):
                raise RecipeError(f"{target} is an image to average: it would be replaced")
    for name, array in arrays.items():
        if array.values.shape != files.shape:
            raise RecipeError(f"{name}: shape {array.values.shape}, the frames have {files.shape}")
    result = _average(files, settings, arrays, skipped)
    if "dark" in arrays:
        result = subtract_dark(result, arrays["dark"])
    if options.as_flat:
        result = normalized(result)
    if output.suffix == ".h5":
        origin = Origin(
            files=files.files,
            settings=settings,
            skipped=tuple(skipped or ()),
            arrays=arrays,
            is_flat=options.as_flat,
        )
        write_average(output, result, origin)
    else:
        write_image(output, result.data)
    if variance is not None:
        write_image(variance, result.variance)
    _report(output, result, settings, skipped)
    return DONE


def _output(text: str, suffixes: tuple[str, ...]) -> Path:
    path = Path(text)
    if path.suffix not in suffixes:
        raise RecipeError(f"output must end in {', '.join(suffixes)}, got {path}")
    if not path.parent.is_dir():
        raise RecipeError(f"output folder {path.parent} does not exist")
    return path


def _settings(options: argparse.Namespace, output: Path) -> Averaging:
    scratch = output.parent if options.scratch is None else Path(options.scratch)
    if not scratch.is_dir():
        raise RecipeError(f"scratch folder {scratch} does not exist")
    return Averaging(
        method=_method(options),
        minimum=options.minimum,
        saturation=options.saturation,
        memory=int(require_positive("memory", options.memory, "MiB") * (1 << 20)),
        scratch=scratch,
    )


def _method(options: argparse.Namespace) -> Method:
    name = require_choice("method", options.method, METHODS)
    given = {
        key: value
        for key in ("threshold", "iterations", "floor")
        if (value := getattr(options, key)) is not None
    }
    if name == ClippedMean.name:
        return ClippedMean(**given)
    for key in given:
        raise RecipeError(f"--{key} goes with the method sigma_clip, not with {name}")
    return Mean() if name == Mean.name else Median()


def _arrays(options: argparse.Namespace) -> dict[str, InputArray]:
    found = {name: input_array(name, getattr(options, name)) for name in ("mask", "dark")}
    return {name: array for name, array in found.items() if array is not None}


def _check(texts: Sequence[str], skipped: list[str] | None) -> _Files:
    """Refuse what does not fit before anything is read as a whole; count the frames."""
    files: list[AveragedFile] = []
    shape: tuple[int, int] | None = None
    for text in texts:
        name, _, dataset = text.partition("::")
        path = Path(name)
        try:
            with open_frames(path, dataset or None) as frames:
                if shape is None:
                    shape = frames.frame_shape
                if frames.frame_shape != shape:
                    expected = f"{files[0].path} has {shape}"
                    raise RecipeError(f"{path}: shape {frames.frame_shape}, {expected}")
                known = path.stat()
                count = frames.frame_count()
        except FrameError as error:
            if skipped is None:
                raise
            skipped.append(str(error))
            continue
        files.append(AveragedFile(path, dataset or None, count, known.st_size, known.st_mtime))
    if shape is None:
        raise FrameError(f"no file can be read: {(skipped or [''])[0]}")
    return _Files(tuple(files), shape)


def _average(
    files: _Files,
    settings: Averaging,
    arrays: dict[str, InputArray],
    skipped: list[str] | None,
) -> Average:
    bar = partial(tqdm, disable=None, leave=False)
    images = bar(_images(files, skipped), total=files.frames, unit="frame")
    progress = partial(bar, unit="block", desc=settings.method.name)
    return average(images, settings, mask=arrays.get("mask"), progress=progress)


def _images(files: _Files, skipped: list[str] | None) -> Iterator[ImageArray]:
    for file in files.files:
        with open_frames(file.path, file.dataset) as frames:
            yield from frames_of(frames, count=file.frames, skipped=skipped)


def _report(output: Path, result: Average, settings: Averaging, skipped: list[str] | None) -> None:
    for message in skipped or ():
        print(f"skipped: {' '.join(message.split())}", file=sys.stderr)
    parts = [f"{result.frames} frame{'' if result.frames == 1 else 's'}", settings.method.name]
    rejected, used = int(result.rejected.sum()), int(result.count.sum(dtype=int))
    if isinstance(settings.method, ClippedMean):
        share = rejected / max(1, rejected + used)
        parts.append(f"{rejected} values rejected ({share:.2g} of all)")
    if empty := int((result.count == 0).sum()):
        parts.append(f"{empty} pixels without a value")
    if skipped:
        parts.append(f"{len(skipped)} skipped")
    print(f"{output}: {', '.join(parts)}", file=sys.stderr)


command = Command(
    "average", "Average frames to a dark or flat, outliers rejected.", add_arguments, run
)
