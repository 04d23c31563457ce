"""What a calibration starts from: powder, detector, wavelength, and what is known before."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ringline.processing.arrays import ArraySource, InputArray, input_array
from ringline.processing.calibrants import Calibrant, calibrant_named
from ringline.processing.checks import did_you_mean, require_finite, require_positive
from ringline.processing.detector import Detector
from ringline.processing.errors import RecipeError
from ringline.processing.geometry import HC_KEV_M, Geometry

REFINED = ("distance", "poni1", "poni2", "rot1", "rot2")
"""What the rings of one image tell."""
ENERGIES_KEV = (1.0, 500.0)
"""Photon energies, keV, beyond which something was mistyped."""
_SAME_PIXEL = 1e-3
_UNDETERMINED = {
    "rot3": "rot3 turns the detector about the beam, which rings do not show: it stays as guessed",
    "wavelength": "the wavelength can be refined with two or more images only",
}


@dataclass(frozen=True, slots=True)
class Bound:
    """A parameter that is to stay between two values, m or rad."""

    name: str
    low: float
    high: float

    def __post_init__(self) -> None:
        low, high = (require_finite(f"bound of {self.name}", v) for v in (self.low, self.high))
        if not low < high:
            raise RecipeError(
                f"bounds of {self.name} must have low < high, got {low:g} .. {high:g}"
            )


@dataclass(frozen=True, kw_only=True)
class CalibrationTask:
    """A calibration to be made. Frozen, checked in full.

    Raises
    ------
    RecipeError:
        An unknown calibrant or parameter (near names are offered), an energy outside
        ``ENERGIES_KEV``, a parameter that one image cannot tell, a value fixed that is not
        known, a mask of another shape than the detector, a guess of another detector.
    """

    calibrant: Calibrant
    """Or its name, or the path of a ``.D`` file, when given to ``calibration_task``."""
    detector: Detector
    wavelength: float
    """m."""
    guess: Geometry | None = None
    """Where the detector stands approximately; None: anywhere."""
    fixed: frozenset[str] = frozenset()
    """Of ``REFINED``, those that stay as guessed; without a guess, rotations can be fixed at 0."""
    bounds: tuple[Bound, ...] = ()
    mask: InputArray | None = None
    """True where pixels are not to be used, besides the detector's own mask."""
    dark: InputArray | None = None
    """Counts to subtract."""
    saturation: float | None = None
    """Counts from which pixels do not measure; None: found from the image."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "wavelength", _checked_wavelength(self.wavelength))
        for name in (*self.fixed, *(bound.name for bound in self.bounds)):
            _require_refined(name)
        if self.guess is None and (lengths := sorted(self.fixed & {"distance", "poni1", "poni2"})):
            raise RecipeError(f"{lengths[0]} cannot be fixed without a guess that tells its value")
        for bound in self.bounds:
            value = 0.0 if self.guess is None else getattr(self.guess, bound.name)
            known = self.guess is not None or bound.name.startswith("rot")
            if known and not bound.low <= value <= bound.high:
                raise RecipeError(
                    f"guess of {bound.name} {value:g} is outside its bounds "
                    f"{bound.low:g} .. {bound.high:g}"
                )
        if self.guess is not None:
            _check_guess(self.guess.detector, self.detector)
        for name in ("mask", "dark"):
            array = getattr(self, name)
            shape = self.detector.shape
            if array is not None and shape is not None and array.values.shape != shape:
                raise RecipeError(f"{name}: shape {array.values.shape}, the detector has {shape}")

    @property
    def energy_kev(self) -> float:
        """Photon energy, keV."""
        return HC_KEV_M / self.wavelength

    @property
    def refined(self) -> tuple[str, ...]:
        """The parameters that are refined, in the order of ``REFINED``."""
        return tuple(name for name in REFINED if name not in self.fixed)

    def with_shape(self, shape: tuple[int, int]) -> "CalibrationTask":
        """The same task for an image of this shape.

        Raises
        ------
        RecipeError:
            The detector, or an array, has another one.
        """
        known = self.detector.shape
        if known is not None and known != shape:
            raise RecipeError(f"image of shape {shape}: detector {self.detector.name} has {known}")
        return replace(self, detector=self.detector.with_shape(shape))


def calibration_task(
    calibrant: Calibrant | str,
    detector: Detector,
    *,
    energy_kev: float | None = None,
    guess: Geometry | None = None,
    options: Mapping[str, object] | None = None,
) -> CalibrationTask:
    """A task from what people give.

    Parameters
    ----------
    calibrant:
        One, its name, or the path of a ``.D`` file.
    detector:
        Of the image.
    energy_kev:
        Photon energy, keV; None: the guess's.
    guess:
        As of ``CalibrationTask``.
    options:
        More fields of ``CalibrationTask`` by name: ``fixed`` (names), ``bounds`` (name to low and
        high), ``mask`` and ``dark`` (arrays or paths), ``saturation``.

    Raises
    ------
    RecipeError:
        As ``CalibrationTask``, or no energy is known.
    """
    given = dict(options or {})
    known = ("fixed", "bounds", "mask", "dark", "saturation")
    for name in given:
        if name not in known:
            raise RecipeError(f"calibration: unknown key {name!r}: {did_you_mean(name, known)}")
    if energy_kev is None and guess is None:
        raise RecipeError("an energy (keV) is needed: there is no guess that tells it")
    wavelength = guess.wavelength if guess is not None else 0.0
    if energy_kev is not None:
        wavelength = HC_KEV_M / require_positive("energy", energy_kev, "keV")
    saturation = given.get("saturation")
    return CalibrationTask(
        calibrant=calibrant_named(calibrant) if isinstance(calibrant, str) else calibrant,
        detector=detector,
        wavelength=wavelength,
        guess=guess,
        fixed=frozenset(_names(given.get("fixed", ()))),
        bounds=_bounds(given.get("bounds", {})),
        mask=input_array("mask", _source(given.get("mask"))),
        dark=input_array("dark", _source(given.get("dark"))),
        saturation=None
        if saturation is None
        else require_positive("saturation", saturation, "counts"),
    )


def _checked_wavelength(value: float) -> float:
    wavelength = require_positive("wavelength", value, "m")
    low, high = ENERGIES_KEV
    energy = HC_KEV_M / wavelength
    if not low <= energy <= high:
        raise RecipeError(f"energy must be {low:g} .. {high:g} keV, got {energy:.6g} keV")
    return wavelength


def _check_guess(guessed: Detector, detector: Detector) -> None:
    """Refuse the guess of a detector with other pixels."""
    for axis in ("pixel1", "pixel2"):
        size, own = getattr(guessed, axis), getattr(detector, axis)
        if abs(size - own) > _SAME_PIXEL * own:
            raise RecipeError(
                f"guess: its detector {guessed.name} has {axis} {1e6 * size:g} um, "
                f"{detector.name} has {1e6 * own:g}"
            )
    if None not in (guessed.shape, detector.shape) and guessed.shape != detector.shape:
        raise RecipeError(
            f"guess: its detector {guessed.name} has shape {guessed.shape}, "
            f"{detector.name} has {detector.shape}"
        )


def _require_refined(name: str) -> None:
    if name in _UNDETERMINED:
        raise RecipeError(_UNDETERMINED[name])
    if name not in REFINED:
        raise RecipeError(f"unknown parameter {name!r}: {did_you_mean(name, REFINED)}")


def _names(value: object) -> Iterable[str]:
    if isinstance(value, str):
        return [name for name in value.replace(",", " ").split() if name != "rot3"]
    if isinstance(value, Iterable):
        return [str(name) for name in value if name != "rot3"]
    raise RecipeError(f"fixed must be names of parameters, got {value!r}")


def _bounds(value: object) -> tuple[Bound, ...]:
    if not isinstance(value, Mapping):
        raise RecipeError(f"bounds must map names to low and high, got {value!r}")
    found = []
    for name, pair in sorted(value.items()):
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise RecipeError(f"bounds of {name} must be two numbers, low and high, got {pair!r}")
        found.append(Bound(str(name), pair[0], pair[1]))
    return tuple(found)


def _source(value: object) -> ArraySource:
    return value  # type: ignore[return-value]  # parsed by input_array
