"""PONI files: the geometry as pyFAI writes it, versions 1, 2, 2.1 and 3."""

import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ringline.processing.checks import as_number
from ringline.processing.detector import Detector
from ringline.processing.detector_file import DETECTOR_FILES, read_detector_file
from ringline.processing.detector_table import detector_named, has_variants, is_listed
from ringline.processing.errors import RecipeError
from ringline.processing.files import replace_text
from ringline.processing.geometry import Geometry
from ringline.processing.sensor import Sensor

_KEYS = {
    "distance": "Distance",
    "poni1": "Poni1",
    "poni2": "Poni2",
    "rot1": "Rot1",
    "rot2": "Rot2",
    "rot3": "Rot3",
    "wavelength": "Wavelength",
}
_GENERIC = "Detector"
_IN_A_FILE = "NexusDetector"


def read_poni(path: str | os.PathLike[str]) -> Geometry:
    """The geometry in a PONI file of version 1, 2, 2.1 or 3.

    Where a key stands more than once the last one counts, as in pyFAI. A version 1 file has
    no shape: that of the first frame is taken. The file of a ``NexusDetector`` is looked for as it
    is named, then from the PONI file's folder; a flat or dark in it is not part of a geometry,
    which a warning says.

    Raises
    ------
    RecipeError:
        The file cannot be read, a key is missing, or a value is out of its bounds: named with
        the file.
    """
    try:
        entries = _entries(Path(path).read_text(encoding="utf-8"))
        detector = detector_from_entries(entries, Path(path).parent)
        values = {name: _number(entries, name) for name in _KEYS}
        parallax = entries.get("parallax", "").lower() == "true"
        return Geometry(detector=detector, parallax=parallax, **values)
    except OSError as error:
        raise RecipeError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: not a PONI file (not text)") from error
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from error


def write_poni(geometry: Geometry, path: str | os.PathLike[str]) -> None:
    """Write a PONI file of version 2.1, or 3 with parallax: as a whole or not at all.

    A detector with corners of pixels or a mask is named as in the table where that tells them, or
    else by the detector file that it was read from.

    Raises
    ------
    RecipeError:
        Such a detector is not that of one file.
    """
    name, config = detector_entries(geometry.detector, path)
    lines = [
        "# Nota: C-Order, 1 refers to the Y axis, 2 to the X axis",
        f"poni_version: {3 if geometry.parallax else 2.1}",
        f"Detector: {name}",
        f"Detector_config: {json.dumps(config)}",
        *(f"{key}: {getattr(geometry, name)!r}" for name, key in _KEYS.items()),
        *(["Parallax: True"] if geometry.parallax else []),
    ]
    replace_text(Path(path), "\n".join(lines) + "\n")


def detector_entries(
    detector: Detector, path: str | os.PathLike[str]
) -> tuple[str, dict[str, object]]:
    """Name and configuration of a detector, as a PONI file has them.

    Parameters
    ----------
    detector:
        The detector.
    path:
        Of the file to be written, for refusals.

    Raises
    ------
    RecipeError:
        Pixels, or a mask, that neither the table nor one detector file tells.
    """
    config: dict[str, object] = {"orientation": detector.orientation}
    # pyFAI's detectors of the table take a sensor beside their name.
    if detector.sensor is not None:
        config["sensor"] = _sensor_config(detector.sensor)
    named = is_listed(replace(detector, sensor=None))
    if detector.arrays() and not named:
        return _IN_A_FILE, config | {"filename": str(_file_of(detector, path))}
    if not named or has_variants(detector.name):
        config |= {"pixel1": detector.pixel1, "pixel2": detector.pixel2}
    if not named:
        config["max_shape"] = None if detector.shape is None else list(detector.shape)
    return detector.name if named else _GENERIC, config


def _file_of(detector: Detector, poni: str | os.PathLike[str]) -> Path:
    """The detector file that says all about a detector."""
    arrays = detector.arrays()
    files = {(array.path or "").partition("::")[0] for array in arrays.values()}
    if len(files) == 1 and (name := files.pop()).lower().endswith(DETECTOR_FILES):
        found = read_detector_file(name, detector.orientation).detector
        if replace(found, sensor=detector.sensor) == detector:
            return Path(name).absolute()
    what = {"corners": "corners of pixels", "mask": "a detector's mask"}[next(iter(arrays))]
    raise RecipeError(
        f"{poni}: a PONI file cannot hold {what}: write a recipe, or a detector file and the "
        "geometry of the detector that is read from it"
    )


def _entries(text: str) -> dict[str, str]:
    entries = {}
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon and not line.lstrip().startswith("#"):
            entries[key.strip().lower()] = value.strip()
    return entries


def _number(entries: Mapping[str, str], name: str) -> float:
    text = entries.get(name)
    if text is None and name == "distance":
        text = entries.get("dist")
    if text is None or text == "None":
        raise RecipeError(f"key {_KEYS[name]!r} is missing")
    return as_number(_KEYS[name], text)


def detector_from_entries(entries: Mapping[str, str], folder: Path) -> Detector:
    """The detector that the entries of a PONI file name, keys in lower case.

    Parameters
    ----------
    entries:
        ``detector``, ``detector_config`` as JSON, and those of older versions.
    folder:
        From which files are looked for as well.

    Raises
    ------
    RecipeError:
        An unknown detector, or a value missing or out of its bounds.
    """
    version = as_number("poni_version", entries.get("poni_version", "1"))
    if version > 3:
        raise RecipeError(f"poni_version must be <= 3, got {version:g}")
    if entries.get("splinefile", "None").lower() not in ("none", ""):
        raise RecipeError(f"SplineFile {entries['splinefile']!r}: splines are not supported")
    config = _detector_config(entries)
    name = entries.get("detector", _GENERIC)
    if name == _IN_A_FILE:
        return _detector_in_file(config, folder)
    if name in (_GENERIC, "None", "detector"):
        return _generic_detector(config)
    sizes = [
        None if config[key] is None else as_number(key, config[key]) for key in ("pixel1", "pixel2")
    ]
    pixel = None if sizes[0] is None or sizes[1] is None else (sizes[0], sizes[1])
    detector = detector_named(name, pixel)
    orientation = config["orientation"]
    if orientation is not None:
        detector = replace(detector, orientation=int(as_number("orientation", orientation)))
    return replace(detector, sensor=_sensor(config["sensor"]))


def _detector_in_file(config: Mapping[str, object], folder: Path) -> Detector:
    name, orientation = config["filename"], config["orientation"]
    if not isinstance(name, str) or not name:
        raise RecipeError(f"Detector_config of a {_IN_A_FILE} names no file, got {name!r}")
    beside = folder / name  # where the file was moved with the PONI
    found = read_detector_file(
        Path(name) if Path(name).exists() else beside,
        None if orientation is None else int(as_number("orientation", orientation)),
    )
    unused = {"flat": found.flat, "dark": found.dark}
    for what, array in unused.items():
        if array is not None:
            warnings.warn(
                f"a geometry holds no {what}: give {array.path} as {what} to apply it",
                stacklevel=4,
            )
    sensor = _sensor(config["sensor"]) or found.detector.sensor
    return replace(found.detector, sensor=sensor)


def _sensor(config: object) -> Sensor | None:
    if config is None:
        return None
    if not isinstance(config, dict) or "material" not in config:
        raise RecipeError(f"sensor must be material and thickness, got {config!r}")
    thickness = config.get("thickness")
    return Sensor(
        material=config["material"],
        thickness=None if thickness is None else as_number("sensor thickness", thickness),
    )


def _sensor_config(sensor: Sensor) -> dict[str, object]:
    thickness = {} if sensor.thickness is None else {"thickness": sensor.thickness}
    return {"material": sensor.material, **thickness}


def _detector_config(entries: Mapping[str, str]) -> dict[str, object]:
    try:
        given = json.loads(entries.get("detector_config", "{}"))
    except json.JSONDecodeError as error:
        raise RecipeError(f"Detector_config is not JSON: {error}") from error
    if not isinstance(given, dict):
        raise RecipeError(f"Detector_config must be a JSON object, got {given!r}")
    return {
        "pixel1": given.get("pixel1", entries.get("pixelsize1")),
        "pixel2": given.get("pixel2", entries.get("pixelsize2")),
        "max_shape": given.get("max_shape"),
        "orientation": given.get("orientation") or None,
        "sensor": given.get("sensor"),
        "filename": given.get("filename"),
    }


def _generic_detector(config: Mapping[str, object]) -> Detector:
    for key in ("pixel1", "pixel2"):
        if config[key] is None:
            raise RecipeError(f"key {key!r} of Detector_config (or PixelSize) is missing")
    shape = config["max_shape"]
    if shape is not None and not (
        isinstance(shape, list) and len(shape) == 2 and all(isinstance(n, int) for n in shape)
    ):
        raise RecipeError(f"max_shape must be [slow, fast] in pixels, got {shape!r}")
    orientation = config["orientation"]
    return Detector(
        pixel1=as_number("pixel1", config["pixel1"]),
        pixel2=as_number("pixel2", config["pixel2"]),
        shape=None if shape is None else (shape[0], shape[1]),
        orientation=3 if orientation is None else int(as_number("orientation", orientation)),
        sensor=_sensor(config["sensor"]),
    )
