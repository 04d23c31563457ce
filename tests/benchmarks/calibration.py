"""Does calibration find what is known? 200 synthetic images, 50 spoiled ones, and pyFAI beside it.

``python tests/benchmarks/calibration.py`` calibrates all without a guess and prints how many are
solved, how far off the worst are, whether stated errors are right, and what failed and why.
``--synthetic 20 --spoiled 10`` is quicker, ``--jobs 2`` uses two processes, ``--number 17`` looks
at single ones. ``--against-pyfai`` compares with pyFAI from the same guess on 4 megapixels.
"""

import argparse
import multiprocessing
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

# Run by its path, this is no part of a package; its neighbours are.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from ringline.processing import RecipeError, calibrant_named
from ringline.processing.calibration import Calibration, CalibrationTask, calibrate
from tests.benchmarks.calibration_cases import TOLERANCES
from tests.benchmarks.calibration_images import (
    SPOILED,
    SYNTHETIC,
    CalibrationImage,
    spoiled_image,
    synthetic_image,
)
from tests.benchmarks.calibration_limits import PARAMETERS
from tests.benchmarks.calibration_peer import compare
from tests.benchmarks.powder_scene import beam_center


@dataclass(frozen=True)
class Outcome:
    """What calibration made of one image."""

    kind: str
    number: int
    labels: tuple[str, ...]
    accepted: bool
    words: str
    seconds: float
    off: dict[str, float] = field(default_factory=dict)
    """Distance from the truth in units of ``TOLERANCES``; empty without a geometry."""
    pulls: dict[str, float] = field(default_factory=dict)
    """Difference from the truth over the stated error, by parameter."""
    tightness: dict[str, float] = field(default_factory=dict)
    """Stated error over the least that is possible, by parameter."""

    @property
    def right(self) -> bool:
        """Whether all is within its tolerance."""
        return bool(self.off) and max(self.off.values()) <= 1


def attempt(kind: str, number: int) -> Outcome:
    """Calibrate one image without a guess."""
    made = synthetic_image(number) if kind == "synthetic" else spoiled_image(number)
    task = CalibrationTask(
        calibrant=calibrant_named(made.calibrant),
        detector=made.detector,
        wavelength=made.wavelength,
    )
    start = time.perf_counter()
    try:
        result = calibrate(made.image, task)
    except RecipeError as error:
        words, spent = f"refused: {error}", time.perf_counter() - start
        return Outcome(made.kind, number, made.labels, accepted=False, words=words, seconds=spent)
    spent = time.perf_counter() - start
    return Outcome(
        made.kind,
        number,
        made.labels,
        accepted=result.verdict.accepted,
        words=result.verdict.words,
        seconds=spent,
        off=off(result, made),
        pulls=pulls(result, made),
        tightness={
            name: error / made.attainable[name]
            for name, error in result.errors.items()
            if name in made.attainable
        },
    )


def off(result: Calibration, made: CalibrationImage) -> dict[str, float]:
    """How far from the truth, in units of what is tolerated."""
    if result.geometry is None:
        return {}
    found, truth = result.geometry, made.truth
    away = np.subtract(beam_center(found), beam_center(truth))
    values = {
        "distance": found.distance / truth.distance - 1,
        "center": float(np.abs(away).max()),
        "rot1": found.rot1 - truth.rot1,
        "rot2": found.rot2 - truth.rot2,
    }
    return {name: abs(value) / TOLERANCES[name] for name, value in values.items()}


def pulls(result: Calibration, made: CalibrationImage) -> dict[str, float]:
    """How far from the truth, in units of what the result says its errors are."""
    return {
        name: (getattr(result.geometry, name) - getattr(made.truth, name)) / error
        for name, error in result.errors.items()
        if result.geometry is not None and error > 0
    }


def outcomes(cases: Sequence[tuple[str, int]], jobs: int) -> Iterator[Outcome]:
    """One after the other, or in several processes."""
    if jobs == 1:
        yield from (attempt(*case) for case in cases)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        yield from pool.map(attempt, *zip(*cases, strict=True))


def report_synthetic(found: Sequence[Outcome]) -> None:
    """Tables of what could be solved."""
    solved = [each for each in found if each.accepted and each.right]
    print(f"\nsolved {len(solved)} of {len(found)}: {100 * len(solved) / len(found):.1f} %")
    wrong = [each for each in found if each.accepted and not each.right]
    missed = [each for each in found if not each.accepted and each.right]
    print(f"accepted and wrong {len(wrong)}, right and rejected {len(missed)}")
    print("\n| solved | median error | worst | tolerance |\n| --- | --- | --- | --- |")
    for name, bound in TOLERANCES.items():
        values = np.array([each.off[name] for each in solved]) * bound
        if values.size:
            print(f"| {name} | {np.median(values):.2g} | {values.max():.2g} | {bound:g} |")
    print("\n| pull | mean | standard deviation | robust | worst | stated / least error |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in PARAMETERS:
        values = np.array([each.pulls[name] for each in solved if name in each.pulls])
        ratios = [each.tightness[name] for each in solved if name in each.tightness]
        if values.size:
            robust = 1.4826 * np.median(np.abs(values - np.median(values)))
            print(
                f"| {name} | {values.mean():+.2f} | {values.std():.2f} | {robust:.2f} "
                f"| {np.abs(values).max():.1f} | {np.median(ratios):.2f} |"
            )
    report_times(found)
    report_labels(found)
    for each in found:
        if not (each.accepted and each.right):
            print(f"\n{describe(each)}\n  {each.words}")


def report_labels(found: Sequence[Outcome]) -> None:
    """How many are solved of each kind."""
    labels = sorted({label for each in found for label in each.labels})
    print("\n| of | images | solved |\n| --- | --- | --- |")
    for label in labels:
        those = [each for each in found if label in each.labels]
        print(f"| {label} | {len(those)} | {sum(e.accepted and e.right for e in those)} |")


def report_spoiled(found: Sequence[Outcome]) -> None:
    """What was said of images that must not be accepted."""
    accepted = [each for each in found if each.accepted]
    print(f"\nspoiled: accepted {len(accepted)} of {len(found)}")
    report_times(found)
    for each in found:
        print(f"{describe(each)}\n  {each.words}")


def report_times(found: Sequence[Outcome]) -> None:
    """Seconds an image."""
    seconds = np.array([each.seconds for each in found])
    print(f"\nseconds an image: median {np.median(seconds):.2f}, worst {seconds.max():.2f}")


def describe(each: Outcome) -> str:
    """One line of what it was and how far it went."""
    far = ", ".join(f"{name} {value:.2g}" for name, value in each.off.items())
    state = "ACCEPTED" if each.accepted else "rejected"
    away = f"; off by tolerances: {far}" if far else "; no geometry"
    return f"{each.kind} {each.number}, {', '.join(each.labels)}: {state}{away}"


def some(total: int, count: int) -> list[int]:
    """So many numbers spread over all."""
    return [number * total // count for number in range(count)]


def main() -> None:
    parser = argparse.ArgumentParser(description="Calibrate images of known geometry.")
    parser.add_argument("--synthetic", type=int, default=SYNTHETIC, help="how many, up to 200")
    parser.add_argument("--spoiled", type=int, default=SPOILED, help="how many, up to 50")
    parser.add_argument("--number", type=int, nargs="*", help="these synthetic ones and no others")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--against-pyfai", action="store_true", help="compare with pyFAI instead")
    given = parser.parse_args()
    if given.against_pyfai:
        compare()
        return
    good, bad = some(SYNTHETIC, given.synthetic), some(SPOILED, given.spoiled)
    if given.number is not None:
        good, bad = given.number, []
    cases = [("synthetic", number) for number in good] + [("spoiled", number) for number in bad]
    found = []
    for each in outcomes(cases, given.jobs):
        found.append(each)
        print(f"{each.seconds:6.2f} s  {describe(each)}", flush=True)
    if synthetic := [each for each in found if each.kind == "synthetic"]:
        report_synthetic(synthetic)
    if spoiled := [each for each in found if each.kind != "synthetic"]:
        report_spoiled(spoiled)


if __name__ == "__main__":
    main()
