"""Where places on an image are on the detector, in space."""

from functools import lru_cache

import numpy as np

from ringline.processing.arrays import InputArray
from ringline.processing.detector import Detector
from ringline.processing.types import FloatArray, IntArray


def places_on(detector: Detector, slow: FloatArray, fast: FloatArray) -> FloatArray:
    """Positions of places on an image, m, shape (n, 3): along axes 1, 2 and the normal.

    Parameters
    ----------
    detector:
        Its shape must be known.
    slow, fast:
        Pixels from the edge of the image as stored, shape (n,); 0.5 is the first pixel's middle.
    """
    rows, columns = detector.known_shape
    if detector.corners is None:
        if detector.orientation in (1, 2):
            slow = rows - slow
        if detector.orientation in (1, 4):
            fast = columns - fast
        flat = [detector.pixel1 * slow, detector.pixel2 * fast, np.zeros_like(slow)]
        return np.asarray(np.stack(flat, axis=1), dtype=np.float64)
    i = np.clip(np.floor(slow).astype(int), 0, rows - 1)
    j = np.clip(np.floor(fast).astype(int), 0, columns - 1)
    centers = _centers(detector.corners)
    down = _step(centers, 0, i, j, detector.pixel1)
    right = _step(centers, 1, i, j, detector.pixel2)
    return np.asarray(
        centers[i, j] + (slow - i - 0.5)[:, None] * down + (fast - j - 0.5)[:, None] * right
    )


@lru_cache(maxsize=1)
def _centers(corners: InputArray) -> FloatArray:
    """Centers of pixels, m, shape (slow, fast, 3): along axes 1, 2 and the normal."""
    mean = corners.values.mean(axis=2, dtype=np.float64)
    return np.asarray(mean[..., [1, 2, 0]])


def _step(
    centers: FloatArray,
    axis: int,
    i: IntArray,
    j: IntArray,
    pixel: float,
) -> FloatArray:
    """From each pixel to the next one of its module, m: a jump to another module is no step."""
    size = centers.shape[axis]
    here = (i, j)
    both = np.zeros((2, i.size, 3))
    for k, step in enumerate((1, -1)):
        moved = np.clip(here[axis] + step, 0, size - 1)
        other = (moved, j) if axis == 0 else (i, moved)
        both[k] = step * (centers[other] - centers[here])
    length = np.linalg.norm(both, axis=2)
    length[~((length > 0.2 * pixel) & (length < 1.6 * pixel))] = np.inf
    nearest = np.take_along_axis(both, length.argmin(axis=0)[None, :, None], axis=0)[0]
    nearest[~np.isfinite(length.min(axis=0))] = 0.0
    return np.asarray(nearest)
