"""Curves that other programs made of real images."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from ringline.processing import Corrections, Radial, Recipe, open_frames, read_poni, reduction_for


def test_ceo2_on_a_pilatus_1m_agrees_with_the_published_curve(
    shared_data: Callable[[str], Path],
) -> None:
    geometry = read_poni(shared_data("ceo2-pilatus1m/CeO2_Pilatus1M.poni"))
    detector = replace(geometry.detector, orientation=2)
    recipe = Recipe(
        geometry=replace(geometry, detector=detector),
        binning=Radial(bins=1512, unit="2th_deg"),
        splitting="bbox",
        corrections=Corrections(polarization=0.99),
    )
    with open_frames(shared_data("ceo2-pilatus1m/CeO2_Pilatus1M.tif")) as frames:
        profile = reduction_for(recipe).reduce(frames.read(0, 1)[0])
    axis, intensity = np.loadtxt(shared_data("ceo2-pilatus1m/CeO2_Pilatus1M.xy"), unpack=True)
    difference = np.abs(profile.intensity / intensity - 1)
    assert np.abs(profile.axis - axis).max() < 2e-6
    assert np.median(difference) < 2e-6
    assert np.percentile(difference, 95) < 5e-5
