"""Powder rings of two calibrants, from the cell and the atoms in it."""

import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ringline.processing import RecipeError


@dataclass(frozen=True, slots=True)
class Element:
    """X-ray form factor of an atom: sum of a exp(-b s^2) + c, s = sin(theta) / lambda in 1/A.

    Coefficients of the International Tables, volume C, table 6.1.1.4.
    """

    a: tuple[float, float, float, float]
    b: tuple[float, float, float, float]
    c: float

    def form_factor(self, s: float) -> float:
        """Electrons, at ``s`` in 1/angstrom."""
        return float(np.dot(self.a, np.exp(-np.asarray(self.b) * s * s))) + self.c


@dataclass(frozen=True, slots=True)
class Atom:
    """An element at a fractional position of the cell."""

    element: Element
    position: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Ring:
    """All reflections of one plane spacing."""

    spacing: float
    """d, m."""
    indices: tuple[int, int, int]
    multiplicity: int
    strength: float
    """Multiplicity times squared structure factor, electrons squared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crystal:
    """A cubic crystal: cell edge in m, centring P or F, all atoms of the cell."""

    name: str
    edge: float
    centring: str
    atoms: tuple[Atom, ...]
    displacement: float = 0.4e-20
    """Debye-Waller factor B, m^2."""

    def allows(self, indices: tuple[int, int, int]) -> bool:
        """Whether the centring lets the reflection exist (F: all odd or all even)."""
        parity = {index % 2 for index in indices}
        return self.centring == "P" or len(parity) == 1

    def structure_factor(self, indices: tuple[int, int, int]) -> complex:
        """Scattering of the cell, electrons, with thermal motion."""
        s = 0.5e-10 * float(np.linalg.norm(indices)) / self.edge
        waves = (
            atom.element.form_factor(s) * np.exp(2j * np.pi * np.dot(indices, atom.position))
            for atom in self.atoms
        )
        return complex(sum(waves)) * float(np.exp(-self.displacement * 1e20 * s * s))

    def rings(self, *, smallest_spacing: float) -> list[Ring]:
        """Rings with d >= ``smallest_spacing`` (m), the largest d first.

        Planes of equal d that the cubic symmetry does not join (300 and 221) make one ring.
        """
        if not smallest_spacing > 0:
            raise RecipeError(f"smallest spacing must be > 0 m, got {smallest_spacing!r}")
        top = int(self.edge / smallest_spacing)
        shells: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
        for h, k, m in itertools.product(range(-top, top + 1), repeat=3):
            square = h * h + k * k + m * m
            if 0 < square <= (self.edge / smallest_spacing) ** 2 and self.allows((h, k, m)):
                shells[square].append((h, k, m))
        return [self._ring(square, shells[square]) for square in sorted(shells)]

    def _ring(self, square: int, planes: Sequence[tuple[int, int, int]]) -> Ring:
        return Ring(
            spacing=self.edge / float(np.sqrt(square)),
            indices=max(planes),
            multiplicity=len(planes),
            strength=sum(abs(self.structure_factor(plane)) ** 2 for plane in planes),
        )


def crystal_named(name: str) -> Crystal:
    """A crystal of the table: LaB6 or CeO2.

    Raises
    ------
    RecipeError:
        The name is not in the table.
    """
    for crystal in CRYSTALS:
        if crystal.name.lower() == name.lower():
            return crystal
    known = ", ".join(crystal.name for crystal in CRYSTALS)
    raise RecipeError(f"unknown crystal {name!r}: choose from {known}")


_LA = Element((20.578, 19.599, 11.3727, 3.28719), (2.94817, 0.244475, 18.7726, 133.124), 2.14678)
_B = Element((2.0545, 1.3326, 1.0979, 0.7068), (23.2185, 1.021, 60.3498, 0.1403), -0.1932)
_CE = Element((21.1671, 19.7695, 11.8513, 3.33049), (2.81219, 0.226836, 17.6083, 127.113), 1.86264)
_O = Element((3.0485, 2.2868, 1.5463, 0.867), (13.2771, 5.7011, 0.3239, 32.9089), 0.2508)

_BORON = 0.1993
_LAB6_ATOMS = (
    Atom(_LA, (0.0, 0.0, 0.0)),
    *(
        Atom(_B, position)
        for x in (_BORON, 1 - _BORON)
        for position in ((x, 0.5, 0.5), (0.5, x, 0.5), (0.5, 0.5, x))
    ),
)
_FACES = ((0.0, 0.0, 0.0), (0.0, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0))
_CEO2_ATOMS = (
    *(Atom(_CE, face) for face in _FACES),
    *(
        Atom(_O, (0.25 + x, 0.25 + y, z + quarter))
        for x, y, z in _FACES
        for quarter in (0.25, 0.75)
    ),
)

# Cell edges: NIST standard reference materials 660c (LaB6, Pm-3m) and 674b (CeO2, Fm-3m).
LAB6 = Crystal(name="LaB6", edge=4.156826e-10, centring="P", atoms=_LAB6_ATOMS)
CEO2 = Crystal(name="CeO2", edge=5.411651e-10, centring="F", atoms=_CEO2_ATOMS)
CRYSTALS = (LAB6, CEO2)
