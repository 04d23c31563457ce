"""The reference engine: plain NumPy, float64, every correction inside the sums."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ringline.processing.axes import Axis, azimuthal_axis, extent, radial_axis, wrapped
from ringline.processing.binning import Cake, Radial, output_shape
from ringline.processing.corrections import Corrections
from ringline.processing.errors import FrameError
from ringline.processing.frames import Frame
from ringline.processing.geometry import PixelArrays
from ringline.processing.recipe import Recipe
from ringline.processing.splitting import Shares, share
from ringline.processing.sums import Sums
from ringline.processing.types import BoolArray, FloatArray
from ringline.processing.units import unit_named


@dataclass(frozen=True, slots=True)
class Table:
    """A recipe compiled for one detector shape: axes, shares and the static norm of pixels."""

    radial: Axis
    azimuthal: Axis | None
    shares: Shares
    norm: FloatArray
    """flat x polarization x solid angle, shape (pixels,)."""


class NumpyEngine:
    """A recipe compiled for one detector shape. Thread-safe; holds no frame."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self._shape = recipe.geometry.detector.known_shape
        self._output_shape = output_shape(recipe.binning)
        self._table = compile_table(recipe)

    @property
    def radial(self) -> Axis:
        """The radial axis."""
        return self._table.radial

    @property
    def azimuthal(self) -> Axis | None:
        """The azimuthal axis; None for a curve."""
        return self._table.azimuthal

    def map(self, frame: Frame) -> Sums:
        """Sums of one frame.

        Raises
        ------
        FrameError:
            The image has another shape than the recipe's detector, or is not numeric.
        """
        raw = self._raw(frame)
        dark = self.recipe.corrections.dark
        signal = raw if dark is None else raw - dark.values.ravel()
        norm, count, rejected = *self._static, 0
        # A pixel that is not a number counts nowhere: neither its signal nor its norm.
        valid = np.isfinite(raw)
        if not valid.all():
            signal, raw = np.where(valid, signal, 0.0), np.where(valid, raw, 0.0)
            norm, count = self._sum(self._table.norm * valid), self._sum(valid.astype(float))
            rejected = int((self._in_use & ~valid).sum())
        return Sums(
            self._sum(signal),
            self._variance(raw, valid),
            norm,
            count,
            frames=1,
            rejected=rejected,
            first_frame=frame.index,
            last_frame=frame.index,
        )

    def _raw(self, frame: Frame) -> FloatArray:
        if frame.image.shape != self._shape:
            raise FrameError(
                f"frame {frame.index}: shape {frame.image.shape}, recipe expects {self._shape}"
            )
        if frame.image.dtype.kind not in "biuf":
            raise FrameError(f"frame {frame.index}: dtype {frame.image.dtype} is not numeric")
        return frame.image.astype(np.float64).ravel()

    def _variance(self, raw: FloatArray, valid: BoolArray) -> FloatArray:
        if self.recipe.error_model == "none":
            return np.zeros(self._output_shape)
        # pyFAI's Poisson variance: that of the counts as recorded, at least one.
        return self._binned(np.maximum(raw, 1.0) * valid, self._squared_weight)

    def _sum(self, values: FloatArray) -> FloatArray:
        return self._binned(values, self._table.shares.weight)

    def _binned(self, values: FloatArray, weight: FloatArray) -> FloatArray:
        shares = self._table.shares
        entries = values.take(shares.pixel)
        entries *= weight
        sums = np.zeros(int(np.prod(self._output_shape)))
        if shares.start.size:
            sums[shares.bin] = np.add.reduceat(entries, shares.start)
        return sums.reshape(self._output_shape)

    @cached_property
    def _squared_weight(self) -> FloatArray:
        return np.square(self._table.shares.weight)

    @cached_property
    def _static(self) -> tuple[FloatArray, FloatArray]:
        ones = np.ones(self._table.norm.size)
        return self._sum(self._table.norm), self._sum(ones)

    @cached_property
    def _in_use(self) -> BoolArray:
        used = np.zeros(self._table.norm.size, dtype=bool)
        used[self._table.shares.pixel] = True
        return used


def compile_table(recipe: Recipe) -> Table:
    """Axes, shares and static norms of a recipe whose detector's shape is known."""
    pixels = PixelArrays(recipe.geometry)
    binning = recipe.binning
    unit = unit_named(binning.unit)
    split = recipe.splitting != "no"
    masked = masked_pixels(recipe)
    norm = pixel_norm(recipe.corrections, pixels).ravel()
    used = ~masked & np.isfinite(norm) & (norm != 0)
    radius = extent(pixels, unit.coordinate, split=split)
    given = binning.radial_range
    bounds = None if given is None else (given[0] / unit.scale, given[1] / unit.scale)
    azimuth_range = binning.azimuth_range
    azimuth = None if azimuth_range is None else _radians(azimuth_range)
    match binning:
        case Radial(bins=bins):
            axis = radial_axis(bins, bounds, radius, ~masked)
            if azimuth is not None:
                chi = wrapped(extent(pixels, "chi", split=split), azimuth)
                used &= (chi.high >= azimuth[0]) & (chi.low <= azimuth[1])
            return Table(axis, None, share([axis], [radius], used), norm)
        case Cake(radial_bins=radial_bins, azimuthal_bins=azimuthal_bins):
            chi = extent(pixels, "chi", split=split)
            chi = chi if azimuth is None else wrapped(chi, azimuth)
            axis = radial_axis(radial_bins, bounds, radius, ~masked)
            around = azimuthal_axis(azimuthal_bins, azimuth, chi, ~masked)
            return Table(axis, around, share([around, axis], [chi, radius], used), norm)


def masked_pixels(recipe: Recipe) -> BoolArray:
    """True for pixels left out by the mask or in the detector's gaps, shape (pixels,)."""
    slow, fast = recipe.geometry.detector.known_shape
    masked = np.zeros((slow, fast), dtype=bool)
    gaps = recipe.geometry.detector.built_in_mask()
    given = recipe.corrections.mask
    if gaps is not None:
        masked |= gaps
    if given is not None:
        masked |= given.values.astype(bool)
    return masked.ravel()


def pixel_norm(corrections: Corrections, pixels: PixelArrays) -> FloatArray:
    """Flat x polarization x solid angle of each pixel, shape (slow, fast)."""
    norm = np.ones(pixels.geometry.detector.known_shape)
    if corrections.flat is not None:
        norm *= corrections.flat.values
    if corrections.polarization is not None:
        norm *= pixels.polarization(corrections.polarization)
    if corrections.solid_angle:
        norm *= pixels.solid_angle
    return norm


def _radians(degrees: tuple[float, float]) -> tuple[float, float]:
    return float(np.radians(degrees[0])), float(np.radians(degrees[1]))
