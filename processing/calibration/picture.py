"""A calibration as one picture, in which a person sees within seconds whether to trust it."""

import os
import textwrap
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec, GridSpecFromSubplotSpec
from matplotlib.patches import Rectangle

from ringline.processing.calibration.parameters import parameters_of
from ringline.processing.calibration.picture_panels import (
    FAINT,
    INK,
    View,
    draw_curve,
    draw_image,
    draw_residuals,
)
from ringline.processing.calibration.result import Calibration
from ringline.processing.calibration.task import CalibrationTask
from ringline.processing.files import replacement
from ringline.processing.types import ImageArray

ACCEPTED, REJECTED = "#1f8a4c", "#c1121f"
_LINE = 14.4
"""Height of a line of words, points."""
_RISE = 28.0
"""How far words begin above their panel, points: there is room under the labels of an axis."""
_LINES = 17
"""Of checks, that have room; where there are more they are smaller."""
_STYLE = {
    "font.size": 10.5,
    "font.family": "DejaVu Sans",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlesize": 11.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
}


def draw_calibration(
    path: str | os.PathLike[str], image: ImageArray, calibration: Calibration
) -> None:
    """Write the picture of a calibration as PNG, replacing a former file at once.

    A banner with the verdict; the image with the rings where the geometry puts them and the
    control points, colored by what is left of them; these residuals against azimuth (a wrong
    center or tilt makes waves) and 2theta (a wrong distance or wavelength makes a slope); the
    integrated curve with the calibrant's lines; parameters with their errors, and every check.
    Without a geometry: the image, and the reasons.

    Parameters
    ----------
    path:
        Of the file.
    image:
        That from which the calibration was made, shape (slow, fast).
    calibration:
        Accepted or not.

    Raises
    ------
    OSError:
        It cannot be written.
    """
    view = View(image, calibration)
    with mpl.rc_context(_STYLE):  # type: ignore[arg-type]
        figure = Figure(figsize=(16.0, 10.0), facecolor="white")
        FigureCanvasAgg(figure)
        _draw_banner(figure, calibration)
        grid = figure.add_gridspec(
            1, 2, width_ratios=(1.0, 1.12), left=0.045, right=0.985, top=0.86, bottom=0.07,
            wspace=0.27,
        )  # fmt: skip
        _draw_left(figure, grid, view)
        _draw_right(figure, grid, view)
        with replacement(Path(path)) as temporary:
            figure.savefig(temporary, dpi=110, format="png")


def _draw_banner(figure: Figure, calibration: Calibration) -> None:
    verdict, task = calibration.verdict, calibration.task
    color = ACCEPTED if verdict.accepted else REJECTED
    figure.add_artist(
        Rectangle((0, 0.915), 1, 0.085, transform=figure.transFigure, color=color, zorder=0)
    )
    figure.text(0.02, 0.957, "ACCEPTED" if verdict.accepted else "REJECTED", fontsize=25,
                weight="bold", color="white", va="center")  # fmt: skip
    lines = textwrap.wrap(_summary(calibration), 118)
    shown = lines if len(lines) <= 3 else [*lines[:2], lines[2] + " …"]
    figure.text(0.185, 0.957, "\n".join(shown), fontsize=12, color="white", va="center")
    about = (
        f"{task.calibrant.name} on {task.detector.name}, {task.energy_kev:.6g} keV, "
        f"image {calibration.image_sha256[:12]}"
    )
    if calibration.id:
        about += f", calibration {calibration.id[:12]}"
    figure.text(0.045, 0.892, about, fontsize=10, color=FAINT, va="center")


def _summary(calibration: Calibration) -> str:
    """What was found, or why it may not be used."""
    if not calibration.verdict.accepted:
        return calibration.verdict.words.partition(": ")[2]
    known = {found.name: found for found in parameters_of(calibration)}
    shown = [known[name] for name in ("distance", "beam slow", "beam fast") if name in known]
    return ",   ".join(f"{one.name} {one.words} {one.unit}" for one in shown)


def _draw_left(figure: Figure, grid: GridSpec, view: View) -> None:
    axes = figure.add_subplot(grid[0])
    draw_image(axes, view)
    if view.calibration.geometry is None:
        axes.set_title("Image as stored; no geometry was found")
        return
    axes.set_title("Image as stored, rings where the geometry puts them")
    axes.annotate(
        "rings not seen: grey\noutliers: x", (1.0, 0.0), (0, -18), xycoords="axes fraction",
        textcoords="offset points", fontsize=8.5, color=FAINT, ha="right", va="top",
        annotation_clip=False,
    )  # fmt: skip


def _draw_right(figure: Figure, grid: GridSpec, view: View) -> None:
    calibration = view.calibration
    points = calibration.points
    residuals = calibration.geometry is not None and points is not None and bool(points.used.any())
    heights = [1.1 if residuals else 0.0, 0.95 if calibration.curve.size else 0.0, 1.3]
    rows = [height for height in heights if height]
    right = grid[1].subgridspec(len(rows), 1, height_ratios=rows, hspace=0.58)
    place = iter(range(len(rows)))
    if residuals:
        _draw_residual_row(figure, right[next(place)].subgridspec(
            1, 2, width_ratios=(2.6, 1.0), wspace=0.04), view)  # fmt: skip
    if calibration.curve.size:
        axes = figure.add_subplot(right[next(place)])
        draw_curve(axes, calibration)
        axes.set_title("Integrated, with the calibrant's lines", pad=29)
    words = figure.add_subplot(right[next(place)])
    words.set_axis_off()
    words.set_anchor("N")
    _write_parameters(words, calibration)
    _write_checks(words, calibration)


def _draw_residual_row(figure: Figure, row: GridSpecFromSubplotSpec, view: View) -> None:
    azimuths = figure.add_subplot(row[0])
    angles = figure.add_subplot(row[1], sharey=azimuths)
    draw_residuals(azimuths, angles, view)
    azimuths.set_title("What is left, against azimuth; black: mean of each 10°")
    angles.set_title("of each ring")


def _write_parameters(axes: Axes, calibration: Calibration) -> None:
    parameters = parameters_of(calibration)
    rows = [(found.name, f"{found.words} {found.unit}") for found in parameters]
    for number, (name, words) in enumerate(rows or _asked(calibration.task)):
        _write(axes, (0.0, _LINE * number), name, color=FAINT)
        _write(axes, (0.145, _LINE * number), words)


def _write(
    axes: Axes, place: tuple[float, float], words: str, *, color: str = INK, size: float = 10.0
) -> None:
    """Words at a part of the panel's width and at points below its top."""
    axes.annotate(
        words, (place[0], 1.0), (0, _RISE - place[1]), xycoords="axes fraction",
        textcoords="offset points", fontsize=size, color=color, va="top", annotation_clip=False,
    )  # fmt: skip


def _asked(task: CalibrationTask) -> list[tuple[str, str]]:
    """What was looked for."""
    guess = "none"
    if task.guess is not None:
        guess = f"distance {1e3 * task.guess.distance:.5g} mm"
    slow, fast = task.detector.shape or (0, 0)
    pixels = f"{1e6 * task.detector.pixel1:g} x {1e6 * task.detector.pixel2:g} um"
    return [
        ("calibrant", task.calibrant.name),
        ("energy", f"{task.energy_kev:.7g} keV"),
        ("detector", f"{task.detector.name}, {slow} x {fast}"),
        ("pixels", pixels),
        ("guess", guess),
        ("fixed", ", ".join(sorted(task.fixed)) or "none"),
    ]


def _write_checks(axes: Axes, calibration: Calibration) -> None:
    checks = [(check, textwrap.wrap(check.words, 56)) for check in calibration.verdict.checks]
    number = sum(len(lines) for _, lines in checks)
    small = min(1.0, _LINES / max(1, number))
    below = 0.0
    for check, lines in checks:
        mark, color = ("✓", ACCEPTED) if check.passed else ("✗", REJECTED)
        _write(axes, (0.45, below), mark, color=color, size=9.6 * small)
        for words in lines:
            color = INK if check.passed else REJECTED
            _write(axes, (0.475, below), words, color=color, size=9.6 * small)
            below += 0.93 * _LINE * small
