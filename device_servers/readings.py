"""What a reducer shows: one frozen value, and the table that says what each part is."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np

from ringline.callbacks import Accounts, calibration_id
from ringline.device_servers.reading import Reading
from ringline.device_servers.setting_table import MOST_AZIMUTHAL_BINS, MOST_RADIAL_BINS
from ringline.processing import Profile, Recipe, Reduction, unit_named
from ringline.processing.types import FloatArray
from ringline.processing.units import Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """The newest result as it is shown.

    NaN everywhere before the first frame: an empty spectrum would read as no value at all.
    """

    radial: FloatArray
    azimuth: FloatArray
    intensity: FloatArray
    sigma: FloatArray
    std: FloatArray
    cake: FloatArray

    @classmethod
    def blank(cls, bins: int) -> "Curve":
        """A curve without values."""
        nothing = np.full(max(bins, 1), np.nan)
        return cls(
            radial=nothing,
            azimuth=np.full(1, np.nan),
            intensity=nothing,
            sigma=nothing,
            std=nothing,
            cake=nothing[np.newaxis],
        )

    @classmethod
    def awaited(cls, reduction: Reduction) -> "Curve":
        """A curve without values, its axes those of a reduction that is compiled."""
        blank = cls.blank(len(reduction.axis))
        unit = unit_named(reduction.recipe.binning.unit)
        if unit.periodic:
            return replace(blank, azimuth=_degrees(reduction.axis, unit))
        azimuth = blank.azimuth if reduction.azimuth is None else reduction.azimuth
        return replace(blank, radial=reduction.axis, azimuth=azimuth)

    @classmethod
    def of(cls, profile: Profile) -> "Curve":
        """The curve of a profile; that of a cake is its mean over the azimuthal bins."""
        nothing = np.full_like(profile.intensity, np.nan)
        sigma = nothing if profile.sigma is None else profile.sigma
        spread = profile.std  # computed when it is asked for
        std = nothing if spread is None else spread
        if profile.azimuth is None:
            unit = unit_named(profile.unit)
            blank = cls.blank(len(profile.axis))
            return cls(
                radial=blank.radial if unit.periodic else profile.axis,
                azimuth=_degrees(profile.axis, unit) if unit.periodic else blank.azimuth,
                intensity=profile.intensity,
                sigma=sigma,
                std=std,
                cake=blank.cake,
            )
        filled = np.isfinite(profile.intensity)
        number = np.where(filled.any(axis=0), filled.sum(axis=0), np.nan)
        total = np.where(filled, profile.intensity, 0.0).sum(axis=0)
        squares = [(np.where(filled, each, 0.0) ** 2).sum(axis=0) for each in (sigma, std)]
        return cls(
            radial=profile.axis,
            azimuth=profile.azimuth,
            intensity=total / number,
            sigma=np.sqrt(squares[0]) / number,
            std=np.sqrt(squares[1] / number),
            cake=profile.intensity,
        )


def _degrees(axis: FloatArray, unit: Unit) -> FloatArray:
    """An axis of azimuth in degrees."""
    return axis if unit.name == "chi_deg" else np.degrees(axis / unit.scale)


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """Everything that is shown beside the settings."""

    curve: Curve
    frame_index: int = -1
    newest_frame: str = ""
    epoch: str = ""
    pixels_rejected: int = 0
    engine_used: str = ""
    accounts: Accounts = field(default_factory=Accounts)
    lag: int = 0
    processing_time: float = 0.0
    frame_rate: float = 0.0
    recipe: Recipe | None = None
    generation: str = ""
    raw_uid: str = ""
    reduced_uid: str = ""
    last_error: str = ""
    armed: bool = False
    readable_folders: tuple[str, ...] = ()

    def with_curve(self, curve: Curve) -> "Readings":
        """The same readings with another curve."""
        return replace(self, curve=curve)


def _digest(readings: Readings) -> str:
    return readings.recipe.digest if readings.recipe else ""


def _json(readings: Readings) -> str:
    return readings.recipe.to_json() if readings.recipe else ""


@lru_cache(maxsize=4)
def _calibration_id(recipe: Recipe | None) -> str:
    return "" if recipe is None else calibration_id(recipe)


_RADIAL = (MOST_RADIAL_BINS,)

READINGS: Mapping[str, Reading] = {
    reading.name: reading
    for reading in (
        Reading(
            name="radial", dtype=float, dims=_RADIAL, label="Radial axis",
            doc="Centers of the radial bins, in radial_unit; NaN where intensity is against the "
            "azimuth.",
            value=lambda r: r.curve.radial,
        ),
        Reading(
            name="azimuth", dtype=float, dims=(MOST_AZIMUTHAL_BINS,), label="Azimuth",
            unit="degree", doc="Centers of the azimuthal bins of a cake or an azimuthal profile.",
            value=lambda r: r.curve.azimuth,
        ),
        Reading(
            name="intensity", dtype=float, dims=_RADIAL, label="Intensity",
            doc="Newest curve; NaN where no pixel counted. For a cake: mean over the azimuth.",
            value=lambda r: r.curve.intensity,
        ),
        Reading(
            name="sigma", dtype=float, dims=_RADIAL, label="Standard error",
            doc="Standard error of intensity; NaN without an error model.",
            value=lambda r: r.curve.sigma,
        ),
        Reading(
            name="std", dtype=float, dims=_RADIAL, label="Standard deviation",
            doc="Standard deviation of a pixel from intensity; NaN without an error model. For a "
            "cake: root of the mean square over the azimuth.",
            value=lambda r: r.curve.std,
        ),
        Reading(
            name="cake", dtype=float, dims=(MOST_RADIAL_BINS, MOST_AZIMUTHAL_BINS), label="Cake",
            doc="Newest cake, a row for each azimuthal bin; NaN for a curve.",
            value=lambda r: r.curve.cake,
        ),
        Reading(
            name="frame_index", dtype=int, label="Frame index", format="%d",
            doc="Index of the frame of the newest curve; -1 before the first.",
            value=lambda r: r.frame_index,
        ),
        Reading(
            name="newest_frame", dtype=str, label="Newest frame",
            doc="The frame of the newest curve as Integrate takes it, path::dataset#frame; empty "
            "before the first, and where frames come inside events.",
            value=lambda r: r.newest_frame,
        ),
        Reading(
            name="epoch", dtype=str, label="Recipe of the curve",
            doc="Digest of the recipe that made the newest curve.", value=lambda r: r.epoch,
        ),
        Reading(
            name="pixels_rejected", dtype=int, label="Pixels rejected", format="%d",
            doc="Pixels left out of the newest frame because of what it holds there: not a "
            "number, saturated, dummy, or an outlier of its ring.",
            value=lambda r: r.pixels_rejected,
        ),
        Reading(
            name="frames_seen", dtype=int, label="Frames seen", format="%d",
            doc="Frames announced by the run = reduced + dropped + failed + pending.",
            value=lambda r: r.accounts.seen,
        ),
        Reading(
            name="frames_reduced", dtype=int, label="Frames reduced", format="%d",
            doc="Frames whose curve is in the store or on its way.",
            value=lambda r: r.accounts.reduced,
        ),
        Reading(
            name="frames_dropped", dtype=int, label="Frames dropped", format="%d",
            doc="Frames for which there was no room.", value=lambda r: r.accounts.dropped,
        ),
        Reading(
            name="frames_failed", dtype=int, label="Frames failed", format="%d",
            doc="Frames that could not be read or reduced; last_error says why.",
            value=lambda r: r.accounts.failed,
        ),
        Reading(
            name="frames_pending", dtype=int, label="Frames pending", format="%d",
            doc="Frames announced and not yet reduced, dropped or failed.",
            value=lambda r: max(0, r.accounts.pending),
        ),
        Reading(
            name="lag", dtype=int, label="Lag", format="%d",
            doc="Frames not yet accounted for and documents not yet looked at.",
            value=lambda r: r.lag,
        ),
        Reading(
            name="processing_time", dtype=float, unit="ms", format="%.2f",
            label="Processing time", doc="To read, reduce and store a frame, mean of its block.",
            value=lambda r: r.processing_time,
        ),
        Reading(
            name="frame_rate", dtype=float, unit="Hz", format="%.1f", label="Frame rate",
            doc="Frames reduced per second, over the last two seconds.",
            value=lambda r: r.frame_rate,
        ),
        Reading(
            name="engine_used", dtype=str, label="Engine in use",
            doc="What computes, and why; empty before a recipe is compiled.",
            value=lambda r: r.engine_used,
        ),
        Reading(
            name="recipe_digest", dtype=str, label="Recipe digest",
            doc="sha256 of the recipe in force; empty without one.", value=_digest,
        ),
        Reading(
            name="calibration_id", dtype=str, label="Calibration",
            doc="sha256 of the geometry in force, by which reduced runs name the calibration that "
            "it is from; empty without one.",
            value=lambda r: _calibration_id(r.recipe),
        ),
        Reading(
            name="recipe", dtype=str, label="Recipe", expert=True,
            doc="The recipe in force as JSON; empty without one.", value=_json,
        ),
        Reading(
            name="generation", dtype=str, label="Generation",
            doc="Start time and number of the accumulation: tells a reset from a low reading.",
            value=lambda r: r.generation,
        ),
        Reading(
            name="raw_uid", dtype=str, label="Raw run",
            doc="uid of the raw run of the newest curve.", value=lambda r: r.raw_uid,
        ),
        Reading(
            name="reduced_uid", dtype=str, label="Reduced run",
            doc="uid of the reduced run of the newest curve.", value=lambda r: r.reduced_uid,
        ),
        Reading(
            name="last_error", dtype=str, label="Last error",
            doc="The newest refusal or failure, until Reset; empty: none.",
            value=lambda r: r.last_error,
        ),
        Reading(
            name="armed", dtype=bool, label="Armed",
            doc="Whether the recipe in force is compiled and ready for the first frame.",
            value=lambda r: r.armed,
        ),
        Reading(
            name="readable_folders", dtype=str, dims=(256,), label="Readable folders",
            expert=True, doc="Folders from which frames are read; others are refused.",
            value=lambda r: r.readable_folders,
        ),
    )
}  # fmt: skip
