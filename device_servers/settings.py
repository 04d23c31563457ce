"""The settings of a reducer as one frozen value, and the recipe that they make."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

from ringline.device_servers.kinds import Range
from ringline.processing import (
    Azimuthal,
    Cake,
    Corrections,
    Detector,
    Geometry,
    Radial,
    Recipe,
    RecipeError,
    detector_from_mapping,
    detector_named,
    detector_to_mapping,
    is_standard,
)

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
    radial_range: Range | None = None
    azimuth_range: Range | None = None
    splitting: str = "bbox"
    error_model: str = "none"
    polarization_factor: float = 0.0
    polarization_correction: bool = False
    solid_angle_correction: bool = True
    mask_file: str = ""
    dark_file: str = ""
    flat_file: str = ""
    engine: str = "auto"

    def not_set(self) -> list[str]:
        """Names of the settings without which there is no recipe."""
        return [name for name in ("distance", "wavelength", "detector") if not getattr(self, name)]

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
        """The recipe; it reads the files of mask, dark and flat.

        Raises
        ------
        RecipeError:
            Values that do not make a recipe, a file that cannot be read or does not fit.
        """
        axes = (self.radial_unit, self.radial_range, self.azimuth_range)
        binning = (
            Cake(self.radial_bins, self.azimuthal_bins, *axes)
            if self.azimuthal_bins
            else Radial(self.radial_bins, *axes)
        )
        corrections = Corrections(
            mask=self.mask_file or None,
            dark=self.dark_file or None,
            flat=self.flat_file or None,
            polarization=self.polarization_factor if self.polarization_correction else None,
            solid_angle=self.solid_angle_correction,
        )
        return Recipe(
            geometry=self.geometry(),
            binning=binning,
            splitting=self.splitting,
            error_model=self.error_model,
            corrections=corrections,
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
        binning, corrections = recipe.binning, recipe.corrections
        match binning:
            case Radial():
                radial_bins, azimuthal_bins = binning.bins, 0
            case Azimuthal():
                radial_bins, azimuthal_bins = 0, binning.bins
            case Cake():
                radial_bins, azimuthal_bins = binning.radial_bins, binning.azimuthal_bins
        paths = {
            f"{name}_file": str(Path(array.path).absolute()) if array.path else ""
            for name, array in corrections.arrays().items()
        }
        no_paths = dict.fromkeys(("mask_file", "dark_file", "flat_file"), "")
        return replace(
            self.with_geometry(recipe.geometry),
            radial_bins=radial_bins,
            azimuthal_bins=azimuthal_bins,
            radial_unit=binning.unit,
            radial_range=binning.radial_range,
            azimuth_range=binning.azimuth_range,
            splitting=recipe.splitting,
            error_model=recipe.error_model,
            polarization_factor=corrections.polarization or 0.0,
            polarization_correction=corrections.polarization is not None,
            solid_angle_correction=corrections.solid_angle,
            **{**no_paths, **paths},  # type: ignore[arg-type]
        )


def detector_from_text(text: str) -> Detector:
    """A detector by name, or from the JSON of a recipe's detector section."""
    if not text.startswith("{"):
        return detector_named(text)
    try:
        section = json.loads(text)
    except json.JSONDecodeError as error:
        raise RecipeError(f"detector is not JSON: {error}, got {text!r}") from error
    return detector_from_mapping(section)


def detector_to_text(detector: Detector) -> str:
    """The detector's name where that says it all, else JSON; without its orientation."""
    if is_standard(detector):
        return detector.name
    section = detector_to_mapping(detector)
    section.pop("orientation")
    return json.dumps(section, sort_keys=True)
