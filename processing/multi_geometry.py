"""Several positions of a detector, or several detectors, merged into one curve."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np

from ringline.processing.binning import Azimuthal, Binning, Cake, output_shape
from ringline.processing.errors import FrameError, RecipeError
from ringline.processing.frames import Block, Frame
from ringline.processing.recipe import Recipe
from ringline.processing.recipe_reading import recipe_from_mapping
from ringline.processing.reduction import Reduction, reduction_for
from ringline.processing.sums import Profile, Sums
from ringline.processing.types import FloatArray, ImageArray
from ringline.processing.units import Unit, unit_named

_KEY = "merged"
# What an axis adds to its upper edge, so that the last pixel falls inside.
_ABOVE = 1.0 + float(np.finfo(np.float32).eps)


class MultiGeometry:
    """Recipes that share one binning: an image of each makes one profile, by adding their Sums.

    Solid angles are those of the first recipe's pixels at its distance: with the correction for
    them, a pixel counts by its area over its distance squared, relative to the first recipe's.
    A range that the recipes leave to the pixels is the union of all of theirs.

    Parameters
    ----------
    recipes:
        One for each position or detector; the shapes of their detectors are known.
    engine:
        As for ``reduction_for``.

    Raises
    ------
    RecipeError:
        None is given, a shape is not known, or two differ in what they share: binning, error
        model, monitor, and whether solid angle, absorption and polarization are corrected.
    """

    def __init__(self, recipes: Sequence[Recipe], engine: str = "auto") -> None:
        _check(recipes)
        self.recipes = _with_one_range(recipes, engine)
        self._reductions = [reduction_for(recipe, engine) for recipe in self.recipes]
        self._weights = _weights(self.recipes)

    @property
    def reduction(self) -> Reduction:
        """That of the first recipe: it has the axes of all."""
        return self._reductions[0]

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of intensity and sigma."""
        return output_shape(self.recipes[0].binning)

    @property
    def digest(self) -> str:
        """sha256 over all recipes, in order, hex."""
        digests = "\n".join(recipe.digest for recipe in self.recipes)
        return hashlib.sha256(digests.encode()).hexdigest()

    def to_json(self) -> str:
        """JSON text; ``multi_geometry_from_json`` reads it back exactly."""
        return json.dumps({_KEY: [recipe.to_mapping() for recipe in self.recipes]}, sort_keys=True)

    def map(self, frames: Sequence[Frame]) -> Sums:
        """Sums of a frame of each recipe; FrameError where one does not fit, or is missing."""
        blocks = [Block(np.asarray(f.image)[np.newaxis], f.index, [f.monitor]) for f in frames]
        return self.map_block(blocks)[0]

    def map_block(self, blocks: Sequence[Block]) -> list[Sums]:
        """Sums of each frame of blocks, one for each recipe and of equal length."""
        if len(blocks) != len(self.recipes):
            raise FrameError(f"{len(blocks)} images for {len(self.recipes)} recipes")
        counts = [len(block.images) for block in blocks]
        if len(set(counts)) > 1:
            raise FrameError(f"blocks of {counts} frames cannot be merged one by one")
        merged: list[Sums] | None = None
        for number, block in enumerate(blocks):
            found = [self._weighted(number, sums) for sums in self._mapped(number, block)]
            pairs = zip(merged or found, found, strict=True)
            merged = found if merged is None else [one + other for one, other in pairs]
        return merged or []

    def finish(self, sums: Sums) -> Profile:
        """As of a Reduction; the digest is that over all recipes."""
        return replace(self.reduction.finish(sums), recipe_digest=self.digest)

    def reduce(self, images: Sequence[ImageArray]) -> Profile:
        """The profile of one image for each recipe, each of its detector's shape."""
        return self.finish(self.map([Frame(image) for image in images]))

    def _mapped(self, number: int, block: Block) -> list[Sums]:
        try:
            return self._reductions[number].map_block(block)
        except FrameError as error:
            raise FrameError(f"recipe {number + 1}: {error}") from error

    def _weighted(self, number: int, sums: Sums) -> Sums:
        return weighted(sums, self._weights[number])


def multi_geometry_from_json(text: str, engine: str = "auto") -> MultiGeometry:
    """The MultiGeometry that ``to_json`` gave; RecipeError as ``recipe_from_json``."""
    try:
        mapping = json.loads(text)
    except json.JSONDecodeError as error:
        raise RecipeError(f"the recipes are not JSON: {error}") from error
    if not isinstance(mapping, dict) or not isinstance(mapping.get(_KEY), list):
        raise RecipeError(f"recipes to merge must be a JSON object with a list {_KEY!r}")
    return MultiGeometry([recipe_from_mapping(recipe) for recipe in mapping[_KEY]], engine)


def _check(recipes: Sequence[Recipe]) -> None:
    if not recipes:
        raise RecipeError("at least one recipe is needed to merge, got none")
    for number, recipe in enumerate(recipes, 1):
        if recipe.shape is None:
            raise RecipeError(f"recipe {number}: its detector has no shape: use with_shape")
    shared = _shared(recipes[0])
    for number, recipe in enumerate(recipes[1:], 2):
        for name, value in _shared(recipe).items():
            if value != shared[name]:
                raise RecipeError(
                    f"recipe {number}: {name} is {value!r}, that of recipe 1 is {shared[name]!r}: "
                    "recipes that are merged must have the same"
                )


def _shared(recipe: Recipe) -> dict[str, object]:
    """What recipes must have in common, by name; the kind of the binning first."""
    binning, corrections = recipe.binning, recipe.corrections
    return {
        "binning": type(binning).__name__,
        **{field.name: getattr(binning, field.name) for field in fields(binning)},
        "error_model": recipe.error_model,
        "solid_angle": corrections.solid_angle,
        "absorption": corrections.absorption,
        "whether polarization is corrected": corrections.polarization is not None,
        "monitor": corrections.monitor,
    }


def weighted(sums: Sums, weight: float) -> Sums:
    """Sums in which pixels count by so much more, to be added to others."""
    return replace(sums, norm=sums.norm * weight, norm_sq=sums.norm_sq * weight**2)


def solid_angle_of(recipe: Recipe) -> float:
    """Solid angle of a pixel at the PONI, sr; 1 where the recipe does not correct for it."""
    if not recipe.corrections.solid_angle:
        return 1.0
    geometry = recipe.geometry
    return geometry.detector.pixel1 * geometry.detector.pixel2 / geometry.distance**2


def _weights(recipes: Sequence[Recipe]) -> list[float]:
    """Solid angles of pixels relative to the first recipe's."""
    angles = [solid_angle_of(recipe) for recipe in recipes]
    return [angle / angles[0] for angle in angles]


def _with_one_range(recipes: Sequence[Recipe], engine: str) -> tuple[Recipe, ...]:
    binning = recipes[0].binning
    wanted = left_to_pixels(binning)
    if len(recipes) == 1 or not wanted:
        return tuple(recipes)
    edges: dict[str, list[FloatArray]] = {name: [] for name in wanted}
    for recipe in recipes:
        reduction = reduction_for(recipe, engine)
        for name in wanted:
            edges[name].append(_edges(name, reduction))
    ranges = {name: _union(edges[name], unit) for name, unit in wanted.items()}
    shared = replace(binning, **ranges)  # type: ignore[arg-type]  # each has both ranges
    return tuple(replace(recipe, binning=shared) for recipe in recipes)


def left_to_pixels(binning: Binning) -> dict[str, Unit]:
    """Names of ranges of axes that are neither given nor follow from edges, and their units."""
    degrees = unit_named("chi_deg")
    wanted: dict[str, Unit] = {}
    if not isinstance(binning, Azimuthal) and binning.edges is binning.radial_range is None:
        wanted["radial_range"] = unit_named(binning.unit)
    azimuth_edges = {Azimuthal: "edges", Cake: "azimuth_edges"}.get(type(binning))
    if azimuth_edges and getattr(binning, azimuth_edges) is binning.azimuth_range is None:
        wanted["azimuth_range"] = degrees
    return wanted


def _edges(name: str, reduction: Reduction) -> FloatArray:
    """Edges of an axis, in the unit of its range."""
    if name == "radial_range":
        return reduction.edges
    if reduction.azimuth_edges is not None:
        return reduction.azimuth_edges
    return np.degrees(reduction.edges / unit_named(reduction.recipe.binning.unit).scale)


def _union(edges: Sequence[FloatArray], unit: Unit) -> tuple[float, float]:
    low = min(float(each[0]) for each in edges)
    high = max(float(each[-1]) for each in edges)
    high = high / _ABOVE if high > 0 else high * _ABOVE  # the axis will add it again
    if unit.periodic:
        high = min(high, low + 2 * np.pi * unit.scale)
    return low, high
