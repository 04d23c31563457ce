"""Coroutines of devices within plans."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import bluesky.plan_stubs as bps
from bluesky.utils import MsgGenerator

T = TypeVar("T")


def result_of(call: Callable[[], Coroutine[Any, Any, T]]) -> MsgGenerator[T]:
    """Run a coroutine beside the RunEngine and wait for it; its result, or what it raises.

    No message of a plan calls a command with arguments, or waits for more than a status. After a
    pause the RunEngine repeats messages without giving their answers to the plan: the coroutine is
    begun again then, and the result is that of the last one.
    """
    begun: list[asyncio.Task[T]] = []

    def begin() -> asyncio.Task[T]:
        begun.append(asyncio.ensure_future(call()))
        return begun[-1]

    yield from bps.wait_for([begin])
    return begun[-1].result()
