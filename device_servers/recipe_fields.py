"""Parts of a recipe as fields of the settings, and back. Nothing is lost either way."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ringline.processing import (
    Azimuthal,
    Binning,
    Cake,
    Corrections,
    Outliers,
    QuantileRange,
    Radial,
    RecipeError,
    SigmaClip,
)
from ringline.processing.corrections import ARRAYS

if TYPE_CHECKING:
    from ringline.device_servers.settings import Settings


def binning_of(settings: Settings) -> Binning:
    """A curve, an azimuthal profile or a cake, by which numbers of bins are not 0.

    Raises
    ------
    RecipeError:
        Both are 0, or a value is out of its bounds.
    """
    radial, azimuth = settings.radial_range, settings.azimuth_range
    unit = settings.radial_unit
    match bool(settings.radial_bins), bool(settings.azimuthal_bins):
        case True, False:
            return Radial(settings.radial_bins, unit, radial, azimuth, settings.radial_edges)
        case False, True:
            axis = (settings.azimuthal_bins, settings.azimuthal_unit)
            return Azimuthal(*axis, radial, azimuth, unit, settings.azimuth_edges)
        case True, True:
            bins = (settings.radial_bins, settings.azimuthal_bins)
            edges = (settings.radial_edges, settings.azimuth_edges)
            return Cake(*bins, unit, radial, azimuth, *edges)
    raise RecipeError("radial_bins and azimuthal_bins are both 0: one must be > 0")


def binning_fields(binning: Binning) -> dict[str, Any]:
    """The settings of which ``binning_of`` makes this binning."""
    fields: dict[str, Any] = {
        "radial_bins": 0,
        "azimuthal_bins": 0,
        "radial_unit": binning.unit,
        "azimuthal_unit": "chi_deg",
        "radial_range": binning.radial_range,
        "azimuth_range": binning.azimuth_range,
        "radial_edges": None,
        "azimuth_edges": None,
    }
    match binning:
        case Radial(bins=bins, edges=edges):
            return fields | {"radial_bins": bins, "radial_edges": edges}
        case Azimuthal(bins=bins, edges=edges):
            units = {"radial_unit": binning.radial_unit, "azimuthal_unit": binning.unit}
            return fields | units | {"azimuthal_bins": bins, "azimuth_edges": edges}
        case Cake(edges=edges, azimuth_edges=azimuth_edges):
            both = {"radial_bins": binning.radial_bins, "azimuthal_bins": binning.azimuthal_bins}
            return fields | both | {"radial_edges": edges, "azimuth_edges": azimuth_edges}


def outliers_of(settings: Settings) -> Outliers | None:
    """How outliers of a ring are treated."""
    match settings.outlier_rejection:
        case "sigma_clip":
            return SigmaClip(settings.outlier_threshold, settings.outlier_iterations)
        case "quantiles":
            return QuantileRange(*settings.quantile_range)
    return None


def outlier_fields(outliers: Outliers | None) -> dict[str, Any]:
    """The settings of which ``outliers_of`` makes these."""
    clip = outliers if isinstance(outliers, SigmaClip) else SigmaClip()
    part = outliers if isinstance(outliers, QuantileRange) else QuantileRange()
    names = {SigmaClip: "sigma_clip", QuantileRange: "quantiles"}
    return {
        "outlier_rejection": "none" if outliers is None else names[type(outliers)],
        "outlier_threshold": clip.threshold,
        "outlier_iterations": clip.iterations,
        "quantile_range": (part.low, part.high),
    }


def corrections_of(settings: Settings) -> Corrections:
    """The corrections; it reads the files of arrays.

    Raises
    ------
    RecipeError:
        A file that cannot be read, or does not fit.
    """
    polarized = settings.polarization_correction
    return Corrections(
        **{name: getattr(settings, f"{name}_file") or None for name in ARRAYS},
        polarization=settings.polarization_factor if polarized else None,
        polarization_axis=settings.polarization_axis,
        solid_angle=settings.solid_angle_correction,
        absorption=settings.absorption_correction,
        monitor=settings.monitor_reference or None,
        scale=settings.absolute_scale,
        saturation=settings.saturation if settings.saturation_rejection else None,
        dummy=settings.dummy if settings.dummy_rejection else None,
        delta_dummy=settings.delta_dummy,
    )


def corrections_fields(corrections: Corrections) -> dict[str, Any]:
    """The settings of which ``corrections_of`` makes these. The arrays must have paths."""
    paths = {f"{name}_file": "" for name in ARRAYS}
    for name, array in corrections.arrays().items():
        paths[f"{name}_file"] = str(Path(array.path).absolute()) if array.path else ""
    return {
        **paths,
        "polarization_factor": _or_zero(corrections.polarization),
        "polarization_correction": corrections.polarization is not None,
        "polarization_axis": corrections.polarization_axis,
        "solid_angle_correction": corrections.solid_angle,
        "absorption_correction": corrections.absorption,
        "monitor_reference": corrections.monitor or 0.0,
        "absolute_scale": corrections.scale,
        "saturation": _or_zero(corrections.saturation),
        "saturation_rejection": corrections.saturation is not None,
        "dummy": _or_zero(corrections.dummy),
        "dummy_rejection": corrections.dummy is not None,
        "delta_dummy": corrections.delta_dummy,
    }


def _or_zero(value: float | None) -> float:
    return 0.0 if value is None else value
