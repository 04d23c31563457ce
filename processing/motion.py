"""How a detector moves: its geometry as formulas of parameters and of motor positions."""

import keyword
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import CodeType

from ringline.processing.checks import did_you_mean, require_finite
from ringline.processing.errors import RecipeError
from ringline.processing.formulas import CONSTANTS, FUNCTIONS, compiled_formula, formula_value

FIELDS = ("distance", "poni1", "poni2", "rot1", "rot2", "rot3", "wavelength")
"""What of a geometry a motion tells, each by a formula."""
ROTATIONS = ("rot1", "rot2", "rot3")


@dataclass(frozen=True, kw_only=True)
class Motion:
    """A geometry as a function of parameters and motor positions, without the parameters' values.

    Formulas are arithmetic with the functions of ``formulas.FUNCTIONS``, checked word by word;
    lengths in m, angles in rad, positions as the motors give them. They are those of pyFAI's
    GeometryTransformation and ExtendedTransformation.

    Raises
    ------
    RecipeError:
        A formula with a word that is not allowed; a name that is no word, means something else
        already, or is given twice; a parameter or motor that no formula has.
    """

    distance: str
    poni1: str
    poni2: str
    rot1: str
    rot2: str
    rot3: str = "0"
    wavelength: str
    parameters: tuple[str, ...]
    """Names of what is fitted, in order."""
    motors: tuple[str, ...]
    """Names of the positions."""
    constants: Mapping[str, float] = field(default_factory=dict)
    """Values that formulas use by name."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameters", _names(self.parameters))
        object.__setattr__(self, "motors", _names(self.motors))
        constants = {
            name: require_finite(f"constant {name}", value)
            for name, value in self.constants.items()
        }
        object.__setattr__(self, "constants", constants)
        taken: set[str] = set()
        for name in self._variables:
            if name in taken:
                raise RecipeError(f"{name!r} stands for two things: give one of them another name")
            taken.add(_checked_name(name))
        if not self.motors:
            raise RecipeError("a motion needs at least one motor")
        _ = self._codes  # every word is checked
        for name in (*self.parameters, *self.motors):
            if not self.fields_of(name):
                raise RecipeError(f"{name!r} is in no formula: leave it out")

    @property
    def formulas(self) -> dict[str, str]:
        """The formulas by the names of ``FIELDS``."""
        return {name: getattr(self, name) for name in FIELDS}

    def fields_of(self, name: str) -> tuple[str, ...]:
        """The fields whose formulas have this parameter or motor."""
        return tuple(key for key, code in self._codes.items() if name in code.co_names)

    def at(self, values: Sequence[float], positions: Mapping[str, float]) -> dict[str, float]:
        """The values of all fields.

        Parameters
        ----------
        values:
            Of the parameters, in order.
        positions:
            Of the motors, by name; others may be among them.

        Raises
        ------
        RecipeError:
            A position is missing or not a finite number, or a formula has no value there.
        """
        where = self.positions_of(positions)
        known = {**self.constants, **dict(zip(self.parameters, values, strict=True)), **where}
        found = {}
        for name, code in self._codes.items():
            try:
                found[name] = float(formula_value(code, known))
            except (TypeError, ArithmeticError) as error:
                raise RecipeError(
                    f"{name} = {getattr(self, name)} at {position_words(where)}: {error}"
                ) from error
        return found

    def positions_of(self, positions: Mapping[str, float]) -> dict[str, float]:
        """The positions of the motors among others, checked; RecipeError as ``at``."""
        found = {}
        for name in self.motors:
            if name not in positions:
                raise RecipeError(
                    f"the position of {name!r} is missing: {did_you_mean(name, positions)}"
                    if positions
                    else f"the position of {name!r} is missing"
                )
            found[name] = require_finite(f"position of {name}", positions[name])
        return found

    @property
    def _variables(self) -> tuple[str, ...]:
        return (*self.parameters, *self.motors, *self.constants)

    @cached_property
    def _codes(self) -> dict[str, CodeType]:
        found = {}
        for name, text in self.formulas.items():
            try:
                found[name] = compiled_formula(text, self._variables)
            except RecipeError as error:
                raise RecipeError(f"{name}: {error}") from error
        return found


def position_words(positions: Mapping[str, float]) -> str:
    """Positions for people: ``arm=20, height=1.5``."""
    return ", ".join(f"{name}={value:.10g}" for name, value in positions.items())


def _names(given: object) -> tuple[str, ...]:
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise RecipeError(f"names must be a list of words, got {given!r}")
    return tuple(str(name) for name in given)


def _checked_name(name: str) -> str:
    if not name.isidentifier() or keyword.iskeyword(name):
        raise RecipeError(
            f"{name!r} cannot stand in a formula: take letters, digits and underscores"
        )
    if name in FUNCTIONS or name in CONSTANTS:
        raise RecipeError(f"{name!r} means something else in formulas: take another name")
    return name
