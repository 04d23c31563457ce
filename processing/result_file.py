"""Curves in NeXus files: NXazint1d and NXazint2d, also while they grow."""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Self

import h5py
import numpy as np

from ringline.processing.errors import RecipeError
from ringline.processing.files import replacement
from ringline.processing.recipe import Recipe
from ringline.processing.reduction import Reduction
from ringline.processing.sums import Profile
from ringline.processing.units import unit_named

_EPOCH = np.dtype("S64")


@dataclass(frozen=True, slots=True)
class ResultRow:
    """One reduced frame."""

    profile: Profile
    frame_index: int
    raw_seq_num: int
    monitor: float = float("nan")
    epoch: str = ""
    """Digest of the recipe that made it."""


@dataclass(frozen=True, slots=True)
class ResultColumn:
    """Where a column lies in a result file."""

    dataset: str
    row_shape: tuple[int, ...]
    dtype: str
    """NumPy dtype string."""
    chunk: tuple[int, ...]


class ResultFile:
    """A NeXus file of curves that grows by blocks of rows, readable meanwhile (SWMR).

    Made by ``create`` or ``resume``; a context manager.
    """

    def __init__(self, path: Path, reduction: Reduction, file: h5py.File) -> None:
        self.path = path
        self.columns = frame_columns(reduction)
        self.totals = total_columns(reduction)
        self._shape = reduction.output_shape
        self._file = file
        self._file.swmr_mode = True

    @classmethod
    def create(cls, path: Path, reduction: Reduction) -> Self:
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
        _write_layout(file, reduction)
        return cls(path, reduction, file)

    @classmethod
    def resume(cls, path: Path, reduction: Reduction, rows: int) -> Self:
        """Go on with a file that a killed process left, keeping its first rows.

        The rows are copied to a new file that takes the old one's place: HDF5 refuses to write
        where a writer died, and rows that nobody announced must not stay.

        Raises
        ------
        RecipeError:
            The file holds fewer rows than that.
        """
        columns = frame_columns(reduction)
        with (
            replacement(path) as temporary,
            h5py.File(path, "r", libver="latest", swmr=True, locking=False) as old,
            h5py.File(temporary, "w", libver="latest", locking=False) as new,
        ):
            shutil.copystat(path, temporary)
            _write_layout(new, reduction)
            for column in columns.values():
                kept = old[column.dataset]
                if len(kept) < rows:
                    raise RecipeError(
                        f"{path}: {column.dataset} holds {len(kept)} rows, {rows} were announced"
                    )
                new[column.dataset].resize(rows, axis=0)
                new[column.dataset][:] = kept[:rows]
        return cls(path, reduction, h5py.File(path, "r+", libver="latest", locking=False))

    @property
    def rows(self) -> int:
        """Rows written."""
        return len(self._file[self.columns["frame_index"].dataset])

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
        for name, values in (("intensity", total.intensity), ("sigma", _sigma(total))):
            dataset = self._file[self.totals[name].dataset]
            dataset.resize(1, axis=0)
            dataset[0] = values
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
            "intensity": np.stack([row.profile.intensity for row in rows]),
            "sigma": np.stack([_sigma(row.profile) for row in rows]),
            "frame_index": np.array([row.frame_index for row in rows]),
            "raw_seq_num": np.array([row.raw_seq_num for row in rows]),
            "monitor": np.array([row.monitor for row in rows]),
            "epoch": np.array([row.epoch.encode() for row in rows], dtype=_EPOCH),
        }


def frame_columns(reduction: Reduction) -> Mapping[str, ResultColumn]:
    """Columns with a row for each frame, by data key."""
    shape = reduction.output_shape
    # Chunks of about 64 kB: one frame's curve is written at once, many are read at once.
    rows = max(1, 8192 // int(np.prod(shape)))
    return {
        "intensity": ResultColumn("/entry/data/I", shape, "<f8", (rows, *shape)),
        "sigma": ResultColumn("/entry/data/I_errors", shape, "<f8", (rows, *shape)),
        "frame_index": ResultColumn("/entry/frames/frame_index", (), "<i8", (1024,)),
        "raw_seq_num": ResultColumn("/entry/frames/raw_seq_num", (), "<i8", (1024,)),
        "monitor": ResultColumn("/entry/monitor/data", (), "<f8", (1024,)),
        "epoch": ResultColumn("/entry/frames/epoch", (), _EPOCH.str, (256,)),
    }


def total_columns(reduction: Reduction) -> Mapping[str, ResultColumn]:
    """Columns with one row for the scan, by data key."""
    shape = reduction.output_shape
    return {
        "intensity": ResultColumn("/entry/total/I", shape, "<f8", (1, *shape)),
        "sigma": ResultColumn("/entry/total/I_errors", shape, "<f8", (1, *shape)),
    }


@contextmanager
def replacing_result_file(path: Path, reduction: Reduction) -> Iterator[ResultFile]:
    """A new result file that replaces a former one when the block ends without error."""
    with replacement(path) as temporary:
        temporary.unlink()
        with ResultFile.create(temporary, reduction) as file:
            yield file


def _sigma(profile: Profile) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.full(profile.intensity.shape, np.nan) if profile.sigma is None else profile.sigma


def _write_layout(file: h5py.File, reduction: Reduction) -> None:
    """Everything but the rows: SWMR allows no new datasets later."""
    recipe = reduction.recipe
    file.attrs.update({"NX_class": "NXroot", "default": "entry"})
    entry = _group(file, "entry", "NXentry")
    entry.attrs["default"] = "data"
    entry["definition"] = "NXazint1d" if reduction.azimuth is None else "NXazint2d"
    entry["solid_angle_applied"] = recipe.corrections.solid_angle
    entry["polarization_applied"] = recipe.corrections.polarization is not None
    entry["normalization_applied"] = True
    entry["monitor_applied"] = False
    _write_instrument(_group(entry, "instrument", "NXinstrument"), recipe)
    _write_process(_group(entry, "reduction", "NXprocess"), reduction)
    _write_axes(_group(entry, "data", "NXdata"), reduction)
    _write_axes(_group(entry, "total", "NXdata"), reduction)
    _group(entry, "frames", "NXcollection")
    _group(entry, "monitor", "NXmonitor")
    for column in (*frame_columns(reduction).values(), *total_columns(reduction).values()):
        file.create_dataset(
            column.dataset,
            shape=(0, *column.row_shape),
            maxshape=(None, *column.row_shape),
            chunks=column.chunk,
            dtype=column.dtype,
        )
    for group in ("data", "total"):
        entry[f"{group}/I"].attrs.update({"long_name": "intensity", "units": "arbitrary units"})
        entry[f"{group}/I_errors"].attrs.update(
            {"long_name": "estimated intensity error", "units": "arbitrary units"}
        )


def _write_instrument(group: h5py.Group, recipe: Recipe) -> None:
    group["name"] = os.environ.get("RINGLINE_INSTRUMENT", "unknown")
    monochromator = _group(group, "monochromator", "NXmonochromator")
    monochromator["wavelength"] = recipe.geometry.wavelength * 1e10
    monochromator["wavelength"].attrs["units"] = "angstrom"
    monochromator["energy"] = recipe.geometry.energy_kev
    monochromator["energy"].attrs["units"] = "keV"
    source = _group(group, "source", "NXsource")
    source["name"] = "unknown"
    source["type"] = "Synchrotron X-ray Source"
    source["probe"] = "x-ray"


def _write_process(group: h5py.Group, reduction: Reduction) -> None:
    group["program"] = "ringline"
    group["version"] = version("ringline")
    group["date"] = datetime.now(UTC).isoformat()
    group["reference"] = "the recipe in input/recipe"
    group["engine"] = reduction.engine
    recipe = reduction.recipe
    parameters = _group(group, "input", "NXparameters")
    parameters["recipe"] = recipe.to_json()
    parameters["recipe_digest"] = recipe.digest
    parameters["splitting"] = recipe.splitting
    parameters["error_model"] = recipe.error_model


def _write_axes(group: h5py.Group, reduction: Reduction) -> None:
    unit = unit_named(reduction.recipe.binning.unit)
    curve = reduction.azimuth is None
    group.attrs["signal"] = "I"
    group.attrs["interpretation"] = "spectrum" if curve else "image"
    group.attrs["axes"] = [".", "radial_axis"] if curve else [".", "azimuthal_axis", "radial_axis"]
    for name, values in (("radial_axis", reduction.axis), ("radial_axis_edges", reduction.edges)):
        group[name] = values
        group[name].attrs.update({"units": unit.symbol, "long_name": unit.nexus_name})
    for name, angles in (
        ("azimuthal_axis", reduction.azimuth),
        ("azimuthal_axis_edges", reduction.azimuth_edges),
    ):
        if angles is not None:
            group[name] = angles
            group[name].attrs.update({"units": "degree", "long_name": "azimuthal angle"})


def _group(parent: h5py.Group, name: str, nx_class: str) -> h5py.Group:
    group = parent.create_group(name)
    group.attrs["NX_class"] = nx_class
    return group
