"""Calibration of one image, from the pixels to the verdict."""

from collections.abc import Callable
from typing import TypeAlias

from ringline.processing.calibration.result import Calibration
from ringline.processing.calibration.task import CalibrationTask
from ringline.processing.types import ImageArray

Progress: TypeAlias = Callable[[float, str], None]
"""Called with the part that is done, 0 to 1, and what is being done."""


def calibrate(
    image: ImageArray, task: CalibrationTask, progress: Progress = lambda _part, _words: None
) -> Calibration:
    """Find where the detector stood, from the rings on an image.

    Parameters
    ----------
    image:
        Counts as the detector wrote them, shape (slow, fast).
    task:
        Powder, detector, wavelength, and what is known before.
    progress:
        Told how far it is.

    Returns
    -------
    :
        Geometry with errors, control points and a verdict; the same bits for the same input.

    Raises
    ------
    RecipeError:
        The image has another shape than the detector.
    """
    raise NotImplementedError
