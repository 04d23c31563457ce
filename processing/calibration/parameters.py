"""The parameters of a calibration as people read them: mm, degrees and pixels, with errors."""

import math
from dataclasses import dataclass

import numpy as np

from ringline.processing.calibration.beam import beam_errors, beam_place
from ringline.processing.calibration.result import Calibration
from ringline.processing.geometry import Geometry

_MM, _ANGSTROM = 1e-3, 1e-10
_LENGTHS = ("distance", "poni1", "poni2")
_ROTATIONS = ("rot1", "rot2", "rot3")
_BEAM = ("beam slow", "beam fast")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One number of a calibration, for people."""

    name: str
    value: float
    error: float
    """Standard error; NaN where it was not refined."""
    unit: str

    @property
    def words(self) -> str:
        """The value with as many digits as its error leaves: two of the error are shown."""
        if not (math.isfinite(self.error) and self.error > 0):
            return f"{self.value:.7g}"
        digits = max(0, 1 - math.floor(math.log10(self.error)))
        return f"{self.value:.{digits}f} ± {self.error:.{digits}f}"


def parameters_of(calibration: Calibration) -> list[Parameter]:
    """Distance, PONI, rotations, where the beam meets the detector, and the energy.

    The errors of the beam's place follow from the covariance of all that was refined; they are
    smaller than those of the PONI, which goes with the rotations.

    Returns
    -------
    :
        Empty without a geometry; without the beam's place where it does not meet the detector.
    """
    geometry = calibration.geometry
    if geometry is None:
        return []
    errors, nan = calibration.errors, math.nan
    lengths = [
        Parameter(name, getattr(geometry, name) / _MM, errors.get(name, nan) / _MM, "mm")
        for name in _LENGTHS
    ]
    rotations = [
        Parameter(
            name, math.degrees(getattr(geometry, name)), math.degrees(errors.get(name, nan)), "deg"
        )
        for name in _ROTATIONS
    ]
    return [
        *lengths,
        *rotations,
        *_beam(geometry, calibration),
        Parameter("energy", geometry.energy_kev, nan, "keV"),
        Parameter("wavelength", geometry.wavelength / _ANGSTROM, nan, "angstrom"),
    ]


def _beam(geometry: Geometry, calibration: Calibration) -> list[Parameter]:
    place = beam_place(geometry)
    if place is None:
        return []
    errors = beam_errors(geometry, list(calibration.errors), calibration.covariance)
    if errors is None:
        errors = np.full(2, math.nan)
    return [
        Parameter(name, float(value), float(error), "pixels")
        for name, value, error in zip(_BEAM, place, errors, strict=True)
    ]
