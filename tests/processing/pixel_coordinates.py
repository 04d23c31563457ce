"""Coordinates of pixels and their widths, written apart from the kernels that share pixels."""

import numpy as np
from numpy.typing import NDArray

from ringline.processing import PixelArrays
from ringline.processing.geometry import chi_of, radius_of, two_theta_of

Floats = NDArray[np.float64]


def half_width(pixels: PixelArrays, coordinate: str) -> Floats:
    """Largest distance, in a coordinate, from a pixel's center to one of its corners.

    It spans the pixel's bounding box as pyFAI defines it: center - half, center + half.
    """
    center = getattr(pixels, coordinate)
    away = np.abs(_at_corners(pixels, coordinate) - center[..., np.newaxis])
    if coordinate == "chi":
        away = np.minimum(away, 2 * np.pi - away)
    return np.asarray(away.max(axis=-1))


def _at_corners(pixels: PixelArrays, coordinate: str) -> Floats:
    """A coordinate at the corners of each pixel, in SI (q: 1/nm), shape (slow, fast, corners)."""
    position = pixels.corner_positions()
    match coordinate:
        case "two_theta":
            values = two_theta_of(*position)
        case "q":
            sine = np.sin(0.5 * two_theta_of(*position))
            values = (4e-9 * np.pi / pixels.geometry.wavelength) * sine
        case "r":
            values = radius_of(*position)
        case "chi":
            values = chi_of(*position)
        case _:
            raise ValueError(coordinate)
    if not pixels.is_lattice:
        return values
    around = (values[:-1, :-1], values[1:, :-1], values[1:, 1:], values[:-1, 1:])
    return np.stack(around, axis=-1)
