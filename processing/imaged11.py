"""Geometry in the parameter files of ImageD11."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from ringline.processing.checks import as_number, require_positive
from ringline.processing.detector import Detector
from ringline.processing.errors import RecipeError
from ringline.processing.files import replace_text
from ringline.processing.fit2d import fit2d_of
from ringline.processing.geometry import Geometry

_MICRON, _ANGSTROM = 1e-6, 1e-10
_FLIPS = {1: (-1, 1), 2: (-1, -1), 3: (1, -1), 4: (1, 1)}
"""(o11, o22) by orientation: the horizontal axes of the two conventions are opposite."""
_NUMBERS = (
    *("distance", "tilt_x", "tilt_y", "tilt_z", "wavelength"),
    *("y_center", "y_size", "z_center", "z_size", "o11", "o12", "o21", "o22"),
)
_SAME_PIXEL = 1e-3


def write_imaged11(geometry: Geometry, path: str | os.PathLike[str]) -> None:
    """Write a parameter file: lengths in micrometers, wavelength in angstrom, angles in radians.

    The distance goes to where the direct beam meets the detector; centers count from the middle of
    the first pixel of the stored image.

    Raises
    ------
    RecipeError:
        The beam does not meet the detector, or the detector's shape is not known and its image is
        stored flipped.
    """
    beam, detector = fit2d_of(geometry), geometry.detector
    z_center, y_center = _flipped(detector, beam.center_y - 0.5, beam.center_x - 0.5)
    o11, o22 = _FLIPS[detector.orientation]
    values = {
        "distance": beam.distance * 1e-3 / _MICRON,
        "o11": o11,
        "o12": 0,
        "o21": 0,
        "o22": o22,
        "tilt_x": geometry.rot3,
        "tilt_y": geometry.rot2,
        "tilt_z": -geometry.rot1,
        "wavelength": geometry.wavelength / _ANGSTROM,
        "y_center": y_center,
        "y_size": detector.pixel2 / _MICRON,
        "z_center": z_center,
        "z_size": detector.pixel1 / _MICRON,
    }
    replace_text(Path(path), "".join(f"{name} {value!r}\n" for name, value in values.items()))


def read_imaged11(path: str | os.PathLike[str], detector: Detector | None = None) -> Geometry:
    """The geometry in a parameter file; other parameters, such as a cell's, are passed over.

    Parameters
    ----------
    path:
        Of the file.
    detector:
        That it is of: its orientation is the file's afterwards; None: one with pixels of the
        file's sizes, its shape that of the first frame.

    Raises
    ------
    RecipeError:
        The file cannot be read, a parameter is missing or no number, the matrix o transposes, or
        pixels have other sizes than the detector's. The message names the file.
    """
    try:
        values = _values(Path(path).read_text(encoding="utf-8"))
        return _geometry(values, detector)
    except OSError as error:
        raise RecipeError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: not a parameter file (not text)") from error
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from error


def _values(text: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for line in text.splitlines():
        name, _, value = line.strip().partition(" ")
        if name in _NUMBERS:
            found[name] = as_number(name, value.strip())
    missing = [name for name in _NUMBERS if name not in found]
    if missing:
        raise RecipeError(f"parameter {missing[0]!r} is missing")
    return found


def _geometry(values: dict[str, float], detector: Detector | None) -> Geometry:
    flips = (values["o11"], values["o22"])
    if values["o12"] or values["o21"] or flips not in _FLIPS.values():
        matrix = [values[name] for name in ("o11", "o12", "o21", "o22")]
        raise RecipeError(f"o11, o12, o21, o22 = {matrix}: only flips are known, no transposition")
    orientation = next(number for number, signs in _FLIPS.items() if signs == flips)
    sizes = [require_positive(name, values[name], "um") * _MICRON for name in ("z_size", "y_size")]
    if detector is None:
        detector = Detector(pixel1=sizes[0], pixel2=sizes[1])
    for name, size, own in zip(
        ("z_size", "y_size"), sizes, (detector.pixel1, detector.pixel2), strict=True
    ):
        if abs(size - own) > _SAME_PIXEL * own:
            raise RecipeError(
                f"{name} is {size / _MICRON:g} um, pixels of {detector.name} have {own / _MICRON:g}"
            )
    detector = replace(detector, orientation=orientation)
    slow, fast = _flipped(detector, values["z_center"], values["y_center"])
    rot1, rot2 = -values["tilt_z"], values["tilt_y"]
    away = require_positive("distance", values["distance"], "um") * _MICRON
    return Geometry(
        distance=float(away * np.cos(rot1) * np.cos(rot2)),
        poni1=float((slow + 0.5) * detector.pixel1 - away * np.sin(rot2)),
        poni2=float((fast + 0.5) * detector.pixel2 + away * np.cos(rot2) * np.sin(rot1)),
        rot1=rot1,
        rot2=rot2,
        rot3=values["tilt_x"],
        wavelength=require_positive("wavelength", values["wavelength"], "angstrom") * _ANGSTROM,
        detector=detector,
    )


def _flipped(detector: Detector, slow: float, fast: float) -> tuple[float, float]:
    """A place from the middle of the first pixel: of the stored image, or along the PONI's axes."""
    if detector.orientation == 3:
        return slow, fast
    rows, columns = detector.known_shape
    if detector.orientation in (1, 2):
        slow = rows - 1 - slow
    if detector.orientation in (1, 4):
        fast = columns - 1 - fast
    return slow, fast
