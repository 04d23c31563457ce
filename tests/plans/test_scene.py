import itertools
from dataclasses import replace

import h5py
import hdf5plugin  # noqa: F401  # registers the filter
import numpy as np
import pytest
from numpy.typing import NDArray

from ringline.plans import Scene, SimulatedExposures
from ringline.plans.exposures import compression
from ringline.plans.scene import NOMINAL_MONITOR
from ringline.processing import Corrections, Radial, Recipe, RecipeError, reduction_for


def image_of(exposures: SimulatedExposures, index: int) -> NDArray[np.generic]:
    chunk = exposures.expose(index).chunk
    with h5py.File(f"image-{index}", "w", driver="core", backing_store=False) as file:
        shape = (1, *exposures.shape)
        data = file.create_dataset(
            "data", shape=shape, dtype=exposures.dtype, chunks=shape, compression=compression()
        )
        data.id.write_direct_chunk((0, 0, 0), chunk)
        return np.asarray(data[0])


def good(exposures: SimulatedExposures) -> NDArray[np.bool_]:
    return np.asarray(~exposures.mean_images.faults.mask)


def test_reduction_with_the_true_geometry_finds_the_rings_of_the_powder(scene: Scene) -> None:
    pure = replace(scene, fractions=(0.0, 0.0))
    exposures = SimulatedExposures(pure)
    recipe = Recipe(
        geometry=scene.geometry,
        binning=Radial(400, unit="2th_deg"),
        corrections=Corrections(mask=~good(exposures), polarization=scene.polarization),
    )
    profile = reduction_for(recipe).reduce(exposures.mean_images.at(0.0))
    spacing = scene.geometry.wavelength / (2 * np.sin(0.5 * np.deg2rad(profile.axis)))
    first = (spacing > 3.6e-10) & (spacing < 4.8e-10)
    peak = spacing[first][np.nanargmax(profile.intensity[first])]
    assert peak == pytest.approx(4.1568e-10, rel=0.02)


def test_frames_are_poisson_draws_of_the_mean(scene: Scene) -> None:
    exposures = SimulatedExposures(replace(scene, fractions=(0.0, 0.0), peak_counts=200.0))
    usable = good(exposures)
    frames = np.array([image_of(exposures, index)[usable] for index in range(16)], dtype=float)
    flux = np.array([exposures.expose(index).monitor for index in range(16)]) / NOMINAL_MONITOR
    mean = exposures.mean_images.at(0.0)[usable]
    pull = (frames - mean * flux[:, None]) / np.sqrt(mean * flux[:, None])
    assert abs(pull.mean()) < 0.01
    assert pull.std() == pytest.approx(1.0, abs=0.02)


def test_counts_scale_with_the_beam_monitor(exposures: SimulatedExposures) -> None:
    static = SimulatedExposures(replace(exposures.scene, fractions=(0.0, 0.0)))
    monitors = np.array([static.expose(index).monitor for index in range(40)])
    counts = np.array([image_of(static, n)[good(static)].sum() for n in range(40)], dtype=float)
    assert np.std(counts) / np.mean(counts) > 0.01
    assert np.std(counts / monitors) / np.mean(counts / monitors) < 0.005


def test_gaps_hold_the_largest_value_dead_pixels_nothing_and_hot_ones_too_much(
    exposures: SimulatedExposures,
) -> None:
    image, faults = image_of(exposures, 0), exposures.mean_images.faults
    assert faults.gaps.any()
    assert (image[faults.gaps] == 65535).all()
    assert faults.dead.sum() > 20
    assert (image[faults.dead] == 0).all()
    assert faults.hot.sum() > 5
    assert image[faults.hot].min() > 10 * image[good(exposures)].mean()


def test_the_second_powder_grows_along_the_evolution(scene: Scene) -> None:
    exposures = SimulatedExposures(scene, evolution=50)
    difference = exposures.mean_images.at(1.0) - exposures.mean_images.at(0.0)
    places = good(exposures) & (difference > 0.5 * difference.max())
    counts = [
        image_of(exposures, index)[places].mean() / exposures.expose(index).monitor
        for index in (0, 25, 49)
    ]
    assert counts[0] < 0.7 * counts[1] < 0.7 * counts[2]


def test_neighbouring_frames_differ(exposures: SimulatedExposures) -> None:
    chunks = [exposures.expose(index).chunk for index in range(100)]
    assert all(a is not b for a, b in itertools.pairwise(chunks))


def test_a_seed_makes_the_same_frames_again(scene: Scene, exposures: SimulatedExposures) -> None:
    again = SimulatedExposures(scene)
    other = SimulatedExposures(replace(scene, seed=scene.seed + 1))
    assert again.expose(5) == exposures.expose(5)
    assert other.expose(5) != exposures.expose(5)


def test_a_wide_type_is_written_where_asked_for(scene: Scene) -> None:
    exposures = SimulatedExposures(scene, dtype=np.uint32)
    image = image_of(exposures, 1)
    assert image.dtype == np.uint32
    assert image[exposures.mean_images.faults.gaps].min() == 2**32 - 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"peak_counts": 0.0}, "peak_counts must be > 0, got 0.0"),
        ({"line_width": float("nan")}, "line_width must be > 0, got nan"),
        ({"fractions": (0.0, 1.5)}, r"fractions must lie in 0 .. 1, got \(0.0, 1.5\)"),
    ],
)
def test_a_scene_that_cannot_be_is_refused(
    scene: Scene, change: dict[str, object], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        replace(scene, **change)  # type: ignore[arg-type]
