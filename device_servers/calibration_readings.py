"""What a calibrator shows: one frozen value, and the table that says what each part is."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ringline.callbacks.calibration_documents import PARAMETERS
from ringline.device_servers.calibration_settings import MOST_RINGS
from ringline.device_servers.drift import DRIFT_READINGS, DriftShown
from ringline.device_servers.reading import Reading
from ringline.device_servers.setting_table import MOST_RADIAL_BINS
from ringline.processing.calibration import Calibration, FittedRing
from ringline.processing.types import FloatArray, IntArray

_ANGSTROM = 1e-10


@dataclass(frozen=True, slots=True, kw_only=True)
class Rings:
    """Rings as they are shown: angles in degrees, as all that are shown."""

    two_theta: FloatArray
    residual: FloatArray
    scatter: FloatArray
    points: IntArray
    coverage: FloatArray

    @classmethod
    def of(cls, rings: Sequence[FittedRing]) -> "Rings":
        """Those of a calibration; one of NaN where there is none."""
        shown = rings or (FittedRing(spacing=np.nan, two_theta=np.nan, coverage=np.nan),)
        return cls(
            two_theta=np.degrees([ring.two_theta for ring in shown]),
            residual=np.degrees([ring.residual for ring in shown]),
            scatter=np.degrees([ring.scatter for ring in shown]),
            points=np.array([ring.points for ring in shown], dtype=np.int64),
            coverage=np.array([ring.coverage for ring in shown], dtype=np.float64),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A calibration as it is shown.

    NaN where there is nothing: an empty spectrum would read as no value at all.
    """

    verdict: str = ""
    accepted: bool = False
    checks: str = "[]"
    id: str = ""
    uid: str = ""
    picture: str = ""
    parameters: FloatArray
    """In the order of ``PARAMETERS``, the wavelength in angstrom."""
    errors: FloatArray
    """Of these."""
    center: FloatArray
    covariance: FloatArray
    rings: Rings
    axis: FloatArray
    curve: FloatArray

    @classmethod
    def blank(cls) -> "Outcome":
        """Before the first calibration."""
        nothing, parameters = np.full(1, np.nan), np.full(len(PARAMETERS), np.nan)
        return cls(
            parameters=parameters,
            errors=parameters,
            center=np.full(2, np.nan),
            covariance=np.full((1, 1), np.nan),
            rings=Rings.of(()),
            axis=nothing,
            curve=nothing,
        )

    @classmethod
    def of(cls, calibration: Calibration, uid: str, picture: str) -> "Outcome":
        """That of a calibration that is in the store."""
        blank, verdict, geometry = cls.blank(), calibration.verdict, calibration.geometry
        values = [getattr(geometry, name, np.nan) for name in PARAMETERS]
        errors = [calibration.errors.get(name, np.nan) for name in PARAMETERS]
        center = calibration.center
        return cls(
            verdict=verdict.words,
            accepted=verdict.accepted,
            checks=json.dumps(
                [{"name": c.name, "passed": c.passed, "words": c.words} for c in verdict.checks]
            ),
            id=calibration.id,
            uid=uid,
            picture=picture,
            parameters=_in_angstrom(values),
            errors=_in_angstrom(errors),
            center=blank.center if center is None else np.array(center),
            covariance=calibration.covariance if calibration.covariance.size else blank.covariance,
            axis=calibration.axis if calibration.axis.size else blank.axis,
            curve=calibration.curve if calibration.curve.size else blank.curve,
            rings=Rings.of(calibration.rings[:MOST_RINGS]),
        )


def _in_angstrom(values: list[float]) -> FloatArray:
    *others, wavelength = values
    return np.array([*others, wavelength / _ANGSTROM])


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationReadings:
    """Everything that is shown beside the settings."""

    outcome: Outcome = field(default_factory=Outcome.blank)
    dismissed: bool = False
    """Whether the operator rejected it."""
    lost: str = ""
    """Why the newest calibration came to no result at all."""
    progress: float = 0.0
    step: str = ""
    in_force: str = ""
    former: str = ""
    drift: DriftShown = field(default_factory=DriftShown)
    last_error: str = ""
    readable_folders: tuple[str, ...] = ()

    @property
    def accepted(self) -> bool:
        """Whether it may be put in force."""
        return self.outcome.accepted and not self.dismissed

    @property
    def verdict(self) -> str:
        """One line."""
        if self.dismissed:
            return f"rejected by the operator; its checks: {self.outcome.verdict}"
        return self.outcome.verdict

    def with_in_force(self, found: str) -> "CalibrationReadings":
        """The same with this geometry in force; a drift from another one is none any more."""
        keeps = found in ("", self.drift.last.calibration)
        return replace(self, in_force=found, drift=self.drift if keeps else DriftShown())


def _parameter(name: str, label: str, unit: str, doc: str) -> Reading:
    number = list(PARAMETERS).index(name)
    return Reading(
        name=name, dtype=float, label=label, unit=unit, format="%.15g", doc=doc,
        value=lambda r: float(r.outcome.parameters[number]),
    )  # fmt: skip


_RINGS = (MOST_RINGS,)
_BINS = (MOST_RADIAL_BINS,)

CALIBRATION_READINGS: Mapping[str, Reading] = {
    reading.name: reading
    for reading in (
        Reading(
            name="progress", dtype=float, format="%.2f", label="Progress",
            doc="Part of the calibration that is done, 0 to 1.", value=lambda r: r.progress,
        ),
        Reading(
            name="step", dtype=str, label="Step", doc="What is being done, or was done last.",
            value=lambda r: r.step,
        ),
        Reading(
            name="verdict", dtype=str, label="Verdict",
            doc="Accepted or rejected, and why; empty before the first calibration.",
            value=lambda r: r.verdict,
        ),
        Reading(
            name="accepted", dtype=bool, label="Accepted",
            doc="Whether the newest calibration passed all its checks, and so may be put in force "
            "by Accept.",
            value=lambda r: r.accepted,
        ),
        Reading(
            name="checks", dtype=str, label="Checks",
            doc='Every check as JSON: [{"name": ..., "passed": ..., "words": ...}].',
            value=lambda r: r.outcome.checks,
        ),
        _parameter("distance", "Distance", "m", "Sample to PONI; NaN without a result."),
        _parameter("poni1", "PONI 1", "m", "PONI along the detector's slow axis."),
        _parameter("poni2", "PONI 2", "m", "PONI along the detector's fast axis."),
        _parameter("rot1", "Rotation 1", "rad", "Rotation about the slow axis."),
        _parameter("rot2", "Rotation 2", "rad", "Rotation about the fast axis."),
        _parameter("rot3", "Rotation 3", "rad", "Rotation about the beam: as guessed."),
        _parameter("wavelength", "Wavelength", "angstrom", "As given: one image does not tell it."),
        Reading(
            name="errors", dtype=float, dims=(len(PARAMETERS),), format="%.6g", label="Errors",
            doc=f"Standard errors of {', '.join(PARAMETERS)}, in this order, m, rad and angstrom; "
            "NaN of one that was not refined.",
            value=lambda r: r.outcome.errors,
        ),
        Reading(
            name="covariance", dtype=float, dims=(16, 16), label="Covariance",
            doc="Of the refined ones of distance, poni1, poni2, rot1, rot2, in this order.",
            value=lambda r: r.outcome.covariance,
        ),
        Reading(
            name="center", dtype=float, dims=(2,), format="%.4f", label="Beam center",
            doc="Where the direct beam meets the detector's plane, along the PONI's slow and fast "
            "axis, pixels; NaN where it does not.",
            value=lambda r: r.outcome.center,
        ),
        Reading(
            name="ring_two_theta", dtype=float, dims=_RINGS, unit="degree", label="Rings",
            doc="Calculated 2theta of each ring on the detector.",
            value=lambda r: r.outcome.rings.two_theta,
        ),
        Reading(
            name="ring_residuals", dtype=float, dims=_RINGS, unit="degree",
            label="Residuals of rings",
            doc="Measured minus calculated 2theta of each ring, mean; NaN where it was not seen.",
            value=lambda r: r.outcome.rings.residual,
        ),
        Reading(
            name="ring_scatter", dtype=float, dims=_RINGS, unit="degree", label="Scatter of rings",
            doc="Root mean square of the residuals of each ring's control points.",
            value=lambda r: r.outcome.rings.scatter,
        ),
        Reading(
            name="ring_points", dtype=int, dims=_RINGS, label="Points of rings",
            doc="Control points of each ring that were used.",
            value=lambda r: r.outcome.rings.points,
        ),
        Reading(
            name="ring_coverage", dtype=float, dims=_RINGS, label="Coverage of rings",
            doc="Part of each ring's sectors on the detector in which it was seen, 0 to 1.",
            value=lambda r: r.outcome.rings.coverage,
        ),
        Reading(
            name="axis", dtype=float, dims=_BINS, unit="degree", label="2theta",
            doc="Of the integrated curve.", value=lambda r: r.outcome.axis,
        ),
        Reading(
            name="curve", dtype=float, dims=_BINS, label="Curve",
            doc="The image, integrated with the geometry that was found.",
            value=lambda r: r.outcome.curve,
        ),
        Reading(
            name="calibration_id", dtype=str, label="Calibration",
            doc="sha256 of the geometry that was found, by which reduced runs name it.",
            value=lambda r: r.outcome.id,
        ),
        Reading(
            name="calibration_uid", dtype=str, label="Run of the calibration",
            doc="uid of its run in the catalogue calibrations.", value=lambda r: r.outcome.uid,
        ),
        Reading(
            name="in_force", dtype=str, label="In force",
            doc="Id of the geometry in force in the reducer, looked up every second; empty where "
            "it has none or does not answer.",
            value=lambda r: r.in_force,
        ),
        Reading(
            name="former", dtype=str, label="Former",
            doc="Id of the geometry to which Revert goes back; empty: there is none.",
            value=lambda r: r.former,
        ),
        Reading(
            name="picture", dtype=str, label="Picture",
            doc="Path of a PNG that shows the calibration; empty without one.",
            value=lambda r: r.outcome.picture,
        ),
        *DRIFT_READINGS.values(),
        Reading(
            name="last_error", dtype=str, label="Last error",
            doc="The newest refusal or failure, until the next Calibrate; empty: none.",
            value=lambda r: r.last_error,
        ),
        Reading(
            name="readable_folders", dtype=str, dims=(256,), label="Readable folders",
            expert=True, doc="Folders from which images are read; others are refused.",
            value=lambda r: r.readable_folders,
        ),
    )
}  # fmt: skip
