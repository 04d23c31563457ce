"""Several settings at once, as ``Configure`` takes them: all of them, or none."""

import json
from collections.abc import Mapping

from ringline.device_servers.setting import Bins
from ringline.device_servers.setting_table import SETTINGS
from ringline.device_servers.settings import Settings
from ringline.processing import RecipeError, recipe_from_mapping
from ringline.processing.checks import did_you_mean


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
