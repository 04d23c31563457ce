"""Crests of rings, found without a geometry."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from ringline.processing import Detector, Geometry
from ringline.processing.calibration.image import CalibrationImage, calibration_image
from ringline.processing.calibration.ridges import Ridges, find_ridges

from ..benchmarks.powder_scene import directions  # noqa: TID252
from .calibration_scenes import TRUE, Floats, Powder, exposed, task  # noqa: TID252

LARGE = replace(
    TRUE,
    detector=Detector(pixel1=1e-4, pixel2=1e-4, shape=(1040, 960), name="large"),
)
"""The same detector with pixels of half the size: they are binned by two for the search."""


def looked_at(counts: NDArray[np.generic]) -> CalibrationImage:
    return calibration_image(counts, replace(task(), detector=Detector(
        pixel1=1e-4, pixel2=1e-4, shape=(counts.shape[0], counts.shape[1])
    )))  # fmt: skip


def off_rings(ridges: Ridges, geometry: Geometry, lines: Floats) -> Floats:
    """Distance of each crest from the nearest ring, binned pixels."""
    here = directions(geometry, ridges.slow, ridges.fast).two_theta
    ahead = directions(
        geometry, ridges.slow + ridges.across_slow, ridges.fast + ridges.across_fast
    ).two_theta
    nearest = lines[np.abs(here[:, None] - lines).argmin(axis=1)]
    return np.asarray((here - nearest) / np.abs(ahead - here) / ridges.bin)


@pytest.mark.parametrize(("geometry", "size"), [(TRUE, 1), (LARGE, 2)])
def test_crests_lie_on_the_rings_of_an_image_without_noise(geometry: Geometry, size: int) -> None:
    apart = tuple(number for number in range(200) if number % 3)
    powder = Powder(width=3.0 * size, behind=50.0, without=apart)
    ridges = find_ridges(looked_at(powder.mean(geometry)))
    assert ridges.bin == size
    off = off_rings(ridges, geometry, powder.scene(geometry).rings.two_theta)
    # Without noise the last ripple of a filter stands out as well.
    strong = ridges.strength > 0.03 * ridges.strength.max()
    assert strong.sum() > 500
    assert np.quantile(np.abs(off[strong]), 0.98) < 0.2
    assert abs(np.median(off[strong])) < 0.03


def test_directions_point_across_the_rings() -> None:
    ridges = find_ridges(looked_at(Powder(behind=50.0).mean()))
    np.testing.assert_allclose(np.hypot(ridges.across_slow, ridges.across_fast), 1.0, rtol=1e-9)
    step = 0.5
    down, right = (
        directions(TRUE, ridges.slow + step * a, ridges.fast + step * b).two_theta
        - directions(TRUE, ridges.slow - step * a, ridges.fast - step * b).two_theta
        for a, b in ((1, 0), (0, 1))
    )
    cosine = np.abs(down * ridges.across_slow + right * ridges.across_fast) / np.hypot(down, right)
    assert np.quantile(np.degrees(np.arccos(np.minimum(cosine, 1))), 0.95) < 6


@pytest.mark.parametrize("level", [1.0, 30.0, 1e4])
def test_counting_noise_alone_has_no_crests(level: float) -> None:
    noise = np.random.default_rng(3).poisson(level, (700, 640)).astype(np.int32)
    # Six standard deviations: of half a million places next to none.
    assert len(find_ridges(looked_at(noise))) < 12


def test_smooth_light_has_no_crests() -> None:
    slow, fast = np.mgrid[:700, :640]
    mean = 50 + 3000 * np.exp(-((slow - 300) ** 2 + (fast - 200) ** 2) / (2 * 150**2))
    noise = np.random.default_rng(4).poisson(mean).astype(np.int32)
    assert len(find_ridges(looked_at(noise))) < 12


def test_an_empty_image_has_no_crests() -> None:
    assert len(find_ridges(looked_at(np.zeros((300, 200), dtype=np.uint16)))) == 0


def test_gaps_and_what_stands_in_them_are_no_crests() -> None:
    image = np.random.default_rng(5).poisson(40.0, (700, 640)).astype(np.int32)
    image[200:217] = -1
    image[:, 300:307] = -2
    assert len(find_ridges(looked_at(image))) < 12


def test_faint_rings_are_found_among_noise() -> None:
    """Three photons at the top of the strongest, on two of background."""
    powder = Powder(top=3.0, behind=2.0)
    ridges = find_ridges(looked_at(exposed(powder.mean())))
    assert len(ridges) > 60
    rings = powder.scene(TRUE).rings
    off = off_rings(ridges, TRUE, rings.two_theta[rings.height > 0.2 * rings.height.max()])
    assert np.mean(np.abs(off) < 2) > 0.9


def test_strong_rings_do_not_outvote_the_others() -> None:
    ridges = find_ridges(looked_at(exposed(Powder(top=1e4, behind=20.0).mean())))
    cells = {(int(a), int(b)) for a, b in zip(ridges.slow // 6, ridges.fast // 6, strict=True)}
    # One crest a square of six pixels; a crest beside its pixel may count for the next square.
    assert len(cells) > 0.9 * len(ridges)
    assert len(ridges) <= 3000
