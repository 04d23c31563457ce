"""Curves as text: two or three columns after a header of ``#`` lines."""

from pathlib import Path

import numpy as np

from ringline.processing.errors import RecipeError
from ringline.processing.files import replacement
from ringline.processing.multi_geometry import MultiGeometry
from ringline.processing.recipe import Recipe
from ringline.processing.sums import Profile
from ringline.processing.units import unit_named


def write_xy(path: Path, profile: Profile, recipe: Recipe | MultiGeometry) -> None:
    """Write axis, intensity and, with an error model, sigma. Replaces a former file at once.

    Numbers carry 17 digits, so that reading them gives back the same bits.

    Raises
    ------
    RecipeError:
        The profile is a cake, which has no text form.
    """
    if profile.azimuth is not None:
        raise RecipeError(f"{path}: a cake cannot be written as .xy: use .h5")
    columns = [profile.axis, profile.intensity]
    names = [unit_named(profile.unit).label, "intensity"]
    if profile.sigma is not None:
        columns.append(profile.sigma)
        names.append("sigma")
    header = "\n".join(
        (
            "Ringline azimuthal integration",
            f"recipe digest: {profile.recipe_digest}",
            f"recipe: {recipe.to_json()}",
            f"unit: {profile.unit}",
            "columns: " + ", ".join(names),
        )
    )
    with replacement(path) as temporary:
        np.savetxt(
            temporary, np.column_stack(columns), fmt="%.17g", header=header, encoding="utf-8"
        )
