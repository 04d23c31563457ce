"""One setting, as people see it: its name, kind, unit and words, and what setting it does."""

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

from ringline.device_servers.kinds import Kind
from ringline.processing.geometry import HC_KEV_M

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

S = TypeVar("S", bound="DataclassInstance")
"""All the settings of a device, as one frozen dataclass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting, as people see it."""

    name: str
    kind: Kind
    label: str
    doc: str
    unit: str = ""
    memorized: bool = True

    def value(self, settings: Any) -> Any:
        """What people see."""
        return getattr(settings, self.name)

    def parsed(self, given: Any) -> Any:
        """What a client gives, within the bounds; RecipeError where it is not."""
        return self.kind.parse(self.name, given)

    def changed(self, settings: S, given: Any) -> S:
        """The settings with this one as given; RecipeError where it is out of its bounds."""
        change: dict[str, Any] = {self.name: self.parsed(given)}
        return replace(settings, **change)

    def to_text(self, settings: Any) -> list[str]:
        """For the database, exact to the last digit."""
        return self.kind.to_text(self.value(settings))

    def from_text(self, settings: S, text: list[str]) -> S:
        """From the database."""
        change: dict[str, Any] = {self.name: self.kind.from_text(self.name, text)}
        return replace(settings, **change)


class Wavelength(Setting):
    """Metres inside, angstrom for people.

    The decimal digits are moved, not multiplied: 0.4066 angstrom is 4.066e-11 m exactly as a
    PONI file has it, and so makes the same digest.
    """

    __slots__ = ()

    def value(self, settings: Any) -> float:
        """What people see."""
        return float(_shifted(settings.wavelength, 10))

    def changed(self, settings: S, given: Any) -> S:
        """The settings with this one as given."""
        return replace(settings, wavelength=float(_shifted(self.parsed(given), -10)))

    def to_text(self, settings: Any) -> list[str]:
        """For the database, exact to the last digit."""
        return [str(_shifted(settings.wavelength, 10))]

    def from_text(self, settings: S, text: list[str]) -> S:
        """From the database."""
        self.kind.from_text(self.name, text)
        return replace(settings, wavelength=float(Decimal(text[0]).scaleb(-10)))


class Energy(Setting):
    """The wavelength seen as photon energy, keV."""

    __slots__ = ()

    def value(self, settings: Any) -> float:
        """What people see: 15 digits, all that a panel shows and writes back."""
        kev = HC_KEV_M / settings.wavelength if settings.wavelength else 0.0
        return float(f"{kev:.15g}")

    def changed(self, settings: S, given: Any) -> S:
        """The settings with this one as given."""
        return replace(settings, wavelength=HC_KEV_M / self.parsed(given))


@dataclass(frozen=True, slots=True, kw_only=True)
class Switching(Setting):
    """Setting the value switches its use on: a value without effect would mislead."""

    switch: str
    """Name of the setting that says whether it is used."""

    def changed(self, settings: S, given: Any) -> S:
        """The settings with this one as given, and in use."""
        change: dict[str, Any] = {self.name: self.parsed(given), self.switch: True}
        return replace(settings, **change)


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgesOfBins(Setting):
    """Setting edges sets how many bins there are."""

    bins: str
    """Name of the setting with their number."""

    def changed(self, settings: S, given: Any) -> S:
        """The settings with this one as given, and the number of bins that follows."""
        edges = self.parsed(given)
        number: dict[str, Any] = {} if edges is None else {self.bins: len(edges) - 1}
        return replace(settings, **{self.name: edges, **number})


@dataclass(frozen=True, slots=True, kw_only=True)
class Bins(Setting):
    """Setting another number of bins drops edges that are given."""

    edges: str
    """Name of the setting with the edges."""

    def changed(self, settings: S, given: Any) -> S:
        """The settings with this one as given, and without edges of another number of bins."""
        number, edges = self.parsed(given), getattr(settings, self.edges)
        kept = edges if edges is None or len(edges) - 1 == number else None
        change: dict[str, Any] = {self.name: number, self.edges: kept}
        return replace(settings, **change)


@dataclass(frozen=True, slots=True, kw_only=True)
class Described(Setting):
    """Setting it clears what was said of its former value."""

    description: str
    """Name of the setting that is cleared."""

    def changed(self, settings: S, given: Any) -> S:
        """The settings with this one as given, and nothing said of it."""
        change: dict[str, Any] = {self.name: self.parsed(given), self.description: ""}
        return replace(settings, **change)


def _shifted(value: float, digits: int) -> Decimal:
    return Decimal(repr(float(value))).scaleb(digits)
