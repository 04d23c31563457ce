"""What to produce: a curve or a cake."""

from dataclasses import dataclass

from ringline.processing.checks import require_count, require_range
from ringline.processing.errors import RecipeError
from ringline.processing.units import unit_named

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Radial:
    """Intensity against radius, averaged over the azimuth: a curve of shape (bins,).

    Raises
    ------
    RecipeError:
        bins < 1, a range that is empty or wider than the circle, an unknown unit.
    """

    bins: int
    unit: str = "q_nm^-1"
    radial_range: Range | None = None
    """In ``unit``; None: all that the detector sees."""
    azimuth_range: Range | None = None
    """Degrees, at most 360 wide; None: all."""

    def __post_init__(self) -> None:
        require_count("bins", self.bins)
        _check_axes(self)


@dataclass(frozen=True, slots=True)
class Cake:
    """Intensity against radius and azimuth: shape (azimuthal_bins, radial_bins).

    Raises
    ------
    RecipeError:
        Bins < 1, a range that is empty or wider than the circle, an unknown unit.
    """

    radial_bins: int
    azimuthal_bins: int
    unit: str = "q_nm^-1"
    radial_range: Range | None = None
    azimuth_range: Range | None = None

    def __post_init__(self) -> None:
        require_count("radial_bins", self.radial_bins)
        require_count("azimuthal_bins", self.azimuthal_bins)
        _check_axes(self)


Binning = Radial | Cake


def output_shape(binning: Binning) -> tuple[int, ...]:
    """Shape of intensity and sigma."""
    match binning:
        case Radial(bins=bins):
            return (bins,)
        case Cake(radial_bins=radial, azimuthal_bins=azimuthal):
            return (azimuthal, radial)


def _check_axes(binning: Binning) -> None:
    unit_named(binning.unit)
    radial = require_range("radial_range", binning.radial_range)
    azimuth = require_range("azimuth_range", binning.azimuth_range)
    if azimuth is not None and azimuth[1] - azimuth[0] > 360:
        raise RecipeError(f"azimuth_range must be at most 360 degrees wide, got {azimuth}")
    if radial is not None and radial[1] <= 0:
        raise RecipeError(f"radial_range must reach above 0, got {radial}: it is empty")
    object.__setattr__(binning, "radial_range", radial)
    object.__setattr__(binning, "azimuth_range", azimuth)
