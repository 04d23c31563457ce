"""How long after its writing a frame is seen in the curve on the Tango attribute."""

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tango

from ringline.processing.types import FloatArray, IntArray


class CurveWatch:
    """Subscribes to a reducer's ``frame_index`` and notes when each value arrives.

    The device pushes ``intensity`` before ``frame_index``: when the index of a frame arrives, its
    curve is on the attribute.

    Parameters
    ----------
    trl:
        Of the device.
    reduced:
        Is told ``frames_reduced`` whenever it changes, from a Tango thread.
    """

    def __init__(self, trl: str, reduced: Callable[[int], None] = lambda _: None) -> None:
        self._lock = threading.Lock()
        self._arrivals: list[tuple[float, int]] = []
        self._reduced = reduced
        self._proxy = tango.DeviceProxy(trl)
        change = tango.EventType.CHANGE_EVENT
        self._ids = [
            self._proxy.subscribe_event("frame_index", change, self._on_index),
            self._proxy.subscribe_event("frames_reduced", change, self._on_reduced),
        ]

    def close(self) -> None:
        """Unsubscribe."""
        for number in self._ids:
            self._proxy.unsubscribe_event(number)
        self._ids = []

    def latencies(self, written: FloatArray) -> FloatArray:
        """Seconds from the writing of each frame until the attribute showed it or a later one.

        Parameters
        ----------
        written:
            When each frame was written, seconds since 1970, in order.

        Returns
        -------
        :
            NaN for frames after the last one shown.
        """
        with self._lock:
            arrivals = list(self._arrivals)
        return latencies_of(
            written,
            np.array([index for _, index in arrivals], dtype=np.int64),
            np.array([moment for moment, _ in arrivals], dtype=np.float64),
        )

    def _on_index(self, event: Any) -> None:
        now = time.time()
        if not event.err and event.attr_value.value >= 0:
            with self._lock:
                self._arrivals.append((now, int(event.attr_value.value)))

    def _on_reduced(self, event: Any) -> None:
        if not event.err:
            self._reduced(int(event.attr_value.value))


def latencies_of(written: FloatArray, shown: IntArray, moments: FloatArray) -> FloatArray:
    """See :meth:`CurveWatch.latencies`: ``shown`` indices arrived at ``moments``, in order."""
    result = np.full(len(written), np.nan)
    newest = np.maximum.accumulate(shown) if len(shown) else shown
    places = np.searchsorted(newest, np.arange(len(written)), side="left")
    seen = places < len(newest)
    result[seen] = moments[places[seen]] - written[seen]
    return result
