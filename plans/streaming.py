"""The ophyd-async side of a :class:`~ringline.plans.camera.Camera`: step and fly scans."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ophyd_async.core import (
    DetectorAcquireLogic,
    DetectorDataLogic,
    DetectorTriggerLogic,
    SignalR,
    StandardDetector,
    StreamableDataProvider,
    StreamResourceDataProvider,
    StreamResourceInfo,
    soft_signal_r_and_setter,
    soft_signal_rw,
)

from ringline.callbacks.uris import uri_of_path
from ringline.plans.camera import Camera
from ringline.plans.frame_file import IMAGES, MONITOR, SCALAR_CHUNK, TIMESTAMPS

DEFAULT_EXPOSURE = 0.01
"""Seconds of an exposure when a plan asks for none in particular."""


class _TriggerLogic(DetectorTriggerLogic):
    def __init__(self) -> None:
        self.frames = 1
        self.exposure_time = soft_signal_rw(float, DEFAULT_EXPOSURE, units="s")

    def config_sigs(self) -> set[SignalR[float]]:
        return {self.exposure_time}

    def get_deadtime(self, config_values: object) -> float:  # noqa: ARG002  # ophyd-async's name
        return 0.0

    async def prepare_internal(self, num: int, livetime: float, deadtime: float) -> None:
        self.frames = num
        if livetime or deadtime:
            await self.exposure_time.set(livetime + deadtime)


class _AcquireLogic(DetectorAcquireLogic):
    def __init__(self, camera: Camera, trigger: _TriggerLogic) -> None:
        self._camera, self._trigger = camera, trigger
        self.frames_written, self.set_frames_written = soft_signal_r_and_setter(int)
        self._exposing: asyncio.Task[None] | None = None
        self._stops = 0

    async def start_acquiring(self) -> None:
        stops = self._stops
        await self.wait_for_idle()
        loop = asyncio.get_running_loop()
        period = await self._trigger.exposure_time.get_value()
        if self._stops > stops:
            # A plan that was aborted meanwhile has already closed the file.
            return

        def published(count: int) -> None:
            loop.call_soon_threadsafe(self.set_frames_written, count)

        # In a thread: writing 4 Mpix would hold up the RunEngine's loop for milliseconds.
        work = asyncio.to_thread(self._camera.expose, self._trigger.frames, period, published)
        self._exposing = asyncio.create_task(work)

    async def wait_for_idle(self) -> None:
        if self._exposing:
            # A wait that is cancelled must not leave the camera's thread to itself.
            await asyncio.shield(self._exposing)
            self._exposing = None

    async def ensure_stopped(self) -> None:
        self._stops += 1
        self._camera.stop()
        try:
            await self.wait_for_idle()
        finally:
            self._exposing = None
            self._camera.rearm()


class _DataLogic(DetectorDataLogic):
    def __init__(self, camera: Camera, acquire: _AcquireLogic) -> None:
        self._camera, self._acquire = camera, acquire

    async def prepare_unbounded(self, datakey_name: str) -> StreamableDataProvider:
        path = await asyncio.to_thread(self._camera.open)
        self._acquire.set_frames_written(0)
        return StreamResourceDataProvider(
            uri=uri_of_path(path),
            resources=self._resources(datakey_name),
            mimetype="application/x-hdf5",
            collections_written_signal=self._acquire.frames_written,
        )

    async def stop(self) -> None:
        # The camera's thread must not find its file closed.
        await self._acquire.ensure_stopped()
        await asyncio.to_thread(self._camera.close)

    def get_hinted_fields(self, datakey_name: str) -> Sequence[str]:
        return [datakey_name]

    def _resources(self, key: str) -> list[StreamResourceInfo]:
        shape = self._camera.exposures.shape
        image = StreamResourceInfo(
            data_key=key,
            shape=shape,
            chunk_shape=(1, *shape),
            dtype_numpy=np.dtype(self._camera.exposures.dtype).str,
            parameters={"dataset": IMAGES},
        )
        scalars = {f"{key}-monitor": MONITOR, f"{key}-timestamp": TIMESTAMPS}
        return [image] + [
            StreamResourceInfo(
                data_key=name,
                shape=(),
                chunk_shape=(SCALAR_CHUNK,),
                dtype_numpy="<f8",
                parameters={"dataset": dataset},
            )
            for name, dataset in scalars.items()
        ]


class StreamingDetector(StandardDetector):
    """An ophyd-async area detector on a camera: trigger for step scans, kickoff for fly scans.

    Data keys: ``NAME`` (images), ``NAME-monitor``, ``NAME-timestamp``, all external. One HDF5
    file per staging, so one staging per run.
    """

    def __init__(self, camera: Camera, name: str = "") -> None:
        trigger = _TriggerLogic()
        acquire = _AcquireLogic(camera, trigger)
        self.camera = camera
        self.exposure_time = trigger.exposure_time
        self.add_detector_logics(trigger, acquire, _DataLogic(camera, acquire))
        super().__init__(name=name)

    @property
    def folder(self) -> Path:
        """Where the frames go."""
        return self.camera.folder
