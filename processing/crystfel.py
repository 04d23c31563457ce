"""Geometry files of CrystFEL (.geom), which EXtra-geom and others write as well."""

import os
import warnings
from dataclasses import dataclass
from pathlib import Path

from ringline.processing.checks import require_positive
from ringline.processing.crystfel_entries import (
    CrystFELFile,
    Entries,
    fast_of,
    length_of,
    module_of,
    number_of,
    parse_crystfel,
    pixel_of,
    rows_of,
    slow_of,
    wavelength_of,
    whole_of,
)
from ringline.processing.crystfel_masks import mask_of, masks_in_data
from ringline.processing.errors import RecipeError
from ringline.processing.geometry import HC_KEV_M
from ringline.processing.panel_geometry import ImageGeometry, geometry_of_panels
from ringline.processing.panels import Panel, Vector


def read_crystfel(
    path: str | os.PathLike[str],
    *,
    camera_length: float | None = None,
    energy_kev: float | None = None,
    hexagonal: bool = False,
) -> ImageGeometry:
    """The geometry in a .geom file of CrystFEL.

    CrystFEL's z is along the beam and becomes axis 3, its y axis 1, its x axis 2: azimuths count
    from x towards y, and corners are those that EXtra-geom hands to pyFAI.

    Panels are parts of one slab of data (ss, fs), which is the image; or data are a stack of
    modules (module, ss, fs), as of AGIPD, LPD and DSSC, and the image has the shape (modules x ss,
    fs): ``frame.reshape(-1, frame.shape[-1])``. Pixels of no panel, of panels with ``no_index``, on
    edges that ``mask_edge_pixels`` takes away, in bad regions and in mask files are masked. A mask
    that stands beside the images in each data file is not read, which a warning says.

    Parameters
    ----------
    path:
        Of the file.
    camera_length:
        m, instead of ``clen``, which may say only in which dataset it stands.
    energy_kev:
        Photon energy, keV, instead of that of the file.
    hexagonal:
        Whether pixels are hexagons, as those of DSSC: such a file gives the steps between rows
        and columns, and leaves out that every second row is shifted.

    Raises
    ------
    RecipeError:
        The file cannot be read, a value is missing or out of its bounds, panels are in several
        datasets or share pixels. The message names the file.
    """
    try:
        found = parse_crystfel(Path(path).read_text(encoding="utf-8"))
        placing = _Placing(found, camera_length, hexagonal)
        panels = {name: placing.panel(name, each) for name, each in found.panels.items()}
        geometry = geometry_of_panels(
            list(panels.values()),
            wavelength=_wavelength(found.entries, energy_kev),
            name="CrystFEL",
            mask=mask_of(found, panels, Path(path).parent),
        )
        told = _told(found)
    except OSError as error:
        raise RecipeError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: not a geometry file (not text)") from error
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from error
    for place in masks_in_data(found):
        warnings.warn(
            f"{path}: the mask in {place} of data files is not read: give it as mask to apply it",
            stacklevel=2,
        )
    saturation, data = told
    return ImageGeometry(geometry=geometry, saturation=saturation, data=data)


def _wavelength(entries: Entries, energy_kev: float | None) -> float:
    if energy_kev is None:
        return wavelength_of(entries)
    return HC_KEV_M / require_positive("energy_kev", energy_kev, "keV")


@dataclass(frozen=True, slots=True)
class _Placing:
    """Where panels go: in the image, and in space."""

    found: CrystFELFile
    camera_length: float | None
    hexagonal: bool

    def panel(self, name: str, entries: Entries) -> Panel:
        """A panel; RecipeError with its name."""
        try:
            return self._panel(entries)
        except RecipeError as error:
            raise RecipeError(f"panel {name!r}: {error}") from error

    def _panel(self, entries: Entries) -> Panel:
        pixel = pixel_of(entries)
        shift_x, shift_y = (
            length_of(self.found.entries, f"detector_shift_{axis}", 0.0) for axis in ("x", "y")
        )
        (first_ss, last_ss), (first_fs, last_fs) = (_range(entries, axis) for axis in ("ss", "fs"))
        return Panel(
            first=(module_of(entries) * rows_of(self.found) + first_ss, first_fs),
            size=(last_ss - first_ss + 1, last_fs - first_fs + 1),
            origin=(
                number_of(entries, "corner_y") * pixel + shift_y,
                number_of(entries, "corner_x") * pixel + shift_x,
                self._camera_length(entries) + number_of(entries, "coffset", 0.0),
            ),
            slow=_step(slow_of(entries), pixel),
            fast=_step(fast_of(entries), pixel),
            hexagonal=self.hexagonal,
        )

    def _camera_length(self, entries: Entries) -> float:
        if self.camera_length is not None:
            return require_positive("camera_length", self.camera_length, "m")
        # It stands once in a file, before the panels or after them.
        return length_of(entries if "clen" in entries else self.found.entries, "clen")


def _range(entries: Entries, axis: str) -> tuple[int, int]:
    low, high = whole_of(entries, f"min_{axis}"), whole_of(entries, f"max_{axis}")
    if not 0 <= low <= high:
        raise RecipeError(f"min_{axis} must be from 0 to max_{axis} = {high}, got {low}")
    return low, high


def _step(direction: Vector, pixel: float) -> Vector:
    x, y, z = direction
    return y * pixel, x * pixel, z * pixel


def _told(found: CrystFELFile) -> tuple[float | None, str | None]:
    """Saturation, and where the data are."""
    places = list(dict.fromkeys(entries.get("data") for entries in found.panels.values()))
    if len(places) > 1:
        raise RecipeError(
            f"panels are in several datasets, such as {places[0]} and {places[1]}: "
            "one that holds all is expected"
        )
    levels = [number_of(each, "max_adu") for each in found.panels.values() if "max_adu" in each]
    return min(levels, default=None), places[0]
