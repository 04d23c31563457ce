"""pyFAI as it is used: what ``ringline benchmark`` compares with."""

import importlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import h5py
import hdf5plugin  # noqa: F401 - importing it registers its filters
import numpy as np

from ringline.processing.binning import Cake
from ringline.processing.errors import RecipeError
from ringline.processing.outliers import SigmaClip
from ringline.processing.recipe import Recipe
from ringline.processing.types import FloatArray, ImageArray

WORKERS = 2


class Found(Protocol):
    """What pyFAI returns."""

    @property
    def intensity(self) -> FloatArray:
        """Bins, or azimuthal x radial bins."""

    @property
    def sigma(self) -> FloatArray:
        """Of the same shape."""


@dataclass
class Peer:
    """pyFAI, set up for a recipe: its fastest method, and what does not change set once."""

    recipe: Recipe

    @cached_property
    def _integrate(self) -> Callable[[ImageArray], Found]:
        recipe, corrections = self.recipe, self.recipe.corrections
        integrator = _integrator(recipe)
        options: dict[str, object] = {
            "polarization_factor": corrections.polarization,
            "error_model": "poisson",
            "unit": recipe.binning.unit,
            "method": (recipe.splitting, "csc", "cython"),
        }
        binning = recipe.binning
        if isinstance(binning, Cake):
            bins = (binning.radial_bins, binning.azimuthal_bins)
            return lambda image: integrator.integrate2d_ng(image, *bins, **options)
        if isinstance(recipe.outliers, SigmaClip):
            # Taking outliers out needs pixels sorted by bin.
            options["method"] = (recipe.splitting, "csr", "cython")
            clip = {"thres": recipe.outliers.threshold, "max_iter": recipe.outliers.iterations}
            return lambda image: integrator.sigma_clip_ng(image, binning.bins, **options, **clip)
        return lambda image: integrator.integrate1d_ng(image, binning.bins, **options)

    def integrate(self, image: ImageArray) -> Found:
        """One image."""
        return self._integrate(image)

    def integrate_block(self, images: ImageArray) -> list[Found]:
        """Several, by two workers."""
        with ThreadPoolExecutor(WORKERS) as pool:
            return list(pool.map(self.integrate, images))

    def integrate_file(self, path: Path, dataset: str) -> list[Found]:
        """The frames of an HDF5 file, read and integrated by two workers."""
        with h5py.File(path) as file, ThreadPoolExecutor(WORKERS) as pool:
            data = file[dataset]
            return list(pool.map(lambda index: self.integrate(data[index]), range(len(data))))


def require_peer() -> str:
    """PyFAI's version.

    Raises
    ------
    RecipeError:
        It is not installed.
    """
    _pyfai("pyFAI")
    return version("pyFAI")


def _pyfai(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise RecipeError(
            "to compare with pyFAI it must be installed: pip install ringline[test]"
        ) from error


def _integrator(recipe: Recipe) -> Any:
    geometry, corrections = recipe.geometry, recipe.corrections
    detector = _pyfai("pyFAI.detectors").Detector(
        geometry.detector.pixel1,
        geometry.detector.pixel2,
        max_shape=geometry.detector.shape,
        orientation=geometry.detector.orientation,
    )
    if corrections.mask is not None:
        detector.mask = corrections.mask.values.astype(np.int8)
    if corrections.dark is not None:
        detector.darkcurrent = corrections.dark.values.copy()
    if corrections.flat is not None:
        detector.flatfield = corrections.flat.values.copy()
    names = ("poni1", "poni2", "rot1", "rot2", "rot3", "wavelength")
    places = {name: getattr(geometry, name) for name in names}
    module = _pyfai("pyFAI.integrator.azimuthal")
    return module.AzimuthalIntegrator(dist=geometry.distance, detector=detector, **places)
