"""Which pixels of a ring to leave out in each frame: zingers, Bragg peaks, shadows."""

from dataclasses import dataclass

from ringline.processing.checks import require_count, require_finite
from ringline.processing.errors import RecipeError


@dataclass(frozen=True, slots=True)
class SigmaClip:
    """Leave out what is farther from its ring's mean than some standard deviations; repeat.

    The standard deviation is that of the error model; with ``none`` and ``hybrid`` it is the
    scatter around the ring.

    Raises
    ------
    RecipeError:
        A threshold < 0, iterations < 1.
    """

    threshold: float = 5.0
    """Standard deviations; 0, as in pyFAI: Chauvenet's criterion, which depends on how many
    pixels the ring has."""
    iterations: int = 5
    """At most so many times."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "threshold", require_finite("threshold", self.threshold))
        if self.threshold < 0:
            raise RecipeError(f"threshold must be >= 0, got {self.threshold:g}")
        require_count("iterations", self.iterations)


@dataclass(frozen=True, slots=True)
class QuantileRange:
    """Of each ring, average only the pixels between two quantiles of the intensity.

    Equal quantiles take the one pixel there: 0.5 and 0.5 the median.

    Raises
    ------
    RecipeError:
        Not 0 <= low <= high <= 1.
    """

    low: float = 0.5
    high: float = 0.5

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            object.__setattr__(self, name, require_finite(f"quantile {name}", getattr(self, name)))
        if not 0 <= self.low <= self.high <= 1:
            raise RecipeError(
                f"quantiles must be 0 <= low <= high <= 1, got {self.low:g} and {self.high:g}"
            )


Outliers = SigmaClip | QuantileRange
