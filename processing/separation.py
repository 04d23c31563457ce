"""The smooth scattering of an image and the Bragg peaks on it, told apart."""

from dataclasses import dataclass, replace

import numpy as np

from ringline.processing.binning import Azimuthal
from ringline.processing.errors import RecipeError
from ringline.processing.frames import Frame
from ringline.processing.outliers import QuantileRange
from ringline.processing.recipe import Recipe
from ringline.processing.reduction import Reduction
from ringline.processing.sums import Profile
from ringline.processing.types import BoolArray, FloatArray


@dataclass(frozen=True, slots=True)
class Separation:
    """An image as the sum of two: ``image = smooth + bragg`` where it counts."""

    smooth: FloatArray
    """Counts that the profile without outliers means at each pixel, shape (slow, fast): what
    it recorded where it is masked or beyond the profile."""
    bragg: FloatArray
    """What is above or below that, counts, shape (slow, fast); 0 where ``smooth`` is not known."""
    spots: BoolArray
    """True for pixels that sigma clipping left out as too bright, shape (slow, fast)."""
    profile: Profile
    """The profile without outliers."""


def separating(recipe: Recipe) -> Recipe:
    """The recipe to separate with: one that keeps outliers is given the median of each ring.

    Raises
    ------
    RecipeError:
        It is of an azimuthal profile.
    """
    if isinstance(recipe.binning, Azimuthal):
        raise RecipeError(
            "an azimuthal profile cannot be separated: the smooth signal is that along rings or "
            "in a cake"
        )
    return recipe if recipe.outliers else replace(recipe, outliers=QuantileRange())


def separate(reduction: Reduction, frame: Frame) -> Separation:
    """Tell Bragg peaks from what is smooth along the rings.

    The profile of the frame, without outliers, is put back on the detector: interpolated
    linearly at each pixel's center, times the pixel's norm, plus its dark.

    Parameters
    ----------
    reduction:
        Of a recipe with ``outliers``: sigma clipping, or a range of quantiles.
    frame:
        Its image of shape (slow, fast).

    Raises
    ------
    RecipeError:
        The recipe keeps outliers.
    FrameError:
        The frame does not fit the recipe.
    """
    if reduction.recipe.outliers is None:
        raise RecipeError("outliers: name how to find them, to tell Bragg peaks from the rest")
    profile = reduction.finish(reduction.map(frame))
    spots = np.zeros(frame.image.size, dtype=bool)
    spots[reduction.spots(frame)] = True
    raw = frame.image.astype(np.float64)
    model = reduction.image_of(profile, frame.monitor)
    known = np.isfinite(model) & np.isfinite(raw)
    smooth = np.where(known, model, raw)
    bragg = np.where(known, raw - smooth, 0.0)
    return Separation(smooth, bragg, spots.reshape(raw.shape), profile)
