"""Sufficient statistics of frames, and the profile that they make."""

from dataclasses import dataclass

import numpy as np

from ringline.processing.errors import FrameError
from ringline.processing.types import FloatArray


@dataclass(frozen=True, slots=True)
class Sums:
    """Sufficient statistics of a set of frames. ``+`` is associative; no frame is held.

    All arrays have the shape of the output: (bins,) or (azimuthal_bins, radial_bins).
    """

    signal: FloatArray
    """Sum of share x (raw - dark)."""
    variance: FloatArray
    """Sum of share squared x variance of the pixel; with the error model ``azimuthal`` its
    squared distance from its ring's mean in that frame."""
    norm: FloatArray
    """Sum of share x norm: flat x polarization x solid angle and so on."""
    norm_sq: FloatArray
    """Sum of (share x norm) squared."""
    count: FloatArray
    """Sum of shares: how many pixels counted."""
    frames: int = 0
    rejected: int = 0
    """Pixels left out because of what these frames hold there: not a number, saturated, the
    dummy value, or an outlier of its ring."""
    first_frame: int | None = None
    last_frame: int | None = None

    @classmethod
    def zero(cls, shape: tuple[int, ...]) -> "Sums":
        """The sums of no frame."""
        zeros = np.zeros(shape)
        zeros.setflags(write=False)
        return cls(zeros, zeros, zeros, zeros, zeros)

    def __add__(self, other: "Sums") -> "Sums":
        if self.signal.shape != other.signal.shape:
            raise FrameError(
                f"sums of shape {self.signal.shape} and {other.signal.shape} cannot be added"
            )
        firsts = [n for n in (self.first_frame, other.first_frame) if n is not None]
        lasts = [n for n in (self.last_frame, other.last_frame) if n is not None]
        return Sums(
            self.signal + other.signal,
            self.variance + other.variance,
            self.norm + other.norm,
            self.norm_sq + other.norm_sq,
            self.count + other.count,
            self.frames + other.frames,
            self.rejected + other.rejected,
            min(firsts, default=None),
            max(lasts, default=None),
        )

    def __radd__(self, other: int) -> "Sums":
        """So that ``sum(...)`` of sums, which begins with 0, is their sum."""
        return self if other == 0 else NotImplemented


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A reduced curve or cake."""

    axis: FloatArray
    """Bin centers in ``unit``, radial or those of an azimuthal profile, shape (bins,)."""
    unit: str
    azimuth: FloatArray | None
    """Azimuthal bin centers, degrees; None for a curve."""
    intensity: FloatArray
    """Mean corrected intensity, shape (bins,) or (azimuthal_bins, radial_bins); NaN where no
    pixel counted: zero is a valid intensity, and plots must show a gap."""
    sigma: FloatArray | None
    """Standard error of the mean, shape of ``intensity``; None without an error model."""
    sums: Sums
    """What they are made of."""
    recipe_digest: str

    @property
    def std(self) -> FloatArray | None:
        """Standard deviation of a pixel from the mean, like ``sigma``."""
        if self.sigma is None:
            return None
        squares = np.full_like(self.sigma, np.nan)
        some = self.sums.count > 0
        np.divide(self.sums.variance, self.sums.norm_sq, out=squares, where=some)
        return np.sqrt(squares, out=squares)

    @property
    def frames(self) -> int:
        """How many frames it is of."""
        return self.sums.frames

    @property
    def first_frame(self) -> int | None:
        """Index of the first of them."""
        return self.sums.first_frame

    @property
    def last_frame(self) -> int | None:
        """Index of the last of them."""
        return self.sums.last_frame
