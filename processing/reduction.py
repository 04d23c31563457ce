"""Compiling recipes: one protocol for all engines, one cache."""

from collections.abc import Callable, Iterable
from functools import lru_cache
from threading import Lock
from typing import Protocol

import numpy as np

from ringline.processing.axes import Axis
from ringline.processing.binning import output_shape
from ringline.processing.checks import require_choice
from ringline.processing.errors import RecipeError
from ringline.processing.frames import Frame
from ringline.processing.numpy_engine import NumpyEngine
from ringline.processing.recipe import Recipe
from ringline.processing.sums import Profile, Sums
from ringline.processing.types import FloatArray, ImageArray
from ringline.processing.units import unit_named


class Engine(Protocol):
    """A recipe compiled for one detector shape. Thread-safe; holds no frame."""

    @property
    def radial(self) -> Axis:
        """The radial axis."""

    @property
    def azimuthal(self) -> Axis | None:
        """The azimuthal axis; None for a curve."""

    def map(self, frame: Frame) -> Sums:
        """Sums of one frame; FrameError for one of another shape or of no numbers."""


ENGINES: dict[str, Callable[[Recipe], Engine]] = {"numpy": NumpyEngine}


class Reduction:
    """A compiled recipe. Thread-safe; holds no frame; never pickled: send the recipe.

    A recipe whose detector has no shape is compiled for that of the first frame it meets.
    """

    def __init__(self, recipe: Recipe, engine: str) -> None:
        self.recipe = recipe
        self.engine = engine
        self._unit = unit_named(recipe.binning.unit)
        self._lock = Lock()
        self._compiled: Engine | None = None
        if recipe.shape is not None:
            self.bind(recipe.shape)

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a Reduction is not pickled: send its recipe, and compile it there")

    def bind(self, shape: tuple[int, int]) -> None:
        """Compile for frames of this shape now, if not done yet.

        Raises
        ------
        RecipeError:
            The recipe is for another shape, or leaves nothing to bin.
        """
        with self._lock:
            if self._compiled is None:
                self._compiled = _compiled(self.recipe.with_shape(shape), self.engine)

    @property
    def axis(self) -> FloatArray:
        """Radial bin centers in the recipe's unit, shape (radial bins,)."""
        return self._bound().radial.centers * self._unit.scale

    @property
    def edges(self) -> FloatArray:
        """Radial bin edges in the recipe's unit, shape (radial bins + 1,)."""
        return self._bound().radial.edges * self._unit.scale

    @property
    def azimuth(self) -> FloatArray | None:
        """Azimuthal bin centers, degrees, shape (azimuthal bins,); None for a curve."""
        axis = self._bound().azimuthal
        return None if axis is None else np.degrees(axis.centers)

    @property
    def azimuth_edges(self) -> FloatArray | None:
        """Azimuthal bin edges, degrees, shape (azimuthal bins + 1,); None for a curve."""
        axis = self._bound().azimuthal
        return None if axis is None else np.degrees(axis.edges)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of intensity and sigma."""
        return output_shape(self.recipe.binning)

    def map(self, frame: Frame) -> Sums:
        """Sums of one frame; FrameError for one of another shape or of no numbers."""
        if self._compiled is None and len(frame.image.shape) == 2:
            slow, fast = frame.image.shape
            self.bind((slow, fast))
        return self._bound().map(frame)

    def finish(self, sums: Sums) -> Profile:
        """Mean intensity and its standard error: signal / norm, sqrt(variance) / norm."""
        with np.errstate(divide="ignore", invalid="ignore"):
            intensity = np.where(sums.count > 0, sums.signal / sums.norm, np.nan)
            sigma = np.where(sums.count > 0, np.sqrt(sums.variance) / sums.norm, np.nan)
        return Profile(
            axis=self.axis,
            unit=self._unit.name,
            azimuth=self.azimuth,
            intensity=intensity,
            sigma=None if self.recipe.error_model == "none" else sigma,
            recipe_digest=self.recipe.digest,
            frames=sums.frames,
            first_frame=sums.first_frame,
            last_frame=sums.last_frame,
        )

    def reduce(self, image: ImageArray) -> Profile:
        """The profile of one image, shape (slow, fast)."""
        return self.finish(self.map(Frame(image)))

    def reduce_block(self, images: Iterable[ImageArray]) -> list[Profile]:
        """The profile of each image of a block, shape (frames, slow, fast)."""
        return [self.finish(self.map(Frame(image, index))) for index, image in enumerate(images)]

    def _bound(self) -> Engine:
        if self._compiled is None:
            raise RecipeError(
                "the detector's shape is not known: give it in the PONI file, or reduce a frame"
            )
        return self._compiled


def reduction_for(recipe: Recipe, engine: str = "auto") -> Reduction:
    """Compile a recipe, or take what was compiled from the cache.

    Parameters
    ----------
    recipe:
        What to do.
    engine:
        ``numpy``, or ``auto``: the fastest there is for this recipe.

    Raises
    ------
    RecipeError:
        The engine is unknown or absent, or the recipe leaves nothing to bin.
    """
    require_choice("engine", engine, ["auto", *ENGINES])
    return Reduction(recipe, "numpy" if engine == "auto" else engine)


@lru_cache(maxsize=8)
def _compiled(recipe: Recipe, engine: str) -> Engine:
    return ENGINES[engine](recipe)
