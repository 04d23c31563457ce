"""From the pixels of a frame to its Sums: what is the same whatever computes the sums."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from ringline.processing.axes import Axis
from ringline.processing.bin_table import BinSums, Limits, kernel_input
from ringline.processing.binning import output_shape
from ringline.processing.cell_kernels import SMALLEST
from ringline.processing.corrections import Corrections
from ringline.processing.errors import FrameError
from ringline.processing.frames import Block
from ringline.processing.outliers import Outliers
from ringline.processing.sums import Sums
from ringline.processing.table import StaticSums, Table
from ringline.processing.types import FloatArray, ImageArray


class Kernels(Protocol):
    """What an engine computes for a table: sums over the pixels of frames. Thread-safe."""

    def block(self, raws: ImageArray, limits: Limits, *, variance: bool) -> list[BinSums]:
        """Sums of share x raw of frames (frames, pixels), and share squared x max(raw, 1)."""

    def scatter(
        self, raw: ImageArray, exceptions: npt.NDArray[np.uint32], mean: FloatArray
    ) -> FloatArray:
        """Sums of (share x (raw - dark - norm x mean of the bin)) squared, shape (bins,)."""


class Engine:
    """A recipe compiled for one detector shape, and an engine's kernels. Holds no frame.

    The signal of a frame is (sum of share x raw) - (sum of share x dark), and its norm does not
    depend on the frame: only the first sum is made for each. What does not count in one frame
    is taken out of the others.
    """

    def __init__(self, table: Table, kernels: Kernels) -> None:
        self.table = table
        self._kernels = kernels
        self._recipe = table.recipe
        self._shape = output_shape(table.recipe.binning)
        self._limits = limits_of(table.recipe.corrections)
        self._poisson = table.recipe.error_model in ("poisson", "hybrid")

    @property
    def along(self) -> Axis:
        """The axis of a curve, the radial axis of a cake."""
        return self.table.along

    @property
    def across(self) -> Axis | None:
        """The azimuthal axis of a cake; None for a curve."""
        return self.table.across

    def map(self, block: Block) -> list[Sums]:
        """Sums of each frame of a block.

        Raises
        ------
        FrameError:
            The images have another shape than the recipe's detector or are not numeric, or one
            has no reading of the monitor that the recipe normalizes to.
        """
        images = self._checked(block)
        monitors = [self._monitor(block, k) for k in range(len(images))]
        raws = kernel_input(images).reshape(len(images), -1)
        if self._recipe.outliers is not None:
            return [
                self._cleared(block.first + k, raw, monitors[k], self._recipe.outliers)
                for k, raw in enumerate(raws)
            ]
        found = self._kernels.block(raws, self._limits, variance=self._poisson)
        return [
            self._finished(block.first + k, raws[k], sums, monitors[k])
            for k, sums in enumerate(found)
        ]

    def spots(self, block: Block) -> npt.NDArray[np.uint32]:
        """Flat numbers of the pixels of a block's first frame that clipping finds too bright."""
        outliers = self._recipe.outliers
        if outliers is None:
            return np.empty(0, np.uint32)
        raw = kernel_input(self._checked(block)[0]).ravel()
        return self.table.rings.sums(raw, self._limits, outliers).spots

    def _checked(self, block: Block) -> ImageArray:
        images, index = block.images, block.first
        if images.ndim != 3 or images.shape[1:] != self.table.shape:
            shape = images.shape[1:]
            raise FrameError(f"frame {index}: shape {shape}, recipe expects {self.table.shape}")
        if images.dtype.kind not in "biuf":
            raise FrameError(f"frame {index}: dtype {images.dtype} is not numeric")
        return images

    def _monitor(self, block: Block, number: int) -> float:
        """A frame's part of the reference reading of the monitor, 1 without one."""
        reference = self._recipe.corrections.monitor
        if reference is None:
            return 1.0
        reading = None if block.monitors is None else block.monitors[number]
        if reading is None or not (reading > 0 and np.isfinite(reading)):
            raise FrameError(
                f"frame {block.first + number}: the recipe normalizes to the monitor, whose "
                f"reading must be > 0, got {reading}"
            )
        return reading / reference

    def _finished(self, index: int, raw: ImageArray, found: BinSums, monitor: float) -> Sums:
        static = self._static(found.exceptions)
        signal, variance = found.signal, found.variance  # nobody else's: changed in place
        # Zeros need not be taken off or added: a cake has many bins.
        if self.table.dark is not None:
            signal -= static.dark
        if variance is None:
            variance = static.variance
        elif self.table.variance is not None:
            variance += static.variance
        if self._recipe.error_model == "azimuthal":
            with np.errstate(divide="ignore", invalid="ignore"):
                mean = np.where(static.norm > 0, signal / static.norm, 0.0)
            variance = self._kernels.scatter(raw, found.exceptions, mean)
        parts = (signal, variance, static.norm, static.norm_sq, static.count)
        return self._sums(index, parts, monitor, found.exceptions.size)

    def _cleared(self, index: int, raw: ImageArray, monitor: float, outliers: Outliers) -> Sums:
        """Sums of a frame without the outliers of its rings."""
        found = self.table.rings.sums(raw, self._limits, outliers)
        parts = (found.signal, found.variance, found.norm, found.norm_sq, found.count)
        rejected = int(found.rejected.sum() + found.invalid.sum())
        return self._sums(index, parts, monitor, rejected)

    def _sums(
        self, index: int, parts: tuple[FloatArray, ...], monitor: float, rejected: int
    ) -> Sums:
        signal, variance, norm, norm_sq, count = (part.reshape(self._shape) for part in parts)
        return Sums(
            signal,
            variance,
            norm if monitor == 1 else norm * monitor,
            norm_sq if monitor == 1 else norm_sq * monitor**2,
            count,
            frames=1,
            rejected=rejected,
            first_frame=index,
            last_frame=index,
        )

    def _static(self, exceptions: npt.NDArray[np.uint32]) -> StaticSums:
        """The sums that do not depend on the frame, but for the pixels that do not count."""
        static = self.table.static
        if not exceptions.size:
            return static
        lost = self.table.sums_of(exceptions)
        count = static.count - lost.count
        # Where all pixels are lost, what rounding leaves of their sums is nothing.
        left = count > SMALLEST
        return StaticSums(
            np.where(left, static.norm - lost.norm, 0.0),
            np.where(left, static.norm_sq - lost.norm_sq, 0.0),
            np.where(left, count, 0.0),
            np.where(left, static.dark - lost.dark, 0.0),
            np.where(left, static.variance - lost.variance, 0.0),
        )


def limits_of(corrections: Corrections) -> Limits:
    """Which raw values count: below saturation, and not the dummy value."""
    saturation, dummy, delta = corrections.saturation, corrections.dummy, corrections.delta_dummy
    high = np.inf if saturation is None else float(np.nextafter(saturation, -np.inf))
    if dummy is None:
        return Limits(high=high)
    return Limits(high=high, hole_low=dummy - delta, hole_high=dummy + delta)
