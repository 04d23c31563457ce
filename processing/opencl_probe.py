"""Trying OpenCL devices: one counts when a kernel was built and run on it.

Loads pyopencl: import it only where that may fail.
"""

import os
from dataclasses import dataclass, field
from importlib.resources import files
from threading import Lock

import numpy as np
import pyopencl as cl

from ringline.processing.errors import RecipeError

GROUP = 256
"""Work-items of a group, in all kernels."""
LOCAL_BYTES = 32768
"""Local memory that a group takes."""

_PROBE = f"""
__kernel __attribute__((reqd_work_group_size({GROUP}, 1, 1)))
void probe(__global double *values) {{
    __local double room[{LOCAL_BYTES // 8}];
    const uint item = get_local_id(0);
    room[item] = values[item] / 3;
    barrier(CLK_LOCAL_MEM_FENCE);
    values[item] += room[{GROUP - 1} - item];
}}
"""


@dataclass(frozen=True, eq=False)
class OpenclDevice:
    """A device on which a kernel was built and gave the right numbers. Thread-safe."""

    name: str
    """Of the device and its platform."""
    is_gpu: bool
    shares_memory: bool
    """Whether it reads the process's own memory: a CPU."""
    most_bytes: int
    """The largest buffer."""
    context: cl.Context
    _process: int = field(default_factory=os.getpid)
    _programs: dict[tuple[str, ...], cl.Program] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def program(self, options: tuple[str, ...]) -> cl.Program:
        """The kernels of ``tile_sums.cl``, built with options or taken from what was built."""
        self.require_process()
        with self._lock:
            if options not in self._programs:
                source = files("ringline.processing").joinpath("tile_sums.cl").read_text("utf-8")
                self._programs[options] = cl.Program(self.context, source).build(list(options))
            return self._programs[options]

    def require_process(self) -> None:
        """Raise a RecipeError in a forked child: drivers do not work there."""
        if os.getpid() != self._process:
            raise RecipeError(
                f"engine 'opencl': {self.name} was opened before this process was forked: "
                "start processes by 'spawn' or 'forkserver'"
            )


@dataclass(frozen=True)
class Candidate:
    """A device that a driver offers; whether it works is not known."""

    device: cl.Device
    place: tuple[int, int]
    """Numbers of its platform, and of the device there."""
    names: tuple[str, str]

    @property
    def name(self) -> str:
        """Of the device and its platform."""
        return f"{self.names[1]} ({self.names[0]})"

    @property
    def is_gpu(self) -> bool:
        """Whether its driver says that it is a GPU."""
        return bool(self.device.type & cl.device_type.GPU)

    def is_named(self, wanted: str) -> bool:
        """Whether ``platform:device`` or ``platform`` means it; an empty text means all."""
        parts = [part.strip().lower() for part in wanted.partition(":")[::2]]
        return all(
            not part or (part == str(number) if part.isdecimal() else part in name.lower())
            for part, number, name in zip(parts, self.place, self.names, strict=True)
        )


def candidates() -> list[Candidate]:
    """All devices of all drivers."""
    try:
        platforms = cl.get_platforms()
    except cl.Error:  # no driver
        return []
    found = []
    for number, platform in enumerate(platforms):
        try:
            devices = platform.get_devices()
        except cl.Error:  # a driver without a device
            continue
        for place, device in enumerate(devices):
            names = (platform.name.strip(), device.name.strip())
            found.append(Candidate(device, (number, place), names))
    return found


def opened(candidate: Candidate) -> OpenclDevice:
    """A device after a kernel has run on it; raises what goes wrong."""
    device = candidate.device
    if not device.double_fp_config:
        raise RecipeError("has no double precision")
    if device.local_mem_size < LOCAL_BYTES or device.max_work_group_size < GROUP:
        raise RecipeError(
            f"needs {LOCAL_BYTES} bytes of local memory and groups of {GROUP}, "
            f"has {device.local_mem_size} and {device.max_work_group_size}"
        )
    context = cl.Context([device])
    queue = cl.CommandQueue(context)
    values = np.arange(1.0, GROUP + 1)
    buffer = cl.Buffer(context, cl.mem_flags.COPY_HOST_PTR, hostbuf=values)
    kernel = cl.Kernel(cl.Program(context, _PROBE).build(), "probe")
    kernel(queue, (GROUP,), (GROUP,), buffer)
    found = np.empty_like(values)
    cl.enqueue_copy(queue, found, buffer)
    if not np.array_equal(found, values + values[::-1] / 3):
        raise RecipeError("gives wrong numbers")
    return OpenclDevice(
        name=candidate.name,
        is_gpu=candidate.is_gpu,
        shares_memory=bool(device.type & cl.device_type.CPU),
        most_bytes=int(device.max_mem_alloc_size),
        context=context,
    )
