"""Pixels that CrystFEL's geometry files leave out."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import h5py
import numpy as np

from ringline.processing.crystfel_entries import (
    CrystFELFile,
    Entries,
    fast_of,
    is_set,
    is_stacked,
    number_of,
    rows_of,
    slow_of,
    whole_of,
)
from ringline.processing.errors import RecipeError
from ringline.processing.panels import Panel, shape_of_panels
from ringline.processing.types import BoolArray, IntArray

_ENDLESS = float("inf")
_OLD_NAMES = {
    "mask": "mask0_data", "mask_file": "mask0_file", "mask_good": "mask0_goodbits",
    "mask_bad": "mask0_badbits",
}  # fmt: skip


def mask_of(found: CrystFELFile, panels: Mapping[str, Panel], folder: Path) -> BoolArray:
    """True where pixels do not count, shape of the image: all rows of all modules of a stack.

    Parameters
    ----------
    found:
        What the file says.
    panels:
        By name, as placed in the image.
    folder:
        Where mask files are looked for.

    Raises
    ------
    RecipeError:
        A region names no panel where it must, or one that is not there; a mask file cannot be
        read, or is of another shape.
    """
    slow, fast = shape_of_panels(list(panels.values()))
    rows = rows_of(found)
    mask = np.zeros((-(-slow // rows) * rows, fast), dtype=bool)
    files: dict[tuple[str, str], IntArray] = {}
    for name, panel in panels.items():
        part, entries = mask[panel.place], found.panels[name]
        edge = whole_of(entries, "mask_edge_pixels", 0)
        if is_set(entries, "no_index"):
            part[...] = True
        elif edge > 0:
            part[:edge] = part[-edge:] = True
            part[:, :edge] = part[:, -edge:] = True
        for each in _masks(entries):
            if "file" in each:
                values = _values(each, folder, mask.shape, files)[panel.place]
                good, bad = (int(each.get(bits, "0"), 0) for bits in ("goodbits", "badbits"))
                part |= ((values & good) != good) | ((values & bad) != 0)
    for name, region in found.regions.items():
        try:
            _mask_region(region, found, panels, mask)
        except RecipeError as error:
            raise RecipeError(f"region {name!r}: {error}") from error
    return mask


def masks_in_data(found: CrystFELFile) -> Iterator[str]:
    """Places of masks that stand beside the images in data files, each once."""
    masks = (each for entries in found.panels.values() for each in _masks(entries))
    return iter(dict.fromkeys(each["data"] for each in masks if "file" not in each))


def _masks(entries: Entries) -> list[dict[str, str]]:
    """The masks of a panel: data, file, goodbits and badbits of each, as far as they are given."""
    found: dict[str, dict[str, str]] = {}
    for key, value in entries.items():
        match = re.fullmatch(r"mask(\d)_(data|file|goodbits|badbits)", _OLD_NAMES.get(key, key))
        if match:
            found.setdefault(match[1], {})[match[2]] = value
    return [each for each in found.values() if "data" in each]


def _values(
    mask: Mapping[str, str],
    folder: Path,
    shape: tuple[int, ...],
    files: dict[tuple[str, str], IntArray],
) -> IntArray:
    """The values of a mask file, shape of the image; read once."""
    place = mask["file"], mask["data"]
    if place not in files:
        try:
            with h5py.File(folder / mask["file"], "r") as file:
                values = np.asarray(file[mask["data"]][()])
        except (OSError, KeyError) as error:
            raise RecipeError(f"mask {'::'.join(place)} cannot be read: {error}") from error
        if values.ndim < 2 or values.size != np.prod(shape) or values.shape[-1] != shape[-1]:
            raise RecipeError(f"mask {'::'.join(place)}: of {values.shape}, the image is {shape}")
        files[place] = values.astype(np.int64).reshape(shape)
    return files[place]


def _mask_region(
    region: Entries, found: CrystFELFile, panels: Mapping[str, Panel], mask: BoolArray
) -> None:
    """Set the mask in a bad region.

    Regions in x and y, in pixels, hold the pixels whose first corners lie between their bounds, as
    in CrystFEL; those in fs and ss are ranges of a panel's data, with both ends.
    """
    in_space = any(f"{end}_{axis}" in region for end in ("min", "max") for axis in ("x", "y"))
    name = region.get("panel")
    if name is not None and name not in panels:
        raise RecipeError(f"no panel {name!r}")
    if name is None and not in_space and any(map(is_stacked, found.panels.values())):
        raise RecipeError("panel is missing: in a stack of modules fs and ss are not unique")
    for each in panels if name is None else [name]:
        panel, entries = panels[each], found.panels[each]
        rows, columns = np.arange(panel.size[0])[:, None], np.arange(panel.size[1])[None, :]
        if in_space:
            (slow_x, slow_y, _), (fast_x, fast_y, _) = slow_of(entries), fast_of(entries)
            x = number_of(entries, "corner_x") + rows * slow_x + columns * fast_x
            y = number_of(entries, "corner_y") + rows * slow_y + columns * fast_y
            (low_x, high_x), (low_y, high_y) = _bounds(region, "x"), _bounds(region, "y")
            mask[panel.place] |= (x > low_x) & (x < high_x) & (y > low_y) & (y < high_y)
            continue
        ss, fs = rows + whole_of(entries, "min_ss"), columns + whole_of(entries, "min_fs")
        (low_ss, high_ss), (low_fs, high_fs) = _bounds(region, "ss"), _bounds(region, "fs")
        mask[panel.place] |= (ss >= low_ss) & (ss <= high_ss) & (fs >= low_fs) & (fs <= high_fs)


def _bounds(region: Entries, axis: str) -> tuple[float, float]:
    low = number_of(region, f"min_{axis}", -_ENDLESS)
    return low, number_of(region, f"max_{axis}", _ENDLESS)
