"""The recipe: everything that makes a curve out of a frame, as one frozen value."""

import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from ringline.processing.arrays import InputArray
from ringline.processing.binning import Binning
from ringline.processing.checks import require_choice
from ringline.processing.corrections import Corrections
from ringline.processing.errors import RecipeError
from ringline.processing.geometry import Geometry
from ringline.processing.outliers import Outliers
from ringline.processing.recipe_mapping import Mapped, digest_of, recipe_to_mapping

SPLITTINGS = ("no", "bbox", "pseudo", "full")
"""How a pixel is shared between bins (pyFAI's names): not at all, by its bounding box, by that
shrunk to the pixel's area, by its polygon."""

ERROR_MODELS = ("none", "poisson", "variance", "azimuthal", "hybrid")
"""Where the variance of a pixel comes from (pyFAI's names): its counts, an array, the scatter
around its ring; ``hybrid`` clips outliers by that scatter and states the error by the counts."""

COEFFICIENTS = ("exact", "compact")
"""How a pixel's shares are kept: in steps of 2^-24, or of 1/65535, which is faster to read."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Geometry, corrections, binning, splitting and error model. Hashable.

    Two are equal where every value and the content of every array are, wherever these are stored.

    Raises
    ------
    RecipeError:
        A value out of its bounds, an array of another shape than the detector, or absorption in a
        sensor that is not known.
    """

    geometry: Geometry
    binning: Binning
    splitting: str = "bbox"
    error_model: str = "none"
    coefficients: str = "exact"
    outliers: Outliers | None = None
    """What each frame's rings are cleared of; None: nothing."""
    corrections: Corrections = field(default_factory=Corrections)

    def __post_init__(self) -> None:
        require_choice("splitting", self.splitting, SPLITTINGS)
        require_choice("error_model", self.error_model, ERROR_MODELS)
        require_choice("coefficients", self.coefficients, COEFFICIENTS)
        if self.error_model == "variance" and self.corrections.variance is None:
            raise RecipeError("error_model 'variance' needs the array corrections.variance")
        self.corrections.check_shape(self.geometry.detector.shape)
        if self.corrections.absorption:
            # The record of a run then tells the sensor, also one that the table knows.
            object.__setattr__(self, "geometry", self.geometry.with_known_sensor())

    @cached_property
    def shape(self) -> tuple[int, int] | None:
        """Shape of a frame (slow, fast), where the detector or an array tells it."""
        return self.corrections.check_shape(self.geometry.detector.shape)

    def with_shape(self, shape: tuple[int, int]) -> "Recipe":
        """The same recipe for a detector of this shape."""
        return replace(self, geometry=self.geometry.with_shape(shape))

    def with_stored_arrays(self, folder: Path) -> "Recipe":
        """The same recipe, arrays given without a path saved as ``folder/<sha256>.npy``."""
        detector = self.geometry.detector.with_stored_arrays(folder)
        return replace(
            self,
            geometry=replace(self.geometry, detector=detector),
            corrections=self.corrections.with_stored_arrays(folder),
        )

    def arrays(self) -> dict[str, InputArray]:
        """The arrays that are given, by name: those of the corrections, and of the detector."""
        names = {"corners": "corners", "mask": "detector_mask"}
        own = self.geometry.detector.arrays()
        return {**self.corrections.arrays(), **{names[name]: own[name] for name in own}}

    @cached_property
    def digest(self) -> str:
        """sha256 of the recipe, hex. Arrays count by content, not by path."""
        return digest_of(recipe_to_mapping(self, paths=False))

    def to_mapping(self) -> dict[str, Mapped]:
        """Plain values for JSON and TOML; ``recipe_from_mapping`` reads them back."""
        return recipe_to_mapping(self, paths=True)

    def to_json(self) -> str:
        """JSON text; ``recipe_from_json`` reads it back exactly."""
        return json.dumps(self.to_mapping(), sort_keys=True)
