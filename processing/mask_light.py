"""What lit areas of an image measure: between the rings, on them, and around."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ringline.processing.mask_rings import Members, Scattering, rings_of, sums
from ringline.processing.types import BoolArray, FloatArray

_RING_WIDTH = 1.0
"""Pixels."""
_LIT = 0.75
"""Part of a ring up to which a shadow leaves it, for it to be known: the quantile that is taken to
be lit, and the share of the mean."""
_IN_STOP = 0.4
"""Share of what there is outside that the shadow of a beam stop has at most."""
_BETWEEN_RINGS = 0.15
"""Quantile of the cells around that is taken to be between rings, and lit."""
_CELLS = 64
"""Cells along the longer side of the coarse image that surroundings are taken from."""


@dataclass(frozen=True, slots=True, eq=False)
class Smoothed:
    """An image in which each pixel stands for the square around it, shape (slow, fast)."""

    photons: FloatArray
    exposure: FloatArray
    measured: BoolArray

    @property
    def rate(self) -> FloatArray:
        """Photons a frame; NaN where nothing measures."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(self.measured, self.photons / self.exposure, np.nan)


class RingLight:
    """What each ring of a geometry measures where it is lit."""

    def __init__(self, photons: FloatArray, exposure: FloatArray, scattering: Scattering) -> None:
        """Take the mean of each ring.

        Parameters
        ----------
        photons:
            In all frames, without outliers, shape (slow, fast).
        exposure:
            Frames times relative exposure, likewise; 0 where nothing measures.
        """
        self._rings = rings_of(scattering, _RING_WIDTH)
        rings = self._rings
        total, exposed = (sums(rings.ring, values, rings.count) for values in (photons, exposure))
        known = np.flatnonzero(exposed)
        self._numbers = np.arange(rings.count)
        self._members = np.bincount(rings.ring.ravel())
        self._window = 2 * max(10, rings.count // 40) + 1
        self._mean = np.zeros(rings.count)
        if known.size:
            self._mean = np.interp(self._numbers, known, total[known] / exposed[known])
        beam_is_seen = float(scattering.two_theta.min()) <= scattering.step
        self._stop, self._outside = self._find_stop() if beam_is_seen else (0, 0.0)

    def levels(self, smoothed: Smoothed) -> tuple[FloatArray, FloatArray]:
        """At each pixel what there is between the rings, and on its ring; shapes (slow, fast).

        Smoothed images make what is between rings brighter, but less at the edges of the image:
        the mean of the rings as they are does not.
        """
        ring, count, use = self._rings.ring, self._rings.count, smoothed.measured
        level = Members(ring[use], count).quantile(smoothed.rate[use], _LIT)
        known = np.flatnonzero(np.isfinite(level))
        if not known.size:
            return np.full(use.shape, np.nan), np.full(use.shape, np.nan)
        level = self._beyond_stop(np.interp(self._numbers, known, level[known]))
        between = np.minimum(
            self._between(level), self._between(self._beyond_stop(self._mean)) / _LIT
        )
        return between[ring], level[ring]

    def _beyond_stop(self, level: FloatArray) -> FloatArray:
        """Levels of rings, those in the beam stop's shadow at least as outside."""
        found = level.copy()
        found[: self._stop] = np.maximum(found[: self._stop], self._outside)
        return found

    def _between(self, level: FloatArray) -> FloatArray:
        between = ndimage.percentile_filter(level, 20.0, size=self._window, mode="nearest")
        # Pixels of one ring differ on a steep flank: none is less bright than the next but one.
        narrow = ndimage.minimum_filter(level, 5, mode="nearest")
        return np.asarray(np.minimum(between, narrow))

    def _find_stop(self) -> tuple[int, float]:
        """How many rings from the beam on are in its stop's shadow, and the level outside.

        Those up to which four fifths of the pixels are dark, relative to the darkest of the next
        ones, and from there on those of the penumbra. Whatever scatters may rise from the beam
        on, but not as steeply as from ``_IN_STOP``.
        """
        level, members = self._mean, self._members
        for stop in range(level.size // 2, 0, -1):
            after = level[stop + 1 : stop + 1 + 2 * self._window]
            dark = members[:stop][level[:stop] < _IN_STOP * after.min()].sum()
            if after.min() > 0 and dark >= 0.8 * members[:stop].sum():
                outside = float(np.quantile(after, 0.2))
                return stop + int(np.argmax(level[stop:] >= outside)), outside
        return 0, 0.0


def surroundings(rate: FloatArray) -> FloatArray:
    """Level of what is not bright in a third of the image around each pixel, from coarse cells."""
    side = max(1, -(-max(rate.shape) // _CELLS))
    known = np.isfinite(rate)
    cells = [np.arange(0, n, side) for n in rate.shape]
    total, number = (
        np.add.reduceat(np.add.reduceat(values, cells[0], axis=0), cells[1], axis=1)
        for values in (np.where(known, rate, 0.0), known.astype(np.float64))
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        coarse = total / number
    reach = max(1, max(coarse.shape) // 6)
    around = np.full_like(coarse, np.nan)
    for i, j in np.ndindex(*coarse.shape):
        part = coarse[max(i - reach, 0) : i + reach + 1, max(j - reach, 0) : j + reach + 1]
        if np.isfinite(part).any():
            around[i, j] = np.nanquantile(part, _BETWEEN_RINGS)
    whole = np.repeat(np.repeat(around, side, axis=0), side, axis=1)
    return np.asarray(whole[: rate.shape[0], : rate.shape[1]])
