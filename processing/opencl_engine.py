"""The engine for GPUs; PoCL runs the same kernels on CPUs."""

from ringline.processing.engine import Kernels
from ringline.processing.opencl_device import opencl_device
from ringline.processing.table import Table


def opencl_kernels(table: Table) -> Kernels:
    """Sums over the pixels of frames, on the OpenCL device of this process.

    Raises
    ------
    RecipeError:
        There is no device that works; says what is missing and how to get it.
    """
    device = opencl_device()
    # Loads pyopencl, of which it is known by now that it is there.
    from ringline.processing.opencl_kernels import OpenclKernels  # noqa: PLC0415

    return OpenclKernels(table, device)
