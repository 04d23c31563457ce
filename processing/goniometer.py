"""A detector on a goniometer: where it stands at any position of its motors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from ringline.processing.checks import did_you_mean, require_finite
from ringline.processing.detector import Detector
from ringline.processing.errors import RecipeError
from ringline.processing.geometry import Geometry
from ringline.processing.motion import Motion, position_words
from ringline.processing.recipe_mapping import Mapped, detector_to_mapping, digest_of
from ringline.processing.recipe_reading import constructed, detector_from_mapping, section

Matrix = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Goniometer:
    """A motion with the values of its parameters, as a calibration found them.

    Raises
    ------
    RecipeError:
        Values, or a covariance, that do not go with the motion's parameters; a value that is not
        finite; a data key of a motor that there is not.
    """

    detector: Detector
    motion: Motion
    values: tuple[float, ...]
    """Of ``motion.parameters``, in order."""
    covariance: Matrix | None = None
    """Of the values, shape (parameters, parameters), 0 where one was held; None: not known."""
    data_keys: Mapping[str, str] = field(default_factory=dict)
    """Data keys of motors in documents, by motor, where they are other words than its name."""

    def __post_init__(self) -> None:
        names = self.motion.parameters
        values = tuple(
            require_finite(f"parameter {name}", value)
            for name, value in zip(names, _of_length("values", self.values, names), strict=True)
        )
        object.__setattr__(self, "values", values)
        if self.covariance is not None:
            rows = [
                tuple(float(value) for value in _of_length("a row of the covariance", row, names))
                for row in _of_length("covariance", self.covariance, names)
            ]
            object.__setattr__(self, "covariance", tuple(rows))
        for motor in self.data_keys:
            if motor not in self.motion.motors:
                near = did_you_mean(motor, self.motion.motors)
                raise RecipeError(f"data key of {motor!r}: there is no such motor: {near}")
        keys = {motor: str(self.data_keys[motor]) for motor in sorted(self.data_keys)}
        object.__setattr__(self, "data_keys", keys)

    @property
    def parameters(self) -> dict[str, float]:
        """Values by name."""
        return dict(zip(self.motion.parameters, self.values, strict=True))

    @property
    def errors(self) -> dict[str, float]:
        """Standard errors of the parameters by name, 0 of one that was held; empty: not known."""
        if self.covariance is None:
            return {}
        diagonal = [max(row[k], 0.0) ** 0.5 for k, row in enumerate(self.covariance)]
        return dict(zip(self.motion.parameters, diagonal, strict=True))

    @property
    def data_key_of(self) -> dict[str, str]:
        """Data key of each motor."""
        return {motor: self.data_keys.get(motor, motor) for motor in self.motion.motors}

    def geometry_at(self, positions: Mapping[str, float]) -> Geometry:
        """Where the detector stands at positions of its motors, by name.

        Raises
        ------
        RecipeError:
            A position is missing or not finite, or the formulas give no geometry there.
        """
        found = self.motion.at(self.values, positions)
        try:
            return Geometry(
                detector=self.detector,
                distance=found["distance"],
                poni1=found["poni1"],
                poni2=found["poni2"],
                rot1=found["rot1"],
                rot2=found["rot2"],
                rot3=found["rot3"],
                wavelength=found["wavelength"],
            )
        except RecipeError as error:
            where = position_words(self.motion.positions_of(positions))
            raise RecipeError(f"goniometer at {where}: {error}") from error

    def with_values(self, values: Sequence[float]) -> "Goniometer":
        """The same with other values, their covariance not known."""
        return replace(self, values=tuple(values), covariance=None)

    @cached_property
    def digest(self) -> str:
        """sha256 of what decides where the detector stands, hex; the detector by content."""
        bare = replace(self, covariance=None, data_keys={})
        return digest_of(bare.to_mapping(paths=False))

    def to_mapping(self, *, paths: bool = True) -> dict[str, Mapped]:
        """Plain values for JSON; with paths, ``goniometer_from_mapping`` reads them back."""
        motion = self.motion
        return {
            "detector": detector_to_mapping(self.detector, paths=paths),
            "motion": {
                **motion.formulas,
                "parameters": list(motion.parameters),
                "motors": list(motion.motors),
                "constants": dict(motion.constants),
            },
            "values": list(self.values),
            **(
                {}
                if self.covariance is None
                else {"covariance": [[*row] for row in self.covariance]}
            ),
            **({"data_keys": dict(self.data_keys)} if self.data_keys else {}),
        }

    def _covariance(self) -> dict[str, Mapped]:
        rows = self.covariance
        return {} if rows is None else {"covariance": [list(row) for row in rows]}


def goniometer_from_mapping(mapping: Mapping[str, object]) -> Goniometer:
    """The goniometer that ``Goniometer.to_mapping`` gave.

    Raises
    ------
    RecipeError:
        An unknown or missing key, a value out of bounds, an array of the detector that changed.
    """
    detector = detector_from_mapping(section(mapping, "detector", of="goniometer"))
    motion = constructed(Motion, "motion", section(mapping, "motion", of="goniometer"))
    return constructed(
        Goniometer, "goniometer", {**mapping, "detector": detector, "motion": motion}
    )


def _of_length(what: str, given: object, names: Sequence[str]) -> Sequence[float]:
    if isinstance(given, str) or not isinstance(given, Sequence) or len(given) != len(names):
        raise RecipeError(
            f"{what} must have a number for each of {', '.join(names)}: got {given!r}"
        )
    return given
