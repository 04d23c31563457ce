"""What a calibrator shows of the drift watch: one frozen value, and the table of its parts."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ringline.device_servers.reading import Reading
from ringline.processing.calibration import Drift
from ringline.processing.types import FloatArray

_UM = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Figures:
    """How far the detector moved, as it is shown."""

    distance: float
    """um."""
    center: FloatArray
    """Along the slow and the fast axis, pixels, shape (2,)."""
    errors: FloatArray
    """Of the distance, um, and of these, pixels, shape (3,)."""

    @classmethod
    def of(cls, drift: Drift) -> "Figures":
        """Those of a comparison; NaN where it told nothing."""
        if not drift.told:
            return UNTOLD
        return cls(
            distance=drift.distance / _UM,
            center=np.array(drift.center),
            errors=np.array([drift.distance_error / _UM, *drift.center_error]),
        )


UNTOLD = Figures(distance=np.nan, center=np.full(2, np.nan), errors=np.full(3, np.nan))


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What came of looking at a frame."""

    calibration: str
    """Id of the geometry that it was compared with; "" where there is none."""
    words: str
    told: bool = False
    """Whether there were enough rings."""
    alarm: bool = False
    figures: Figures = UNTOLD
    frame: str = ""
    """Name of the image."""
    time: str = ""
    """When it was looked at, ISO 8601."""

    def to_mapping(self) -> dict[str, object]:
        """For JSON, in the units that are shown; null where it was not told."""
        figures = self.figures
        return {
            "told": self.told,
            "alarm": self.alarm,
            "words": self.words,
            "distance": figures.distance if self.told else None,
            "center": figures.center.tolist() if self.told else None,
            "errors": figures.errors.tolist() if self.told else None,
            "calibration_id": self.calibration,
        }


_NONE = Look(calibration="", words="")


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftShown:
    """What is shown of all looks."""

    words: str = ""
    """Of the newest."""
    last: Look = _NONE
    """The newest at an image with enough rings to tell."""

    def after(self, look: Look) -> "DriftShown":
        """What is shown after one more; one that tells nothing neither raises nor ends an alarm."""
        return DriftShown(words=look.words, last=look if look.told else self.last)


DRIFT_READINGS: Mapping[str, Reading] = {
    reading.name: reading
    for reading in (
        Reading(
            name="drift_alarm", dtype=bool, label="Drift alarm",
            doc="Whether distance or beam center left the error bars of the calibration in force; "
            "until an image is within them again, or another geometry is put in force.",
            value=lambda r: r.drift.last.alarm,
        ),
        Reading(
            name="drift", dtype=str, label="Drift",
            doc="What the newest look came to; empty: no image was looked at.",
            value=lambda r: r.drift.words,
        ),
        Reading(
            name="drift_distance", dtype=float, unit="um", format="%.2f", label="Drift of distance",
            doc="Distance on the image drift_frame less the calibrated one; NaN: none told.",
            value=lambda r: r.drift.last.figures.distance,
        ),
        Reading(
            name="drift_center", dtype=float, dims=(2,), format="%.4f", label="Drift of center",
            doc="Likewise of the beam center, along the slow and the fast axis, pixels.",
            value=lambda r: r.drift.last.figures.center,
        ),
        Reading(
            name="drift_errors", dtype=float, dims=(3,), format="%.4g", label="Errors of drift",
            doc="Standard errors of drift_distance, um, and of drift_center, pixels.",
            value=lambda r: r.drift.last.figures.errors,
        ),
        Reading(
            name="drift_time", dtype=str, label="Time of drift",
            doc="When drift_frame was looked at; empty: no image told.",
            value=lambda r: r.drift.last.time,
        ),
        Reading(
            name="drift_frame", dtype=str, label="Frame of drift",
            doc="The newest image with enough rings to tell, of which the figures are: as Watch "
            "takes it, path::dataset#frame.",
            value=lambda r: r.drift.last.frame,
        ),
    )
}  # fmt: skip
