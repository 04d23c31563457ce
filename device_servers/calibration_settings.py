"""The settings of a calibrator as one frozen value, the table of them, and their task."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ringline.device_servers.kinds import (
    BoundsByName,
    CalibrantName,
    Count,
    FilePath,
    NameList,
    Number,
    Text,
)
from ringline.device_servers.setting import Described, Setting
from ringline.device_servers.settings import detector_from_text
from ringline.processing import Geometry, RecipeError
from ringline.processing.calibration import REFINED, CalibrationTask, calibration_task

CURRENT = "current"
"""As a guess: the geometry in force in the reducer."""
MOST_RINGS = 4096
_ARRAY_FILE = "absolute path (.npy, file.h5::dataset, or an image); empty: none."


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationSettings:
    """Everything that can be set, parsed. The values need not make a task yet."""

    calibrant: str = ""
    energy: float = 0.0
    """keV."""
    detector: str = ""
    orientation: int = 3
    image: str = ""
    raw_uid: str = ""
    guess: str = ""
    fixed: str = ""
    bounds: str = ""
    mask_file: str = ""
    dark_file: str = ""
    saturation: float = 0.0
    watch_period: float = 0.0
    """s."""

    def not_set(self) -> list[str]:
        """Names of the settings without which there is nothing to calibrate."""
        needed = ("calibrant", "image") if self.guess else _NEEDED
        return [name for name in needed if not getattr(self, name)]

    def task(self, guess: Geometry | None) -> CalibrationTask:
        """What is to be calibrated; it reads the files of arrays.

        Parameters
        ----------
        guess:
            What ``guess`` names. Detector and energy that are not set are its own.

        Raises
        ------
        RecipeError:
            Values that do not make a task, a file that cannot be read or does not fit.
        """
        if self.detector:
            named = detector_from_text(self.detector)
            detector = replace(named, orientation=self.orientation)
        elif guess is not None:
            detector = guess.detector
        else:
            raise RecipeError("detector is not set, and there is no guess that tells it")
        return calibration_task(
            self.calibrant,
            detector,
            energy_kev=self.energy or None,
            guess=guess,
            options={
                "fixed": self.fixed,
                "bounds": json.loads(self.bounds or "{}"),
                "mask": self.mask_file or None,
                "dark": self.dark_file or None,
                "saturation": self.saturation or None,
            },
        )


_NEEDED = ("calibrant", "energy", "detector", "image")

# In the order in which a Configure with several of them is applied.
CALIBRATION_SETTINGS: Mapping[str, Setting] = {
    setting.name: setting
    for setting in (
        Setting(
            name="calibrant", kind=CalibrantName(), label="Calibrant",
            doc='The powder by its name ("LaB6"), or the absolute path of a .D file.',
        ),
        Setting(
            name="energy", kind=Number(low=0, high=500, unit="keV"), unit="keV",
            label="Photon energy", doc="From 1 to 500 keV; 0: that of the guess.",
        ),
        Setting(
            name="detector", kind=Text(), label="Detector",
            doc='Its name as in PONI files ("Pilatus1M"), a NeXus detector file (.h5), or JSON: '
            '{"pixel1": m, "pixel2": m}; empty: that of the guess.',
        ),
        Setting(
            name="orientation", kind=Count(1, 4), label="Orientation",
            doc="How the image of this detector is stored: 3 along the PONI's axes, 2 flipped "
            "up-down, 4 flipped left-right, 1 both.",
        ),
        Described(
            name="image", kind=Text(), description="raw_uid", label="Image",
            doc="path[::dataset][#frame] in a readable folder. Writing it clears raw_uid.",
        ),
        Setting(
            name="raw_uid", kind=Text(), label="Raw run",
            doc="uid of the Bluesky run that the image is from, for the record; empty: none.",
        ),
        Setting(
            name="guess", kind=FilePath(words=(CURRENT,)), label="Guess",
            doc="Where the detector stands approximately: absolute path of a PONI file, "
            f'"{CURRENT}" for the geometry in force in the reducer; empty: anywhere.',
        ),
        Setting(
            name="fixed", kind=NameList((*REFINED, "rot3")), label="Fixed",
            doc=f"Parameters that stay as guessed, of {', '.join(REFINED)}; without a guess "
            "rotations can be fixed at 0. rot3 always is.",
        ),
        Setting(
            name="bounds", kind=BoundsByName(REFINED), label="Bounds",
            doc='Low and high of parameters, m and rad, as JSON: {"distance": [0.1, 0.2]}.',
        ),
        Setting(
            name="mask_file", kind=FilePath(), label="Mask",
            doc="Pixels to leave out, nonzero there: " + _ARRAY_FILE,
        ),
        Setting(
            name="dark_file", kind=FilePath(), label="Dark image",
            doc="Counts to subtract: " + _ARRAY_FILE,
        ),
        Setting(
            name="saturation", kind=Number(low=0), label="Saturation",
            doc="Counts from which pixels do not measure; 0: found from the image.",
        ),
        Setting(
            name="watch_period", kind=Number(low=0, high=86400, unit="s"), unit="s",
            label="Watch period", doc="Least time between two looks at the reducer's newest frame "
            "for whether the detector moved, of a second at least; 0: no watch, and no alarm.",
        ),
    )
}  # fmt: skip
