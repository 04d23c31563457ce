"""Rings of calibrants, against cards of powders, pyFAI's lists and the metric tensor."""

import itertools
from pathlib import Path

import numpy as np
import pyFAI.resources
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ringline.processing import (
    Atom,
    Calibrant,
    Cell,
    Crystal,
    RecipeError,
    calibrant_named,
    calibrant_names,
    read_spacings,
)

CU_K_ALPHA = 1.5406e-10
PYFAI = Path(pyFAI.resources.__file__).parent / "calibration"

# Powder diffraction file, Cu K alpha 1: 2 theta (degree) and relative intensity.
CARDS = {
    "LaB6": {21.358: 60, 30.385: 100, 37.442: 42, 43.507: 22, 48.958: 46, 53.989: 24},
    "CeO2": {28.549: 100, 33.077: 28, 47.483: 51, 56.342: 42, 59.090: 8, 69.416: 8, 76.704: 14},
    "Si": {28.443: 100, 47.304: 55, 56.123: 30, 69.131: 6, 76.377: 11},
    "quartz": {20.86: 22, 26.64: 100, 36.54: 8, 39.46: 8, 40.29: 4, 42.45: 6, 45.79: 4},
}

# Ours and pyFAI's list of the same cell.
LISTS = {
    "LaB6": "LaB6_SRM660c",
    "LaB6 660a": "LaB6_SRM660a",
    "LaB6 660b": "LaB6_SRM660b",
    "CeO2": "CeO2",
    "Si 640": "Si_SRM640",
    "Si 640c": "Si_SRM640c",
    "Si 640e": "Si_SRM640e",
    "Al2O3": "alpha_Al2O3_SRM676a_2015",
    "Al2O3 676": "alpha_Al2O3_SRM676",
    "Au": "Au",
    "Pt": "Pt",
    "Ni": "Ni",
    "Al": "Al",
    "NaCl": "NaCl",
    "quartz": "quartz",
    "PBBA": "PBBA",
    "AgBh": "AgBh",
    "C14H30O": "C14H30O",
}


def spacings(calibrant: Calibrant, smallest: float) -> NDArray[np.float64]:
    return np.array([ring.spacing for ring in calibrant.rings(smallest_spacing=smallest)])


@pytest.mark.parametrize("name", CARDS)
def test_rings_lie_and_weigh_as_on_the_card_of_the_powder(name: str) -> None:
    rings = calibrant_named(name).rings(smallest_spacing=1.23e-10)
    theta = np.arcsin(CU_K_ALPHA / (2 * np.array([ring.spacing for ring in rings])))
    lorentz = (1 + np.cos(2 * theta) ** 2) / (np.sin(theta) ** 2 * np.cos(theta))
    strength = lorentz * np.array([ring.strength for ring in rings])
    card = CARDS[name]
    np.testing.assert_allclose(np.rad2deg(2 * theta)[: len(card)], list(card), atol=0.05)
    relative = 100 * strength / strength.max()
    np.testing.assert_allclose(relative[: len(card)], list(card.values()), atol=10)


@pytest.mark.parametrize(("name", "file"), LISTS.items())
def test_spacings_and_multiplicities_are_those_of_pyfais_lists(name: str, file: str) -> None:
    theirs = read_spacings(PYFAI / f"{file}.D").listed
    smallest = theirs[-1].spacing * (1 - 1e-6)
    ours = calibrant_named(name).rings(smallest_spacing=smallest)
    for ring in theirs:  # some of their lists leave out weak rings
        same = min(ours, key=lambda one: abs(one.spacing - ring.spacing))
        assert same.spacing == pytest.approx(ring.spacing, rel=3e-6)
        if ring.multiplicity is not None:
            assert same.multiplicity == ring.multiplicity


@pytest.mark.parametrize("name", ["LaB6", "CeO2", "Al2O3", "Si", "Au", "NaCl"])
def test_where_their_list_is_complete_there_is_no_ring_more(name: str) -> None:
    theirs = read_spacings(PYFAI / f"{LISTS.get(name, 'Si_SRM640e')}.D").listed
    smallest = theirs[-1].spacing * (1 - 1e-4)
    assert len(calibrant_named(name).rings(smallest_spacing=smallest)) == len(theirs)


EDGES = st.floats(2e-10, 12e-10)
ANGLES = st.floats(60.0, 120.0)


@settings(max_examples=60)
@given(EDGES, EDGES, EDGES, ANGLES, ANGLES, ANGLES)
def test_without_symmetry_rings_are_all_planes_by_the_metric_tensor(
    a: float, b: float, c: float, alpha: float, beta: float, gamma: float
) -> None:
    cosines = np.cos(np.deg2rad([alpha, beta, gamma]))
    metric = np.array(
        [
            [a * a, a * b * cosines[2], a * c * cosines[1]],
            [a * b * cosines[2], b * b, b * c * cosines[0]],
            [a * c * cosines[1], b * c * cosines[0], c * c],
        ]
    )
    assume(np.linalg.eigvalsh(metric)[0] > 1e-3 * max(a, b, c) ** 2)
    crystal = Crystal(name="one", cell=Cell(a, b, c, alpha, beta, gamma), space_group="P 1")
    smallest = 0.4 * max(a, b, c)
    inverse, top = np.linalg.inv(metric), range(-8, 9)
    planes = np.array([p for p in itertools.product(top, repeat=3) if any(p)])
    expected = 1 / np.sqrt(np.einsum("pi,ij,pj->p", planes, inverse, planes))
    rings = crystal.rings(smallest_spacing=smallest)
    found = np.repeat([ring.spacing for ring in rings], [ring.multiplicity or 0 for ring in rings])
    expected = np.sort(expected[expected >= smallest * (1 - 1e-9)])[::-1]
    np.testing.assert_allclose(found, expected, rtol=1e-8)


def _diamond(h: int, k: int, m: int) -> bool:
    if len({h % 2, k % 2, m % 2}) > 1:
        return False
    return 0 not in (h, k, m) or (h + k + m) % 4 == 0


def _glide(h: int, k: int, m: int) -> bool:
    """h0l: h even; 0k0: k even."""
    if k == 0:
        return h % 2 == 0
    return (h, m) != (0, 0) or k % 2 == 0


@pytest.mark.parametrize(
    ("group", "seen"),
    [
        ("I m -3 m", lambda h, k, m: (h + k + m) % 2 == 0),
        ("F m -3 m", lambda h, k, m: len({h % 2, k % 2, m % 2}) == 1),
        ("F d -3 m:1", _diamond),
        ("P 1 21/a 1", _glide),
    ],
)
def test_a_space_group_hides_the_reflections_that_its_rules_hide(group: str, seen: object) -> None:
    assert callable(seen)
    cell = Cell(7e-10, 7e-10, 7e-10) if "3" in group else Cell(7e-10, 8e-10, 9e-10, beta=97.0)
    shown = Crystal(name="x", cell=cell, space_group=group).rings(smallest_spacing=1.4e-10)
    for ring in shown:
        assert ring.indices is not None
        assert seen(*ring.indices), ring


def test_multiplicities_count_all_planes_of_a_spacing() -> None:
    rings = calibrant_named("LaB6").rings(smallest_spacing=1.3e-10)
    found = {ring.indices: ring.multiplicity for ring in rings}
    assert found[(1, 0, 0)] == 6
    assert found[(1, 1, 0)] == 12
    assert found[(2, 1, 0)] == 24
    assert found[(3, 0, 0)] == 6 + 24  # with 221


def test_a_reflection_that_only_the_atoms_hide_makes_no_ring() -> None:
    indices = [ring.indices for ring in calibrant_named("Si").rings(smallest_spacing=1.5e-10)]
    assert indices == [(1, 1, 1), (2, 2, 0), (3, 1, 1)]  # not 222


def test_layers_are_seen_in_all_their_orders() -> None:
    found = spacings(calibrant_named("AgBh"), 10e-10)
    np.testing.assert_allclose(found, 58.38e-10 / np.arange(1, 6))


@pytest.mark.parametrize("name", calibrant_names())
def test_every_calibrant_of_the_table_has_rings_that_descend(name: str) -> None:
    found = spacings(calibrant_named(name.upper()), 1.2e-10)
    assert len(found) >= 3
    assert (np.diff(found) < 0).all()
    assert found[-1] >= 1.2e-10


def test_a_file_of_spacings_is_read_with_what_its_comments_tell(tmp_path: Path) -> None:
    file = tmp_path / "mine.D"
    file.write_text("# mine\n 2.5\n\n4.25 # (1 0 -2) 6 19.9\n3 # (1 1 1)\n")
    calibrant = calibrant_named(str(file))
    assert calibrant.name == "mine"
    first, second, third = calibrant.rings(smallest_spacing=1e-10)
    assert first.spacing == pytest.approx(4.25e-10)
    assert (first.indices, first.multiplicity) == ((1, 0, -2), 6)
    assert (second.indices, second.multiplicity) == ((1, 1, 1), None)
    assert third.indices is None
    assert spacings(calibrant, 2.9e-10).size == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("# nothing\n", "no plane spacing in it"),
        ("4.2\nabc # (1 0 0)\n", "line 2: 'abc' is not a plane spacing in angstrom"),
        ("4.2\n-1\n", "line 2 must be > 0 angstrom, got -1.0"),
    ],
)
def test_a_file_that_is_no_list_of_spacings_is_refused(
    text: str, told: str, tmp_path: Path
) -> None:
    file = tmp_path / "bad.D"
    file.write_text(text)
    with pytest.raises(RecipeError) as refused:
        read_spacings(file)
    assert told in str(refused.value)
    assert str(file) in str(refused.value)


def test_an_unknown_calibrant_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(RecipeError, match=r"unknown calibrant 'LaB7': did you mean .*LaB6"):
        calibrant_named("LaB7")
    with pytest.raises(RecipeError, match="nowhere.D"):
        calibrant_named("nowhere.D")


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Cell(0.0, 1e-10, 1e-10), "a must be > 0 m"),
        (lambda: Cell(1e-10, 1e-10, 1e-10, gamma=180.0), "gamma must lie between 0 and 180"),
        (lambda: Cell(1e-10, 1e-10, 1e-10, 30.0, 30.0, 90.0), "no cell has the angles 30, 30"),
        (
            lambda: Crystal(name="x", cell=Cell.cubic(4e-10), space_group="P x"),
            "x: unknown space group 'P x'",
        ),
        (
            lambda: Crystal(
                name="x",
                cell=Cell.cubic(4e-10),
                space_group="P 1",
                atoms=(Atom("Qq", (0.0, 0.0, 0.0)),),
            ),
            "x: unknown element 'Qq'",
        ),
        (
            lambda: calibrant_named("LaB6").rings(smallest_spacing=1e-13),
            "are computed down to",
        ),
    ],
)
def test_what_is_no_crystal_is_refused(make: object, told: str) -> None:
    assert callable(make)
    with pytest.raises(RecipeError) as refused:
        make()
    assert told in str(refused.value)
