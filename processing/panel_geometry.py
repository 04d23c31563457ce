"""Geometries of images that are made of panels: what descriptions of instruments come to."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ringline.processing.detector import Detector
from ringline.processing.geometry import Geometry
from ringline.processing.panels import Panel, detector_of_panels, shape_of_panels
from ringline.processing.rotations import rotation_angles
from ringline.processing.types import BoolArray


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageGeometry:
    """What the description of an instrument tells of one image."""

    geometry: Geometry
    saturation: float | None = None
    """Counts at which a pixel is full, for ``Corrections.saturation``; None: not told."""
    data: str | None = None
    """Where the instrument's files hold the images; None: not told."""


def geometry_of_panels(
    panels: Sequence[Panel], *, wavelength: float, name: str, mask: BoolArray | None = None
) -> Geometry:
    """The geometry of an image that is made of panels.

    One panel of rectangles that is the whole image becomes a grid with the PONI, the angles and
    the orientation that put it there: PONI files can hold it. Others become a detector of corners
    without angles, its distance the mean of those from the sample to the panels' planes. Axes 1,
    2 and 3 are those of the panels either way.

    Parameters
    ----------
    panels:
        No two of them share a pixel of the image; pixels that are in none are masked.
    wavelength:
        m.
    name:
        The detector's.
    mask:
        True where no pixel measures, shape of the image; None: nowhere else, and the image ends
        where the panels do.

    Raises
    ------
    RecipeError:
        Two panels share a pixel, or a panel has no area or the sample in its plane.
    """
    distance = float(np.mean([panel.distance for panel in panels]))
    whole = panels[0].size == (shape_of_panels(panels) if mask is None else mask.shape)
    if len(panels) == 1 and whole and panels[0].is_rectangular:
        return _grid(panels[0], wavelength, name, mask)
    detector = detector_of_panels(panels, name=name, distance=distance, mask=mask)
    return Geometry(distance=distance, wavelength=wavelength, detector=detector)


def _grid(panel: Panel, wavelength: float, name: str, mask: BoolArray | None) -> Geometry:
    """A panel as a grid: axes 1 and 2 along its rows and columns or against them.

    The detector's axis 3 points away from the sample, which leaves two choices, half a turn about
    the normal apart: the one that is turned less is taken.
    """
    pixel1, pixel2 = panel.pixel
    slow, fast, origin = np.array(panel.slow) / pixel1, np.array(panel.fast) / pixel2, panel.origin
    sign = 1.0 if np.dot(np.cross(slow, fast), origin) > 0 else -1.0
    sign1 = 1.0 if slow[0] + sign * fast[1] >= 0 else -1.0
    sign2 = sign * sign1
    rotation = np.column_stack((sign1 * slow, sign2 * fast, sign * np.cross(slow, fast)))
    across1, across2, distance = rotation.T @ origin
    from1 = 0.0 if sign1 > 0 else panel.size[0] * pixel1
    from2 = 0.0 if sign2 > 0 else panel.size[1] * pixel2
    rot1, rot2, rot3 = rotation_angles(rotation)
    return Geometry(
        distance=float(distance),
        poni1=float(from1 - across1),
        poni2=float(from2 - across2),
        rot1=rot1,
        rot2=rot2,
        rot3=rot3,
        wavelength=wavelength,
        detector=Detector(
            pixel1=pixel1,
            pixel2=pixel2,
            shape=panel.size,
            name=name,
            orientation={(1, 1): 3, (-1, 1): 2, (1, -1): 4, (-1, -1): 1}[int(sign1), int(sign2)],
            mask=mask if mask is not None and mask.any() else None,
        ),
    )
