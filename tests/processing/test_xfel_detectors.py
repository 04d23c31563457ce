"""Detectors of European XFEL by their quadrants, against places written out by hand."""

from pathlib import Path

import numpy as np
import pytest

from ringline.processing import (
    Detector,
    Geometry,
    RecipeError,
    agipd_1m,
    detector_named,
    dssc_1m,
    is_standard,
    lpd_1m,
    read_poni,
    write_poni,
)

AGIPD_PX = ((-525, 625), (-550, -10), (520, -160), (542.5, 475))
LPD_MM = ((11.4, 299), (-11.5, 8), (254.5, -16), (278.5, 275))
DSSC_MM = ((-130, 5), (-130, -125), (5, -125), (5, 5))
ROW_MM = 0.236 * np.sqrt(3) / 2


def place(detector: Detector, module: int, slow: int, fast: int) -> tuple[float, float]:
    """(x, y) of the center of a pixel of a module, m."""
    rows = detector.known_shape[0] // 16
    p1, p2, p3 = detector.pixel_centers()
    row = module * rows + slow
    assert p3[row, fast] == 0.0
    return float(p2[row, fast]), float(p1[row, fast])


@pytest.mark.parametrize(
    ("module", "slow", "fast", "x", "y"),
    [
        (0, 0, 0, -525 + 0.5, 625 - 0.5),
        (0, 63, 127, -525 + 63.5, 625 - 127.5),
        (0, 64, 0, -525 + 66.5, 625 - 0.5),  # two pixels between chips
        (3, 511, 127, -525 + 7 * 66 + 63.5, 625 - 3 * 157 - 127.5),
        (4, 0, 0, -550 + 0.5, -10 - 0.5),
        (8, 0, 0, 520 - 0.5, -160 + 0.5),  # the other half is turned
        (11, 511, 127, 520 - 7 * 66 - 63.5, -160 - 3 * 157 + 127.5),
        (15, 0, 0, 542.5 - 0.5, 475 - 3 * 157 + 0.5),
    ],
)
def test_pixels_of_an_agipd_in_pixels(
    module: int, slow: int, fast: int, x: float, y: float
) -> None:
    corners = [(2e-4 * x, 2e-4 * y) for x, y in AGIPD_PX]
    found = place(agipd_1m(corners), module, slow, fast)
    assert found == pytest.approx((2e-4 * x, 2e-4 * y), abs=1e-12)


@pytest.mark.parametrize(
    ("module", "slow", "fast", "x", "y"),
    [
        (3, 255, 255, 11.4 - 0.25, 299 - 0.25),
        (3, 0, 255, 11.4 - 0.25, 299 - 142 + 0.25),  # 8 x 16 mm of tiles, 7 x 2 mm between
        (3, 255, 0, 11.4 - 130 + 0.25, 299 - 0.25),
        (3, 224, 128, 11.4 - 64 + 0.25, 299 - 16 + 0.25),
        (3, 223, 127, 11.4 - 66 - 0.25, 299 - 18 - 0.25),
        (0, 255, 255, 11.4 - 132 - 0.25, 299 - 0.25),
        (1, 255, 255, 11.4 - 132 - 0.25, 299 - 144 - 0.25),
        (2, 255, 255, 11.4 - 0.25, 299 - 144 - 0.25),
        (7, 255, 255, -11.5 - 0.25, 8 - 0.25),
        (11, 255, 255, 254.5 - 0.25, -16 - 0.25),
        (15, 255, 255, 278.5 - 0.25, 275 - 0.25),
    ],
)
def test_pixels_of_an_lpd_in_mm(module: int, slow: int, fast: int, x: float, y: float) -> None:
    corners = [(1e-3 * x, 1e-3 * y) for x, y in LPD_MM]
    found = place(lpd_1m(corners), module, slow, fast)
    assert found == pytest.approx((1e-3 * x, 1e-3 * y), abs=1e-12)


WIDE_MM = 256 * 0.236
MODULE_MM = 128 * ROW_MM + 4


@pytest.mark.parametrize(
    ("module", "slow", "fast", "x", "y"),
    [
        (0, 0, 0, -130 + 2 * WIDE_MM + 2 - 0.118, 5 + ROW_MM * 2 / 3),
        (0, 1, 0, -130 + 2 * WIDE_MM + 2 - 0.236, 5 + ROW_MM * 5 / 3),  # half a step on
        (0, 0, 256, -130 + WIDE_MM - 0.118, 5 + ROW_MM * 2 / 3),
        (1, 0, 0, -130 + 2 * WIDE_MM + 2 - 0.118, 5 + MODULE_MM + ROW_MM * 2 / 3),
        (12, 0, 0, 5 + 0.118, 5 + 4 * MODULE_MM - 4 - ROW_MM * 2 / 3),
        (15, 0, 511, 5 + 2 * WIDE_MM + 2 - 0.118, 5 + MODULE_MM - 4 - ROW_MM * 2 / 3),
    ],
)
def test_pixels_of_a_dssc_in_mm(module: int, slow: int, fast: int, x: float, y: float) -> None:
    corners = [(1e-3 * x, 1e-3 * y) for x, y in DSSC_MM]
    found = place(dssc_1m(corners), module, slow, fast)
    assert found == pytest.approx((1e-3 * x, 1e-3 * y), abs=1e-12)


@pytest.mark.parametrize(
    ("name", "shape", "pixel"),
    [
        ("AGIPD 1M", (8192, 128), (200e-6, 200e-6)),
        ("LPD 1M", (4096, 256), (500e-6, 500e-6)),
        ("DSSC 1M", (2048, 512), (1e-3 * ROW_MM, 236e-6)),
    ],
)
def test_the_table_has_them_with_nominal_quadrants(
    name: str, shape: tuple[int, int], pixel: tuple[float, float], tmp_path: Path
) -> None:
    detector = detector_named(name)
    assert is_standard(detector)
    assert detector.shape == shape
    assert (detector.pixel1, detector.pixel2) == pytest.approx(pixel)
    p1, p2, _ = detector.pixel_centers()
    # A hole for the beam is left free in the middle.
    away = np.hypot(p1, p2).min()
    assert 1e-3 < away < 20e-3
    geometry = Geometry(distance=5.0, wavelength=1e-10, detector=detector)
    write_poni(geometry, tmp_path / "it.poni")
    assert read_poni(tmp_path / "it.poni") == geometry


def test_quadrants_that_are_not_four_places_are_refused() -> None:
    with pytest.raises(RecipeError, match="must be .x, y. of four quadrants"):
        agipd_1m(AGIPD_PX[:3])
    with pytest.raises(RecipeError, match="corner must be finite"):
        lpd_1m([(0.0, float("nan")), *LPD_MM[1:]])
