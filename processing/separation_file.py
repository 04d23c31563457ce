"""Separated images in a NeXus file: smooth signal, Bragg peaks and spots of each frame."""

from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np

from ringline.processing.files import replacement
from ringline.processing.frames import Frame
from ringline.processing.reduction import Reduction
from ringline.processing.separation import Separation, separate

_IMAGES = {
    "smooth": "smooth signal, counts",
    "bragg": "what is above or below it, counts",
    "spots": "1 where clipping found a pixel too bright",
}


def write_separations(
    path: Path, reduction: Reduction, frames: Iterable[Frame], shape: tuple[int, int, int]
) -> int:
    """Separate frames into a file, written as a whole or not at all.

    Parameters
    ----------
    path:
        Replaced where it is there.
    reduction:
        Of a recipe with ``outliers``, as :func:`separating` makes it.
    frames:
        As many as ``shape`` says.
    shape:
        (frames, slow, fast).

    Returns
    -------
    :
        How many spotty pixels there are.

    Raises
    ------
    FrameError:
        A frame cannot be read or does not fit the recipe.
    OSError:
        The file cannot be written.
    """
    with replacement(path) as temporary, h5py.File(temporary, "w") as file:
        data = _layout(file, reduction, shape)
        return sum(
            _put(data, index, separate(reduction, frame)) for index, frame in enumerate(frames)
        )


def _layout(file: h5py.File, reduction: Reduction, shape: tuple[int, int, int]) -> h5py.Group:
    """Everything but the images; the group that they go to."""
    file.attrs["default"] = "entry"
    entry = _group(file, "entry", "NXentry")
    entry.attrs["default"] = "separation"
    data = _group(entry, "separation", "NXdata")
    data.attrs.update({"signal": "bragg", "auxiliary_signals": ["smooth", "spots"]})
    for name, title in _IMAGES.items():
        kind = np.uint8 if name == "spots" else np.float32
        data.create_dataset(
            name, shape, kind, chunks=(1, *shape[1:]), compression=hdf5plugin.Bitshuffle()
        )
        data[name].attrs["long_name"] = title
    process = _group(entry, "process", "NXprocess")
    process["program"], process["version"] = "ringline", version("ringline")
    process["date"] = datetime.now(UTC).isoformat()
    process["recipe"], process["recipe_digest"] = (
        reduction.recipe.to_json(), reduction.recipe.digest,
    )  # fmt: skip
    return data


def _put(data: h5py.Group, index: int, found: Separation) -> int:
    data["smooth"][index] = found.smooth
    data["bragg"][index] = found.bragg
    data["spots"][index] = found.spots
    return int(found.spots.sum())


def _group(parent: h5py.Group, name: str, nx_class: str) -> h5py.Group:
    group = parent.create_group(name)
    group.attrs["NX_class"] = nx_class
    return group
