"""What to undo: everything between the scattered and the recorded intensity."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import overload

from ringline.processing.arrays import ArraySource, InputArray, input_array, stored
from ringline.processing.checks import require_bool, require_finite, require_positive
from ringline.processing.errors import RecipeError

ARRAYS = ("mask", "dark", "flat", "dark_variance", "variance")


class _Array:
    """A field given as an array or a path, kept as an ``InputArray``."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, corrections: None, owner: type) -> None: ...

    @overload
    def __get__(self, corrections: "Corrections", owner: type) -> InputArray | None: ...

    def __get__(self, corrections: "Corrections | None", owner: type) -> InputArray | None:
        return None if corrections is None else corrections.__dict__[f"_{self._name}"]

    def __set__(self, corrections: "Corrections", source: ArraySource) -> None:
        corrections.__dict__[f"_{self._name}"] = input_array(self._name, source)


@dataclass(frozen=True, kw_only=True)
class Corrections:
    """Corrections, applied inside the sums over the pixels that are not masked.

    signal = raw - dark, norm = flat x polarization x solid angle x absorption x monitor / scale.
    Arrays are given as arrays or as paths; all are of shape (slow, fast).

    Raises
    ------
    RecipeError:
        A file that cannot be read, arrays of different shapes, a number out of its bounds.
    """

    mask: _Array = _Array()
    """True or nonzero where a pixel is left out."""
    dark: _Array = _Array()
    """Counts to subtract from each frame. Pixels where it is not finite are left out."""
    flat: _Array = _Array()
    """Relative response of each pixel. Pixels where it is 0 or not finite are left out."""
    dark_variance: _Array = _Array()
    """Variance of the dark, counts squared: added to that of the frame."""
    variance: _Array = _Array()
    """Variance of each pixel, counts squared, for the error model ``variance``."""
    polarization: float | None = None
    """Factor (Ih - Iv) / (Ih + Iv) from -1 to 1; None: no correction."""
    polarization_axis: float = 0.0
    """Turn of the beam's main axis of polarization from the horizontal, degrees, against the
    sense of chi (pyFAI's ``axis_offset``)."""
    solid_angle: bool = True
    """Whether to divide by each pixel's solid angle."""
    absorption: bool = False
    """Whether to divide by the part of the photons that each pixel's sensor absorbs."""
    monitor: float | None = None
    """Frames are normalized to this reading of the beam monitor; None: they are not."""
    scale: float = 1.0
    """What the intensity is multiplied by, for an absolute scale."""
    saturation: float | None = None
    """Pixels of a frame that reach this count nowhere."""
    dummy: float | None = None
    """Pixels of a frame with this value count nowhere."""
    delta_dummy: float = 0.0
    """How far from ``dummy`` a value still means it."""

    def __post_init__(self) -> None:
        checked = {
            "polarization": _finite_or_none("polarization", self.polarization),
            "polarization_axis": require_finite("polarization_axis", self.polarization_axis),
            "solid_angle": require_bool("solid_angle", self.solid_angle),
            "absorption": require_bool("absorption", self.absorption),
            "monitor": None if self.monitor is None else require_positive("monitor", self.monitor),
            "scale": require_positive("scale", self.scale),
            "saturation": _finite_or_none("saturation", self.saturation),
            "dummy": _finite_or_none("dummy", self.dummy),
            "delta_dummy": require_finite("delta_dummy", self.delta_dummy),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        if self.polarization is not None and not -1 <= self.polarization <= 1:
            raise RecipeError(f"polarization must be from -1 to 1, got {self.polarization!r}")
        if self.delta_dummy < 0:
            raise RecipeError(f"delta_dummy must be >= 0, got {self.delta_dummy!r}")
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
        return replace(self, **saved)  # type: ignore[arg-type]  # what is stored is an InputArray


def _finite_or_none(name: str, value: object) -> float | None:
    return None if value is None else require_finite(name, value)
