"""Input arrays of a recipe: mask, dark, flat, pixel corners, each known by its content."""

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import h5py
import numpy as np
import numpy.typing as npt

from ringline.processing.errors import FrameError, RecipeError
from ringline.processing.files import replacement
from ringline.processing.frames import open_frames
from ringline.processing.types import ImageArray


@dataclass(frozen=True, slots=True)
class InputArray:
    """An array of a recipe, shape (slow, fast, ...). Two are equal where their content is."""

    sha256: str
    """Of dtype, shape and values, so that it does not depend on the file's format."""
    values: ImageArray = field(compare=False, repr=False)
    path: str | None = field(default=None, compare=False)
    """Where it was read from (``file.h5::dataset`` for HDF5); None: given as an array."""


ArraySource: TypeAlias = InputArray | npt.NDArray[np.generic] | str | os.PathLike[str] | None


def input_array(name: str, source: ArraySource) -> InputArray | None:
    """Parse what a user gives for a mask, dark or flat: an array, a path, or None.

    Parameters
    ----------
    name:
        Which one it is, for messages.
    source:
        An array of shape (slow, fast), or a path: .npy, HDF5 with ``::dataset``, or whatever
        fabio reads. An HDF5 dataset or a file of one frame.

    Raises
    ------
    RecipeError:
        It cannot be read, or is not a numeric array of two dimensions.
    """
    if source is None or isinstance(source, InputArray):
        return source
    if isinstance(source, np.ndarray):
        return _parsed(name, source, None)
    path = os.fspath(source)
    try:
        return _parsed(name, read_image(path), path)
    except (OSError, ValueError, FrameError) as error:
        message = str(error)
        raise RecipeError(
            f"{name}: {message}" if path in message else f"{name} {path}: {message}"
        ) from error


def corners_array(source: ArraySource) -> InputArray | None:
    """Parse what a user gives for the corners of pixels: an array, a path, or None.

    Parameters
    ----------
    source:
        Floats, m, shape (slow, fast, n, 3), n >= 3: an array or a path: .npy, or HDF5 with
        ``::dataset``.

    Raises
    ------
    RecipeError:
        It cannot be read, or is no array of that kind.
    """
    if source is None or isinstance(source, InputArray):
        return source
    if isinstance(source, np.ndarray):
        return _parsed_corners(source, None)
    path = os.fspath(source)
    try:
        return _parsed_corners(_read_any(path), path)
    except (OSError, ValueError, KeyError) as error:
        message = str(error)
        raise RecipeError(
            f"corners: {message}" if path in message else f"corners {path}: {message}"
        ) from error


def read_image(path: str) -> ImageArray:
    """The one image in a file: .npy, HDF5 with ``::dataset``, or what fabio reads.

    Raises
    ------
    FrameError:
        It cannot be read, or holds more than one frame.
    """
    name, _, dataset = path.partition("::")
    if name.endswith(".npy"):
        return np.asarray(np.load(name, allow_pickle=False))
    with open_frames(Path(name), dataset or None) as frames:
        if frames.frame_count() != 1:
            raise FrameError(f"{path}: holds {frames.frame_count()} frames, one is expected")
        return np.asarray(frames.read(0, 1)[0])


def stored(array: InputArray, folder: Path) -> InputArray:
    """The same array with a path: one given without is saved as ``folder/<sha256>.npy``."""
    if array.path is not None:
        return array
    path = folder / f"{array.sha256}.npy"
    if not path.exists():
        with replacement(path) as temporary, temporary.open("wb") as file:
            np.save(file, array.values)
    return InputArray(array.sha256, array.values, str(path))


def _parsed(name: str, values: npt.NDArray[np.generic], path: str | None) -> InputArray:
    if values.ndim != 2:
        raise RecipeError(f"{name} must have two dimensions (slow, fast), got {values.shape}")
    if values.dtype.kind not in "biuf":
        raise RecipeError(f"{name} must be numeric, got dtype {values.dtype}")
    return _frozen(values != 0 if name == "mask" else values, path)


def _parsed_corners(values: npt.NDArray[np.generic], path: str | None) -> InputArray:
    if values.ndim != 4 or values.shape[2] < 3 or values.shape[3] != 3 or not values.size:
        raise RecipeError(
            f"corners must have shape (slow, fast, n >= 3, 3), got {tuple(values.shape)}"
        )
    if values.dtype.kind != "f":
        raise RecipeError(f"corners must be floats (m), got dtype {values.dtype}")
    return _frozen(values, path)


def _read_any(path: str) -> npt.NDArray[np.generic]:
    name, _, dataset = path.partition("::")
    if name.endswith(".npy"):
        return np.asarray(np.load(name, allow_pickle=False))
    if not dataset:
        raise RecipeError("must be a .npy file, or HDF5 with ::dataset")
    with h5py.File(name, "r") as file:
        found = file[dataset]
        if not isinstance(found, h5py.Dataset):
            raise RecipeError(f"{dataset} is not a dataset")
        return np.asarray(found[()])


def _frozen(values: npt.NDArray[np.generic], path: str | None) -> InputArray:
    native = np.array(values, dtype=values.dtype.newbyteorder("="), order="C", copy=True)
    native.setflags(write=False)
    return InputArray(_sha256(native), native, path)


def _sha256(values: ImageArray) -> str:
    little = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    digest = hashlib.sha256(f"{little.dtype.str}{little.shape}".encode())
    digest.update(little.data)
    return digest.hexdigest()
