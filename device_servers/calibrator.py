"""The Tango device class of calibration: attributes and commands, each handed to the service."""

from pathlib import Path

from tango.server import command, device_property

from ringline.device_servers.attributes import reading_attribute, setting_attribute
from ringline.device_servers.calibration_condition import CalibrationFacts
from ringline.device_servers.calibration_readings import (
    CALIBRATION_READINGS,
    CalibrationReadings,
)
from ringline.device_servers.calibration_service import CalibrationService, Surroundings
from ringline.device_servers.calibration_settings import (
    CALIBRATION_SETTINGS,
    CalibrationSettings,
)
from ringline.device_servers.chain import Options
from ringline.device_servers.reducer_link import ReducerLink
from ringline.device_servers.table_device import TableDevice


class GeometryCalibrator(TableDevice):
    """Calibration of a detector's geometry from the rings of a powder.

    Name calibrant, energy, detector and image, call Calibrate and follow State. The verdict says
    whether the result may be used; Accept then puts it in force in the AzimuthalReducer. Every
    calibration is in the store, and every earlier one can be put back.
    """

    SETTINGS = CALIBRATION_SETTINGS
    READINGS = CALIBRATION_READINGS
    DEFAULT = CalibrationSettings()
    _service: CalibrationService

    reducer = device_property(
        dtype=str, default_value="",
        doc="Name of the AzimuthalReducer that accepted geometries are put in force in.",
    )  # fmt: skip

    calibrant = setting_attribute(CALIBRATION_SETTINGS["calibrant"])
    energy = setting_attribute(CALIBRATION_SETTINGS["energy"])
    detector = setting_attribute(CALIBRATION_SETTINGS["detector"])
    orientation = setting_attribute(CALIBRATION_SETTINGS["orientation"])
    image = setting_attribute(CALIBRATION_SETTINGS["image"])
    raw_uid = setting_attribute(CALIBRATION_SETTINGS["raw_uid"])
    guess = setting_attribute(CALIBRATION_SETTINGS["guess"])
    fixed = setting_attribute(CALIBRATION_SETTINGS["fixed"])
    bounds = setting_attribute(CALIBRATION_SETTINGS["bounds"])
    mask_file = setting_attribute(CALIBRATION_SETTINGS["mask_file"])
    dark_file = setting_attribute(CALIBRATION_SETTINGS["dark_file"])
    saturation = setting_attribute(CALIBRATION_SETTINGS["saturation"])
    watch_period = setting_attribute(CALIBRATION_SETTINGS["watch_period"])

    progress = reading_attribute(CALIBRATION_READINGS["progress"])
    step = reading_attribute(CALIBRATION_READINGS["step"])
    verdict = reading_attribute(CALIBRATION_READINGS["verdict"])
    accepted = reading_attribute(CALIBRATION_READINGS["accepted"])
    checks = reading_attribute(CALIBRATION_READINGS["checks"])
    distance = reading_attribute(CALIBRATION_READINGS["distance"])
    poni1 = reading_attribute(CALIBRATION_READINGS["poni1"])
    poni2 = reading_attribute(CALIBRATION_READINGS["poni2"])
    rot1 = reading_attribute(CALIBRATION_READINGS["rot1"])
    rot2 = reading_attribute(CALIBRATION_READINGS["rot2"])
    rot3 = reading_attribute(CALIBRATION_READINGS["rot3"])
    wavelength = reading_attribute(CALIBRATION_READINGS["wavelength"])
    errors = reading_attribute(CALIBRATION_READINGS["errors"])
    covariance = reading_attribute(CALIBRATION_READINGS["covariance"])
    center = reading_attribute(CALIBRATION_READINGS["center"])
    ring_two_theta = reading_attribute(CALIBRATION_READINGS["ring_two_theta"])
    ring_residuals = reading_attribute(CALIBRATION_READINGS["ring_residuals"])
    ring_scatter = reading_attribute(CALIBRATION_READINGS["ring_scatter"])
    ring_points = reading_attribute(CALIBRATION_READINGS["ring_points"])
    ring_coverage = reading_attribute(CALIBRATION_READINGS["ring_coverage"])
    axis = reading_attribute(CALIBRATION_READINGS["axis"])
    curve = reading_attribute(CALIBRATION_READINGS["curve"])
    calibration_id = reading_attribute(CALIBRATION_READINGS["calibration_id"])
    calibration_uid = reading_attribute(CALIBRATION_READINGS["calibration_uid"])
    in_force = reading_attribute(CALIBRATION_READINGS["in_force"])
    former = reading_attribute(CALIBRATION_READINGS["former"])
    picture = reading_attribute(CALIBRATION_READINGS["picture"])
    drift_alarm = reading_attribute(CALIBRATION_READINGS["drift_alarm"])
    drift = reading_attribute(CALIBRATION_READINGS["drift"])
    drift_distance = reading_attribute(CALIBRATION_READINGS["drift_distance"])
    drift_center = reading_attribute(CALIBRATION_READINGS["drift_center"])
    drift_errors = reading_attribute(CALIBRATION_READINGS["drift_errors"])
    drift_time = reading_attribute(CALIBRATION_READINGS["drift_time"])
    drift_frame = reading_attribute(CALIBRATION_READINGS["drift_frame"])
    last_error = reading_attribute(CALIBRATION_READINGS["last_error"])
    folders = reading_attribute(CALIBRATION_READINGS["readable_folders"])  # a property's name

    def make_service(self, failure: str) -> CalibrationService:
        """The calibrator."""
        wake = self._publisher.wake
        if failure:
            facts = CalibrationFacts(
                settings=CalibrationSettings(), readings=CalibrationReadings(), failure=failure
            )
            around = Surroundings(Options(directory=Path()), ReducerLink(""), self.get_name())
            return CalibrationService(around, facts, wake)
        options = Options(directory=self.folder(), readable=self.more_folders())
        options.workspace.create()
        settings, forgotten = self._memory.restore()
        folders = tuple(str(folder) for folder in options.folders)
        facts = CalibrationFacts(
            settings=settings,
            forgotten=forgotten,
            readings=CalibrationReadings(readable_folders=folders),
        )
        around = Surroundings(options, ReducerLink(self.reducer), self.get_name().lower())
        return CalibrationService(around, facts, wake)

    @command(dtype_in=str, doc_in='{"calibrant": "LaB6", "energy": 20.0, ...}, any settings')
    def Configure(self, text: str) -> None:
        """Set several settings at once: all, or none where one is refused."""
        with self.refusals(), self.settings_put():
            self._service.configure(text)

    @command
    def Calibrate(self) -> None:
        """Begin a calibration and return; State is RUNNING until it is done."""
        with self.refusals():
            self._service.calibrate()

    @command
    def Abort(self) -> None:
        """End the calibration at its next step; what was shown before stays."""
        with self.refusals():
            self._service.abort()

    @command
    def Accept(self) -> None:
        """Put the newest calibration in force in the reducer, if its checks accepted it."""
        with self.refusals():
            self._service.accept()

    @command
    def Reject(self) -> None:
        """Put the newest calibration aside, whatever its checks say."""
        with self.refusals():
            self._service.reject()

    @command
    def Revert(self) -> None:
        """Put the geometry in force again that was before the present one."""
        with self.refusals():
            self._service.revert()

    @command(dtype_in=str, doc_in="id of a calibration, uid of its run, or the beginning of one")
    def Restore(self, name: str) -> None:
        """Put a calibration in force again that was accepted earlier."""
        with self.refusals():
            self._service.restore(name)

    @command(dtype_out=str, doc_out='[{"id", "uid", "time", "verdict", "valid_from", ...}, ...]')
    def List(self) -> str:
        """All calibrations, newest first, and when each was in force in the reducer."""
        with self.refusals():
            return self._service.list()

    @command(
        dtype_in=str, doc_in="[id, id] of two calibrations, as JSON",
        dtype_out=str, doc_out='{"parameters": {"distance": {"difference", "sigmas", ...}}, ...}',
    )  # fmt: skip
    def Compare(self, ids: str) -> str:
        """How two calibrations differ, with errors; the second minus the first."""
        with self.refusals():
            return self._service.compare(ids)

    @command(
        dtype_in=str, doc_in="path[::dataset][#frame] in a readable folder",
        dtype_out=str, doc_out='{"told", "alarm", "words", "distance", "center", "errors"}',
    )  # fmt: skip
    def Watch(self, image: str) -> str:
        """Look at one image for whether the detector stands as calibrated, and show it."""
        with self.refusals():
            return self._service.watch(image)
