"""Peaks of the integrated curve: a look at a calibration that does not use its control points."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import least_squares
from scipy.signal import find_peaks, peak_widths

from ringline.processing.binning import Radial
from ringline.processing.calibration.image import CalibrationImage
from ringline.processing.calibration.lines import Lines
from ringline.processing.corrections import Corrections
from ringline.processing.geometry import Geometry
from ringline.processing.recipe import Recipe
from ringline.processing.reduction import reduction_for
from ringline.processing.types import FloatArray

_SIGNIFICANT = 8.0
"""Prominence of a peak, in its standard errors."""
_PART = 0.04
"""Prominence of a peak, of the strongest one's, for it to need an explanation."""
_NARROW = 4.0
"""Width of a peak, in widths of the calibrant's, beyond which it is background."""
_FEWEST_BINS = 7
_ENGINE = "numpy"
"""Of all engines the one that is always there and has nothing to compile for one image."""
_HEIGHT = 4.0
"""Of a peak at a line, in its standard errors."""
_PIXELS = 12
"""Fewest in a bin that counts."""


@dataclass(frozen=True, slots=True)
class Curve:
    """The integrated curve, all 2theta in rad, arrays of shape (bins,)."""

    two_theta: FloatArray
    intensity: FloatArray
    sigma: FloatArray


@dataclass(frozen=True, slots=True)
class Peaks:
    """Peaks of the curve at lines, shape (n,)."""

    line: FloatArray
    """2theta of the line, rad."""
    off: FloatArray
    """Of the peak from its line, rad."""
    error: FloatArray


def integrated(geometry: Geometry, image: CalibrationImage, step: float) -> Curve:
    """The curve of an image, counts as they are: an offset of the detector must stay flat.

    Parameters
    ----------
    geometry:
        Of the image.
    image:
        Counts; what is not usable does not count.
    step:
        Size of a bin, rad.
    """
    coarse = Recipe(
        geometry=geometry,
        binning=Radial(bins=1, unit="2th_rad"),
        splitting="no",
        error_model="azimuthal",
        corrections=Corrections(mask=~image.usable, solid_angle=False),
    )
    low, high = reduction_for(coarse, _ENGINE).edges
    bins = int(np.clip((high - low) / step, 16, 20_000))
    recipe = replace(coarse, binning=Radial(bins=bins, unit="2th_rad"))
    profile = reduction_for(recipe, _ENGINE).reduce(image.counts)
    sigma = np.zeros(bins) if profile.sigma is None else profile.sigma
    # Where few pixels are, their scatter says nothing of their error.
    there = np.isfinite(profile.intensity) & np.isfinite(sigma) & (profile.sums.count >= _PIXELS)
    return Curve(profile.axis[there], profile.intensity[there], sigma[there])


def peaks_at(curve: Curve, lines: FloatArray, width: FloatArray, half: FloatArray) -> Peaks:
    """Where the curve's peaks are, each a bell on a sloping background.

    Parameters
    ----------
    curve:
        The curve.
    lines, width, half:
        2theta, standard deviation and half the window of each, rad, shape (n,).
    """
    found = []
    for line, own, reach in zip(lines, width, half, strict=True):
        near = np.abs(curve.two_theta - line) < reach
        x, y = curve.two_theta[near] - line, curve.intensity[near]
        if near.sum() >= _FEWEST_BINS:
            fitted = _bell(x, y, float(own))
            if fitted is not None:
                found.append((line, *fitted))
    columns = np.array(found).reshape(-1, 3).T
    return Peaks(columns[0], columns[1], columns[2])


def _bell(x: FloatArray, y: FloatArray, width: float) -> tuple[float, float] | None:
    """Place of a bell and its error; None where there is none."""
    start = np.array([float(y.max() - np.median(y)), 0.0, 1.0, float(np.median(y)), 0.0])
    unit = x / width

    def residual(terms: FloatArray) -> FloatArray:
        height, place, spread, level, slope = terms
        bell = np.exp(-0.5 * ((unit - place) / spread) ** 2)
        return np.asarray(height * bell + level + slope * unit - y)

    # All bins alike: their own errors would trust the wings most, where no bell fits.
    fitted = least_squares(residual, start, x_scale="jac", max_nfev=60)
    height, place, spread = fitted.x[:3]
    inverse = np.linalg.pinv(fitted.jac.T @ fitted.jac, hermitian=True)
    variance = 2.0 * fitted.cost / max(x.size - start.size, 1) * np.diag(inverse)
    inside = abs(place) < np.abs(unit).max() and 0.2 < abs(spread) < 4.0
    if not inside or height <= 0 or height < _HEIGHT * np.sqrt(variance[0]):
        return None
    return float(width * place), float(width * np.sqrt(variance[1]))


def unexplained(curve: Curve, lines: Lines, width: float) -> tuple[float, list[float]]:
    """Part of the peaks' heights that no line of the calibrant explains, and where they are.

    Parameters
    ----------
    curve:
        The curve, its bins smaller than ``width``.
    lines:
        All lines of the calibrant.
    width:
        Standard deviation of its rings, rad.
    """
    noise = np.maximum(curve.sigma, 1e-30)
    places, properties = find_peaks(curve.intensity, prominence=0.0)
    if not places.size:
        return 0.0, []
    height = properties["prominences"]
    step = float(np.median(np.diff(curve.two_theta)))
    narrow = peak_widths(curve.intensity, places)[0] * step < _NARROW * 2.355 * max(width, step)
    strong = narrow & (height > _SIGNIFICANT * noise[places]) & (height > _PART * height[narrow].max(initial=0.0))  # fmt: skip  # noqa: E501
    angles, height = curve.two_theta[places[strong]], height[strong]
    if not angles.size:
        return 0.0, []
    nearest = np.abs(angles[:, None] - lines.two_theta[None, :]).min(axis=1)
    stray = nearest > 3.0 * width + step
    return float(height[stray].sum() / height.sum()), angles[stray].tolist()
