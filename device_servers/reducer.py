"""The Tango device class: attributes and commands, each one handed to the service."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import tango
from tango import DevState, Except
from tango.server import Device, command, device_property

from ringline.device_servers.attributes import on_wire, reading_attribute, setting_attribute
from ringline.device_servers.chain import Options
from ringline.device_servers.condition import Facts
from ringline.device_servers.errors import REFUSALS, BusyError, reason_of
from ringline.device_servers.kinds import LISTS
from ringline.device_servers.memory import Memory
from ringline.device_servers.publisher import Publisher
from ringline.device_servers.readings import READINGS, Curve, Readings
from ringline.device_servers.service import Service
from ringline.device_servers.setting import Setting
from ringline.device_servers.setting_table import SETTINGS
from ringline.device_servers.settings import Settings
from ringline.processing import RecipeError
from ringline.processing.types import FloatArray

_log = logging.getLogger(__name__)


class AzimuthalReducer(Device):  # type: ignore[misc] # tango has no types
    """Azimuthal integration of one detector's frames: calibration and integration as attributes.

    Load a PONI file or set the geometry, choose bins and corrections, and send documents by
    Consume (or name a file by Integrate): the newest curve is in intensity against radial, and
    every curve is in the store.
    """

    directory = device_property(
        dtype=str, default_value="",
        doc="Folder for store and results; empty: $RINGLINE_DIRECTORY, or ~/ringline.",
    )  # fmt: skip
    readable_folders = device_property(
        dtype=(str,), default_value=(), doc="More folders from which frames are read.",
    )  # fmt: skip
    detector_key = device_property(
        dtype=str, default_value="",
        doc="Data key or device name whose images are reduced; empty: every image.",
    )  # fmt: skip
    monitor_key = device_property(
        dtype=str, default_value="", doc="Data key of the beam monitor; empty: none.",
    )  # fmt: skip

    distance = setting_attribute("distance")
    poni1 = setting_attribute("poni1")
    poni2 = setting_attribute("poni2")
    rot1 = setting_attribute("rot1")
    rot2 = setting_attribute("rot2")
    rot3 = setting_attribute("rot3")
    energy = setting_attribute("energy")
    wavelength = setting_attribute("wavelength")
    detector = setting_attribute("detector")
    orientation = setting_attribute("orientation")
    parallax = setting_attribute("parallax")
    radial_bins = setting_attribute("radial_bins")
    azimuthal_bins = setting_attribute("azimuthal_bins")
    radial_unit = setting_attribute("radial_unit")
    azimuthal_unit = setting_attribute("azimuthal_unit")
    radial_range = setting_attribute("radial_range")
    azimuth_range = setting_attribute("azimuth_range")
    radial_edges = setting_attribute("radial_edges")
    azimuth_edges = setting_attribute("azimuth_edges")
    splitting = setting_attribute("splitting")
    coefficients = setting_attribute("coefficients")
    error_model = setting_attribute("error_model")
    outlier_rejection = setting_attribute("outlier_rejection")
    outlier_threshold = setting_attribute("outlier_threshold")
    outlier_iterations = setting_attribute("outlier_iterations")
    quantile_range = setting_attribute("quantile_range")
    polarization_factor = setting_attribute("polarization_factor")
    polarization_correction = setting_attribute("polarization_correction")
    polarization_axis = setting_attribute("polarization_axis")
    solid_angle_correction = setting_attribute("solid_angle_correction")
    absorption_correction = setting_attribute("absorption_correction")
    mask_file = setting_attribute("mask_file")
    dark_file = setting_attribute("dark_file")
    flat_file = setting_attribute("flat_file")
    dark_variance_file = setting_attribute("dark_variance_file")
    variance_file = setting_attribute("variance_file")
    monitor_reference = setting_attribute("monitor_reference")
    absolute_scale = setting_attribute("absolute_scale")
    saturation = setting_attribute("saturation")
    saturation_rejection = setting_attribute("saturation_rejection")
    dummy = setting_attribute("dummy")
    dummy_rejection = setting_attribute("dummy_rejection")
    delta_dummy = setting_attribute("delta_dummy")
    engine = setting_attribute("engine")

    radial = reading_attribute("radial")
    azimuth = reading_attribute("azimuth")
    intensity = reading_attribute("intensity")
    sigma = reading_attribute("sigma")
    std = reading_attribute("std")
    cake = reading_attribute("cake")
    frame_index = reading_attribute("frame_index")
    epoch = reading_attribute("epoch")
    pixels_rejected = reading_attribute("pixels_rejected")
    frames_seen = reading_attribute("frames_seen")
    frames_reduced = reading_attribute("frames_reduced")
    frames_dropped = reading_attribute("frames_dropped")
    frames_failed = reading_attribute("frames_failed")
    frames_pending = reading_attribute("frames_pending")
    lag = reading_attribute("lag")
    processing_time = reading_attribute("processing_time")
    frame_rate = reading_attribute("frame_rate")
    engine_used = reading_attribute("engine_used")
    recipe_digest = reading_attribute("recipe_digest")
    recipe = reading_attribute("recipe")
    generation = reading_attribute("generation")
    raw_uid = reading_attribute("raw_uid")
    reduced_uid = reading_attribute("reduced_uid")
    last_error = reading_attribute("last_error")
    armed = reading_attribute("armed")
    folders = reading_attribute("readable_folders")  # the property has the name

    # life

    def init_device(self) -> None:
        """Start. An exception here would end the whole server: FAULT instead."""
        facts, options = _nothing_known(), Options(directory=Path())
        self._memory = Memory(self.get_name())
        try:
            super().init_device()
            options = self._options()
            options.workspace.create()
            settings, forgotten = self._memory.restore()
            facts = replace(
                facts,
                settings=settings,
                forgotten=forgotten,
                readings=_blank_readings(settings, options),
            )
        except Exception as error:
            _log.exception("%s cannot start", self.get_name())
            facts = replace(facts, failure=_line(error))
        self.readings = facts.readings
        """Everything else that is shown, as it was when a client began to read."""
        self._publisher = Publisher(self._shown, self._push)
        self._service = Service(options, facts, self._publisher.wake)
        for name in (*SETTINGS, *READINGS, "State", "Status"):
            self.set_change_event(name, implemented=True, detect=False)
        self._set_points(Settings())
        self._publisher.start()

    def server_init_hook(self) -> None:
        """Tango has restored the set points from its 15 digits: put ours."""
        self._set_points(None)

    def delete_device(self) -> None:
        """Stop the threads and close the store."""
        self._memory.close()
        self._publisher.close()
        self._service.close()

    def dev_state(self) -> DevState:
        """From the facts, so that it is never older than the last command."""
        return DevState.names[self._service.condition()[0].value]

    def dev_status(self) -> str:
        """One line that says what to do."""
        return self._service.condition()[1]

    # what the attributes use

    @property
    def settings(self) -> Settings:
        """Everything that is set."""
        return self._service.settings

    def read_attr_hardware(self, attributes: list[int]) -> None:  # noqa: ARG002
        """Look once for all attributes of a read: a curve goes with its axis and frame index."""
        self.readings = self._service.readings

    def write_setting(self, setting: Setting, value: Any) -> None:
        """Take what a client wrote."""
        with self._refusals():
            before = self.settings
            try:
                self._service.change(setting, value)
            except RecipeError:
                # Tango puts the former set point of a spectrum back with the length of the
                # refused one, and so shows what lies behind it in memory.
                self._set_point(setting)
                raise
            self._set_points(before, without=setting.name)
            by_tango = "" if isinstance(setting.kind, LISTS) else setting.name
            self._memory.keep(self.settings, but=by_tango)
            self._memory.keep_later(lambda: self.settings)

    # commands

    @command(dtype_in=str, doc_in='{"radial_bins": 500, ...}, any settings, or {"recipe": {...}}')
    def Configure(self, text: str) -> None:
        """Set several settings at once: all, or none where one is refused."""
        with self._refusals(), self._settings_put():
            self._service.configure(text)

    @command(dtype_in=str, doc_in="absolute path of a PONI file")
    def LoadPoni(self, path: str) -> None:
        """Take geometry and detector from a PONI file."""
        with self._refusals(), self._settings_put():
            self._service.load_poni(path)

    @command(dtype_in=str, doc_in="absolute path of a PONI file; replaced where it is there")
    def SavePoni(self, path: str) -> None:
        """Write geometry and detector to a PONI file."""
        with self._refusals():
            self._service.save_poni(path)

    @command
    def Arm(self) -> None:
        """Check and compile the recipe, and begin a new accumulation."""
        with self._refusals():
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
        with self._refusals():
            return self._service.integrate(image).ravel()

    @command(
        dtype_in=str, doc_in="path[::dataset][#frame] in a readable folder",
        dtype_out=str, doc_out='{"file": path, "spots": spotty pixels, "recipe_digest": digest}',
    )  # fmt: skip
    def Separate(self, image: str) -> str:
        """Write Bragg peaks and smooth signal of one frame to a file in results."""
        with self._refusals():
            return self._service.separate(image)

    @command(
        dtype_in=str, doc_in="documents of one run, as JSON",
        dtype_out=str, doc_out="number of the document expected next, as JSON",
    )  # fmt: skip
    def Consume(self, batch: str) -> str:
        """Take documents of a Bluesky run; they are on disk when this returns."""
        with self._refusals(shown=False):
            return self._service.consume(batch)

    @command(dtype_in=str, doc_in="uid of the raw run, or its beginning")
    def Abandon(self, uid: str) -> None:
        """End an open run whose stop will never come, since its RunEngine is gone."""
        with self._refusals():
            self._service.abandon(uid)

    # helpers

    def _options(self) -> Options:
        default = os.environ.get("RINGLINE_DIRECTORY") or "~/ringline"
        return Options(
            directory=Path(self.directory or default).expanduser().absolute(),
            readable=tuple(Path(path).absolute() for path in self.readable_folders if path),
            detector=self.detector_key or None,
            monitor=self.monitor_key or None,
        )

    @contextmanager
    def _refusals(self, *, shown: bool = True) -> Iterator[None]:
        try:
            yield
        except REFUSALS as error:
            if shown and not isinstance(error, BusyError):
                self._service.remember_error(str(error))
            Except.throw_exception(reason_of(error), str(error), self.get_name())

    @contextmanager
    def _settings_put(self) -> Iterator[None]:
        before = self.settings
        yield
        self._set_points(before)
        self._memory.keep(self.settings)

    def _set_points(self, before: Settings | None, without: str = "") -> None:
        """Show settings that no client wrote as set points: a panel would apply the old ones."""
        for name, setting in SETTINGS.items():
            value = setting.value(self.settings)
            if name != without and (before is None or value != setting.value(before)):
                self._set_point(setting)

    def _set_point(self, setting: Setting) -> None:
        value = on_wire(setting.kind, setting.value(self.settings))
        self.get_device_attr().get_w_attr_by_name(setting.name).set_write_value(value)

    def _shown(self) -> dict[str, Any]:
        condition, status = self._service.condition()
        settings, readings = self.settings, self._service.readings
        return {
            **{name: on_wire(s.kind, s.value(settings)) for name, s in SETTINGS.items()},
            **{name: reading.value(readings) for name, reading in READINGS.items()},
            "State": DevState.names[condition.value],
            "Status": status,
        }

    def _push(self, name: str, value: Any) -> None:
        if name == "State":
            self.set_state(value)
        elif name == "Status":
            self.set_status(value)
        self.push_change_event(name, value)


def _line(error: Exception) -> str:
    if isinstance(error, tango.DevFailed):
        return " ".join(str(error.args[0].desc).split())
    return str(error) or type(error).__name__


def _nothing_known() -> Facts:
    return Facts(settings=Settings(), readings=Readings(curve=Curve.blank(1)))


def _blank_readings(settings: Settings, options: Options) -> Readings:
    folders = tuple(str(folder) for folder in options.folders)
    return Readings(curve=Curve.blank(settings.points), readable_folders=folders)
