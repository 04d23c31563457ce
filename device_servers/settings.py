"""The settings of a reducer as one frozen value, and the recipe that they make."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

from ringline.device_servers.kinds import Edges, Range
from ringline.device_servers.recipe_fields import (
    binning_fields,
    binning_of,
    corrections_fields,
    corrections_of,
    outlier_fields,
    outliers_of,
)
from ringline.processing import (
    Detector,
    Geometry,
    Recipe,
    RecipeError,
    detector_from_mapping,
    detector_named,
    detector_to_mapping,
    is_standard,
)
from ringline.processing.detector_file import DETECTOR_FILES, read_detector_file

GEOMETRY = (
    *("distance", "poni1", "poni2", "rot1", "rot2", "rot3", "wavelength"),
    *("detector", "orientation", "parallax"),
)
"""What a PONI file sets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set, parsed. Lengths in m, angles of the geometry in rad.

    The values need not make a recipe yet: each can be set on its own, in any order.
    """

    distance: float = 0.0
    poni1: float = 0.0
    poni2: float = 0.0
    rot1: float = 0.0
    rot2: float = 0.0
    rot3: float = 0.0
    wavelength: float = 0.0
    detector: str = ""
    orientation: int = 3
    parallax: bool = False
    radial_bins: int = 1000
    azimuthal_bins: int = 0
    radial_unit: str = "q_nm^-1"
    azimuthal_unit: str = "chi_deg"
    radial_range: Range | None = None
    azimuth_range: Range | None = None
    radial_edges: Edges | None = None
    azimuth_edges: Edges | None = None
    splitting: str = "bbox"
    coefficients: str = "exact"
    error_model: str = "none"
    outlier_rejection: str = "none"
    outlier_threshold: float = 5.0
    outlier_iterations: int = 5
    quantile_range: Range = (0.5, 0.5)
    polarization_factor: float = 0.0
    polarization_correction: bool = False
    polarization_axis: float = 0.0
    solid_angle_correction: bool = True
    absorption_correction: bool = False
    mask_file: str = ""
    dark_file: str = ""
    flat_file: str = ""
    dark_variance_file: str = ""
    variance_file: str = ""
    monitor_reference: float = 0.0
    absolute_scale: float = 1.0
    saturation: float = 0.0
    saturation_rejection: bool = False
    dummy: float = 0.0
    dummy_rejection: bool = False
    delta_dummy: float = 0.0
    engine: str = "auto"

    def not_set(self) -> list[str]:
        """Names of the settings without which there is no recipe."""
        return [name for name in ("distance", "wavelength", "detector") if not getattr(self, name)]

    @property
    def points(self) -> int:
        """Points of the curve: radial bins, or the azimuthal ones of an azimuthal profile."""
        return self.radial_bins or self.azimuthal_bins

    def geometry(self) -> Geometry:
        """The geometry; RecipeError where it is not complete."""
        return Geometry(
            distance=self.distance,
            poni1=self.poni1,
            poni2=self.poni2,
            rot1=self.rot1,
            rot2=self.rot2,
            rot3=self.rot3,
            wavelength=self.wavelength,
            detector=replace(detector_from_text(self.detector), orientation=self.orientation),
            parallax=self.parallax,
        )

    def recipe(self) -> Recipe:
        """The recipe; it reads the files of arrays.

        Raises
        ------
        RecipeError:
            Values that do not make a recipe, a file that cannot be read or does not fit.
        """
        return Recipe(
            geometry=self.geometry(),
            binning=binning_of(self),
            splitting=self.splitting,
            error_model=self.error_model,
            coefficients=self.coefficients,
            outliers=outliers_of(self),
            corrections=corrections_of(self),
        )

    def with_geometry(self, geometry: Geometry) -> "Settings":
        """The same settings, standing elsewhere."""
        return replace(
            self,
            distance=geometry.distance,
            poni1=geometry.poni1,
            poni2=geometry.poni2,
            rot1=geometry.rot1,
            rot2=geometry.rot2,
            rot3=geometry.rot3,
            wavelength=geometry.wavelength,
            detector=detector_to_text(geometry.detector),
            orientation=geometry.detector.orientation,
            parallax=geometry.parallax,
        )

    def with_recipe(self, recipe: Recipe) -> "Settings":
        """The settings that make this recipe. Its arrays must have paths."""
        return replace(
            self.with_geometry(recipe.geometry),
            splitting=recipe.splitting,
            error_model=recipe.error_model,
            coefficients=recipe.coefficients,
            **binning_fields(recipe.binning),
            **outlier_fields(recipe.outliers),
            **corrections_fields(recipe.corrections),
        )


def detector_from_text(text: str) -> Detector:
    """A detector by name, from a detector file, or from JSON: a recipe's detector section."""
    if Path(text).suffix in DETECTOR_FILES:
        return read_detector_file(text).detector
    if not text.startswith("{"):
        return detector_named(text)
    try:
        section = json.loads(text)
    except json.JSONDecodeError as error:
        raise RecipeError(f"detector is not JSON: {error}, got {text!r}") from error
    return detector_from_mapping(section)


def detector_to_text(detector: Detector) -> str:
    """The detector's name where that says it all, else JSON; without its orientation.

    A sensor stands in it, and arrays of the detector as path and sha256: they must have a path.
    """
    if is_standard(detector):
        return detector.name
    section = detector_to_mapping(detector)
    section.pop("orientation")
    for name in ("corners", "mask"):
        array = section.get(name)
        if isinstance(array, dict) and isinstance(array.get("path"), str):
            array["path"] = str(Path(str(array["path"])).absolute())
    return json.dumps(section, sort_keys=True)
