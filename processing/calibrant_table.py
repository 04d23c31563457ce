"""Cells of the powders that beamlines calibrate with.

Those of NIST's standard reference materials (SRM) are certified, at 22.5 degrees Celsius; the
others are from the literature named with each.
"""

from ringline.processing.crystals import Atom, Cell, Crystal

_A = 1e-10
_SILICON = {
    "Si": (5.431144, "NIST SRM 640f"),
    "Si 640": (5.430880, "NIST SRM 640"),
    "Si 640a": (5.430825, "NIST SRM 640a"),
    "Si 640b": (5.430940, "NIST SRM 640b"),
    "Si 640c": (5.4311946, "NIST SRM 640c"),
    "Si 640d": (5.43123, "NIST SRM 640d"),
    "Si 640e": (5.431179, "NIST SRM 640e"),
    "Si 640f": (5.431144, "NIST SRM 640f"),
}
_LAB6 = {
    "LaB6": (4.156826, "NIST SRM 660c"),
    "LaB6 660": (4.15695, "NIST SRM 660"),
    "LaB6 660a": (4.1569162, "NIST SRM 660a"),
    "LaB6 660b": (4.15689, "NIST SRM 660b"),
    "LaB6 660c": (4.156826, "NIST SRM 660c"),
}
_CORUNDUM = {
    "Al2O3": (4.759355, 12.99231, "NIST SRM 676a, certificate of 2015"),
    "Al2O3 676": (4.75919, 12.99183, "NIST SRM 676"),
    "Al2O3 676a": (4.759355, 12.99231, "NIST SRM 676a, certificate of 2015"),
}
_METALS = {
    "Au": (4.0782, "Maeland and Flanagan, Can. J. Phys. 42 (1964) 2364"),
    "Ag": (4.0862, "Swanson and Tatge, NBS Circular 539 I (1953) 23"),
    "Pt": (3.9231, "Wyckoff, Crystal Structures 1 (1963)"),
    "Ni": (3.52387, "Taylor, J. Inst. Metals 77 (1950) 585"),
    "Al": (4.0495, "Witt, Z. Naturforsch. A 22 (1967) 92"),
}
_LEVIEN = "Levien, Prewitt and Weidner, American Mineralogist 65 (1980) 920"
_OHKURA = "Ohkura, Kashino and Haisa, Bull. Chem. Soc. Jpn. 45 (1972) 2651"
_WALKER = "Walker et al., American Mineralogist 89 (2004) 204"
_OXIDES = "NIST SRM 674b"

POWDERS: tuple[Crystal, ...] = (
    *(
        Crystal(
            name=name,
            cell=Cell.cubic(edge * _A),
            space_group="P m -3 m",
            atoms=(Atom("La", (0.0, 0.0, 0.0)), Atom("B", (0.1993, 0.5, 0.5))),
            source=source,
        )
        for name, (edge, source) in _LAB6.items()
    ),
    Crystal(
        name="CeO2",
        cell=Cell.cubic(5.411651 * _A),
        space_group="F m -3 m",
        atoms=(Atom("Ce", (0.0, 0.0, 0.0)), Atom("O", (0.25, 0.25, 0.25))),
        source=_OXIDES,
    ),
    *(
        Crystal(
            name=name,
            cell=Cell.cubic(edge * _A),
            space_group="F d -3 m:1",
            atoms=(Atom("Si", (0.0, 0.0, 0.0)),),
            source=source,
        )
        for name, (edge, source) in _SILICON.items()
    ),
    *(
        Crystal(
            name=name,
            cell=Cell.hexagonal(a * _A, c * _A),
            space_group="R -3 c:H",
            atoms=(Atom("Al", (0.0, 0.0, 0.35219)), Atom("O", (0.30633, 0.0, 0.25))),
            source=source,
        )
        for name, (a, c, source) in _CORUNDUM.items()
    ),
    Crystal(
        name="Cr2O3",
        cell=Cell.hexagonal(4.958979 * _A, 13.59592 * _A),
        space_group="R -3 c:H",
        atoms=(Atom("Cr", (0.0, 0.0, 0.34751)), Atom("O", (0.3058, 0.0, 0.25))),
        source=_OXIDES,
    ),
    Crystal(
        name="TiO2",
        cell=Cell.tetragonal(4.593927 * _A, 2.958875 * _A),
        space_group="P 42/m n m",
        atoms=(Atom("Ti", (0.0, 0.0, 0.0)), Atom("O", (0.3049, 0.3049, 0.0))),
        source=_OXIDES,
    ),
    Crystal(
        name="ZnO",
        cell=Cell.hexagonal(3.249897 * _A, 5.20653 * _A),
        space_group="P 63 m c",
        atoms=(Atom("Zn", (1 / 3, 2 / 3, 0.0)), Atom("O", (1 / 3, 2 / 3, 0.3821))),
        source=_OXIDES,
    ),
    *(
        Crystal(
            name=element,
            cell=Cell.cubic(edge * _A),
            space_group="F m -3 m",
            atoms=(Atom(element, (0.0, 0.0, 0.0)),),
            source=source,
        )
        for element, (edge, source) in _METALS.items()
    ),
    Crystal(
        name="NaCl",
        cell=Cell.cubic(5.6401 * _A),
        space_group="F m -3 m",
        atoms=(Atom("Na", (0.0, 0.0, 0.0)), Atom("Cl", (0.5, 0.5, 0.5))),
        source=_WALKER,
    ),
    Crystal(
        name="quartz",
        cell=Cell.hexagonal(4.9160 * _A, 5.4054 * _A),
        space_group="P 32 2 1",
        atoms=(Atom("Si", (0.4697, 0.0, 2 / 3)), Atom("O", (0.4133, 0.2672, 0.1188 + 2 / 3))),
        source=_LEVIEN,
    ),
    Crystal(
        name="PBBA",
        cell=Cell(29.59 * _A, 6.15 * _A, 3.98 * _A, beta=95.5),
        space_group="P 1 21/a 1",
        source=_OHKURA,
    ),
)

LAYERS = {
    # Huang et al., J. Appl. Cryst. 26 (1993) 180
    "AgBh": 58.380 * _A,
    # Brindley, Clays and Clay Minerals 29 (1981) 67
    "C14H30O": 39.681 * _A,
}
"""Spacing of layered powders, m."""
