import numpy as np
import pytest

from ringline.plans import CEO2, LAB6, Crystal, crystal_named
from ringline.processing import RecipeError

CU_K_ALPHA = 1.5406e-10

# Powder diffraction file, Cu K alpha 1: 2 theta (degree) and relative intensity.
LAB6_CARD = {21.358: 60, 30.385: 100, 37.442: 42, 43.507: 22, 48.958: 46, 53.989: 24}
CEO2_CARD = {28.549: 100, 33.077: 28, 47.483: 51, 56.342: 42, 59.090: 8, 69.416: 8, 76.704: 14}


def pattern(crystal: Crystal) -> list[tuple[float, float]]:
    rings = crystal.rings(smallest_spacing=1.23e-10)
    theta = np.arcsin(CU_K_ALPHA / (2 * np.array([ring.spacing for ring in rings])))
    lorentz = (1 + np.cos(2 * theta) ** 2) / (np.sin(theta) ** 2 * np.cos(theta))
    strength = lorentz * np.array([ring.strength for ring in rings])
    return list(zip(np.rad2deg(2 * theta), 100 * strength / strength.max(), strict=True))


@pytest.mark.parametrize(("crystal", "card"), [(LAB6, LAB6_CARD), (CEO2, CEO2_CARD)])
def test_rings_lie_and_weigh_as_on_the_card_of_the_powder(
    crystal: Crystal, card: dict[float, float]
) -> None:
    calculated = pattern(crystal)
    for (angle, strength), (expected_angle, expected) in zip(
        calculated, card.items(), strict=False
    ):
        assert angle == pytest.approx(expected_angle, abs=0.01)
        assert strength == pytest.approx(expected, abs=6)


def test_a_face_centred_crystal_has_only_unmixed_indices() -> None:
    found = [ring.indices for ring in CEO2.rings(smallest_spacing=1.5e-10)]
    assert found == [(1, 1, 1), (2, 0, 0), (2, 2, 0), (3, 1, 1), (2, 2, 2)]


def test_the_centring_rule_agrees_with_the_atoms() -> None:
    assert abs(CEO2.structure_factor((2, 1, 0))) < 1e-9
    assert not CEO2.allows((2, 1, 0))


def test_multiplicities_count_all_planes_of_a_spacing() -> None:
    rings = {ring.indices: ring.multiplicity for ring in LAB6.rings(smallest_spacing=1.3e-10)}
    assert rings[(1, 0, 0)] == 6
    assert rings[(1, 1, 0)] == 12
    assert rings[(2, 1, 0)] == 24
    assert rings[(3, 0, 0)] == 6 + 24  # with 221


def test_an_unknown_crystal_is_refused_with_the_known_ones() -> None:
    with pytest.raises(RecipeError, match="unknown crystal 'AgBh': choose from LaB6, CeO2"):
        crystal_named("AgBh")
    assert crystal_named("lab6") is LAB6
