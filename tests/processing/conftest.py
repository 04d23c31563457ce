"""pyFAI as the oracle: its own geometry and splitting, fed in float64."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyFAI.containers import ErrorModel
from pyFAI.detectors import Detector as PyfaiDetector
from pyFAI.ext.splitBBoxCSR import HistoBBox1d, HistoBBox2d
from pyFAI.integrator.azimuthal import AzimuthalIntegrator

from ringline.processing import Cake, Detector, Geometry, Recipe

Floats = NDArray[np.float64]
SHAPE = (41, 53)


@dataclass(frozen=True)
class Oracle:
    """A curve or cake as pyFAI makes it."""

    axis: Floats
    intensity: Floats
    sigma: Floats
    count: Floats


def pyfai_integrator(geometry: Geometry) -> AzimuthalIntegrator:
    detector = geometry.detector
    return AzimuthalIntegrator(
        dist=geometry.distance,
        poni1=geometry.poni1,
        poni2=geometry.poni2,
        rot1=geometry.rot1,
        rot2=geometry.rot2,
        rot3=geometry.rot3,
        wavelength=geometry.wavelength,
        detector=PyfaiDetector(
            detector.pixel1,
            detector.pixel2,
            max_shape=detector.shape,
            orientation=detector.orientation,
        ),
    )


def pyfai_positions(integrator: AzimuthalIntegrator) -> tuple[Floats, ...]:
    """q, its half width, chi and its half width, from pyFAI's functions in float64.

    Its cached arrays of corners are float32: too coarse to compare splittings with.
    """
    i, j = np.mgrid[: integrator.detector.shape[0], : integrator.detector.shape[1]].astype(float)
    q, chi = integrator.qFunction(i, j), integrator.chi(i, j)
    corners = [(i + di, j + dj) for di in (-0.5, 0.5) for dj in (-0.5, 0.5)]
    dq = np.max([abs(integrator.qFunction(*corner) - q) for corner in corners], axis=0)
    turns = [abs(integrator.chi(*corner) - chi) for corner in corners]
    dchi = np.max([np.minimum(turn, 2 * np.pi - turn) for turn in turns], axis=0)
    return q, dq, chi, dchi


def pyfai_profile(recipe: Recipe, image: NDArray[np.generic]) -> Oracle:
    """What pyFAI makes of an image with a recipe in q, from its own sparse integrators."""
    integrator = pyfai_integrator(recipe.geometry)
    q, dq, chi, dchi = pyfai_positions(integrator)
    corrections, split = recipe.corrections, recipe.splitting == "bbox"
    mask = None if corrections.mask is None else corrections.mask.values.astype(np.int8)
    common = {
        "dark": None if corrections.dark is None else corrections.dark.values.copy(),
        "flat": None if corrections.flat is None else corrections.flat.values.copy(),
        "solidangle": integrator.cos_incidence(*np.mgrid[: q.shape[0], : q.shape[1]] * 1.0) ** 3
        if corrections.solid_angle
        else None,
        "polarization": _polarization(integrator, corrections.polarization, q.shape),
        "variance": np.maximum(image, 1).astype(np.float32),
        "error_model": ErrorModel.VARIANCE,
    }
    half = {"delta_pos0": dq, "delta_pos1": dchi} if split else {}
    if isinstance(recipe.binning, Cake):
        bins = (recipe.binning.radial_bins, recipe.binning.azimuthal_bins)
        engine = HistoBBox2d(
            q, half.get("delta_pos0"), chi, half.get("delta_pos1"), bins=bins, mask=mask
        )
        found = engine.integrate_ng(image, **common)
        return Oracle(found.radial, found.intensity, found.sigma, found.count)
    engine = HistoBBox1d(q, half.get("delta_pos0"), bins=recipe.binning.bins, mask=mask)
    found = engine.integrate_ng(image, **common)
    return Oracle(found.position, found.intensity, found.sigma, found.count)


def _polarization(
    integrator: AzimuthalIntegrator, factor: float | None, shape: tuple[int, int]
) -> Floats | None:
    return None if factor is None else integrator.polarization(shape, factor=factor)


@pytest.fixture(scope="session")
def oracle() -> Callable[[Recipe, NDArray[np.generic]], Oracle]:
    return pyfai_profile


@pytest.fixture(scope="session")
def integrator_for() -> Callable[[Geometry], AzimuthalIntegrator]:
    return pyfai_integrator


def geometry_from(seed: int) -> Geometry:
    """A geometry with tilts up to 1 rad about each axis, beam on or off the detector.

    Its numbers are random rather than chosen to be awkward: where the beam hits the corner of a
    pixel exactly, say, that corner has no azimuth to compare.
    """
    rng = np.random.default_rng(seed)
    rot1, rot2, rot3 = rng.uniform(-1, 1, 3)
    poni1, poni2 = rng.uniform(-0.01, 0.02, 2)
    pixel1, pixel2 = rng.uniform(5e-5, 3e-4, 2)
    return Geometry(
        distance=rng.uniform(0.02, 1.0),
        poni1=poni1,
        poni2=poni2,
        rot1=rot1,
        rot2=rot2,
        rot3=rot3,
        wavelength=rng.uniform(0.2e-10, 3e-10),
        detector=Detector(
            pixel1=pixel1, pixel2=pixel2, shape=SHAPE, orientation=int(rng.integers(1, 5))
        ),
    )


@pytest.fixture(scope="session")
def any_geometry() -> st.SearchStrategy[Geometry]:
    return st.integers(0, 2**32).map(geometry_from)
