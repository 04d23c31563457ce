"""What the calibration of a goniometer starts from, and what it finds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ringline.processing.calibration.result import ControlPoints, FittedRing, Verdict
from ringline.processing.calibration.task import Bound, CalibrationTask
from ringline.processing.checks import did_you_mean, require_finite
from ringline.processing.errors import RecipeError
from ringline.processing.geometry import Geometry
from ringline.processing.goniometer import Goniometer
from ringline.processing.motion import Motion
from ringline.processing.types import ImageArray


@dataclass(frozen=True, slots=True)
class Exposure:
    """An image of a powder, and where the motors stood."""

    image: ImageArray
    """Counts as the detector wrote them, shape (slow, fast)."""
    positions: Mapping[str, float]
    """Of the motion's motors, by name."""


@dataclass(frozen=True, kw_only=True)
class GoniometerTask:
    """The calibration of a goniometer to be made. Frozen, checked in full.

    Raises
    ------
    RecipeError:
        A parameter that the motion does not have (near names are offered) or that is fixed without
        a value; a motion at another wavelength than the images; something fixed or bounded in
        ``images``, where the motion's parameters are to be.
    """

    images: CalibrationTask
    """What holds for every image; its guess is where the detector stood at the first one."""
    motion: Motion
    stated: Mapping[str, float] = field(default_factory=dict)
    """Parameters that are known: the scale of a motor. The fit begins there, and what it finds is
    held against them."""
    start: Mapping[str, float] = field(default_factory=dict)
    """Values at which the fit of other parameters begins; else those of the first image's geometry,
    or 0."""
    fixed: frozenset[str] = frozenset()
    """Parameters that stay as stated, or where they start."""
    bounds: tuple[Bound, ...] = ()

    def __post_init__(self) -> None:
        names = self.motion.parameters
        for what in ("stated", "start"):
            given = getattr(self, what)
            values = {name: require_finite(f"parameter {name}", given[name]) for name in given}
            object.__setattr__(self, what, values)
        for name in (*self.stated, *self.start, *self.fixed, *(b.name for b in self.bounds)):
            if name not in names:
                raise RecipeError(f"unknown parameter {name!r}: {did_you_mean(name, names)}")
        for name in sorted(self.fixed - {*self.stated, *self.start}):
            raise RecipeError(f"{name} cannot be fixed without a value: state it")
        if self.images.fixed or self.images.bounds:
            raise RecipeError("fix or bound parameters of the motion, not those of single images")
        self._check_wavelength()

    @property
    def finds_wavelength(self) -> bool:
        """Whether the wavelength is one of the things to be found."""
        return any(
            "wavelength" in self.motion.fields_of(name) and name not in self.fixed
            for name in self.motion.parameters
        )

    @property
    def held(self) -> frozenset[str]:
        """Parameters that are not fitted: fixed ones, and those that turn about the beam alone."""
        blind = [name for name in self.motion.parameters if _turns_about_beam(self.motion, name)]
        return self.fixed | frozenset(blind)

    @property
    def free(self) -> tuple[str, ...]:
        """Parameters that are fitted, in order."""
        return tuple(name for name in self.motion.parameters if name not in self.held)

    def _check_wavelength(self) -> None:
        try:
            stated = float(self.motion.wavelength)
        except ValueError:
            return
        if abs(stated / self.images.wavelength - 1) > 1e-9:
            raise RecipeError(
                f"the motion is for a wavelength of {stated:.10g} m, "
                f"the images were taken at {self.images.wavelength:.10g} m"
            )


def _turns_about_beam(motion: Motion, name: str) -> bool:
    return motion.fields_of(name) == ("rot3",)


@dataclass(frozen=True, kw_only=True)
class ExposureFit:
    """What one image told, and how well the goniometer fits it."""

    positions: Mapping[str, float]
    image_sha256: str
    geometry: Geometry | None = None
    """Where the goniometer puts the detector; None where none was found."""
    rings: tuple[FittedRing, ...] = ()
    points: ControlPoints | None = None
    """None where no ring was seen."""


@dataclass(frozen=True, kw_only=True)
class GoniometerCalibration:
    """The outcome of the calibration of a goniometer, accepted or not."""

    task: GoniometerTask
    verdict: Verdict
    goniometer: Goniometer | None
    """With the covariance of its parameters; None where not even an approximate one was found."""
    exposures: tuple[ExposureFit, ...]
    """In the order in which they were given."""

    @property
    def errors(self) -> Mapping[str, float]:
        """Standard error of each parameter, 0 of one that was held; empty without a goniometer."""
        return {} if self.goniometer is None else self.goniometer.errors


def checked_exposures(exposures: Sequence[Exposure], task: GoniometerTask) -> list[Exposure]:
    """Exposures with the positions of the motion's motors only.

    Raises
    ------
    RecipeError:
        There are fewer than two, a position is missing, or the wavelength is to be found and all
        were taken at one position.
    """
    if len(exposures) < 2:
        raise RecipeError(f"a goniometer needs at least two images, got {len(exposures)}")
    found = []
    for number, exposure in enumerate(exposures, 1):
        try:
            where = task.motion.positions_of(exposure.positions)
        except RecipeError as error:
            raise RecipeError(f"image {number}: {error}") from error
        found.append(Exposure(exposure.image, where))
    places = {tuple(exposure.positions.values()) for exposure in found}
    if len(places) < 2:
        what = "the wavelength" if task.finds_wavelength else "a motion"
        raise RecipeError(f"{what} needs images at two or more positions: all were taken at one")
    return found
