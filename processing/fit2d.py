"""Geometry as Fit2D has it: where the direct beam meets the detector, and how that is tilted."""

from dataclasses import dataclass

import numpy as np

from ringline.processing.checks import require_finite, require_positive
from ringline.processing.detector import Detector
from ringline.processing.errors import RecipeError
from ringline.processing.geometry import Geometry

_MM, _ANGSTROM = 1e-3, 1e-10


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit2D:
    """The parameters that Fit2D shows, in its units.

    Fit2D knows no turn of the detector about the beam: a geometry's ``rot3`` is not in them, and
    matters for azimuths alone.
    """

    distance: float
    """From the sample to where the direct beam meets the detector's plane, mm."""
    center_x: float
    """That place along the fast axis, pixels from the edge of the image."""
    center_y: float
    """Along the slow axis."""
    tilt: float = 0.0
    """Angle between the beam and the detector's normal, degrees, 0 <= tilt < 90."""
    tilt_plane_rotation: float = 0.0
    """Direction of the tilt in the detector's plane, degrees from the fast axis."""
    wavelength: float
    """Angstrom."""

    def __post_init__(self) -> None:
        for name, unit in (("distance", "mm"), ("wavelength", "angstrom")):
            object.__setattr__(self, name, require_positive(name, getattr(self, name), unit))
        for name in ("center_x", "center_y", "tilt", "tilt_plane_rotation"):
            object.__setattr__(self, name, require_finite(name, getattr(self, name)))
        if not 0 <= self.tilt < 90:
            raise RecipeError(f"tilt must be from 0 to below 90 degrees, got {self.tilt!r}")


def fit2d_of(geometry: Geometry) -> Fit2D:
    """A geometry as Fit2D has it; centers count along the PONI's axes, as in pyFAI.

    With the detector's normal n in the laboratory, cos(tilt) = n3 = cos(rot1) cos(rot2), and the
    beam's place lies from the PONI along (sin(rot2), -cos(rot2) sin(rot1)), by the distance times
    tan(tilt). The angle is taken from both sine and cosine: small tilts stay exact.

    Raises
    ------
    RecipeError:
        The direct beam does not meet the detector from the front.
    """
    slow = np.sin(geometry.rot2)
    fast = -np.cos(geometry.rot2) * np.sin(geometry.rot1)
    along, across = np.cos(geometry.rot1) * np.cos(geometry.rot2), np.hypot(slow, fast)
    if along <= 0:
        raise RecipeError("the direct beam does not meet the detector: Fit2D has no such geometry")
    detector, away = geometry.detector, geometry.distance / along
    return Fit2D(
        distance=float(away / _MM),
        center_x=float((geometry.poni2 + away * fast) / detector.pixel2),
        center_y=float((geometry.poni1 + away * slow) / detector.pixel1),
        tilt=float(np.rad2deg(np.arctan2(across, along))),
        tilt_plane_rotation=float(np.rad2deg(np.arctan2(slow, fast))) if across > 0 else 0.0,
        wavelength=geometry.wavelength / _ANGSTROM,
    )


def geometry_from_fit2d(parameters: Fit2D, detector: Detector) -> Geometry:
    """The geometry of a detector that Fit2D describes so.

    ``rot3`` is that of pyFAI: such that the detector is tilted about an axis in its plane, and not
    turned besides.
    """
    tilt = np.deg2rad(parameters.tilt)
    plane = np.deg2rad(parameters.tilt_plane_rotation)
    slow, fast = np.sin(tilt) * np.sin(plane), np.sin(tilt) * np.cos(plane)
    away = parameters.distance * _MM
    turn = np.sin(plane) * np.cos(plane) * (np.cos(tilt) - 1.0) / np.sqrt(1.0 - slow**2)
    return Geometry(
        distance=float(away * np.cos(tilt)),
        poni1=float(parameters.center_y * detector.pixel1 - away * slow),
        poni2=float(parameters.center_x * detector.pixel2 - away * fast),
        rot1=float(np.arctan2(-fast, np.cos(tilt))),
        rot2=float(np.arcsin(slow)),
        rot3=float(np.arcsin(np.clip(turn, -1.0, 1.0))),
        wavelength=parameters.wavelength * _ANGSTROM,
        detector=detector,
    )
