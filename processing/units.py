"""Units of an axis, by pyFAI's names: what is plotted against, as a function of the position."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np

from ringline.processing.checks import require_choice
from ringline.processing.formulas import compiled_formula, formula_value
from ringline.processing.geometry import chi_of, q_at, radius_of, two_theta_of
from ringline.processing.types import FloatArray

Position: TypeAlias = tuple[FloatArray, FloatArray, FloatArray]
"""Points in the frame of the sample, m: t1 up, t2 across, t3 along the beam, of one shape."""

FORMULA = "formula:"
"""What the unit of a user's own function begins with."""

FORMULA_VARIABLES = ("x", "y", "z", "wavelength", "λ", "q", "two_theta", "chi", "r")
"""What a formula may use: x, y, z, r and wavelength in m (x across, y up, z along the beam, as
in pyFAI's formulas), q in 1/nm, two_theta and chi in rad."""


@dataclass(frozen=True, slots=True)
class Unit:
    """An axis: which function of the position, times what, and how to write it."""

    name: str
    value: Callable[[Position, float], FloatArray]
    """Of positions and wavelength (m), in SI (q: 1/nm)."""
    scale: float
    """Axis value per SI value (per 1/nm for q)."""
    symbol: str
    """One that pint and NeXus parse."""
    label: str
    nexus_name: str
    from_zero: bool = True
    """It is never below 0: a radius of some kind."""
    periodic: bool = False
    """It is the azimuth."""


def _q(position: Position, wavelength: float) -> FloatArray:
    return q_at(*position, wavelength)


def _two_theta(position: Position, _wavelength: float) -> FloatArray:
    return two_theta_of(*position)


def _radius(position: Position, _wavelength: float) -> FloatArray:
    return radius_of(*position)


def _d_star_squared(position: Position, wavelength: float) -> FloatArray:
    # d* = 1/d = q / (2 pi)
    return np.square(_q(position, wavelength) / (2.0 * np.pi))


def _log_q(position: Position, wavelength: float) -> FloatArray:
    with np.errstate(divide="ignore"):
        return np.log(_q(position, wavelength))


def azimuth_of(position: Position, _wavelength: float = 0.0) -> FloatArray:
    """Azimuth of positions, rad, from -pi to pi."""
    return chi_of(*position)


_DEGREE = 180.0 / np.pi
_AZIMUTH = {"from_zero": False, "periodic": True}

UNITS: dict[str, Unit] = {
    unit.name: unit
    for unit in (
        Unit("q_nm^-1", _q, 1.0, "1/nm", "q (nm⁻¹)", "q"),
        Unit("q_A^-1", _q, 0.1, "1/angstrom", "q (Å⁻¹)", "q"),
        Unit("2th_deg", _two_theta, _DEGREE, "degree", "2θ (°)", "2theta"),
        Unit("2th_rad", _two_theta, 1.0, "rad", "2θ (rad)", "2theta"),
        Unit("r_mm", _radius, 1000.0, "mm", "r (mm)", "r"),
        Unit("r_m", _radius, 1.0, "m", "r (m)", "r"),
        Unit("d*2_nm^-2", _d_star_squared, 1.0, "1/nm^2", "d*² (nm⁻²)", "d*2"),
        Unit("d*2_A^-2", _d_star_squared, 0.01, "1/angstrom^2", "d*² (Å⁻²)", "d*2"),
        Unit("log(q)", _log_q, 1.0, "", "ln(q nm)", "log(q)", from_zero=False),
        Unit("chi_deg", azimuth_of, _DEGREE, "degree", "χ (°)", "chi", **_AZIMUTH),
        Unit("chi_rad", azimuth_of, 1.0, "rad", "χ (rad)", "chi", **_AZIMUTH),
    )
}

RADIAL_UNITS = tuple(name for name, unit in UNITS.items() if not unit.periodic)
AZIMUTHAL_UNITS = tuple(name for name, unit in UNITS.items() if unit.periodic)


def unit_named(name: object) -> Unit:
    """The unit of that name, or the user's own function ``formula: ...`` of the position.

    Raises
    ------
    RecipeError:
        There is none (near names are offered), or the formula has a word that is not allowed.
    """
    if isinstance(name, str) and name.startswith(FORMULA):
        return _formula_unit(name)
    return UNITS[require_choice("unit", name, UNITS)]


@lru_cache(maxsize=32)
def _formula_unit(name: str) -> Unit:
    text = name.removeprefix(FORMULA).strip()
    code = compiled_formula(text, FORMULA_VARIABLES)

    def value(position: Position, wavelength: float) -> FloatArray:
        vertical, horizontal, along = position
        values: dict[str, FloatArray | float] = {
            "x": horizontal, "y": vertical, "z": along, "wavelength": wavelength, "λ": wavelength,
            "q": _q(position, wavelength), "two_theta": two_theta_of(*position),
            "chi": chi_of(*position), "r": radius_of(*position),
        }  # fmt: skip
        return formula_value(code, values)

    return Unit(name, value, 1.0, "", text, text, from_zero=False)
