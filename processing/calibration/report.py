"""A calibration in words, for terminals."""

from collections.abc import Iterator

import numpy as np

from ringline.processing.calibration.parameters import parameters_of
from ringline.processing.calibration.result import Calibration, FittedRing, Verdict

_MOST_RINGS = 40


def report_of(calibration: Calibration) -> str:
    """A table of the parameters with their errors, the rings, and the verdict with its checks."""
    task = calibration.task
    title = f"{task.calibrant.name} on {task.detector.name}, {task.energy_kev:.7g} keV"
    return "\n".join([title, *_parameters(calibration), *_rings(calibration), *_verdict(
        calibration.verdict)])  # fmt: skip


def reasons_of(verdict: Verdict) -> list[str]:
    """Why a calibration was rejected, a line each."""
    return [f"{check.name}: {check.words}" for check in verdict.checks if not check.passed]


def _parameters(calibration: Calibration) -> Iterator[str]:
    refined = calibration.task.refined
    for found in parameters_of(calibration):
        fixed = found.name in calibration.task.fixed or found.name == "rot3"
        note = "  (fixed)" if fixed and found.name not in refined else ""
        yield f"  {found.name:<10}  {found.words} {found.unit}{note}"


def _rings(calibration: Calibration) -> Iterator[str]:
    if not calibration.rings:
        return
    yield "  ring        d (angstrom)  2theta (deg)  points  coverage  residual ± scatter (mdeg)"
    for ring in calibration.rings[:_MOST_RINGS]:
        angle = np.rad2deg(ring.two_theta)
        yield (
            f"  {_name(ring):<10}  {1e10 * ring.spacing:>12.5f}  {angle:>12.4f}"
            f"  {ring.points:>6d}  {ring.coverage:>8.0%}{_residual(ring)}"
        )
    if (more := len(calibration.rings) - _MOST_RINGS) > 0:
        yield f"  and {more} more rings"


def _name(ring: FittedRing) -> str:
    if ring.indices is None:
        return "-"
    plain = all(0 <= index <= 9 for index in ring.indices)
    return ("" if plain else " ").join(str(index) for index in ring.indices)


def _residual(ring: FittedRing) -> str:
    if not ring.points:
        return ""
    residual, scatter = (1e3 * np.rad2deg(value) for value in (ring.residual, ring.scatter))
    return f"  {residual:>+8.2f} ± {scatter:.2f}"


def _verdict(verdict: Verdict) -> Iterator[str]:
    yield "accepted" if verdict.accepted else "rejected"
    for check in verdict.checks:
        yield f"  {'ok ' if check.passed else 'NOT'}  {check.name}: {check.words}"
