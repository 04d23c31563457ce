"""The panels of a calibration's picture: image with rings, residuals, curve with lines."""

from dataclasses import dataclass
from functools import cached_property

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import AsinhNorm, Normalize
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from ringline.processing.calibration.result import Calibration, ControlPoints, FittedRing
from ringline.processing.geometry import pixel_arrays
from ringline.processing.types import BoolArray, FloatArray, ImageArray, IntArray

INK, FAINT = "#22303c", "#7b8a97"
RING, UNSEEN = "#00a7b5", "#b9c2ca"
CURVE = "#c1121f"
RESIDUALS = "coolwarm"
_DISPLAY = 1100
"""Pixels along the longer side that are drawn: more the figure does not have."""
_LABELLED = 14
_DASHES = (0.0, (7.0, 9.0))
"""Between them a ring of the image is seen, which a line would hide."""
_BINS = 36
_FEWEST = 3
"""Points of which a mean is drawn."""


@dataclass(frozen=True)
class View:
    """What all panels draw."""

    image: ImageArray
    calibration: Calibration

    @cached_property
    def step(self) -> int:
        """Pixels of the image that make one of the picture, along each axis."""
        return -(-max(self.shape) // _DISPLAY)

    @cached_property
    def hidden(self) -> BoolArray:
        """True where the image does not count, shape (slow, fast)."""
        task = self.calibration.task
        hidden = np.asarray(~np.isfinite(self.image) | (self.image < 0))
        if (own := task.detector.with_shape(self.shape).built_in_mask()) is not None:
            hidden |= own
        if task.mask is not None:
            hidden |= task.mask.values != 0
        if task.saturation is not None:
            hidden |= np.asarray(self.image >= task.saturation)
        elif np.issubdtype(self.image.dtype, np.unsignedinteger):
            hidden |= np.asarray(self.image == np.iinfo(self.image.dtype.name).max)
        return hidden

    @property
    def shape(self) -> tuple[int, int]:
        """(slow, fast)."""
        slow, fast = self.image.shape
        return slow, fast

    @cached_property
    def two_theta(self) -> FloatArray | None:
        """Of every pixel's center by the fitted geometry, rad; None without one."""
        if self.calibration.geometry is None:
            return None
        return pixel_arrays(self.calibration.geometry.with_shape(self.shape)).two_theta

    @cached_property
    def angle_per_pixel(self) -> FloatArray:
        """How much 2theta changes from pixel to pixel at each control point, rad, shape (n,)."""
        points = self.calibration.points
        assert points is not None
        assert self.two_theta is not None
        slow = np.clip(points.slow.astype(int), 0, self.shape[0] - 1)
        fast = np.clip(points.fast.astype(int), 0, self.shape[1] - 1)
        change = np.hypot(
            *(_slope(self.two_theta, (slow, fast), along) for along in ((1, 0), (0, 1)))
        )
        # At seams between modules the next pixel is far away.
        usual = float(np.nanmedian(change)) if np.isfinite(change).any() else 1.0
        good = np.isfinite(change) & (change < 3 * usual) & (change > usual / 3)
        return np.where(good, change, usual)

    @cached_property
    def residuals(self) -> FloatArray:
        """Measured minus calculated, pixels outwards, shape (n,)."""
        assert self.calibration.points is not None
        return np.asarray(self.calibration.points.residual / self.angle_per_pixel)

    @cached_property
    def colors(self) -> Normalize:
        """Colors of residuals: symmetric, the largest but outliers at the ends."""
        assert self.calibration.points is not None
        used = self.residuals[self.calibration.points.used != 0]
        widest = float(np.percentile(np.abs(used), 97)) if used.size else 1.0
        return Normalize(-max(widest, 1e-3), max(widest, 1e-3))


def draw_image(axes: Axes, view: View) -> None:
    """The image, fitted rings and control points, in pixels from its edge."""
    pooled = _pooled(np.where(view.hidden, np.nan, view.image), view.step)
    slow, fast = (n * view.step for n in pooled.shape)
    axes.imshow(
        pooled, norm=_norm(pooled), cmap=mpl.colormaps["Greys"].with_extremes(bad="#dfe6ec"),
        extent=(0, fast, slow, 0), interpolation="nearest",
    )  # fmt: skip
    axes.set_xlim(0, view.shape[1])
    axes.set_ylim(view.shape[0], 0)
    axes.set_anchor("N")
    if view.two_theta is not None:
        _draw_rings(axes, view)
    if view.two_theta is not None and view.calibration.points is not None:
        _draw_points(axes, view, view.calibration.points)
    axes.set_xlabel("fast axis (pixels)")
    axes.set_ylabel("slow axis (pixels)")


def _draw_rings(axes: Axes, view: View) -> None:
    """Where each ring must be: the level of its 2theta among those of the pixels."""
    assert view.two_theta is not None
    part = view.two_theta[:: view.step, :: view.step]
    slow, fast = (np.arange(n) * view.step + 0.5 for n in part.shape)
    for seen, color in ((True, RING), (False, UNSEEN)):
        angles = sorted(r.two_theta for r in view.calibration.rings if (r.points > 0) == seen)
        inside = [angle for angle in angles if np.nanmin(part) < angle < np.nanmax(part)]
        if inside:
            axes.contour(
                fast, slow, np.ma.masked_invalid(part), levels=inside, colors=color,
                linewidths=0.9, linestyles=[_DASHES],
            )  # fmt: skip


def _draw_points(axes: Axes, view: View, points: ControlPoints) -> None:
    used = points.used != 0
    axes.scatter(
        points.fast[~used], points.slow[~used], s=16, c=INK, marker="x", linewidths=0.7, zorder=3
    )
    drawn = axes.scatter(
        points.fast[used], points.slow[used], s=11, c=view.residuals[used], cmap=RESIDUALS,
        norm=view.colors, edgecolors="#22303c55", linewidths=0.3, zorder=4,
    )  # fmt: skip
    place = axes.inset_axes((1.02, 0.25, 0.018, 0.5))
    bar = axes.figure.colorbar(drawn, cax=place, extend="both")
    bar.set_label("residual of control points (pixels)")


def draw_residuals(azimuths: Axes, angles: Axes, view: View) -> None:
    """Residuals against azimuth, with the mean of each sector, and against 2theta, by ring."""
    points = view.calibration.points
    assert points is not None
    used = points.used != 0
    chi, found = np.rad2deg(points.chi[used]), view.residuals[used]
    error = (points.sigma / view.angle_per_pixel)[used]
    azimuths.errorbar(chi, found, error, fmt="none", ecolor="#b9c2ca80", elinewidth=0.5, zorder=1)
    azimuths.scatter(chi, found, s=7, c=found, cmap=RESIDUALS, norm=view.colors,
                     edgecolors="#22303c55", linewidths=0.3, zorder=2)  # fmt: skip
    centers, means, errors = _by_sector(chi, found)
    azimuths.errorbar(centers, means, errors, fmt="o-", color=INK, markersize=3, linewidth=1.1,
                      elinewidth=1.1, zorder=3)  # fmt: skip
    azimuths.set_xlim(-180, 180)
    azimuths.set_xticks(range(-180, 181, 60))
    limit = max(1.6 * float(view.colors.vmax or 1.0), 1.1 * float(np.abs(means).max(initial=0.0)))
    azimuths.set_ylim(-limit, limit)
    azimuths.set_xlabel("azimuth (degree)")
    azimuths.set_ylabel("measured - calculated (pixels)")
    _draw_by_ring(angles, view, points, found)
    for axes in (azimuths, angles):
        axes.axhline(0.0, color=FAINT, linewidth=0.8, zorder=0)


def _draw_by_ring(axes: Axes, view: View, points: ControlPoints, found: FloatArray) -> None:
    ring = points.ring[points.used != 0]
    numbers, counts = np.unique(ring, return_counts=True)
    rows = [(view.calibration.rings[n], found[ring == n]) for n in numbers[counts >= _FEWEST]]
    places = [np.rad2deg(fitted.two_theta) for fitted, _ in rows]
    means = [float(values.mean()) for _, values in rows]
    errors = [float(values.std(ddof=1)) / len(values) ** 0.5 for _, values in rows]
    axes.errorbar(places, means, errors, fmt="o", color=INK, markersize=3.5, elinewidth=1.1)
    axes.set_xlabel("2θ (degree)")
    axes.tick_params(labelleft=False)


def _by_sector(chi: FloatArray, found: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Centers, means and their standard errors of sectors."""
    sector = np.clip(((chi + 180.0) * _BINS / 360.0).astype(int), 0, _BINS - 1)
    number = np.bincount(sector, minlength=_BINS)
    kept = np.flatnonzero(number >= _FEWEST)
    groups = [found[sector == n] for n in kept]
    means = np.array([values.mean() for values in groups])
    errors = np.array([values.std(ddof=1) / len(values) ** 0.5 for values in groups])
    return (kept + 0.5) * 360.0 / _BINS - 180.0, means, errors


def draw_curve(axes: Axes, calibration: Calibration) -> None:
    """The integrated curve, and where the calibrant's rings must be."""
    axis, curve = calibration.axis, calibration.curve
    for ring in calibration.rings:
        color = RING if ring.points else UNSEEN
        axes.axvline(np.rad2deg(ring.two_theta), color=color, linewidth=0.8, zorder=1)
    axes.plot(axis, curve, color=CURVE, linewidth=1.0, zorder=2)
    finite = curve[np.isfinite(curve)]
    if finite.size:
        low, high = float(np.percentile(finite, 1)), float(finite.max())
        width = max(float(np.median(finite)) - low, 1e-3 * (high - low), 1e-30)
        axes.set_yscale("asinh", linear_width=width)
        axes.set_ylim(low - 0.5 * width, high + 0.25 * (high - low))
    axes.yaxis.set_major_locator(NullLocator())
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_xlim(axis[0], axis[-1])
    axes.set_xlabel("2θ (degree)")
    axes.set_ylabel("intensity (asinh scale)")
    _label_rings(axes, calibration.rings)


def _label_rings(axes: Axes, rings: tuple[FittedRing, ...]) -> None:
    """Indices of the first rings above the curve, none over another."""
    left, right = axes.get_xlim()
    place = left
    for ring in [ring for ring in rings if ring.indices is not None][:_LABELLED]:
        angle = float(np.rad2deg(ring.two_theta))
        if not place < angle < right:
            continue
        assert ring.indices is not None
        plain = all(0 <= index <= 9 for index in ring.indices)
        axes.text(
            angle, 1.01, ("" if plain else " ").join(str(index) for index in ring.indices),
            transform=axes.get_xaxis_transform(), rotation=90, fontsize=8.5, color=INK,
            ha="center", va="bottom",
        )  # fmt: skip
        place = angle + 0.019 * (right - left)


def _slope(
    values: FloatArray, place: tuple[IntArray, IntArray], along: tuple[int, int]
) -> FloatArray:
    """Change of ``values`` from pixel to pixel along one axis, at some places."""
    ends = [
        tuple(np.clip(index + sign * step, 0, size - 1)
              for index, step, size in zip(place, along, values.shape, strict=True))
        for sign in (1, -1)
    ]  # fmt: skip
    apart = sum(abs(above - below) for above, below in zip(*ends, strict=True))
    return np.asarray((values[ends[0]] - values[ends[1]]) / apart)


def _pooled(image: NDArray[np.float64], step: int) -> FloatArray:
    """Means of blocks, without what is NaN."""
    if step == 1:
        return image
    slow, fast = (n // step for n in image.shape)
    blocks = image[: slow * step, : fast * step].reshape(slow, step, fast, step)
    good = np.isfinite(blocks)
    number = good.sum(axis=(1, 3))
    total = np.where(good, blocks, 0.0).sum(axis=(1, 3))
    return np.asarray(np.where(number > 0, total / np.maximum(number, 1), np.nan))


def _norm(image: FloatArray) -> Normalize:
    """Linear up to the background, logarithmic above; nearly all pixels within the limits."""
    finite = image[np.isfinite(image)]
    if finite.size == 0:
        return Normalize(0, 1)
    low, middle, high = np.percentile(finite, (0.5, 50.0, 99.8))
    high = max(float(high), float(low) + 1e-12)
    return AsinhNorm(linear_width=max(float(middle - low), 1e-3 * float(high - low)),
                     vmin=float(low), vmax=high)  # fmt: skip
