"""Sums over rings without their outliers, frame by frame."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from ringline.processing import quantile_kernels, ring_kernels, robust_kernels
from ringline.processing.bin_table import Limits
from ringline.processing.errors import RecipeError
from ringline.processing.outliers import Outliers, QuantileRange, SigmaClip
from ringline.processing.ring_kernels import Bounds, Entries, Errors
from ringline.processing.types import FloatArray, ImageArray, IntArray
from ringline.processing.worker_threads import in_parallel

Runner: TypeAlias = Callable[[Callable[[int], None], int], None]
"""Calls a task with 0 .. parts - 1, in any order, and waits for all."""

PARTS = 32
"""Into how many runs of rings a frame is cut, with about as many entries each."""

WRITABLE: tuple[Literal["C"], Literal["W"]] = ("C", "W")

LARGEST = 1e100
"""Beyond this a raw value is not a number: its square would be none."""

ERRORS = {
    "none": Errors(counts=False, own=False, clip_own=False, scatter=False),
    "poisson": Errors(counts=True, own=True, clip_own=True, scatter=False),
    "variance": Errors(counts=False, own=True, clip_own=True, scatter=False),
    "azimuthal": Errors(counts=False, own=False, clip_own=False, scatter=True),
    "hybrid": Errors(counts=True, own=True, clip_own=False, scatter=False),
}
"""Where each error model has its variances from. As in pyFAI, ``hybrid`` clips by the scatter
around the ring and then propagates Poisson's, and ``none`` clips by the scatter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RingTable:
    """Which pixels count in which ring: entries sorted by ring."""

    start: IntArray
    """Where the entries of each ring begin, and the end, shape (rings + 1,)."""
    pixel: npt.NDArray[np.uint32]
    """Flat pixel number of each entry, shape (entries,)."""
    share: npt.NDArray[np.float32] | None = None
    """Part of the pixel that counts, shape (entries,); None: all count in full."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelTerms:
    """What does not depend on the frame, each of shape (pixels,)."""

    norm: FloatArray
    """Flat x polarization x solid angle and so on."""
    dark: FloatArray | None = None
    variance: FloatArray | None = None
    """Of each pixel: of its dark, or all there is with the error model ``variance``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RingSums:
    """Sums over the entries that one frame keeps, each of shape (rings,)."""

    signal: FloatArray
    """Sum of share x (raw - dark)."""
    variance: FloatArray
    """Sum of share squared x variance; or, with the error model ``azimuthal``, of
    (share x norm x (intensity - mean)) squared; 0 without an error model."""
    norm: FloatArray
    """Sum of share x norm."""
    norm_sq: FloatArray
    """Sum of (share x norm) squared."""
    count: FloatArray
    """Sum of shares."""
    rejected: IntArray
    """Entries left out as outliers."""
    invalid: IntArray
    """Entries left out because of their raw value alone."""
    spots: npt.NDArray[np.uint32]
    """Flat numbers, ascending, of pixels that sigma clipping left out of a ring for being
    brighter; none for quantiles."""


class RobustRings:
    """Rings compiled for robust sums. Thread-safe; holds no frame.

    With splitting, a pixel may be left out of one ring and kept in the next.
    """

    def __init__(self, table: RingTable, pixels: PixelTerms, error_model: str) -> None:
        """Compile.

        Raises
        ------
        RecipeError:
            The norm of an entry is not > 0, or the error model is ``variance`` without one.
        """
        self._errors = ERRORS[error_model]
        if error_model == "variance" and pixels.variance is None:
            raise RecipeError("error model 'variance' needs a variance")
        self._entries = _entries(table, pixels, own_variance=self._errors.own)
        self._rings = table.start.size - 1
        begin = np.linspace(0, self._entries.start[-1], PARTS + 1)
        cuts = np.searchsorted(self._entries.start, begin)
        cuts[0], cuts[-1] = 0, self._rings
        self._parts = [(int(a), int(b)) for a, b in pairwise(cuts) if a < b]

    def sums(
        self, raw: ImageArray, limits: Limits, outliers: Outliers, run: Runner = in_parallel
    ) -> RingSums:
        """Sums of one frame.

        Parameters
        ----------
        raw:
            Pixels as ``kernel_input`` gives them, shape (pixels,).
        limits:
            Which values count; those that are not a number never do.
        outliers:
            What to leave out.
        run:
            Runs the parts. It does not change the result.
        """
        frame = raw.view()
        frame.flags.writeable = False  # the loops are compiled once, not also for writable ones
        sums, numbers = np.empty((self._rings, 5)), np.empty((self._rings, 2), np.int64)
        spots = [np.empty(0, np.uint32)] * len(self._parts)
        common = self._entries, _bounds(limits), self._errors

        def part(index: int) -> None:
            rings = self._parts[index]
            match outliers:
                case SigmaClip(threshold, iterations):
                    clip = robust_kernels.Clip(threshold, iterations)
                    spots[index] = robust_kernels.sigma_clip(
                        *common, clip, frame, rings, sums, numbers
                    )
                case QuantileRange(low, high):
                    between = quantile_kernels.Range(low, high)
                    quantile_kernels.quantile_range(*common, between, frame, rings, sums, numbers)

        run(part, len(self._parts))
        return RingSums(
            signal=sums[:, ring_kernels.SIGNAL].copy(),
            variance=sums[:, ring_kernels.VARIANCE].copy(),
            norm=sums[:, ring_kernels.NORM].copy(),
            norm_sq=sums[:, ring_kernels.NORM_SQ].copy(),
            count=sums[:, ring_kernels.COUNT].copy(),
            rejected=numbers[:, ring_kernels.REJECTED].copy(),
            invalid=numbers[:, ring_kernels.INVALID].copy(),
            spots=_once(np.concatenate([np.empty(0, np.uint32), *spots])),
        )


def _bounds(limits: Limits) -> Bounds:
    low, high = max(limits.low, -LARGEST), min(limits.high, LARGEST)
    return Bounds(float(low), float(high), float(limits.hole_low), float(limits.hole_high))


def _once(numbers: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """Each number once, ascending: np.unique looks them up in a hash table, 20 times slower."""
    ascending = np.sort(numbers)
    return ascending[np.diff(ascending.astype(np.int64), prepend=-1) > 0]


def _lean(values: FloatArray) -> FloatArray | npt.NDArray[np.float32]:
    """As float32 where that changes nothing: loops wait for memory."""
    with np.errstate(over="ignore"):
        short = values.astype(np.float32)
    same = bool((short == values).all())
    return short if same else values.astype(np.float64)


def _entries(table: RingTable, pixels: PixelTerms, *, own_variance: bool) -> Entries:
    """What entries hold, in their order: read in a row, instead of pixel by pixel."""
    pixel, start = table.pixel, table.start
    share = np.empty(0, np.float32) if table.share is None else table.share
    weight = pixels.norm[pixel].astype(np.float64)
    if not (np.isfinite(weight) & (weight > 0)).all():
        raise RecipeError("norms must be finite and > 0 to find outliers")
    if share.size and (share == 1).all():
        share = np.empty(0, np.float32)
    if share.size and (share == 0).any():
        used = share > 0
        start = np.concatenate([[0], np.cumsum(used)])[start]
        pixel, share, weight = pixel[used], share[used], weight[used]
    if share.size:
        weight *= share
    none = np.empty(0)
    variance = pixels.variance if own_variance else None
    return Entries(
        np.require(start, np.int64, WRITABLE),
        np.require(pixel, np.uint32, WRITABLE),
        np.require(share, np.float32, WRITABLE),
        weight,
        _lean(none if pixels.dark is None else pixels.dark[pixel]),
        none if variance is None else variance[pixel].astype(np.float64),
    )
