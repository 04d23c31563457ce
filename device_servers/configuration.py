"""Several settings at once, as ``Configure`` takes them: all of them, or none."""

import json
from collections.abc import Iterable, Mapping

from ringline.device_servers.setting import Bins, S, Setting
from ringline.device_servers.setting_table import SETTINGS
from ringline.device_servers.settings import GEOMETRY, Settings
from ringline.processing import RecipeError, geometry_from_mapping, recipe_from_mapping
from ringline.processing.checks import did_you_mean

_WHOLE = ("recipe", "geometry")
"""Not settings, but what several of them make."""


def changed_by(settings: S, given: Mapping[str, object], table: Mapping[str, Setting]) -> S:
    """The settings with all that is given, in the order of the table, or RecipeError."""
    for name, setting in table.items():
        if name in given:
            settings = setting.changed(settings, given[name])
    return settings


def refuse_unknown(given: Iterable[str], known: Iterable[str]) -> None:
    """Refuse what is no setting, naming near ones."""
    names = list(known)
    for name in given:
        if name not in names:
            raise RecipeError(f"unknown setting {name!r}: {did_you_mean(name, names)}")


def configured(settings: Settings, given: Mapping[str, object]) -> Settings:
    """The settings of a reducer with all the given changes, or RecipeError.

    Parameters
    ----------
    given:
        Names of settings with their values, and at most a whole ``recipe``, which comes first,
        and a whole ``geometry``, its section, which comes next.
    """
    refuse_unknown(given, [*_WHOLE, *SETTINGS])
    if "energy" in given and "wavelength" in given:
        raise RecipeError("energy and wavelength are one setting: give only one of them")
    if "recipe" in given:
        settings = settings.with_recipe(recipe_from_mapping(_mapping("recipe", given["recipe"])))
    if "geometry" in given:
        geometry = geometry_from_mapping(_mapping("geometry", given["geometry"]))
        settings = settings.with_geometry(geometry)
    settings = changed_by(settings, given, SETTINGS)
    for name, setting in SETTINGS.items():
        if isinstance(setting, Bins) and {name, setting.edges} <= set(given):
            _check_bins(settings, setting, given[name])
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
    names |= set(GEOMETRY) if "geometry" in given else set()
    return names | {"wavelength"} if "energy" in names else names


def _check_bins(settings: Settings, setting: Bins, given: object) -> None:
    """Refuse another number of bins than that of the edges given with it."""
    bins = setting.value(settings)
    if given not in (0, bins):
        raise RecipeError(
            f"{setting.name} is {given}, but {setting.edges} are those of {bins} bins"
        )


def _mapping(what: str, value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise RecipeError(f"{what} must be a JSON object, got {type(value).__name__}")
    return value
