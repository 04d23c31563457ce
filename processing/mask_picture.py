"""A picture of a mask: the image it was made of, and what is masked for which cause."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm, to_rgba
from matplotlib.figure import Figure

from ringline.processing.files import replacement
from ringline.processing.mask_making import MadeMask
from ringline.processing.types import BoolArray, FloatArray

COLORS = {
    "gap": "#7d8894",
    "dead": "#4cc9f0",
    "weak": "#b8f2ff",
    "hot": "#ff2e63",
    "noisy": "#ffd166",
    "shadow": "#57cc5f",
}
_AREAS = ("gap", "shadow")
_RINGED = 3000
"""Pixels of a cause up to which each has a mark round it, as single pixels are not seen."""
_LONGER_SIDE = 11.0


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
    figure = Figure(figsize=(max(6.0, fast * scale), max(3.0, slow * scale) + 1.0))
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    figure.subplots_adjust(left=0.02, right=0.98, bottom=0.02, top=0.92)
    _draw_image(axes, made.rate.astype(np.float64), made.mask)
    for name, mask in made.causes.items():
        if mask.any():
            _draw_cause(axes, name, mask)
    axes.set_title(title, loc="left", fontsize=11)
    axes.set_xticks([])
    axes.set_yticks([])
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper right", fontsize=9, framealpha=0.9)
    with replacement(path) as temporary:
        figure.savefig(temporary, dpi=150)


def _draw_image(axes: Axes, rate: FloatArray, mask: BoolArray) -> None:
    good = rate[~mask & np.isfinite(rate) & (rate > 0)]
    low, high = np.percentile(good, (1.0, 99.9)) if good.size else (1.0, 10.0)
    colors = mpl.colormaps["inferno"].with_extremes(bad="#000004")
    shown = np.where(rate > low, rate, np.where(np.isfinite(rate), low, np.nan))
    norm = LogNorm(float(low), float(max(high, 1.01 * low)))
    axes.imshow(shown, norm=norm, cmap=colors, interpolation="nearest")


def _draw_cause(axes: Axes, name: str, mask: BoolArray) -> None:
    number = int(np.count_nonzero(mask))
    overlay = np.zeros((*mask.shape, 4))
    overlay[mask] = to_rgba(COLORS[name], 0.65 if name in _AREAS else 1.0)
    axes.imshow(overlay, interpolation="nearest")
    rows, columns = np.nonzero(mask)
    marked = name not in _AREAS and number <= _RINGED
    axes.scatter(
        columns if marked else [], rows if marked else [], s=22, marker="s", facecolors="none",
        edgecolors=COLORS[name], linewidths=1.0, label=f"{name}: {number}",
    )  # fmt: skip
