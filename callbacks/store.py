"""The embedded store: a Tiled server inside this process, on one folder."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from ringline.callbacks.uris import path_within
from ringline.callbacks.workspace import Workspace
from ringline.processing import RecipeError

if TYPE_CHECKING:
    from bluesky_tiled_plugins.clients.catalog_of_bluesky_runs import CatalogOfBlueskyRuns
    from databroker.v1 import Broker
    from tiled.client.container import Container

Catalogue = Literal["raw", "reduced", "calibrations"]
CATALOGUES: tuple[Catalogue, ...] = get_args(Catalogue)

_creating = threading.Lock()
_openings = itertools.count()
_OVERFLOW = 10
"""Most connections beyond Tiled's pool. Tiled keeps one pool for all servers of a process that
have the same settings, although each has an event loop of its own: of two stores on one folder the
second then waits for ever. Each gets another number, and so a pool."""


class Store:
    """Catalogues ``raw``, ``reduced`` and ``calibrations``; made by :func:`open_store`."""

    def __init__(
        self,
        client: Container,
        workspace: Workspace,
        readable: Sequence[Path],
        opened: contextlib.ExitStack,
    ) -> None:
        self._client, self._readable, self._opened = client, tuple(readable), opened
        self.workspace = workspace
        """The folders that it is in."""
        self._brokers: dict[Catalogue, Broker] = {}

    @property
    def client(self) -> Container:
        """The Tiled client at the root of the store."""
        return self._client

    @property
    def raw(self) -> CatalogOfBlueskyRuns:
        """Runs as the RunEngine made them."""
        return self._catalogue("raw")

    @property
    def reduced(self) -> CatalogOfBlueskyRuns:
        """Reduced runs."""
        return self._catalogue("reduced")

    @property
    def calibrations(self) -> CatalogOfBlueskyRuns:
        """Calibrations, and which of them was put in force when."""
        return self._catalogue("calibrations")

    @property
    def readable(self) -> tuple[Path, ...]:
        """Folders from which the store serves files."""
        return self._readable

    def path_is_readable(self, path: Path) -> bool:
        """Whether the store would serve this file."""
        return path_within(path, self._readable) is not None

    def broker(self, catalogue: Catalogue = "reduced") -> Broker:
        """Return a catalogue as databroker shows it."""
        from databroker.v1 import Broker  # noqa: PLC0415 heavy

        if catalogue not in self._brokers:
            self._brokers[catalogue] = Broker(self._catalogue(catalogue))
        return self._brokers[catalogue]

    def close(self) -> None:
        """Stop the server. Clients made from this store stop working."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _catalogue(self, name: Catalogue) -> Any:
        # databroker switches all clients of the process to its second generation; ours stay v3.
        return self._client[name].v3


def open_store(workspace: Workspace, readable: Sequence[Path] = ()) -> Store:
    """Open the store of a workspace, making it when it is not there.

    Parameters
    ----------
    workspace:
        Its folders are created when missing.
    readable:
        More folders from which files may be served: where detectors write.

    Raises
    ------
    RecipeError
        A folder cannot be written.
    """
    workspace.create()
    folders = _with_resolved([workspace.directory, *readable])
    opened = contextlib.ExitStack()
    try:
        client = _serve(workspace, folders, opened)
        _create_catalogues(client)
    except BaseException:
        opened.close()
        raise
    return Store(client, workspace, folders, opened)


def _with_resolved(folders: Sequence[Path]) -> tuple[Path, ...]:
    absolute = [Path(folder).absolute() for folder in folders]
    return tuple(dict.fromkeys([*absolute, *(folder.resolve() for folder in absolute)]))


def _serve(
    workspace: Workspace, folders: Sequence[Path], opened: contextlib.ExitStack
) -> Container:
    from tiled.catalog import from_uri  # noqa: PLC0415 heavy
    from tiled.client import from_context  # noqa: PLC0415
    from tiled.client.context import Context  # noqa: PLC0415
    from tiled.server.app import build_app  # noqa: PLC0415

    _register_exporter()
    _create_database(workspace.store_catalog)
    tree = from_uri(
        f"sqlite:///{workspace.store_catalog}",
        writable_storage=[str(workspace.store_arrays), f"sqlite:///{workspace.store_tables}"],
        readable_storage=[str(folder) for folder in folders],
        catalog_max_overflow=_OVERFLOW + next(_openings),
    )
    with warnings.catch_warnings():
        # Tiled's own choice of the client for a server in the same process.
        warnings.filterwarnings("ignore", message="Using `httpx` with `starlette.testclient`")
        return from_context(opened.enter_context(Context.from_app(build_app(tree))))


def _create_database(path: Path) -> None:
    """Make the catalogue's database, whole or not at all: it takes seconds, once."""
    with _creating:  # devices of one server open their stores at once
        if not path.exists():
            _create_whole(path)


def _create_whole(path: Path) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".store-") as folder:
        fresh = Path(folder) / path.name
        command = [sys.executable, "-m", "tiled", "catalog", "init", f"sqlite:///{fresh}"]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode != 0:
            raise RecipeError(f"{path}: the store cannot be made: {made.stderr.strip()[-500:]}")
        with contextlib.suppress(FileExistsError):  # another process was faster
            os.link(fresh, path)


def _register_exporter() -> None:
    # Without it ``documents()`` answers 406; it must be there before the server is built.
    from bluesky_tiled_plugins.exporters import json_seq_exporter  # noqa: PLC0415 heavy
    from tiled.media_type_registration import default_serialization_registry  # noqa: PLC0415

    default_serialization_registry.register("BlueskyRun", "application/json-seq", json_seq_exporter)


def _create_catalogues(client: Container) -> None:
    from tiled.client.utils import ClientError  # noqa: PLC0415 heavy
    from tiled.structures.core import Spec  # noqa: PLC0415

    for name in CATALOGUES:
        if name in client:
            continue
        try:
            client.create_container(name, specs=[Spec("CatalogOfBlueskyRuns", version="3.0")])
        except ClientError:
            if name not in client:  # else another process was faster
                raise
