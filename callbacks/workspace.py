"""One folder for everything a small installation writes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ringline.processing import RecipeError

_FORBIDDEN = "#?"  # these end the path part of a URI, and the store names files by URI


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where the store, the results, the spool and the Tango database live.

    Nothing is created or checked before :meth:`create`.
    """

    directory: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "directory", Path(self.directory).absolute())

    @property
    def store_catalog(self) -> Path:
        """SQLite catalogue of the store."""
        return self.directory / "catalog.db"

    @property
    def store_tables(self) -> Path:
        """SQLite tables of the store: what came inside event documents."""
        return self.directory / "tables.db"

    @property
    def store_arrays(self) -> Path:
        """Arrays which came inside event documents, written by the store itself."""
        return self.directory / "store"

    @property
    def results(self) -> Path:
        """HDF5 files with reduced curves."""
        return self.directory / "results"

    @property
    def calibrations(self) -> Path:
        """HDF5 files with calibrations and their images, and pictures of them."""
        return self.directory / "calibrations"

    @property
    def raw(self) -> Path:
        """Frames as the detectors write them."""
        return self.directory / "raw"

    @property
    def arrays(self) -> Path:
        """Masks, darks and flats that came without a path."""
        return self.directory / "arrays"

    @property
    def spool(self) -> Path:
        """Documents which are not yet safely in the store."""
        return self.directory / "spool"

    @property
    def tango_database(self) -> Path:
        """SQLite file of the embedded Tango database."""
        return self.directory / "tango.db"

    @property
    def info(self) -> Path:
        """JSON file that says where the running services are."""
        return self.directory / "ringline.json"

    def create(self) -> Workspace:
        """Make the folders which are missing and return self.

        Raises
        ------
        RecipeError
            A folder cannot be made or written: the message names it.
        """
        if any(character in str(self.directory) for character in _FORBIDDEN):
            raise RecipeError(
                f"folder {self.directory}: a store names its files by URI, where none of "
                f"{' '.join(_FORBIDDEN)} can be used"
            )
        work = (self.results, self.calibrations, self.raw, self.arrays, self.spool)
        for folder in (self.directory, self.store_arrays, *work):
            _make_writable(folder)
        return self


def _make_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".ringline-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise RecipeError(
            f"folder {folder} cannot be written: {error.strerror or error}"
        ) from error
