"""Images that tell no geometry, or are not what the user says they are.

A statement is wrong only where the image shows it: a wrong energy or a similar cell leaves rings at
least half a pixel off in the mean, whatever the geometry.
"""

import itertools
from dataclasses import dataclass, replace

import numpy as np

from ringline.processing import Geometry, calibrant_named, detector_named

from .calibration_cases import (  # noqa: TID252
    DETECTORS,
    SEED,
    Case,
    Kind,
    Readout,
    angles_of,
    draw,
    lines_of,
    lit,
    placed,
    readout_of,
    wavelength_of,
)
from .calibration_limits import misfit  # noqa: TID252
from .powder_scene import Background, Floats, PowderScene  # noqa: TID252

_LEAST_MISFIT = 0.5
"""Pixels."""
_CUBIC = ("LaB6", "CeO2", "Si 640c", "Au")
_PLACES = 8192
"""Of tables round a ring of spots."""
WRONG_CALIBRANTS = (
    ("LaB6", "CeO2"),
    ("CeO2", "LaB6"),
    ("Si 640c", "CeO2"),  # edges 0.4 % apart: only rings that are absent tell
    ("CeO2", "Si 640c"),
    ("Al2O3", "Cr2O3"),  # the same structure, a few percent larger
    ("Cr2O3", "CeO2"),
    ("Au", "LaB6"),
    ("Ni", "Si 640c"),
    ("LaB6", "Al2O3"),
    ("CeO2", "Au"),  # the same lattice, a quarter smaller
    ("AgBh", "LaB6"),
    ("Si 640c", "LaB6"),
)
_ALIKE = {("Al2O3", "Cr2O3"): 4.759355 / 4.958979, ("CeO2", "Au"): 5.411651 / 4.0782}
"""Ratio of edges of cells whose rings lie alike: a wrong one is a wrong wavelength by it."""


@dataclass(frozen=True)
class Spoiled:
    """A scene and what is said of it."""

    scene: PowderScene
    readout: Readout
    kind: str
    calibrant: str
    """As stated."""
    wavelength: float
    """As stated, m."""
    label: str


KINDS = {
    "wrong calibrant": 12,
    "wrong energy": 12,
    "one ring": 8,
    "blank": 5,
    "saturated": 5,
    "single crystal": 8,
}
"""How many of each."""


def spoil(number: int) -> Spoiled:
    """One from 0 to 49, the same each time."""
    first = dict(zip(KINDS, itertools.accumulate(KINDS.values(), initial=0), strict=False))
    kind = next(name for name in reversed(KINDS) if number >= first[name])
    which = number - first[kind]
    match kind:
        case "wrong calibrant":
            return _wrong_calibrant(number, which)
        case "wrong energy":
            return _wrong_energy(number, which)
        case "one ring":
            return _one_ring(number, which)
        case "blank":
            return _blank(number, which)
        case "saturated":
            return _saturated(number, which)
        case _:
            return _single_crystal(number, which)


def _kind(number: int, calibrant: str, *, detectors: int = 5) -> Kind:
    """Good light, tilts up to 15 degrees: nothing else than the spoil is to be a reason."""
    random = np.random.default_rng([SEED, 3, number])
    name, pixel, _ = DETECTORS[number % detectors]
    return Kind(
        detector=detector_named(name, None if pixel is None else (pixel, pixel)),
        calibrant=calibrant,
        tilt=((0.0, 1.0), (1.0, 15.0))[int(random.integers(2))],
        center=("on", "edge")[int(random.integers(2))],
        light=("medium", "high")[int(random.integers(2))],
        textured=bool(random.integers(2)),
        grainy=False,
        broadened=False,
    )


def _telling(number: int, calibrant: str, wavelengths: float) -> Case:
    """A case in which a wavelength that is wrong by a factor shows."""
    for again in range(200):
        case = draw(_kind(number, calibrant), 1000 + number + 100 * again)
        geometry = case.scene.geometry
        if misfit(geometry, case.sectors, geometry.wavelength * wavelengths) > _LEAST_MISFIT:
            return case
    raise RuntimeError(f"{calibrant}: no image shows a wavelength {wavelengths:g} times too long")


def _wrong_calibrant(number: int, which: int) -> Spoiled:
    true, stated = WRONG_CALIBRANTS[which]
    if (true, stated) in _ALIKE:
        # Both have sin(theta) in proportion to wavelength over edge.
        case = _telling(number, true, _ALIKE[true, stated])
    else:
        case = draw(_kind(number, true), 1000 + number)
    scene = case.scene
    label = f"{true} stated as {stated}"
    wavelength = scene.geometry.wavelength
    return Spoiled(scene, case.readout, "wrong calibrant", stated, wavelength, label)


def _wrong_energy(number: int, which: int) -> Spoiled:
    calibrant = ("LaB6", "CeO2", "Si 640c", "Al2O3", "Cr2O3", "Au")[which % 6]
    factor = (1.05, 1 / 1.05)[which // 6]
    case = _telling(number, calibrant, factor)
    wavelength = case.scene.geometry.wavelength * factor
    label = f"{calibrant}, energy {'5 % too low' if factor > 1 else '5 % too high'}"
    return Spoiled(case.scene, case.readout, "wrong energy", calibrant, wavelength, label)


def _one_ring(number: int, which: int) -> Spoiled:
    kind = _kind(number, _CUBIC[which % 4])
    for attempt in range(10_000):
        random = np.random.default_rng([SEED, 4, number, attempt])
        readout = readout_of(random, kind)
        wavelength = wavelength_of(random, kind.calibrant)
        angles, _ = lines_of(kind.calibrant, wavelength)
        geometry = placed(random, kind, wavelength, float(angles[0]))
        seen, pixel = angles_of(geometry)
        if not seen.min() < angles[0] < seen.max() < angles[1] - 40 * pixel.max():
            continue
        scene = lit(random, kind, geometry, 300.0)
        if scene is not None:
            return Spoiled(scene, readout, "one ring", kind.calibrant, wavelength, kind.calibrant)
    raise RuntimeError(f"{kind}: no image shows one ring alone")


def _blank(number: int, which: int) -> Spoiled:
    case = draw(_kind(number, ("LaB6", "CeO2", "Al2O3")[which % 3]), 1000 + number)
    rings = replace(case.scene.rings, height=np.zeros_like(case.scene.rings.height))
    scene = replace(case.scene, rings=rings)
    label = "background only"
    if which == 0:
        scene = replace(scene, background=Background(0.0, 1.0, 0.0, 1.0, 1.0, 0.0))
        label = "no photon"
    if which == 1:
        scene = replace(scene, background=Background(0.0, 1.0, 0.0, 1.0, 1.0, 0.3))
        label = "0.3 photons a pixel"
    if which == 2:
        wide = scene.background
        halo = replace(wide, hump=500.0, hump_width=0.3 * wide.hump_width, air=100.0)
        scene, label = replace(scene, background=halo), "an amorphous halo"
    wavelength = scene.geometry.wavelength
    return Spoiled(scene, case.readout, "blank", case.kind.calibrant, wavelength, label)


def _saturated(number: int, which: int) -> Spoiled:
    """So much light that background saturates nearly everywhere, or everywhere."""
    case = draw(_kind(number, ("CeO2", "LaB6")[which % 2], detectors=4), 1000 + number)
    mean = case.scene.mean_image()
    part = (0.0, 0.0, 0.02, 0.05, 0.1)[which]
    dimmest = float(np.quantile(mean[mean > 0], part))
    factor = 1.1 * case.readout.largest / (case.readout.gain * dimmest)
    light, behind = case.scene.rings, case.scene.background
    brighter = replace(
        case.scene,
        rings=replace(light, height=light.height * factor),
        background=replace(
            behind,
            air=behind.air * factor,
            hump=behind.hump * factor,
            fluorescence=behind.fluorescence * factor,
        ),
    )
    wavelength = case.scene.geometry.wavelength
    label = f"{100 * (1 - part):g} % of pixels"
    return Spoiled(brighter, case.readout, "saturated", case.kind.calibrant, wavelength, label)


def _single_crystal(number: int, which: int) -> Spoiled:
    kind = _kind(number, _CUBIC[which % 4])
    for again in range(200):
        case = draw(kind, 1000 + number + 100 * again)
        random = np.random.default_rng([SEED, 5, number, again])
        amplitude = _spots(random, case)
        rings = replace(
            case.scene.rings,
            height=np.full_like(case.scene.rings.height, 2e3),
            amplitude=amplitude,
        )
        scene = replace(case.scene, rings=rings)
        spots = int(((amplitude > 0.1) & (np.roll(amplitude, 1, axis=1) <= 0.1)).sum())
        if 6 <= spots <= 60:
            label = f"{kind.calibrant}, {spots} spots"
            wavelength = scene.geometry.wavelength
            return Spoiled(scene, case.readout, "single crystal", kind.calibrant, wavelength, label)
    raise RuntimeError(f"{kind}: no crystal of it shows some spots")


def _spots(random: np.random.Generator, case: Case) -> Floats:
    """Tables round each ring with a spot where planes of a cubic crystal reflect.

    Planes with the unit normal g reflect where g . b = -sin(theta), along the azimuth of g; the
    crystal turns by some degrees meanwhile.
    """
    geometry = case.scene.geometry
    axes, _ = np.linalg.qr(random.normal(size=(3, 3)))
    turn = np.deg2rad(random.uniform(1.0, 4.0))
    chi = np.linspace(0, 2 * np.pi, _PLACES, endpoint=False)
    found = np.zeros((case.scene.rings.two_theta.size, _PLACES))
    for row, (angle, normals) in enumerate(_normals(case, geometry)):
        turned = normals @ axes
        reflects = np.abs(np.arcsin(-turned[:, 2]) - 0.5 * angle) < 0.5 * turn
        sigma = 1.5 * geometry.detector.pixel1 / (geometry.distance * np.tan(angle))
        for normal in turned[reflects]:
            away = np.angle(np.exp(1j * (chi - np.arctan2(normal[0], normal[1]))))
            found[row] += random.lognormal(0.0, 1.0) * np.exp(-0.5 * (away / sigma) ** 2)
    return found


def _normals(case: Case, geometry: Geometry) -> list[tuple[float, Floats]]:
    """Of each ring, its angle and the unit normals of its planes, shape (planes, 3)."""
    found = []
    smallest = geometry.wavelength / (2 * np.sin(0.5 * np.deg2rad(75)))
    rings = calibrant_named(case.kind.calibrant).rings(smallest_spacing=smallest)
    for angle in case.scene.rings.two_theta.tolist():
        spacing = geometry.wavelength / (2 * np.sin(0.5 * angle))
        ring = min(rings, key=lambda one: abs(one.spacing - spacing))
        if ring.indices is None:
            raise ValueError(f"{case.kind.calibrant}: planes are not known")
        planes = {
            tuple(sign * index for sign, index in zip(signs, order, strict=True))
            for order in itertools.permutations(ring.indices)
            for signs in itertools.product((-1, 1), repeat=3)
        }
        normals = np.array(sorted(planes), dtype=float)
        found.append((angle, normals / np.linalg.norm(normals, axis=1, keepdims=True)))
    return found
