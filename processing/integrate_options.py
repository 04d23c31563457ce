"""The options of ``ringline integrate``, and the recipes that they make."""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from ringline.processing.binning import Azimuthal, Binning, Cake, Edges, Radial, Range
from ringline.processing.corrections import ARRAYS, Corrections
from ringline.processing.errors import RecipeError
from ringline.processing.geometry import Geometry
from ringline.processing.moving_options import (
    MOVING,
    add_moving,
    check_moving_options,
    geometry_of,
)
from ringline.processing.outliers import Outliers, QuantileRange, SigmaClip
from ringline.processing.poni import read_poni
from ringline.processing.recipe import COEFFICIENTS, ERROR_MODELS, SPLITTINGS, Recipe
from ringline.processing.recipe_reading import read_recipe
from ringline.processing.reduction import ENGINES
from ringline.processing.units import AZIMUTHAL_UNITS, RADIAL_UNITS, UNITS

_BINS = 1000
_BESIDE_A_RECIPE = ("images", "output", "engine", "recipe", "monitor_data", *MOVING)
_WHAT = {
    "mask": "left out where not 0",
    "dark": "subtracted",
    "flat": "divided by",
    "dark_variance": "the dark's variance",
    "variance": "each pixel's variance, for --error variance",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``ringline integrate``."""
    add = parser.add_argument
    add("images", nargs="+", metavar="IMAGE", help="image file; FILE::DATASET for HDF5")
    add("--poni", action="append", default=[], metavar="FILE",
        help="geometry; several times with --merge")  # fmt: skip
    add("--recipe", metavar="FILE", help="a whole recipe (TOML) instead of all that make one")
    add("--merge", action="store_true",
        help="one curve of several geometries: as many --poni as image files, or as frames in "
        "the one file")  # fmt: skip
    add("--orientation", type=int, metavar="1-4", help="of the image (default: the PONI's)")
    add_moving(parser.add_argument_group("a detector that moves"))
    _add_binning(parser.add_argument_group("what to plot against"))
    _add_corrections(parser.add_argument_group("corrections"))
    method = parser.add_argument_group("method").add_argument
    method("--split", default="bbox", metavar="S", help=f"one of {', '.join(SPLITTINGS)}")
    method("--error", default="none", metavar="M", help=f"one of {', '.join(ERROR_MODELS)}")
    method("--coefficients", default="exact", metavar="C",
           help=f"one of {', '.join(COEFFICIENTS)}")  # fmt: skip
    clip, part = SigmaClip(), QuantileRange()
    method("--sigma-clip", nargs="?", type=float, const=clip.threshold, metavar="THRESHOLD",
           help="leave out of each ring what is farther from its mean, in standard deviations "
           f"(default: {clip.threshold:g})")  # fmt: skip
    method("--iterations", type=int, metavar="N",
           help=f"of --sigma-clip, at most (default: {clip.iterations})")  # fmt: skip
    method("--quantiles", nargs=2, type=float, metavar=("LO", "HI"),
           help="average of each ring only what lies between, "
           f"{part.low:g} {part.high:g}: the median")  # fmt: skip
    method("--engine", default="auto", metavar="E", help=f"auto, {', '.join(ENGINES)}")
    add("-o", "--output", required=True, metavar="OUT", help="OUT.h5 (NeXus) or OUT.xy (text)")


def _add_binning(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--bins", type=int, metavar="N",
        help=f"bins of a curve, radial bins of a cake (default: {_BINS})")  # fmt: skip
    add("--cake", type=int, nargs="?", const=0, metavar="N",
        help="azimuthal bins (or --azimuth-edges): a cake instead of a curve")  # fmt: skip
    add("--azimuthal", type=int, nargs="?", const=0, metavar="N",
        help="azimuthal bins (or --edges): intensity against the azimuth")  # fmt: skip
    add("--unit", metavar="U",
        help=f"of the axis: one of {', '.join(UNITS)} (default: {RADIAL_UNITS[0]}), or "
        f"'formula: ...'; with --azimuthal {' or '.join(AZIMUTHAL_UNITS)}")  # fmt: skip
    add("--radial-unit", metavar="U",
        help=f"of --range with --azimuthal (default: {RADIAL_UNITS[0]})")  # fmt: skip
    add("--range", nargs=2, type=float, metavar=("LO", "HI"), help="radial range, in the unit")
    add("--azimuth-range", nargs=2, type=float, metavar=("LO", "HI"), help="degrees")
    for name, what in (("edges", "the axis"), ("azimuth-edges", "the azimuth of a cake, degrees")):
        add(f"--{name}", metavar="FILE|LIST",
            help=f"edges of the bins of {what}: .npy, text, or --{name}=0,1.5,4")  # fmt: skip


def _add_corrections(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    for name in ARRAYS:
        add(f"--{name.replace('_', '-')}", metavar="FILE", action="append", default=[],
            help=f"image that is {_WHAT[name]}; FILE::DATASET for HDF5; with several --poni "
            "one for all or one for each")  # fmt: skip
    add("--polarization", type=float, metavar="X", help="factor from -1 to 1 (default: none)")
    add("--polarization-axis", type=float, default=0.0, metavar="DEG",
        help="of the beam's polarization, from the horizontal (default: 0)")  # fmt: skip
    add("--no-solid-angle", action="store_true", help="leave the solid angle in")
    add("--absorption", action="store_true", help="divide by what the sensor absorbs")
    add("--monitor", type=float, metavar="REFERENCE",
        help="normalize to this reading of the beam monitor; needs --monitor-data")  # fmt: skip
    add("--monitor-data", metavar="DATASET",
        help="the monitor, a number for each frame: a dataset in the image's HDF5 file, or "
        "FILE::DATASET for the frames of all images in order")  # fmt: skip
    add("--scale", type=float, default=1.0, metavar="X", help="of the intensity (default: 1)")
    add("--saturation", type=float, metavar="X", help="values from it on count nowhere")
    add("--dummy", type=float, metavar="X", help="values that count nowhere")
    add("--delta-dummy", type=float, default=0.0, metavar="X",
        help="how far from --dummy a value still means it (default: 0)")  # fmt: skip


def recipes_of(options: argparse.Namespace) -> list[Recipe]:
    """One recipe for each ``--poni``, or that of ``--recipe``.

    Raises
    ------
    RecipeError:
        Options that do not fit together, or a value out of its bounds.
    """
    check_moving_options(options)
    recipes = [_whole(options)] if options.recipe is not None else _made(options)
    if recipes[0].corrections.monitor is not None and options.monitor_data is None:
        raise RecipeError("--monitor needs the reading of each frame: give --monitor-data DATASET")
    return recipes


def _whole(options: argparse.Namespace) -> Recipe:
    """The recipe of a file, which leaves nothing to other options."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    others = [
        f"--{name.replace('_', '-')}"
        for name, value in vars(parser.parse_args(["image", "-o", "output"])).items()
        if name not in _BESIDE_A_RECIPE and getattr(options, name) != value
    ]
    if others:
        raise RecipeError(f"--recipe says all about the curve: leave out {', '.join(others)}")
    return read_recipe(options.recipe)


def _made(options: argparse.Namespace) -> list[Recipe]:
    if options.goniometer is not None:
        return [_recipe(options, geometry_of(options), 0)]
    if not options.poni:
        raise RecipeError(
            "the geometry is missing: give --poni FILE, or --recipe FILE, or --goniometer FILE"
        )
    if options.merge != (len(options.poni) > 1):
        raise RecipeError(
            f"--merge needs several --poni, and these need it: got {len(options.poni)} --poni"
        )
    return [
        _recipe(options, _geometry(path, options.orientation), number)
        for number, path in enumerate(options.poni)
    ]


def _recipe(options: argparse.Namespace, geometry: Geometry, number: int) -> Recipe:
    return Recipe(
        geometry=geometry,
        binning=_binning(options),
        splitting=options.split,
        error_model=options.error,
        coefficients=options.coefficients,
        outliers=_outliers(options),
        corrections=_corrections(options, number),
    )


def _geometry(path: str, orientation: int | None) -> Geometry:
    geometry = read_poni(path)
    if orientation is None:
        return geometry
    return replace(geometry, detector=replace(geometry.detector, orientation=orientation))


def _binning(options: argparse.Namespace) -> Binning:
    radial, azimuth = _range(options.range), _range(options.azimuth_range)
    edges, azimuth_edges = _edges(options.edges), _edges(options.azimuth_edges)
    if azimuth_edges is not None and options.cake is None:
        raise RecipeError("--azimuth-edges are those of --cake: give --edges for --azimuthal")
    if options.azimuthal is not None:
        if options.cake is not None or options.bins is not None:
            raise RecipeError("--azimuthal excludes --cake and --bins: it gives the bins itself")
        unit = "chi_deg" if options.unit is None else options.unit
        if unit not in AZIMUTHAL_UNITS:
            raise RecipeError(
                f"--unit must be {' or '.join(AZIMUTHAL_UNITS)} with --azimuthal, got {unit!r}: "
                "give the unit of --range as --radial-unit"
            )
        radial_unit = options.radial_unit or RADIAL_UNITS[0]
        return Azimuthal(options.azimuthal, unit, radial, azimuth, radial_unit, edges)
    if options.radial_unit is not None:
        raise RecipeError("--radial-unit belongs to --azimuthal: give --unit")
    unit = options.unit or RADIAL_UNITS[0]
    bins = options.bins if options.bins is not None else 0 if edges else _BINS
    if options.cake is not None:
        return Cake(bins, options.cake, unit, radial, azimuth, edges, azimuth_edges)
    return Radial(bins, unit, radial, azimuth, edges)


def _range(given: list[float] | None) -> Range | None:
    return None if given is None else (given[0], given[1])


def _edges(given: str | None) -> Edges | None:
    """Numbers separated by commas, or those in a file: .npy, or text of any layout."""
    if given is None:
        return None
    try:
        return tuple(float(word) for word in given.split(","))
    except ValueError:
        path = Path(given)
    try:
        values = np.load(path, allow_pickle=False) if path.suffix == ".npy" else np.loadtxt(path)
    except (OSError, ValueError) as error:
        raise RecipeError(f"edges {given}: no list of numbers and no file of them: {error}") from (
            error
        )
    return tuple(float(value) for value in values.ravel())


def _outliers(options: argparse.Namespace) -> Outliers | None:
    if options.sigma_clip is not None and options.quantiles is not None:
        raise RecipeError("--sigma-clip and --quantiles exclude each other: give one of them")
    if options.iterations is not None and options.sigma_clip is None:
        raise RecipeError("--iterations are those of --sigma-clip: give it too")
    if options.quantiles is not None:
        return QuantileRange(*options.quantiles)
    if options.sigma_clip is None:
        return None
    most = SigmaClip().iterations if options.iterations is None else options.iterations
    return SigmaClip(options.sigma_clip, most)


def _corrections(options: argparse.Namespace, number: int) -> Corrections:
    return Corrections(
        **{name: _one_of(name, options, number) for name in ARRAYS},
        polarization=options.polarization,
        polarization_axis=options.polarization_axis,
        solid_angle=not options.no_solid_angle,
        absorption=options.absorption,
        monitor=options.monitor,
        scale=options.scale,
        saturation=options.saturation,
        dummy=options.dummy,
        delta_dummy=options.delta_dummy,
    )


def _one_of(name: str, options: argparse.Namespace, number: int) -> str | None:
    """The file of an array for a geometry: there is none, one for all, or one for each."""
    paths: list[str] = getattr(options, name)
    if len(paths) not in (0, 1, max(1, len(options.poni))):
        word = f"--{name.replace('_', '-')}"
        raise RecipeError(
            f"{word} must be given once, or once for each --poni, got {len(paths)} "
            f"for {len(options.poni)}"
        )
    return None if not paths else paths[0] if len(paths) == 1 else paths[number]
