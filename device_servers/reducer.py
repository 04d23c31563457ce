"""The Tango device class: attributes and commands, each one handed to the service."""

from pathlib import Path

from tango.server import command, device_property

from ringline.device_servers.attributes import reading_attribute, setting_attribute
from ringline.device_servers.chain import Options
from ringline.device_servers.condition import Facts
from ringline.device_servers.readings import READINGS, Curve, Readings
from ringline.device_servers.service import Service
from ringline.device_servers.setting_table import SETTINGS
from ringline.device_servers.settings import Settings
from ringline.device_servers.table_device import TableDevice
from ringline.processing.types import FloatArray


class AzimuthalReducer(TableDevice):
    """Azimuthal integration of one detector's frames: calibration and integration as attributes.

    Load a PONI file or set the geometry, choose bins and corrections, and send documents by
    Consume (or name a file by Integrate): the newest curve is in intensity against radial, and
    every curve is in the store.
    """

    SETTINGS = SETTINGS
    READINGS = READINGS
    DEFAULT = Settings()
    _service: Service

    detector_key = device_property(
        dtype=str, default_value="",
        doc="Data key or device name whose images are reduced; empty: every image.",
    )  # fmt: skip
    monitor_key = device_property(
        dtype=str, default_value="", doc="Data key of the beam monitor; empty: none.",
    )  # fmt: skip

    distance = setting_attribute(SETTINGS["distance"])
    poni1 = setting_attribute(SETTINGS["poni1"])
    poni2 = setting_attribute(SETTINGS["poni2"])
    rot1 = setting_attribute(SETTINGS["rot1"])
    rot2 = setting_attribute(SETTINGS["rot2"])
    rot3 = setting_attribute(SETTINGS["rot3"])
    energy = setting_attribute(SETTINGS["energy"])
    wavelength = setting_attribute(SETTINGS["wavelength"])
    detector = setting_attribute(SETTINGS["detector"])
    orientation = setting_attribute(SETTINGS["orientation"])
    parallax = setting_attribute(SETTINGS["parallax"])
    radial_bins = setting_attribute(SETTINGS["radial_bins"])
    azimuthal_bins = setting_attribute(SETTINGS["azimuthal_bins"])
    radial_unit = setting_attribute(SETTINGS["radial_unit"])
    azimuthal_unit = setting_attribute(SETTINGS["azimuthal_unit"])
    radial_range = setting_attribute(SETTINGS["radial_range"])
    azimuth_range = setting_attribute(SETTINGS["azimuth_range"])
    radial_edges = setting_attribute(SETTINGS["radial_edges"])
    azimuth_edges = setting_attribute(SETTINGS["azimuth_edges"])
    splitting = setting_attribute(SETTINGS["splitting"])
    coefficients = setting_attribute(SETTINGS["coefficients"])
    error_model = setting_attribute(SETTINGS["error_model"])
    outlier_rejection = setting_attribute(SETTINGS["outlier_rejection"])
    outlier_threshold = setting_attribute(SETTINGS["outlier_threshold"])
    outlier_iterations = setting_attribute(SETTINGS["outlier_iterations"])
    quantile_range = setting_attribute(SETTINGS["quantile_range"])
    polarization_factor = setting_attribute(SETTINGS["polarization_factor"])
    polarization_correction = setting_attribute(SETTINGS["polarization_correction"])
    polarization_axis = setting_attribute(SETTINGS["polarization_axis"])
    solid_angle_correction = setting_attribute(SETTINGS["solid_angle_correction"])
    absorption_correction = setting_attribute(SETTINGS["absorption_correction"])
    mask_file = setting_attribute(SETTINGS["mask_file"])
    dark_file = setting_attribute(SETTINGS["dark_file"])
    flat_file = setting_attribute(SETTINGS["flat_file"])
    dark_variance_file = setting_attribute(SETTINGS["dark_variance_file"])
    variance_file = setting_attribute(SETTINGS["variance_file"])
    monitor_reference = setting_attribute(SETTINGS["monitor_reference"])
    absolute_scale = setting_attribute(SETTINGS["absolute_scale"])
    saturation = setting_attribute(SETTINGS["saturation"])
    saturation_rejection = setting_attribute(SETTINGS["saturation_rejection"])
    dummy = setting_attribute(SETTINGS["dummy"])
    dummy_rejection = setting_attribute(SETTINGS["dummy_rejection"])
    delta_dummy = setting_attribute(SETTINGS["delta_dummy"])
    engine = setting_attribute(SETTINGS["engine"])

    radial = reading_attribute(READINGS["radial"])
    azimuth = reading_attribute(READINGS["azimuth"])
    intensity = reading_attribute(READINGS["intensity"])
    sigma = reading_attribute(READINGS["sigma"])
    std = reading_attribute(READINGS["std"])
    cake = reading_attribute(READINGS["cake"])
    frame_index = reading_attribute(READINGS["frame_index"])
    newest_frame = reading_attribute(READINGS["newest_frame"])
    epoch = reading_attribute(READINGS["epoch"])
    pixels_rejected = reading_attribute(READINGS["pixels_rejected"])
    frames_seen = reading_attribute(READINGS["frames_seen"])
    frames_reduced = reading_attribute(READINGS["frames_reduced"])
    frames_dropped = reading_attribute(READINGS["frames_dropped"])
    frames_failed = reading_attribute(READINGS["frames_failed"])
    frames_pending = reading_attribute(READINGS["frames_pending"])
    lag = reading_attribute(READINGS["lag"])
    processing_time = reading_attribute(READINGS["processing_time"])
    frame_rate = reading_attribute(READINGS["frame_rate"])
    engine_used = reading_attribute(READINGS["engine_used"])
    recipe_digest = reading_attribute(READINGS["recipe_digest"])
    calibration_id = reading_attribute(READINGS["calibration_id"])
    recipe = reading_attribute(READINGS["recipe"])
    generation = reading_attribute(READINGS["generation"])
    raw_uid = reading_attribute(READINGS["raw_uid"])
    reduced_uid = reading_attribute(READINGS["reduced_uid"])
    last_error = reading_attribute(READINGS["last_error"])
    armed = reading_attribute(READINGS["armed"])
    folders = reading_attribute(READINGS["readable_folders"])  # the property has the name

    def make_service(self, failure: str) -> Service:
        """The reducer."""
        wake = self._publisher.wake
        if failure:
            nothing = Readings(curve=Curve.blank(1))
            facts = Facts(settings=Settings(), readings=nothing, failure=failure)
            return Service(Options(directory=Path()), facts, wake)
        options = self._options()
        options.workspace.create()
        settings, forgotten = self._memory.restore()
        readings = Readings(
            curve=Curve.blank(settings.points),
            readable_folders=tuple(str(folder) for folder in options.folders),
        )
        facts = Facts(settings=settings, forgotten=forgotten, readings=readings)
        return Service(options, facts, wake)

    # commands

    @command(
        dtype_in=str,
        doc_in='{"radial_bins": 500, ...}: any settings, {"recipe": {...}}, {"geometry": {...}}',
    )
    def Configure(self, text: str) -> None:
        """Set several settings at once: all, or none where one is refused."""
        with self.refusals(), self.settings_put():
            self._service.configure(text)

    @command(dtype_in=str, doc_in="absolute path of a PONI file")
    def LoadPoni(self, path: str) -> None:
        """Take geometry and detector from a PONI file."""
        with self.refusals(), self.settings_put():
            self._service.load_poni(path)

    @command(dtype_in=str, doc_in="absolute path of a PONI file; replaced where it is there")
    def SavePoni(self, path: str) -> None:
        """Write geometry and detector to a PONI file."""
        with self.refusals():
            self._service.save_poni(path)

    @command
    def Arm(self) -> None:
        """Check and compile the recipe, and begin a new accumulation."""
        with self.refusals():
            self._service.arm()

    @command
    def Disarm(self) -> None:
        """Say that no frames are expected."""
        self._service.disarm()

    @command
    def Reset(self) -> None:
        """Clear curve, counts, errors and alarms. Settings and store stay."""
        self._service.reset()

    @command(
        dtype_in=str, doc_in="path[::dataset][#frame] in a readable folder",
        dtype_out=(float,), doc_out="intensity; of a cake, row by row",
    )  # fmt: skip
    def Integrate(self, image: str) -> FloatArray:
        """Reduce one frame of a file with the recipe in force."""
        with self.refusals():
            return self._service.integrate(image).ravel()

    @command(
        dtype_in=str, doc_in="path[::dataset][#frame] in a readable folder",
        dtype_out=str, doc_out='{"file": path, "spots": spotty pixels, "recipe_digest": digest}',
    )  # fmt: skip
    def Separate(self, image: str) -> str:
        """Write Bragg peaks and smooth signal of one frame to a file in results."""
        with self.refusals():
            return self._service.separate(image)

    @command(
        dtype_in=str, doc_in="documents of one run, as JSON",
        dtype_out=str, doc_out="number of the document expected next, as JSON",
    )  # fmt: skip
    def Consume(self, batch: str) -> str:
        """Take documents of a Bluesky run; they are on disk when this returns."""
        with self.refusals(shown=False):
            return self._service.consume(batch)

    @command(dtype_in=str, doc_in="uid of the raw run, or its beginning")
    def Abandon(self, uid: str) -> None:
        """End an open run whose stop will never come, since its RunEngine is gone."""
        with self.refusals():
            self._service.abandon(uid)

    def _options(self) -> Options:
        return Options(
            directory=self.folder(),
            readable=self.more_folders(),
            detector=self.detector_key or None,
            monitor=self.monitor_key or None,
        )
