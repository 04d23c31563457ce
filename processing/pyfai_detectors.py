"""Detectors that pyFAI knows, where it is installed."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

import numpy as np

from ringline.processing.detector import Detector
from ringline.processing.detector_table import detector_named
from ringline.processing.errors import RecipeError
from ringline.processing.sensor import Sensor
from ringline.processing.types import FloatArray, ImageArray

_SAME_PLACE = 1e-7
"""m, up to which pixels of pyFAI lie on a grid: it rounds positions to float32."""


class _SensorConfig(Protocol):
    def as_dict(self) -> Mapping[str, str | float]: ...


class _Theirs(Protocol):
    """What is used of pyFAI's detectors."""

    name: str
    pixel1: float
    pixel2: float
    shape: tuple[int, int] | None
    orientation: int
    mask: ImageArray | None
    sensor: _SensorConfig | None
    splinefile: str | None
    uniform_pixel: bool
    IS_FLAT: bool
    CORNERS: int

    def get_pixel_corners(self, *, correct_binning: bool) -> FloatArray: ...

    def calc_cartesian_positions(
        self, d1: FloatArray, d2: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray | None]: ...


def detector_from_pyfai(source: object) -> Detector:
    """A detector of pyFAI, by its name there or as its object: pixels, mask and sensor.

    Pixels that are no grid of equal rectangles have their corners, such as those of bent image
    plates, of detectors with a spline, and those given to pyFAI as an array. One that the table has
    as well, with the same pixels and mask, is that of the table: PONI files can name it. Flat and
    dark are not part of a detector.

    Parameters
    ----------
    source:
        Such as ``"Rapid"``, or ``pyFAI.detectors.Aarhus(radius=1.2)``.

    Raises
    ------
    RecipeError:
        pyFAI is not installed, does not know the name, or has a detector that cannot be: without
        pixel size, or with corners and an orientation other than 3, which it turns for some
        purposes and not for others.
    """
    theirs = _theirs(source)
    mask = None if theirs.mask is None or not np.any(theirs.mask) else np.asarray(theirs.mask)
    name = theirs.name if _is_from_a_file(theirs) else type(theirs).__name__
    found = Detector(
        name=name,
        pixel1=theirs.pixel1,
        pixel2=theirs.pixel2,
        shape=theirs.shape,
        orientation=int(theirs.orientation),
        sensor=_sensor(theirs.sensor),
        mask=mask,
    )
    if not _is_grid(theirs, found):
        found = replace(found, corners=np.asarray(theirs.get_pixel_corners(correct_binning=True)))
    return _of_the_table(found)


def _theirs(source: object) -> _Theirs:
    try:
        factory: Callable[[object], _Theirs | None]
        factory = importlib.import_module("pyFAI.detectors").detector_factory
    except ImportError as error:
        raise RecipeError("detectors of pyFAI need it: pip install pyFAI") from error
    try:
        theirs = factory(source)
    except (RuntimeError, TypeError) as error:
        raise RecipeError(f"pyFAI knows no detector {source!r}") from error
    if theirs is None:
        raise RecipeError(f"pyFAI knows no detector {source!r}")
    return theirs


def _is_from_a_file(theirs: _Theirs) -> bool:
    return type(theirs).__name__ == "NexusDetector"


def _sensor(config: _SensorConfig | None) -> Sensor | None:
    if config is None:
        return None
    values = config.as_dict()
    thickness = values.get("thickness")
    return Sensor(str(values["material"]), None if thickness is None else float(thickness))


def _is_grid(theirs: _Theirs, grid: Detector) -> bool:
    """Whether the pixels are those of the grid; asked of the first row and column as well.

    pyFAI calls the pixels of some detectors uniform that it places otherwise.
    """
    if not (theirs.IS_FLAT and theirs.uniform_pixel and theirs.CORNERS == 4) or theirs.splinefile:
        return False
    if grid.shape is None:
        return True
    slow, fast = (np.arange(n, dtype=np.float64) for n in grid.shape)
    centers1, centers2, _ = grid.pixel_centers()
    places1 = theirs.calc_cartesian_positions(slow, np.zeros_like(slow))[0]
    places2 = theirs.calc_cartesian_positions(np.zeros_like(fast), fast)[1]
    return bool(
        np.allclose(places1, centers1[:, 0], rtol=0, atol=_SAME_PLACE)
        and np.allclose(places2, centers2[0], rtol=0, atol=_SAME_PLACE)
    )


def _of_the_table(found: Detector) -> Detector:
    """The table's detector where it is the same one, else what was found."""
    try:
        listed = detector_named(found.name, (found.pixel1, found.pixel2))
    except RecipeError:
        return found
    same = (listed.pixel1, listed.pixel2, listed.shape) == (found.pixel1, found.pixel2, found.shape)
    if not same or listed.corners != found.corners:
        return found
    own, of_table = (
        np.zeros(found.known_shape, dtype=bool) if mask is None else mask
        for mask in (found.built_in_mask(), listed.built_in_mask())
    )
    if not np.array_equal(own, of_table):
        return found
    return replace(listed, orientation=found.orientation, sensor=found.sensor)
