"""Averaged images in files: NeXus with all that is known of them, or the image alone."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import fabio
import h5py
import numpy as np
from numpy.typing import NDArray

from ringline.processing.arrays import InputArray
from ringline.processing.averaging import Average
from ringline.processing.averaging_settings import Averaging, ClippedMean
from ringline.processing.errors import RecipeError
from ringline.processing.files import replacement

IMAGE_SUFFIXES = (".npy", ".tif", ".edf")
AVERAGE_SUFFIXES = (".h5", *IMAGE_SUFFIXES)
_DATASETS = {
    "data": "average",
    "variance": "variance of the average",
    "count": "values used",
    "rejected": "values rejected as outliers",
}


@dataclass(frozen=True, slots=True)
class AveragedFile:
    """A file whose frames went into an average."""

    path: Path
    dataset: str | None
    frames: int
    """Those that it had when the averaging began."""
    size: int
    """Bytes."""
    modified: float
    """Seconds since 1970; with the size it tells whether the file is still the same."""

    @property
    def name(self) -> str:
        """The path, absolute, with the dataset."""
        path = str(self.path.resolve())
        return path if self.dataset is None else f"{path}::{self.dataset}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where an average comes from."""

    files: tuple[AveragedFile, ...]
    settings: Averaging
    skipped: tuple[str, ...] = ()
    """Frames that could not be read, by their messages."""
    arrays: dict[str, InputArray] = field(default_factory=dict)
    """The mask and the dark, where given."""
    is_flat: bool = False
    """Divided by its mean."""


def write_image(path: Path, image: NDArray[np.float32]) -> None:
    """Write an image as .npy, .tif or .edf, replacing a former file at once.

    Raises
    ------
    RecipeError:
        The path ends otherwise.
    OSError:
        It cannot be written.
    """
    if path.suffix not in IMAGE_SUFFIXES:
        raise RecipeError(f"an image file must end in {_listed(IMAGE_SUFFIXES)}, got {path}")
    with replacement(path) as temporary:
        match path.suffix:
            case ".npy":
                np.save(temporary, image)
            case ".tif":
                fabio.tifimage.TifImage(data=image).write(str(temporary))
            case _:
                fabio.edfimage.EdfImage(data=image).write(str(temporary))


def write_average(path: Path, average: Average, origin: Origin) -> None:
    """Write an average as NeXus, replacing a former file at once.

    ``/entry/average`` is the default plot, with the datasets ``data``, ``variance``, ``count``
    and ``rejected``; ``/entry/process`` says how and of what it was made. The file as it is, or
    with ``::entry/average/data``, serves as a dark or flat.

    Raises
    ------
    OSError:
        It cannot be written.
    """
    with replacement(path) as temporary, h5py.File(temporary, "w", locking=False) as file:
        file.attrs.update({"NX_class": "NXroot", "default": "entry"})
        entry = _group(file, "entry", "NXentry")
        entry.attrs["default"] = "average"
        data = _group(entry, "average", "NXdata")
        data.attrs.update({"signal": "data", "interpretation": "image"})
        data.attrs["auxiliary_signals"] = [name for name in _DATASETS if name != "data"]
        for name, long_name in _DATASETS.items():
            values = getattr(average, name)
            data.create_dataset(name, data=values, compression=1, shuffle=True, chunks=True)
            data[name].attrs["long_name"] = long_name
        _write_process(_group(entry, "process", "NXprocess"), average, origin)


def _write_process(group: h5py.Group, average: Average, origin: Origin) -> None:
    settings, method = origin.settings, origin.settings.method
    group["program"] = "ringline"
    group["version"] = version("ringline")
    group["date"] = datetime.now(UTC).isoformat()
    parameters = _group(group, "parameters", "NXparameters")
    parameters["method"] = method.name
    parameters["frames"] = average.frames
    parameters["is_flat"] = origin.is_flat
    known = {"minimum": settings.minimum, "saturation": settings.saturation}
    if isinstance(method, ClippedMean):
        known |= {"threshold": method.threshold, "floor": method.floor}
        parameters["iterations"] = method.iterations
    for name, value in known.items():
        if value is not None:
            parameters[name] = value
    files = _group(group, "files", "NXcollection")
    files["path"] = [file.name for file in origin.files]
    files["frames"] = [file.frames for file in origin.files]
    files["size"] = [file.size for file in origin.files]
    files["modified"] = [file.modified for file in origin.files]
    files["modified"].attrs["units"] = "s"
    for name, array in origin.arrays.items():
        note = _group(group, name, "NXcollection")
        note["sha256"] = array.sha256
        if array.path is not None:
            note["path"] = array.path
    if origin.skipped:
        group["skipped"] = list(origin.skipped)


def _group(parent: h5py.Group, name: str, nx_class: str) -> h5py.Group:
    group = parent.create_group(name)
    group.attrs["NX_class"] = nx_class
    return group


def _listed(names: tuple[str, ...]) -> str:
    return " or ".join((", ".join(names[:-1]), names[-1]))
