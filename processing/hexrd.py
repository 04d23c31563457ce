"""Instruments as HEXRD describes them: YAML files, and the HDF5 ones with the ending .hexrd."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import h5py
import numpy as np
import yaml

from ringline.processing.checks import require_count, require_finite, require_positive
from ringline.processing.errors import RecipeError
from ringline.processing.geometry import HC_KEV_M
from ringline.processing.panel_geometry import ImageGeometry, geometry_of_panels
from ringline.processing.panels import Panel, Vector, shape_of_panels
from ringline.processing.rotations import rotation_about
from ringline.processing.types import BoolArray, FloatArray

_MM = 1e-3
_ALONG_X = 1e-8
"""Sine of the angle between the beam and X down to which eta is defined."""
_Tree: TypeAlias = Mapping[str, object]


def read_hexrd(path: str | os.PathLike[str]) -> dict[str, ImageGeometry]:
    r"""Geometries of an instrument file of HEXRD, by the names of its images.

    HEXRD's laboratory has X to the right and Y up as seen along the beam, which runs along -Z
    unless the file says otherwise. A panel's middle stands at its translation, turned by
    :math:`R = \exp(tilt)`; columns of its image go along the panel's X, rows against its Y. The
    beam becomes axis 3, and axis 2 points to where HEXRD counts eta from: azimuths are HEXRD's eta.

    A panel has an image of its own, by its name; panels with a ``roi`` are parts of one, by the
    name of their ``group``. Buffers become masks. The sample's translation and turn are not part
    of a geometry, nor is the distance of a source: HEXRD's powder rings are without them too.

    Returns
    -------
    :
        By name of panel or group, in the order of the file. One that is alone:
        ``(found,) = read_hexrd(path).values()``.

    Raises
    ------
    RecipeError:
        The file cannot be read, an entry is missing or out of its bounds; a panel is cylindrical
        or has a distortion, or there are several beams: none of these is supported. The message
        names the file.
    """
    file = Path(path)
    try:
        return _images(_tree(file), file.parent)
    except OSError as error:
        raise RecipeError(f"{file}: {error.strerror or error}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecipeError(f"{file}: not an instrument file: neither HDF5 nor YAML") from error
    except RecipeError as error:
        raise RecipeError(f"{file}: {error}") from error


def _tree(file: Path) -> _Tree:
    if not file.exists() or not h5py.is_hdf5(file):
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise RecipeError("not an instrument file: no entries")
        return _inner(found)
    with h5py.File(file, "r") as opened:
        return _inner(_loaded(opened))


def _inner(tree: _Tree) -> _Tree:
    """What describes the instrument, where it stands beside other things."""
    inner = tree.get("instrument")
    return inner if isinstance(inner, dict) else tree


def _loaded(group: h5py.Group) -> dict[str, object]:
    """A group as a dictionary; arrays of one value are that value."""
    found: dict[str, object] = {}
    for name, item in group.items():
        if isinstance(item, h5py.Group):
            found[name] = _loaded(item)
            continue
        value = item[()]
        if isinstance(value, np.ndarray) and value.size == 1:
            value = value.reshape(-1)[0]
        found[name] = value.decode() if isinstance(value, bytes) else value
    return found


def _images(tree: _Tree, folder: Path) -> dict[str, ImageGeometry]:
    beam = _branch(tree, "beam")
    several = [name for name, each in beam.items() if isinstance(each, dict) and "energy" in each]
    if several:
        raise RecipeError(f"beams {', '.join(several)}: one beam is expected")
    wavelength = HC_KEV_M / require_positive("beam energy", _entry(beam, "energy"), "keV")
    frame = _beam_frame(_branch(beam, "vector"))
    detectors = _branch(tree, "detectors")
    images: dict[str, list[_Found]] = {}
    for name in detectors:
        panel = _branch(detectors, name)
        try:
            found = _panel(panel, frame, folder)
        except RecipeError as error:
            raise RecipeError(f"panel {name!r}: {error}") from error
        group = panel.get("group") if "roi" in _branch(panel, "pixels") else None
        images.setdefault(str(group or name), []).append(found)
    return {name: _image(name, found, wavelength) for name, found in images.items()}


@dataclass(frozen=True, slots=True)
class _Found:
    panel: Panel
    mask: BoolArray
    saturation: float | None


def _image(name: str, found: list[_Found], wavelength: float) -> ImageGeometry:
    panels = [each.panel for each in found]
    mask = np.zeros(shape_of_panels(panels), dtype=bool)
    for each in found:
        mask[each.panel.place] |= each.mask
    return ImageGeometry(
        geometry=geometry_of_panels(panels, wavelength=wavelength, name=name, mask=mask),
        saturation=min((e.saturation for e in found if e.saturation is not None), default=None),
    )


def _beam_frame(vector: _Tree) -> FloatArray:
    """Axes 1, 2 and 3 in HEXRD's laboratory, as rows: shape (3, 3).

    The beam travels against the direction of azimuth (from X towards Z) and polar angle (from Y);
    eta counts from X, or rather from the direction across the beam that is nearest to it.
    """
    azimuth, polar = (
        np.deg2rad(require_finite(name, _entry(vector, name), "degrees"))
        for name in ("azimuth", "polar_angle")
    )
    upstream = np.array(
        [np.sin(polar) * np.cos(azimuth), np.cos(polar), np.sin(polar) * np.sin(azimuth)]
    )
    up = np.cross(upstream, (1.0, 0.0, 0.0))
    length = float(np.linalg.norm(up))
    if length < _ALONG_X:
        raise RecipeError("the beam is along X, from which eta counts: eta is not defined")
    up /= length
    return np.array([up, np.cross(up, upstream), -upstream])


def _panel(panel: _Tree, frame: FloatArray, folder: Path) -> _Found:
    kind = panel.get("detector_type", "planar")
    if kind != "planar":
        raise RecipeError(f"detector_type {kind!r} is not supported, planar is")
    if panel.get("distortion") is not None:
        raise RecipeError("a panel with a distortion is not supported")
    pixels, transform = _branch(panel, "pixels"), _branch(panel, "transform")
    rows, columns = (_count(pixels, name) for name in ("rows", "columns"))
    high, wide = (
        require_positive("pixel size", size, "mm") * _MM for size in _numbers(pixels, "size", 2)
    )
    turn = frame @ rotation_about(_numbers(transform, "tilt", 3))
    middle = frame @ _numbers(transform, "translation", 3) * _MM
    level = panel.get("saturation_level")
    return _Found(
        Panel(
            first=_first(pixels),
            size=(rows, columns),
            origin=_vector(middle + turn @ (-0.5 * columns * wide, 0.5 * rows * high, 0.0)),
            slow=_vector(turn @ (0.0, -high, 0.0)),
            fast=_vector(turn @ (wide, 0.0, 0.0)),
        ),
        _outside(panel.get("buffer"), (rows, columns), (high, wide), folder),
        None if level is None else require_positive("saturation_level", level),
    )


def _first(pixels: _Tree) -> tuple[int, int]:
    """Where a panel begins in its image: ``roi`` is (row, column), or a range of each."""
    if pixels.get("roi") is None:
        return 0, 0
    count = np.size(np.asarray(pixels["roi"], dtype=object))
    starts = _numbers(pixels, "roi", 4 if count == 4 else 2)[:: max(1, count // 2)]
    row, column = (require_count("roi", int(start), at_least=0) for start in starts)
    return row, column


def _outside(
    buffer: object, shape: tuple[int, int], pixel: tuple[float, float], folder: Path
) -> BoolArray:
    """Where a panel does not count: True within a border of (x, y) mm, or where it says False."""
    if buffer is None:
        return np.zeros(shape, dtype=bool)
    if isinstance(buffer, str):
        try:
            buffer = np.load(folder / buffer, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise RecipeError(f"buffer {buffer} cannot be read: {error}") from error
    values = np.asarray(buffer)
    if values.ndim == 2:
        if values.shape != shape:
            raise RecipeError(f"buffer of {values.shape} pixels, the panel has {shape}")
        return np.asarray(values == 0)
    borders = np.broadcast_to(values.astype(np.float64) * _MM, (2,))
    masks = []
    for count, size, border in zip(shape, pixel, borders[::-1], strict=True):
        from_middle = np.abs((np.arange(count) + 0.5 - 0.5 * count) * size)
        masks.append(from_middle > 0.5 * count * size - border)
    return np.asarray(masks[0][:, None] | masks[1][None, :])


def _branch(tree: _Tree, name: str) -> _Tree:
    branch = _entry(tree, name)
    if not isinstance(branch, dict):
        raise RecipeError(f"{name} must have entries, got {branch!r}")
    return branch


def _entry(tree: _Tree, name: str) -> object:
    if name not in tree:
        raise RecipeError(f"entry {name!r} is missing")
    value = tree[name]
    # HEXRD's interactive program writes what it refines as a value and a status.
    return value["value"] if isinstance(value, dict) and "value" in value else value


def _count(tree: _Tree, name: str) -> int:
    return require_count(name, int(require_finite(name, _entry(tree, name))))


def _numbers(tree: _Tree, name: str, count: int) -> FloatArray:
    given = _entry(tree, name)
    values = list(np.ravel(np.asarray(given, dtype=object)))
    if len(values) != count:
        raise RecipeError(f"{name} must be {count} numbers, got {given!r}")
    return np.array([require_finite(name, value) for value in values])


def _vector(values: FloatArray) -> Vector:
    along1, along2, along3 = values.tolist()
    return along1, along2, along3
