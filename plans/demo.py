"""`ringline demo`: the whole chain in one folder, from detector frames to curves in the store."""

import argparse
import json
import logging
import sys
import warnings
from dataclasses import asdict, replace
from pathlib import Path

from ringline.callbacks import Workspace, open_store
from ringline.plans.demo_run import Experiment, account_of, report_of, take_frames
from ringline.plans.exposures import SimulatedExposures
from ringline.plans.served_system import Ended, ServedSystem, ending_on_signals
from ringline.plans.simulated_detector import PlaybackDetector, SimulatedDetector, demo_scene
from ringline.processing import (
    SPLITTINGS,
    Corrections,
    Geometry,
    Radial,
    Recipe,
    RecipeError,
    calibrant_named,
    read_poni,
)
from ringline.processing.checks import require_choice
from ringline.processing.command_line import DONE, Command

_SERVE = ("--monitor", "detector-monitor")
"""Options of ``ringline serve``: which reading of the detector is the beam monitor."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``ringline demo``."""
    add = parser.add_argument
    add("--directory", type=Path, default=Path("ringline-demo"), metavar="D",
        help="folder for everything (default: ./ringline-demo)")  # fmt: skip
    add("--frames", type=int, default=150, metavar="N", help="frames to take (default: 150)")
    add("--rate", type=float, default=25.0, metavar="HZ", help="frames a second (default: 25)")
    add("--image", type=Path, nargs="+", metavar="FILE",
        help="play image files back instead of simulating; needs --poni")  # fmt: skip
    add("--poni", type=Path, metavar="FILE", help="geometry of the images")
    add("--mask", type=Path, metavar="FILE", help="mask of the images")
    add("--orientation", type=int, metavar="1-4", help="of the images (default: the PONI's)")
    add(
        "--calibrant",
        metavar="NAME",
        help="rings to draw: LaB6, CeO2, Si, ... or a .D file",
    )
    add("--bins", type=int, default=500, metavar="N", help="radial bins (default: 500)")
    add("--split", default="bbox", metavar="S",
        help=f"one of {', '.join(SPLITTINGS)} (default: bbox)")  # fmt: skip
    add("--size", type=int, default=512, metavar="PIXELS",
        help="edge of the simulated detector, up to 2048 (default: 512)")  # fmt: skip
    add("--bad-frames", type=int, default=0, metavar="N",
        help="make N frames unreadable: they end as failed, the others as reduced")  # fmt: skip
    add("--json", action="store_true", help="print one JSON object as the last line")


def run(options: argparse.Namespace) -> int:
    """Run the demo."""
    _check(options)
    workspace = Workspace(options.directory.absolute()).create()
    _quiet()
    try:
        with ending_on_signals() as check_ended, ServedSystem(workspace, _SERVE) as system:
            # All this while the services start.
            experiment = _experiment(options, workspace)
            with open_store(workspace) as store:
                served = system.wait_until_ready()
                check_ended()
                taken = take_frames(experiment, store, served)
                report = report_of(taken, experiment, store, served)
    except Ended as ended:
        print(f"ringline demo: {ended}", file=sys.stderr)
        return 128 + ended.number
    print(account_of(report, experiment))
    if options.json:
        print(json.dumps(asdict(report)))
    return DONE


command = Command("demo", "show the whole chain in one folder, on simulated or given frames",
                  add_arguments, run)  # fmt: skip


def _quiet() -> None:
    """Of what other libraries say on stderr, leave what someone can act on."""
    warnings.simplefilter("ignore", DeprecationWarning)
    logging.disable(logging.INFO)
    # The RunEngine logs the traceback of every plan that ends early, and raises it as well.
    logging.getLogger("bluesky").setLevel(logging.CRITICAL)


def _check(options: argparse.Namespace) -> None:
    for name, value, low, high in (
        ("--frames", options.frames, 1, 1_000_000),
        ("--bins", options.bins, 1, 100_000),
        ("--size", options.size, 64, 2048),
        ("--bad-frames", options.bad_frames, 0, options.frames),
    ):
        if not low <= value <= high:
            raise RecipeError(f"{name} must be from {low} to {high}, got {value}")
    if not 0 < options.rate <= 1000:
        raise RecipeError(f"--rate must be > 0 and <= 1000 Hz, got {options.rate:g}")
    require_choice("splitting", options.split, SPLITTINGS)
    if bool(options.image) != bool(options.poni):
        raise RecipeError("--image and --poni belong together: give both or none")
    if options.calibrant:
        calibrant_named(options.calibrant)


def _experiment(options: argparse.Namespace, workspace: Workspace) -> Experiment:
    step = options.frames // (options.bad_frames + 1)
    unreadable = {step * (number + 1) for number in range(options.bad_frames)}
    if options.image:
        return _playback(options, workspace, unreadable)
    scene = demo_scene(shape=(options.size, options.size))
    exposures = SimulatedExposures(scene, evolution=options.frames)
    detector = SimulatedDetector(workspace.raw, exposures, unreadable=unreadable)
    corrections = Corrections(mask=str(detector.mask_file), polarization=scene.polarization)
    return Experiment(
        detector=detector,
        recipe=_recipe(options, read_poni(detector.poni_file), corrections),
        powders=scene.powders,
        sample="LaB6 in which CeO2 grows",
        frames=options.frames,
        rate=options.rate,
    )


def _playback(
    options: argparse.Namespace, workspace: Workspace, unreadable: set[int]
) -> Experiment:
    images = [path.absolute() for path in options.image]
    geometry = read_poni(options.poni)
    if options.orientation is not None:
        stored = replace(geometry.detector, orientation=options.orientation)
        geometry = replace(geometry, detector=stored)
    mask = str(options.mask.absolute()) if options.mask else None
    return Experiment(
        detector=PlaybackDetector(workspace.raw, images, unreadable=unreadable),
        recipe=_recipe(options, geometry, Corrections(mask=mask)),
        powders=(calibrant_named(options.calibrant),) if options.calibrant else (),
        sample=images[0].stem,
        frames=options.frames,
        rate=options.rate,
    )


def _recipe(options: argparse.Namespace, geometry: Geometry, corrections: Corrections) -> Recipe:
    return Recipe(
        geometry=geometry,
        binning=Radial(options.bins, unit="q_nm^-1"),
        splitting=options.split,
        error_model="poisson",
        corrections=corrections,
    )
