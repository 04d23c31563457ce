"""Powder rings of a crystal, computed from its cell, its space group and the atoms in it."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import gemmi
import numpy as np

from ringline.processing.checks import require_positive
from ringline.processing.errors import RecipeError
from ringline.processing.types import IntArray

_ANGSTROM = 1e-10
_SAME = 1e-9
"""Relative difference of plane spacings that is rounding: 300 and 221 make one ring."""
_DARK = 1e-16
"""Part of what all atoms in phase would scatter that is rounding."""
_MOST_RINGS_RATIO = 200.0
"""Of the cell's longest edge over the smallest spacing: beyond, rings are more than images show."""


@dataclass(frozen=True, slots=True)
class Ring:
    """All reflections of one plane spacing."""

    spacing: float
    """d, m."""
    indices: tuple[int, int, int] | None = None
    """Miller indices of one of them; None where they are not known."""
    multiplicity: int | None = None
    """How many reflections there are."""
    strength: float | None = None
    """Sum of their squared structure factors, electrons squared; the multiplicity where the atoms
    are not known, None where neither is."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A unit cell: edges in m, angles in degrees."""

    a: float
    b: float
    c: float
    alpha: float = 90.0
    beta: float = 90.0
    gamma: float = 90.0

    def __post_init__(self) -> None:
        for name in ("a", "b", "c"):
            object.__setattr__(self, name, require_positive(name, getattr(self, name), "m"))
        for name in ("alpha", "beta", "gamma"):
            angle = getattr(self, name)
            if not 0 < angle < 180:
                raise RecipeError(f"{name} must lie between 0 and 180 degrees, got {angle!r}")
        if not np.isfinite(self.in_angstrom.volume) or self.in_angstrom.volume <= 0:
            raise RecipeError(
                f"no cell has the angles {self.alpha:g}, {self.beta:g} and {self.gamma:g} degrees"
            )

    @property
    def in_angstrom(self) -> gemmi.UnitCell:
        """As the crystallographic library has it."""
        a, b, c = (edge / _ANGSTROM for edge in (self.a, self.b, self.c))
        return gemmi.UnitCell(a, b, c, self.alpha, self.beta, self.gamma)

    @classmethod
    def cubic(cls, a: float) -> "Cell":
        """Three equal edges, m."""
        return cls(a, a, a)

    @classmethod
    def tetragonal(cls, a: float, c: float) -> "Cell":
        """Two equal edges and another one, m."""
        return cls(a, a, c)

    @classmethod
    def hexagonal(cls, a: float, c: float) -> "Cell":
        """Two equal edges at 120 degrees and another one, m; also of trigonal crystals."""
        return cls(a, a, c, gamma=120.0)


@dataclass(frozen=True, slots=True)
class Atom:
    """An element at a fractional position of the cell; symmetry makes the others like it."""

    element: str
    position: tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Crystal:
    """A crystalline powder.

    Raises
    ------
    RecipeError:
        The space group or an element is not known.
    """

    name: str
    cell: Cell
    space_group: str
    """Hermann-Mauguin symbol, with the setting where there are several ("R -3 c:H")."""
    atoms: tuple[Atom, ...] = ()
    """The independent ones; without any, strengths are multiplicities."""
    displacement: float = 0.4e-20
    """Debye-Waller factor B of all atoms, m^2."""
    source: str = ""
    """Where the cell is from."""

    def __post_init__(self) -> None:
        if gemmi.find_spacegroup_by_name(self.space_group) is None:
            raise RecipeError(f"{self.name}: unknown space group {self.space_group!r}")
        for atom in self.atoms:
            if gemmi.Element(atom.element).atomic_number == 0:
                raise RecipeError(f"{self.name}: unknown element {atom.element!r}")

    def rings(self, *, smallest_spacing: float) -> list[Ring]:
        """Rings with d >= ``smallest_spacing`` (m), the largest d first.

        Planes of equal d that the symmetry does not join make one ring.
        """
        smallest = require_positive("smallest spacing", smallest_spacing, "m")
        longest = max(self.cell.a, self.cell.b, self.cell.c)
        if longest > _MOST_RINGS_RATIO * smallest:
            raise RecipeError(
                f"smallest spacing {smallest:g} m: rings of {self.name} are computed down to "
                f"{longest / _MOST_RINGS_RATIO:g} m"
            )
        found: list[Ring] = []
        for ring in sorted(self._reflections(smallest), key=lambda ring: -ring.spacing):
            if found and found[-1].spacing - ring.spacing <= _SAME * ring.spacing:
                found[-1] = _joined(found[-1], ring)
            else:
                found.append(ring)
        return found

    def _reflections(self, smallest: float) -> Iterator[Ring]:
        cell, group = self.cell.in_angstrom, self._group
        # A reflection just at the limit is one.
        indices = gemmi.make_miller_array(cell, group, smallest / _ANGSTROM * (1 - _SAME))
        indices = indices[np.any(indices != 0, axis=1)]
        rotated = np.einsum("ni,oij->noj", indices, self._rotations)
        equal = np.concatenate([rotated, -rotated], axis=1)
        # One number each, in the order of the indices.
        base = 2 * int(np.abs(equal).max(initial=0)) + 1
        keys = np.sort((equal[..., 0] * base + equal[..., 1]) * base + equal[..., 2], axis=1)
        numbers = 1 + (np.diff(keys, axis=1) > 0).sum(axis=1)
        for some, number in zip(equal.tolist(), numbers.tolist(), strict=True):
            h, k, m = max(some)
            spacing = cell.calculate_d((h, k, m)) * _ANGSTROM
            square = self.structure_factor((h, k, m)) if self.atoms else 1.0
            # What the symmetry allows, the atoms may not: silicon's 222.
            if square > _DARK * self._in_phase(spacing):
                yield Ring(spacing, (h, k, m), number, number * square)

    def structure_factor(self, indices: tuple[int, int, int]) -> float:
        """Squared structure factor of a reflection, electrons squared, with thermal motion.

        Form factors of the International Tables, volume C, table 6.1.1.4.
        """
        return float(abs(self._scattering(indices)) ** 2)

    def _in_phase(self, spacing: float) -> float:
        """Squared structure factor if all atoms of the cell scattered in phase."""
        square = (0.5 * _ANGSTROM / spacing) ** 2  # (sin(theta) / lambda) squared, 1/angstrom^2
        _, structure = self._structure
        images = 1 + len(structure.cell.images)
        total = sum(
            images * site.occ * site.element.it92.calculate_sf(square) for site in structure.sites
        )
        return float((total * np.exp(-self.displacement / _ANGSTROM**2 * square)) ** 2)

    def _scattering(self, indices: tuple[int, int, int]) -> complex:
        calculator, structure = self._structure
        return complex(calculator.calculate_sf_from_small_structure(structure, indices))

    @property
    def _group(self) -> gemmi.SpaceGroup:
        return gemmi.find_spacegroup_by_name(self.space_group)

    @cached_property
    def _rotations(self) -> IntArray:
        """Of the operations of symmetry, shape (operations, 3, 3), for indices from the left."""
        operations = self._group.operations().sym_ops
        return np.array([operation.rot for operation in operations]) // gemmi.Op.DEN

    @cached_property
    def _structure(self) -> tuple[gemmi.StructureFactorCalculatorX, gemmi.SmallStructure]:
        structure = gemmi.SmallStructure()
        structure.cell = self.cell.in_angstrom
        structure.spacegroup = self._group
        for atom in self.atoms:
            site = gemmi.SmallStructure.Site()
            site.label, site.element = atom.element, gemmi.Element(atom.element)
            site.fract = gemmi.Fractional(*atom.position)
            site.occ = 1.0
            site.u_iso = self.displacement / _ANGSTROM**2 / (8 * np.pi**2)
            structure.add_site(site)
        structure.setup_cell_images()
        # Atoms on symmetry elements would be counted once for each operation that keeps them.
        structure.change_occupancies_to_crystallographic()
        return gemmi.StructureFactorCalculatorX(structure.cell), structure


def _joined(ring: Ring, more: Ring) -> Ring:
    return Ring(
        ring.spacing,
        max(each.indices for each in (ring, more) if each.indices is not None),
        (ring.multiplicity or 0) + (more.multiplicity or 0),
        (ring.strength or 0.0) + (more.strength or 0.0),
    )
