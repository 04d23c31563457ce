"""Times of contenders that take turns, so that whatever disturbs the machine disturbs all."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ringline.processing.benchmark_kernels import total
from ringline.processing.worker_threads import in_parallel, threads

_TURN = 0.1
"""Seconds that a turn takes at least: threads that were idle take some ms to come back."""

Times = dict[str, list[float]]
"""Seconds of each round by contender."""


@dataclass(frozen=True, slots=True)
class Contender:
    """Something to time. It is called with numbers that go up, to vary its input."""

    call: Callable[[int], object]
    frames: float = 1
    """How many it reduces at a call."""


def race(contenders: Mapping[str, Contender], rounds: int) -> Times:
    """Seconds a frame for each contender and round; each is called twice before."""
    times: Times = {name: [] for name in contenders}
    for contender in contenders.values():
        contender.call(0)
        contender.call(1)
    for number in range(rounds):
        for name, contender in contenders.items():
            times[name].append(_turn(contender, number))
    return times


def ratio(times: Times, peer: str, own: str) -> float:
    """How many times faster ``own`` is: the median over the rounds."""
    pairs = zip(times[peer], times[own], strict=True)
    return statistics.median(other / ours for other, ours in pairs)


def median_ms(seconds: Sequence[float]) -> float:
    """The median, in ms."""
    return 1e3 * statistics.median(seconds)


def _turn(contender: Contender, number: int) -> float:
    calls = 0
    start = time.perf_counter()
    while (passed := time.perf_counter() - start) < _TURN or not calls:
        contender.call(number + calls)
        calls += 1
    return passed / calls / contender.frames


def memory_reader() -> tuple[Callable[[], None], int]:
    """What reads memory as fast as it goes, on all threads, and how many bytes that are."""
    size = max(2**28, int(1.25 * _largest_cache()))
    values = np.ones(size // 8, np.uint64)
    parts = 4 * threads()
    totals = [0] * parts

    def part(number: int) -> None:
        low, high = values.size * number // parts, values.size * (number + 1) // parts
        totals[number] = int(total(values[low:high]))

    return lambda: in_parallel(part, parts), values.nbytes


def _largest_cache() -> int:
    """Bytes of the largest cache, 0 where the system does not tell."""
    sizes = [0]
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = path.read_text().strip()
        unit = {"K": 2**10, "M": 2**20, "G": 2**30}.get(text[-1:], 1)
        sizes.append(int(text.rstrip("KMG")) * unit)
    return max(sizes)
