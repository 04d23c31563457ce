"""What makes rings uneven: preferred orientation, and too few grains."""

from dataclasses import replace

import numpy as np

from .powder_scene import Floats, PowderScene  # noqa: TID252

_TEXTURE, _GRAINS = 2048, 32768
"""Places of tables round a ring."""


def texture(random: np.random.Generator, count: int) -> Floats:
    """Amplitudes with mean 1 that change along each ring in its own way, at places near to zero."""
    chi = np.linspace(0, 2 * np.pi, _TEXTURE, endpoint=False)
    order = np.arange(1, 5)[:, None]
    strength = random.uniform(0.5, 1.0)
    found = []
    for _ in range(count):
        phase = random.uniform(0, 2 * np.pi, (4, 1))
        wave = (random.normal(size=(4, 1)) * np.cos(order * chi + phase)).sum(axis=0) ** 2
        found.append(1 - strength + strength * wave / wave.mean())
    return np.array(found)


def with_grains(
    random: np.random.Generator, scene: PowderScene, in_view: float, number: float
) -> PowderScene:
    """The scene with rings of single grains, ``number`` of them in view on each ring.

    ``in_view`` is the part of a ring that the detector sees. A grain is a spot with the ring's
    profile across and a Gaussian along the ring, of log-normal strength, a little off the ring.
    """
    rings, geometry = scene.rings, scene.geometry
    spread, apart = random.uniform(0.5, 1.2), random.uniform(0.05, 0.2)
    length = random.uniform(0.7, 2.5) * geometry.detector.pixel1  # on the detector
    amplitude, offset = [], []
    for ring in range(rings.two_theta.size):
        radius = geometry.distance * np.tan(rings.two_theta[ring])
        places = random.integers(0, _GRAINS, int(number / in_view))
        strengths = random.lognormal(0.0, spread, places.size)
        offsets = random.normal(0.0, apart * rings.width[ring], places.size)
        light = _blurred(places, strengths, length / radius)
        outside = _blurred(places, strengths * offsets, length / radius)
        stretched = rings.amplitude[ring].repeat(_GRAINS // rings.amplitude.shape[1])
        amplitude.append(stretched * light / light.mean())
        offset.append(np.where(light > 1e-6 * light.max(), outside / np.maximum(light, 1e-30), 0.0))
    effective = number / in_view * np.exp(-(spread**2))
    wander = (apart * rings.width) ** 2 / effective
    grainy = replace(rings, amplitude=np.array(amplitude), offset=np.array(offset), wander=wander)
    return replace(scene, rings=grainy)


def _blurred(places: np.ndarray, weights: Floats, sigma: float) -> Floats:
    """Gaussians of ``sigma`` rad at places of a table round the circle."""
    table = np.bincount(places, weights, minlength=_GRAINS)
    order = np.arange(_GRAINS // 2 + 1)
    smooth = np.fft.rfft(table) * np.exp(-0.5 * (order * sigma) ** 2)
    found = np.fft.irfft(smooth, _GRAINS)
    # Sharper than a place of the table, a Gaussian rings.
    return np.asarray(np.where(np.abs(found) < 1e-9 * np.abs(found).max(), 0.0, found))
