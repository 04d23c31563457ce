"""Rings measured sector by sector: how far each is from where a geometry puts it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ringline.processing.calibration.image import CalibrationImage
from ringline.processing.calibration.sector_kernels import (
    TERMS,
    add_places,
    add_profiles,
    add_residuals,
    add_terms,
    gather,
)
from ringline.processing.geometry import Geometry
from ringline.processing.positions import PixelPositions
from ringline.processing.types import BoolArray, FloatArray, IntArray
from ringline.processing.worker_threads import in_parallel

_FEWEST = 24
"""Pixels of a sector that is measured."""
_ROUNDING = 1e-6
_STEPS = 60
"""Of a ring's profile."""
_WIDTHS = 32
"""Widths that are tried."""
_OUTLIER = 50.0
"""Squared residual of a pixel, of what is usual on its ring, that is a fault or a stray spot."""
_PRESENT_SIGMAS = 2.5
"""Height of a ring in a sector, in its standard errors, for it to be there."""
_SMALLEST_SIGMAS = 4.0
"""Likewise for its place to be measured."""


@dataclass(frozen=True, slots=True)
class Window:
    """Where rings are looked for: ascending 2theta and how far around it, rad, shape (n,)."""

    lines: FloatArray
    half: FloatArray
    sectors: int
    """Of a full turn of azimuth."""
    merged: IntArray | None = None
    """How many sectors, one after the other, make one of each ring, shape (n,): small rings have
    few pixels in each. None: each is one."""

    @property
    def spans(self) -> IntArray:
        """``merged``, or one for each ring."""
        return np.ones(self.lines.size, np.int64) if self.merged is None else self.merged


@dataclass(frozen=True, slots=True)
class NearRings:
    """Pixels near rings, shape (n,), and the sectors of rings that they make."""

    window: Window
    off: npt.NDArray[np.float32]
    """2theta less the ring's, rad."""
    counts: npt.NDArray[np.float32]
    group: IntArray
    place: IntArray
    """Flat index in the image."""
    ring: IntArray
    """Of each group, shape (groups,)."""
    sector: IntArray
    """The first one of each group, shape (groups,)."""

    def azimuth(self, groups: IntArray) -> float:
        """Degrees of azimuth that some groups cover together."""
        covered = np.zeros(self.window.sectors, dtype=bool)
        spans = self.window.spans[self.ring[groups]]
        for step in range(int(spans.max(initial=0))):
            inside = self.sector[groups][spans > step] + step
            covered[np.minimum(inside, covered.size - 1)] = True
        return float(360.0 * covered.sum() / covered.size)


@dataclass(frozen=True, slots=True)
class SectorFit:
    """What was measured in each group of a ``NearRings``, shape (groups,)."""

    ring: IntArray
    sector: IntArray
    slow: FloatArray
    """Mean place of the pixels on the ring, pixels from the image's edge."""
    fast: FloatArray
    shift: FloatArray
    """Of the ring from where the geometry puts it, 2theta, rad."""
    sigma: FloatArray
    height: FloatArray
    """Of the ring above the background, counts."""
    background: FloatArray
    significance: FloatArray
    """Height over its standard error."""
    visible: BoolArray
    """Whether enough pixels are there to see a ring."""
    seen: BoolArray
    """Whether there is one."""
    width: FloatArray
    """Standard deviation of each ring's profile, rad, shape (rings,)."""

    @property
    def present(self) -> BoolArray:
        """Where a ring is there, also one too weak to measure its place."""
        return np.asarray(self.visible & (self.significance > _PRESENT_SIGMAS))


def near_rings(geometry: Geometry, image: CalibrationImage, window: Window) -> NearRings:
    """The usable pixels near rings, in groups by ring and sector of azimuth."""
    positions = PixelPositions(geometry)
    blocks = list(positions.blocks())
    columns = image.counts.shape[1]
    parts: list[tuple[npt.NDArray[np.float32], IntArray]] = [
        (np.zeros((2, 0), np.float32), np.zeros((2, 0), np.int64))
    ] * len(blocks)

    def collect(part: int) -> None:
        rows = blocks[part]
        t1, t2, t3 = np.broadcast_arrays(*positions.center_positions(rows))
        found = np.empty((2, t1.size), np.float32)
        place = np.empty((2, t1.size), np.int64)
        number = gather(
            t1, t2, t3, image.counts[rows], image.usable[rows], rows.start * columns,
            window.lines, window.half, window.sectors, window.spans, found, place,
        )  # fmt: skip
        parts[part] = (found[:, :number].copy(), place[:, :number].copy())

    in_parallel(collect, len(blocks))
    off, counts = np.concatenate([found for found, _ in parts], axis=1)
    code, place = np.concatenate([place for _, place in parts], axis=1)
    present = np.zeros(window.lines.size * window.sectors, dtype=np.int64)
    present[code] = 1
    number_of = np.cumsum(present) - 1
    codes = np.nonzero(present)[0]
    ring, sector = np.divmod(codes, window.sectors)
    return NearRings(window, off, counts, number_of[code], place, ring, sector)


def ring_widths(near: NearRings, guess: FloatArray) -> FloatArray:
    """Standard deviation of each ring's profile, rad; ``guess`` where it is not seen."""
    shape = (near.window.lines.size, _STEPS)
    total, number = np.zeros(shape), np.zeros(shape)
    add_profiles(near.off, near.counts, near.group, near.ring, near.window.half, total, number)
    steps = (np.arange(_STEPS) + 0.5) / _STEPS * 2.0 - 1.0
    widths = guess.copy()
    for ring, half in enumerate(near.window.half):
        there = number[ring] > 0
        if there.sum() > 0.7 * _STEPS:
            mean = total[ring][there] / number[ring][there]
            found = _best_width(steps[there], mean, np.sqrt(number[ring][there]))
            widths[ring] = guess[ring] if found is None else found * half
    return widths


def _best_width(x: FloatArray, mean: FloatArray, weight: FloatArray) -> float | None:
    """Standard deviation of the bell that describes a profile best; None where none is seen."""
    best, found = np.inf, None
    flat = np.stack([np.ones_like(x), x], axis=1) * weight[:, None]
    rest = np.linalg.lstsq(flat, mean * weight, rcond=None)[1]
    for width in np.geomspace(0.06, 0.6, _WIDTHS):
        bell = np.exp(-0.5 * (x / width) ** 2)
        terms = np.stack([np.ones_like(x), x, bell, bell * x], axis=1) * weight[:, None]
        coefficients, residual, rank, _ = np.linalg.lstsq(terms, mean * weight, rcond=None)
        if rank == TERMS and residual.size and residual[0] < best and coefficients[2] > 0:
            best, found = float(residual[0]), float(width)
    return found if rest.size and best < 0.7 * float(rest[0]) else None


def fit_sectors(near: NearRings, width: FloatArray, columns: int) -> SectorFit:
    """Measure every ring in every sector.

    Within its window a ring is a bell on a sloping background; to first order a shift adds the
    bell's derivative, so that all is linear: least squares, with errors from the squared
    residuals themselves (White, Econometrica 48 (1980) 817), whatever the noise.

    Parameters
    ----------
    near:
        The pixels.
    width:
        Standard deviation of each ring's profile, rad, shape (rings,).
    columns:
        Of the image.
    """
    taken = np.ones(near.off.size, dtype=np.bool_)
    for last in (False, True):
        matrix, fitted = _solved(near, width, taken)
        excess = np.empty(near.off.size)
        sandwich = np.zeros_like(matrix)
        add_residuals(
            near.off, near.counts, near.group, near.ring, taken, width, near.window.half,
            fitted, excess, sandwich,
        )  # fmt: skip
        if not last:
            usual = _usual(excess, near)
            taken = excess <= _OUTLIER * usual[near.ring[near.group]]
    return _measured(near, width, taken, columns, (matrix, fitted, sandwich))


def _usual(excess: FloatArray, near: NearRings) -> FloatArray:
    """Squared residual over counting noise that is usual in a sector of each ring, at least 1."""
    groups = near.ring.size
    number = np.bincount(near.group, minlength=groups)
    mean = np.bincount(near.group, excess, minlength=groups) / np.maximum(number, 1)
    usual = np.ones(near.window.lines.size)
    for ring in range(usual.size):
        here = mean[near.ring == ring]
        usual[ring] = max(1.0, float(np.median(here))) if here.size else 1.0
    return usual


def _solved(near: NearRings, width: FloatArray, taken: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Inverse normal matrices of the groups, 0 where there is none, and coefficients."""
    groups = near.ring.size
    matrix, right = np.zeros((groups, TERMS, TERMS)), np.zeros((groups, TERMS))
    add_terms(
        near.off, near.counts, near.group, near.ring, taken, width, near.window.half, matrix, right
    )
    matrix = _whole(matrix)
    scale = np.sqrt(np.maximum(np.einsum("gkk->gk", matrix), 1e-300))
    unit = matrix / (scale[:, :, None] * scale[:, None, :])
    # Where pixels cover only a part of a window, terms cannot be told apart.
    good = (matrix[:, 0, 0] >= _FEWEST) & (np.linalg.eigvalsh(unit)[:, 0] > 2e-3)
    inverse = np.zeros_like(matrix)
    inverse[good] = np.linalg.inv(unit[good])
    inverse /= scale[:, :, None] * scale[:, None, :]
    return inverse, np.einsum("gkm,gm->gk", inverse, right)


def _whole(half: FloatArray) -> FloatArray:
    lower = np.tril(half)
    return np.asarray(lower + np.transpose(np.tril(half, -1), (0, 2, 1)))


def _measured(
    near: NearRings,
    width: FloatArray,
    taken: BoolArray,
    columns: int,
    solved: tuple[FloatArray, FloatArray, FloatArray],
) -> SectorFit:
    inverse, fitted, sandwich = solved
    groups = near.ring.size
    covariance = inverse @ _whole(sandwich) @ inverse
    number = np.bincount(near.group[taken], minlength=groups)
    covariance *= (number / np.maximum(number - TERMS, 1))[:, None, None]
    places = np.zeros((groups, 3))
    add_places(near.off, near.group, near.ring, taken, near.place, columns, width, places)
    weight = np.maximum(places[:, 0], 1e-30)
    own = width[near.ring]
    height = fitted[:, 2]
    visible = inverse[:, 0, 0] > 0
    # Counts that are all alike leave rounding, and errors of rounding.
    real = np.abs(height) > _ROUNDING * np.abs(fitted[:, 0])
    with np.errstate(divide="ignore", invalid="ignore"):
        significance = np.where(visible & real, height / np.sqrt(covariance[:, 2, 2]), 0.0)
        ratio = fitted[:, 3] / height
        # Of a quotient, the errors of both and what they share.
        variance = (
            covariance[:, 3, 3] - 2 * ratio * covariance[:, 3, 2] + ratio**2 * covariance[:, 2, 2]
        ) / height**2
        shift, sigma = own * ratio, own * np.sqrt(np.maximum(variance, 0.0))
    seen = visible & (significance > _SMALLEST_SIGMAS) & (np.abs(ratio) < 1.2) & (sigma > 0)
    return SectorFit(
        ring=near.ring,
        sector=near.sector,
        slow=places[:, 1] / weight + 0.5,
        fast=places[:, 2] / weight + 0.5,
        shift=shift,
        sigma=sigma,
        height=height,
        background=fitted[:, 0],
        significance=np.nan_to_num(significance),
        visible=visible,
        seen=seen,
        width=width,
    )
