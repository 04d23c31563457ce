"""The server's side of the service way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from ringline.callbacks.reduction import ReductionCallback
from ringline.processing import Recipe


class Consumer:
    """Takes what a Forwarder sends, journals it, and feeds a ReductionCallback.

    Making one replays the journals of runs that a killed server left.

    Parameters
    ----------
    callback:
        Its settings need a spool.
    spool:
        Folder of the journals.
    settle:
        Waits until everything emitted is in the store: ``writer.drain``.
    """

    def __init__(
        self,
        callback: ReductionCallback,
        spool: Path,
        *,
        settle: Callable[[float], None] | None = None,
    ) -> None:
        raise NotImplementedError

    def consume(self, text: str) -> str:
        """Take one batch (JSON) and return the reply (JSON); ValueError for anything else."""
        raise NotImplementedError

    def set_recipe(self, recipe: Recipe | Mapping[str, Recipe] | None) -> None:
        """Change the recipe between two frames, so that a restarted server does the same."""
        raise NotImplementedError

    def close(self, timeout: float = 5.0) -> None:
        """Stop. Runs that are open are resumed by the next Consumer on the same spool."""
        raise NotImplementedError
