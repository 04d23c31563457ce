"""A simulated area detector that behaves like one at a beamline, and one that plays back."""

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from ringline.plans.camera import Camera
from ringline.plans.exposures import (
    Exposures,
    PlaybackExposures,
    SimulatedExposures,
    UnreadableExposures,
)
from ringline.plans.scene import Scene
from ringline.plans.streaming import StreamingDetector
from ringline.processing import Detector, Geometry, ModuleGrid, write_poni


class SimulatedDetector(StreamingDetector):
    """Powder rings through the true geometry, with Poisson noise and a detector's faults.

    Parameters
    ----------
    folder:
        Where frames go, and beside them what a beamline would have: the true geometry as
        ``NAME.poni`` and the mask as ``NAME_mask.npy``.
    exposures:
        The frames; see :func:`simulated_frames` for the usual ones.
    name:
        Of the device and of its image data key.
    unreadable:
        Numbers of frames that are damaged in the file, for fault drills.
    """

    def __init__(
        self,
        folder: Path,
        exposures: SimulatedExposures,
        name: str = "detector",
        unreadable: Collection[int] = (),
    ) -> None:
        self.exposures = exposures
        super().__init__(Camera(folder, _damaging(exposures, unreadable), name), name=name)
        self.poni_file = self.folder / f"{name}.poni"
        self.mask_file = self.folder / f"{name}_mask.npy"
        write_poni(self.geometry, self.poni_file)
        np.save(self.mask_file, exposures.mean_images.faults.mask)

    @property
    def geometry(self) -> Geometry:
        """Where the detector truly is."""
        return self.exposures.scene.geometry

    @property
    def detector(self) -> Detector:
        """What the sensor is."""
        return self.geometry.detector


class PlaybackDetector(StreamingDetector):
    """Plays image files back as the frames of a run: same pixel values, same type.

    Parameters
    ----------
    folder:
        Where the frames of the run go.
    images:
        Files of anything :func:`~ringline.processing.open_frames` reads, all of one shape and
        type; when a run takes more frames than they hold, they begin again.
    name:
        Of the device and of its image data key.
    unreadable:
        Numbers of frames that are damaged in the file, for fault drills.
    """

    def __init__(
        self,
        folder: Path,
        images: Sequence[Path],
        name: str = "detector",
        unreadable: Collection[int] = (),
    ) -> None:
        exposures = _damaging(PlaybackExposures(images), unreadable)
        super().__init__(Camera(folder, exposures, name), name=name)


def demo_scene(*, shape: tuple[int, int] = (512, 512), seed: int = 20) -> Scene:
    """LaB6 in which CeO2 grows, at 30 keV, 172 um pixels, slightly tilted, off center."""
    slow, fast = shape
    pixel = 172e-6 * 512 / max(shape)
    grid = ModuleGrid(size=(-(-(slow - 8) // 2), -(-(fast - 14) // 3)), gap=(8, 7))
    detector = Detector(pixel1=pixel, pixel2=pixel, shape=shape, modules=grid)
    geometry = Geometry(
        distance=0.125,
        poni1=0.46 * slow * pixel,
        poni2=0.54 * fast * pixel,
        rot1=0.03,
        rot2=-0.02,
        rot3=0.0,
        wavelength=0.41328e-10,
        detector=detector,
    )
    return Scene(geometry=geometry, fractions=(0.0, 0.6), seed=seed)


def _damaging(exposures: Exposures, unreadable: Collection[int]) -> Exposures:
    numbers = frozenset(unreadable)
    return UnreadableExposures(exposures, numbers.__contains__) if numbers else exposures
