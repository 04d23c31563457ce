"""The record of a calibration: as plain values, and in a NeXus file with its image."""

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import h5py
import numpy as np

from ringline.processing.arrays import input_array, stored
from ringline.processing.calibration.record_mapping import calibration_to_mapping
from ringline.processing.calibration.record_reading import calibration_from_mapping
from ringline.processing.calibration.result import Calibration
from ringline.processing.calibration.task import CalibrationTask
from ringline.processing.detector import Detector
from ringline.processing.errors import RecipeError
from ringline.processing.files import replacement
from ringline.processing.geometry import Geometry
from ringline.processing.types import ImageArray

__all__ = [
    "calibration_from_mapping",
    "calibration_to_mapping",
    "image_digest",
    "read_calibration",
    "write_calibration",
]

_RECORD = "/entry/calibration/record"
_IMAGE = "/entry/image/data"
_UNITS = {"distance": "m", "poni1": "m", "poni2": "m", "rot1": "rad", "rot2": "rad", "rot3": "rad"}
_POINTS = {
    "ring": ("", "index into rings"),
    "slow": ("pixels", "place along the slow axis, from the edge of the image"),
    "fast": ("pixels", "place along the fast axis, from the edge of the image"),
    "chi": ("rad", "azimuth"),
    "residual": ("rad", "measured minus calculated 2theta"),
    "sigma": ("rad", "standard error of the measured 2theta"),
    "used": ("", "1 in the fit, 0 an outlier"),
}
_RINGS = {
    "spacing": ("m", "distance of planes"),
    "two_theta": ("rad", "calculated scattering angle"),
    "points": ("", "control points in the fit"),
    "coverage": ("", "part of its sectors on the detector in which it was seen"),
    "residual": ("rad", "weighted mean of measured minus calculated 2theta"),
    "scatter": ("rad", "root mean square of the residuals of its points"),
}


def image_digest(image: ImageArray) -> str:
    """sha256 of an image's dtype, shape and values, hex: ``Calibration.image_sha256``."""
    array = input_array("image", image)
    assert array is not None  # for an array there is one
    return array.sha256


def write_calibration(
    path: str | os.PathLike[str], calibration: Calibration, image: ImageArray
) -> None:
    """Write a calibration and its image as NeXus, replacing a former file at once.

    ``/entry/curve`` is the default plot; ``/entry/image`` holds the image, compressed;
    ``/entry/points`` and ``/entry/rings`` the control points and rings, ``/entry/geometry`` the
    parameters with their errors; ``/entry/calibration/record`` is JSON, from which
    ``read_calibration`` gives back the same. Masks, darks and corners of pixels that were given
    without a path are saved beside the file.

    Parameters
    ----------
    path:
        Of the file.
    calibration:
        Accepted or not.
    image:
        That from which it was made, shape (slow, fast).

    Raises
    ------
    RecipeError:
        The calibration was made from another image.
    OSError:
        It cannot be written.
    """
    file = Path(path)
    if (digest := image_digest(image)) != calibration.image_sha256:
        raise RecipeError(
            f"{file}: the image has sha256 {digest}, the calibration was made from one with "
            f"{calibration.image_sha256}"
        )
    kept = _with_stored_arrays(calibration, file.absolute().parent)
    with replacement(file) as temporary, h5py.File(temporary, "w", locking=False) as opened:
        opened.attrs.update({"NX_class": "NXroot", "default": "entry"})
        entry = _group(opened, "entry", "NXentry")
        entry.attrs["default"] = "curve"
        entry["title"] = f"calibration with {kept.task.calibrant.name}"
        _write_curve(_group(entry, "curve", "NXdata"), kept)
        data = _group(entry, "image", "NXdata")
        data.attrs.update({"signal": "data", "interpretation": "image"})
        data.create_dataset("data", data=image, compression=1, shuffle=True, chunks=True)
        _write_instrument(_group(entry, "instrument", "NXinstrument"), kept.task)
        _write_columns(_group(entry, "rings", "NXcollection"), _RINGS, kept.rings)
        if kept.points is not None:
            _write_points(_group(entry, "points", "NXdata"), kept)
        if kept.geometry is not None:
            _write_geometry(_group(entry, "geometry", "NXcollection"), kept.geometry, kept.errors)
        _write_process(_group(entry, "calibration", "NXprocess"), kept)


def read_calibration(path: str | os.PathLike[str]) -> tuple[Calibration, ImageArray]:
    """The calibration in a file that ``write_calibration`` wrote, and its image.

    Raises
    ------
    RecipeError:
        The file cannot be read or is another kind of file, an array is gone or changed, or the
        image is not that of the calibration; the message names the file.
    """
    try:
        with h5py.File(path, "r", locking=False) as opened:
            text = opened[_RECORD].asstr()[()]
            image = np.asarray(opened[_IMAGE][()])
    except (OSError, KeyError, AttributeError, TypeError) as error:
        raise RecipeError(f"{path}: not the file of a calibration: {error}") from error
    try:
        calibration = calibration_from_mapping(json.loads(text))
    except ValueError as error:  # JSON that is none, or what it says
        raise RecipeError(f"{path}: {error}") from error
    if (digest := image_digest(image)) != calibration.image_sha256:
        raise RecipeError(
            f"{path}: the image was changed: sha256 {digest}, was {calibration.image_sha256}"
        )
    return calibration, image


def _with_stored_arrays(calibration: Calibration, folder: Path) -> Calibration:
    def saved(detector: Detector) -> Detector:
        return detector.with_stored_arrays(folder) if detector.arrays() else detector

    def placed(geometry: Geometry | None) -> Geometry | None:
        return None if geometry is None else replace(geometry, detector=saved(geometry.detector))

    task = calibration.task
    kept = replace(
        task,
        detector=saved(task.detector),
        guess=placed(task.guess),
        mask=None if task.mask is None else stored(task.mask, folder),
        dark=None if task.dark is None else stored(task.dark, folder),
    )
    return replace(calibration, task=kept, geometry=placed(calibration.geometry))


def _write_curve(group: h5py.Group, calibration: Calibration) -> None:
    group.attrs.update({"signal": "I", "axes": ["polar_angle"], "interpretation": "spectrum"})
    group["polar_angle"] = calibration.axis
    group["polar_angle"].attrs.update({"units": "degree", "long_name": "2theta (degree)"})
    group["I"] = calibration.curve
    group["I"].attrs.update({"units": "arbitrary units", "long_name": "intensity"})


def _write_instrument(group: h5py.Group, task: CalibrationTask) -> None:
    monochromator = _group(group, "monochromator", "NXmonochromator")
    monochromator["wavelength"] = task.wavelength * 1e10
    monochromator["wavelength"].attrs["units"] = "angstrom"
    monochromator["energy"] = task.energy_kev
    monochromator["energy"].attrs["units"] = "keV"
    detector = _group(group, "detector", "NXdetector")
    detector["description"] = task.detector.name
    # NeXus has x along the fast axis.
    for name, size in (("x", task.detector.pixel2), ("y", task.detector.pixel1)):
        detector[f"{name}_pixel_size"] = size
        detector[f"{name}_pixel_size"].attrs["units"] = "m"


def _write_points(group: h5py.Group, calibration: Calibration) -> None:
    group.attrs.update({"signal": "residual", "axes": ["chi"]})
    for name, (units, words) in _POINTS.items():
        _write_column(group, name, getattr(calibration.points, name), (units, words))


def _write_columns(
    group: h5py.Group, columns: Mapping[str, tuple[str, str]], rows: tuple[object, ...]
) -> None:
    for name, words in columns.items():
        _write_column(group, name, np.array([getattr(row, name) for row in rows]), words)


def _write_column(group: h5py.Group, name: str, values: ImageArray, words: tuple[str, str]) -> None:
    group[name] = values
    group[name].attrs["long_name"] = words[1]
    if words[0]:
        group[name].attrs["units"] = words[0]


def _write_geometry(group: h5py.Group, geometry: Geometry, errors: Mapping[str, float]) -> None:
    for name, unit in _UNITS.items():
        group[name] = getattr(geometry, name)
        group[name].attrs["units"] = unit
        if name in errors:
            group[f"{name}_errors"] = errors[name]
            group[f"{name}_errors"].attrs["units"] = unit


def _write_process(group: h5py.Group, calibration: Calibration) -> None:
    group["program"], group["version"] = "ringline", version("ringline")
    group["date"] = datetime.now(UTC).isoformat()
    group["calibration_id"] = calibration.id
    group["accepted"] = calibration.verdict.accepted
    group["verdict"] = calibration.verdict.words
    group["image_sha256"] = calibration.image_sha256
    group["record"] = json.dumps(calibration_to_mapping(calibration), allow_nan=False)


def _group(parent: h5py.Group, name: str, nx_class: str) -> h5py.Group:
    group = parent.create_group(name)
    group.attrs["NX_class"] = nx_class
    return group
