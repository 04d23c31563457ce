"""An area detector of classic ophyd, as many beamlines have: Resource and Datum documents."""

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from event_model import compose_resource
from numpy.typing import NDArray
from ophyd import Component, Device, Signal
from ophyd.status import Status

from ringline.plans.camera import Camera
from ringline.plans.exposures import Exposures
from ringline.plans.frame_file import IMAGES
from ringline.plans.scene import NOMINAL_MONITOR
from ringline.plans.streaming import DEFAULT_EXPOSURE
from ringline.processing import open_frames

SPEC = "AD_HDF5_SWMR"
"""The name under which Tiled knows a growing area-detector file."""


class ClassicDetector(Device):  # type: ignore[misc]  # ophyd has no types
    """Steps only: one frame a trigger, one Datum a frame, one HDF5 file (Resource) a staging.

    Parameters
    ----------
    folder:
        Where the frames go.
    exposures:
        The frames, as for the other detectors.
    name:
        Of the device and of its image data key.
    """

    exposure_time = Component(Signal, value=DEFAULT_EXPOSURE, kind="config")
    monitor = Component(Signal, value=NOMINAL_MONITOR, kind="normal")

    def __init__(self, folder: Path, exposures: Exposures, name: str = "classic") -> None:
        super().__init__("", name=name)
        self.camera = Camera(folder, exposures, name)
        self._documents: list[tuple[str, dict[str, Any]]] = []
        self._compose_datum: Any = None
        self._datum_id = ""

    @property
    def folder(self) -> Path:
        """Where the frames go."""
        return self.camera.folder

    def stage(self) -> list[object]:
        """Begin a file."""
        staged: list[object] = super().stage()
        self.camera.rearm()
        path = self.camera.open()
        bundle = compose_resource(
            spec=SPEC,
            root=str(self.folder),
            resource_path=path.name,
            resource_kwargs={"frame_per_point": 1, "dataset": IMAGES},
        )
        self._compose_datum = bundle.compose_datum
        self._documents = [("resource", dict(bundle.resource_doc))]
        return staged

    def trigger(self) -> Status:
        """Expose one frame in a thread."""
        status = Status(self, timeout=60.0)
        threading.Thread(target=self._expose, args=(status,), daemon=True).start()
        return status

    def unstage(self) -> list[object]:
        """Close the file."""
        self.camera.stop()
        self.camera.close()
        unstaged: list[object] = super().unstage()
        return unstaged

    def describe(self) -> OrderedDict[str, dict[str, Any]]:
        """Add the images to the signals."""
        description: OrderedDict[str, dict[str, Any]] = super().describe()
        exposures = self.camera.exposures
        description[self.name] = {
            "source": f"ringline:{self.folder}",
            "dtype": "array",
            "dtype_numpy": np.dtype(exposures.dtype).str,
            "shape": list(exposures.shape),
            "external": "FILESTORE:",
        }
        return description

    def read(self) -> OrderedDict[str, dict[str, Any]]:
        """Add the newest frame's Datum to the signals."""
        reading: OrderedDict[str, dict[str, Any]] = super().read()
        reading[self.name] = {"value": self._datum_id, "timestamp": time.time()}
        return reading

    def collect_asset_docs(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Resource and Datum documents since the last call."""
        documents, self._documents = self._documents, []
        yield from documents

    def _expose(self, status: Status) -> None:
        try:
            index = self.camera.written
            self.camera.expose(1, float(self.exposure_time.get()), lambda _: None)
            self.monitor.put(self.camera.monitor)
            datum = self._compose_datum(datum_kwargs={"point_number": index})
        except Exception as error:  # whatever it is, the plan must learn it
            status.set_exception(error)
            return
        self._documents.append(("datum", dict(datum)))
        self._datum_id = str(datum["datum_id"])
        status.set_finished()


class GrowingHDF5Handler:
    """Databroker handler of :data:`SPEC` that sees frames written after it opened the file.

    The stock one keeps the length it found first and fails on later frames. Give it to
    databroker or event-model as ``handler_registry=HANDLERS``.
    """

    specs = frozenset({SPEC})

    def __init__(self, path: str, frame_per_point: int = 1, dataset: str = IMAGES) -> None:
        self._path = path
        self._frames = open_frames(Path(path), dataset)
        self._per_point = frame_per_point

    def __call__(self, *, point_number: int) -> NDArray[np.generic]:
        """Frames of one point, shape (frames, slow, fast)."""
        start, stop = point_number * self._per_point, (point_number + 1) * self._per_point
        count = self._frames.frame_count()
        if stop > count:
            # An OSError makes event-model's Filler try again a little later.
            raise OSError(
                f"{self._path}: frame {stop - 1} is not there yet, the file holds {count}"
            )
        return np.asarray(self._frames.read(start, stop))

    def close(self) -> None:
        """Close the file."""
        self._frames.close()


HANDLERS = {SPEC: GrowingHDF5Handler}
