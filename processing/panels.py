"""Flat panels, each anywhere in space: what descriptions of instruments come to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from ringline.processing.detector import Detector
from ringline.processing.errors import RecipeError
from ringline.processing.geometry import Geometry
from ringline.processing.rotations import rotation_angles
from ringline.processing.types import BoolArray, FloatArray

Vector: TypeAlias = tuple[float, float, float]
"""Along axes 1, 2 and 3 of the sample's frame, as in ``Geometry``: axis 3 along the beam."""

_RIGHT = 1e-9
"""Cosine of the angle between rows and columns up to which it counts as a right one."""
_RECTANGLE = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
_HEXAGON = tuple(
    (4.0 / 3.0 * slow, fast)
    for slow, fast in ((0.0, 0.5), (0.25, 1.0), (0.75, 1.0), (1.0, 0.5), (0.75, 0.0), (0.25, 0.0))
)
"""Corners of a pixel from its first one, in steps along the slow and the fast axis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageGeometry:
    """What the description of an instrument tells of one image."""

    geometry: Geometry
    saturation: float | None = None
    """Counts at which a pixel is full, for ``Corrections.saturation``; None: not told."""
    data: str | None = None
    """Where the instrument's files hold the images; None: not told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A flat rectangle of equal pixels: which part of the image it is, and where it stands."""

    first: tuple[int, int] = (0, 0)
    """Its first pixel in the image, (slow, fast)."""
    size: tuple[int, int]
    """Pixels, (slow, fast)."""
    origin: Vector
    """The outer corner of its first pixel, m."""
    slow: Vector
    """From a row to the next, m."""
    fast: Vector
    """From a column to the next, m."""
    hexagonal: bool = False
    """Whether pixels are hexagons with a corner towards the next row, every second row shifted
    by half a step; else parallelograms."""

    @property
    def place(self) -> tuple[slice, slice]:
        """Its part of the image."""
        slow, fast = (
            slice(first, first + size) for first, size in zip(self.first, self.size, strict=True)
        )
        return slow, fast

    @property
    def distance(self) -> float:
        """From the sample to the panel's plane, m."""
        return abs(float(np.dot(self._normal, self.origin)))

    @property
    def pixel(self) -> tuple[float, float]:
        """Length of the steps along the slow and the fast axis, m."""
        # To 15 digits: 172 um stay 172 um when turned.
        slow, fast = (float(f"{np.linalg.norm(step):.15g}") for step in (self.slow, self.fast))
        return slow, fast

    @property
    def is_rectangular(self) -> bool:
        """Whether its pixels are rectangles."""
        slow, fast = self.pixel
        return not self.hexagonal and abs(np.dot(self.slow, self.fast)) <= _RIGHT * slow * fast

    def corners(self) -> FloatArray:
        """Corners of each pixel, m, shape (slow, fast, n, 3): along axes 1, 2 and 3."""
        around = np.array(_HEXAGON if self.hexagonal else _RECTANGLE)
        rows, columns = (np.arange(n)[:, None] + around[:, k] for k, n in enumerate(self.size))
        shift = 0.5 * (np.arange(self.size[0]) % 2) if self.hexagonal else np.zeros(self.size[0])
        along_fast = columns[None, :, :, None] + shift[:, None, None, None]
        along_slow = rows[:, None, :, None]
        return np.asarray(
            along_slow * np.array(self.slow) + along_fast * np.array(self.fast) + self.origin
        )

    @property
    def _normal(self) -> FloatArray:
        normal = np.cross(self.slow, self.fast)
        area = float(np.linalg.norm(normal))
        slow, fast = self.pixel
        if not area > _RIGHT * slow * fast:
            raise RecipeError(
                f"a panel's rows and columns must span an area, got steps of {self.slow} and"
                f" {self.fast} m"
            )
        return np.asarray(normal / area)


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


def detector_of_panels(
    panels: Sequence[Panel], *, name: str, distance: float = 0.0, mask: BoolArray | None = None
) -> Detector:
    """A detector of corners, which stands where its panels do at that distance, not turned.

    Raises
    ------
    RecipeError:
        Two panels share a pixel of the image.
    """
    shape = shape_of_panels(panels) if mask is None else mask.shape
    corners = np.full((*shape, 6 if panels[0].hexagonal else 4, 3), np.nan)
    for panel in panels:
        part = corners[panel.place]
        if not np.isnan(part).all():
            raise RecipeError(
                f"two panels share pixels of the image, among rows {_span(panel.place[0])} and"
                f" columns {_span(panel.place[1])}"
            )
        part[...] = np.roll(panel.corners(), 1, axis=-1)  # axis 3 first
    corners[..., 0] -= distance
    pixel1, pixel2 = panels[0].pixel
    return Detector(
        pixel1=pixel1,
        pixel2=pixel2,
        shape=shape,
        name=name,
        corners=corners,
        mask=mask if mask is not None and mask.any() else None,
    )


def shape_of_panels(panels: Sequence[Panel]) -> tuple[int, int]:
    """Shape of the smallest image that holds all panels, (slow, fast)."""
    slow, fast = (max(panel.place[axis].stop for panel in panels) for axis in (0, 1))
    return slow, fast


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


def _span(part: slice) -> str:
    return f"{part.start} to {part.stop - 1}"
