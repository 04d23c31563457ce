r"""How well an image can tell its geometry at all: the bound that no calibration can beat.

Of the Fisher information of the mean image only what separate rings say is taken, as anyone fits
them: a pixel of mean :math:`\mu` and variance :math:`\sigma^2` tells the angle at which a ring's
profile stands to :math:`(\partial\mu / \partial 2\theta)^2 / \sigma^2`. That is summed over
sectors of a ring; where the ring is made of grains, a sector's own lie off the ring by chance, and
this adds to its variance. Sectors then tell the five parameters by
:math:`\partial 2\theta / \partial p`. Heights and background, being even about a ring where its
slope is odd, cost nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ringline.processing import Geometry

from .powder_scene import (  # noqa: TID252
    Bools,
    Directions,
    Floats,
    PowderScene,
    at_azimuth,
    beam_center,
    directions,
    profile,
    slope,
)

PARAMETERS = ("distance", "poni1", "poni2", "rot1", "rot2")
SECTORS = 180
"""Of a ring."""
_SMOOTH_TABLE = 4096
"""Places of a table up to which it changes slowly."""
_SEPARATE = 2.5
"""Full widths to the nearest ring from which a ring stands apart."""
_FAINT = 0.05
"""Height, in those of a ring, of neighbours that do not disturb it."""


@dataclass(frozen=True)
class Sectors:
    """What the sectors of separate rings tell; arrays of shape (rings, SECTORS)."""

    information: Floats
    """Of the angle at which the ring is seen, 1/rad^2."""
    signal: Floats
    """Squared ratio of signal to noise."""
    gradient: Floats
    """Of the angle by the five parameters, shape (rings, SECTORS, 5)."""
    place: Floats
    """Mean place on the detector, (slow, fast) in pixels, shape (rings, SECTORS, 2)."""
    angle: Floats
    """Scattering angle of a ring, rad, shape (rings,)."""

    @property
    def seen(self) -> Bools:
        """Sectors which light of the ring reaches."""
        return np.asarray(self.information > 0)

    @cached_property
    def plain_rings(self) -> int:
        """Rings that stand out of the noise over an arc of 18 degrees or more."""
        arc = (self.signal > 1).sum(axis=1) * (360 / SECTORS)
        return int(np.sum((self.signal.sum(axis=1) > 30**2) & (arc >= 18)))

    def covariance(self) -> Floats:
        """Least covariance of the five parameters, shape (5, 5); infinite where it has no bound."""
        weight = self.information[self.seen]
        gradient = self.gradient[self.seen]
        fisher = np.einsum("s,si,sj->ij", weight, gradient, gradient)
        scale = np.sqrt(np.maximum(np.diag(fisher), 1e-300))
        fisher /= np.outer(scale, scale)
        if not np.linalg.eigvalsh(fisher)[0] > 1e-13:
            return np.full((5, 5), np.inf)
        return np.asarray(np.linalg.inv(fisher) / np.outer(scale, scale))


def sectors_of(
    scene: PowderScene, extra_variance: float = 0.0, points: int = 40_000
) -> Sectors | None:
    """What the rings of a scene tell; None where no ring stands apart from the others.

    ``extra_variance`` is that of the detector, photons squared; ``points`` about how many pixels
    are taken to stand for all.
    """
    chosen = _separate(scene)
    if not chosen.any():
        return None
    slow, fast, share = _sample(scene, points)
    places = directions(scene.geometry, slow, fast)
    told = np.column_stack([_gradient(scene.geometry, slow, fast), slow, fast])
    light = scene.dimming(places) * scene.passed(slow, fast)
    behind = scene.background_at(places) * scene.passed(slow, fast)
    variance = scene.rings.counts(places) * light + behind + extra_variance
    found = [
        _sums(scene, int(ring), (places, told, share * light**2 / variance))
        for ring in np.flatnonzero(chosen)
    ]
    rings = scene.rings
    information, signal, sums = (np.array(each) for each in zip(*found, strict=True))
    mean = sums / np.maximum(information, 1e-300)[..., None]
    information = information / (1 + information * SECTORS * rings.wander[chosen, None])
    return Sectors(information, signal, mean[..., :5], mean[..., 5:], rings.two_theta[chosen])


def attainable(geometry: Geometry, sectors: Sectors) -> Mapping[str, float]:
    """Least standard errors: of the five parameters, and of the beam's center in pixels.

    ``center`` is that of its worse direction.
    """
    covariance = sectors.covariance()
    found = dict(zip(PARAMETERS, np.sqrt(np.diag(covariance)).tolist(), strict=True))
    if not np.isfinite(covariance).all():
        return found | {"center": float("inf")}
    moved = np.array(
        [
            np.subtract(beam_center(more), beam_center(less)) / (2 * step)
            for more, less, step in _steps(geometry)
        ]
    )
    center = np.linalg.eigvalsh(moved.T @ covariance @ moved)[-1]
    return found | {"center": float(np.sqrt(center))}


def misfit(geometry: Geometry, sectors: Sectors, stated_wavelength: float) -> float:
    """Mean distance of rings, in pixels, from the best geometry that a wrong energy allows.

    Weighted as sectors tell; nan where that geometry is not found.
    """
    sine = np.sin(0.5 * sectors.angle) * stated_wavelength / geometry.wavelength
    wrong = 2 * np.arcsin(np.minimum(sine, 1.0))
    slow, fast = np.moveaxis(sectors.place[sectors.seen], -1, 0)
    aim = (
        directions(geometry, slow, fast).two_theta
        + np.broadcast_to((wrong - sectors.angle)[:, None], sectors.seen.shape)[sectors.seen]
    )
    root = np.sqrt(sectors.information[sectors.seen])
    stretch = float(np.median(np.tan(sectors.angle) / np.tan(wrong)))
    fitted = replace(geometry, distance=geometry.distance * stretch)
    for _ in range(20):
        left = (aim - directions(fitted, slow, fast).two_theta) * root
        gradient = _gradient(fitted, slow, fast) * root[:, None]
        scale = np.linalg.norm(gradient, axis=0)
        step = np.linalg.lstsq(gradient / scale, left, rcond=None)[0] / scale
        values = [getattr(fitted, n) + s for n, s in zip(PARAMETERS, step.tolist(), strict=True)]
        if not values[0] > 0:
            return float("nan")
        fitted = replace(fitted, **dict(zip(PARAMETERS, values, strict=True)))
    left = (aim - directions(fitted, slow, fast).two_theta) * root
    pixel = geometry.detector.pixel1 * np.cos(sectors.angle).mean() ** 2 / geometry.distance
    return float(np.sqrt(np.sum(left**2) / np.sum(root**2)) / pixel)


def _sample(scene: PowderScene, points: int) -> tuple[Floats, Floats, float]:
    """Centers of some pixels that measure, each standing for how many."""
    detector = scene.geometry.detector
    shape = detector.known_shape
    stride = max(1, round(np.sqrt(shape[0] * shape[1] / points)))
    slow, fast = np.meshgrid(*(np.arange(stride // 2, n, stride) for n in shape), indexing="ij")
    mask = detector.built_in_mask()
    measuring = np.ones(slow.shape, dtype=bool) if mask is None else ~mask[slow, fast]
    return slow[measuring] + 0.5, fast[measuring] + 0.5, float(stride**2)


def _separate(scene: PowderScene) -> Bools:
    rings = scene.rings
    apart = np.abs(rings.two_theta[:, None] - rings.two_theta[None, :])
    close = apart < _SEPARATE * np.maximum(rings.width[:, None], rings.width[None, :])
    strong = rings.height[None, :] > _FAINT * rings.height[:, None]
    np.fill_diagonal(close, val=False)
    return np.asarray(~(close & strong).any(axis=1))


def _sums(
    scene: PowderScene, ring: int, seen: tuple[Directions, Floats, Floats]
) -> tuple[Floats, Floats, Floats]:
    """Information and signal of one ring's sectors, and the sums of what is told, so weighted."""
    rings, (places, told, weight) = scene.rings, seen
    across = (places.two_theta - rings.two_theta[ring]) / rings.width[ring]
    near = np.flatnonzero(np.abs(across) < 3)
    height = rings.height[ring] * at_azimuth(_smooth(rings.amplitude[ring]), places.chi[near])
    sector = ((places.chi[near] / (2 * np.pi)) % 1.0 * SECTORS).astype(np.intp) % SECTORS
    steep = height * slope(across[near], rings.lorentzian) / rings.width[ring]
    high = height * profile(across[near], rings.lorentzian)
    information = weight[near] * steep**2

    def by_sector(values: Floats) -> Floats:
        return np.bincount(sector, values, minlength=SECTORS).astype(float)

    sums = np.stack([by_sector(information * column) for column in told[near].T], axis=-1)
    return by_sector(information), by_sector(weight[near] * high**2), sums


def _smooth(table: Floats) -> Floats:
    """Means of sectors where a ring is made of grains, too narrow for the pixels taken here."""
    if table.size <= _SMOOTH_TABLE:
        return table
    return np.asarray(table[: table.size // SECTORS * SECTORS].reshape(SECTORS, -1).mean(axis=1))


def _steps(geometry: Geometry) -> list[tuple[Geometry, Geometry, float]]:
    """The geometry with each parameter a little more and a little less, and by how much."""
    found = []
    for name in PARAMETERS:
        value = getattr(geometry, name)
        step = 1e-5 if name.startswith("rot") else 1e-5 * geometry.distance
        found.append(
            (
                replace(geometry, **{name: value + step}),
                replace(geometry, **{name: value - step}),
                step,
            )
        )
    return found


def _gradient(geometry: Geometry, slow: Floats, fast: Floats) -> Floats:
    """Derivatives of the scattering angle by the five parameters, shape (places, 5)."""
    return np.stack(
        [
            (directions(more, slow, fast).two_theta - directions(less, slow, fast).two_theta)
            / (2 * step)
            for more, less, step in _steps(geometry)
        ],
        axis=-1,
    )
