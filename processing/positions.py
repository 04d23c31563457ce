"""Where each pixel and its corners stand in the frame of the sample."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ringline.processing.parallax import without_parallax
from ringline.processing.types import FloatArray

if TYPE_CHECKING:
    from ringline.processing.geometry import Geometry

Position: TypeAlias = tuple[FloatArray, FloatArray, FloatArray]
"""t1, t2, t3 in the frame of the sample, m, of one shape."""

_ALL = slice(None)
_BLOCK = 128


class PixelPositions:
    """Positions of pixels, as built and with parallax undone, and the incidence on each."""

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry

    @property
    def is_lattice(self) -> bool:
        """Whether neighbours share their corners: a grid of equal rectangles."""
        return self.geometry.detector.corners is None

    def center_positions(self, rows: slice = _ALL) -> Position:
        """Centers of pixels in the frame of the sample, m, parallax undone.

        Parameters
        ----------
        rows:
            Which ones along the slow axis, without a step.

        Returns
        -------
        :
            t1, t2, t3, each of shape (rows, fast).
        """
        centers = self.centers_as_built(rows)
        if not self.geometry.parallax:
            return centers
        return self._entered(centers, self._feet(rows))

    def corner_positions(self, rows: slice = _ALL) -> Position:
        """Corners of pixels in the frame of the sample, m, parallax undone.

        Parameters
        ----------
        rows:
            Which ones along the slow axis, without a step.

        Returns
        -------
        :
            t1, t2, t3: of a lattice (``is_lattice``) each of shape (rows + 1, fast + 1), where
            pixel (i, j) has corners (i, j) .. (i + 1, j + 1); else (rows, fast, n), in order
            round each pixel.
        """
        corners = self._corners_as_built(rows)
        if not self.geometry.parallax:
            return corners
        feet = self._feet(rows)
        return self._entered(corners, feet if self.is_lattice else feet[..., None])

    def centers_as_built(self, rows: slice = _ALL) -> Position:
        """Centers of pixels in the frame of the sample, m, whatever the parallax."""
        detector, span = self.geometry.detector, self._span(rows)
        if detector.corners is None:
            p1, p2, _ = detector.pixel_centers()
            return self.geometry.sample_frame(p1[span], p2)
        p3, p1, p2 = np.moveaxis(detector.corners.values[span].mean(2, np.float64), -1, 0)
        return self.geometry.sample_frame(p1, p2, p3)

    def _corners_as_built(self, rows: slice) -> Position:
        detector, span = self.geometry.detector, self._span(rows)
        if detector.corners is None:
            p1, p2 = detector.lattice()
            return self.geometry.sample_frame(p1[span.start : span.stop + 1], p2)
        p3, p1, p2 = np.moveaxis(detector.corners.values[span].astype(np.float64), -1, 0)
        return self.geometry.sample_frame(p1, p2, p3)

    @cached_property
    def cos_incidence(self) -> FloatArray:
        r"""Cosine of the angle between the ray to each pixel's center and the pixel's normal.

        :math:`L / \sqrt{L^2 + d^2}` at distance d from the PONI on a flat grid. Where corners
        are given the normal is that of the pixel's own area,
        :math:`\frac12 \sum_k c_k \times c_{k+1}`; 0 for a pixel without area.
        """
        if self.is_lattice:
            return self.flat_ratio**-0.5
        cosine = np.empty(self.geometry.detector.known_shape)
        for rows in self.blocks():
            ray = np.stack(self.centers_as_built(rows))
            along = np.abs((ray * self._normals(rows)).sum(axis=0))
            cosine[rows] = along / lengths(ray)
        return cosine

    @property
    def flat_ratio(self) -> FloatArray:
        """(distance from the sample / distance of the PONI) squared, on a flat grid."""
        p1, p2, _ = self.geometry.detector.pixel_centers()
        square = (p1 - self.geometry.poni1) ** 2 + (p2 - self.geometry.poni2) ** 2
        return 1.0 + square / self.geometry.distance**2

    def _normals(self, rows: slice) -> FloatArray:
        """Unit normals of polygons, shape (3, rows, fast); 0 for a pixel without area."""
        center = np.stack(self.centers_as_built(rows))
        normal = area_vectors(np.stack(self._corners_as_built(rows)) - center[..., None])
        length = lengths(normal)
        return np.divide(normal, length, where=length != 0, out=np.zeros_like(normal))

    def _feet(self, rows: slice) -> FloatArray:
        """Feet of the perpendiculars from the sample to pixels' planes, m, shape (3, ...)."""
        if self.is_lattice:
            return self.geometry.distance * self.geometry.rotation[:, 2, None, None]
        normal = self._normals(rows)
        return np.asarray((normal * np.stack(self.centers_as_built(rows))).sum(axis=0) * normal)

    def _entered(self, apparent: Position, feet: FloatArray) -> Position:
        t1, t2, t3 = without_parallax(np.stack(apparent), feet, self.geometry.slab)
        return t1, t2, t3

    def _span(self, rows: slice) -> slice:
        start, stop, _ = rows.indices(self.geometry.detector.known_shape[0])
        return slice(start, stop)

    def blocks(self) -> Iterator[slice]:
        """Rows by the hundred, for work with little memory."""
        slow, _ = self.geometry.detector.known_shape
        return (slice(low, min(low + _BLOCK, slow)) for low in range(0, slow, _BLOCK))


def area_vectors(corners: FloatArray) -> FloatArray:
    """Area vectors of polygons, m^2, shape (3, ...), from corners of shape (3, ..., n)."""
    following = np.roll(corners, -1, axis=-1)
    return np.asarray(0.5 * np.cross(corners, following, axis=0).sum(axis=-1))


def lengths(vectors: FloatArray) -> FloatArray:
    """Lengths of vectors of shape (3, ...)."""
    return np.asarray(np.sqrt((vectors * vectors).sum(axis=0)))
