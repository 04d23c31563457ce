"""What each setting is: its name, bounds, unit and words, in one table."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from ringline.device_servers.kinds import (
    Choice,
    Count,
    FilePath,
    Interval,
    Kind,
    Number,
    Switch,
    Text,
)
from ringline.device_servers.settings import Settings
from ringline.processing import (
    ENGINES,
    ERROR_MODELS,
    SPLITTINGS,
    UNITS,
    RecipeError,
    recipe_from_mapping,
)
from ringline.processing.checks import did_you_mean
from ringline.processing.geometry import HC_KEV_M

MOST_RADIAL_BINS = 65_536
MOST_AZIMUTHAL_BINS = 8_192


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting, as people see it."""

    name: str
    kind: Kind
    label: str
    doc: str
    unit: str = ""
    memorized: bool = True

    def value(self, settings: Settings) -> Any:
        """What people see."""
        return getattr(settings, self.name)

    def parsed(self, given: Any) -> Any:
        """What a client gives, within the bounds; RecipeError where it is not."""
        return self.kind.parse(self.name, given)

    def changed(self, settings: Settings, given: Any) -> Settings:
        """The settings with this one as given; RecipeError where it is out of its bounds."""
        change: dict[str, Any] = {self.name: self.parsed(given)}
        return replace(settings, **change)

    def to_text(self, settings: Settings) -> list[str]:
        """For the database, exact to the last digit."""
        return self.kind.to_text(self.value(settings))

    def from_text(self, settings: Settings, text: list[str]) -> Settings:
        """From the database."""
        change: dict[str, Any] = {self.name: self.kind.from_text(self.name, text)}
        return replace(settings, **change)


class Wavelength(Setting):
    """Metres inside, angstrom for people.

    The decimal digits are moved, not multiplied: 0.4066 angstrom is 4.066e-11 m exactly as a
    PONI file has it, and so makes the same digest.
    """

    __slots__ = ()

    def value(self, settings: Settings) -> float:
        """What people see."""
        return float(_shifted(settings.wavelength, 10))

    def changed(self, settings: Settings, given: Any) -> Settings:
        """The settings with this one as given."""
        return replace(settings, wavelength=float(_shifted(self.parsed(given), -10)))

    def to_text(self, settings: Settings) -> list[str]:
        """For the database, exact to the last digit."""
        return [str(_shifted(settings.wavelength, 10))]

    def from_text(self, settings: Settings, text: list[str]) -> Settings:
        """From the database."""
        self.kind.from_text(self.name, text)
        return replace(settings, wavelength=float(Decimal(text[0]).scaleb(-10)))


class Energy(Setting):
    """The wavelength seen as photon energy, keV."""

    __slots__ = ()

    def value(self, settings: Settings) -> float:
        """What people see: 15 digits, all that a panel shows and writes back."""
        kev = HC_KEV_M / settings.wavelength if settings.wavelength else 0.0
        return float(f"{kev:.15g}")

    def changed(self, settings: Settings, given: Any) -> Settings:
        """The settings with this one as given."""
        return replace(settings, wavelength=HC_KEV_M / self.parsed(given))


class PolarizationFactor(Setting):
    """Setting the factor switches the correction on: a factor without effect would mislead."""

    __slots__ = ()

    def changed(self, settings: Settings, given: Any) -> Settings:
        """The settings with this one as given."""
        factor = self.parsed(given)
        return replace(settings, polarization_factor=factor, polarization_correction=True)


_ANY_LENGTH = Number(unit="m")
_ANY_ANGLE = Number(unit="rad")
_ARRAY_FILE = "absolute path (.npy, file.h5::dataset, or an image); empty: none."

# In the order in which a Configure with several of them is applied.
SETTINGS: Mapping[str, Setting] = {
    setting.name: setting
    for setting in (
        Setting(
            name="distance", kind=Number(above=0, unit="m"), unit="m",
            label="Distance", doc="Sample to the point of normal incidence (PONI); > 0 m.",
        ),
        Setting(
            name="poni1", kind=_ANY_LENGTH, unit="m", label="PONI 1",
            doc="Point of normal incidence along the detector's slow axis.",
        ),
        Setting(
            name="poni2", kind=_ANY_LENGTH, unit="m", label="PONI 2",
            doc="Point of normal incidence along the detector's fast axis.",
        ),
        Setting(
            name="rot1", kind=_ANY_ANGLE, unit="rad", label="Rotation 1",
            doc="Rotation of the detector about its slow axis, as in PONI files.",
        ),
        Setting(
            name="rot2", kind=_ANY_ANGLE, unit="rad", label="Rotation 2",
            doc="Rotation of the detector about its fast axis, as in PONI files.",
        ),
        Setting(
            name="rot3", kind=_ANY_ANGLE, unit="rad", label="Rotation 3",
            doc="Rotation of the detector about the beam, as in PONI files.",
        ),
        Energy(
            name="energy", kind=Number(above=0, unit="keV"), unit="keV",
            label="Photon energy", memorized=False,
            doc="Photon energy, > 0 keV: the wavelength seen otherwise, and memorized as such.",
        ),
        Wavelength(
            name="wavelength", kind=Number(above=0, unit="angstrom"), unit="angstrom",
            label="Wavelength", doc="Wavelength, > 0 angstrom.",
        ),
        Setting(
            name="detector", kind=Text(), label="Detector",
            doc='Its name as in PONI files ("Pilatus1M"), or JSON: {"pixel1": m, "pixel2": m, '
            '"shape": [slow, fast]}; without a shape that of the first frame is taken.',
        ),
        Setting(
            name="orientation", kind=Count(1, 4), label="Orientation",
            doc="How the image is stored: 3 along the PONI's axes, 2 flipped up-down, 4 flipped "
            "left-right, 1 both.",
        ),
        Setting(
            name="parallax", kind=Switch(), label="Parallax",
            doc="Whether to undo the parallax of rays that enter the sensor at an angle; the "
            "detector must tell its sensor.",
        ),
        Setting(
            name="radial_bins", kind=Count(1, MOST_RADIAL_BINS), label="Radial bins",
            doc="Points of the curve.",
        ),
        Setting(
            name="azimuthal_bins", kind=Count(0, MOST_AZIMUTHAL_BINS), label="Azimuthal bins",
            doc="0: a curve; more: a cake with this many rows.",
        ),
        Setting(
            name="radial_unit", kind=Choice(tuple(UNITS)), label="Radial unit",
            doc="Unit of the radial axis, by pyFAI's names.",
        ),
        Setting(
            name="radial_range", kind=Interval(), label="Radial range",
            doc="Low and high in radial_unit; both 0: all that the detector sees.",
        ),
        Setting(
            name="azimuth_range", kind=Interval(), unit="degree", label="Azimuth range",
            doc="Low and high, at most 360 degrees apart; both 0: all.",
        ),
        Setting(
            name="splitting", kind=Choice(tuple(SPLITTINGS)), label="Pixel splitting",
            doc="How a pixel is shared between bins: not at all, or by its bounding box.",
        ),
        Setting(
            name="error_model", kind=Choice(tuple(ERROR_MODELS)), label="Error model",
            doc="Where sigma comes from.",
        ),
        PolarizationFactor(
            name="polarization_factor", kind=Number(low=-1, high=1),
            label="Polarization factor",
            doc="(Ih - Iv) / (Ih + Iv), from -1 to 1. Writing it switches "
            "polarization_correction on.",
        ),
        Setting(
            name="polarization_correction", kind=Switch(), label="Polarization correction",
            doc="Whether to correct for polarization, by polarization_factor.",
        ),
        Setting(
            name="solid_angle_correction", kind=Switch(), label="Solid angle correction",
            doc="Whether to divide by the solid angle of each pixel.",
        ),
        Setting(
            name="mask_file", kind=FilePath(), label="Mask",
            doc="Pixels to leave out, nonzero there: " + _ARRAY_FILE,
        ),
        Setting(
            name="dark_file", kind=FilePath(), label="Dark image",
            doc="Counts to subtract from each frame: " + _ARRAY_FILE,
        ),
        Setting(
            name="flat_file", kind=FilePath(), label="Flat field",
            doc="Relative response of each pixel: " + _ARRAY_FILE,
        ),
        Setting(
            name="engine", kind=Choice(("auto", *ENGINES)), label="Engine",
            doc="What computes; for documents from the next Init on.",
        ),
    )
}  # fmt: skip


def configured(settings: Settings, given: Mapping[str, object]) -> Settings:
    """The settings with all the given changes, or RecipeError.

    Parameters
    ----------
    given:
        Names of settings with their values, and at most a whole ``recipe``, which comes first.
    """
    for name in given:
        if name != "recipe" and name not in SETTINGS:
            known = ["recipe", *SETTINGS]
            raise RecipeError(f"unknown setting {name!r}: {did_you_mean(name, known)}")
    if "energy" in given and "wavelength" in given:
        raise RecipeError("energy and wavelength are one setting: give only one of them")
    if "recipe" in given:
        settings = settings.with_recipe(recipe_from_mapping(_mapping("recipe", given["recipe"])))
    for name, setting in SETTINGS.items():
        if name in given:
            settings = setting.changed(settings, given[name])
    return settings


def configuration(text: str) -> Mapping[str, object]:
    """What ``configured`` takes, from JSON text."""
    try:
        given = json.loads(text)
    except json.JSONDecodeError as error:
        raise RecipeError(f"not JSON: {error}") from error
    return _mapping("the configuration", given)


def names_set_by(given: Mapping[str, object]) -> set[str]:
    """Fields of the settings that a configuration gives."""
    names = set(SETTINGS) if "recipe" in given else set(given)
    return names | {"wavelength"} if "energy" in names else names


def _mapping(what: str, value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise RecipeError(f"{what} must be a JSON object, got {type(value).__name__}")
    return value


def _shifted(value: float, digits: int) -> Decimal:
    return Decimal(repr(float(value))).scaleb(digits)
