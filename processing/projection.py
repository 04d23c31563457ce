"""Curves and cakes put back on the detector."""

import numpy as np

from ringline.processing.axes import Axis
from ringline.processing.geometry import PixelArrays
from ringline.processing.table import Table
from ringline.processing.types import BoolArray, FloatArray, IntArray


def project(table: Table, intensity: FloatArray, monitor: float = 1.0) -> FloatArray:
    """The counts that an intensity means at each pixel.

    Parameters
    ----------
    table:
        Compiled for the recipe that made the intensity.
    intensity:
        Shape of the output; NaN where it is not known.
    monitor:
        The frame's part of the reference reading of the monitor.

    Returns
    -------
    :
        Interpolated between bin centers along the axis of the curve (radially in a cake), times
        norm, plus dark; shape (slow, fast), NaN where a pixel is not in use, or beyond the axes.
    """
    recipe = table.recipe
    pixels = PixelArrays(recipe.geometry)
    rows = intensity.reshape(-1, table.along.bins)
    image = np.full(table.shape, np.nan)
    for block in pixels.blocks():
        position = pixels.center_positions(block)
        along = table.along.unit.value(position, recipe.geometry.wavelength)
        row, seen = np.zeros(along.shape, np.int64), np.ones(along.shape, bool)
        if table.across is not None:
            across = table.across.unit.value(position, recipe.geometry.wavelength)
            row, seen = _bin(table.across, across)
        values = _interpolated(table.along, along, rows, row)
        image[block] = np.where(seen, values, np.nan)
    image *= table.norm * monitor
    if table.dark is not None:
        image += table.dark.reshape(table.shape)
    image[~table.in_use.reshape(table.shape)] = np.nan
    return image


def _bin(axis: Axis, values: FloatArray) -> tuple[IntArray, BoolArray]:
    turn = 2.0 * np.pi
    turned = axis.low + (values - axis.low) % turn if axis.unit.periodic else values
    number = np.searchsorted(axis.edges, turned, side="right") - 1
    return np.clip(number, 0, axis.bins - 1), (number >= 0) & (number < axis.bins)


def _interpolated(axis: Axis, values: FloatArray, rows: FloatArray, row: IntArray) -> FloatArray:
    """Linear between the centers of the bins of a row; that of the end bin in its outer half."""
    if axis.unit.periodic:
        values = axis.low + (values - axis.low) % (2.0 * np.pi)
    centers = axis.centers
    beyond = (values < axis.low) | (values > axis.high) | ~np.isfinite(values)
    at = np.clip(np.nan_to_num(values), centers[0], centers[-1])
    left = np.clip(np.searchsorted(centers, at, side="right") - 1, 0, max(axis.bins - 2, 0))
    right = np.minimum(left + 1, axis.bins - 1)
    width = centers[right] - centers[left]
    part = np.where(width > 0, (at - centers[left]) / np.where(width > 0, width, 1.0), 0.0)
    low, high = rows[row, left], rows[row, right]
    # Beside an empty bin, the neighbour alone.
    low, high = np.where(np.isfinite(low), low, high), np.where(np.isfinite(high), high, low)
    return np.where(beyond, np.nan, low + part * (high - low))
