"""Calibration beside pyFAI's: one image of 4 megapixels, the same guess, the same run."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from pyFAI.calibrant import get_calibrant
from pyFAI.detectors import Detector as PyfaiDetector
from pyFAI.goniometer import SingleGeometry

from ringline.processing import Geometry, calibrant_named, detector_named
from ringline.processing.calibration import CalibrationTask, calibrate

from .calibration_cases import SEED, Kind, draw  # noqa: TID252
from .calibration_images import BAD_PIXELS, CalibrationImage, exposed  # noqa: TID252
from .powder_scene import beam_center  # noqa: TID252

ROUNDS = 3
RINGS = (2, 3, 4, 5, 6, 8, 10, 12)
"""How many pyFAI takes in each pass: with all of them at once it stays near the guess."""


def compare() -> None:
    """Print times and errors of both."""
    for bad_pixels in (0.0, BAD_PIXELS):
        made = reference_image(bad_pixels)
        print(f"\n{', '.join(made.labels)}, {100 * bad_pixels:g} % bad pixels\n")
        _race(made, guess_of(made.truth))


def guess_of(truth: Geometry) -> Geometry:
    """2 % too far, six pixels beside the beam's center, and not tilted."""
    slow, fast = beam_center(truth)
    return replace(
        truth,
        distance=1.02 * truth.distance,
        poni1=(slow + 6) * truth.detector.pixel1,
        poni2=(fast - 6) * truth.detector.pixel2,
        rot1=0.0,
        rot2=0.0,
    )


def _race(made: CalibrationImage, guess: Geometry) -> None:
    task = CalibrationTask(
        calibrant=calibrant_named(made.calibrant),
        detector=made.detector,
        wavelength=made.wavelength,
        guess=guess,
    )
    anywhere = replace(task, guess=None)
    contenders: Mapping[str, Callable[[], Geometry | None]] = {
        "pyFAI, from the guess": lambda: by_pyfai(made, guess),
        "Ringline, from the guess": lambda: calibrate(made.image, task).geometry,
        "Ringline, without a guess": lambda: calibrate(made.image, anywhere).geometry,
    }
    calibrate(made.image, task)  # compiles
    times: dict[str, list[float]] = {name: [] for name in contenders}
    found: dict[str, Geometry | None] = {}
    for _ in range(ROUNDS):
        for name, call in contenders.items():
            start = time.perf_counter()
            found[name] = call()
            times[name].append(time.perf_counter() - start)
    print("| | s | times faster | distance off | center off, pixels | rotations off, mrad |")
    print("| --- | --- | --- | --- | --- | --- |")
    print(f"| the guess | | | {_off(guess, made.truth)} |")
    (peer, *_) = times.values()
    for name, seconds in times.items():
        ratio = statistics.median(a / b for a, b in zip(peer, seconds, strict=True))
        median = statistics.median(seconds)
        print(f"| {name} | {median:.2f} | {ratio:.1f} | {_off(found[name], made.truth)} |")


def reference_image(bad_pixels: float) -> CalibrationImage:
    """CeO2 on an Eiger2 4M that is hardly tilted, as pyFAI's way needs it.

    Hot pixels lead its picking astray, and tilts of some degrees its first passes.
    """
    kind = Kind(
        detector=detector_named("Eiger2 4M"),
        calibrant="CeO2",
        tilt=(0.3, 0.6),
        center="on",
        light="high",
        textured=False,
        grainy=False,
        broadened=False,
    )
    case = draw(kind, 5000)
    geometry, mean = case.scene.geometry, case.scene.mean_image()
    random = np.random.default_rng([SEED, 7])
    return CalibrationImage(
        image=exposed(random, mean, case.readout, geometry.detector, bad_pixels),
        detector=geometry.detector,
        wavelength=geometry.wavelength,
        calibrant="CeO2",
        truth=geometry,
        kind="reference",
        labels=case.labels,
        seed=5000,
    )


def by_pyfai(made: CalibrationImage, guess: Geometry) -> Geometry:
    """Peaks picked and geometry refined by pyFAI, again and again with more rings."""
    detector = made.detector
    calibrant = get_calibrant(made.calibrant)
    calibrant.wavelength = made.wavelength
    mask = detector.built_in_mask()
    theirs = PyfaiDetector(detector.pixel1, detector.pixel2, max_shape=detector.known_shape)
    theirs.mask = np.zeros(detector.known_shape, np.int8) if mask is None else mask.astype(np.int8)
    values = {
        "dist": guess.distance,
        **{name: getattr(guess, name) for name in ("poni1", "poni2", "rot1", "rot2", "rot3")},
    }
    single = SingleGeometry(
        "image",
        image=made.image.astype(np.float64),
        calibrant=calibrant,
        detector=theirs,
        geometry={**values, "wavelength": made.wavelength},
    )
    for rings in RINGS:
        single.extract_cp(max_rings=rings)
        single.geometry_refinement.refine3(fix=["rot3", "wavelength"])
    found = single.geometry_refinement
    return replace(
        guess,
        distance=float(found.dist),
        poni1=float(found.poni1),
        poni2=float(found.poni2),
        rot1=float(found.rot1),
        rot2=float(found.rot2),
    )


def _off(found: Geometry | None, truth: Geometry) -> str:
    if found is None:
        return "no geometry | |"
    away = np.subtract(beam_center(found), beam_center(truth))
    turned = max(abs(found.rot1 - truth.rot1), abs(found.rot2 - truth.rot2))
    distance = abs(found.distance / truth.distance - 1)
    return f"{distance:.1e} | {np.abs(away).max():.3f} | {1e3 * turned:.3f}"
