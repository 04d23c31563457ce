"""What to undo: everything between the scattered and the recorded intensity."""

from dataclasses import dataclass
from pathlib import Path

from ringline.processing.arrays import ArraySource, InputArray, input_array, stored
from ringline.processing.checks import require_bool, require_finite
from ringline.processing.errors import RecipeError

ARRAYS = ("mask", "dark", "flat")


@dataclass(frozen=True, init=False)
class Corrections:
    """Corrections, applied inside the sums over the pixels that are not masked.

    signal = raw - dark, norm = flat x polarization x solid angle.

    Parameters
    ----------
    mask:
        True or nonzero where a pixel is left out, shape (slow, fast): an array or a path.
    dark:
        Counts to subtract from each frame.
    flat:
        Relative response of each pixel. Pixels where it is 0 or not finite are left out.
    polarization:
        Factor (Ih - Iv) / (Ih + Iv) from -1 to 1; None: no correction.
    solid_angle:
        Whether to divide by each pixel's solid angle.

    Raises
    ------
    RecipeError:
        A file that cannot be read, arrays of different shapes, a factor out of bounds.
    """

    mask: InputArray | None
    dark: InputArray | None
    flat: InputArray | None
    polarization: float | None
    solid_angle: bool

    def __init__(
        self,
        *,
        mask: ArraySource = None,
        dark: ArraySource = None,
        flat: ArraySource = None,
        polarization: float | None = None,
        solid_angle: bool = True,
    ) -> None:
        for name, source in zip(ARRAYS, (mask, dark, flat), strict=True):
            object.__setattr__(self, name, input_array(name, source))
        object.__setattr__(self, "polarization", _polarization(polarization))
        object.__setattr__(self, "solid_angle", require_bool("solid_angle", solid_angle))
        self.check_shape(None)

    def check_shape(self, shape: tuple[int, int] | None) -> tuple[int, int] | None:
        """The shape that all arrays have; RecipeError where one differs from ``shape``."""
        expected, by = shape, "the detector"
        for name, array in self.arrays().items():
            slow, fast = array.values.shape
            if expected is None:
                expected, by = (slow, fast), name
            elif (slow, fast) != expected:
                where = f" {array.path}" if array.path else ""
                raise RecipeError(f"{name}{where}: shape {(slow, fast)}, {by} has {expected}")
        return expected

    def arrays(self) -> dict[str, InputArray]:
        """The arrays that are given, by name."""
        found = {name: getattr(self, name) for name in ARRAYS}
        return {name: array for name, array in found.items() if array is not None}

    def with_stored_arrays(self, folder: Path) -> "Corrections":
        """The same corrections, arrays given without a path saved in ``folder``."""
        saved = {name: stored(array, folder) for name, array in self.arrays().items()}
        return Corrections(**{**self._scalars(), **saved})  # type: ignore[arg-type]

    def _scalars(self) -> dict[str, float | bool | None]:
        return {"polarization": self.polarization, "solid_angle": self.solid_angle}


def _polarization(factor: float | None) -> float | None:
    if factor is None:
        return None
    value = require_finite("polarization", factor)
    if not -1 <= value <= 1:
        raise RecipeError(f"polarization must be from -1 to 1, got {factor!r}")
    return value
