"""Masks in files: NeXus with the cause of each pixel, or 0 and 1 alone."""

from dataclasses import dataclass, fields
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import fabio
import h5py
import numpy as np

from ringline.processing.arrays import InputArray
from ringline.processing.errors import RecipeError
from ringline.processing.files import replacement
from ringline.processing.mask_making import CAUSE_BITS, MadeMask
from ringline.processing.mask_settings import MaskSettings

MASK_SUFFIXES = (".npy", ".edf", ".tif", ".h5")
_NOT_OF_THE_MASK = ("memory", "scratch")


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskOrigin:
    """What a mask was made of."""

    files: tuple[str, ...]
    """Absolute paths, with ``::dataset`` where one was named."""
    settings: MaskSettings
    place: str | None = None
    """The detector's name or the geometry's file."""
    dark: InputArray | None = None


def write_mask(path: Path, made: MadeMask, origin: MaskOrigin) -> None:
    """Write a mask, replacing a former file at once.

    ``.npy``, ``.edf`` and ``.tif`` hold uint8, 1 where a pixel is masked, as pyFAI has it. ``.h5``
    is NeXus: ``/entry/instrument/detector/pixel_mask`` has the bits of NXdetector, and
    ``/entry/mask``, the default plot, the same; ``/entry/process`` says how and of what it was
    made. Each of them, as it is or with ``::`` and the dataset, serves as the mask of a recipe.

    Raises
    ------
    RecipeError:
        The path ends otherwise.
    OSError:
        It cannot be written.
    """
    if path.suffix not in MASK_SUFFIXES:
        raise RecipeError(f"a mask file must end in {', '.join(MASK_SUFFIXES)}, got {path}")
    flags = made.mask.astype(np.uint8)
    with replacement(path) as temporary:
        match path.suffix:
            case ".npy":
                np.save(temporary, flags)
            case ".edf":
                fabio.edfimage.EdfImage(data=flags).write(str(temporary))
            case ".tif":
                fabio.tifimage.TifImage(data=flags).write(str(temporary))
            case _:
                with h5py.File(temporary, "w", locking=False) as file:
                    _write_nexus(file, made, origin)


def _write_nexus(file: h5py.File, made: MadeMask, origin: MaskOrigin) -> None:
    file.attrs.update({"NX_class": "NXroot", "default": "entry"})
    entry = _group(file, "entry", "NXentry")
    entry.attrs["default"] = "mask"
    detector = _group(_group(entry, "instrument", "NXinstrument"), "detector", "NXdetector")
    bits = detector.create_dataset(
        "pixel_mask", data=made.pixel_mask, compression=1, shuffle=True, chunks=True
    )
    bits.attrs["long_name"] = "mask: " + ", ".join(
        f"bit {bit} {name}" for name, bit in CAUSE_BITS.items()
    )
    plot = _group(entry, "mask", "NXdata")
    plot.attrs.update({"signal": "pixel_mask", "interpretation": "image"})
    plot["pixel_mask"] = bits
    _write_process(_group(entry, "process", "NXprocess"), made, origin)


def _write_process(group: h5py.Group, made: MadeMask, origin: MaskOrigin) -> None:
    group["program"] = "ringline"
    group["version"] = version("ringline")
    group["date"] = datetime.now(UTC).isoformat()
    parameters = _group(group, "parameters", "NXparameters")
    parameters["frames"] = made.frames
    for name in (field.name for field in fields(MaskSettings)):
        value = getattr(origin.settings, name)
        if value is not None and name not in _NOT_OF_THE_MASK:
            parameters[name] = value
    counts = _group(group, "counts", "NXcollection")
    for name, count in made.counts.items():
        counts[name] = count
    group["files"] = list(origin.files)
    if origin.place is not None:
        group["place"] = origin.place
    if origin.dark is not None:
        note = _group(group, "dark", "NXcollection")
        note["sha256"] = origin.dark.sha256
        if origin.dark.path is not None:
            note["path"] = origin.dark.path


def _group(parent: h5py.Group, name: str, nx_class: str) -> h5py.Group:
    group = parent.create_group(name)
    group.attrs["NX_class"] = nx_class
    return group
