"""A calibrator beside a reducer, as `ringline serve` registers them, and calibrations for it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tango

from ringline.callbacks import CalibrationHistory, Circumstances, Workspace, open_store
from ringline.device_servers.database import Registration, register, trl_of
from ringline.processing import Detector, Geometry
from ringline.processing.calibration import (
    Calibration,
    Check,
    ControlPoints,
    FittedRing,
    Verdict,
    calibration_task,
)
from ringline.processing.calibration.record import image_digest
from ringline.processing.geometry import HC_KEV_M
from tests.device_servers.conftest import Server, wait_for

SHAPE = (40, 50)
IMAGE = np.random.default_rng(5).poisson(30, SHAPE).astype(np.uint16)
ENERGY = 12.3456789
"""keV: of this the wavelength has digits that angstrom as a float would lose."""
FOUND = Geometry(
    distance=0.1 + 1e-17 + 0.2,
    poni1=1 / 30,
    poni2=1 / 70,
    rot1=0.1 / 3,
    rot2=-0.2 / 7,
    rot3=0.0,
    wavelength=HC_KEV_M / ENERGY,
    detector=Detector(pixel1=1e-3, pixel2=1e-3, shape=SHAPE, orientation=2),
)


def calibration_of(geometry: Geometry, *, passed: bool = True) -> Calibration:
    """A calibration as if made from `IMAGE`."""
    points = ControlPoints(
        ring=np.array([0, 0]), slow=np.array([1.0, 2.0]), fast=np.array([3.0, 4.0]),
        chi=np.array([0.5, 1.5]), residual=np.array([1e-5, -1e-5]),
        sigma=np.array([1e-5, 2e-5]), used=np.array([1, 1]),
    )  # fmt: skip
    return Calibration(
        task=calibration_task("LaB6", geometry.detector, energy_kev=ENERGY),
        image_sha256=image_digest(IMAGE),
        verdict=Verdict((Check("rings", passed, "7 rings" if passed else "only 2 rings"),)),
        geometry=geometry,
        covariance=np.diag([1e-10, 4e-10, 4e-10, 1e-8, 1e-8]),
        rings=(
            FittedRing(spacing=4e-10, two_theta=0.25, points=2, residual=1e-6, scatter=1e-5),
            FittedRing(spacing=3e-10, two_theta=0.35),
        ),
        points=points,
        axis=np.linspace(1, 9, 5),
        curve=np.arange(5.0),
    )


def stored(directory: Path, device: str, *calibrations: Calibration) -> list[str]:
    """Put calibrations in the store of a folder, as if a device had made them; their uids."""
    with open_store(Workspace(directory)) as store, CalibrationHistory(store) as history:
        known = Circumstances(source="image.h5", device=device)
        return [history.record(each, IMAGE, known) for each in calibrations]


@dataclass
class Pair:
    """A server process with a reducer and its calibrator."""

    server: Server
    registration: Registration

    @classmethod
    def registered(cls, server: Server, reducer: str = "") -> "Pair":
        """Beside the reducer of a server that does not run yet."""
        own = server.registration
        registration = replace(
            own,
            device=own.device.replace("reducer", "calibrator"),
            reducer=reducer or own.device,
        )
        register(server.database, registration)
        return cls(server, registration)

    @property
    def directory(self) -> Path:
        return self.registration.directory

    def start(self) -> tuple[tango.DeviceProxy, tango.DeviceProxy]:
        """Calibrator and reducer, ready."""
        reducer = self.server.start()
        calibrator = tango.DeviceProxy(trl_of(self.server.tango_host, self.registration.device))
        calibrator.set_timeout_millis(10_000)
        wait_for(lambda: calibrator.state() != tango.DevState.INIT, "the calibrator", 60)
        return calibrator, reducer

    def store(self, *calibrations: Calibration) -> list[str]:
        return stored(self.directory, self.registration.device, *calibrations)


def idle(calibrator: tango.DeviceProxy, seconds: float = 60.0) -> None:
    """Wait until nothing runs."""
    wait_for(lambda: calibrator.state() != tango.DevState.RUNNING, "the end", seconds)


def patiently(call: Callable[[], object]) -> object:
    """A command that a slow machine may answer with "still busy": what it does then is done."""
    try:
        return call()
    except tango.DevFailed as error:
        if error.args[0].reason != "Ringline_Busy":
            raise
        return None
