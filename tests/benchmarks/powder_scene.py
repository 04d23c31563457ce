r"""Mean images of powder rings, for images of which the geometry is known.

Written apart from what they test: positions of pixels come from the definition of PONI files, seen
from the detector. In its frame (slow axis, fast axis, normal) the sample lies at the origin, a
pixel at :math:`v = (p_1 - PONI_1, p_2 - PONI_2, L)`, and the beam runs along
:math:`b = (\sin r_2, -\cos r_2 \sin r_1, \cos r_2 \cos r_1)`, so that
:math:`\cos 2\theta = v \cdot b / |v|`.

A ring is a profile across times an amplitude along it, both smooth on the scale of a pixel; its
mean over a pixel is taken by Gauss's rule at two by two points, which is exact to cubic terms.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ringline.processing import Geometry

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

REACH = 10.0
"""Full widths from its top at which a ring ends."""
NODES = 0.5 + np.array([-0.5, 0.5]) / np.sqrt(3)
"""Gauss's points of one pixel."""


@dataclass(frozen=True)
class Directions:
    """Where places on the detector are seen from the sample; arrays of one shape."""

    two_theta: Floats
    """rad."""
    chi: Floats
    """Azimuth, rad, 0 along the fast axis, pi/2 along the slow one."""
    cos_incidence: Floats


def directions(geometry: Geometry, slow: Floats, fast: Floats) -> Directions:
    """Directions of places, given in pixels from the image's edge (centers at halves)."""
    s1, c1 = np.sin(geometry.rot1), np.cos(geometry.rot1)
    s2, c2 = np.sin(geometry.rot2), np.cos(geometry.rot2)
    if geometry.rot3 != 0 or geometry.detector.orientation != 3:
        raise ValueError("images are made for rot3 = 0 and orientation 3")
    v1 = slow * geometry.detector.pixel1 - geometry.poni1
    v2 = fast * geometry.detector.pixel2 - geometry.poni2
    v3 = geometry.distance
    along = s2 * v1 - c2 * s1 * v2 + c2 * c1 * v3
    up = c2 * v1 + s2 * s1 * v2 - s2 * c1 * v3
    aside = c1 * v2 + s1 * v3
    return Directions(
        two_theta=np.arctan2(np.hypot(up, aside), along),
        chi=np.arctan2(up, aside),
        cos_incidence=v3 / np.sqrt(v1 * v1 + v2 * v2 + v3 * v3),
    )


def beam_center(geometry: Geometry) -> tuple[float, float]:
    """Where the direct beam meets the detector's plane, (slow, fast) in pixels from the edge."""
    s1, c1 = np.sin(geometry.rot1), np.cos(geometry.rot1)
    s2, c2 = np.sin(geometry.rot2), np.cos(geometry.rot2)
    away = geometry.distance / (c2 * c1)  # along the beam
    slow = (geometry.poni1 + away * s2) / geometry.detector.pixel1
    fast = (geometry.poni2 - away * c2 * s1) / geometry.detector.pixel2
    return float(slow), float(fast)


@dataclass(frozen=True)
class Rings:
    """Lines of a powder, the smallest angle first. Tables run evenly round the circle from chi 0.

    Tables have shape (rings, places), or (rings, 1) where nothing changes along a ring.
    """

    two_theta: Floats
    """rad, shape (rings,)."""
    height: Floats
    """Photons a pixel at the top where the amplitude is 1, before solid angle and polarization."""
    width: Floats
    """Full width at half maximum, rad."""
    lorentzian: float
    """Share of the Lorentzian in the profile."""
    amplitude: Floats
    """Table of texture and grains."""
    offset: Floats
    """Table of how far grains lie outside their ring, rad; zero on average."""
    wander: Floats
    """Variance of the mean offset of a whole ring over all choices of grains, rad squared."""

    def counts(self, places: Directions) -> Floats:
        """Photons of all rings, solid angle and polarization left out, in the places' shape."""
        total = np.zeros(places.two_theta.size)
        two_theta, chi = places.two_theta.ravel(), places.chi.ravel()
        for ring in range(self.two_theta.size):
            away = two_theta - self.two_theta[ring]
            near = np.flatnonzero(np.abs(away) < REACH * self.width[ring])
            offset, amplitude = (
                at_azimuth(table[ring], chi[near]) for table in (self.offset, self.amplitude)
            )
            across = (away[near] - offset) / self.width[ring]
            total[near] += self.height[ring] * amplitude * profile(across, self.lorentzian)
        return total.reshape(places.two_theta.shape)


def profile(x: Floats, lorentzian: float) -> Floats:
    """Pseudo-Voigt of full width 1 and height nearly 1, lowered to reach zero where it ends."""
    end = lorentzian / (1 + 4 * REACH**2)
    line = lorentzian / (1 + 4 * x * x) + (1 - lorentzian) * np.exp2(-4 * x * x) - end
    return np.maximum(line, 0.0)


def slope(x: Floats, lorentzian: float) -> Floats:
    """Derivative of ``profile``."""
    gauss = np.exp2(-4 * x * x)
    lorentz = 1 / (1 + 4 * x * x)
    return np.asarray(-8 * x * (lorentzian * lorentz**2 + (1 - lorentzian) * np.log(2) * gauss))


def at_azimuth(table: Floats, chi: Floats) -> Floats:
    """A table round the circle at azimuths, by straight lines."""
    place = (chi / (2 * np.pi)) % 1.0 * table.size
    below = place.astype(np.intp)
    part = place - below
    return np.asarray(
        table[below % table.size] * (1 - part) + table[(below + 1) % table.size] * part
    )


@dataclass(frozen=True)
class Background:
    """Photons a pixel besides the rings; angles in rad."""

    air: float
    air_angle: float
    """In which air scattering falls by e."""
    hump: float
    """Of something amorphous: a capillary, a window, tape."""
    hump_angle: float
    hump_width: float
    fluorescence: float
    """In all directions alike, not polarized."""

    def scattered(self, two_theta: Floats) -> Floats:
        """Photons that solid angle and polarization are still to act on."""
        away = (two_theta - self.hump_angle) / self.hump_width
        return self.air * np.exp(-two_theta / self.air_angle) + self.hump * np.exp(-0.5 * away**2)


@dataclass(frozen=True)
class BeamStop:
    """A disc in front of the detector, and the arm that holds it."""

    radius: float
    """m."""
    arm: float
    """Half of the arm's width, m."""
    direction: float
    """From the beam along the arm, rad from the fast axis."""
    transmission: float = 0.02

    def shadow(self, geometry: Geometry, slow: Floats, fast: Floats) -> Bools:
        """True where it stands between sample and place."""
        center = beam_center(geometry)
        up = (slow - center[0]) * geometry.detector.pixel1
        aside = (fast - center[1]) * geometry.detector.pixel2
        along = aside * np.cos(self.direction) + up * np.sin(self.direction)
        across = up * np.cos(self.direction) - aside * np.sin(self.direction)
        arm = (np.abs(across) < self.arm) & (along > 0)
        return np.asarray((np.hypot(up, aside) < self.radius) | arm)


@dataclass(frozen=True)
class PowderScene:
    """What a detector sees of a powder, on average."""

    geometry: Geometry
    rings: Rings
    background: Background
    beam_stop: BeamStop | None = None
    polarization: float = 0.95

    def dimming(self, places: Directions) -> Floats:
        """Relative solid angle times polarization."""
        sine, cosine = np.sin(places.two_theta), np.cos(places.two_theta)
        turned = self.polarization * np.cos(2 * places.chi) * sine**2
        return np.asarray(places.cos_incidence**3 * 0.5 * (1 + cosine**2 - turned))

    def background_at(self, places: Directions) -> Floats:
        """Photons a pixel besides the rings."""
        scattered = self.background.scattered(places.two_theta) * self.dimming(places)
        return scattered + self.background.fluorescence * places.cos_incidence**3

    def passed(self, slow: Floats, fast: Floats) -> Floats:
        """What the beam stop leaves of the light."""
        if self.beam_stop is None:
            return np.ones(np.broadcast_shapes(slow.shape, fast.shape))
        shadow = self.beam_stop.shadow(self.geometry, slow, fast)
        return np.where(shadow, self.beam_stop.transmission, 1.0)

    def mean_image(self) -> Floats:
        """Mean photons of each pixel, shape (slow, fast)."""
        slow, fast = (np.arange(n, dtype=float) for n in self.geometry.detector.known_shape)
        total = np.zeros((slow.size, fast.size))
        for up in NODES:
            for aside in NODES:
                places = directions(self.geometry, (slow + up)[:, None], (fast + aside)[None, :])
                total += 0.25 * self.rings.counts(places) * self.dimming(places)
        centers = (slow + 0.5)[:, None], (fast + 0.5)[None, :]
        total += self.background_at(directions(self.geometry, *centers))
        return total * self.passed(*centers)
