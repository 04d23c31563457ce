"""The OpenCL device of this process, and what is missing where there is none."""

import os
import sys
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ringline.processing.errors import RecipeError

if TYPE_CHECKING:
    from ringline.processing.opencl_probe import OpenclDevice

VARIABLE = "RINGLINE_OPENCL_DEVICE"
"""``platform:device`` or ``platform``: numbers, or parts of names."""


def opencl_device() -> "OpenclDevice":
    """The device that ``RINGLINE_OPENCL_DEVICE`` names, or else the first GPU that works.

    Where no GPU works, any other device that does. Found once.

    Raises
    ------
    RecipeError:
        There is none; says what is missing and how to get it.
    """
    device, reason = _search(os.environ.get(VARIABLE, ""))
    if device is None:
        raise RecipeError(f"engine 'opencl': {reason}")
    return device


def gpu_name() -> str | None:
    """Name of the GPU that the engine ``opencl`` would use; None: it would use none.

    Raises nothing, and loads pyopencl only where there may be a GPU.
    """
    if not _may_have_gpu():
        return None
    device, _ = _search(os.environ.get(VARIABLE, ""))
    return device.name if device is not None and device.is_gpu else None


def _may_have_gpu() -> bool:
    try:
        if find_spec("pyopencl") is None:
            return False
    except ValueError:  # somebody's stand-in
        return False
    if sys.platform != "linux":
        return True
    nodes = ("nvidiactl", "kfd", "dxg", "dri")
    return any(Path("/dev", name).exists() for name in nodes)


@lru_cache(maxsize=8)
def _search(wanted: str) -> tuple["OpenclDevice | None", str]:
    """The first device that works, or why there is none."""
    try:
        from ringline.processing.opencl_probe import candidates, opened  # noqa: PLC0415
    except ImportError as error:
        return None, f"needs pyopencl ({error}): pip install 'ringline[opencl]'"
    every = candidates()
    if not every:
        return None, (
            "no OpenCL driver offers a device: the GPU's vendor has one; for CPUs there is "
            "PoCL (Debian's package pocl-opencl-icd)"
        )
    faults = []
    for candidate in sorted(every, key=lambda found: not found.is_gpu):
        if candidate.is_named(wanted):
            try:
                return opened(candidate), ""
            except Exception as error:  # a broken driver may raise anything
                lines = str(error).strip().splitlines() or [type(error).__name__]
                faults.append(f"{candidate.name}: {lines[0]}")
    if faults:
        return None, "no device works: " + "; ".join(faults)
    there = ", ".join(candidate.name for candidate in every)
    return None, f"{VARIABLE}={wanted!r} names no device; there is: {there}"
