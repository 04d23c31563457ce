"""A recipe whose detector moves: frames reduced each where its motors had put the detector."""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from threading import Lock

from ringline.processing.axes import axes_request
from ringline.processing.binning import output_shape
from ringline.processing.detector import Detector
from ringline.processing.errors import RecipeError
from ringline.processing.goniometer import Goniometer, goniometer_from_mapping
from ringline.processing.multi_geometry import (
    MultiGeometry,
    left_to_pixels,
    solid_angle_of,
    weighted,
)
from ringline.processing.recipe import Recipe
from ringline.processing.recipe_mapping import Mapped
from ringline.processing.recipe_reading import recipe_from_mapping
from ringline.processing.reduction import Reduction, engine_for, profile_of, reduction_for
from ringline.processing.sums import Profile, Sums
from ringline.processing.types import FloatArray

KEPT = 4
"""Compiled recipes that are kept: scans come back to the last positions, not to all. For a detector
of four megapixels one takes half a second and some 50 MB."""
_ALL = 50
"""Positions over which a range is looked for: the recipe is compiled for each."""

Positions = Mapping[str, float]


class MovingReduction:
    """Makes the curves of one recipe for a detector that a goniometer moves. Thread-safe.

    All curves have the same bins: that is why ranges must be given.

    Parameters
    ----------
    recipe:
        What to do; of its geometry, the detector and parallax count.
    goniometer:
        Where the detector stands.
    engine:
        As for ``reduction_for``.

    Raises
    ------
    RecipeError:
        Bins that would follow the pixels, a goniometer of another detector, an unknown engine.
    """

    def __init__(self, recipe: Recipe, goniometer: Goniometer, engine: str = "auto") -> None:
        check_moving(recipe, goniometer)
        self.recipe, self.goniometer = _at_zero(recipe, goniometer), goniometer
        """The recipe with all motors at 0, where there is a geometry then: it stands for all."""
        self.engine, self.engine_reason = engine_for(engine)
        self._asked, self._lock = engine, Lock()
        self._made: OrderedDict[str, Reduction] = OrderedDict()
        request = axes_request(recipe.binning)
        self._along = request.along.axis(None)
        self._across = None if request.across is None else request.across.axis(None)

    @property
    def motors(self) -> tuple[str, ...]:
        """Names of the positions."""
        return self.goniometer.motion.motors

    @property
    def axis(self) -> FloatArray:
        """Bin centers of all curves, as of a Reduction."""
        return self._along.shown_centers

    @property
    def edges(self) -> FloatArray:
        """Their edges."""
        return self._along.shown_edges

    @property
    def azimuth(self) -> FloatArray | None:
        """Azimuthal bin centers, degrees; None for a curve."""
        return None if self._across is None else self._across.shown_centers

    @property
    def azimuth_edges(self) -> FloatArray | None:
        """Azimuthal bin edges, degrees; None for a curve."""
        return None if self._across is None else self._across.shown_edges

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of intensity and sigma."""
        return output_shape(self.recipe.binning)

    @property
    def digest(self) -> str:
        """sha256 over recipe and goniometer, hex."""
        return hashlib.sha256(
            f"{self.recipe.digest}\n{self.goniometer.digest}".encode()
        ).hexdigest()

    def to_mapping(self) -> dict[str, Mapped]:
        """Plain values; ``moving_from_mapping`` reads them back exactly."""
        return {"recipe": self.recipe.to_mapping(), "goniometer": self.goniometer.to_mapping()}

    def to_json(self) -> str:
        """JSON text of ``to_mapping``."""
        return json.dumps(self.to_mapping(), sort_keys=True)

    def recipe_at(self, positions: Positions) -> Recipe:
        """The recipe of frames taken at positions; RecipeError where there is no geometry."""
        return recipe_at(self.recipe, self.goniometer, positions)

    def reduction_at(self, positions: Positions) -> Reduction:
        """That recipe, compiled."""
        recipe = self.recipe_at(positions)
        with self._lock:
            found = self._made.get(recipe.digest)
            if found is None:
                # Not in the cache for all: it would take the place of eight that are used again.
                found = reduction_for(recipe, self._asked, shared=False)
                self._made[recipe.digest] = found
            self._made.move_to_end(recipe.digest)
            while len(self._made) > KEPT:
                self._made.popitem(last=False)
        return found

    def shared_sums(self, sums: Sums, recipe: Recipe, first: Recipe) -> Sums:
        """Sums of a frame, to be added to those of other positions: as ``MultiGeometry`` adds.

        Parameters
        ----------
        sums:
            Of the frame.
        recipe:
            By which they were made.
        first:
            That of the first frame: solid angles are relative to its.
        """
        return weighted(sums, solid_angle_of(recipe) / solid_angle_of(first))

    def finish(self, sums: Sums) -> Profile:
        """The profile of sums over positions; its digest is that of recipe and goniometer."""
        made = profile_of(self.recipe, sums, (self.axis, self.azimuth))
        return replace(made, recipe_digest=self.digest)


def moving_from_mapping(mapping: Mapping[str, object], engine: str = "auto") -> MovingReduction:
    """The MovingReduction that ``to_mapping`` gave; RecipeError as ``recipe_from_mapping``."""
    recipe, goniometer = mapping.get("recipe"), mapping.get("goniometer")
    if not isinstance(recipe, Mapping) or not isinstance(goniometer, Mapping):
        raise RecipeError("a moving detector needs the sections recipe and goniometer")
    return MovingReduction(recipe_from_mapping(recipe), goniometer_from_mapping(goniometer), engine)


def recipe_at(recipe: Recipe, goniometer: Goniometer, positions: Positions) -> Recipe:
    """A recipe with the geometry at positions of the motors.

    Parameters
    ----------
    recipe:
        Its geometry tells the detector with mask and sensor, and whether there is parallax.
    goniometer:
        Where the detector stands.
    positions:
        Of the motors, by name.

    Raises
    ------
    RecipeError:
        A position is missing or not finite, or there is no geometry there.
    """
    found, own = goniometer.geometry_at(positions), recipe.geometry
    shape = own.detector.shape or found.detector.shape
    detector = replace(own.detector, shape=shape)
    return replace(recipe, geometry=replace(found, detector=detector, parallax=own.parallax))


def check_moving(recipe: Recipe, goniometer: Goniometer) -> None:
    """Refuse a recipe that cannot be that of a moving detector.

    Raises
    ------
    RecipeError:
        A range of its bins is not given, or the goniometer moves another detector.
    """
    if wanted := left_to_pixels(recipe.binning):
        raise RecipeError(
            f"a detector that moves needs bins that stay: give {' and '.join(wanted)}, or edges"
        )
    own, moved = recipe.geometry.detector, goniometer.detector
    other_shape = None not in (own.shape, moved.shape) and own.shape != moved.shape
    if _like(own) != _like(moved) or other_shape:
        raise RecipeError(f"the goniometer moves {_words(moved)}, the recipe is for {_words(own)}")


def with_range_of_all(
    recipe: Recipe, goniometer: Goniometer, positions: Sequence[Positions], engine: str = "auto"
) -> Recipe:
    """The recipe with ranges, where it leaves them to the pixels, that hold all positions.

    Parameters
    ----------
    recipe, goniometer, engine:
        As of ``MovingReduction``.
    positions:
        Of all frames; each is looked at once.

    Raises
    ------
    RecipeError:
        More than ``_ALL`` different positions: it would take too long.
    """
    if not left_to_pixels(recipe.binning):
        return recipe
    places = {tuple(where[name] for name in goniometer.motion.motors) for where in positions}
    if len(places) > _ALL:
        raise RecipeError(
            f"a range that holds {len(places)} positions takes too long to find (more than {_ALL}):"
            " give it"
        )
    motors = goniometer.motion.motors
    recipes = [
        recipe_at(recipe, goniometer, dict(zip(motors, place, strict=True)))
        for place in sorted(places)
    ]
    return replace(recipe, binning=MultiGeometry(recipes, engine).recipes[0].binning)


def _at_zero(recipe: Recipe, goniometer: Goniometer) -> Recipe:
    try:
        return recipe_at(recipe, goniometer, dict.fromkeys(goniometer.motion.motors, 0.0))
    except RecipeError:
        return recipe


def _like(detector: Detector) -> tuple[object, ...]:
    return detector.pixel1, detector.pixel2, detector.orientation, detector.corners


def _words(detector: Detector) -> str:
    size = f"{1e6 * detector.pixel1:g} x {1e6 * detector.pixel2:g} um"
    return f"{detector.name} ({size}, {detector.shape}, orientation {detector.orientation})"
