"""Several positions or detectors merged into one curve: laws, refusals, pyFAI as the oracle."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from pyFAI.detectors import Detector as PyfaiDetector
from pyFAI.integrator.azimuthal import AzimuthalIntegrator
from pyFAI.multi_geometry import MultiGeometry as PyfaiMultiGeometry

from ringline.processing import (
    Azimuthal,
    Binning,
    Block,
    Cake,
    Corrections,
    Detector,
    Frame,
    FrameError,
    Geometry,
    MultiGeometry,
    Radial,
    Recipe,
    RecipeError,
    multi_geometry_from_json,
    reduction_for,
)

SHAPE = (40, 60)
WHOLE = Geometry(
    distance=0.05,
    poni1=0.0021,
    poni2=0.0033,
    rot1=0.02,
    wavelength=1e-10,
    detector=Detector(pixel1=1e-4, pixel2=1e-4, shape=SHAPE),
)
BINNINGS = [
    Radial(30),
    Radial(30, "2th_deg", (1.0, 4.0), (-90.0, 60.0)),
    Radial(edges=(0.5, 1.0, 4.0, 5.0)),
    Azimuthal(24),
    Azimuthal(24, "chi_rad", (1.0, 4.0)),
    Cake(15, 8),
]


def counts(seed: int = 1, shape: tuple[int, int] = SHAPE) -> NDArray[np.int64]:
    return np.random.default_rng(seed).poisson(50, shape)


def recipe(binning: Binning | None = None, **more: object) -> Recipe:
    values = {"geometry": WHOLE, "error_model": "poisson", "splitting": "full", **more}
    return Recipe(binning=binning or Radial(30), **values)


def halves(whole: Recipe, row: int) -> list[Recipe]:
    """The detector cut in two below a row, as two detectors that stand where its halves do."""
    lower = replace(WHOLE.detector, shape=(row, SHAPE[1]))
    upper = replace(WHOLE.detector, shape=(SHAPE[0] - row, SHAPE[1]))
    shift = row * WHOLE.detector.pixel1
    return [
        replace(whole, geometry=replace(WHOLE, detector=lower)),
        replace(whole, geometry=replace(WHOLE, detector=upper, poni1=WHOLE.poni1 - shift)),
    ]


def masked_halves(whole: Recipe, row: int) -> list[Recipe]:
    """The whole detector twice, each time the other half masked."""
    below = np.arange(SHAPE[0])[:, None] * np.ones(SHAPE) < row
    return [replace(whole, corrections=replace(whole.corrections, mask=m)) for m in (below, ~below)]


@pytest.mark.parametrize("splitting", ["no", "bbox", "pseudo", "full"])
def test_two_halves_of_a_detector_merged_equal_the_whole_exactly(splitting: str) -> None:
    corrections = Corrections(solid_angle=False)
    whole = recipe(
        Radial(30, radial_range=(0.5, 5.0)), splitting=splitting, corrections=corrections
    )
    image = counts()
    merged = MultiGeometry(masked_halves(whole, 17)).reduce([image, image])
    expected = reduction_for(whole).reduce(image)
    np.testing.assert_array_equal(merged.axis, expected.axis)
    np.testing.assert_array_equal(merged.intensity, expected.intensity)
    assert merged.sigma is not None
    # Squares of shares are finer than what a float64 adds without rounding.
    np.testing.assert_allclose(merged.sigma, expected.sigma, rtol=1e-14)


@pytest.mark.parametrize("binning", BINNINGS)
def test_two_half_detectors_merged_equal_the_whole_with_all_corrections(binning: Binning) -> None:
    whole = recipe(binning, corrections=Corrections(polarization=0.9))
    image, row = counts(), 11
    merged = MultiGeometry(halves(whole, row)).reduce([image[:row], image[row:]])
    expected = reduction_for(whole).reduce(image)
    np.testing.assert_allclose(merged.axis, expected.axis, rtol=1e-7, atol=1e-12)
    # An axis that is the pixels' own gathers what reaches beyond its ends: below radius 0, and
    # across the azimuth's discontinuity.
    inner = tuple(slice(2, -2) for _ in merged.intensity.shape)
    np.testing.assert_allclose(merged.intensity[inner], expected.intensity[inner], rtol=2e-5)


def test_a_range_left_to_the_pixels_is_the_union_of_all() -> None:
    far = replace(WHOLE, poni2=-0.02)
    merged = MultiGeometry([recipe(), recipe(geometry=far)])
    near_end = reduction_for(recipe()).edges[-1]
    low, high = (reduction_for(recipe(geometry=each)).edges for each in (WHOLE, far))
    edges = merged.reduction.edges
    np.testing.assert_allclose(edges[[0, -1]], [low[0], high[-1]], rtol=1e-12)
    assert edges[-1] > near_end


def test_edges_that_are_given_stay() -> None:
    edges = (0.5, 1.0, 3.0)
    merged = MultiGeometry([recipe(Radial(edges=edges))] * 2)
    np.testing.assert_array_equal(merged.reduction.edges, edges)


@pytest.mark.parametrize("solid_angle", [True, False])
@pytest.mark.parametrize("polarization", [None, 0.95])
def test_pyfai_merges_to_the_same_curve(*, solid_angle: bool, polarization: float | None) -> None:
    places = [WHOLE, replace(WHOLE, poni2=-0.004), replace(WHOLE, distance=0.09)]
    binning = Radial(40, "2th_deg", (0.5, 9.0), (-180.0, 180.0))
    corrections = Corrections(solid_angle=solid_angle, polarization=polarization)
    ours = MultiGeometry(
        [recipe(binning, geometry=g, splitting="no", corrections=corrections) for g in places]
    )
    images = [counts(seed) for seed in range(3)]
    found = ours.reduce(images)
    integrators = [
        AzimuthalIntegrator(
            dist=g.distance, poni1=g.poni1, poni2=g.poni2, rot1=g.rot1, wavelength=g.wavelength,
            detector=PyfaiDetector(1e-4, 1e-4, max_shape=SHAPE, orientation=3),
        )
        for g in places
    ]  # fmt: skip
    theirs = PyfaiMultiGeometry(
        integrators, "2th_deg", radial_range=(0.5, 9.0), azimuth_range=(-180, 180)
    )
    expected = theirs.integrate1d(
        images, 40, correctSolidAngle=solid_angle, polarization_factor=polarization,
        error_model="poisson", method=("no", "histogram", "cython"),
    )  # fmt: skip
    pixel = (1e-4 / WHOLE.distance) ** 2 if solid_angle else 1.0
    # pyFAI's histogram puts what lies up to a bin below the range into the first bin.
    filled = np.isfinite(found.intensity) & (np.arange(40) > 0)
    assert filled.sum() > 30
    np.testing.assert_allclose(found.axis, expected.radial, rtol=1e-6)
    np.testing.assert_allclose(
        found.intensity[filled], expected.intensity[filled] * pixel, rtol=1e-4
    )
    assert found.sigma is not None
    np.testing.assert_allclose(found.sigma[filled], expected.sigma[filled] * pixel, rtol=1e-4)


def test_a_uniform_scatterer_seen_from_two_distances_is_flat() -> None:
    places = [WHOLE, replace(WHOLE, distance=0.15)]
    images = [
        1e9 * (1e-4 / g.distance) ** 2 * reduction_for(recipe(geometry=g))._bound().table.norm
        for g in places
    ]
    profile = MultiGeometry([recipe(geometry=g) for g in places]).reduce(images)
    np.testing.assert_allclose(profile.intensity, 1e9 * (1e-4 / 0.05) ** 2, rtol=1e-9)


def test_blocks_are_merged_frame_by_frame() -> None:
    merged = MultiGeometry(halves(recipe(), 10))
    images = np.stack([counts(seed) for seed in range(3)])
    sums = merged.map_block([Block(images[:, :10], 5), Block(images[:, 10:], 5)])
    for number, one in enumerate(sums):
        expected = merged.reduce([images[number, :10], images[number, 10:]])
        np.testing.assert_array_equal(merged.finish(one).intensity, expected.intensity)
        assert (one.first_frame, one.last_frame, one.frames) == (5 + number, 5 + number, 2)


def test_the_digest_tells_every_recipe_and_their_order() -> None:
    one, other = (
        recipe(Radial(30, radial_range=(0, 5))),
        recipe(Radial(30, radial_range=(0, 5)), splitting="no"),
    )
    merged = MultiGeometry([one, other])
    profile = merged.reduce([counts(), counts()])
    assert profile.recipe_digest == merged.digest
    assert len({merged.digest, MultiGeometry([other, one]).digest, one.digest, other.digest}) == 4


def test_json_gives_back_the_same_recipes() -> None:
    merged = MultiGeometry(halves(recipe(), 10))
    again = multi_geometry_from_json(merged.to_json())
    assert again.recipes == merged.recipes
    assert again.digest == merged.digest
    for text in ("{", "3", "{}", '{"merged": 3}'):
        with pytest.raises(RecipeError):
            multi_geometry_from_json(text)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"binning": Radial(31)}, "recipe 2: bins is 31, that of recipe 1 is 30"),
        ({"binning": Radial(30, "2th_deg")}, "unit is '2th_deg'.*'q_nm\\^-1'"),
        ({"binning": Cake(30, 4)}, "binning is 'Cake', that of recipe 1 is 'Radial'"),
        ({"binning": Radial(30, radial_range=(0, 1))}, "radial_range is"),
        ({"error_model": "none"}, "error_model is 'none', that of recipe 1 is 'poisson'"),
        ({"corrections": Corrections(solid_angle=False)}, "solid_angle is False"),
        ({"corrections": Corrections(polarization=1)}, "polarization is corrected is True"),
        ({"corrections": Corrections(monitor=3)}, "monitor is 3.0, that of recipe 1 is None"),
    ],
)
def test_recipes_that_cannot_be_merged_are_refused_by_name(
    other: dict[str, object], words: str
) -> None:
    with pytest.raises(RecipeError, match=words):
        MultiGeometry([recipe(), replace(recipe(), **other)])


def test_no_recipe_and_a_detector_without_a_shape_are_refused() -> None:
    with pytest.raises(RecipeError, match="got none"):
        MultiGeometry([])
    free = replace(WHOLE, detector=replace(WHOLE.detector, shape=None))
    with pytest.raises(RecipeError, match="recipe 2: its detector has no shape"):
        MultiGeometry([recipe(), recipe(geometry=free)])


def test_images_that_do_not_fit_are_refused_with_the_recipes_number() -> None:
    merged = MultiGeometry(halves(recipe(), 10))
    with pytest.raises(FrameError, match="1 images for 2 recipes"):
        merged.reduce([counts()])
    with pytest.raises(FrameError, match=r"recipe 2: frame 0: shape \(40, 60\)"):
        merged.map([Frame(counts()[:10]), Frame(counts())])
    with pytest.raises(FrameError, match=r"blocks of \[1, 2\] frames"):
        merged.map_block([Block(np.ones((1, 10, 60))), Block(np.ones((2, 30, 60)))])
