"""Crests of the rings on an image, found without knowing where the detector is."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ringline.processing.calibration.image import CalibrationImage
from ringline.processing.calibration.pixel_kernels import binned
from ringline.processing.types import BoolArray, FloatArray

_SIDE = 800
"""Pixels along an image's longer side to which it is binned for the search."""
_SCALES = (1.0, 1.7, 3.0)
"""Widths of rings, binned pixels (standard deviations)."""
_SIGNIFICANT = 6.0
"""Of the noise of a crest."""
_CELL = 6
"""Binned pixels, of which squares keep one crest: strong rings must not outvote the others."""
_SIDES = 2.5
"""How far from a crest its sides are looked at, in its widths."""
_SHALLOW = 0.3
"""Fall on one side of a crest, of that on the other one, below which it is an edge."""
_MOST = 3000
_SMOOTH = 15.0
"""Binned pixels beyond which nothing is a ring."""

Floats = npt.NDArray[np.float32]
Places = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Ridges:
    """Points on crests, shape (n,); positions in pixels from the image's edge, as stored."""

    slow: FloatArray
    fast: FloatArray
    across_slow: FloatArray
    """Unit vector across the crest, pixels."""
    across_fast: FloatArray
    strength: FloatArray
    """In units of the noise."""
    width: FloatArray
    """Standard deviation of the ring's profile at which it stands out most, pixels."""
    bin: int
    """Pixels that were summed along each axis."""

    def __len__(self) -> int:
        return len(self.slow)


def find_ridges(image: CalibrationImage) -> Ridges:
    """Points on crests, the strongest of each small square."""
    size = -(-max(image.counts.shape) // _SIDE)
    smooth, valid = _stabilized(image, size)
    noise = _noise(smooth, valid)
    strength, angle, width = _crests(smooth, valid, noise)
    rows, columns, shift = _peaks(strength, angle)
    both = _falls_on_both_sides(smooth, (rows, columns), angle, width)
    rows, columns, shift = rows[both], columns[both], shift[both]
    keep = _thinned(strength[rows, columns], rows, columns)
    rows, columns, shift = rows[keep], columns[keep], shift[keep]
    turn = angle[rows, columns].astype(np.float64)
    across_slow, across_fast = np.sin(turn), np.cos(turn)
    return Ridges(
        slow=(rows + 0.5 + shift * across_slow) * size,
        fast=(columns + 0.5 + shift * across_fast) * size,
        across_slow=across_slow,
        across_fast=across_fast,
        strength=strength[rows, columns].astype(np.float64),
        width=width[rows, columns].astype(np.float64) * size,
        bin=size,
    )


def _stabilized(image: CalibrationImage, size: int) -> tuple[Floats, Floats]:
    """Square roots of mean counts, of equal noise everywhere; and which are measured, 0 or 1."""
    shape = tuple(n // size for n in image.counts.shape)
    total, number = np.zeros(shape), np.zeros(shape)
    binned(image.counts, image.usable, size, total, number)
    mean = np.divide(total, number, where=number > 0, out=np.zeros(shape))
    valid = (number >= 0.5 * size * size).astype(np.float32)
    root = np.sqrt(np.maximum(mean, 0.0) + 0.1).astype(np.float32)
    filled = _filled(root, valid)
    # Sampled derivatives of a Gaussian do not quite cancel a constant, which may be a thousand
    # times the noise.
    return filled - ndimage.gaussian_filter(filled, _SMOOTH), valid


def _filled(values: Floats, valid: Floats) -> Floats:
    """Values with holes closed by what is around them."""
    filled = np.where(valid > 0, values, np.float32(0))
    missing = valid == 0
    weight = valid
    for sigma in (1.5, 4.0, 12.0, 40.0):
        near = ndimage.gaussian_filter(weight, sigma)
        value = ndimage.gaussian_filter(weight * filled, sigma) / np.maximum(near, 1e-6)
        done = missing & (near > 0.02)
        filled = np.where(done, value, filled)
        missing = missing & ~done
        if not missing.any():
            break
    return filled.astype(np.float32)


def _noise(values: Floats, valid: Floats) -> float:
    """Standard deviation of a binned pixel's noise (Immerkaer, CVIU 64 (1996) 300, robustly)."""
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)
    inside = ndimage.minimum_filter(valid, 3) > 0
    found = np.abs(ndimage.convolve(values, kernel)[inside])
    return max(float(np.median(found)) / 0.6745 / 6.0, 1e-6) if found.size else 1.0


def _crests(values: Floats, valid: Floats, noise: float) -> tuple[Floats, Floats, Floats]:
    """Strength of the crest through each pixel in units of its noise, direction across, width."""
    best = np.zeros_like(values)
    angle, width = np.zeros_like(values), np.ones_like(values)
    for sigma in _SCALES:
        slow2 = ndimage.gaussian_filter(values, sigma, order=(2, 0))
        fast2 = ndimage.gaussian_filter(values, sigma, order=(0, 2))
        mixed = ndimage.gaussian_filter(values, sigma, order=(1, 1))
        half, middle = 0.5 * (slow2 - fast2), 0.5 * (slow2 + fast2)
        root = np.hypot(half, mixed)
        # The eigenvalue that is most negative; variance of a second derivative of white noise.
        spread = noise * np.sqrt(3.0 / (16.0 * np.pi)) / sigma**3
        found = (root - middle) / spread
        near = ndimage.gaussian_filter(valid, sigma)
        found = np.where(near > 0.75, found, 0)
        better = found > best
        best = np.where(better, found, best)
        angle = np.where(better, 0.5 * np.arctan2(2 * mixed, fast2 - slow2) + 0.5 * np.pi, angle)
        width = np.where(better, np.float32(sigma), width)
    return best, angle, width


def _peaks(strength: Floats, angle: Floats) -> tuple[Places, Places, FloatArray]:
    """Pixels stronger than both neighbours across the crest, and how far the crest is off."""
    inner = np.zeros(strength.shape, dtype=bool)
    inner[1:-1, 1:-1] = True
    rows, columns = np.nonzero((strength > _SIGNIFICANT) & inner)
    step_slow, step_fast = np.sin(angle[rows, columns]), np.cos(angle[rows, columns])
    here = strength[rows, columns].astype(np.float64)
    ahead, behind = (
        ndimage.map_coordinates(strength, (rows + s * step_slow, columns + s * step_fast), order=1)
        for s in (1, -1)
    )
    crest = (here >= ahead) & (here > behind)
    rows, columns = rows[crest], columns[crest]
    here, ahead, behind = here[crest], ahead[crest].astype(float), behind[crest].astype(float)
    bend = 2 * here - ahead - behind
    shift = np.divide(0.5 * (ahead - behind), bend, where=bend > 0, out=np.zeros_like(bend))
    return rows, columns, np.clip(shift, -0.5, 0.5)


def _falls_on_both_sides(
    values: Floats, places: tuple[Places, Places], angle: Floats, width: Floats
) -> BoolArray:
    """Whether crests are higher than both their sides: the edge of a shadow is not.

    There the bright side is a plateau as high as the crest.
    """
    rows, columns = places
    soft = ndimage.gaussian_filter(values, 0.7)
    turn, reach = angle[places], _SIDES * width[places]
    step_slow, step_fast = reach * np.sin(turn), reach * np.cos(turn)
    here = soft[places]
    depths = [
        here
        - ndimage.map_coordinates(
            soft, (rows + s * step_slow, columns + s * step_fast), order=1, mode="nearest"
        )
        for s in (1, -1)
    ]
    return np.asarray(np.minimum(*depths) > _SHALLOW * np.maximum(*depths))


def _thinned(strength: Floats, rows: Places, columns: Places) -> Places:
    """The strongest of each square, and of these the strongest."""
    order = np.argsort(-strength, kind="stable")
    cells = (rows[order] // _CELL) * 100_003 + columns[order] // _CELL
    _, first = np.unique(cells, return_index=True)
    return np.sort(order[np.sort(first)[:_MOST]])
