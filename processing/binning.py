"""What to produce: a curve, an azimuthal profile or a cake."""

from dataclasses import dataclass

import numpy as np

from ringline.processing.checks import (
    require_choice,
    require_count,
    require_edges,
    require_range,
)
from ringline.processing.errors import RecipeError
from ringline.processing.units import AZIMUTHAL_UNITS, Unit, unit_named

Range = tuple[float, float]
Edges = tuple[float, ...]

_DEGREES = unit_named("chi_deg")
# The edges that a compiled recipe has: its upper one is a float32 step above the range.
_ROUNDING = 1.0 + 2.0**-22


@dataclass(frozen=True, slots=True)
class Radial:
    """Intensity against radius, averaged over the azimuth: a curve of shape (bins,).

    Raises
    ------
    RecipeError:
        bins < 1, edges that do not ascend or are no bins in number, a range that is empty or
        wider than the circle, an unknown unit.
    """

    bins: int = 0
    """Equal bins; follows from ``edges`` where these are given."""
    unit: str = "q_nm^-1"
    radial_range: Range | None = None
    """In ``unit``; None: all that the detector sees."""
    azimuth_range: Range | None = None
    """Degrees, at most 360 wide; None: all."""
    edges: Edges | None = None
    """Edges of the bins, in ``unit``, instead of equal bins; shape (bins + 1,)."""

    def __post_init__(self) -> None:
        unit = unit_named(self.unit)
        _set_bins(self, "bins", "edges")
        _set_ranges(self, unit)
        _check_edges(self, "edges", "radial_range")
        if unit.periodic:
            if self.azimuth_range is not None:
                raise RecipeError(
                    f"azimuth_range: the axis {self.unit!r} is the azimuth itself: give its range "
                    "as radial_range"
                )
            _check_circle("edges", self.edges, unit)
            _check_circle("radial_range", self.radial_range, unit)


@dataclass(frozen=True, slots=True)
class Azimuthal:
    """Intensity against azimuth, averaged over a range of the radius: shape (bins,).

    Raises
    ------
    RecipeError:
        As ``Radial``.
    """

    bins: int = 0
    unit: str = "chi_deg"
    """chi_deg or chi_rad."""
    radial_range: Range | None = None
    """In ``radial_unit``; None: all."""
    azimuth_range: Range | None = None
    """Degrees; None: all that the detector sees."""
    radial_unit: str = "q_nm^-1"
    edges: Edges | None = None
    """Edges of the bins, in ``unit``, instead of equal bins; shape (bins + 1,)."""

    def __post_init__(self) -> None:
        require_choice("unit of an azimuthal profile", self.unit, AZIMUTHAL_UNITS)
        _set_bins(self, "bins", "edges")
        _set_ranges(self, _radial_unit("radial_unit", self.radial_unit))
        _check_edges(self, "edges", "azimuth_range")
        _check_circle("edges", self.edges, unit_named(self.unit))


@dataclass(frozen=True, slots=True)
class Cake:
    """Intensity against radius and azimuth: shape (azimuthal_bins, radial_bins).

    Raises
    ------
    RecipeError:
        As ``Radial``.
    """

    radial_bins: int = 0
    azimuthal_bins: int = 0
    unit: str = "q_nm^-1"
    radial_range: Range | None = None
    azimuth_range: Range | None = None
    edges: Edges | None = None
    """Edges of the radial bins, in ``unit``, instead of equal bins."""
    azimuth_edges: Edges | None = None
    """Edges of the azimuthal bins, degrees, instead of equal bins."""

    def __post_init__(self) -> None:
        _set_bins(self, "radial_bins", "edges")
        _set_bins(self, "azimuthal_bins", "azimuth_edges")
        _set_ranges(self, _radial_unit("unit of a cake", self.unit))
        _check_edges(self, "edges", "radial_range")
        _check_edges(self, "azimuth_edges", "azimuth_range")
        _check_circle("azimuth_edges", self.azimuth_edges, _DEGREES)


Binning = Radial | Azimuthal | Cake


def output_shape(binning: Binning) -> tuple[int, ...]:
    """Shape of intensity and sigma."""
    match binning:
        case Radial(bins=bins) | Azimuthal(bins=bins):
            return (bins,)
        case Cake(radial_bins=radial, azimuthal_bins=azimuthal):
            return (azimuthal, radial)


def _set_bins(binning: Binning, bins: str, edges: str) -> None:
    given = require_edges(edges, getattr(binning, edges))
    object.__setattr__(binning, edges, given)
    count = getattr(binning, bins)
    if given is None:
        require_count(bins, count)
    elif count in (0, len(given) - 1):
        object.__setattr__(binning, bins, len(given) - 1)
    else:
        raise RecipeError(f"{bins} is {count}, but {edges} are those of {len(given) - 1} bins")


def _set_ranges(binning: Binning, unit: Unit) -> None:
    radial = require_range("radial_range", binning.radial_range)
    azimuth = require_range("azimuth_range", binning.azimuth_range)
    _check_circle("azimuth_range", azimuth, _DEGREES)
    if unit.from_zero and radial is not None and radial[1] <= 0:
        raise RecipeError(f"radial_range must reach above 0, got {radial}: it is empty")
    object.__setattr__(binning, "radial_range", radial)
    object.__setattr__(binning, "azimuth_range", azimuth)


def _check_edges(binning: Binning, edges: str, bounds: str) -> None:
    if getattr(binning, edges) is not None and getattr(binning, bounds) is not None:
        raise RecipeError(f"{bounds} and {edges} are both given: the {edges} say the range")


def _check_circle(name: str, values: Edges | None, unit: Unit) -> None:
    if values is not None and values[-1] - values[0] > 2 * np.pi * unit.scale * _ROUNDING:
        wide = f"{2 * np.pi * unit.scale:g} {unit.symbol}".replace("degree", "degrees")
        raise RecipeError(f"{name} must be at most {wide} wide, got {values}")


def _radial_unit(name: str, value: str) -> Unit:
    unit = unit_named(value)
    if unit.periodic:
        raise RecipeError(f"{name} must be a radial one, got {value!r}")
    return unit
