"""Memory of arrays that nobody holds any more, for the next ones of that size.

Fresh memory costs the kernel's work page by page, more than decoding a frame into it.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringline.processing.types import ImageArray

_KEPT = 2


class RecycledMemory:
    """Gives arrays out, and takes their memory back when they are gone. Thread-safe."""

    def __init__(self) -> None:
        self._free: list[NDArray[np.uint8]] = []

    def array(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> ImageArray:
        """An array with anything in it, whose memory is its own as long as it or a view lives."""
        size = int(np.prod(shape)) * dtype.itemsize
        # What has another size goes: blocks of a run are equal, but for the last.
        memory = None
        while memory is None or memory.size != size:
            try:
                memory = self._free.pop()
            except IndexError:
                memory = np.empty(size, np.uint8)
        lent = np.asarray(_Lent(memory, self._free))
        return lent.view(dtype).reshape(shape)


class _Lent:
    """Memory on loan: arrays made of it hold this object, and it goes back with them."""

    def __init__(self, memory: NDArray[np.uint8], free: list[NDArray[np.uint8]]) -> None:
        self.__array_interface__ = memory.__array_interface__
        self._memory, self._free = memory, free

    def __del__(self) -> None:
        if len(self._free) < _KEPT:
            self._free.append(self._memory)
