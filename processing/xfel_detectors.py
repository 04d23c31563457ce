"""Detectors of European XFEL whose quadrants move: AGIPD, LPD and DSSC of a megapixel each.

Images are stacks of 16 modules, reshaped to two dimensions: ``frame.reshape(-1, frame.shape[-1])``.
Modules are taken as flat and equally spaced within their quadrant. x counts to the left and y
upwards as seen along the beam, from where the beam passes: x is axis 2, y is axis 1, and the PONI
of a detector that is not turned is (0, 0).
"""

import itertools
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from ringline.processing.checks import require_finite
from ringline.processing.detector import Detector
from ringline.processing.errors import RecipeError
from ringline.processing.panels import Panel, detector_of_panels

Corners: TypeAlias = Sequence[tuple[float, float]]
"""(x, y) of a corner of each of four quadrants, m."""

AGIPD_CORNERS: Corners = ((-0.105, 0.125), (-0.110, -0.002), (0.104, -0.032), (0.1085, 0.095))
LPD_CORNERS: Corners = ((0.0114, 0.299), (-0.0115, 0.008), (0.2545, -0.016), (0.2785, 0.275))
DSSC_CORNERS: Corners = ((-0.130, 0.005), (-0.130, -0.125), (0.005, -0.125), (0.005, 0.005))
"""Where quadrants may stand; in an experiment they are millimetres from there."""

_MODULES = 4
"""In a quadrant."""


def agipd_1m(corners: Corners = AGIPD_CORNERS) -> Detector:
    """AGIPD of a megapixel, images of (8192, 128): square pixels of 0.2 mm, 8 chips in a module.

    Parameters
    ----------
    corners:
        Where the first pixel of each quadrant begins, m; EXtra-geom counts it in pixels.

    Raises
    ------
    RecipeError:
        They are not four pairs of finite numbers.
    """
    pixel, size, chip_gap, module_gap = 2e-4, (64, 128), 2, 29
    panels = []
    for (quadrant, (x, y)), module in itertools.product(_quadrants(corners), range(_MODULES)):
        sense = pixel if quadrant < 2 else -pixel  # rows follow each other along x or against it
        for chip in range(8):
            from_first = chip * (size[0] + chip_gap)
            panels.append(
                Panel(
                    first=((_MODULES * quadrant + module) * 512 + chip * size[0], 0),
                    size=size,
                    origin=(
                        y - module * (size[1] + module_gap) * pixel, x + from_first * sense, 0.0
                    ),
                    slow=(0.0, sense, 0.0),
                    fast=(-sense, 0.0, 0.0),
                )
            )  # fmt: skip
    return detector_of_panels(panels, name="AGIPD1M")


def lpd_1m(corners: Corners = LPD_CORNERS) -> Detector:
    """LPD of a megapixel, images of (4096, 256): square pixels of 0.5 mm, 16 tiles in a module.

    Parameters
    ----------
    corners:
        Where the last pixel of each quadrant ends, at its largest x and y, m; EXtra-geom counts it
        in mm.

    Raises
    ------
    RecipeError:
        They are not four pairs of finite numbers.
    """
    pixel, size, gap = 5e-4, (32, 128), 4
    high, wide = ((n + gap) * pixel for n in size)
    # Modules go round their quadrant; x and y in modules from its end.
    around = ((-1, 0), (-1, -1), (0, -1), (0, 0))
    panels = []
    for (quadrant, (x, y)), module in itertools.product(_quadrants(corners), range(_MODULES)):
        across, up = around[module]
        for row, column in itertools.product(range(8), range(2)):
            panels.append(
                Panel(
                    first=(
                        (_MODULES * quadrant + module) * 256 + row * size[0], column * size[1]
                    ),
                    size=size,
                    origin=(
                        y + (8 * up + row - 8) * high + gap * pixel,
                        x + (2 * across + column - 2) * wide + gap * pixel,
                        0.0,
                    ),
                    slow=(pixel, 0.0, 0.0),
                    fast=(0.0, pixel, 0.0),
                )
            )  # fmt: skip
    return detector_of_panels(panels, name="LPD1M")


def dssc_1m(corners: Corners = DSSC_CORNERS) -> Detector:
    """DSSC of a megapixel, images of (2048, 512): hexagons 0.236 mm apart, 2 sensors in a module.

    Parameters
    ----------
    corners:
        Where each quadrant has its smallest x and y, m; EXtra-geom counts it in mm.

    Raises
    ------
    RecipeError:
        They are not four pairs of finite numbers.
    """
    pitch, size, sensor_gap, module_gap = 236e-6, (128, 256), 2e-3, 4e-3
    row = 0.5 * np.sqrt(3.0) * pitch
    high, wide = size[0] * row, size[1] * pitch
    panels = []
    for (quadrant, (x, y)), module in itertools.product(_quadrants(corners), range(_MODULES)):
        if quadrant < 2:  # from the lower left, as seen along the beam
            sense, start_x, start_y = 1, x + 2 * wide + sensor_gap, y
        else:  # from the upper right
            sense, start_x, start_y = -1, x, y + _MODULES * high + (_MODULES - 1) * module_gap
        panels += [
            Panel(
                first=((_MODULES * quadrant + module) * size[0], sensor * size[1]),
                size=size,
                origin=(
                    start_y + sense * module * (high + module_gap),
                    start_x - sense * sensor * (wide + sensor_gap),
                    0.0,
                ),
                slow=(sense * row, 0.0, 0.0),
                fast=(0.0, -sense * pitch, 0.0),
                hexagonal=True,
            )
            for sensor in range(2)
        ]
    return detector_of_panels(panels, name="DSSC1M")


def _quadrants(corners: Corners) -> list[tuple[int, tuple[float, float]]]:
    if len(corners) != 4 or any(len(corner) != 2 for corner in corners):
        raise RecipeError(f"corners must be (x, y) of four quadrants, got {corners!r}")
    return [
        (number, (require_finite("corner", x, "m"), require_finite("corner", y, "m")))
        for number, (x, y) in enumerate(corners)
    ]
