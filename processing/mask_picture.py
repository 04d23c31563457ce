"""A picture of a mask: the image it was made of, and what is masked for which cause."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm, to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ringline.processing.files import replacement
from ringline.processing.mask_making import MadeMask
from ringline.processing.types import BoolArray, FloatArray

COLORS = {
    "gap": "#7d8894",
    "dead": "#4cc9f0",
    "weak": "#c77dff",
    "hot": "#ff2e63",
    "noisy": "#ffd166",
    "shadow": "#57cc5f",
}
_AREAS = ("gap", "shadow")
_RINGED = 3000
"""Pixels of a cause up to which each has a mark round it, as single pixels are not seen."""
_LONGER_SIDE = 11.0
_NARROWEST = 7.0
_STRIP = 0.45
"""Inches, as the two above: of the strips that hold the title and the legend."""


def write_picture(path: Path, made: MadeMask, title: str) -> None:
    """Write the mean image, on a logarithmic scale, with the mask over it, as PNG.

    Gaps and shadows are areas of colour; other pixels have a small square round them, if they are
    not too many for that.

    Raises
    ------
    OSError:
        It cannot be written.
    """
    slow, fast = made.gap.shape
    scale = _LONGER_SIDE / max(slow, fast)
    width, height = max(_NARROWEST, fast * scale), max(1.0, slow * scale)
    figure = Figure(figsize=(width, height + 2 * _STRIP))
    FigureCanvasAgg(figure)
    part = _STRIP / (height + 2 * _STRIP)
    axes = figure.add_axes((0.01, part, 0.98, 1.0 - 2.0 * part))
    _draw_image(axes, made.rate.astype(np.float64), made.mask)
    handles = [_draw_cause(axes, name, mask) for name, mask in made.causes.items()]
    axes.set_xticks([])
    axes.set_yticks([])
    figure.text(0.01, 1.0 - 0.5 * part, title, fontsize=11, va="center")
    figure.legend(handles=handles, loc="lower center", ncols=len(handles), frameon=False)
    with replacement(path) as temporary:
        figure.savefig(temporary, dpi=150)


def _draw_image(axes: Axes, rate: FloatArray, mask: BoolArray) -> None:
    good = rate[~mask & np.isfinite(rate) & (rate > 0)]
    low, high = np.percentile(good, (1.0, 99.9)) if good.size else (1.0, 10.0)
    colors = mpl.colormaps["inferno"].with_extremes(bad="#000004")
    shown = np.where(rate > low, rate, np.where(np.isfinite(rate), low, np.nan))
    norm = LogNorm(float(low), float(max(high, 1.01 * low)))
    axes.imshow(shown, norm=norm, cmap=colors, interpolation="nearest")


def _draw_cause(axes: Axes, name: str, mask: BoolArray) -> Artist:
    """Draw one; the result stands for it in the legend, with the number of pixels."""
    number, color = int(np.count_nonzero(mask)), COLORS[name]
    overlay = np.zeros((*mask.shape, 4))
    overlay[mask] = to_rgba(color, 0.65 if name in _AREAS else 1.0)
    axes.imshow(overlay, interpolation="nearest")
    label = f"{name}: {number}"
    if name in _AREAS or number > _RINGED:
        return Patch(facecolor=color, label=label)
    rows, columns = np.nonzero(mask)
    return axes.scatter(
        columns, rows, s=22, marker="s", facecolors="none", edgecolors=color, linewidths=1.2,
        label=label,
    )  # fmt: skip
