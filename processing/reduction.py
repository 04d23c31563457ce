"""Compiling recipes: one protocol for all engines, one cache."""

from collections.abc import Callable, Iterable
from functools import lru_cache
from threading import Lock

import numpy as np
import numpy.typing as npt

from ringline.processing.binning import output_shape
from ringline.processing.checks import require_choice
from ringline.processing.engine import Engine, Kernels
from ringline.processing.errors import FrameError, RecipeError
from ringline.processing.frames import Block, Frame
from ringline.processing.numba_engine import NumbaKernels
from ringline.processing.numpy_engine import NumpyKernels
from ringline.processing.opencl_engine import opencl_kernels
from ringline.processing.profile_kernels import add_profile
from ringline.processing.projection import project
from ringline.processing.recipe import Recipe
from ringline.processing.sums import Profile, Sums
from ringline.processing.table import Table
from ringline.processing.types import FloatArray, ImageArray
from ringline.processing.units import unit_named
from ringline.processing.worker_threads import in_parallel

ENGINES: dict[str, Callable[[Table], Kernels]] = {
    "numpy": NumpyKernels,
    "numba": NumbaKernels,
    "opencl": opencl_kernels,
}

AUTO_REASON = "compiled for the CPU: the fastest from the first frame on"
"""Why ``auto`` takes numba: docs/decisions/0006-auto-is-numba.md has the figures."""


class Reduction:
    """A compiled recipe. Thread-safe; holds no frame; never pickled: send the recipe.

    A recipe whose detector has no shape is compiled for that of the first frame it meets.
    """

    def __init__(
        self, recipe: Recipe, engine: str, reason: str = "asked for", *, shared: bool = True
    ) -> None:
        self._compile = _compiled if shared else _compiled.__wrapped__
        self.recipe = recipe
        self.engine = engine
        self.engine_reason = reason
        """Why it is this engine."""
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
                self._compiled = self._compile(self.recipe.with_shape(shape), self.engine)

    def warm(self, dtypes: Iterable[str] = ("u2", "u4")) -> None:
        """Make ready what the first frames of these dtypes would wait for: compiled loops, sums.

        Raises
        ------
        RecipeError:
            The detector's shape is not known.
        """
        engine, monitor = self._bound(), self.recipe.corrections.monitor
        for dtype in dtypes:
            images = np.zeros((_WARM_BLOCK, *engine.table.shape), dtype)
            for frames in (1, _WARM_BLOCK):
                self.finish(engine.map(Block(images[:frames], 0, [monitor] * frames))[0])

    @property
    def axis(self) -> FloatArray:
        """Bin centers of a curve, radial ones of a cake, in the recipe's unit; shape (bins,)."""
        return self._bound().along.shown_centers

    @property
    def edges(self) -> FloatArray:
        """Their edges, shape (bins + 1,)."""
        return self._bound().along.shown_edges

    @property
    def azimuth(self) -> FloatArray | None:
        """Azimuthal bin centers, degrees, shape (azimuthal bins,); None for a curve."""
        axis = self._bound().across
        return None if axis is None else axis.shown_centers

    @property
    def azimuth_edges(self) -> FloatArray | None:
        """Azimuthal bin edges, degrees, shape (azimuthal bins + 1,); None for a curve."""
        axis = self._bound().across
        return None if axis is None else axis.shown_edges

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of intensity and sigma."""
        return output_shape(self.recipe.binning)

    def map(self, frame: Frame) -> Sums:
        """Sums of one frame; FrameError for one that does not fit the recipe."""
        if frame.image.ndim != 2:
            raise FrameError(f"frame {frame.index}: shape {frame.image.shape} is not of an image")
        block = Block(frame.image[np.newaxis], frame.index, [frame.monitor])
        return self.map_block(block)[0]

    def map_block(self, block: Block) -> list[Sums]:
        """Sums of each frame of a block; FrameError where one does not fit the recipe."""
        if self._compiled is None and block.images.ndim == 3:
            slow, fast = block.images.shape[1:]
            self.bind((slow, fast))
        return self._bound().map(block)

    def finish(self, sums: Sums) -> Profile:
        """Mean intensity, its standard error and the standard deviation.

        signal / norm, sqrt(variance) / norm and sqrt(variance / norm_sq), as in pyFAI.
        """
        return profile_of(self.recipe, sums, (self.axis, self.azimuth))

    def reduce(self, image: ImageArray) -> Profile:
        """The profile of one image, shape (slow, fast)."""
        return self.finish(self.map(Frame(image)))

    def reduce_block(self, images: ImageArray) -> list[Profile]:
        """The profile of each image of a block, shape (frames, slow, fast)."""
        return [self.finish(sums) for sums in self.map_block(Block(np.asarray(images)))]

    def image_of(self, profile: Profile, monitor: float | None = None) -> FloatArray:
        """The counts that a profile of this recipe means at each pixel, shape (slow, fast).

        Interpolated linearly between the bins' centers, times norm, plus dark; NaN where a
        pixel does not count.

        Parameters
        ----------
        profile:
            Made by this reduction.
        monitor:
            Reading of the monitor that the image is for, where the recipe normalizes to one;
            None: that of the recipe.
        """
        reference = self.recipe.corrections.monitor
        part = 1.0 if monitor is None or reference is None else monitor / reference
        return project(self._bound().table, profile.intensity, part)

    def spots(self, frame: Frame) -> npt.NDArray[np.uint32]:
        """Flat numbers, ascending, of the pixels that sigma clipping finds too bright."""
        return self._bound().spots(Block(frame.image[np.newaxis], frame.index, [frame.monitor]))

    def _bound(self) -> Engine:
        if self._compiled is None:
            raise RecipeError(
                "the detector's shape is not known: give it in the PONI file, or reduce a frame"
            )
        return self._compiled


def profile_of(recipe: Recipe, sums: Sums, axes: tuple[FloatArray, FloatArray | None]) -> Profile:
    """The profile of sums, as ``Reduction.finish``.

    Parameters
    ----------
    recipe:
        By which the sums were made.
    sums:
        Of any number of frames.
    axes:
        Bin centers in the recipe's unit, and azimuthal ones of a cake, degrees.
    """
    without = recipe.error_model == "none"
    intensity, sigma = _profile_arrays(sums, errors=not without)
    return Profile(
        axis=axes[0],
        unit=unit_named(recipe.binning.unit).name,
        azimuth=axes[1],
        intensity=intensity,
        sigma=None if without else sigma,
        sums=sums,
        recipe_digest=recipe.digest,
    )


def reduction_for(recipe: Recipe, engine: str = "auto", *, shared: bool = True) -> Reduction:
    """Compile a recipe, or take what was compiled from the cache.

    Parameters
    ----------
    recipe:
        What to do.
    engine:
        ``numpy``, ``numba`` or ``opencl``; or ``auto``, which says in ``engine_reason`` why it
        chose which.
    shared:
        Whether what is compiled is kept in the cache, for all who ask for the same.

    Raises
    ------
    RecipeError:
        The engine is unknown or absent, or the recipe leaves nothing to bin.
    """
    return Reduction(recipe, *engine_for(engine), shared=shared)


def engine_for(asked: str) -> tuple[str, str]:
    """The engine that is taken, and why; RecipeError where it is unknown."""
    require_choice("engine", asked, ["auto", *ENGINES])
    return ("numba", AUTO_REASON) if asked == "auto" else (asked, "asked for")


_BINS_PART = 1 << 16
_WARM_BLOCK = 6
"""Frames that are a block to every engine."""


def _profile_arrays(sums: Sums, *, errors: bool) -> tuple[FloatArray, FloatArray]:
    arrays = (sums.signal, sums.variance, sums.norm, sums.count)
    flat = tuple(np.ascontiguousarray(array).ravel() for array in arrays)
    bins = flat[0].size
    intensity, sigma = np.empty(bins), np.empty(bins if errors else 0)

    def part(number: int) -> None:
        start = number * _BINS_PART
        add_profile(flat, (start, min(start + _BINS_PART, bins)), intensity, sigma)

    in_parallel(part, -(-bins // _BINS_PART))
    shape = sums.signal.shape
    return intensity.reshape(shape), sigma.reshape(shape if errors else (0,))


@lru_cache(maxsize=8)
def _compiled(recipe: Recipe, engine: str) -> Engine:
    table = Table(recipe)
    return Engine(table, ENGINES[engine](table))
