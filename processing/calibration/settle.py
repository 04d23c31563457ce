"""From an approximate geometry to the best one: measure rings, refine, and measure again."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ringline.processing.calibration.image import CalibrationImage
from ringline.processing.calibration.lines import Lines
from ringline.processing.calibration.places import places_on
from ringline.processing.calibration.refine import Measured, Refined, refine
from ringline.processing.calibration.sectors import (
    NearRings,
    SectorFit,
    Window,
    fit_sectors,
    near_rings,
    ring_widths,
)
from ringline.processing.calibration.task import CalibrationTask
from ringline.processing.geometry import Geometry, two_theta_of
from ringline.processing.positions import PixelPositions
from ringline.processing.types import BoolArray, FloatArray, IntArray

_ROUNDS = 7
_WIDTH_ROUNDS = 3
"""After which widths stay, so that windows do."""
_SETTLED = 0.05
"""Change of a parameter, in its standard errors, that ends the rounds."""
_REACH = 6.0
"""Half a window, in standard deviations of a ring's profile."""
_APART = (6.0, 4.5, 3.5)
"""Distances between rings, likewise, from which they are told apart: the largest that leaves
enough rings."""
_FAINT = 0.03
"""Height of a neighbour, relative to a ring, that does not disturb it."""
_ENOUGH_RINGS = 5
_WEAKEST = 0.002
_SECTORS = (180, 60, 24)
"""Of a full turn: as many as leave rings strong enough to be seen."""
_FEWEST_SECTORS = 12
_ARC = 8.0
"""Pixels along a ring that make a sector at least."""
_SEEN = (0.35, 120)
"""Part of the sectors, or their number, in which rings must be seen, or else larger are taken."""
_FEWEST_POINTS = 8
_POLARIZED = 0.95
"""Polarization of a synchrotron's beam. Without any, distances are off by a few 1e-5."""


@dataclass(frozen=True, slots=True)
class Settled:
    """A geometry on which measuring and refining agree."""

    refined: Refined
    lines: Lines
    """Rings that are on the detector and stand alone."""
    near: NearRings
    fit: SectorFit
    points: BoolArray
    """Which groups of ``fit`` are the points of ``refined``, shape (groups,)."""

    @property
    def measured(self) -> Measured:
        """The points of ``refined``."""
        return measured_of(self.fit, self.points)


def settle(
    geometry: Geometry,
    image: CalibrationImage,
    lines: Lines,
    task: CalibrationTask,
    blur: float,
) -> Settled | None:
    """Measure and refine until nothing moves; None where too little of rings is seen.

    Parameters
    ----------
    geometry:
        An approximate one.
    image:
        Counts.
    lines:
        All lines of the calibrant, of the wavelength of ``geometry``.
    task:
        What is refined.
    blur:
        Standard deviation of rings and of the misfit to begin with, pixels.
    """
    measuring = Measuring(geometry, image, lines, blur)
    settled: Settled | None = None
    for number in range(_ROUNDS):
        found = measuring.measure(geometry, widths=number < _WIDTH_ROUNDS)
        if found is None or found[2].seen.sum() < _FEWEST_POINTS:
            return settled
        some, near, fit = found
        refined = refine(geometry, measured_of(fit, fit.seen), task, task.refined)
        settled = Settled(refined, some, near, fit, fit.seen)
        moved = _moved(geometry, refined)
        geometry = refined.geometry
        if moved < _SETTLED and number >= _WIDTH_ROUNDS:
            break
    return settled


def dimming(geometry: Geometry, fit: SectorFit) -> FloatArray:
    r"""How intensity falls with 2theta by solid angle and polarization, 1/rad, of each group.

    A bell times a slope has its top beside that of the bell, by
    :math:`\sigma^2 \, d \ln(\cos^3\alpha \, P) / d 2\theta`; counts themselves are left
    alone, since a detector's offset does not dim.
    """

    def seen(down: FloatArray | float, right: FloatArray | float) -> tuple[FloatArray, FloatArray]:
        p1, p2, p3 = places_on(geometry.detector, fit.slow + down, fit.fast + right).T
        t1, t2, t3 = geometry.sample_frame(p1, p2, p3)
        square = t1 * t1 + t2 * t2 + t3 * t3
        polarized = 1.0 + (t3 * t3 - _POLARIZED * (t2 * t2 - t1 * t1)) / square
        return two_theta_of(t1, t2, t3), np.log(polarized) - 1.5 * np.log(square)

    down = seen(0.5, 0.0)[0] - seen(-0.5, 0.0)[0]
    right = seen(0.0, 0.5)[0] - seen(0.0, -0.5)[0]
    length = np.maximum(np.hypot(down, right), 1e-300)
    down, right = down / length, right / length
    (outer, less), (inner, more) = seen(down, right), seen(-down, -right)
    step = outer - inner
    return np.divide(less - more, step, where=step > 0, out=np.zeros_like(step))


class Measuring:
    """Measures rings, and learns how wide they are and how large sectors must be."""

    def __init__(
        self, geometry: Geometry, image: CalibrationImage, lines: Lines, blur: float
    ) -> None:
        self._image, self._lines = image, lines
        self._unit = _pixel_angle(geometry, lines.two_theta)
        self._width = blur * self._unit
        self._sectors = list(_SECTORS)
        lowest, highest = _range(geometry)
        inside = (lines.two_theta > lowest) & (lines.two_theta < highest)
        self._there = inside & (lines.strength > _WEAKEST)

    def measure(
        self, geometry: Geometry, *, widths: bool
    ) -> tuple[Lines, NearRings, SectorFit] | None:
        """Rings that stand alone, in sectors; None where there is no pixel near one.

        ``widths`` says whether the widths of rings are measured anew.
        """
        chosen = self._there & _alone(self._lines, self._width, self._there)
        if not chosen.any():
            return None
        some = self._lines.select(chosen)
        half = np.minimum(_REACH * self._width, 0.5 * self._lines.gaps())[chosen]
        while True:
            window = Window(some.two_theta, half, self._sectors[0], self._merged(chosen))
            near = near_rings(geometry, self._image, window)
            if not near.off.size:
                return None
            if widths:
                self._learn(near, chosen)
            fit = fit_sectors(near, self._width[chosen], self._image.counts.shape[1])
            # What dims towards larger angles seems to lie further in.
            fit = replace(fit, shift=fit.shift - fit.width[fit.ring] ** 2 * dimming(geometry, fit))
            enough = min(_SEEN[0] * fit.visible.sum(), _SEEN[1])
            if fit.seen.sum() >= enough or len(self._sectors) == 1:
                return some, near, fit
            self._sectors.pop(0)

    def _merged(self, chosen: BoolArray) -> IntArray:
        """Sectors that make one of each ring, for arcs of enough pixels."""
        angle = self._lines.two_theta[chosen]
        around = 2 * np.pi * np.tan(np.minimum(angle, 1.4)) / self._unit[0]
        needed = np.ceil(_ARC * self._sectors[0] / around)
        return np.asarray(np.clip(needed, 1, self._sectors[0] // _FEWEST_SECTORS), dtype=np.int64)

    def _learn(self, near: NearRings, chosen: BoolArray) -> None:
        """Widths as found; of rings that were not measured, as of a usual one in pixels."""
        found = ring_widths(near, self._width[chosen])
        usual = float(np.median(found / self._unit[chosen]))
        new = usual * self._unit
        new[chosen] = np.clip(found, 0.5 * new[chosen], 2.5 * new[chosen])
        self._width = np.clip(new, 0.3 * self._width, 2.0 * self._width)


def measured_of(fit: SectorFit, which: BoolArray) -> Measured:
    """Some groups as points to refine with."""
    return Measured(
        fit.slow[which], fit.fast[which], fit.shift[which], fit.sigma[which], fit.ring[which]
    )


def _moved(before: Geometry, refined: Refined) -> float:
    errors = np.sqrt(np.diag(refined.covariance))
    steps = [abs(getattr(refined.geometry, name) - getattr(before, name)) for name in refined.names]
    return float(np.max(np.array(steps) / np.maximum(errors, 1e-300)))


def _pixel_angle(geometry: Geometry, two_theta: FloatArray) -> FloatArray:
    """2theta over a pixel, rad, at about the angles given."""
    tilt = float(np.hypot(*geometry.rotation[2, :2]))
    along = np.maximum(np.cos(np.maximum(two_theta - tilt, 0.0)), 0.2)
    away = geometry.distance / np.cos(tilt)
    pixel = max(geometry.detector.pixel1, geometry.detector.pixel2)
    return np.asarray(pixel / away * along**2)


def _range(geometry: Geometry) -> tuple[float, float]:
    """2theta on the detector, rad."""
    positions = PixelPositions(geometry)
    slow, _ = geometry.detector.known_shape
    rows = [slice(k, k + 1) for k in range(0, slow, max(1, slow // 64))] + [slice(slow - 1, slow)]
    values = [two_theta_of(*positions.center_positions(row)) for row in rows]
    return min(float(v.min()) for v in values), max(float(v.max()) for v in values)


def _alone(lines: Lines, width: FloatArray, there: BoolArray) -> BoolArray:
    """Rings that neighbours do not disturb."""
    for apart in _APART:
        found = _apart_by(lines, apart * width)
        if (found & there).sum() >= _ENOUGH_RINGS:
            break
    return found


def _apart_by(lines: Lines, distance: FloatArray) -> BoolArray:
    """Rings without a strong neighbour within a distance."""
    angle, height = lines.two_theta, lines.strength
    alone = np.ones(angle.size, dtype=bool)
    for step in range(1, min(angle.size, 12)):
        near = angle[step:] - angle[:-step] < distance[step:]
        alone[step:] &= ~(near & (height[:-step] > _FAINT * height[step:]))
        alone[:-step] &= ~(near & (height[step:] > _FAINT * height[:-step]))
    return alone


def halves(settled: Settled, task: CalibrationTask) -> Sequence[Refined]:
    """The geometry of every other sector, and that of the sectors between."""
    index = np.nonzero(settled.points)[0]
    used = index[settled.refined.used]
    ring = settled.fit.ring[used]
    parity = (settled.fit.sector[used] // settled.near.window.spans[ring] + ring) % 2
    found = []
    for half in (0, 1):
        which = np.zeros(settled.points.size, dtype=bool)
        which[used[parity == half]] = True
        found.append(
            refine(settled.refined.geometry, measured_of(settled.fit, which), task, task.refined)
        )
    return found
