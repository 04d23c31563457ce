"""Shadows on the detector: of the beam stop with its arm, of whatever else stands in the way."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage, special

from ringline.processing.mask_expectation import box
from ringline.processing.mask_light import RingLight, Smoothed, surroundings
from ringline.processing.mask_rings import FEWEST, Scattering
from ringline.processing.mask_settings import MaskSettings
from ringline.processing.mask_statistics import FrameStatistics
from ringline.processing.types import BoolArray, FloatArray

_WIDEST = 31
"""Largest side of squares, pixels."""
_WITHOUT_GEOMETRY = 0.4
"""What ``shadow_below`` is multiplied by where there is none."""
_OF_LARGEST = 0.1
"""Without a geometry, smallest area relative to that of the largest shadow."""
_OUTSIDE = 0.25
"""Quantile of the brightness outside an edge that must be above that inside: all round, nearly."""
_PENUMBRA = 3
"""Pixels next to an edge that may be neither bright nor dark."""
_RIM = 4
"""Pixels on either side of the edge whose brightness is compared."""


def find_shadow(
    statistics: FrameStatistics,
    signal: FloatArray,
    scattering: Scattering | None,
    settings: MaskSettings,
) -> BoolArray:
    """Areas that are darker than they should be, with sharp edges, grown by the margin.

    With a geometry an area is dark where it has less than ``shadow_below`` of the scattering
    between the rings at its angle, as the brighter part of each ring shows it; within the beam
    stop, of that just outside. A shadow that covers three quarters of rings elsewhere cannot be
    told. Without one it is dark relative to what is not bright in a third of the image around, and
    only the largest such areas are taken.

    Parameters
    ----------
    signal:
        Photons of all frames less the dark, >= 0, shape (slow, fast).
    scattering:
        None: there is no geometry.
    """
    measured = statistics.valid > 0
    dark, relative, side = np.zeros_like(measured), np.zeros(measured.shape), 0
    below = settings.shadow_below * (_WITHOUT_GEOMETRY if scattering is None else 1.0)
    seen = np.ones(measured.shape) if scattering is None else scattering.seen
    exposure = statistics.valid * seen
    # Single pixels must not light or darken the squares around them.
    usual = ndimage.median_filter(signal, 3)
    tame = np.clip(signal, 0.5 * usual - 2.0 * np.sqrt(usual), 4.0 * usual + 10.0)
    light = None if scattering is None else RingLight(tame, exposure, scattering)
    # Small squares see narrow dark shadows, large ones those that are hardly dark.
    for depth in (0.5 * below, below):
        wider = _side(signal[measured], depth, settings.chance(measured.size))
        if wider == side:
            continue
        side = wider
        smoothed = Smoothed(
            photons=box(tame, measured, side),
            exposure=box(exposure, measured, side),
            measured=measured,
        )
        if light is None:
            expected, lit = surroundings(smoothed.rate), np.ones_like(exposure)
        else:
            expected, lit = light.levels(smoothed)
        dark |= _dark(smoothed, below * expected, expected, settings)
        with np.errstate(invalid="ignore", divide="ignore"):
            relative = smoothed.rate / lit
    beam = None if scattering is None else _beam(scattering)
    return _Areas(dark, measured, relative, side, beam).shadow(below, settings)


def _side(photons: FloatArray, depth: float, chance: float) -> int:
    """Side of squares in which ``depth`` times the usual number of photons is not chance."""
    if not photons.size:
        return 1
    # Without the brightest, which are on rings.
    typical = float(np.minimum(photons, np.quantile(photons, 0.9)).mean())
    needed = (special.ndtri(chance) / (1.0 - depth)) ** 2
    side = int(np.ceil(np.sqrt(needed / max(typical, 1e-9))))
    return int(np.clip(side + 1 - side % 2, 3, _WIDEST))


def _dark(
    smoothed: Smoothed, bound: FloatArray, expected: FloatArray, settings: MaskSettings
) -> BoolArray:
    mean = expected * smoothed.exposure
    with np.errstate(invalid="ignore"):
        found = smoothed.measured & (smoothed.photons < bound * smoothed.exposure)
    chance = settings.chance(found.size)
    found[found] = special.gammaincc(smoothed.photons[found] + 1.0, mean[found]) < chance
    return found


def _beam(scattering: Scattering) -> BoolArray | None:
    """The pixels that the beam would hit; None where it passes by."""
    if float(scattering.two_theta.min()) > scattering.step:
        return None
    return np.asarray(scattering.two_theta <= 3.0 * scattering.step)


@dataclass(frozen=True, slots=True, eq=False)
class _Areas:
    """Dark areas, some of which are shadows; arrays of shape (slow, fast)."""

    dark: BoolArray
    measured: BoolArray
    relative: FloatArray
    """Rate over that of the same ring where it is lit, or the rate itself."""
    side: int
    """Of the squares that the rate was taken over."""
    beam: BoolArray | None

    def shadow(self, below: float, settings: MaskSettings) -> BoolArray:
        """Those that are large enough and have sharp edges, made whole and grown."""
        found = np.zeros_like(self.dark)
        # Rings shine through a beam stop: closing joins what lies on both sides of one.
        closed = _closed(self.dark, self.side // 2 + 3)
        sizes = []
        for part, area in self._parts(closed):
            size = int(np.count_nonzero(area & self.dark[part]))
            at_beam = self.beam is not None and bool((area & self.beam[part]).any())
            enough = settings.shadow_area / (10.0 if at_beam else 1.0)
            if size >= enough and (at_beam or self._is_sharp(part, area, below)):
                sizes.append((size, part, area))
        largest = max((size for size, *_ in sizes), default=0)
        for size, part, area in sizes:
            if self.beam is not None or size >= _OF_LARGEST * largest:
                found[part] |= _without_holes(area)
        return _grown(found, settings.margin)

    def _parts(self, closed: BoolArray) -> Iterator[tuple[tuple[slice, slice], BoolArray]]:
        """Connected areas, each in a box with room for its rim."""
        labels, _ = ndimage.label(closed, structure=np.ones((3, 3)))
        room = self.side + _PENUMBRA + _RIM
        for number, place in enumerate(ndimage.find_objects(labels), start=1):
            part = tuple(slice(max(s.start - room, 0), s.stop + room) for s in place)
            yield (part[0], part[1]), labels[part] == number

    def _is_sharp(self, part: tuple[slice, slice], area: BoolArray, below: float) -> bool:
        """Whether it is darker just inside its edge than just outside.

        Half as much, on a logarithmic scale, as it must be darker than what is expected: what
        changes from one side of the image to the other does not change that much across an edge.
        """
        use = self.measured[part] & np.isfinite(self.relative[part])
        near = _grown(area, self.side // 2 + _PENUMBRA)
        outside = _grown(near, _RIM + self.side // 2) & ~near & use & ~self.dark[part]
        inside = area & ~ndimage.binary_erosion(area, iterations=_RIM + self.side // 2)
        inside &= use & self.dark[part]
        if np.count_nonzero(outside) < FEWEST // 4 or not inside.any():
            return True  # gaps, or the detector's end, are all round it
        dark = float(np.median(self.relative[part][inside]))
        bright = float(np.quantile(self.relative[part][outside], _OUTSIDE))
        return bool(dark < np.sqrt(below) * bright)


def _closed(area: BoolArray, reach: int) -> BoolArray:
    framed = np.pad(area, reach, mode="edge")
    closed = _shrunk(_grown(framed, reach), reach)
    return np.asarray(closed[reach:-reach, reach:-reach])


def _without_holes(area: BoolArray) -> BoolArray:
    """An area with its holes filled, but for large ones: an aperture is no hole in a shadow."""
    holes, count = ndimage.label(ndimage.binary_fill_holes(area) & ~area)
    if not count:
        return area
    sizes = np.bincount(holes.ravel())
    small = sizes < 0.2 * np.count_nonzero(area)
    small[0] = False
    return np.asarray(area | small[holes])


def _grown(area: BoolArray, reach: int) -> BoolArray:
    """All within ``reach`` pixels of an area."""
    if reach < 1 or not area.any():
        return area.copy()
    return np.asarray(ndimage.distance_transform_edt(~area) <= reach)


def _shrunk(area: BoolArray, reach: int) -> BoolArray:
    if area.all():
        return area.copy()
    return np.asarray(ndimage.distance_transform_edt(area) > reach)
