"""Rings without their outliers, against a loop over rings in plain NumPy and against pyFAI."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyFAI.detectors import Detector as PyfaiDetector
from pyFAI.integrator.azimuthal import AzimuthalIntegrator

from ringline.processing.bin_table import Limits
from ringline.processing.errors import RecipeError
from ringline.processing.outliers import Outliers, QuantileRange, SigmaClip
from ringline.processing.robust import PixelTerms, RingSums, RingTable, RobustRings

Floats = NDArray[np.float64]
MODELS = ("none", "poisson", "variance", "azimuthal", "hybrid")
ALL = Limits()
NO_LIMIT = 1e6
"""A threshold that nothing reaches."""


@dataclass(frozen=True)
class Case:
    table: RingTable
    pixels: PixelTerms
    raw: NDArray[Any]

    def sums(self, outliers: Outliers, model: str = "none", limits: Limits = ALL) -> RingSums:
        return RobustRings(self.table, self.pixels, model).sums(self.raw, limits, outliers)


def in_order(task: Callable[[int], None], parts: int) -> None:
    for part in range(parts):
        task(part)


def backwards(task: Callable[[int], None], parts: int) -> None:
    for part in reversed(range(parts)):
        task(part)


def on_five_threads(task: Callable[[int], None], parts: int) -> None:
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(task, range(parts)))


def case(seed: int, *, rings: int = 40, dtype: str = "uint16", split: bool = False) -> Case:
    """Rings of 0 to 60 pixels with noise, some hot pixels, and any corrections."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 61, rings)
    lengths[:3] = 0, 1, 2
    count = int(lengths.sum())
    pixel = rng.permutation(count)
    if split:
        pixel = np.concatenate([np.sort(part) for part in np.split(pixel, lengths.cumsum()[:-1])])
    raw = rng.poisson(rng.uniform(0, 200), count).astype(float)
    raw[rng.random(count) < 0.03] += 5000
    share = rng.integers(0, 2**10 + 1, count) / 2.0**10
    return Case(
        RingTable(
            start=np.concatenate([[0], lengths.cumsum()]),
            pixel=pixel.astype(np.uint32),
            share=share.astype(np.float32) if split else None,
        ),
        PixelTerms(
            norm=rng.uniform(0.5, 1.5, count),
            dark=rng.uniform(0, 20, count) if rng.random() < 0.5 else None,
            variance=rng.uniform(0, 30, count),
        ),
        raw.astype(dtype),
    )


@dataclass(frozen=True)
class Ring:
    """Entries of one ring, and which are left."""

    pixel: NDArray[np.uint32]
    share: Floats
    x: Floats
    weight: Floats
    variance: Floats


def rings_of(made: Case, model: str, limits: Limits) -> list[Ring]:
    table, pixels = made.table, made.pixels
    share = np.ones(table.pixel.size) if table.share is None else table.share.astype(float)
    raw = made.raw.astype(float)
    dark = np.zeros(raw.size) if pixels.dark is None else pixels.dark
    static = np.zeros(raw.size) if pixels.variance is None else pixels.variance
    counts = np.maximum(raw, 1) if model in {"poisson", "hybrid"} else np.zeros(raw.size)
    own = counts + static
    ok = np.isfinite(raw) & (raw >= limits.low) & (raw <= limits.high)
    ok &= ~((raw >= limits.hole_low) & (raw <= limits.hole_high))
    found = []
    for first, last in zip(table.start[:-1], table.start[1:], strict=True):
        pixel, part = table.pixel[first:last], share[first:last]
        keep = ok[pixel] & (part > 0)
        pixel, part = pixel[keep], part[keep]
        norm = pixels.norm[pixel]
        x = (raw - dark)[pixel] / norm
        found.append(Ring(pixel, part, x, part * norm, part**2 * own[pixel]))
    return found


def clipped(ring: Ring, clip: SigmaClip, model: str) -> tuple[Floats, NDArray[np.bool_]]:
    """Which entries are left, and which left for being bright, one by one in every iteration."""
    left, bright = np.ones(ring.x.size, bool), np.zeros(ring.x.size, bool)
    for _ in range(clip.iterations):
        if not left.any():
            break
        x, w = ring.x[left], ring.weight[left]
        mean = (w * x).sum() / w.sum()
        scatter = (w**2 * (x - mean) ** 2).sum()
        variance = ring.variance[left].sum() if model in {"poisson", "variance"} else scatter
        count = max(3.0, ring.share[left].sum())
        factor = max(clip.threshold, np.sqrt(2 * np.log(count / np.sqrt(2 * np.pi))))
        off = abs(ring.x - mean) > factor * np.sqrt(variance / (w**2).sum()) + 1e-13 * abs(mean)
        if not (off & left).any():
            break
        bright |= off & left & (ring.x > mean)
        left &= ~off
    return left.astype(float), bright


def in_quantiles(ring: Ring, between: QuantileRange) -> Floats:
    """How much of each entry is kept: that of equals, which have no order, is their mean."""
    order = np.argsort(ring.x)
    x, w = ring.x[order], ring.weight[order]
    for value in np.unique(x):
        w[x == value] = w[x == value].mean()
    upper = w.cumsum()
    lower, total = upper - w, w.sum()
    low, high, slack = between.low * total, between.high * total, 1e-12 * total
    keep = (lower >= low - slack) & (upper <= high + slack)
    if not keep.any() and high - low > 2 * slack:
        keep = (upper > low + slack) & (lower < high - slack)
    elif not keep.any():
        keep = (upper >= low - slack) & (lower <= high + slack)
    kept = np.empty(x.size)
    for value in np.unique(x):
        kept[order[x == value]] = keep[x == value].mean()
    return kept


def oracle(made: Case, outliers: Outliers, model: str, limits: Limits = ALL) -> RingSums:
    rows, spots = [], set()
    for ring in rings_of(made, model, limits):
        if isinstance(outliers, SigmaClip):
            kept, bright = clipped(ring, outliers, model)
            spots |= set(ring.pixel[bright].tolist())
        else:
            kept = in_quantiles(ring, outliers)
        norm = (kept * ring.weight).sum()
        signal = (kept * ring.weight * ring.x).sum()
        mean = signal / norm if norm else 0.0
        variance = (kept * ring.variance).sum() if model != "none" else 0.0
        if model == "azimuthal":
            variance = (kept * (ring.weight * (ring.x - mean)) ** 2).sum()
        squares, count = (kept * ring.weight**2).sum(), (kept * ring.share).sum()
        rows.append((signal, variance, norm, squares, count, ring.x.size - kept.sum()))
    signal, variance, norm, norm_sq, count, rejected = np.array(rows).T
    share = made.table.share
    used = np.ones(made.table.pixel.size) if share is None else share > 0
    entries = np.diff(np.concatenate([[0], used.cumsum()])[made.table.start])
    valid = [ring.x.size for ring in rings_of(made, model, limits)]
    return RingSums(
        signal=signal,
        variance=variance,
        norm=norm,
        norm_sq=norm_sq,
        count=count,
        rejected=np.rint(rejected).astype(np.int64),
        invalid=(entries - valid).astype(np.int64),
        spots=np.array(sorted(spots), np.uint32),
    )


def assert_same(found: RingSums, expected: RingSums, rtol: float = 1e-11) -> None:
    for field in fields(RingSums):
        a, b = getattr(found, field.name), getattr(expected, field.name)
        if a.dtype.kind == "f":
            np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-9, err_msg=field.name)
        else:
            np.testing.assert_array_equal(a, b, err_msg=field.name)


def assert_same_bits(found: RingSums, expected: RingSums) -> None:
    for field in fields(RingSums):
        np.testing.assert_array_equal(getattr(found, field.name), getattr(expected, field.name))


ANY_OUTLIERS = st.one_of(
    st.builds(SigmaClip, st.sampled_from([0.0, 1.5, 3.0, 5.0]), st.integers(1, 6)),
    st.tuples(st.floats(0, 1), st.floats(0, 1)).map(lambda q: QuantileRange(min(q), max(q))),
    st.just(QuantileRange(0.5, 0.5)),
)
SEEDS = st.integers(0, 2**32 - 1)
quick = settings(max_examples=40, deadline=None)


@quick
@given(seed=SEEDS, split=st.booleans(), model=st.sampled_from(MODELS), outliers=ANY_OUTLIERS)
def test_sums_are_those_of_a_loop_over_rings(
    seed: int, *, split: bool, model: str, outliers: Outliers
) -> None:
    made = case(seed, split=split)
    assert_same(made.sums(outliers, model), oracle(made, outliers, model))


@pytest.mark.parametrize("dtype", ["uint16", "int32", "f4"])
@pytest.mark.parametrize("outliers", [SigmaClip(3.0, 5), QuantileRange(0.2, 0.7)])
def test_any_type_of_pixels_gives_the_same_sums(dtype: str, outliers: Outliers) -> None:
    made = case(3)
    made = replace(made, raw=np.minimum(made.raw, 200))
    assert_same_bits(
        replace(made, raw=made.raw.astype(dtype)).sums(outliers, "poisson"),
        replace(made, raw=made.raw.astype(float)).sums(outliers, "poisson"),
    )


@quick
@given(seed=SEEDS, split=st.booleans(), outliers=ANY_OUTLIERS)
def test_values_that_are_no_numbers_or_beyond_the_limits_do_not_count(
    seed: int, *, split: bool, outliers: Outliers
) -> None:
    made, rng = case(seed, split=split, dtype="f8"), np.random.default_rng(seed)
    raw = made.raw.copy()
    for bad in (np.nan, np.inf, -np.inf, -5.0):
        raw[rng.random(raw.size) < 0.05] = bad
    made = replace(made, raw=raw)
    limits = Limits(low=0.0, high=5000.0, hole_low=80.0, hole_high=82.0)
    found = made.sums(outliers, "azimuthal", limits)
    assert_same(found, oracle(made, outliers, "azimuthal", limits))


@quick
@given(seed=SEEDS, split=st.booleans(), model=st.sampled_from(MODELS), outliers=ANY_OUTLIERS)
def test_the_order_of_pixels_does_not_matter(
    seed: int, *, split: bool, model: str, outliers: Outliers
) -> None:
    made, rng = case(seed, split=split), np.random.default_rng(seed)
    table = made.table
    edges = zip(table.start[:-1], table.start[1:], strict=True)
    order = np.concatenate([first + rng.permutation(last - first) for first, last in edges])
    share = None if table.share is None else table.share[order]
    shuffled = replace(
        made, table=RingTable(start=table.start, pixel=table.pixel[order], share=share)
    )
    assert_same(shuffled.sums(outliers, model), made.sums(outliers, model))


@pytest.mark.parametrize("outliers", [SigmaClip(3.0, 5), QuantileRange(0.25, 0.75)])
@pytest.mark.parametrize("model", MODELS)
def test_neither_threads_nor_their_order_change_a_bit(outliers: Outliers, model: str) -> None:
    made = case(8, rings=300, split=True)
    rings = RobustRings(made.table, made.pixels, model)
    expected = rings.sums(made.raw, Limits(), outliers, in_order)
    for run in (backwards, on_five_threads):
        assert_same_bits(rings.sums(made.raw, Limits(), outliers, run), expected)
    assert_same_bits(rings.sums(made.raw, Limits(), outliers), expected)


@quick
@given(
    seed=SEEDS,
    split=st.booleans(),
    outliers=st.sampled_from([SigmaClip(NO_LIMIT, 5), QuantileRange(0.0, 1.0)]),
)
def test_with_nothing_left_out_sums_are_plain(
    seed: int, *, split: bool, outliers: Outliers
) -> None:
    made = case(seed, split=split)
    rings = rings_of(made, "poisson", Limits())
    found = made.sums(outliers, "poisson")
    assert not found.rejected.any()
    assert not found.spots.size
    for name, values in {
        "signal": [(r.weight * r.x).sum() for r in rings],
        "norm": [r.weight.sum() for r in rings],
        "norm_sq": [(r.weight**2).sum() for r in rings],
        "count": [r.share.sum() for r in rings],
        "variance": [r.variance.sum() for r in rings],
    }.items():
        np.testing.assert_allclose(getattr(found, name), values, rtol=1e-12, atol=1e-9)


def one_ring(values: object, **terms: Floats) -> Case:
    raw = np.asarray(values, np.float64)
    table = RingTable(start=np.array([0, raw.size]), pixel=np.arange(raw.size, dtype=np.uint32))
    return Case(table, PixelTerms(**{"norm": np.ones(raw.size), **terms}), raw)


@given(st.integers(0, 99), st.floats(1e3, 1e12), st.sampled_from(["none", "azimuthal", "hybrid"]))
def test_a_single_outlier_is_removed_and_reported(at: int, height: float, model: str) -> None:
    values = 100.0 + np.random.default_rng(at).integers(-5, 6, 100)
    spoilt = values.copy()
    spoilt[at] = 100 + height
    found = one_ring(spoilt).sums(SigmaClip(5.0, 5), model)
    assert found.spots.tolist() == [at]
    assert found.rejected.tolist() == [1]
    assert found.signal[0] / found.norm[0] == pytest.approx(np.delete(values, at).mean(), rel=1e-12)


def test_a_dark_outlier_is_removed_but_is_no_spot() -> None:
    values = 100.0 + np.arange(100) % 3
    values[7] = -500.0
    found = one_ring(values).sums(SigmaClip())
    assert found.rejected.tolist() == [1]
    assert found.spots.size == 0


def test_spots_are_flat_pixel_numbers_in_ascending_order_each_once() -> None:
    rng = np.random.default_rng(2)
    raw = rng.poisson(50, 400)
    raw[[391, 5, 77]] = 60_000
    pixel = np.concatenate([rng.permutation(400), rng.permutation(400)]).astype(np.uint32)
    share = np.full(800, 0.5, np.float32)
    table = RingTable(start=np.array([0, 400, 800]), pixel=pixel, share=share)
    made = Case(table, PixelTerms(norm=np.ones(400)), raw.astype(np.uint16))
    assert made.sums(SigmaClip(8.0, 5)).spots.tolist() == [5, 77, 391]


def test_spots_are_right_where_invalid_pixels_precede_them() -> None:
    values = 100.0 + np.arange(60) % 3
    values[[3, 10]] = np.nan
    values[40] = 1e6
    assert one_ring(values).sums(SigmaClip()).spots.tolist() == [40]


@pytest.mark.parametrize("outliers", [SigmaClip(), SigmaClip(0.0, 5), QuantileRange()])
def test_rings_without_pixels_or_without_valid_ones_have_sums_of_zero(outliers: Outliers) -> None:
    table = RingTable(start=np.array([0, 0, 3, 3]), pixel=np.arange(3, dtype=np.uint32))
    made = Case(table, PixelTerms(norm=np.ones(3)), np.full(3, np.nan))
    found = made.sums(outliers, "poisson")
    for name in ("signal", "variance", "norm", "norm_sq", "count", "rejected"):
        assert not getattr(found, name).any()
    assert found.invalid.tolist() == [0, 3, 0]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("outliers", [SigmaClip(), SigmaClip(0.0, 5), QuantileRange()])
def test_a_ring_of_one_pixel_keeps_it(outliers: Outliers, model: str) -> None:
    found = one_ring([42.0], variance=np.ones(1)).sums(outliers, model)
    assert (found.signal[0], found.norm[0], found.count[0]) == (42.0, 1.0, 1.0)


@given(st.integers(1, 300), st.floats(-1e6, 1e6), st.sampled_from([0.0, 0.1, 5.0]), SEEDS)
def test_a_constant_ring_keeps_all_whatever_its_norms(
    size: int, level: float, threshold: float, seed: int
) -> None:
    norm = np.random.default_rng(seed).uniform(0.1, 2.0, size)
    found = one_ring(level * norm, norm=norm).sums(SigmaClip(threshold, 5), "azimuthal")
    assert found.rejected.tolist() == [0]
    np.testing.assert_allclose(found.signal / found.norm, level, rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(found.variance, 0.0, atol=size * (1e-14 * level) ** 2)


def test_the_scatter_is_exact_however_far_the_ring_is_from_zero() -> None:
    values = 1e9 + np.arange(1001.0)
    found = one_ring(values).sums(SigmaClip(), "azimuthal")
    # sum (i - 500)^2 for i = 0..1000 = n (n^2 - 1) / 12
    assert found.variance[0] == pytest.approx(1001 * (1001**2 - 1) / 12, rel=1e-13)


def test_chauvenets_criterion_widens_with_the_number_of_pixels() -> None:
    # Of n pixels with deviations +-1 and two of +-d it leaves out those two if
    # d > t std, with std^2 = (n - 2 + 2 d^2) / n and t^2 = 2 ln(n / sqrt(2 pi)).
    for n in (10, 100, 1000):
        t2 = 2 * np.log(n / np.sqrt(2 * np.pi))
        border = np.sqrt(t2 * (n - 2) / (n - 2 * t2))
        for d, rejected in ((0.999 * border, 0), (1.001 * border, 2)):
            values = np.concatenate([np.resize([1.0, -1.0], n - 2), [d, -d]])
            assert one_ring(values).sums(SigmaClip(0.0, 1)).rejected.tolist() == [rejected]


@pytest.mark.parametrize(
    ("values", "median"),
    [([5, 1, 3], 3.0), ([5, 1, 3, 100], 4.0), ([7] * 9, 7.0), ([0] * 50 + [1] * 51, 1.0)],
)
def test_equal_quantiles_of_one_half_are_the_median(values: list[int], median: float) -> None:
    found = one_ring(values).sums(QuantileRange(0.5, 0.5))
    assert found.signal[0] / found.norm[0] == median


def test_a_range_of_quantiles_counts_its_part_of_equal_values() -> None:
    # 60 zeros, 30 ones, 10 twos: from 25 % to 75 % there are 35 zeros and 15 ones.
    found = one_ring([0] * 60 + [1] * 30 + [2] * 10).sums(QuantileRange(0.25, 0.75))
    assert (found.signal[0], found.norm[0], found.rejected[0]) == (15.0, 50.0, 50)


@given(st.lists(st.floats(-1e90, 1e90), min_size=1, max_size=200))
def test_the_median_is_numpys_for_any_values(values: list[float]) -> None:
    found = one_ring(values).sums(QuantileRange())
    np.testing.assert_allclose(found.signal / found.norm, np.median(values), rtol=1e-9, atol=1e-300)


def test_norms_that_are_not_positive_are_refused() -> None:
    with pytest.raises(RecipeError, match="norms"):
        RobustRings(
            RingTable(start=np.array([0, 1]), pixel=np.zeros(1, np.uint32)),
            PixelTerms(norm=np.zeros(1)),
            "none",
        )


def test_the_model_variance_without_a_variance_is_refused() -> None:
    made = one_ring([1.0, 2.0])
    with pytest.raises(RecipeError, match="variance"):
        RobustRings(made.table, made.pixels, "variance")


# --- pyFAI on a detector -------------------------------------------------------------------

SHAPE = (167, 151)
BINS = 90


@dataclass(frozen=True)
class Peer:
    """pyFAI, and rings made of its own table."""

    integrator: AzimuthalIntegrator
    image: NDArray[np.uint16]
    dark: NDArray[np.float32]
    flat: NDArray[np.float32]
    split: str

    def options(self, implementation: str = "cython") -> dict[str, object]:
        return {
            "npt": BINS,
            "unit": "q_nm^-1",
            "method": (self.split, "csr", implementation),
            "dark": self.dark,
            "flat": self.flat,
            "polarization_factor": 0.95,
        }

    def case(self) -> Case:
        engine = self.integrator.setup_sparse_integrator(
            SHAPE, BINS, unit="q_nm^-1", split=self.split, algo="CSR", empty=0, scale=False
        )
        share, pixel, start = (np.asarray(array) for array in engine.lut)
        norm = self.flat.astype(float) * self.integrator.solidAngleArray(SHAPE)
        norm *= self.integrator.polarization(SHAPE, 0.95)
        return Case(
            RingTable(
                start=start.astype(np.int64), pixel=pixel.astype(np.uint32), share=share.copy()
            ),
            PixelTerms(norm=norm.ravel(), dark=self.dark.ravel().astype(float)),
            self.image.ravel(),
        )


@pytest.fixture(scope="module", params=["no", "full"])
def peer(request: pytest.FixtureRequest) -> Peer:
    integrator = AzimuthalIntegrator(
        dist=0.2,
        poni1=0.006,
        poni2=0.0055,
        rot1=0.02,
        rot2=-0.03,
        wavelength=1e-10,
        detector=PyfaiDetector(75e-6, 75e-6, max_shape=SHAPE),
    )
    rng = np.random.default_rng(1)
    q = integrator.qArray(SHAPE)
    image = rng.poisson(500 * np.exp(-q / 5) + 100 * np.exp(-(((q - 1.2) / 0.1) ** 2)) + 20)
    image[rng.random(SHAPE) < 3e-3] += 4000
    dark = rng.uniform(0, 3, SHAPE).astype(np.float32)
    flat = rng.uniform(0.9, 1.1, SHAPE).astype(np.float32)
    return Peer(integrator, image.astype(np.uint16), dark, flat, request.param)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("threshold", [0.0, 3.0, 5.0])
@pytest.mark.parametrize("model", ["poisson", "azimuthal", "hybrid"])
def test_sigma_clipping_is_pyfais_to_float32(peer: Peer, model: str, threshold: float) -> None:
    if peer.split == "full":
        # pyFAI leaves a split pixel out of all rings at once, in an order of its threads.
        threshold = NO_LIMIT
    theirs = peer.integrator.sigma_clip_ng(
        peer.image, error_model=model, thres=threshold, max_iter=5, **peer.options()
    )
    ours = peer.case().sums(SigmaClip(threshold, 5), model)
    # Its azimuthal variance is off, and may once in a while decide differently: see below.
    same = np.isclose(ours.count, theirs.count)
    assert (~same).sum() <= (0 if model == "poisson" else 2)
    same &= ours.norm > 0  # Chauvenet's criterion can empty a ring of two; both agree on that
    intensity = ours.signal / ours.norm
    np.testing.assert_allclose(intensity[same], theirs.intensity[same], rtol=3e-7)
    np.testing.assert_allclose(ours.norm_sq[same], theirs.sum_normalization2[same], rtol=3e-7)
    if model != "azimuthal":
        np.testing.assert_allclose(ours.variance[same], theirs.sum_variance[same], rtol=3e-7)


@pytest.mark.filterwarnings("ignore")
def test_the_scatter_is_two_pass_where_pyfais_compiled_one_is_not(peer: Peer) -> None:
    theirs = peer.integrator.sigma_clip_ng(
        peer.image, error_model="azimuthal", thres=NO_LIMIT, **peer.options()
    ).sum_variance
    made = peer.case()
    ours = made.sums(SigmaClip(NO_LIMIT, 5), "azimuthal").variance
    exact = oracle(made, SigmaClip(NO_LIMIT, 5), "azimuthal").variance
    np.testing.assert_allclose(ours, exact, rtol=1e-11)
    # With weights w^2 for deviations from a mean of weights w, its update is not exact.
    assert abs(theirs / exact - 1)[exact > 0].max() > 1e-3


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("percentile", [50, (25, 75), (0, 90), (10, 10.5)])
def test_quantiles_are_pyfais_to_float32(
    peer: Peer, percentile: float | tuple[float, float]
) -> None:
    theirs = peer.integrator.medfilt1d_ng(
        peer.image, percentile=percentile, error_model="poisson", **peer.options()
    )
    low, high = percentile if isinstance(percentile, tuple) else (percentile, percentile)
    made = peer.case()
    ours = made.sums(QuantileRange(low / 100, high / 100), "poisson")
    kept = np.array([ring.x.size for ring in rings_of(made, "poisson", ALL)]) - ours.rejected
    # Where no pixel fits into the range, pyFAI gives none, and so a gap in the curve.
    assert (kept[theirs.count == 0] > 0).all()
    # Float32 sums of weights put an end one pixel off now and then.
    same = kept == theirs.count
    assert same[theirs.count > 0].mean() > 0.9
    for found, expected in (
        (ours.signal / ours.norm, theirs.intensity),
        (ours.variance, theirs.sum_variance),
    ):
        agree = np.isclose(found, expected, rtol=1e-6)[same]
        assert agree.mean() > 0.95
