"""What a sensor is made of, and what it takes from the rays that cross it."""

import importlib.util
import json
import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ringline.processing.checks import did_you_mean, require_finite, require_positive
from ringline.processing.errors import RecipeError
from ringline.processing.types import FloatArray

ENERGIES_KEV = (0.1, 800.0)
"""Where the tables of attenuation hold."""

MATERIALS: dict[str, tuple[str, float]] = {
    "Si": ("Si", 2.329),
    "Ge": ("Ge", 5.327),
    "Se": ("Se", 4.26),
    "CdTe": ("CdTe", 5.85),
    "CZT": ("Cd0.9Zn0.1Te", 5.75),
    "GaAs": ("GaAs", 5.3176),
    "CsI": ("CsI", 4.51),
    "Gd2O2S": ("Gd2O2S", 7.32),
    "BaFBr0.85I0.15": ("BaFBr0.85I0.15", 3.18),
}
"""Sensor materials by pyFAI's names: formula, and density in g/cm^3 as pyFAI has it.

CZT is taken with the usual tenth of zinc."""


@dataclass(frozen=True, slots=True)
class Sensor:
    """The slab in which photons are absorbed, as in a PONI file.

    Raises
    ------
    RecipeError:
        A material that is no name, a thickness that is not > 0 m.
    """

    material: str
    """A name of ``MATERIALS``, or any other as long as nothing is computed with it."""
    thickness: float | None = None
    """m; None: not known."""

    def __post_init__(self) -> None:
        if not isinstance(self.material, str) or not self.material:
            raise RecipeError(f"sensor material must be a name, got {self.material!r}")
        if self.thickness is not None:
            thickness = require_positive("sensor thickness", self.thickness, "m")
            object.__setattr__(self, "thickness", thickness)


@dataclass(frozen=True, slots=True)
class Slab:
    """A sensor at one photon energy."""

    attenuation: float
    """1/m."""
    thickness: float | None
    """m; None: so thick that nothing passes."""

    def relative_efficiency(self, cosine: FloatArray) -> FloatArray:
        r"""Part of the photons that is absorbed, relative to normal incidence.

        .. math:: \frac{1 - e^{-\mu t / \cos\alpha}}{1 - e^{-\mu t}}

        Parameters
        ----------
        cosine:
            :math:`\cos\alpha` of the incidence angle, any shape.
        """
        if self.thickness is None:
            return np.ones_like(cosine)
        depth = self.attenuation * self.thickness
        with np.errstate(divide="ignore"):
            return np.asarray(np.expm1(-depth / cosine) / np.expm1(-depth))

    def mean_path(self, cosine: FloatArray) -> FloatArray:
        r"""Mean path within the slab of the photons that it absorbs, m.

        .. math:: \frac{1}{\mu} \left(1 - \frac{e}{\exp(e) - 1}\right),
            \quad e = \frac{\mu t}{\cos\alpha}

        Parameters
        ----------
        cosine:
            :math:`\cos\alpha` of the incidence angle, any shape.
        """
        if self.thickness is None:
            return np.full_like(cosine, 1.0 / self.attenuation)
        with np.errstate(divide="ignore"):
            # Beyond exp(-700) nothing is left, and exp(709) would overflow.
            depth = np.minimum(self.attenuation * self.thickness / cosine, 700.0)
        return np.asarray((1.0 - depth / np.expm1(depth)) / self.attenuation)


def slab_of(sensor: Sensor, energy_kev: float) -> Slab:
    """A sensor at a photon energy; RecipeError as ``attenuation``."""
    return Slab(attenuation(sensor.material, energy_kev), sensor.thickness)


@lru_cache(maxsize=256)
def attenuation(material: str, energy_kev: float) -> float:
    r"""Linear attenuation of a material of sensors.

    .. math:: \mu = \rho \sum_i w_i (\mu / \rho)_i

    with the mass attenuation of the elements (photoelectric, coherent and incoherent) of Elam,
    Ravel & Sieber (2002), as XrayDB tabulates it. Its file is read here: its Python functions
    share one database connection, which threads must not.

    Parameters
    ----------
    material:
        A name of ``MATERIALS``.
    energy_kev:
        Photon energy, keV.

    Returns
    -------
    :
        1/m.

    Raises
    ------
    RecipeError:
        The material is not in the table, or the energy is outside ``ENERGIES_KEV``.
    """
    if material not in MATERIALS:
        raise RecipeError(
            f"unknown sensor material {material!r}: {did_you_mean(material, MATERIALS)}"
        )
    energy = require_finite("energy", energy_kev, "keV")
    low, high = ENERGIES_KEV
    if not low <= energy <= high:
        raise RecipeError(
            f"energy must be from {low:g} to {high:g} keV for attenuation, got {energy:g}"
        )
    formula, density = MATERIALS[material]
    parts = re.findall(r"([A-Z][a-z]?)([0-9.]*)", formula)
    with closing(sqlite3.connect(f"{_tables()}?mode=ro&immutable=1", uri=True)) as tables:
        masses = [float(count or 1) * _molar_mass(tables, symbol) for symbol, count in parts]
        crosses = [_mass_attenuation(tables, symbol, energy) for symbol, _ in parts]
    mean = float(np.average(crosses, weights=masses))
    return mean * density * 100.0  # cm^2/g x g/cm^3 = 1/cm


def _tables() -> str:
    found = importlib.util.find_spec("xraydb")
    if found is None or found.origin is None:
        raise RecipeError("attenuation of sensors needs xraydb: pip install xraydb")
    return Path(found.origin).with_name("xraydb.sqlite").as_uri()


def _molar_mass(tables: sqlite3.Connection, symbol: str) -> float:
    (mass,) = tables.execute(
        "select molar_mass from elements where element=?", (symbol,)
    ).fetchone()
    return float(mass)


def _mass_attenuation(tables: sqlite3.Connection, symbol: str, energy_kev: float) -> float:
    """Photoelectric, coherent and incoherent mass attenuation of an element, cm^2/g."""
    (photo,) = tables.execute(
        "select log_energy, log_photoabsorption, log_photoabsorption_spline"
        " from photoabsorption where element=?",
        (symbol,),
    )
    ((energies, *scatter),) = tables.execute(
        "select log_energy, log_coherent_scatter, log_coherent_scatter_spline,"
        " log_incoherent_scatter, log_incoherent_scatter_spline from scattering where element=?",
        (symbol,),
    )
    log_energy = np.log(1000.0 * energy_kev)
    columns = (photo, (energies, *scatter[:2]), (energies, *scatter[2:]))
    return float(sum(np.exp(_spline(column, log_energy)) for column in columns))


def _spline(column: tuple[str, str, str], at: float) -> float:
    """A tabulated cubic spline: JSON lists of x, y and the second derivative of y."""
    x, y, bend = (np.array(json.loads(text)) for text in column)
    # Where x stands twice there is an absorption edge: the piece above it counts from there on.
    high = int(np.clip(np.searchsorted(x, at, side="right"), 1, x.size - 1))
    low, width = high - 1, x[high] - x[high - 1]
    a, b = (x[high] - at) / width, (at - x[low]) / width
    curved = (a**3 - a) * bend[low] + (b**3 - b) * bend[high]
    return float(a * y[low] + b * y[high] + width**2 / 6.0 * curved)
