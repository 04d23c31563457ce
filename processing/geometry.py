"""Where the detector stands, and what that makes of each pixel."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ringline.processing.checks import require_bool, require_finite, require_positive
from ringline.processing.detector import Detector
from ringline.processing.detector_table import known_sensor, with_known_sensor
from ringline.processing.errors import RecipeError
from ringline.processing.positions import PixelPositions, Position, lengths
from ringline.processing.sensor import Slab, slab_of
from ringline.processing.types import FloatArray

HC_KEV_M = 12.398419843320026e-10
"""Planck constant times speed of light, keV m (CODATA 2018, exact by definition)."""


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Where the detector stands, as in a PONI file. Lengths in m, angles in rad.

    Raises
    ------
    RecipeError:
        A distance or wavelength that is not > 0, anything that is not finite; parallax of a
        sensor that is not known, or at an energy outside the tables of attenuation.
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
    parallax: bool = False
    """Whether rays that enter the sensor at an angle appear further out, by the mean path of the
    photons within the sensor, and pixels thus stand for a place further in (``Parallax: True`` of
    PONI files)."""

    def __post_init__(self) -> None:
        for name in ("distance", "wavelength"):
            object.__setattr__(self, name, require_positive(name, getattr(self, name), "m"))
        for name, unit in (
            ("poni1", "m"), ("poni2", "m"), ("rot1", "rad"), ("rot2", "rad"), ("rot3", "rad"),
        ):  # fmt: skip
            object.__setattr__(self, name, require_finite(name, getattr(self, name), unit))
        if require_bool("parallax", self.parallax):
            # A recipe and a PONI file then tell the sensor, also one that the table knows.
            object.__setattr__(self, "detector", with_known_sensor(self.detector))
            _ = self.slab  # refuses a material that is not known

    @property
    def energy_kev(self) -> float:
        """Photon energy, keV."""
        return HC_KEV_M / self.wavelength

    @cached_property
    def slab(self) -> Slab:
        """The sensor at the photon energy.

        Raises
        ------
        RecipeError:
            The sensor or its material is not known, or the energy is outside the tables.
        """
        return slab_of(known_sensor(self.detector), self.energy_kev)

    def with_shape(self, shape: tuple[int, int]) -> "Geometry":
        """The same geometry, its detector's shape known."""
        return replace(self, detector=self.detector.with_shape(shape))

    def with_known_sensor(self) -> "Geometry":
        """The same geometry, its detector's sensor given; RecipeError where it is not known."""
        return replace(self, detector=with_known_sensor(self.detector))

    def sample_frame(
        self, p1: FloatArray, p2: FloatArray, p3: FloatArray | float = 0.0
    ) -> Position:
        r"""Positions on the detector in the frame of the sample, axis 3 along the beam.

        The detector is moved by the PONI and the distance, then turned by rot1 about axis 1,
        rot2 about axis 2 and rot3 about axis 3:
        :math:`t = R_3 R_2 R_1 (p_1 - PONI_1,\; p_2 - PONI_2,\; L + p_3)`
        (Kieffer & Ashiotis 2013, the geometry of PONI files; rot1 and rot2 are left-handed).

        Parameters
        ----------
        p1, p2, p3:
            Positions along the slow axis, the fast axis and the normal, m; broadcast together.

        Returns
        -------
        :
            t1, t2, t3 in m, of the broadcast shape.
        """
        x, y, z = p1 - self.poni1, p2 - self.poni2, self.distance + p3
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


class PixelArrays(PixelPositions):
    """What a geometry makes of each pixel: float64 arrays of shape (slow, fast), on demand."""

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
        found = np.empty(self.geometry.detector.known_shape)
        for rows in self.blocks():  # of whole arrays it would take ten
            found[rows] = q_at(*self.center_positions(rows), self.geometry.wavelength)
        return found

    @property
    def solid_angle(self) -> FloatArray:
        r"""Solid angle of each pixel relative to one of the same area at the PONI.

        .. math:: \frac{L^2 \cos\alpha}{d^2}

        with d the pixel's distance from the sample and :math:`\alpha` the incidence on its own
        normal; on a flat detector that is :math:`\cos^3\alpha`. Areas that differ between
        pixels are the flat's affair, as in pyFAI.
        """
        if self.is_lattice:
            return self.flat_ratio**-1.5
        square = lengths(np.stack(self.centers_as_built())) ** 2
        return self.cos_incidence * (self.geometry.distance**2 / square)

    @property
    def absorption(self) -> FloatArray:
        r"""Efficiency of each pixel's sensor relative to normal incidence.

        .. math:: \frac{1 - e^{-\mu t / \cos\alpha}}{1 - e^{-\mu t}}

        with :math:`\alpha` the incidence on the pixel, t the sensor's thickness and
        :math:`\mu` its attenuation.

        Raises
        ------
        RecipeError:
            The sensor, its material or its thickness is not known, or the energy is outside the
            tables of attenuation.
        """
        slab = self.geometry.slab
        if slab.thickness is None:
            name = self.geometry.detector.name
            raise RecipeError(f"detector {name!r}: the thickness of its sensor is not known")
        return slab.relative_efficiency(self.cos_incidence)

    def polarization(self, factor: float, axis: float = 0.0) -> FloatArray:
        r"""What polarization leaves of the intensity at each pixel.

        .. math:: \frac12 \left(1 + \cos^2 2\theta - f \cos 2(\chi + a) \sin^2 2\theta\right)

        Parameters
        ----------
        factor:
            :math:`f = (I_h - I_v) / (I_h + I_v)`: 1 for a horizontally polarized beam.
        axis:
            :math:`a`, turn of the beam's main axis of polarization from the horizontal, against
            the sense of chi, rad (pyFAI's ``axis_offset``).
        """
        found = np.empty(self.geometry.detector.known_shape)
        cosine, sine = np.cos(2.0 * axis), np.sin(2.0 * axis)
        for rows in self.blocks():
            t1, t2, t3 = self.center_positions(rows)
            ahead, across = t3 * t3, t1 * t1 + t2 * t2
            # cos 2(chi + a) sin^2 2theta, without the angles.
            turned = cosine * (t2 * t2 - t1 * t1) - 2.0 * sine * t1 * t2
            found[rows] = 0.5 * (1.0 + (ahead - factor * turned) / (ahead + across))
        return found

    @cached_property
    def _centers(self) -> Position:
        return self.center_positions()


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


def q_at(t1: FloatArray, t2: FloatArray, t3: FloatArray, wavelength: float) -> FloatArray:
    r"""Momentum transfer at positions in the frame of the sample, 1/nm.

    .. math:: q = \frac{4 \pi}{\lambda} \sin\theta,\quad
        \sin\theta = \frac{r}{\sqrt{2 d (d + t_3)}} = \sqrt{\frac{d - t_3}{2 d}}

    with r the distance from the beam and d that from the sample: no angle is needed. The first
    form is exact forwards, the second backwards.

    Parameters
    ----------
    t1, t2, t3:
        Positions, m, of one shape.
    wavelength:
        :math:`\lambda`, m.
    """
    square = t1 * t1 + t2 * t2
    distance = np.sqrt(square + t3 * t3)
    with np.errstate(invalid="ignore", divide="ignore"):
        sine = np.sqrt(square / (2.0 * distance * (distance + t3)))
        if (t3 < 0).any():
            sine = np.where(t3 < 0, np.sqrt((distance - t3) / (2.0 * distance)), sine)
    return np.asarray((4e-9 * np.pi / wavelength) * sine)
