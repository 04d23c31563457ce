"""A Tango server with the face of a GeometryCalibrator, and the behaviour that a test asks for.

What the calibrant is called says what becomes of the calibration: "bad" is rejected, "bug" ends in
FAULT, "aborted" ends without a calibration, "endless" goes on, "slow" takes 3 s, "unknown" is
refused; all others pass. ``step`` counts how often it was started. At 99 keV nothing can be put in
force, at 98 keV that takes long.
"""

import json
import sys
import threading
import time
from pathlib import Path

import tango
from tango import AttrWriteType, DevState, Except
from tango.server import Device, attribute, run

READ, WRITE = AttrWriteType.READ, AttrWriteType.READ_WRITE
TEXTS = {
    **dict.fromkeys(("calibrant", "image", "guess", "raw_uid"), WRITE),
    **dict.fromkeys(
        (
            *("step", "verdict", "calibration_id", "calibration_uid", "in_force"),
            *("last_error", "drift"),
        ),
        READ,
    ),
}
NUMBERS = {
    **dict.fromkeys(("energy", "watch_period"), WRITE),
    **dict.fromkeys(("progress", "distance", "poni1", "poni2", "rot1", "rot2", "rot3"), READ),
    "wavelength": READ,
}
CURVES = ("ring_two_theta", "ring_residuals", "axis", "curve")


class GeometryCalibrator(Device):  # type: ignore[misc]
    def init_device(self) -> None:
        super().init_device()
        self.values: dict[str, object] = {
            **dict.fromkeys(TEXTS, ""),
            **dict.fromkeys(NUMBERS, 0.0),
            **{name: [0.0, 1.0] for name in CURVES},
            "accepted": False,
            "drift_alarm": False,
            "readable_folders": sys.argv[1:2],
        }
        self.set_state(DevState.STANDBY)
        self.set_status("set calibrant and image, then Calibrate")

    def initialize_dynamic_attributes(self) -> None:
        for name, access in {**TEXTS, **NUMBERS, "accepted": READ, "drift_alarm": READ}.items():
            kind = str if name in TEXTS else float if name in NUMBERS else bool
            self.add_attribute(
                attribute(name=name, dtype=kind, access=access, fget=self.show, fset=self.take)
            )
        for name in CURVES:
            self.add_attribute(attribute(name=name, dtype=(float,), max_dim_x=10, fget=self.show))
        self.add_attribute(
            attribute(name="readable_folders", dtype=(str,), max_dim_x=10, fget=self.show)
        )
        for name in self.values:
            self.set_change_event(name, True, False)  # noqa: FBT003

    def show(self, attr: tango.Attribute) -> object:
        return self.values[attr.get_name()]

    def take(self, attr: tango.WAttribute) -> None:
        self.values[attr.get_name()] = attr.get_write_value()

    @tango.server.command(dtype_in=str)
    def Configure(self, text: str) -> None:  # noqa: N802
        given = json.loads(text)
        if given.get("calibrant") == "unknown":
            Except.throw_exception("Ringline_BadInput", "unknown calibrant 'unknown'", "stand-in")
        self.values.update(given)

    @tango.server.command
    def Calibrate(self) -> None:  # noqa: N802
        self.values["step"] = f"{self.values['step']}started "
        self.set_state(DevState.RUNNING)
        self.set_status("calibrating")
        threading.Thread(target=self.work, daemon=True).start()

    @tango.server.command
    def Accept(self) -> None:  # noqa: N802
        if self.values["energy"] == 99.0:
            self.values["last_error"] = "the reducer does not answer"
        elif self.values["energy"] == 98.0:
            threading.Timer(1.0, self.put).start()
            Except.throw_exception("Ringline_Busy", "still being decided", "stand-in")
        else:
            self.put()

    def put(self) -> None:
        self.values["in_force"] = self.values["calibration_id"]

    def work(self) -> None:
        with tango.EnsureOmniThread():
            time.sleep({"endless": 60.0, "slow": 3.0}.get(str(self.values["calibrant"]), 0.3))
            if self.values["calibrant"] == "bug":
                self.set_status("division by zero")
                self.set_state(DevState.FAULT)
                return
            if self.values["calibrant"] == "aborted":
                self.values["last_error"] = "somebody called Abort"
                self.set_state(DevState.ON)
                return
            passed = self.values["calibrant"] != "bad"
            # It has read the image.
            words = (
                "" if Path(str(self.values["image"]).partition("::")[0]).exists() else " no file"
            )
            self.values |= {
                "accepted": passed,
                "verdict": ("accepted: all well" if passed else "rejected: one ring") + words,
                "calibration_id": "1234abcd" if passed else "",
                "calibration_uid": f"calibration of {self.values['raw_uid']}",
                "distance": 0.125,
            }
            self.set_state(DevState.ON if passed else DevState.ALARM)


if __name__ == "__main__":
    folder, port = sys.argv[1:]
    run(
        (GeometryCalibrator,),
        args=["GeometryCalibrator", "1", "-nodb", "-host", "127.0.0.1", "-port", port,
              "-dlist", "GeometryCalibrator::ringline/calibrator/1"],
    )  # fmt: skip
