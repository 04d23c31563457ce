"""The demo's picture: image with rings, curve with error band, all curves as a waterfall."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ringline.callbacks import Curves
from ringline.processing import Calibrant, Geometry, pixel_arrays
from ringline.processing.types import BoolArray, FloatArray, ImageArray

RING_COLORS = ("#7df9ff", "#9dff70")
TICK_COLORS = ("#0077b6", "#3a8f2d")
CURVE = "#c1121f"
INK = "#22303c"
_STYLE = {
    "font.size": 11,
    "font.family": "DejaVu Sans",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
}


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What is drawn."""

    image: ImageArray
    """The newest frame."""
    mask: BoolArray | None
    geometry: Geometry
    curves: Curves
    powders: Sequence[Calibrant]
    title: str
    subtitle: str


def draw(picture: Picture, path: Path) -> None:
    """Write the picture as PNG."""
    with mpl.rc_context(_STYLE):  # type: ignore[arg-type]
        figure = Figure(figsize=(15.0, 8.4), facecolor="white")
        FigureCanvasAgg(figure)
        grid = figure.add_gridspec(
            1, 2, width_ratios=(0.86, 1.24), left=0.05, right=0.985, top=0.865, bottom=0.075,
            wspace=0.13,
        )  # fmt: skip
        left = grid[0].subgridspec(2, 1, height_ratios=(4.6, 1.0), hspace=0.2)
        right = grid[1].subgridspec(2, 1, hspace=0.32)
        figure.text(0.05, 0.95, picture.title, fontsize=19, weight="bold")
        figure.text(0.05, 0.915, picture.subtitle, fontsize=11.5, color="#5c6b78")
        _draw_image(figure.add_subplot(left[0]), picture)
        curve = figure.add_subplot(right[0])
        _draw_curve(curve, picture)
        _draw_enlarged(figure.add_subplot(left[1]), curve, picture)
        _draw_waterfall(figure.add_subplot(right[1], sharex=curve), picture)
        figure.savefig(path, dpi=120)


def _draw_image(axes: Axes, picture: Picture) -> None:
    shown = np.asarray(picture.image, dtype=np.float64).copy()
    hidden = shown < 0 if picture.mask is None else picture.mask | (shown < 0)
    shown[hidden] = np.nan
    low, high = _limits(shown)
    colors = mpl.colormaps["inferno"].with_extremes(bad="#3d4651", under="#000004")
    axes.imshow(
        np.where(shown < low, low, shown), norm=LogNorm(low, high), cmap=colors,
        interpolation="nearest",
    )  # fmt: skip
    two_theta = pixel_arrays(picture.geometry.with_shape(shown.shape)).two_theta
    rows = np.arange(shown.shape[0])[:, None]
    center = int(np.argmin(two_theta) // shown.shape[1])
    # Rings on one half only: the other half shows how well they fit.
    half = np.where(rows >= center, two_theta, np.nan)
    for powder, color in zip(picture.powders, RING_COLORS, strict=False):
        angles = _ring_angles(powder, picture.geometry, float(two_theta.max()))
        if angles:
            axes.contour(half, levels=angles, colors=color, linewidths=0.9, alpha=0.85)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_anchor("N")
    axes.set_title("Newest frame, log scale; calculated rings on one half")


def _draw_curve(axes: Axes, picture: Picture) -> None:
    curves = picture.curves
    newest = _rows(curves)[-1]
    axis = curves.axis
    if curves.sigma is not None and curves.azimuth is None:
        sigma = 3.0 * curves.sigma[-1]
        low = np.maximum(newest - sigma, 1e-3 * np.nanmax(newest))
        axes.fill_between(
            axis, low, newest + sigma, color=CURVE, alpha=0.25, linewidth=0, label="± 3 sigma"
        )
    axes.plot(axis, newest, color=CURVE, linewidth=1.0, label="newest frame")
    top, bottom = _span(newest)
    axes.set_yscale("log")
    axes.set_ylim(bottom * 0.45, top * 1.9)
    for number, (powder, color) in enumerate(zip(picture.powders, TICK_COLORS, strict=False)):
        positions = _ring_positions(powder, picture)
        height = 0.035 + 0.05 * number
        axes.plot(
            positions, np.full(len(positions), height), "|", color=color, markersize=9,
            transform=axes.get_xaxis_transform(), label=powder.name,
        )  # fmt: skip
    axes.set_xlim(axis[0], axis[-1])
    axes.set_ylabel("intensity (counts per pixel)")
    axes.legend(loc="upper right", ncols=4, frameon=False, fontsize=10, columnspacing=1.2)
    axes.set_title("Its reduced curve, from the store")


def _draw_enlarged(axes: Axes, whole: Axes, picture: Picture) -> None:
    """A part of the curve, linear, in which the error band is seen."""
    curves, newest = picture.curves, _rows(picture.curves)[-1]
    part = _quiet_part(newest)
    axis, curve = curves.axis[part], newest[part]
    if curves.sigma is not None and curves.azimuth is None:
        sigma = curves.sigma[-1][part]
        axes.fill_between(
            axis, curve - 3 * sigma, curve + 3 * sigma, color=CURVE, alpha=0.25, linewidth=0
        )
    axes.plot(axis, curve, ".-", color=CURVE, linewidth=0.9, markersize=3)
    axes.set_xlim(axis[0], axis[-1])
    axes.margins(y=0.1)
    axes.set_xlabel(_axis_label(curves.unit))
    axes.set_title("A part of it, linear, ± 3 sigma")
    whole.axvspan(axis[0], axis[-1], color="#8795a1", alpha=0.22, linewidth=0)


def _quiet_part(curve: FloatArray) -> slice:
    """A small part of the curve, in its outer half, in which the strongest peak is weakest."""
    length = max(2, len(curve) // 32)
    starts = range(len(curve) // 2, max(len(curve) // 2 + 1, int(0.9 * len(curve)) - length))
    contrast = [np.ptp(np.nan_to_num(curve[start : start + length])) for start in starts]
    best = starts[int(np.argmin(contrast))]
    return slice(best, best + length)


def _draw_waterfall(axes: Axes, picture: Picture) -> None:
    curves = picture.curves
    rows = _rows(curves)
    low, high = _limits(rows, top=99.7)
    # Bin centers are uniform: the mesh is an image.
    step = 0.5 * (curves.axis[-1] - curves.axis[0]) / max(1, len(curves.axis) - 1)
    extent = (curves.axis[0] - step, curves.axis[-1] + step, -0.5, len(rows) - 0.5)
    mesh = axes.imshow(
        rows, norm=LogNorm(low, high), cmap="viridis", aspect="auto", origin="lower",
        extent=extent, interpolation="nearest",
    )  # fmt: skip
    axes.set_xlabel(_axis_label(curves.unit))
    axes.set_ylabel("frame")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title("All curves of the run")
    inset = axes.inset_axes((0.76, 1.035, 0.24, 0.035))
    bar = axes.figure.colorbar(mesh, cax=inset, orientation="horizontal")
    bar.ax.xaxis.set_ticks_position("top")
    bar.ax.tick_params(labelsize=8, length=2, pad=1)
    bar.ax.tick_params(which="minor", length=0, labeltop=False)


def _rows(curves: Curves) -> FloatArray:
    """One curve a frame; for cakes the mean over the azimuth."""
    if curves.azimuth is None:
        return curves.intensity
    filled = np.isfinite(curves.intensity)
    number = np.where(filled.any(axis=1), filled.sum(axis=1), np.nan)
    return np.asarray(np.where(filled, curves.intensity, 0.0).sum(axis=1) / number)


def _limits(values: FloatArray, top: float = 99.9) -> tuple[float, float]:
    positive = values[np.isfinite(values) & (values > 0)]
    if positive.size == 0:
        return 1.0, 10.0
    low, high = np.percentile(positive, (2.0, top))
    return float(low), float(max(high, 1.01 * low))


def _span(curve: FloatArray) -> tuple[float, float]:
    positive = curve[np.isfinite(curve) & (curve > 0)]
    return (float(positive.max()), float(positive.min())) if positive.size else (10.0, 1.0)


def _ring_angles(powder: Calibrant, geometry: Geometry, largest: float) -> list[float]:
    smallest = geometry.wavelength / (2 * np.sin(0.5 * largest))
    rings = powder.rings(smallest_spacing=float(smallest))
    strongest = max((ring.strength or 0.0 for ring in rings), default=0.0)
    return [
        float(2 * np.arcsin(geometry.wavelength / (2 * ring.spacing)))
        for ring in rings
        if ring.strength is None or ring.strength > 1e-3 * strongest
    ]


def _ring_positions(powder: Calibrant, picture: Picture) -> FloatArray:
    """Rings on the curve's axis."""
    two_theta = pixel_arrays(picture.geometry.with_shape(picture.image.shape)).two_theta
    angles = np.array(_ring_angles(powder, picture.geometry, float(two_theta.max())))
    match picture.curves.unit:
        case "q_nm^-1" | "q_A^-1":
            scale = 4e-9 if picture.curves.unit == "q_nm^-1" else 4e-10
            places = scale * np.pi / picture.geometry.wavelength * np.sin(0.5 * angles)
        case "2th_deg":
            places = np.rad2deg(angles)
        case _:
            places = angles
    inside = (places >= picture.curves.axis[0]) & (places <= picture.curves.axis[-1])
    return np.asarray(places[inside])


def _axis_label(unit: str) -> str:
    labels = {
        "q_nm^-1": "q (1/nm)",
        "q_A^-1": "q (1/Å)",
        "2th_deg": "2θ (degree)",
        "2th_rad": "2θ (rad)",
        "r_mm": "r (mm)",
        "r_m": "r (m)",
    }
    return labels.get(unit, unit)
