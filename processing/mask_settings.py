"""How a mask is made of frames."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ringline.processing.checks import require_count, require_finite, require_positive
from ringline.processing.errors import RecipeError
from ringline.processing.pixel_statistics import Limits

_SHARES = {"dead_below": 1.0, "weak_below": 1.0, "shadow_below": 1.0, "transient": 0.5}
"""Fields that are shares, and what they must be less than."""
_FACTORS = ("hot_above", "noisy_above")


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskSettings:
    """What is masked.

    A pixel is masked for its counts only where both hold: it is far enough from what is expected,
    as the factors say, and chance does not explain it, as ``false_positives`` says.

    Raises
    ------
    RecipeError:
        A value out of its bounds.
    """

    false_positives: float = 0.1
    """How many good pixels of an image may be masked by chance, on average, for each cause that is
    tested (dead or weak, hot, noisy, shadow), if photons are counted: > 0, < 1000."""
    dead_below: float = 0.1
    """Counts that are less than this share of what is expected are those of a dead pixel: < 1."""
    weak_below: float = 0.5
    """Likewise of a pixel that responds too little: < 1 and at least ``dead_below``."""
    hot_above: float = 2.0
    """Counts that are more than so many times what is expected are those of a hot pixel: > 1."""
    noisy_above: float = 4.0
    """A variance over frames that is more than so many times that of photons, and of the pixels
    around, is that of a noisy pixel: > 1."""
    shadow_below: float = 0.7
    """Areas with less than this share of what is expected are in a shadow: < 1. Without a geometry
    it is less than two fifths of that, as less is known of what is expected."""
    shadow_area: int = 100
    """Smallest area of a shadow, pixels; around the beam, where that is known, a tenth."""
    margin: int = 2
    """By how many pixels shadows are grown, for the penumbra; 0: not at all."""
    transient: float = 0.1
    """Share of a pixel's frames, rounded up, that may be bright without its being hot or noisy, as
    from a Bragg spot or a cosmic ray: < 0.5. One frame alone is always looked at."""
    polarization: float | None = None
    """Factor (Ih - Iv) / (Ih + Iv) from -1 to 1, that the scattering along a ring is known better;
    None: it is taken as equal all round at first."""
    gain: float = 1.0
    """Counts that a photon makes: variance over mean of evenly lit pixels. > 0."""
    minimum: float | None = None
    """Values below it are none; None: 0 for signed integers, as makers write negative ones where
    there is no value, no limit for others."""
    saturation: float | None = None
    """Values from it on are none; None: the largest of an integer type."""
    memory: int = 256 << 20
    """Bytes to hold frames in: what exceeds it goes to a compressed scratch file."""
    scratch: Path | None = None
    """Folder of the scratch file; None: the system's for temporary files."""

    def __post_init__(self) -> None:
        self._set("false_positives", require_positive("false_positives", self.false_positives))
        if not self.false_positives < 1000:
            raise RecipeError(f"false_positives must be < 1000, got {self.false_positives:g}")
        for name, bound in _SHARES.items():
            share = self._set(name, require_finite(name, getattr(self, name)))
            if not 0 <= share < bound:
                raise RecipeError(f"{name} must be >= 0 and < {bound:g}, got {share:g}")
        if self.weak_below < self.dead_below:
            raise RecipeError(
                f"weak_below must be >= dead_below ({self.dead_below:g}), got {self.weak_below:g}"
            )
        for name in _FACTORS:
            factor = self._set(name, require_finite(name, getattr(self, name)))
            if not factor > 1:
                raise RecipeError(f"{name} must be > 1, got {factor:g}")
        require_count("shadow_area", self.shadow_area)
        require_count("margin", self.margin, at_least=0)
        require_count("memory", self.memory, at_least=1 << 20)
        self._set("gain", require_positive("gain", self.gain))
        self._check_values()

    def _check_values(self) -> None:
        for name in ("minimum", "saturation", "polarization"):
            if getattr(self, name) is not None:
                self._set(name, require_finite(name, getattr(self, name)))
        low, high, factor = self.minimum, self.saturation, self.polarization
        if low is not None and high is not None and not low < high:
            raise RecipeError(f"saturation must be > minimum ({low:g}), got {high:g}")
        if factor is not None and not -1 <= factor <= 1:
            raise RecipeError(f"polarization must be from -1 to 1, got {factor:g}")

    def _set(self, name: str, value: float) -> float:
        object.__setattr__(self, name, value)
        return value

    def limits(self, dtype: npt.DTypeLike) -> Limits:
        """Which values of a type are measured ones."""
        kind = np.dtype(dtype)
        low = 0.0 if kind.kind == "i" else -np.inf
        high = float(np.iinfo(kind.str).max) if kind.kind in "iu" else np.inf
        return Limits(
            low if self.minimum is None else self.minimum,
            high if self.saturation is None else self.saturation,
        )

    def chance(self, pixels: int) -> float:
        """Probability at which chance does not explain what one of ``pixels`` shows."""
        return self.false_positives / pixels
