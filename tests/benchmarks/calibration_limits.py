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
_POINTS = 40_000
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
    angle: Floats
    """Scattering angle of a ring, shape (rings,)."""
    width: Floats
    """Full width of a ring, rad, shape (rings,)."""

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


def sectors_of(scene: PowderScene, extra_variance: float = 0.0) -> Sectors:
    """What the rings of a scene tell; ``extra_variance`` of the detector, photons squared."""
    slow, fast, share = _sample(scene)
    places = directions(scene.geometry, slow, fast)
    gradient = _gradient(scene.geometry, slow, fast)
    light = scene.dimming(places) * scene.passed(slow, fast)
    behind = scene.background_at(places) * scene.passed(slow, fast)
    variance = scene.rings.counts(places) * light + behind + extra_variance
    found = [
        _sums(scene, int(ring), (places, gradient, share * light**2 / variance))
        for ring in np.flatnonzero(_separate(scene))
    ]
    rings = scene.rings
    information, signal, sums = (np.array(each) for each in zip(*found, strict=True))
    mean = sums / np.maximum(information, 1e-300)[..., None]
    wander = SECTORS * rings.wander[_separate(scene), None]
    information = information / (1 + information * wander)
    chosen = _separate(scene)
    return Sectors(information, signal, mean, rings.two_theta[chosen], rings.width[chosen])


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

    To first order in the geometry's change, with sectors weighted as they tell.
    """
    sine = np.sin(0.5 * sectors.angle) * stated_wavelength / geometry.wavelength
    wrong = 2 * np.arcsin(np.minimum(sine, 1.0)) - sectors.angle
    away = np.broadcast_to(wrong[:, None], sectors.seen.shape)[sectors.seen]
    root = np.sqrt(sectors.information[sectors.seen])
    gradient = sectors.gradient[sectors.seen] * root[:, None]
    scale = np.linalg.norm(gradient, axis=0)
    fit, *_ = np.linalg.lstsq(gradient / scale, away * root, rcond=None)
    left = away * root - (gradient / scale) @ fit
    pixel = geometry.detector.pixel1 * np.cos(sectors.angle).mean() ** 2 / geometry.distance
    return float(np.sqrt(np.sum(left**2) / np.sum(root**2)) / pixel)


def _sample(scene: PowderScene) -> tuple[Floats, Floats, float]:
    """Centers of some pixels that measure, each standing for how many."""
    detector = scene.geometry.detector
    shape = detector.known_shape
    stride = max(1, round(np.sqrt(shape[0] * shape[1] / _POINTS)))
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
    """Information, signal and information times gradient of one ring's sectors."""
    rings, (places, gradient, weight) = scene.rings, seen
    across = (places.two_theta - rings.two_theta[ring]) / rings.width[ring]
    near = np.flatnonzero(np.abs(across) < 3)
    height = rings.height[ring] * at_azimuth(_smooth(rings.amplitude[ring]), places.chi[near])
    sector = ((places.chi[near] / (2 * np.pi)) % 1.0 * SECTORS).astype(np.intp) % SECTORS
    steep = height * slope(across[near], rings.lorentzian) / rings.width[ring]
    high = height * profile(across[near], rings.lorentzian)
    told = weight[near] * steep**2

    def by_sector(values: Floats) -> Floats:
        return np.bincount(sector, values, minlength=SECTORS).astype(float)

    sums = np.stack([by_sector(told * gradient[near, k]) for k in range(5)], axis=-1)
    return by_sector(told), by_sector(weight[near] * high**2), sums


def _smooth(table: Floats) -> Floats:
    """The mean of each sector: single grains are too narrow for the pixels taken here."""
    return (
        table
        if table.size < SECTORS
        else table[: table.size // SECTORS * SECTORS].reshape(SECTORS, -1).mean(axis=1)
    )


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
