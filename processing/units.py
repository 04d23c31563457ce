"""Units of the radial axis, by pyFAI's names."""

from dataclasses import dataclass

import numpy as np

from ringline.processing.checks import require_choice
from ringline.processing.geometry import Coordinate


@dataclass(frozen=True, slots=True)
class Unit:
    """A radial axis: which coordinate, times what, and how to write it."""

    name: str
    coordinate: Coordinate
    scale: float
    """Axis value per SI value (per 1/nm for q)."""
    symbol: str
    """One that pint and NeXus parse."""
    label: str
    nexus_name: str


UNITS: dict[str, Unit] = {
    unit.name: unit
    for unit in (
        Unit("q_nm^-1", "q", 1.0, "1/nm", "q (nm⁻¹)", "q"),
        Unit("q_A^-1", "q", 0.1, "1/angstrom", "q (Å⁻¹)", "q"),
        Unit("2th_deg", "two_theta", 180.0 / np.pi, "degree", "2θ (°)", "2theta"),
        Unit("2th_rad", "two_theta", 1.0, "rad", "2θ (rad)", "2theta"),
        Unit("r_mm", "r", 1000.0, "mm", "r (mm)", "r"),
        Unit("r_m", "r", 1.0, "m", "r (m)", "r"),
    )
}


def unit_named(name: object) -> Unit:
    """The unit of that name; RecipeError with near names where there is none."""
    return UNITS[require_choice("unit", name, UNITS)]
