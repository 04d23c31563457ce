"""One calibration: what is made of which image, and how it is stopped."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from ringline.callbacks import Circumstances
from ringline.device_servers.calibration_settings import CURRENT, CalibrationSettings
from ringline.device_servers.errors import NotReadyError
from ringline.device_servers.images import ImageName, read_image_named
from ringline.device_servers.reducer_link import ReducerLink
from ringline.processing import Geometry, read_poni
from ringline.processing.calibration import Calibration, CalibrationTask, calibrate
from ringline.processing.types import ImageArray


class AbortedError(Exception):
    """The operator wants no result any more."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """An image that fits its task."""

    image: ImageArray
    task: CalibrationTask


class CalibrationJob:
    """What to calibrate, from the settings of the moment.

    Parameters
    ----------
    settings:
        Complete.
    image:
        Which is to be calibrated.
    link:
        The reducer whose geometry may be the guess.
    progress:
        Told the part that is done and what is being done.
    """

    def __init__(
        self,
        settings: CalibrationSettings,
        image: ImageName,
        link: ReducerLink,
        progress: Callable[[float, str], None],
    ) -> None:
        self._settings, self._image, self._link = settings, image, link
        self._progress = progress
        self._aborting = threading.Event()

    def prepare(self) -> Prepared:
        """Read the image and all else; every refusal of input comes from here."""
        task = self._settings.task(guess_of(self._settings, self._link))
        image = read_image_named(self._image)
        slow, fast = image.shape
        return Prepared(image, task.with_shape((slow, fast)))

    def calibrate(self, prepared: Prepared) -> Calibration:
        """Calibrate; AbortedError where that was asked for."""
        return calibrate(prepared.image, prepared.task, self.report)

    def report(self, part: float, words: str) -> None:
        """Show how far it is, and end it here where that was asked for."""
        if self._aborting.is_set():
            raise AbortedError
        self._progress(part, words)

    def abort(self) -> None:
        """End it at its next step. Any thread; returns at once."""
        self._aborting.set()

    def circumstances(self, device: str) -> Circumstances:
        """What the record tells besides the result."""
        settings = self._settings
        return Circumstances(source=settings.image, raw_uid=settings.raw_uid, device=device)


def guess_of(settings: CalibrationSettings, link: ReducerLink) -> Geometry | None:
    """The guess that is named.

    Raises
    ------
    RecipeError:
        The PONI file cannot be read.
    NotReadyError:
        The geometry in force is not known.
    """
    if not settings.guess:
        return None
    if settings.guess != CURRENT:
        return read_poni(settings.guess)
    found = link.geometry()
    if found is None:
        raise NotReadyError(f"guess is {CURRENT!r}, but the reducer has no geometry yet")
    return found
