"""Looking at reduced frames, one each period, for whether the detector stands as calibrated."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from ringline.callbacks import CalibrationHistory
from ringline.device_servers.drift import Figures, Look
from ringline.device_servers.errors import NotReadyError
from ringline.device_servers.images import ImageName, read_image_named
from ringline.device_servers.reducer_link import Newest, ReducerLink
from ringline.processing import FrameError, RecipeError
from ringline.processing.calibration import Calibration, drift_of
from ringline.processing.calibration.record import read_calibration


class DriftWatch:
    """Which frame is to be looked at when, and what it tells.

    Parameters
    ----------
    link:
        The reducer.
    folders:
        From which images are read.
    history:
        Gives the history of calibrations; NotReadyError where it is not open.
    """

    def __init__(
        self,
        link: ReducerLink,
        folders: Sequence[Path],
        history: Callable[[], CalibrationHistory],
    ) -> None:
        self._link, self._folders, self._history = link, folders, history
        self._next = 0.0
        self._seen: Newest | None = None
        self._known: Calibration | None = None
        self._strange = ""
        """Id that the store does not know: it is not asked again."""

    def due(self, period: float) -> Newest | None:
        """What is to be looked at now; None: nothing new, or not yet. Talks to the reducer.

        Parameters
        ----------
        period:
            Least time between two looks, s; 0: there are none.
        """
        if not period:
            self._next, self._seen = 0.0, None
            return None
        now = time.monotonic()
        if now < self._next:
            return None
        self._next = now + period
        try:
            newest = self._link.newest()
        except NotReadyError:
            newest = Newest(frame="", calibration="")
        if newest == self._seen:
            return None
        self._seen = newest
        return newest

    def look(self, newest: Newest) -> Look:
        """What the newest frame tells, or why there is nothing to compare.

        Raises
        ------
        FrameError, BadInputError, RecipeError:
            As :meth:`compare`.
        """
        try:
            self._calibration(newest.calibration)
        except NotReadyError as error:
            return Look(calibration=newest.calibration, words=str(error))
        if not newest.frame:
            words = "no frame that others can read was reduced with the geometry in force yet"
            return Look(calibration=newest.calibration, words=words)
        return self.compare(ImageName.parse(newest.frame, self._folders), newest.calibration)

    def compare(self, image: ImageName, identifier: str) -> Look:
        """What an image tells of the calibration with this id.

        Raises
        ------
        FrameError:
            The image cannot be read.
        RecipeError:
            It has another shape than the calibration's.
        NotReadyError:
            There is no calibration to compare with.
        """
        calibration = self._calibration(identifier)
        try:
            pixels = read_image_named(image)
        except OSError as error:
            raise FrameError(f"{image.path}: {error.strerror or error}") from error
        drift = drift_of(pixels, calibration)
        found = ("moved: " if drift.alarm else "in place: ") if drift.told else ""
        return Look(
            calibration=identifier,
            words=f"{found}{drift.words}, on {image}",
            told=drift.told,
            alarm=drift.alarm,
            figures=Figures.of(drift),
            frame=str(image),
            time=datetime.now(UTC).isoformat(timespec="milliseconds"),
        )

    def _calibration(self, identifier: str) -> Calibration:
        """The calibration that a geometry is from; NotReadyError where there is none."""
        if not identifier:
            raise NotReadyError("no geometry is in force in the reducer, or it does not answer")
        if self._known is None or self._known.id != identifier:
            history = self._history()
            if identifier == self._strange or not _is_known(identifier, history):
                self._strange = identifier
                raise NotReadyError(
                    f"the geometry in force, {identifier[:8]}, is no calibration of the store: "
                    "Calibrate and Accept to watch it"
                )
            try:
                self._known, _ = read_calibration(history.find(identifier).file)
            except RecipeError as error:
                raise NotReadyError(f"the calibration in force cannot be read: {error}") from error
        return self._known


def _is_known(identifier: str, history: CalibrationHistory) -> bool:
    return any(entry.id == identifier for entry in history.list())
