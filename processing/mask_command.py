"""``ringline mask``: a mask of frames, from the command line."""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ringline.processing.arrays import InputArray, input_array
from ringline.processing.averaging import frames_of
from ringline.processing.checks import require_positive
from ringline.processing.command_line import DONE, Command
from ringline.processing.detector import Detector
from ringline.processing.detector_file import DETECTOR_FILES, read_detector_file
from ringline.processing.detector_table import detector_named
from ringline.processing.errors import RecipeError
from ringline.processing.geometry import Geometry
from ringline.processing.image_files import ImageFile, count_frames
from ringline.processing.mask_file import MASK_SUFFIXES, MaskOrigin, write_mask
from ringline.processing.mask_making import CAUSE_BITS, MadeMask, make_mask
from ringline.processing.mask_picture import write_picture
from ringline.processing.mask_settings import MaskSettings
from ringline.processing.poni import read_poni
from ringline.processing.types import ImageArray

_NUMBERS = {
    "false_positives": "good pixels that chance may mask, for each cause",
    "dead_below": "share of the expected counts below which a pixel is dead",
    "weak_below": "and below which it responds too little",
    "hot_above": "times the expected counts above which a pixel is hot",
    "noisy_above": "times the variance of photons above which it is noisy",
    "shadow_below": "share of the expected counts below which areas are shadows",
    "transient": "share of frames in which a good pixel may be bright",
    "polarization": "factor of the beam",
    "gain": "counts that a photon makes",
    "minimum": "values below it are none (default: 0 for signed integers)",
    "saturation": "values from it on are none (default: the largest of an integer)",
}
_WHOLE = {
    "shadow_area": "smallest shadow, pixels",
    "margin": "by how many pixels shadows are grown",
}


@dataclass(frozen=True, slots=True)
class _Inputs:
    """What stands on the command line, read and checked."""

    files: tuple[ImageFile, ...]
    counts: tuple[int, ...]
    place: Geometry | Detector | None
    dark: InputArray | None

    def images(self) -> Iterator[ImageArray]:
        for file, count in zip(self.files, self.counts, strict=True):
            with file.open() as source:
                yield from frames_of(source, count=count)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``ringline mask``."""
    add, default = parser.add_argument, MaskSettings()
    add("images", nargs="+", metavar="FILE", help="frames; FILE::DATASET for HDF5")
    add("--detector", metavar="NAME|FILE", help="its gaps are masked: a name, or a NeXus file")
    add("--poni", metavar="FILE", help="geometry: pixels are compared along rings")
    add("--dark", metavar="FILE", help="image: counts a frame without scattering")
    for names, kind in ((_NUMBERS, float), (_WHOLE, int)):
        for name, text in names.items():
            value = getattr(default, name)
            known = "" if value is None else f" (default: {value:g})"
            add(f"--{name.replace('_', '-')}", type=kind, metavar="X", help=text + known)
    add("--memory", type=float, default=256, metavar="MIB", help="for frames (default: 256)")
    add("--scratch", metavar="FOLDER", help="for what exceeds it (default: that of the output)")
    add("--picture", metavar="F.png", help="image with the mask over it, coloured by cause")
    add("-o", "--output", required=True, metavar="OUT",
        help="OUT.npy, .edf, .tif (1: masked) or OUT.h5 (NeXus, with the causes)")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Make one mask of all frames of all files."""
    output = _target("output", options.output, MASK_SUFFIXES)
    picture = None
    if options.picture is not None:
        picture = _target("picture", options.picture, (".png",))
    settings = _settings(options, output)
    inputs = _inputs(options)
    for file in inputs.files:
        for target in (output, picture):
            if target is not None and target.exists() and target.samefile(file.path):
                raise RecipeError(f"{target} is an image to make a mask of: it would be replaced")
    bar = partial(tqdm, disable=None, leave=False)
    made = make_mask(
        bar(inputs.images(), total=sum(inputs.counts), unit="frame"),
        settings,
        place=inputs.place,
        dark=inputs.dark,
        progress=partial(bar, unit="block"),
    )
    origin = MaskOrigin(
        files=tuple(_name(file) for file in inputs.files),
        settings=settings,
        place=options.poni or options.detector,
        dark=inputs.dark,
    )
    write_mask(output, made, origin)
    if picture is not None:
        write_picture(picture, made, f"{output.name}: {_summary(made)}")
    _report(output, made)
    return DONE


def _target(name: str, text: str, suffixes: tuple[str, ...]) -> Path:
    path = Path(text)
    if path.suffix not in suffixes:
        raise RecipeError(f"{name} must end in {', '.join(suffixes)}, got {path}")
    if not path.parent.is_dir():
        raise RecipeError(f"{name} folder {path.parent} does not exist")
    return path


def _settings(options: argparse.Namespace, output: Path) -> MaskSettings:
    scratch = output.parent if options.scratch is None else Path(options.scratch)
    if not scratch.is_dir():
        raise RecipeError(f"scratch folder {scratch} does not exist")
    given = {name: getattr(options, name) for name in (*_NUMBERS, *_WHOLE)}
    return MaskSettings(
        **{name: value for name, value in given.items() if value is not None},
        memory=int(require_positive("memory", options.memory, "MiB") * (1 << 20)),
        scratch=scratch,
    )


def _inputs(options: argparse.Namespace) -> _Inputs:
    """Refuse what does not fit before anything is read as a whole."""
    place = _place(options)
    dark = input_array("dark", options.dark)
    files = tuple(ImageFile.parse(text) for text in options.images)
    counts, shape = count_frames(files, None)
    detector = place.detector if isinstance(place, Geometry) else place
    for name, known in (
        ("detector", detector and detector.shape),
        ("dark", dark and dark.values.shape),
    ):
        if known not in (None, shape):
            raise RecipeError(f"{name}: shape {known}, {files[0].path} has {shape}")
    return _Inputs(files, tuple(counts), place, dark)


def _place(options: argparse.Namespace) -> Geometry | Detector | None:
    """The geometry, with the gaps of the detector that is named besides; or that alone."""
    detector = None if options.detector is None else _detector(options.detector)
    if options.poni is None:
        return detector
    geometry = read_poni(options.poni)
    if detector is None:
        return geometry
    own = geometry.detector
    if own.shape not in (None, detector.shape):
        raise RecipeError(
            f"detector {detector.name!r}: shape {detector.shape}, {options.poni} has {own.shape}"
        )
    mask = detector.built_in_mask()
    if own.mask is not None and mask is not None:
        mask = np.logical_or(mask, own.mask.values)
    return replace(geometry, detector=replace(own, shape=detector.shape, mask=mask))


def _detector(text: str) -> Detector:
    if Path(text).suffix in DETECTOR_FILES:
        return read_detector_file(text).detector
    return detector_named(text)


def _name(file: ImageFile) -> str:
    path = str(file.path.resolve())
    return path if file.dataset is None else f"{path}::{file.dataset}"


def _summary(made: MadeMask) -> str:
    masked = sum(made.counts.values())
    frames = f"{made.frames} frame{'' if made.frames == 1 else 's'}"
    return f"{frames}, {masked} of {made.gap.size} pixels masked"


def _report(output: Path, made: MadeMask) -> None:
    causes = ", ".join(f"{name} {made.counts[name]}" for name in CAUSE_BITS)
    print(f"{output}: {_summary(made)}: {causes}", file=sys.stderr)


command = Command("mask", "Find pixels that do not measure, from frames.", add_arguments, run)
