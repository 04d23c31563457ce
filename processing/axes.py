"""Bin edges of a recipe's axes."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ringline.processing.binning import Azimuthal, Binning, Cake, Radial
from ringline.processing.errors import RecipeError
from ringline.processing.types import FloatArray
from ringline.processing.units import Unit, unit_named

# pyFAI's upper edge is one float32 step above the last pixel, so that it falls inside. Keeping
# that makes the axes, and thus the curves of its users, agree; it moves the edge by 1.2e-7.
_ABOVE = 1.0 + float(np.finfo(np.float32).eps)

Bounds = tuple[float, float]


@dataclass(frozen=True)
class Axis:
    """Bins in a row, in SI (q: 1/nm)."""

    low: float
    high: float
    bins: int
    unit: Unit
    given: tuple[float, ...] | None = None
    """Edges, SI, where they were given; None: the bins are equal."""
    open_ended: bool = False
    """The range is that of the pixels: a pixel reaching beyond it counts in the last bin."""

    @cached_property
    def edges(self) -> FloatArray:
        """Bin edges, shape (bins + 1,)."""
        if self.given is not None:
            return np.array(self.given)
        return np.linspace(self.low, self.high, self.bins + 1, dtype=np.float64)

    @cached_property
    def centers(self) -> FloatArray:
        """Bin centers, shape (bins,)."""
        if self.given is not None:
            return 0.5 * (self.edges[1:] + self.edges[:-1])
        half = 0.5 * self.width
        return np.linspace(self.low + half, self.high - half, self.bins, dtype=np.float64)

    @property
    def width(self) -> float:
        """Mean width of a bin."""
        return (self.high - self.low) / self.bins

    @property
    def shown_centers(self) -> FloatArray:
        """Bin centers in the axis's unit."""
        return self.centers * self.unit.scale

    @property
    def shown_edges(self) -> FloatArray:
        """Bin edges in the axis's unit."""
        return self.edges * self.unit.scale


@dataclass(frozen=True, slots=True)
class AxisRequest:
    """What a recipe asks of one axis; its range may be left to the pixels."""

    unit: Unit
    bins: int
    bounds: Bounds | None
    """SI; None: those of the pixels."""
    edges: tuple[float, ...] | None = None
    """SI."""

    def axis(self, seen: Bounds | None) -> Axis:
        """The axis, where pixels in use lie from ``seen[0]`` to ``seen[1]`` (None: there are none).

        Raises
        ------
        RecipeError:
            No range is given, and no pixel is in use.
        """
        if self.edges is not None:
            return Axis(self.edges[0], self.edges[-1], self.bins, self.unit, self.edges)
        if self.bounds is not None:
            return Axis(self.bounds[0], _above(self.bounds[1]), self.bins, self.unit)
        if seen is None:
            raise RecipeError("mask: all pixels are masked, so there is no range to bin")
        low, high = seen
        if self.unit.from_zero:
            # A pixel around the beam reaches, as a bounding box, below radius 0: to nothing.
            low, high = max(low, 0.0), max(high, 0.0)
        elif self.unit.periodic:
            low, high = max(low, -np.pi), min(high, np.pi)
        return Axis(low, _above(high, low), self.bins, self.unit, open_ended=True)


@dataclass(frozen=True, slots=True)
class AxesRequest:
    """The axes of a recipe: what is plotted against, and what only selects."""

    along: AxisRequest
    """The axis of a curve, the radial axis of a cake."""
    across: AxisRequest | None
    """The azimuthal axis of a cake."""
    selects: tuple[Unit, Bounds] | None
    """For a curve: only pixels within these bounds, SI, of this other coordinate."""


def axes_request(binning: Binning) -> AxesRequest:
    """What a binning asks of the axes, in SI."""
    azimuth = unit_named("chi_deg")
    around = _si(binning.azimuth_range, azimuth)
    match binning:
        case Radial(bins=bins, unit=name, radial_range=given, edges=edges):
            unit = unit_named(name)
            along = AxisRequest(unit, bins, _si(given, unit), _si_edges(edges, unit))
            return AxesRequest(along, None, None if around is None else (azimuth, around))
        case Azimuthal(bins=bins, unit=name, radial_range=given, edges=edges):
            unit, radial = unit_named(name), unit_named(binning.radial_unit)
            along = AxisRequest(unit, bins, around, _si_edges(edges, unit))
            bounds = _si(given, radial)
            return AxesRequest(along, None, None if bounds is None else (radial, bounds))
        case Cake(unit=name, radial_range=given, edges=edges):
            unit = unit_named(name)
            return AxesRequest(
                AxisRequest(unit, binning.radial_bins, _si(given, unit), _si_edges(edges, unit)),
                AxisRequest(
                    azimuth,
                    binning.azimuthal_bins,
                    around,
                    _si_edges(binning.azimuth_edges, azimuth),
                ),
                None,
            )


def _si(bounds: Bounds | None, unit: Unit) -> Bounds | None:
    return None if bounds is None else (bounds[0] / unit.scale, bounds[1] / unit.scale)


def _si_edges(edges: tuple[float, ...] | None, unit: Unit) -> tuple[float, ...] | None:
    return None if edges is None else tuple(edge / unit.scale for edge in edges)


def _above(high: float, low: float = -np.inf) -> float:
    above = high * _ABOVE if high > 0 else high / _ABOVE
    # All pixels in one place: a bin must still be wider than nothing.
    return above if above > low else low + (_ABOVE - 1.0)
