"""Where the detector stands, and what that makes of each pixel."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from ringline.processing.checks import require_finite, require_positive
from ringline.processing.detector import Detector
from ringline.processing.types import FloatArray

HC_KEV_M = 12.398419843320026e-10
"""Planck constant times speed of light, keV m (CODATA 2018, exact by definition)."""

Coordinate = Literal["two_theta", "q", "r", "chi"]


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Where the detector stands, as in a PONI file. Lengths in m, angles in rad.

    Raises
    ------
    RecipeError:
        A distance or wavelength that is not > 0, anything that is not finite.
    """

    distance: float
    """Sample to the point of normal incidence (PONI), m."""
    wavelength: float
    """m."""
    detector: Detector
    poni1: float = 0.0
    """PONI along the slow axis, m."""
    poni2: float = 0.0
    """PONI along the fast axis, m."""
    rot1: float = 0.0
    rot2: float = 0.0
    rot3: float = 0.0

    def __post_init__(self) -> None:
        for name in ("distance", "wavelength"):
            object.__setattr__(self, name, require_positive(name, getattr(self, name), "m"))
        for name, unit in (
            ("poni1", "m"), ("poni2", "m"), ("rot1", "rad"), ("rot2", "rad"), ("rot3", "rad"),
        ):  # fmt: skip
            object.__setattr__(self, name, require_finite(name, getattr(self, name), unit))

    @property
    def energy_kev(self) -> float:
        """Photon energy, keV."""
        return HC_KEV_M / self.wavelength

    def with_shape(self, shape: tuple[int, int]) -> "Geometry":
        """The same geometry, its detector's shape known."""
        return replace(self, detector=self.detector.with_shape(shape))

    def sample_frame(
        self, p1: FloatArray, p2: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        r"""Positions on the detector in the frame of the sample, axis 3 along the beam.

        The detector is moved by the PONI and the distance, then turned by rot1 about axis 1,
        rot2 about axis 2 and rot3 about axis 3:
        :math:`t = R_3 R_2 R_1 (p_1 - PONI_1,\; p_2 - PONI_2,\; L)`
        (Kieffer & Ashiotis 2013, the geometry of PONI files; rot1 and rot2 are left-handed).

        Parameters
        ----------
        p1, p2:
            Positions along the slow and fast axes, m; broadcast together.

        Returns
        -------
        :
            t1, t2, t3 in m, of the broadcast shape.
        """
        x, y, z = p1 - self.poni1, p2 - self.poni2, self.distance
        (a1, a2, a3), (b1, b2, b3), (c1, c2, c3) = self.rotation.tolist()
        return (a1 * x + a2 * y + a3 * z, b1 * x + b2 * y + b3 * z, c1 * x + c2 * y + c3 * z)

    @cached_property
    def rotation(self) -> FloatArray:
        """Rotation matrix from detector to sample frame, shape (3, 3), axes in order 1, 2, 3."""
        s1, c1 = np.sin(self.rot1), np.cos(self.rot1)
        s2, c2 = np.sin(self.rot2), np.cos(self.rot2)
        s3, c3 = np.sin(self.rot3), np.cos(self.rot3)
        about1 = np.array([[1, 0, 0], [0, c1, s1], [0, -s1, c1]])
        about2 = np.array([[c2, 0, -s2], [0, 1, 0], [s2, 0, c2]])
        about3 = np.array([[c3, -s3, 0], [s3, c3, 0], [0, 0, 1]])
        return np.asarray(about3 @ about2 @ about1)


class PixelArrays:
    """What a geometry makes of each pixel: float64 arrays of shape (slow, fast), on demand."""

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry

    @cached_property
    def two_theta(self) -> FloatArray:
        """Scattering angle of each pixel's center, rad."""
        return two_theta_of(*self._centers)

    @cached_property
    def chi(self) -> FloatArray:
        """Azimuth of each pixel's center, rad, from -pi to pi, 0 along axis 2."""
        return chi_of(*self._centers)

    @cached_property
    def r(self) -> FloatArray:
        """Distance of each pixel's center from the beam, m."""
        return radius_of(*self._centers)

    @property
    def q(self) -> FloatArray:
        """Momentum transfer at each pixel's center, 1/nm."""
        return q_of(two_theta=self.two_theta, wavelength=self.geometry.wavelength)

    @property
    def solid_angle(self) -> FloatArray:
        r"""Solid angle of each pixel relative to one at the PONI, :math:`\cos^3` of incidence."""
        p1, p2 = self.geometry.detector.pixel_centers()
        square = (p1 - self.geometry.poni1) ** 2 + (p2 - self.geometry.poni2) ** 2
        return (1.0 + square / self.geometry.distance**2) ** -1.5

    def polarization(self, factor: float) -> FloatArray:
        r"""What polarization leaves of the intensity at each pixel.

        .. math:: \frac12 \left(1 + \cos^2 2\theta - f \cos 2\chi \sin^2 2\theta\right)

        Parameters
        ----------
        factor:
            :math:`f = (I_h - I_v) / (I_h + I_v)`: 1 for a horizontally polarized beam.
        """
        cos2 = np.cos(self.two_theta) ** 2
        return np.asarray(0.5 * (1.0 + cos2 - factor * np.cos(2.0 * self.chi) * (1.0 - cos2)))

    def center(self, coordinate: Coordinate) -> FloatArray:
        """A coordinate at each pixel's center, in SI (q: 1/nm)."""
        return np.asarray(getattr(self, coordinate))

    def half_width(self, coordinate: Coordinate) -> FloatArray:
        """Largest distance, in the coordinate, from a pixel's center to one of its corners.

        It spans the pixel's bounding box as pyFAI defines it: center - half, center + half.
        """
        p1, p2 = self.geometry.detector.lattice()
        corners = _coordinate(coordinate, self.geometry, p1, p2)
        center = self.center(coordinate)
        slow, fast = center.shape
        half = np.zeros_like(center)
        for i, j in ((0, 0), (1, 0), (1, 1), (0, 1)):
            distance = np.abs(corners[i : slow + i, j : fast + j] - center)
            if coordinate == "chi":
                np.minimum(distance, 2 * np.pi - distance, out=distance)
            np.maximum(half, distance, out=half)
        return half

    @cached_property
    def _centers(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        return self.geometry.sample_frame(*self.geometry.detector.pixel_centers())


def pixel_arrays(geometry: Geometry) -> PixelArrays:
    """q, 2theta, chi, r, solid angle and polarization of each pixel of a geometry."""
    return PixelArrays(geometry)


def two_theta_of(t1: FloatArray, t2: FloatArray, t3: FloatArray) -> FloatArray:
    r"""Scattering angle :math:`\operatorname{atan2}(\sqrt{t_1^2 + t_2^2}, t_3)`, rad."""
    return np.arctan2(radius_of(t1, t2, t3), t3)


def chi_of(t1: FloatArray, t2: FloatArray, _t3: FloatArray) -> FloatArray:
    r"""Azimuth :math:`\operatorname{atan2}(t_1, t_2)`, rad."""
    return np.arctan2(t1, t2)


def radius_of(t1: FloatArray, t2: FloatArray, _t3: FloatArray) -> FloatArray:
    r"""Distance from the beam :math:`\sqrt{t_1^2 + t_2^2}`, m."""
    return np.sqrt(t1 * t1 + t2 * t2)


def q_of(*, two_theta: npt.ArrayLike, wavelength: float) -> FloatArray:
    r"""Momentum transfer.

    .. math:: q = \frac{4 \pi}{\lambda} \sin \frac{2\theta}{2}

    Parameters
    ----------
    two_theta:
        Scattering angle, rad, any shape.
    wavelength:
        :math:`\lambda`, m.

    Returns
    -------
    :
        1/nm, shape of ``two_theta``.
    """
    return np.asarray((4e-9 * np.pi / wavelength) * np.sin(0.5 * np.asarray(two_theta)))


def _coordinate(
    coordinate: Coordinate, geometry: Geometry, p1: FloatArray, p2: FloatArray
) -> FloatArray:
    position = geometry.sample_frame(p1, p2)
    match coordinate:
        case "chi":
            return chi_of(*position)
        case "r":
            return radius_of(*position)
        case "two_theta":
            return two_theta_of(*position)
        case "q":
            return q_of(two_theta=two_theta_of(*position), wavelength=geometry.wavelength)
