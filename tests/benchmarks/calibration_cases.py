"""Cases that a calibration must solve: what is asked of each of 200, and scenes that fulfil it.

Kinds are dealt out so that each has its exact share of the 200; the rest is drawn at random, as
often as it takes until the image tells its geometry: at least four separate rings stand out of the
noise over arcs of 18 degrees or more, and the bound of ``calibration_limits`` is a fifth of each
tolerance or less. Where a kind rarely allows that, the exposure grows by a quarter with every
twenty draws; of the strip, which sees little of each ring, few counts are not asked at all.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from ringline.processing import Detector, Geometry, calibrant_named, detector_named

from .calibration_limits import Sectors, attainable, sectors_of  # noqa: TID252
from .powder_scene import (  # noqa: TID252
    Background,
    BeamStop,
    Floats,
    PowderScene,
    Rings,
    beam_center,
    directions,
)
from .powder_texture import texture, with_grains  # noqa: TID252

SEED = 20261121
HC = 12.398419843320026e-10  # keV m
TOLERANCES = {"distance": 1e-3, "center": 0.2, "rot1": 0.5e-3, "rot2": 0.5e-3}
"""Relative; pixels; rad; rad."""
SAFETY = 5.0
"""Standard errors, at the bound, that fit into a tolerance."""
_ENERGIES = (8.0, 80.0)
"""keV."""
_LARGEST_ANGLE = np.deg2rad(75)


@dataclass(frozen=True)
class Readout:
    """How photons become numbers in a file."""

    dtype: str
    gap: int
    """What stands where there is no pixel."""
    largest: int
    gain: float = 1.0
    """Units a photon."""
    noise: float = 0.0
    """Standard deviation of reading, units."""
    pedestal: float = 0.0
    """What is read without light, units."""

    @property
    def variance(self) -> float:
        """Of reading, photons squared."""
        return (self.noise / self.gain) ** 2


@dataclass(frozen=True)
class Kind:
    """What is asked of a case."""

    detector: Detector
    calibrant: str
    tilt: tuple[float, float]
    """Between which angles, degrees."""
    center: str
    """``on``, ``edge`` or ``off``."""
    light: str
    """``low``, ``medium`` or ``high``."""
    textured: bool
    grainy: bool
    broadened: bool


@dataclass(frozen=True)
class Case:
    """A scene that fulfils what is asked, and how it is read out."""

    kind: Kind
    scene: PowderScene
    readout: Readout
    sectors: Sectors
    attainable: Mapping[str, float]
    """Standard errors that no calibration can beat, as ``calibration_limits.attainable``."""

    @property
    def labels(self) -> tuple[str, ...]:
        """What makes it hard, in words."""
        kind, top = self.kind, float(self.scene.rings.height.max())
        light = "low" if top < 15 else "medium" if top < 1000 else "high"
        words = {
            f"tilt {kind.tilt[0]:g}-{kind.tilt[1]:g} deg": True,
            f"center {kind.center}": True,
            f"{light} counts": True,
            "texture": kind.textured,
            "spotty": kind.grainy,
            "broadened": kind.broadened,
        }
        return (kind.detector.name, kind.calibrant, *(word for word, so in words.items() if so))


DETECTORS = (
    ("Pilatus 1M", None, 50),
    ("Pilatus 300kw", None, 40),
    ("Perkin", 400e-6, 45),
    ("RayonixSx165", 158e-6, 45),
    ("Eiger2 4M", None, 20),
)
"""Name, pixel of one that bins, and share of 200: about a megapixel each, one of four."""
_STRIPS = ("Pilatus 300kw",)
CALIBRANTS = {
    "LaB6": 45, "CeO2": 40, "Si 640c": 30, "Al2O3": 25, "Cr2O3": 20, "Au": 15, "Ni": 10, "AgBh": 15,
}  # fmt: skip
_TOPS = {"low": (3.0, 10.0), "medium": (10.0, 1e3), "high": (1e3, 3e4)}
"""Photons at the top of the strongest ring."""


def kind_of(number: int) -> Kind:
    """What is asked of a case from 0 to 199."""
    random = np.random.default_rng([SEED, 0])

    def deal(*shares: int) -> int:
        of = random.permutation(np.repeat(np.arange(len(shares)), shares))
        return int(of[number])

    name, pixel, _ = DETECTORS[deal(*(share for *_, share in DETECTORS))]
    light = ("low", "medium", "high")[deal(60, 80, 60)]
    return Kind(
        detector=detector_named(name, None if pixel is None else (pixel, pixel)),
        calibrant=list(CALIBRANTS)[deal(*CALIBRANTS.values())],
        tilt=((0.0, 1.0), (1.0, 15.0), (15.0, 30.0))[deal(80, 80, 40)],
        center=("on", "edge", "off")[deal(120, 50, 30)],
        light="medium" if name in _STRIPS and light == "low" else light,
        textured=deal(80, 120) == 1,
        grainy=deal(120, 80) == 1,
        broadened=deal(170, 30) == 1,
    )


def draw(kind: Kind, seed: int) -> Case:
    """A case of a kind, the same for the same seed."""
    for attempt in range(2000):
        random = np.random.default_rng([SEED, 1, seed, attempt])
        exposure = 1.25 ** (attempt // 20)
        readout = readout_of(random, kind)
        scene = _scene(random, kind, exposure * _log_uniform(random, *_TOPS[kind.light]), readout)
        # Most are left after a glance.
        if scene is None or not _is_told(scene, sectors_of(scene, readout.variance, 5_000), 0.7):
            continue
        sectors = sectors_of(scene, readout.variance)
        if kind.grainy and sectors is not None:
            number = min(exposure * _log_uniform(random, 200, 5000), 20_000)
            in_view = max(float(np.median(sectors.seen.mean(axis=1))), 0.02)
            scene = with_grains(random, scene, in_view, number)
            sectors = sectors_of(scene, readout.variance)
        if sectors is not None and _is_told(scene, sectors):
            return Case(kind, scene, readout, sectors, attainable(scene.geometry, sectors))
    raise RuntimeError(f"{kind}: no such image tells its geometry")


def _is_told(scene: PowderScene, sectors: Sectors | None, part: float = 1.0) -> bool:
    if sectors is None or sectors.plain_rings < 4:
        return False
    errors = dict(attainable(scene.geometry, sectors))
    errors["distance"] /= scene.geometry.distance
    return all(part * SAFETY * errors[name] <= bound for name, bound in TOLERANCES.items())


def readout_of(random: np.random.Generator, kind: Kind) -> Readout:
    name = kind.detector.name
    if name.startswith("Pilatus"):
        return Readout("i4", -1, 1_048_575)
    if name.startswith("Eiger"):
        return Readout("u4", 2**32 - 1, 2**32 - 2)
    noise = random.uniform(0.5, 1.5) if kind.light == "low" else random.uniform(1.5, 6.0)
    gain = random.uniform(0.7, 2.0)
    return Readout("u2", 0, 65535, gain, noise, float(random.integers(10, 200)))


def _scene(
    random: np.random.Generator, kind: Kind, top: float, readout: Readout
) -> PowderScene | None:
    """Anything of the kind; None where fewer than four rings are about."""
    wavelength = wavelength_of(random, kind.calibrant)
    angles, strengths = lines_of(kind.calibrant, wavelength)
    plain = angles[strengths > 0.02 * strengths.max(initial=0.0)]
    plain = plain[plain < np.deg2rad(60)]
    if plain.size < 4:
        return None
    last = float(plain[min(int(_log_uniform(random, 4, 26)), plain.size) - 1])
    geometry = placed(random, kind, wavelength, last)
    top = min(top, 0.7 * readout.largest / readout.gain)
    return lit(random, kind, geometry, top)


def wavelength_of(random: np.random.Generator, calibrant: str) -> float:
    """Of an energy at which people use the calibrant, m."""
    low, high = _ENERGIES
    return HC / _log_uniform(random, low, 20.0 if calibrant == "AgBh" else high)


def lit(
    random: np.random.Generator, kind: Kind, geometry: Geometry, top: float
) -> PowderScene | None:
    """A scene of the kind before a geometry; None where no ring reaches the detector."""
    lines = lines_of(kind.calibrant, geometry.wavelength)
    growth = random.uniform(1.0, 4.0) if kind.broadened else 0.0
    rings = rings_of(geometry, lines, (random.uniform(1.5, 6.0), growth), top)
    count = rings.two_theta.size
    if count == 0:
        return None
    if kind.textured:
        rings = replace(rings, amplitude=texture(random, count))
    rings = replace(rings, lorentzian=random.uniform(0.0, 0.7))
    behind = top * _log_uniform(random, 0.01, 0.4)
    if kind.light == "low":
        behind = random.uniform(0.5, 2.0)
    return PowderScene(
        geometry=geometry,
        rings=rings,
        background=_background(random, behind, float(rings.two_theta[-1])),
        beam_stop=_beam_stop(random, geometry, float(lines[0][0])),
        polarization=random.uniform(0.9, 1.0),
    )


def lines_of(calibrant: str, wavelength: float) -> tuple[Floats, Floats]:
    """Angles of a calibrant's rings (rad) and their integrated strengths a solid angle."""
    spacing, strength = _spacings(calibrant)
    sine = wavelength / (2 * spacing)
    theta = np.arcsin(sine[sine <= np.sin(0.5 * _LARGEST_ANGLE)])
    return 2 * theta, strength[: theta.size] / (np.sin(theta) ** 2 * np.cos(theta))


@cache
def _spacings(calibrant: str) -> tuple[Floats, Floats]:
    """Spacings (m) and strengths of all rings that any energy brings onto a detector."""
    smallest = HC / _ENERGIES[1] / (2 * np.sin(0.5 * _LARGEST_ANGLE))
    rings = calibrant_named(calibrant).rings(smallest_spacing=smallest)
    # Orders of layers have no strengths; they fall off slower than by Lorentz's factor alone.
    strength = [
        (number + 1) ** 0.7 if ring.strength is None else ring.strength
        for number, ring in enumerate(rings)
    ]
    return np.array([ring.spacing for ring in rings]), np.array(strength)


def rings_of(
    geometry: Geometry, lines: tuple[Floats, Floats], width: tuple[float, float], top: float
) -> Rings:
    """Smooth rings of all lines that reach the detector.

    Parameters
    ----------
    lines:
        As ``lines_of`` gives them.
    width:
        Full width in pixels, in the middle of the image; and how it grows with tan(theta).
    top:
        Photons at the top of the strongest.
    """
    angles, strengths = lines
    seen, pixel = angles_of(geometry)
    full = width[0] * float(np.median(pixel))
    # Pixels that see more of an angle than those in the middle of the image blur by themselves.
    away = geometry.distance / (np.cos(geometry.rot1) * np.cos(geometry.rot2))
    blur = 1.2 * geometry.detector.pixel1 * np.cos(angles) ** 2 / away
    widths = np.hypot(full * np.sqrt(1 + (width[1] * np.tan(0.5 * angles)) ** 2), blur)
    heights = strengths / widths
    about = (angles > seen.min() - 8 * widths) & (angles < seen.max() + 8 * widths)
    about &= heights > 1e-4 * heights[about].max(initial=0.0)
    heights = heights[about]
    return Rings(
        two_theta=angles[about],
        height=heights * (top / heights.max(initial=1e-300)),
        width=widths[about],
        lorentzian=0.5,
        amplitude=np.ones((heights.size, 1)),
        offset=np.zeros((heights.size, 1)),
        wander=np.zeros(heights.size),
    )


def angles_of(geometry: Geometry) -> tuple[Floats, Floats]:
    """Scattering angles of some of the detector, and how much of an angle a pixel sees, rad."""
    shape = geometry.detector.known_shape
    slow, fast = np.meshgrid(*(np.linspace(0, n, 60) for n in shape), indexing="ij")
    here = directions(geometry, slow, fast).two_theta
    up = directions(geometry, slow + 1, fast).two_theta - here
    aside = directions(geometry, slow, fast + 1).two_theta - here
    return here, np.hypot(up, aside)


def placed(random: np.random.Generator, kind: Kind, wavelength: float, last: float) -> Geometry:
    """A geometry of the kind, the angle ``last`` somewhere in the image's outer part."""
    detector = kind.detector
    shape = np.array(detector.known_shape)
    pixels = np.array([detector.pixel1, detector.pixel2])
    center = _center(random, kind.center, shape) * shape
    corners = np.array([(i, j) for i in (0, shape[0]) for j in (0, shape[1])])
    farthest = float(np.linalg.norm((corners - center) * pixels, axis=1).max())
    away = random.uniform(0.5, 1.0) * farthest / np.tan(last)
    tilt, to = np.deg2rad(random.uniform(*kind.tilt)), random.uniform(0, 2 * np.pi)
    slow, fast = np.sin(tilt) * np.cos(to), np.sin(tilt) * np.sin(to)
    poni = center * pixels - away * np.array([slow, fast])
    return Geometry(
        distance=float(away * np.cos(tilt)),
        poni1=float(poni[0]),
        poni2=float(poni[1]),
        rot1=float(np.arctan2(-fast, np.cos(tilt))),
        rot2=float(np.arcsin(slow)),
        wavelength=wavelength,
        detector=detector,
    )


def _center(random: np.random.Generator, where: str, shape: Floats) -> Floats:
    """Place of the direct beam in parts of the detector, (slow, fast)."""
    if where == "on":
        return random.uniform(0.2, 0.8, 2)
    place = random.uniform(0.1, 0.9, 2)
    axis = int(random.integers(2))
    out = -random.uniform(0.0, 0.08) if where == "edge" else random.uniform(0.02, 0.5)
    place[axis] = -out if random.random() < 0.5 else 1 + out
    return np.asarray(place)


def _background(random: np.random.Generator, level: float, last: float) -> Background:
    air, hump, fluorescence = random.dirichlet([2, 2, 2]) * level
    return Background(
        air=2 * air,
        air_angle=random.uniform(0.2, 0.8) * last,
        hump=1.5 * hump,
        hump_angle=random.uniform(0.2, 0.8) * last,
        hump_width=random.uniform(0.1, 0.3) * last,
        fluorescence=fluorescence,
    )


def _beam_stop(random: np.random.Generator, geometry: Geometry, first: float) -> BeamStop | None:
    shape = geometry.detector.known_shape
    on = all(0 < place < n for place, n in zip(beam_center(geometry), shape, strict=True))
    radius = random.uniform(0.2, 0.8) * geometry.distance * np.tan(first)
    if not on or random.random() < 0.15:
        return None
    radius = float(np.clip(radius, 0.4e-3, 6e-3))
    return BeamStop(radius, random.uniform(0.2, 0.6) * radius, random.uniform(0, 2 * np.pi))


def _log_uniform(random: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(random.uniform(np.log(low), np.log(high))))
