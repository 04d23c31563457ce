"""Detectors of the table whose pixels are no grid: hexagons, wide pixels, tilted modules."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from ringline.processing.detector import Detector
from ringline.processing.types import BoolArray, FloatArray
from ringline.processing.xfel_detectors import agipd_1m, dssc_1m, lpd_1m


@dataclass(frozen=True, slots=True)
class Irregular:
    """A detector of the table that is made when it is asked for: its corners take megabytes."""

    name: str
    aliases: tuple[str, ...]
    make: Callable[[str], Detector]
    """From its name."""


@lru_cache(maxsize=2)  # of hundreds of megabytes each
def irregular_detector(found: Irregular) -> Detector:
    """The detector."""
    return found.make(found.name)


def _hexagons(name: str, columns: int) -> Detector:
    """Rows of hexagons, every second one half a step further, as pyFAI's to the last bit."""
    shape, pitch = (476, columns), 60e-6
    turns = np.linspace(-0.5, 1.5, 6, endpoint=False) * np.pi
    around = np.exp(1j * turns) / np.sqrt(3.0)
    around -= complex(around.real.min(), around.imag.min())
    corners = np.zeros((*shape, 6, 3), dtype=np.float32)
    rows = np.arange(shape[0])[:, None, None] * (0.5 * np.sqrt(3.0))
    corners[..., 1] = rows + around.imag
    corners[..., 2] = np.arange(columns)[None, :, None] + around.real
    corners[1::2, ..., 2] += 0.5
    corners *= pitch
    return Detector(
        name=name, pixel1=0.5 * pitch * np.sqrt(3.0), pixel2=pitch, shape=shape, corners=corners
    )


@dataclass(frozen=True, slots=True)
class _Chips:
    """Chips in rows and columns, whose outer pixels are wider where another chip follows."""

    pixel: float
    size: tuple[int, int]
    """Of a chip, (slow, fast)."""
    wide: tuple[float, float]
    """Size of the pixels between two chips, in pixels, along the slow and the fast axis."""
    gap: float = 0.0
    """Between rows of chips, m."""
    masked: bool = True
    """Whether the outer pixels of chips do not count."""

    def detector(self, name: str, shape: tuple[int, int]) -> Detector:
        """A detector of so many pixels."""
        (low1, high1), (low2, high2) = (self._ends(shape[axis], axis) for axis in (0, 1))
        corners = np.zeros((*shape, 4, 3), dtype=np.float32)
        for number, ends in enumerate(((low1, low2), (high1, low2), (high1, high2), (low1, high2))):
            corners[:, :, number, 1] = ends[0][:, None]
            corners[:, :, number, 2] = ends[1][None, :]
        return Detector(
            name=name,
            pixel1=self.pixel,
            pixel2=self.pixel,
            shape=shape,
            corners=corners,
            mask=self.mask(shape) if self.masked else None,
        )

    def mask(self, shape: tuple[int, int]) -> BoolArray:
        """True at the ends of chips."""
        slow, fast = (
            np.isin(np.arange(n) % size, (0, size - 1))
            for n, size in zip(shape, self.size, strict=True)
        )
        return np.asarray(slow[:, None] | fast[None, :])

    def edges(self, count: int, axis: int) -> FloatArray:
        """Edges of pixels along an axis as if there were no gap, m, shape (count + 1,)."""
        sizes = np.ones(count)
        for start in range(self.size[axis], count, self.size[axis]):
            sizes[start - 1 : start + 1] = self.wide[axis]
        return np.concatenate(([0.0], np.cumsum(self.pixel * sizes)))

    def _ends(self, count: int, axis: int) -> tuple[FloatArray, FloatArray]:
        edges = self.edges(count, axis)
        gaps = (np.arange(count) // self.size[axis]) * (self.gap if axis == 0 else 0.0)
        return edges[:-1] + gaps, edges[1:] + gaps


_JUNGFRAU = _Chips(75e-6, (256, 256), (2.0, 2.0), masked=False)
_XPAD = _Chips(130e-6, (120, 80), (2.5, 2.5))
_XPAD_UPRIGHT = _Chips(130e-6, (80, 120), (2.5, 2.5))
_XPAD_FLAT = _Chips(130e-6, (120, 80), (1.0, 2.5), gap=3.57e-3)


def _cirpad(name: str) -> Detector:
    """Twenty flat modules of seven chips along an arc, each turned against the one before."""
    modules, rows, columns = 20, 560, 120
    turn, gap = np.deg2rad(6.74), 20
    edges1, edges2 = (_XPAD_UPRIGHT.edges(count, axis) for axis, count in ((0, rows), (1, columns)))
    step = edges1[-1] + gap * _XPAD_UPRIGHT.pixel
    corners: NDArray[np.float64] = np.empty((modules * rows, columns, 4, 3))
    start = np.zeros(2)
    for module in range(modules):
        along = np.array([np.sin(module * turn), np.cos(module * turn)])  # axes 3 and 1
        part = corners[module * rows : (module + 1) * rows]
        for number, (one, two) in enumerate(((0, 0), (1, 0), (1, 1), (0, 1))):
            part[:, :, number, :2] = start + edges1[one : rows + one, None, None] * along
            part[:, :, number, 2] = edges2[None, two : columns + two]
        start = start + step * along
    shape = (modules * rows, columns)
    return Detector(
        name=name, pixel1=130e-6, pixel2=130e-6, shape=shape, corners=corners,
        mask=_XPAD_UPRIGHT.mask(shape),
    )  # fmt: skip


IRREGULAR = (
    *(
        Irregular(f"Pixirad{sensors}", (), partial(_hexagons, columns=512 * sensors))
        for sensors in (1, 2, 4, 8)
    ),
    Irregular("Jungfrau", ("Jungfrau 500k",), partial(_JUNGFRAU.detector, shape=(512, 1024))),
    Irregular("ImXPadS10", (), partial(_XPAD.detector, shape=(120, 80))),
    Irregular("ImXPadS70", (), partial(_XPAD.detector, shape=(120, 560))),
    Irregular("ImXPadS70V", (), partial(_XPAD_UPRIGHT.detector, shape=(560, 120))),
    Irregular("ImXPadS140", (), partial(_XPAD.detector, shape=(240, 560))),
    Irregular(
        "Xpad_flat", ("Xpad S540 flat", "d5"), partial(_XPAD_FLAT.detector, shape=(960, 560))
    ),
    Irregular("Cirpad", ("XCirpad",), _cirpad),
    # Quadrants stand nominally: those of an experiment are in its .geom file.
    Irregular("AGIPD1M", (), lambda _name: agipd_1m()),
    Irregular("LPD1M", (), lambda _name: lpd_1m()),
    Irregular("DSSC1M", (), lambda _name: dssc_1m()),
)
