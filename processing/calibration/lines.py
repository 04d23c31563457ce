"""Lines of a calibrant: at which 2theta, and how strong they are expected to be."""

from dataclasses import dataclass

import numpy as np

from ringline.processing.calibrants import Calibrant
from ringline.processing.crystals import Ring
from ringline.processing.types import BoolArray, FloatArray

_BACKWARDS = np.deg2rad(170.0)
"""2theta beyond which nothing is looked for."""
_SHORTEST = 0.35e-10
"""Plane spacing, m, below which rings of calibrants lie too dense and weak."""


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines in the order of 2theta; arrays of shape (n,)."""

    rings: tuple[Ring, ...]
    two_theta: FloatArray
    """rad."""
    strength: FloatArray
    """Expected height relative to the strongest, for a powder without texture; 1 where the
    calibrant does not tell."""

    def select(self, which: BoolArray) -> "Lines":
        """Some of them."""
        rings = tuple(ring for ring, taken in zip(self.rings, which, strict=True) if taken)
        return Lines(rings, self.two_theta[which], self.strength[which])

    def gaps(self) -> FloatArray:
        """2theta from each line to the nearer of its neighbours, or the beam, rad."""
        steps = np.diff(self.two_theta, prepend=0.0, append=np.inf)
        return np.asarray(np.minimum(steps[:-1], steps[1:]))


def lines_of(calibrant: Calibrant, wavelength: float, largest: float = np.pi) -> Lines:
    r"""Lines up to a 2theta.

    The height of a ring is its strength times the Lorentz factor of a powder,
    :math:`1 / (\sin^2\theta \cos\theta)`.

    Parameters
    ----------
    calibrant:
        The powder.
    wavelength:
        m.
    largest:
        2theta, rad.
    """
    smallest = max(wavelength / (2 * np.sin(0.5 * min(largest, _BACKWARDS))), _SHORTEST)
    rings = calibrant.rings(smallest_spacing=smallest)
    theta = np.arcsin(wavelength / (2 * np.array([ring.spacing for ring in rings])))
    if any(ring.strength is None for ring in rings):
        return Lines(tuple(rings), 2 * theta, np.ones(len(rings)))
    strength = np.array([ring.strength or 0.0 for ring in rings])
    height = strength / np.maximum(np.sin(theta) ** 2 * np.cos(theta), 1e-12)
    return Lines(tuple(rings), 2 * theta, height / max(float(height.max(initial=0.0)), 1e-300))
