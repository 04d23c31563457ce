"""Settings kept in the Tango database, exact to the last digit.

Tango memorizes what a client writes, with 15 digits, and scalars only. Values that came by
LoadPoni or Configure, ranges and the last digits are added here, in the same place
(the attribute property ``__value``), so that there is one truth and Jive shows it.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Generic

import tango

from ringline.device_servers.setting import S, Setting
from ringline.processing import RecipeError

_log = logging.getLogger(__name__)

_VALUE = "__value"
_LATER_S = 0.3


class Memory(Generic[S]):
    """The memorized settings of one device; does nothing where there is no database.

    Parameters
    ----------
    device:
        Its name.
    table:
        What each of its settings is.
    default:
        The settings of a device that never had others.
    """

    def __init__(self, device: str, table: Mapping[str, Setting], default: S) -> None:
        self._device, self._default = device, default
        self._table = {name: setting for name, setting in table.items() if setting.memorized}
        used = tango.Util._UseDb  # noqa: SLF001 - False under -nodb
        self._database = tango.Util.instance().get_database() if used else None
        self._kept: dict[str, list[str] | None] = {}
        """What is in the database; None: something that Tango wrote."""
        self._lock = threading.Lock()
        self._later: threading.Timer | None = None

    def restore(self) -> tuple[S, dict[str, str]]:
        """The settings, and for each that is not legal any more the reason."""
        settings, problems = self._default, {}
        for name, text in self._read().items():
            try:
                settings = self._table[name].from_text(settings, text)
                self._kept[name] = text
            except (RecipeError, ValueError, ArithmeticError) as error:
                problems[name] = f"memorized {name} is ignored: {error}"
        return settings, problems

    def keep(self, settings: S, *, but: str = "") -> None:
        """Write what differs from what is kept, except one that Tango is about to write.

        Where the database does not answer the settings are in force all the same, and are kept
        with the next change.
        """
        with self._lock:
            changed = {name: text for name, text in self._news(settings).items() if name != but}
            if but:
                self._kept[but] = None
            if not changed or self._database is None:
                return
            try:
                values = {name: {_VALUE: text} for name, text in changed.items()}
                self._database.put_device_attribute_property(self._device, values)
            except tango.DevFailed:
                _log.exception("settings of %s are not memorized", self._device)
            else:
                self._kept |= changed

    def keep_later(self, settings: Callable[[], S]) -> None:
        """Write all digits of what a client wrote, after Tango has written 15 of them."""
        with self._lock:
            if self._later is not None and self._later.is_alive():
                self._later.cancel()
            self._later = threading.Timer(_LATER_S, self._keep_now, (settings,))
            self._later.daemon = True
            self._later.start()

    def close(self) -> None:
        """Forget what was to be written later: Tango has written it, rounded."""
        if self._later is not None:
            self._later.cancel()

    def _keep_now(self, settings: Callable[[], S]) -> None:
        with tango.EnsureOmniThread():
            self.keep(settings())

    def _news(self, settings: S) -> dict[str, list[str]]:
        news = {}
        for name, setting in self._table.items():
            text = setting.to_text(settings)
            if text != self._kept.get(name, setting.to_text(self._default)):
                news[name] = text
        return news

    def _read(self) -> dict[str, list[str]]:
        if self._database is None:
            return {}
        names = list(self._table)
        found = self._database.get_device_attribute_property(self._device, names)
        return {name: list(found[name][_VALUE]) for name in names if _VALUE in found[name]}
