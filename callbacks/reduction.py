"""The callback that turns raw runs into reduced runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ringline.callbacks.settings import Accounts, Emit, ReductionSettings
from ringline.processing import Recipe


class ReductionCallback:
    """Raw documents in, documents of reduced runs out."""

    def __init__(
        self,
        recipe: Recipe | Mapping[str, Recipe] | None,
        emit: Emit,
        *,
        settings: ReductionSettings,
    ) -> None:
        raise NotImplementedError

    def __call__(self, name: str, document: Mapping[str, Any]) -> None:
        """Take one raw document; only enqueues."""
        raise NotImplementedError

    @property
    def recipe(self) -> Recipe | Mapping[str, Recipe] | None:
        """The recipe for frames that are yet to come; None: frames fail for want of one."""
        raise NotImplementedError

    def set_recipe(self, recipe: Recipe | Mapping[str, Recipe] | None) -> None:
        """Reduce frames that come from now on with another recipe."""
        raise NotImplementedError

    def accounts(self, raw_uid: str | None = None) -> Accounts:
        """Frames of one raw run, or of all since the start or :meth:`reset`."""
        raise NotImplementedError

    def reset(self) -> None:
        """Set the accounts of all runs to zero and forget the error."""
        raise NotImplementedError

    @property
    def lag(self) -> int:
        """Frames announced and not yet accounted for, and documents not yet looked at."""
        raise NotImplementedError

    @property
    def busy(self) -> bool:
        """Whether more documents wait than ``settings.queue``: send none for now."""
        raise NotImplementedError

    @property
    def error(self) -> BaseException | None:
        """The first bug, which :meth:`drain` raises."""
        raise NotImplementedError

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all taken so far is accounted for; False when the time is up."""
        raise NotImplementedError

    def drain(self, timeout: float | None = None) -> None:
        """Wait, then raise TimeoutError or the error that was kept."""
        raise NotImplementedError

    def close(self, timeout: float | None = 30.0) -> None:
        """Finish what waits and stop. Without a spool, open runs end as aborted."""
        raise NotImplementedError
