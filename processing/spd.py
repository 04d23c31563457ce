"""Geometry as ESRF's SPD has it, and as headers of EDF files tell it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

import fabio
import numpy as np

from ringline.processing.checks import require_finite, require_positive
from ringline.processing.detector import Detector
from ringline.processing.errors import RecipeError
from ringline.processing.geometry import Geometry
from ringline.processing.rotations import rotation_about, rotation_angles

_KEYS = {
    "sample_distance": "SampleDistance",
    "wavelength": "WaveLength",
    "center_1": "Center_1",
    "center_2": "Center_2",
    "pixel_1": "PSize_1",
    "pixel_2": "PSize_2",
    "offset_1": "Offset_1",
    "offset_2": "Offset_2",
    "rotation_1": "DetectorRotation_1",
    "rotation_2": "DetectorRotation_2",
    "rotation_3": "DetectorRotation_3",
    "binning_1": "BSize_1",
    "binning_2": "BSize_2",
}
_NEEDED = ("sample_distance", "wavelength", "center_1", "center_2", "pixel_1", "pixel_2")
_SWAP = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
"""SPD's axes from those of ``Geometry``, or back."""
_PLAIN = "Saxs"
"""The projection that images of a detector have."""
_SAME_PIXEL = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class SPD:
    """The parameters of SPD, SI units; 1 is the fast axis of the image, 2 the slow one.

    SPD's axes are right-handed: 1 to the right of the image, 2 upwards, 3 against the beam
    (P. Boesecke, J. Appl. Cryst. 40 (2007) s423).

    Raises
    ------
    RecipeError:
        A distance, wavelength, pixel size or binning that is not > 0, anything that is not finite.
    """

    sample_distance: float
    """From the sample to the point of normal incidence, m."""
    wavelength: float
    """m."""
    center_1: float
    """The point of normal incidence, pixels from the outer edge of the full image."""
    center_2: float
    pixel_1: float
    """Size of the pixels as they are binned, m."""
    pixel_2: float
    offset_1: float = 0.0
    """Where this image begins in the full one, pixels."""
    offset_2: float = 0.0
    rotation_1: float = 0.0
    """Turns of the detector about the axes of the laboratory, one after the other in order 1, 2, 3,
    counter-clockwise, rad."""
    rotation_2: float = 0.0
    rotation_3: float = 0.0
    binning_1: float = 1.0
    """Pixels of the detector in one of the image: told, and contained in all other numbers."""
    binning_2: float = 1.0

    def __post_init__(self) -> None:
        for name, key in _KEYS.items():
            positive = name.startswith(("sample", "wave", "pixel", "binning"))
            check = require_positive if positive else require_finite
            object.__setattr__(self, name, check(key, getattr(self, name)))

    def to_header(self) -> dict[str, str]:
        """The entries of an EDF file's header, exact; ``spd_from_header`` reads them back."""
        entries = {key: repr(getattr(self, name)) for name, key in _KEYS.items()}
        return {**entries, "ProjectionType": _PLAIN}


def spd_from_header(header: Mapping[str, str]) -> SPD:
    """The parameters in an EDF file's header; entries have the names of SPD, in any case.

    Raises
    ------
    RecipeError:
        A distance, wavelength, center or pixel size is missing, a value is out of its bounds; the
        image is a projection of the scattering vector (``Waxs``), or flipped or turned
        (``RasterOrientation`` other than 1).
    """
    entries = {key.lower(): value.strip() for key, value in header.items()}
    projection = entries.get("projectiontype", _PLAIN)
    if projection.lower() != _PLAIN.lower():
        raise RecipeError(f"ProjectionType must be {_PLAIN}, got {projection!r}")
    if entries.get("rasterorientation", "1") != "1":
        raise RecipeError(f"RasterOrientation must be 1, got {entries['rasterorientation']}")
    values = {name: entries[key.lower()] for name, key in _KEYS.items() if key.lower() in entries}
    for name in _NEEDED:
        if name not in values:
            raise RecipeError(f"{_KEYS[name]} is missing")
    return SPD(**values)  # type: ignore[arg-type]  # texts, of which SPD makes numbers


def read_spd(path: str | os.PathLike[str], detector: Detector | None = None) -> Geometry:
    """The geometry in the header of an EDF file, of its first frame.

    Parameters
    ----------
    path:
        Of the file.
    detector:
        As for ``geometry_from_spd``.

    Raises
    ------
    RecipeError:
        The file cannot be read, the header does not tell a geometry, or one of another detector;
        the message names the file.
    """
    try:
        with fabio.open(os.fspath(path)) as image:
            slow, fast = (int(n) for n in image.shape)
            header = {str(key): str(value) for key, value in image.header.items()}
    except Exception as error:  # each of fabio's readers raises what it likes
        text = str(error).strip() or type(error).__name__
        raise RecipeError(f"{path}: {text.splitlines()[0]}") from error
    try:
        geometry = geometry_from_spd(spd_from_header(header), detector)
        if geometry.detector.shape not in (None, (slow, fast)):
            raise RecipeError(
                f"an image of {(slow, fast)} pixels, {geometry.detector.name} has "
                f"{geometry.detector.shape}"
            )
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from error
    return geometry.with_shape((slow, fast))


def geometry_from_spd(parameters: SPD, detector: Detector | None = None) -> Geometry:
    r"""The geometry that SPD describes so.

    SPD's axes 1, 2 and 3 are axes 2, 1 and -3 of ``Geometry``. A detector stands at
    :math:`R_3 R_2 R_1 (x - x_{PONI}, y - y_{PONI}, -L)` in SPD's axes, with turns in its order.

    Parameters
    ----------
    parameters:
        Of SPD.
    detector:
        That they are of; None: one with pixels of their sizes, its shape that of the first frame.

    Raises
    ------
    RecipeError:
        Pixels have other sizes than the detector's.
    """
    if detector is None:
        detector = Detector(pixel1=parameters.pixel_2, pixel2=parameters.pixel_1)
    sizes = (
        ("PSize_1", parameters.pixel_1, detector.pixel2),
        ("PSize_2", parameters.pixel_2, detector.pixel1),
    )
    for name, size, own in sizes:
        if abs(size - own) > _SAME_PIXEL * own:
            raise RecipeError(f"{name} is {size:g} m, pixels of {detector.name} have {own:g} m")
    turns = ((0, parameters.rotation_1, 0), (parameters.rotation_2, 0, 0))
    first, second = (rotation_about(np.array(turn, dtype=np.float64)) for turn in turns)
    third = rotation_about(np.array((0.0, 0.0, -parameters.rotation_3)))
    rot1, rot2, rot3 = rotation_angles(third @ second @ first)
    return Geometry(
        distance=parameters.sample_distance,
        poni1=(parameters.center_2 - parameters.offset_2) * detector.pixel1,
        poni2=(parameters.center_1 - parameters.offset_1) * detector.pixel2,
        rot1=rot1,
        rot2=rot2,
        rot3=rot3,
        wavelength=parameters.wavelength,
        detector=detector,
    )


def spd_of(geometry: Geometry) -> SPD:
    """A geometry as SPD has it; centers count along the PONI's axes, as in pyFAI.

    Any geometry has such parameters, and they make it again, with other angles at most for the
    same turn. Binning is not known and told as 1.
    """
    detector = geometry.detector
    # A PONI's turns by -rot1, -rot2, rot3 are those of SPD by rotation_1 .. 3, on other axes.
    rot1, rot2, rot3 = rotation_angles(_SWAP @ geometry.rotation @ _SWAP)
    return SPD(
        sample_distance=geometry.distance,
        wavelength=geometry.wavelength,
        center_1=geometry.poni2 / detector.pixel2,
        center_2=geometry.poni1 / detector.pixel1,
        pixel_1=detector.pixel2,
        pixel_2=detector.pixel1,
        rotation_1=0.0 - rot1,
        rotation_2=0.0 - rot2,
        rotation_3=0.0 + rot3,
    )
