"""How a result file is laid out: NXazint1d and NXazint2d, with all that made the curves."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TypeAlias

import h5py
import numpy as np

from ringline.processing.moving import MovingReduction
from ringline.processing.multi_geometry import MultiGeometry
from ringline.processing.recipe import Recipe
from ringline.processing.reduction import Reduction
from ringline.processing.types import FloatArray
from ringline.processing.units import unit_named

EPOCH = np.dtype("S64")

Maker: TypeAlias = Reduction | MultiGeometry | MovingReduction
"""What makes the curves of a file."""

_AZIMUTH = "azimuthal angle"
_LONG_NAMES = {
    "I": "intensity",
    "I_errors": "estimated intensity error",
    "std": "standard deviation of a pixel from the intensity",
}


@dataclass(frozen=True, slots=True)
class ResultColumn:
    """Where a column lies in a result file."""

    dataset: str
    row_shape: tuple[int, ...]
    dtype: str
    """NumPy dtype string."""
    chunk: tuple[int, ...]


def frame_columns(maker: Maker) -> Mapping[str, ResultColumn]:
    """Columns with a row for each frame, by data key; ``std`` only with an error model."""
    return {
        **_curve_columns(maker, "data", rows=max(1, 8192 // int(np.prod(maker.output_shape)))),
        "frame_index": ResultColumn("/entry/frames/frame_index", (), "<i8", (1024,)),
        "raw_seq_num": ResultColumn("/entry/frames/raw_seq_num", (), "<i8", (1024,)),
        "monitor": ResultColumn("/entry/monitor/data", (), "<f8", (1024,)),
        "rejected": ResultColumn("/entry/frames/rejected", (), "<i8", (1024,)),
        "epoch": ResultColumn("/entry/frames/epoch", (), EPOCH.str, (256,)),
        **{
            position_key(motor): ResultColumn(
                f"/entry/frames/{position_key(motor)}", (), "<f8", (1024,)
            )
            for motor in motors_of(maker)
        },
    }


def motors_of(maker: Maker) -> tuple[str, ...]:
    """Motors of which every row has the position."""
    return maker.motors if isinstance(maker, MovingReduction) else ()


def position_key(motor: str) -> str:
    """Data key of the positions of a motor."""
    return f"position_{motor}"


def total_columns(maker: Maker) -> Mapping[str, ResultColumn]:
    """Columns with one row for the scan, by data key."""
    return _curve_columns(maker, "total", rows=1)


def _curve_columns(maker: Maker, group: str, rows: int) -> dict[str, ResultColumn]:
    # Chunks of about 64 kB: one frame's curve is written at once, many are read at once.
    shape = maker.output_shape
    names = {"intensity": "I", "sigma": "I_errors"}
    if _reduction(maker).recipe.error_model != "none":
        names["std"] = "std"
    return {
        key: ResultColumn(f"/entry/{group}/{name}", shape, "<f8", (rows, *shape))
        for key, name in names.items()
    }


def write_layout(file: h5py.File, maker: Maker) -> None:
    """Everything but the rows: SWMR allows no new datasets later."""
    reduction = _reduction(maker)
    corrections = reduction.recipe.corrections
    file.attrs.update({"NX_class": "NXroot", "default": "entry"})
    entry = _group(file, "entry", "NXentry")
    entry.attrs["default"] = "data"
    entry["definition"] = "NXazint1d" if reduction.azimuth is None else "NXazint2d"
    entry["solid_angle_applied"] = corrections.solid_angle
    entry["polarization_applied"] = corrections.polarization is not None
    entry["normalization_applied"] = True
    entry["monitor_applied"] = corrections.monitor is not None
    _write_instrument(_group(entry, "instrument", "NXinstrument"), reduction.recipe)
    _write_process(_group(entry, "reduction", "NXprocess"), maker)
    _write_axes(_group(entry, "data", "NXdata"), reduction)
    _write_axes(_group(entry, "total", "NXdata"), reduction)
    _group(entry, "frames", "NXcollection")
    _group(entry, "monitor", "NXmonitor")
    for column in (*frame_columns(maker).values(), *total_columns(maker).values()):
        file.create_dataset(
            column.dataset,
            shape=(0, *column.row_shape),
            maxshape=(None, *column.row_shape),
            chunks=column.chunk,
            dtype=column.dtype,
        )
    for group in (entry["data"], entry["total"]):
        for name, words in _LONG_NAMES.items():
            if name in group:
                group[name].attrs.update({"long_name": words, "units": "arbitrary units"})


def _reduction(maker: Maker) -> Reduction | MovingReduction:
    """What has the axes of all curves."""
    return maker.reduction if isinstance(maker, MultiGeometry) else maker


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


def _write_process(group: h5py.Group, maker: Maker) -> None:
    group["program"] = "ringline"
    group["version"] = version("ringline")
    group["date"] = datetime.now(UTC).isoformat()
    group["reference"] = "the recipe in input/recipe"
    group["engine"] = _reduction(maker).engine
    recipe = _reduction(maker).recipe
    whole = maker if isinstance(maker, MultiGeometry) else recipe
    parameters = _group(group, "input", "NXparameters")
    if isinstance(maker, MovingReduction):
        parameters["goniometer"] = json.dumps(maker.goniometer.to_mapping())
        parameters["goniometer_digest"] = maker.goniometer.digest
    parameters["recipe"] = whole.to_json()
    parameters["recipe_digest"] = whole.digest
    parameters["splitting"] = recipe.splitting
    parameters["error_model"] = recipe.error_model


def _write_axes(group: h5py.Group, reduction: Reduction | MovingReduction) -> None:
    unit = unit_named(reduction.recipe.binning.unit)
    along = "azimuthal_axis" if unit.periodic else "radial_axis"
    curve = reduction.azimuth is None
    group.attrs["signal"] = "I"
    group.attrs["interpretation"] = "spectrum" if curve else "image"
    group.attrs["axes"] = [".", along] if curve else [".", "azimuthal_axis", along]
    long_name = _AZIMUTH if unit.periodic else unit.nexus_name
    _write_axis(group, along, (reduction.axis, reduction.edges), (unit.symbol, long_name))
    if reduction.azimuth is not None and reduction.azimuth_edges is not None:
        angles = (reduction.azimuth, reduction.azimuth_edges)
        _write_axis(group, "azimuthal_axis", angles, ("degree", _AZIMUTH))


def _write_axis(
    group: h5py.Group, name: str, values: tuple[FloatArray, FloatArray], words: tuple[str, str]
) -> None:
    """Centers and edges of bins, with their unit and long name."""
    for dataset, numbers in zip((name, f"{name}_edges"), values, strict=True):
        group[dataset] = numbers
        group[dataset].attrs.update(dict(zip(("units", "long_name"), words, strict=True)))


def _group(parent: h5py.Group, name: str, nx_class: str) -> h5py.Group:
    group = parent.create_group(name)
    group.attrs["NX_class"] = nx_class
    return group
