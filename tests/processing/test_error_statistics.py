"""Stated errors against the scatter of repeated exposures: a short run of the benchmark."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ringline.processing import reduction_for
from ringline.processing.bin_table import RUNS

FRAMES = 60


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    path = Path(__file__).parent.parent / "benchmarks" / "error_models.py"
    spec = importlib.util.spec_from_file_location("error_models", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["error_models"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def outcomes(benchmark: ModuleType) -> dict[str, Any]:
    """Outcomes by scene, error model and splitting, joined by spaces."""
    found: dict[str, Any] = {}
    for scene, brightest in benchmark.SCENES.items():
        mean = benchmark.expected_counts(brightest)
        recipes = {
            f"{scene} {model} {splitting}": benchmark.recipe(splitting, model, mean)
            for model in benchmark.MODELS
            for splitting in ("no", "full")
        }
        found |= benchmark.outcomes(recipes, mean, FRAMES)
    return found


def shares_of(benchmark: ModuleType, splitting: str) -> NDArray[np.float64]:
    """The share of each pixel in each bin, from the compiled table, shape (bins, pixels)."""
    made = benchmark.recipe(splitting, "none", benchmark.expected_counts(1.0))
    reduction = reduction_for(made)
    table = reduction._bound().table
    dense = np.zeros((table.bins + 1 + RUNS[-1], table.shape[0] * table.shape[1]))
    pixels = np.arange(dense.shape[1])
    for entry in table.entries():
        np.add.at(dense, (entry.bin, pixels[entry.pixel]), entry.share)
    return dense[: table.bins] / reduction._bound().table.static.norm[:, None]


@pytest.mark.parametrize("splitting", ["no", "full"])
@pytest.mark.parametrize(
    "model", ["bright poisson", "bright variance", "weak variance", "weak azimuthal"]
)
def test_chi_square_of_pairs_is_1_and_sigma_is_the_scatter(
    model: str, splitting: str, outcomes: dict[str, Any]
) -> None:
    """Whatever the splitting: the error of each bin by itself is right."""
    outcome = outcomes[f"{model} {splitting}"]
    bins = outcome.scatter.size
    # 59 independent differences of as many bins, fewer where they are correlated.
    assert outcome.chi_square.mean() == pytest.approx(1.0, abs=5 * np.sqrt(2 / bins / 59) * 1.3)
    assert np.sqrt(np.square(outcome.scatter).mean()) == pytest.approx(1.0, abs=0.03)


def test_without_splitting_chi_square_is_as_wide_as_that_of_independent_bins(
    outcomes: dict[str, Any],
) -> None:
    for model in ("bright poisson", "weak variance"):
        assert outcomes[f"{model} no"].width == pytest.approx(1.0, abs=0.15)
        assert outcomes[f"{model} full"].width > 1.04


def test_splitting_correlates_neighbours_as_its_shares_say(
    benchmark: ModuleType, outcomes: dict[str, Any]
) -> None:
    """The covariance of bins is S V S^T, S the shares and V the variances of pixels."""
    mean = benchmark.expected_counts(benchmark.SCENES["bright"])
    for splitting in ("no", "full"):
        shares = shares_of(benchmark, splitting)
        covariance = shares * mean.ravel() @ shares.T
        scale = np.sqrt(np.diag(covariance))
        correlation = covariance / np.outer(scale, scale)
        for apart in (1, 2):
            found = outcomes[f"bright variance {splitting}"].correlation[apart]
            assert found == pytest.approx(np.diag(correlation, apart).mean(), abs=0.05)
    assert outcomes["bright variance no"].pooled == pytest.approx(1.0, abs=0.1)
    assert outcomes["bright variance full"].pooled > 1.15


def test_poisson_errors_are_too_large_where_most_pixels_count_nothing(
    outcomes: dict[str, Any],
) -> None:
    """A pixel without counts has variance 1, as in pyFAI: much more than its expectation."""
    for splitting in ("no", "full"):
        assert outcomes[f"weak poisson {splitting}"].chi_square.mean() < 0.4
