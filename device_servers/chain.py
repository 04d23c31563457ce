"""The store, the reduction callback and the consumer of documents, opened and closed together."""

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from ringline.callbacks import (
    Accounts,
    Consumer,
    ReductionCallback,
    ReductionSettings,
    Result,
    StoreWriter,
    Workspace,
    open_store,
)
from ringline.processing import Recipe

_log = logging.getLogger(__name__)

_CLOSE_S = 2.0
"""Longest wait for each part: what is left undone goes on at the next start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a facility sets once, as device properties."""

    directory: Path
    readable: tuple[Path, ...] = ()
    detector: str | None = None
    monitor: str | None = None

    @property
    def workspace(self) -> Workspace:
        """The folders in `directory`."""
        return Workspace(self.directory)

    @property
    def folders(self) -> tuple[Path, ...]:
        """All folders that frames may come from."""
        return (self.workspace.directory, *self.readable)


class Chain:
    """From documents to reduced runs in the store of one workspace.

    Making one opens the store and goes on with the runs that a killed server left.
    """

    def __init__(
        self,
        options: Options,
        recipe: Recipe | None,
        engine: str,
        on_result: Callable[[Result], None],
    ) -> None:
        workspace = options.workspace
        settings = ReductionSettings(
            results=workspace.results,
            arrays=workspace.arrays,
            spool=workspace.spool,
            detector=options.detector,
            monitor=options.monitor,
            readable=options.folders,
            engine=engine,
            on_result=on_result,
        )
        with ExitStack() as opened:
            store = opened.enter_context(open_store(workspace, options.readable))
            self._writer = StoreWriter(store.reduced, readable=store.readable)
            opened.callback(self._quietly, self._writer.close)
            self._callback = ReductionCallback(recipe, self._writer, settings=settings)
            opened.callback(self._quietly, self._callback.close)
            self._consumer = Consumer(self._callback, workspace.spool, settle=self._writer.settle)
            opened.callback(self._quietly, self._consumer.close)
            self._opened = opened.pop_all()

    def consume(self, text: str) -> str:
        """Take a batch of documents; ValueError for anything else."""
        return self._consumer.consume(text)

    def set_recipe(self, recipe: Recipe | None) -> None:
        """Reduce frames that come from now on with another recipe."""
        self._consumer.set_recipe(recipe)

    def accounts(self) -> Accounts:
        """Frames since the start or `reset`."""
        return self._callback.accounts()

    def reset(self) -> None:
        """Begin to count anew, and forget errors."""
        self._callback.reset()
        self._writer.clear_error()

    @property
    def lag(self) -> int:
        """Frames announced and not yet accounted for, and documents not yet looked at."""
        return self._callback.lag

    @property
    def error(self) -> BaseException | None:
        """A bug, or a store that does not take what it must: until `reset`."""
        return self._callback.error or self._writer.error

    @property
    def open_runs(self) -> tuple[str, ...]:
        """Raw runs that are not yet reduced and stored to the end."""
        return self._consumer.open_runs

    def abandon(self, run: str) -> None:
        """End a raw run whose stop will never come."""
        self._consumer.abandon(run, "abandoned by the operator: its stop did not come")

    def close(self) -> None:
        """Close all. Runs that are open go on with the next Chain on the same folder."""
        self._opened.close()

    @staticmethod
    def _quietly(close: Callable[[float], None]) -> None:
        try:
            close(_CLOSE_S)
        except Exception:
            # What is not stored is in the spool; the parts that remain must be closed too.
            _log.exception("not closed in order: the next start goes on from the spool")
