"""Curves in NeXus files: NXazint1d and NXazint2d, also while they grow."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import h5py
import numpy as np

from ringline.processing.errors import RecipeError
from ringline.processing.files import replacement
from ringline.processing.result_layout import (
    EPOCH,
    Maker,
    frame_columns,
    motors_of,
    position_key,
    total_columns,
    write_layout,
)
from ringline.processing.sums import Profile
from ringline.processing.types import FloatArray


@dataclass(frozen=True, slots=True)
class ResultRow:
    """One reduced frame."""

    profile: Profile
    frame_index: int
    raw_seq_num: int
    monitor: float = float("nan")
    epoch: str = ""
    """Digest of the recipe that made it."""
    rejected: int = 0
    """Pixels left out because of what the frame holds there."""
    positions: tuple[float, ...] = ()
    """Of the motors of a moving detector, in their order."""


class ResultFile:
    """A NeXus file of curves that grows by blocks of rows, readable meanwhile (SWMR).

    Made by ``create`` or ``resume``; a context manager.
    """

    def __init__(self, path: Path, maker: Maker, file: h5py.File) -> None:
        self.path = path
        self.columns = frame_columns(maker)
        self.totals = total_columns(maker)
        self._motors = motors_of(maker)
        self._file = file
        self._file.swmr_mode = True

    @classmethod
    def create(cls, path: Path, maker: Maker) -> Self:
        """A new file.

        Raises
        ------
        RecipeError:
            The folder cannot be written.
        """
        try:
            file = h5py.File(path, "x", libver="latest", locking=False)
        except OSError as error:
            raise RecipeError(f"{path}: cannot be written: {error}") from error
        write_layout(file, maker)
        return cls(path, maker, file)

    @classmethod
    def resume(cls, path: Path, maker: Maker, rows: int) -> Self:
        """Go on with a file that a killed process left, keeping its first rows.

        The rows are copied to a new file that takes the old one's place: HDF5 refuses to write
        where a writer died, and rows that nobody announced must not stay.

        Raises
        ------
        RecipeError:
            The file holds fewer rows than that.
        """
        columns = frame_columns(maker)
        with (
            replacement(path) as temporary,
            h5py.File(path, "r", libver="latest", swmr=True, locking=False) as old,
            h5py.File(temporary, "w", libver="latest", locking=False) as new,
        ):
            shutil.copystat(path, temporary)
            write_layout(new, maker)
            for column in columns.values():
                kept = old[column.dataset]
                if len(kept) < rows:
                    raise RecipeError(
                        f"{path}: {column.dataset} holds {len(kept)} rows, {rows} were announced"
                    )
                new[column.dataset].resize(rows, axis=0)
                new[column.dataset][:] = kept[:rows]
        return cls(path, maker, h5py.File(path, "r+", libver="latest", locking=False))

    @property
    def rows(self) -> int:
        """Rows written."""
        return len(self._file[self.columns["frame_index"].dataset])

    def monitors(self) -> list[float]:
        """The monitor of each row, as it was appended."""
        return [float(value) for value in self._file[self.columns["monitor"].dataset][:]]

    def positions(self) -> list[dict[str, float]]:
        """The positions of the motors of each row, as they were appended."""
        columns = [
            self._file[self.columns[position_key(motor)].dataset][:] for motor in self._motors
        ]
        return [
            {motor: float(value) for motor, value in zip(self._motors, row, strict=True)}
            for row in zip(*columns, strict=True)
        ]

    def append(self, rows: Sequence[ResultRow]) -> None:
        """Write a block of rows and make it visible to readers."""
        if not rows:
            return
        start = self.rows
        for name, values in self._blocks(rows).items():
            dataset = self._file[self.columns[name].dataset]
            dataset.resize(start + len(rows), axis=0)
            dataset[start:] = values
        self._file.flush()

    def write_total(self, total: Profile) -> None:
        """Write the sum over the scan, one row, replacing a former one."""
        for name, column in self.totals.items():
            dataset = self._file[column.dataset]
            dataset.resize(1, axis=0)
            dataset[0] = _curve(name, total)
        self._file.flush()

    def close(self) -> None:
        """Close the file for good."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _blocks(self, rows: Sequence[ResultRow]) -> dict[str, np.ndarray[tuple[int, ...]]]:
        return {
            **{name: np.stack([_curve(name, row.profile) for row in rows]) for name in self.totals},
            "frame_index": np.array([row.frame_index for row in rows]),
            "raw_seq_num": np.array([row.raw_seq_num for row in rows]),
            "monitor": np.array([row.monitor for row in rows]),
            "epoch": np.array([row.epoch.encode() for row in rows], dtype=EPOCH),
            "rejected": np.array([row.rejected for row in rows]),
            **{
                position_key(motor): np.array([row.positions[k] for row in rows])
                for k, motor in enumerate(self._motors)
            },
        }


@contextmanager
def replacing_result_file(path: Path, maker: Maker) -> Iterator[ResultFile]:
    """A new result file that replaces a former one when the block ends without error."""
    with replacement(path) as temporary:
        temporary.unlink()
        with ResultFile.create(temporary, maker) as file:
            yield file


def _curve(name: str, profile: Profile) -> FloatArray:
    """``intensity``, ``sigma`` or ``std`` of a profile, NaN where it has none."""
    values = getattr(profile, name)  # this one alone: the standard deviation is computed here
    return np.full(profile.intensity.shape, np.nan) if values is None else values
