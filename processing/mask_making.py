"""Masks made of frames: gaps, dead, hot and noisy pixels, shadows."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ringline.processing.arrays import ArraySource, InputArray, input_array
from ringline.processing.averaging import Progress
from ringline.processing.detector import Detector
from ringline.processing.errors import RecipeError
from ringline.processing.frames import FrameSource
from ringline.processing.geometry import Geometry
from ringline.processing.mask_expectation import (
    local_expectation,
    ring_expectation,
)
from ringline.processing.mask_pixels import Evidence, noisy, stuck, too_few, too_many
from ringline.processing.mask_rings import Scattering, scattering_of
from ringline.processing.mask_settings import MaskSettings
from ringline.processing.mask_shadow import find_shadow
from ringline.processing.mask_statistics import FrameStatistics, frame_statistics
from ringline.processing.types import BoolArray, FloatArray, ImageArray

CAUSE_BITS: Mapping[str, int] = MappingProxyType(
    {"gap": 0, "dead": 1, "weak": 2, "hot": 3, "noisy": 4, "shadow": 8}
)
"""Causes, and their bits in a ``pixel_mask`` of NXdetector (weak: under-responding; hot:
over-responding; shadow: user-defined, as around a beam stop)."""

_LARGEST_MARKED = 16
"""Pixels without a value that lie together, and are not more, are dead: gaps are larger."""
_EMPTY_LINE = 50.0
"""Photons that a row or column should have, to be a gap if it has none."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MadeMask:
    """A mask, by causes. Arrays of shape (slow, fast); each masked pixel has one cause."""

    gap: BoolArray
    """No sensor: of the detector's own mask, without a value in all frames, or whole rows or
    columns that are empty."""
    dead: BoolArray
    """Few pixels together without a value; no counts, far too few, or always the same."""
    weak: BoolArray
    """Too few counts."""
    hot: BoolArray
    """Far too many counts, lasting over frames."""
    noisy: BoolArray
    """A variance over frames far above that of photons."""
    shadow: BoolArray
    """Of the beam stop and its arm, or of something else."""
    frames: int
    """How many it was made of."""
    rate: npt.NDArray[np.float32]
    """Mean counts a frame; NaN where there are none."""

    @property
    def causes(self) -> dict[str, BoolArray]:
        """The mask of each cause, by its name."""
        return {name: getattr(self, name) for name in CAUSE_BITS}

    @property
    def mask(self) -> BoolArray:
        """True where a pixel is masked."""
        return np.asarray(np.logical_or.reduce(list(self.causes.values())))

    @property
    def counts(self) -> dict[str, int]:
        """Pixels masked by each cause; together as many as the mask has."""
        return {name: int(np.count_nonzero(mask)) for name, mask in self.causes.items()}

    @property
    def pixel_mask(self) -> npt.NDArray[np.uint32]:
        """The mask with the bits of NXdetector's ``pixel_mask``: 0 where a pixel is good."""
        bits = np.zeros(self.gap.shape, dtype=np.uint32)
        for name, mask in self.causes.items():
            bits[mask] |= np.uint32(1 << CAUSE_BITS[name])
        return bits


def make_mask(
    frames: Iterable[ImageArray] | FrameSource,
    settings: MaskSettings | None = None,
    *,
    place: Geometry | Detector | None = None,
    dark: ArraySource = None,
    progress: Progress = iter,
) -> MadeMask:
    """Find the pixels that do not measure, from frames of whatever scatters.

    With a geometry pixels are compared with those at the same scattering angle, without one with
    their neighbours. A pixel that is masked for its counts is one that chance does not explain:
    where photons are counted, and each good pixel of a frame set measures what its ring or
    surroundings do, fewer than ``settings.false_positives`` good pixels are masked for each
    cause, on average and for any number of counts. Where there are too few counts to tell, nothing
    is masked: a single frame tells dead pixels from about 20 counts a pixel on, with a geometry.

    One frame cannot tell a Bragg spot of one to three pixels or a cosmic ray from a hot pixel, and
    does not show noisy or stuck ones (that takes four). Of several frames a tenth, at least one,
    may be bright in a pixel without its being hot. Without a geometry dead pixels are found where
    there are up to three together, and not in a dark line between rings; larger ones are shadows.

    Parameters
    ----------
    frames:
        Images of one shape (slow, fast), each asked for once; memory does not grow with them.
    settings:
        None: ``MaskSettings()``.
    place:
        Where the detector stands, or which it is, for its gaps; None: only what frames show.
    dark:
        Counts a frame without scattering, to subtract: an array or a path.
    progress:
        Told of the blocks of pixels, which are worked on after the last frame was read.

    Raises
    ------
    FrameError:
        No frames, one that cannot be read, or one of another shape or dtype.
    RecipeError:
        The detector or the dark has another shape; the geometry's detector has no pixels.
    OSError:
        The scratch file cannot be written.
    """
    settings = settings or MaskSettings()
    dark = input_array("dark", dark)
    statistics = frame_statistics(frames, settings, progress=progress)
    shape = statistics.total.shape
    detector = place.detector if isinstance(place, Geometry) else place
    for name, found in (("detector", detector and detector.shape), ("dark", _shape(dark))):
        if found not in (None, shape):
            raise RecipeError(f"{name}: shape {found}, the frames have {shape}")
    scattering = None
    if isinstance(place, Geometry):
        known = place.with_shape((shape[0], shape[1]))
        scattering = scattering_of(known, settings.polarization)
    counts = statistics.total.astype(np.float64) * settings.gain
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = (counts / statistics.valid).astype(np.float32)
    gap, dead = _without_value(statistics, None if detector is None else detector.built_in_mask())
    statistics = _only(statistics, ~(gap | dead))
    masks = _judge(statistics, scattering, _photons(dark, settings), settings)
    masks["gap"] = gap
    masks["dead"] |= dead
    return MadeMask(**_disjoint(masks), frames=statistics.frames, rate=rate)


def _shape(array: InputArray | None) -> tuple[int, ...] | None:
    return None if array is None else array.values.shape


def _photons(dark: InputArray | None, settings: MaskSettings) -> FloatArray | float:
    if dark is None:
        return 0.0
    return np.maximum(np.nan_to_num(dark.values.astype(np.float64)) / settings.gain, 0.0)


def _without_value(
    statistics: FrameStatistics, built_in: BoolArray | None
) -> tuple[BoolArray, BoolArray]:
    """Gaps, and dead pixels that the maker marked."""
    gap = np.zeros(statistics.valid.shape, dtype=bool) if built_in is None else built_in.copy()
    labels, _ = ndimage.label((statistics.valid == 0) & ~gap)
    small = np.bincount(labels.ravel()) <= _LARGEST_MARKED
    small[0] = False
    dead = small[labels]
    gap |= (statistics.valid == 0) & ~dead
    usable = ~(gap | dead)
    if usable.any():
        typical = float(np.median(statistics.total[usable]))
        for axis in (0, 1):
            number = np.count_nonzero(usable, axis=axis)
            empty = (np.where(usable, statistics.total, 0.0).max(axis=axis) <= 0) & (
                number * typical > _EMPTY_LINE
            )
            gap |= usable & np.expand_dims(empty, axis)
    return gap, dead


def _only(statistics: FrameStatistics, usable: BoolArray) -> FrameStatistics:
    """The same statistics, pixels that are not usable without a value."""
    return replace(
        statistics,
        valid=np.where(usable, statistics.valid, 0),
        lasting=np.where(usable, statistics.lasting, 0),
        total=np.where(usable, statistics.total, 0.0),
        lasting_total=np.where(usable, statistics.lasting_total, 0.0),
    )


def _judge(
    statistics: FrameStatistics,
    scattering: Scattering | None,
    dark: FloatArray | float,
    settings: MaskSettings,
) -> dict[str, BoolArray]:
    """Masks by what was measured; a pixel may be in several."""
    signal = np.maximum(statistics.total - dark * statistics.valid, 0.0)
    shadow = find_shadow(statistics, signal, scattering, settings)
    if scattering is None:
        expectation = local_expectation(statistics, signal)
    else:
        lit = (statistics.valid > 0) & ~shadow
        expectation = ring_expectation(statistics, signal, scattering, lit)
    evidence = Evidence(statistics, expectation, dark, settings, settings.chance(shadow.size))
    few, hot = too_few(evidence, settings.weak_below), too_many(evidence)
    return {
        "dead": (too_few(evidence, settings.dead_below) | (stuck(evidence) & ~hot)) & ~shadow,
        "weak": few & ~shadow,
        "hot": hot,
        "noisy": noisy(evidence),
        "shadow": shadow,
    }


_PRIORITY = ("gap", "dead", "noisy", "hot", "shadow", "weak")


def _disjoint(masks: Mapping[str, BoolArray]) -> dict[str, BoolArray]:
    """One cause for each pixel: the first of those that it has."""
    taken = np.zeros_like(masks["gap"])
    found = {}
    for name in _PRIORITY:
        found[name] = masks[name] & ~taken
        taken |= masks[name]
    return found
