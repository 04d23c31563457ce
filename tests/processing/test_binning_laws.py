"""What must hold for every splitting, unit and binning, whoever else computes it."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ringline.processing import (
    Azimuthal,
    Cake,
    Corrections,
    Detector,
    Frame,
    Geometry,
    Radial,
    Recipe,
    RecipeError,
    Sums,
    pixel_arrays,
    reduction_for,
)
from ringline.processing.units import UNITS

from .pixel_coordinates import half_width  # noqa: TID252

Binning = Radial | Azimuthal | Cake

SPLITTINGS = ("no", "bbox", "pseudo", "full")
SHAPE = (23, 31)
RADIAL_UNITS = [name for name, unit in UNITS.items() if not unit.periodic]
BINNINGS: list[Binning] = [
    *(Radial(bins=19, unit=unit) for unit in UNITS),
    Radial(bins=19, unit="formula: sqrt(x**2 + y**2) + 0.1 * x"),
    Azimuthal(bins=11),
    Azimuthal(bins=11, unit="chi_rad"),
    Cake(radial_bins=12, azimuthal_bins=9),
    Cake(radial_bins=12, azimuthal_bins=9, unit="2th_deg"),
]


def geometry(beam: tuple[float, float] = (11.2, 15.7), **changes: Any) -> Geometry:
    """A detector of SHAPE, the beam (in pixels) on it, tilted."""
    shape = changes.pop("shape", SHAPE)
    pixel1, pixel2 = 1.0e-4, 1.3e-4
    values = {
        "distance": 0.05, "wavelength": 1e-10, "rot1": 0.02, "rot2": -0.03, "rot3": 0.4,
        "poni1": beam[0] * pixel1 + 0.05 * 0.03, "poni2": beam[1] * pixel2 + 0.05 * 0.02,
        "detector": Detector(pixel1=pixel1, pixel2=pixel2, shape=shape), **changes,
    }  # fmt: skip
    return Geometry(**values)


def recipe(binning: Binning, splitting: str, **changes: Any) -> Recipe:
    values = {"geometry": geometry(), **changes}
    return Recipe(binning=binning, splitting=splitting, **values)


def flat_scene(made: Recipe) -> NDArray[np.float64]:
    """What a detector records of an intensity of 1 everywhere."""
    arrays = pixel_arrays(made.geometry)
    return np.asarray(arrays.solid_angle * arrays.polarization(0.9))


def random_counts(seed: int, shape: tuple[int, int] = SHAPE) -> NDArray[np.int64]:
    return np.random.default_rng(seed).integers(0, 60000, shape)


def sums_of(made: Recipe, image: NDArray[Any]) -> Sums:
    return reduction_for(made).map(Frame(image))


@pytest.mark.parametrize("splitting", SPLITTINGS)
@pytest.mark.parametrize("binning", BINNINGS)
@pytest.mark.parametrize("coefficients", ["exact", "compact"])
def test_a_flat_scene_gives_a_flat_curve(
    binning: Binning, splitting: str, coefficients: str
) -> None:
    corrections = Corrections(polarization=0.9)
    made = recipe(binning, splitting, corrections=corrections, coefficients=coefficients)
    intensity = reduction_for(made).reduce(flat_scene(made)).intensity
    seen = np.isfinite(intensity)
    assert seen.sum() > 0.4 * seen.size
    np.testing.assert_allclose(intensity[seen], 1.0, rtol=1e-13)


@pytest.mark.parametrize("splitting", SPLITTINGS)
@pytest.mark.parametrize("binning", BINNINGS)
@settings(max_examples=4)
@given(seed=st.integers(0, 2**32), masked=st.sampled_from([0.0, 0.3, 0.95]))
def test_every_pixel_counts_exactly_once(
    binning: Binning, splitting: str, seed: int, masked: float
) -> None:
    """But for a pixel that reaches ln 0: it has no extent to share."""
    mask = np.random.default_rng(seed).random(SHAPE) < masked
    if binning.unit == "log(q)":
        mask.ravel()[pixel_arrays(geometry()).r.argmin()] = True
    image = random_counts(seed)
    made = recipe(binning, splitting, corrections=Corrections(mask=mask))
    sums = sums_of(made, image)
    assert sums.count.sum() == (~mask).sum()
    assert sums.signal.sum() == image[~mask].sum()


@pytest.mark.parametrize("splitting", SPLITTINGS)
@settings(max_examples=12)
@given(
    seed=st.integers(0, 2**32),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    bins=st.sampled_from([1, 2, 7, 400]),
    beam=st.tuples(st.floats(-3, 12), st.floats(-3, 12)),
    kind=st.sampled_from(["radial", "azimuthal", "cake"]),
    orientation=st.integers(1, 4),
)
def test_every_pixel_counts_exactly_once_on_any_small_detector(
    splitting: str,
    seed: int,
    shape: tuple[int, int],
    bins: int,
    beam: tuple[float, float],
    kind: str,
    orientation: int,
) -> None:
    binning: Binning = {
        "radial": Radial(bins=bins),
        "azimuthal": Azimuthal(bins=bins),
        "cake": Cake(radial_bins=bins, azimuthal_bins=3),
    }[kind]
    detector = Detector(pixel1=1e-4, pixel2=1.3e-4, shape=shape, orientation=orientation)
    made = recipe(binning, splitting, geometry=geometry(beam, detector=detector))
    image = random_counts(seed, shape)
    sums = sums_of(made, image)
    assert sums.count.sum() == image.size
    assert sums.signal.sum() == image.sum()
    intensity = reduction_for(made).reduce(image).intensity
    np.testing.assert_array_equal(np.isnan(intensity), sums.count == 0)


@pytest.mark.parametrize("splitting", SPLITTINGS)
def test_one_pixel_fills_the_bins_that_it_reaches_and_no_others(splitting: str) -> None:
    single = geometry(beam=(4.0, 3.0), shape=(1, 1))
    made = recipe(Radial(bins=5), splitting, geometry=single)
    sums = sums_of(made, np.array([[7]]))
    assert sums.signal.sum() == 7
    assert (sums.count > 0).sum() == (1 if splitting == "no" else 5)


@pytest.mark.parametrize("splitting", SPLITTINGS)
def test_more_bins_than_pixels_leave_empty_bins_that_are_not_numbers(splitting: str) -> None:
    made = recipe(Radial(bins=5000, radial_range=(0.01, 10.0)), splitting)
    profile = reduction_for(made).reduce(np.full(SHAPE, 3))
    assert np.isnan(profile.intensity[-1])
    seen = np.isfinite(profile.intensity)
    assert seen.sum() > 400
    counted = reduction_for(made).map(Frame(np.full(SHAPE, 3))).count > 0
    np.testing.assert_array_equal(seen, counted)


@pytest.mark.parametrize("splitting", SPLITTINGS)
@pytest.mark.parametrize(
    ("free", "bound"),
    [
        (Radial(bins=5), Radial(bins=5, radial_range=(1, 9))),
        (Azimuthal(bins=5), Azimuthal(bins=5, azimuth_range=(1, 9))),
        (Cake(5, 4), Cake(5, 4, radial_range=(1, 9), azimuth_range=(0, 9))),
    ],
)
def test_when_all_is_masked_a_range_must_be_given_and_then_nothing_is_a_number(
    splitting: str, free: Binning, bound: Binning
) -> None:
    masked = Corrections(mask=np.ones(SHAPE))
    with pytest.raises(RecipeError, match="all pixels are masked"):
        reduction_for(recipe(free, splitting, corrections=masked))
    profile = reduction_for(recipe(bound, splitting, corrections=masked)).reduce(np.ones(SHAPE))
    assert np.isnan(profile.intensity).all()


@settings(max_examples=15)
@given(
    seed=st.integers(0, 2**32),
    cuts=st.lists(st.floats(-180, 180), min_size=2, max_size=5, unique=True).map(sorted),
)
def test_sectors_that_make_up_the_circle_add_up_to_it(seed: int, cuts: list[float]) -> None:
    image = random_counts(seed)
    binning = Radial(bins=15, radial_range=(0.0, 5.0))
    whole = sums_of(recipe(binning, "full"), image)
    turn = [*cuts, cuts[0] + 360.0]
    parts = [
        sums_of(recipe(replace(binning, azimuth_range=(low, high)), "full"), image)
        for low, high in pairwise(turn)
    ]
    # Shares are rounded to multiples of 2^-24, in each part by itself.
    rounding = 2.0**-24 * len(parts) * np.sqrt(image.size)
    for name, scale in (("count", 1), ("signal", 60000)):
        total = sum(getattr(part, name) for part in parts)
        np.testing.assert_allclose(total, getattr(whole, name), rtol=1e-7, atol=scale * rounding)


@pytest.mark.parametrize("splitting", ["no", "bbox", "pseudo", "full"])
@settings(max_examples=8)
@given(seed=st.integers(0, 2**32), cut=st.floats(0.1, 5.0))
def test_radial_ranges_that_touch_add_up_to_both(splitting: str, seed: int, cut: float) -> None:
    image = random_counts(seed)
    edges = (-9.0, cut, 100.0)
    whole = sums_of(recipe(Radial(edges=edges), splitting), image)
    for number in (0, 1):
        part = sums_of(recipe(Radial(edges=edges[number : number + 2]), splitting), image)
        np.testing.assert_allclose(part.count, whole.count[number], rtol=1e-6, atol=1e-6)
    assert whole.count.sum() == image.size


@pytest.mark.parametrize("splitting", SPLITTINGS)
@pytest.mark.parametrize(
    "binning",
    [
        Radial(bins=19),
        Radial(bins=19, unit="2th_deg"),
        Radial(bins=19, unit="log(q)"),
        Azimuthal(bins=9),
        Cake(8, 5),
    ],
)
def test_the_edges_of_equal_bins_given_as_edges_make_the_same_curve(
    binning: Binning, splitting: str
) -> None:
    image = random_counts(1)
    mask = np.zeros(SHAPE, bool)
    mask[10:13, 13:18] = True
    if isinstance(binning, Radial):
        binning = replace(binning, radial_range=tuple(reduction_range(binning, mask)))
    equal = recipe(binning, splitting, corrections=Corrections(mask=mask))
    compiled = reduction_for(equal)
    edges = tuple(compiled.edges.tolist())
    given_edges: Binning
    if isinstance(binning, Cake):
        assert compiled.azimuth_edges is not None
        given_edges = Cake(edges=edges, azimuth_edges=tuple(compiled.azimuth_edges.tolist()))
    elif isinstance(binning, Radial):
        given_edges = Radial(edges=edges, unit=binning.unit)
    else:
        given_edges = Azimuthal(edges=edges)
    expected = compiled.map(Frame(image))
    found = sums_of(recipe(given_edges, splitting, corrections=equal.corrections), image)
    # The range of the pixels' own takes what lies beyond its ends; given edges do not.
    inner = (slice(1, -1),) * found.count.ndim
    np.testing.assert_allclose(found.count[inner], expected.count[inner], rtol=1e-6)
    np.testing.assert_allclose(found.signal[inner], expected.signal[inner], rtol=1e-6)


def reduction_range(binning: Radial, mask: NDArray[np.bool_]) -> list[float]:
    own = reduction_for(recipe(binning, "no", corrections=Corrections(mask=mask))).edges
    return [float(own[0]), float(own[-1])]


@pytest.mark.parametrize("splitting", SPLITTINGS)
@pytest.mark.parametrize("kind", [Radial, Azimuthal])
@settings(max_examples=8)
@given(seed=st.integers(0, 2**32))
def test_bins_merged_are_the_coarser_bins(
    kind: type[Radial] | type[Azimuthal], splitting: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    low, high = (0.2, 5.0) if kind is Radial else (-180.0, 180.0)
    inner = np.sort(rng.uniform(low, high, 14))
    fine = np.array([low, *inner, high])
    chosen = np.array([0, 3, 4, 9, 15])
    image = random_counts(seed)
    merged = sums_of(recipe(kind(edges=tuple(fine.tolist())), splitting), image)
    coarse = sums_of(recipe(kind(edges=tuple(fine[chosen].tolist())), splitting), image)
    np.testing.assert_allclose(
        np.add.reduceat(merged.count, chosen[:-1]), coarse.count, rtol=1e-6, atol=1e-5
    )
    np.testing.assert_allclose(
        np.add.reduceat(merged.signal, chosen[:-1]), coarse.signal, rtol=1e-6, atol=0.5
    )


@pytest.mark.parametrize("splitting", SPLITTINGS)
@pytest.mark.parametrize("radial_unit", RADIAL_UNITS)
def test_an_azimuthal_profile_of_a_ring_is_flat_where_the_ring_is_whole(
    splitting: str, radial_unit: str
) -> None:
    """Rings stay level along the azimuth: the intensity depends on the radius alone."""
    wide = geometry(beam=(60.3, 60.6), shape=(120, 121))
    arrays = pixel_arrays(wide)
    radius = UNITS[radial_unit].value((arrays.r, np.zeros_like(arrays.r), _along(wide)), 1e-10)
    radius = radius * UNITS[radial_unit].scale
    inside = np.quantile(radius, [0.2, 0.6])
    binning = Azimuthal(
        bins=24, radial_range=(float(inside[0]), float(inside[1])), radial_unit=radial_unit
    )
    image = np.cos(arrays.r / arrays.r.max()) * arrays.solid_angle
    profile = reduction_for(recipe(binning, splitting, geometry=wide)).reduce(image)
    level = profile.intensity.mean()
    np.testing.assert_allclose(profile.intensity, level, rtol=5e-3)


def _along(made: Geometry) -> NDArray[np.float64]:
    arrays = pixel_arrays(made)
    return np.asarray(arrays.r / np.tan(arrays.two_theta))


@pytest.mark.parametrize("splitting", SPLITTINGS)
@settings(max_examples=8)
@given(seed=st.integers(0, 2**32), orientation=st.integers(1, 4))
def test_a_cake_summed_over_the_azimuth_is_the_curve(
    splitting: str, seed: int, orientation: int
) -> None:
    detector = Detector(pixel1=1e-4, pixel2=1.3e-4, shape=SHAPE, orientation=orientation)
    turned = geometry(detector=detector)
    image = random_counts(seed)
    edges = tuple(np.linspace(0.0, 5.0, 20).tolist())
    cake = sums_of(recipe(Cake(edges=edges, azimuthal_bins=7), splitting, geometry=turned), image)
    curve = sums_of(recipe(Radial(edges=edges), splitting, geometry=turned), image)
    np.testing.assert_allclose(cake.count.sum(0), curve.count, rtol=1e-6, atol=1e-4)
    np.testing.assert_allclose(cake.signal.sum(0), curve.signal, rtol=1e-6, atol=5)


@pytest.mark.parametrize("splitting", SPLITTINGS)
@pytest.mark.parametrize("orientation", [1, 2, 3, 4])
@pytest.mark.parametrize("binning", [Radial(bins=19), Azimuthal(bins=11), Cake(12, 9)])
def test_an_orientation_is_a_flip_of_the_image(
    binning: Binning, orientation: int, splitting: str
) -> None:
    image = random_counts(3)
    flips = {1: image[::-1, ::-1], 2: image[::-1], 3: image, 4: image[:, ::-1]}
    detector = Detector(pixel1=1e-4, pixel2=1.3e-4, shape=SHAPE, orientation=orientation)
    # Where the contour around the beam begins is where a rectangle of it has its middle.
    mask = np.zeros(SHAPE, bool)
    if splitting == "pseudo":
        mask.ravel()[pixel_arrays(geometry()).r.argmin()] = True
    masks = {1: mask[::-1, ::-1], 2: mask[::-1], 3: mask, 4: mask[:, ::-1]}
    upright = sums_of(
        recipe(binning, splitting, corrections=Corrections(mask=mask)), flips[orientation]
    )
    turned = Corrections(mask=masks[orientation])
    made = recipe(binning, splitting, geometry=geometry(detector=detector), corrections=turned)
    stored = sums_of(made, image)
    np.testing.assert_allclose(stored.count, upright.count, rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(stored.signal, upright.signal, rtol=1e-6, atol=0.5)


@pytest.mark.parametrize("splitting", SPLITTINGS)
@pytest.mark.parametrize(
    "binning",
    [Radial(bins=19), Radial(bins=19, azimuth_range=(20, 95)), Azimuthal(11), Cake(12, 9)],
)
def test_a_lattice_given_by_its_corners_makes_the_same_curve(
    binning: Binning, splitting: str
) -> None:
    image = random_counts(4)
    lattice = geometry()
    detector = lattice.detector
    cornered = replace(detector, corners=detector.pixel_corners())
    found = sums_of(recipe(binning, splitting, geometry=geometry(detector=cornered)), image)
    expected = sums_of(recipe(binning, splitting), image)
    np.testing.assert_allclose(found.count, expected.count, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found.signal, expected.signal, rtol=1e-9, atol=0.05)
    np.testing.assert_allclose(found.norm, expected.norm, rtol=1e-9, atol=1e-6)


def hexagons(shape: tuple[int, int], pitch: float) -> NDArray[np.float64]:
    """Corners of a honeycomb without gaps, m, shape (slow, fast, 6, 3)."""
    angle = np.radians(30 + 60 * np.arange(6))
    i, j = np.mgrid[: shape[0], : shape[1]]
    corners = np.zeros((*shape, 6, 3))
    corners[..., 1] = (i * pitch * np.sqrt(3) / 2)[..., None] + pitch / np.sqrt(3) * np.sin(angle)
    corners[..., 2] = ((j + 0.5 * (i % 2)) * pitch)[..., None] + pitch / np.sqrt(3) * np.cos(angle)
    return corners


@pytest.mark.parametrize("splitting", SPLITTINGS)
@pytest.mark.parametrize("binning", [Radial(bins=19), Azimuthal(bins=11), Cake(12, 9)])
def test_every_hexagon_counts_exactly_once(binning: Binning, splitting: str) -> None:
    corners = hexagons((21, 25), 1e-4)
    detector = Detector(pixel1=1e-4, pixel2=1e-4, corners=corners)
    made = recipe(
        binning,
        splitting,
        geometry=Geometry(
            distance=0.05, wavelength=1e-10, poni1=9.3e-4, poni2=1.27e-3, detector=detector
        ),
    )
    image = random_counts(6, (21, 25))
    sums = sums_of(made, image)
    assert sums.count.sum() == image.size
    assert sums.signal.sum() == image.sum()


@pytest.mark.parametrize("splitting", SPLITTINGS)
@pytest.mark.parametrize("unit", ["chi_deg", "chi_rad"])
@pytest.mark.parametrize("sector", [(170.0, 190.0), (-200.0, -160.0), (90.0, 450.0)])
def test_a_range_of_the_azimuth_may_cross_its_discontinuity(
    sector: tuple[float, float], unit: str, splitting: str
) -> None:
    """It is the same as half a turn away on a detector that is turned by half a turn."""
    image = random_counts(7)
    scale = 1.0 if unit == "chi_deg" else np.pi / 180
    here = tuple(scale * at for at in sector)
    there = tuple(scale * (at - 180) for at in sector)
    found = sums_of(recipe(Radial(8, unit, radial_range=here), splitting), image)
    turned = geometry(rot3=0.4 + np.pi)
    signs = np.sign(np.cos(pixel_arrays(turned).chi - pixel_arrays(geometry()).chi))
    assert (signs < 0).all()
    expected = sums_of(
        recipe(Radial(8, unit, radial_range=there), splitting, geometry=turned), image
    )
    # An upper end is a float32 step above what is asked for: 2e-7 of another number.
    np.testing.assert_allclose(found.count, expected.count, rtol=1e-5, atol=1e-4)
    assert found.count.sum() > 10
    same = sums_of(recipe(Azimuthal(8, unit, azimuth_range=sector), splitting), image)
    np.testing.assert_allclose(found.signal, same.signal, rtol=1e-6)
    if splitting == "no":
        chi = np.degrees(pixel_arrays(geometry()).chi)
        expected_count = sum(
            np.histogram(chi + turn, np.linspace(*sector, 9))[0] for turn in (-360, 0, 360)
        )
        np.testing.assert_array_equal(found.count, expected_count)


def test_a_curve_against_the_azimuth_takes_its_range_as_radial_range() -> None:
    with pytest.raises(RecipeError, match="radial_range"):
        Radial(bins=5, unit="chi_deg", azimuth_range=(0, 90))


@pytest.mark.parametrize("coefficients", ["exact", "compact"])
def test_a_pixel_whose_part_within_a_range_rounds_to_nothing_does_not_count(
    coefficients: str,
) -> None:
    arrays = pixel_arrays(geometry())
    top = float(arrays.q[3, 4] + half_width(arrays, "q")[3, 4])
    mask = np.ones(SHAPE, bool)
    mask[3, 4] = False
    image = np.full(SHAPE, np.nan)
    for inside, rejected in ((1e-10, 0), (1e-3, 1)):
        made = recipe(
            Radial(edges=(top * (1 - inside), top + 1)),
            "bbox",
            corrections=Corrections(mask=mask),
            coefficients=coefficients,
        )
        assert sums_of(made, image).rejected == rejected
        assert (sums_of(made, np.ones(SHAPE)).count.sum() > 0) == bool(rejected)
