"""The threads that all kernels share."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from ringline.processing.errors import RecipeError

VARIABLE = "RINGLINE_THREADS"


@cache
def threads() -> int:
    """How many threads kernels use: ``RINGLINE_THREADS``, or else the cores of this process.

    Read once.

    Raises
    ------
    RecipeError:
        The variable is set to something else than a positive number.
    """
    text = os.environ.get(VARIABLE, "")
    if not text:
        return _usable_cores()
    if not text.isdecimal() or int(text) < 1:
        raise RecipeError(f"{VARIABLE} must be a number of threads >= 1, got {text!r}")
    return int(text)


def in_parallel(task: Callable[[int], None], parts: int) -> None:
    """Call ``task`` with 0 .. parts - 1, on the shared threads and on this one; wait for all.

    Safe from several threads at once, also from one of the shared threads: whoever calls works
    through the parts itself, and waits for no helper that has not begun.
    """
    helpers = min(threads(), parts) - 1
    remaining = iter(range(parts))  # its next() is atomic: each part is taken once
    if helpers < 1:
        _drain(task, remaining)
        return
    pool = _pool()
    futures = [pool.submit(_drain, task, remaining) for _ in range(helpers)]
    try:
        _drain(task, remaining)
    finally:
        running = [future for future in futures if not future.cancel()]
        errors = [future.exception() for future in running]
    for error in errors:
        if error is not None:
            raise error


def _drain(task: Callable[[int], None], remaining: Iterator[int]) -> None:
    for part in remaining:
        task(part)


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads(), thread_name_prefix="ringline-kernel")


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


# A forked child has none of its parent's threads, only the pool that believes to have them.
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_pool.cache_clear)
