"""Detectors in NeXus files, as pyFAI writes and reads them."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np

from ringline.processing.arrays import InputArray, input_array
from ringline.processing.detector import Detector
from ringline.processing.errors import RecipeError
from ringline.processing.files import replacement
from ringline.processing.sensor import Sensor
from ringline.processing.types import FloatArray, ImageArray

DETECTOR_FILES = (".h5", ".hdf5", ".nxs", ".nx")
"""How their names end."""
_VERSION = "1.1"
_NAMES = {"flat": "flatfield", "dark": "darkcurrent"}
"""Arrays of corrections, and what they are called in the file."""


@dataclass(frozen=True, slots=True)
class DetectorFile:
    """What a detector file holds."""

    detector: Detector
    """Its corners and mask are known by their place in the file."""
    flat: InputArray | None = None
    """Relative response of each pixel, for ``Corrections.flat``."""
    dark: InputArray | None = None
    """Counts to subtract, for ``Corrections.dark``."""
    dummy: float | None = None
    """Value of pixels that do not count, for ``Corrections.dummy``."""
    delta_dummy: float = 0.0


def read_detector_file(
    path: str | os.PathLike[str], orientation: int | None = None
) -> DetectorFile:
    """Read the detector of a NeXus file: its first group of class NXdetector with a pixel size.

    Parameters
    ----------
    path:
        Of the file.
    orientation:
        How images are stored, instead of what the file says.

    Raises
    ------
    RecipeError:
        It cannot be read, holds no detector, or one that cannot be; the message names the file.
    """
    file = Path(path)
    try:
        with h5py.File(file, "r") as opened:
            return _read(opened, file, orientation)
    except OSError as error:
        raise RecipeError(f"{file}: {error}") from error
    except RecipeError as error:
        text = str(error)
        raise RecipeError(text if str(file) in text else f"{file}: {text}") from error


def write_detector_file(
    path: str | os.PathLike[str],
    detector: Detector,
    arrays: Mapping[str, ImageArray] | None = None,
) -> None:
    """Write a NeXus file that pyFAI reads as well; whole, or not at all.

    Parameters
    ----------
    path:
        Of the file; one that is there is replaced.
    detector:
        Its shape must be known.
    arrays:
        ``flat`` and ``dark``, shape (slow, fast).

    Raises
    ------
    RecipeError:
        The shape is not known, or an array has another name or shape.
    """
    slow, fast = detector.known_shape
    given = dict(arrays or {})
    for name, values in given.items():
        if name not in _NAMES:
            raise RecipeError(f"a detector file holds flat and dark, got {name!r}")
        if values.shape != (slow, fast):
            raise RecipeError(f"{name}: shape {values.shape}, the detector has {(slow, fast)}")
    with replacement(Path(path)) as temporary, h5py.File(temporary, "w") as file:
        entry = file.create_group("entry_0000")
        entry.attrs["NX_class"] = "NXentry"
        # pyFAI takes the newest entry, and none without a time.
        entry["start_time"] = datetime.now(UTC).isoformat(timespec="seconds")
        instrument = entry.create_group("instrument")
        instrument.attrs["NX_class"] = "NXinstrument"
        group = instrument.create_group(detector.name.replace(" ", "_").replace("/", "_"))
        group.attrs["NX_class"] = "NXdetector"
        _write(group, detector)
        for name, values in given.items():
            _write_image(group, _NAMES[name], values, "image")


def _read(file: h5py.File, path: Path, orientation: int | None) -> DetectorFile:
    group = _detector_group(file)
    sizes = np.asarray(group["pixel_size"][()], dtype=np.float64).ravel()
    if sizes.size != 2:
        raise RecipeError(f"{group.name}/pixel_size must be two numbers, got {sizes.tolist()}")
    stored = _number(group, "orientation")
    detector = Detector(
        pixel1=float(sizes[0]),
        pixel2=float(sizes[1]),
        shape=_shape(group),
        name=str(group.name).rsplit("/", 1)[-1],
        orientation=orientation or (3 if stored is None else int(stored)),
        corners=_place(group, "pixel_corners", path),
        mask=_mask(group, path),
        sensor=_sensor(group),
    )
    return DetectorFile(
        detector,
        flat=input_array("flat", _place(group, _NAMES["flat"], path)),
        dark=input_array("dark", _place(group, _NAMES["dark"], path)),
        dummy=_number(group, "dummy"),
        delta_dummy=_number(group, "delta_dummy") or 0.0,
    )


def _detector_group(file: h5py.File) -> h5py.Group:
    found: list[h5py.Group] = []

    def look(_name: str, item: object) -> None:
        if isinstance(item, h5py.Group) and "pixel_size" in item:
            kind = item.attrs.get("NX_class", "")
            if (kind.decode() if isinstance(kind, bytes) else kind) == "NXdetector":
                found.append(item)

    file.visititems(look)
    if not found:
        raise RecipeError("no NXdetector with a pixel_size in it")
    return found[0]


def _shape(group: h5py.Group) -> tuple[int, int] | None:
    for name in ("shape", "max_shape"):
        if name in group:
            slow, fast = (int(n) for n in group[name][()])
            if name == "max_shape" and "binning" in group:
                by_slow, by_fast = (int(n) for n in group["binning"][()])
                return slow // by_slow, fast // by_fast
            return slow, fast
    return None  # that of its arrays


def _place(group: h5py.Group, name: str, path: Path) -> str | None:
    return f"{path}::{group.name}/{name}" if name in group else None


def _mask(group: h5py.Group, path: Path) -> str | None:
    """Where the mask is; None where it masks nothing."""
    return _place(group, "mask", path) if "mask" in group and group["mask"][()].any() else None


def _sensor(group: h5py.Group) -> Sensor | None:
    if "sensor_material" not in group:
        return None
    material = group["sensor_material"][()]
    return Sensor(
        material.decode() if isinstance(material, bytes) else str(material),
        _number(group, "sensor_thickness"),
    )


def _number(group: h5py.Group, name: str) -> float | None:
    return float(group[name][()]) if name in group else None


def _write(group: h5py.Group, detector: Detector) -> None:
    group["API_VERSION"] = np.bytes_(_VERSION)
    group["IS_FLAT"] = detector.corners is None or _flat(detector.pixel_corners())
    group["IS_CONTIGUOUS"] = detector.corners is None
    group["pixel_size"] = np.array([detector.pixel1, detector.pixel2])
    group["pixel_size"].attrs["unit"] = "m"
    for name in ("max_shape", "shape"):
        group[name] = np.array(detector.known_shape, np.int32)
    group["binning"] = np.array([1, 1], np.int32)
    group["orientation"] = np.int32(detector.orientation)
    group["CORNERS"] = 4 if detector.corners is None else detector.corners.values.shape[2]
    mask = detector.built_in_mask()
    if mask is not None and mask.any():
        _write_image(group, "mask", mask.astype(np.int8), "image")
    if detector.corners is not None:
        _write_image(group, "pixel_corners", detector.corners.values, "vertex")
    if detector.sensor is not None:
        group["sensor_material"] = np.bytes_(detector.sensor.material)
        if detector.sensor.thickness is not None:
            group["sensor_thickness"] = detector.sensor.thickness
            group["sensor_thickness"].attrs["unit"] = "m"


def _flat(corners: FloatArray) -> bool:
    along = corners[..., 0]
    return bool(np.ptp(along[np.isfinite(along)]) == 0)


def _write_image(group: h5py.Group, name: str, values: ImageArray, kind: str) -> None:
    made = group.create_dataset(name, data=values, compression="gzip", shuffle=True)
    made.attrs["interpretation"] = kind
