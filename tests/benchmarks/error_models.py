"""Are the stated errors right? Repeated exposures of one scene, compared in pairs.

``python tests/benchmarks/error_models.py`` prints the tables of docs/error-models.md and draws
its figure; ``--frames 200`` is quicker.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from ringline.processing import (
    Corrections,
    Detector,
    Geometry,
    Radial,
    Recipe,
    pixel_arrays,
    reduction_for,
)

Floats = NDArray[np.float64]

SPLITTINGS = ("no", "bbox", "pseudo", "full")
MODELS = ("poisson", "azimuthal", "variance")
SCENES = {"bright": 1000.0, "weak": 1.0}
"""Counts of a pixel next to the beam."""
BINS = 110
"""About one a pixel."""
GEOMETRY = Geometry(
    distance=1.0,
    wavelength=1e-10,
    poni1=17.3e-3,
    poni2=16.6e-3,
    detector=Detector(pixel1=172e-6, pixel2=172e-6, shape=(200, 190)),
)
FIGURE = Path(__file__).parent.parent.parent / "docs" / "images" / "error-models.png"


@dataclass(frozen=True)
class Outcome:
    """How the errors of one recipe compare with the scatter of its curves."""

    chi_square: Floats
    """Reduced chi-square of each pair of curves."""
    scatter: Floats
    """Scatter of each bin over its mean stated error."""
    correlation: Floats
    """Mean correlation of bins 0, 1, 2, ... apart."""
    pooled: float
    """Scatter of the mean of ten bins in a row, over what their errors say if they were
    independent."""

    @property
    def width(self) -> float:
        """Standard deviation of chi-square, over that of as many independent bins."""
        return float(self.chi_square.std() / np.sqrt(2.0 / self.scatter.size))


def expected_counts(brightest: float) -> Floats:
    """Mean counts of each pixel: a small-angle curve on a background, isotropic."""
    arrays = pixel_arrays(GEOMETRY)
    curve = 1.0 / (1.0 + np.square(arrays.q / 0.25)) + 0.02
    return np.asarray(brightest * curve * arrays.solid_angle)


def exposures(mean: Floats, frames: int, seed: int = 0) -> Iterator[NDArray[np.uint16]]:
    """Frames of the scene in blocks, shape (frames of a block, slow, fast)."""
    random = np.random.default_rng(seed)
    for start in range(0, frames, 50):
        count = min(50, frames - start)
        yield random.poisson(mean, (count, *mean.shape)).astype(np.uint16)


def recipe(splitting: str, error_model: str, mean: Floats, bins: int = BINS) -> Recipe:
    """A curve of the scene; the error model ``variance`` is told the true one."""
    return Recipe(
        geometry=GEOMETRY,
        binning=Radial(bins=bins, radial_range=(0.05, 1.0)),
        splitting=splitting,
        error_model=error_model,
        corrections=Corrections(variance=mean),
    )


def outcomes(recipes: dict[str, Recipe], mean: Floats, frames: int) -> dict[str, Outcome]:
    """Reduce the same exposures by each recipe and compare all pairs of curves."""
    reductions = {name: reduction_for(made) for name, made in recipes.items()}
    found: dict[str, list[tuple[Floats, Floats]]] = {name: [] for name in recipes}
    for block in exposures(mean, frames):
        for name, reduction in reductions.items():
            profiles = reduction.reduce_block(block)
            found[name] += [(p.intensity, np.asarray(p.sigma)) for p in profiles]
    return {name: _outcome(np.array(curves)) for name, curves in found.items()}


def _outcome(curves: Floats) -> Outcome:
    """Of curves and their errors, shape (frames, 2, bins)."""
    intensity, square = curves[:, 0], np.square(curves[:, 1])
    pairs = []
    for number in range(1, len(curves)):
        difference = np.square(intensity[number] - intensity[:number])
        pairs.append((difference / (square[number] + square[:number])).mean(axis=1))
    centered = intensity - intensity.mean(axis=0)
    centered /= centered.std(axis=0)
    apart = [(centered[:, k:] * centered[:, : centered.shape[1] - k]).mean() for k in range(5)]
    scatter = intensity.std(axis=0, ddof=1) / np.sqrt(square.mean(axis=0))
    tens = intensity.shape[1] // 10 * 10
    means = intensity[:, :tens].reshape(len(curves), -1, 10).mean(axis=2)
    stated = square[:, :tens].mean(axis=0).reshape(-1, 10).sum(axis=1) / 100
    pooled = float(np.sqrt((means.var(axis=0, ddof=1) / stated).mean()))
    return Outcome(np.concatenate(pairs), scatter, np.array(apart), pooled)


def report(frames: int) -> dict[tuple[str, str, str], Outcome]:
    """Print both tables."""
    everything: dict[tuple[str, str, str], Outcome] = {}
    pairs = frames * (frames - 1) // 2
    print(f"{frames} frames, {pairs} pairs, {BINS} bins")
    print("| scene | errors | splitting | mean chi2 | width / theory | scatter / sigma |")
    print("|---|---|---|---|---|---|")
    for scene, brightest in SCENES.items():
        mean = expected_counts(brightest)
        recipes = {f"{m} {s}": recipe(s, m, mean) for m in MODELS for s in SPLITTINGS}
        for name, outcome in outcomes(recipes, mean, frames).items():
            model, splitting = name.split()
            everything[scene, model, splitting] = outcome
            ratio = float(np.sqrt(np.square(outcome.scatter).mean()))
            print(
                f"| {scene} | {model} | {splitting} | {outcome.chi_square.mean():.3f} "
                f"| {outcome.width:.2f} | {ratio:.3f} |"
            )
    print(
        "\n| bins a pixel | splitting | correlation 1, 2, 3 bins apart | width / theory | pooled |"
    )
    print("|---|---|---|---|---|")
    mean = expected_counts(SCENES["bright"])
    for bins in (BINS // 4, BINS // 2, BINS, 2 * BINS):
        recipes = {s: recipe(s, "poisson", mean, bins) for s in SPLITTINGS}
        for name, outcome in outcomes(recipes, mean, max(frames // 2, 20)).items():
            near = ", ".join(f"{value:.2f}" for value in outcome.correlation[1:4])
            print(
                f"| {bins / BINS:.2g} | {name} | {near} | {outcome.width:.2f} "
                f"| {outcome.pooled:.2f} |"
            )
    return everything


def draw(everything: dict[tuple[str, str, str], Outcome]) -> None:
    """The distributions of chi-square, and what independent bins would have."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415  # after the choice of what draws

    figure, axes = plt.subplots(2, 3, figsize=(11, 6), sharey="row", constrained_layout=True)
    random = np.random.default_rng(1)
    theory = random.chisquare(BINS, 1_000_000) / BINS
    for row, scene in zip(axes, SCENES, strict=True):
        for axis, model in zip(row, MODELS, strict=True):
            edges = np.linspace(0, 2, 200)
            axis.hist(theory, edges, density=True, color="0.85", label="independent bins")
            for splitting in SPLITTINGS:
                values = everything[scene, model, splitting].chi_square
                axis.hist(values, edges, density=True, histtype="step", label=splitting)
            axis.set_title(f"{scene} scene, {model}")
            axis.set_xlabel("reduced χ² of a pair of curves")
    axes[0, 0].legend(loc="upper right", fontsize="small")
    FIGURE.parent.mkdir(exist_ok=True)
    figure.savefig(FIGURE, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare stated errors with scatter.")
    parser.add_argument("--frames", type=int, default=1000)
    draw(report(parser.parse_args().frames))


if __name__ == "__main__":
    main()
