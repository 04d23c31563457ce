"""How loops are compiled: once on a machine, and again when any of them has changed."""

import hashlib
from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import Any, cast

from numba import njit


def jit(function: Callable[..., Any]) -> Any:
    """A function compiled by numba at its first call, without the interpreter's lock."""
    return _compiled(function)


def jit_sums(function: Callable[..., Any]) -> Any:
    """Likewise, with sums taken in vector lanes.

    That is an order of its own, but always the same one.
    """
    return _compiled(function, fastmath={"reassoc", "contract", "nsz", "nnan"})


def inner(function: Callable[..., Any]) -> Any:
    """A function that is called for each pixel: inlined, and without memory of its own.

    Counting who holds an array, which numba does atomically at every call, would take longer
    than its work.
    """
    return _compiled(function, _nrt=False, forceinline=True)


def _compiled(function: Callable[..., Any], **options: Any) -> Any:
    make = cast("Callable[..., Any]", njit)
    settings = {"nogil": True, "error_model": "numpy", **options}
    try:
        dispatcher = make(cache=True, **settings)(function)
    except RuntimeError:  # there is no folder that compiled code could be kept in
        return make(**settings)(function)
    # numba looks only at the file of a function, not at those of the functions it calls.
    file = dispatcher._cache._cache_file  # noqa: SLF001
    file._source_stamp = (file._source_stamp, _sources())  # noqa: SLF001
    return dispatcher


@cache
def _sources() -> str:
    """sha256 of the sources of all that is compiled."""
    digest = hashlib.sha256()
    folder = resources.files("ringline.processing")
    for part in (folder, folder.joinpath("calibration")):
        for name in sorted(item.name for item in part.iterdir()):
            if name.endswith("_kernels.py") or name in ("compiled.py", "vector_ir.py"):
                digest.update(part.joinpath(name).read_bytes())
    return digest.hexdigest()
