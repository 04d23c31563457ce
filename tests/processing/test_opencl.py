"""The engine opencl: which device it takes, and what it says where there is none."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from ringline.processing import (
    Block,
    Cake,
    Corrections,
    Detector,
    Geometry,
    Radial,
    Recipe,
    RecipeError,
    reduction_for,
)
from ringline.processing import opencl_device as finding
from ringline.processing.opencl_device import VARIABLE, gpu_name, opencl_device

SHAPE = (70, 90)
needs_device = pytest.mark.parametrize("engine", ["opencl"])  # skipped where there is none


def recipe_of(**settings: Any) -> Recipe:
    detector = Detector(pixel1=1e-4, pixel2=1e-4, shape=SHAPE)
    given = {"binning": Radial(30), "error_model": "poisson", **settings}
    return Recipe(geometry=Geometry(distance=0.1, wavelength=1e-10, detector=detector), **given)


def counts(frames: int, seed: int = 1) -> Any:
    return np.random.default_rng(seed).poisson(30, (frames, *SHAPE)).astype(np.uint16)


@pytest.fixture(autouse=True)
def fresh_search(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test looks for its device itself."""
    monkeypatch.delenv(VARIABLE, raising=False)
    kept = finding._search
    with monkeypatch.context() as patch:
        patch.setattr(finding, "_search", finding._search.__wrapped__)
        yield
    assert finding._search is kept


@dataclass
class StandIn:
    """A device as drivers describe it, on which nothing works."""

    name: str
    type: int = 4  # a GPU
    double_fp_config: int = 63
    local_mem_size: int = 2**16
    max_work_group_size: int = 1024


@dataclass
class StandInPlatform:
    name: str
    devices: list[Any] = field(default_factory=list)

    def get_devices(self) -> list[Any]:
        return self.devices


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put platforms before those that are there."""
    cl = pytest.importorskip("pyopencl", reason="pyopencl is not installed")
    try:
        there = cl.get_platforms()
    except cl.Error:
        there = []

    def put(*platforms: StandInPlatform, keep: bool = False) -> None:
        offered = [*platforms, *(there if keep else [])]
        monkeypatch.setattr(cl, "get_platforms", lambda: offered)

    return put


@needs_device
def test_a_driver_that_fails_every_build_is_passed_over(
    engine: str, offer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(StandInPlatform("Portable Computing Language", [StandIn("broken")]), keep=True)
    device = opencl_device()
    assert "broken" not in device.name
    monkeypatch.setenv(VARIABLE, "0:broken")
    with pytest.raises(RecipeError, match=r"no device works: broken \(Portable Computing"):
        opencl_device()


def test_a_device_without_double_precision_is_refused_by_name(offer: Any) -> None:
    offer(StandInPlatform("Mobile", [StandIn("Mini", double_fp_config=0)]))
    with pytest.raises(RecipeError, match=r"Mini \(Mobile\): has no double precision"):
        opencl_device()


def test_a_device_with_little_local_memory_is_refused_with_what_it_has(offer: Any) -> None:
    offer(StandInPlatform("Mobile", [StandIn("Mini", local_mem_size=16384)]))
    with pytest.raises(RecipeError, match="needs 32768 bytes of local memory .* has 16384"):
        opencl_device()


def test_without_a_driver_the_refusal_says_where_to_get_one(offer: Any) -> None:
    offer()
    with pytest.raises(RecipeError, match="no OpenCL driver .* pocl-opencl-icd"):
        reduction_for(recipe_of(binning=Radial(7)), "opencl")


def test_without_pyopencl_the_refusal_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "ringline.processing.opencl_probe", raising=False)
    monkeypatch.setitem(sys.modules, "pyopencl", None)
    with pytest.raises(RecipeError, match=r"pip install 'ringline\[opencl\]'"):
        reduction_for(recipe_of(binning=Radial(8)), "opencl")
    assert gpu_name() is None


def test_a_device_that_is_not_there_is_refused_with_those_that_are(
    offer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(StandInPlatform("Vendor", [StandIn("Big"), StandIn("Small")]))
    for wanted in ("Other", "Vendor:Huge", "1:0", "Vendor:2"):
        monkeypatch.setenv(VARIABLE, wanted)
        with pytest.raises(RecipeError, match=r"names no device; there is: Big \(Vendor\), Small"):
            opencl_device()


@pytest.mark.parametrize("wanted", ["vendor:small", "0:1", " Vendor : 1 ", "0:SMALL", ":small"])
def test_a_device_is_chosen_by_number_or_part_of_its_name(
    offer: Any, monkeypatch: pytest.MonkeyPatch, wanted: str
) -> None:
    offer(StandInPlatform("The Vendor", [StandIn("Big"), StandIn("Small")]))
    monkeypatch.setenv(VARIABLE, wanted)
    with pytest.raises(RecipeError, match=r"^engine 'opencl': no device works: Small \(The Ven"):
        opencl_device()


def test_gpus_are_tried_before_other_devices(offer: Any) -> None:
    offer(
        StandInPlatform("First", [StandIn("Processor", type=2)]),
        StandInPlatform("Second", [StandIn("Graphics")]),
    )
    with pytest.raises(RecipeError, match=r"works: Graphics \(Second\): .*; Processor \(First\)"):
        opencl_device()


def test_a_gpu_that_does_not_work_has_no_name(offer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(StandInPlatform("Vendor", [StandIn("Big")]))
    monkeypatch.setattr(finding, "_may_have_gpu", lambda: True)
    assert gpu_name() is None


@needs_device
def test_a_processor_is_no_gpu(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "_may_have_gpu", lambda: True)
    device = opencl_device()
    assert gpu_name() == (device.name if device.is_gpu else None)


def test_without_pyopencl_nothing_is_loaded_to_find_no_gpu() -> None:
    code = (
        "import sys; import ringline.processing as p;"
        "from ringline.processing.opencl_device import gpu_name;"
        "assert 'opencl' in p.ENGINES;"
        "assert 'pyopencl' not in sys.modules;"
        "sys.modules['pyopencl'] = None; assert gpu_name() is None"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@needs_device
@pytest.mark.parametrize("model", ["poisson", "azimuthal"])
def test_threads_get_the_sums_that_one_gets(engine: str, model: str) -> None:
    recipe = recipe_of(splitting="full", error_model=model)
    reduction = reduction_for(recipe, engine)
    blocks = [Block(counts(1 + k % 5, seed=k)) for k in range(16)]
    alone = [reduction.map_block(block) for block in blocks]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(reduction.map_block, blocks))
    for ours, theirs in zip(together, alone, strict=True):
        for found, expected in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(found.signal, expected.signal)
            np.testing.assert_array_equal(found.variance, expected.variance)


@needs_device
@pytest.mark.parametrize("bright", [3, 3000])
def test_pixels_that_do_not_count_are_found_however_many_there_are(
    engine: str, bright: int
) -> None:
    recipe = recipe_of(
        binning=Cake(11, 7), splitting="bbox", corrections=Corrections(saturation=1000.0)
    )
    images = counts(6)
    places = np.random.default_rng(2).choice(images[0].size, bright, replace=False)
    images[4].flat[places] = 2000
    found = reduction_for(recipe, engine).map_block(Block(images))
    expected = reduction_for(recipe, "numpy").map_block(Block(images))
    assert [sums.rejected for sums in found] == [0, 0, 0, 0, bright, 0]
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours.norm, theirs.norm, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(ours.variance, theirs.variance, rtol=1e-12, atol=1e-9)


@needs_device
@pytest.mark.parametrize("shape", [(1, 5000), (5000, 1), (65, 4097), (3, 3)])
@pytest.mark.parametrize("coefficients", ["exact", "compact"])
def test_detectors_of_any_shape_are_cut_into_tiles(
    engine: str, shape: tuple[int, int], coefficients: str
) -> None:
    detector = Detector(pixel1=1e-4, pixel2=1e-4, shape=shape)
    geometry = Geometry(distance=0.1, wavelength=1e-10, detector=detector)
    recipe = Recipe(
        geometry=geometry, binning=Cake(40, 12), splitting="full", coefficients=coefficients
    )
    image = np.random.default_rng(3).poisson(30, (1, *shape)).astype(np.int32)
    ours = reduction_for(recipe, engine).map_block(Block(image))[0].signal
    theirs = reduction_for(recipe, "numpy").map_block(Block(image))[0].signal
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12 * theirs.max())


@needs_device
def test_long_blocks_go_to_the_device_in_parts(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ringline.processing import opencl_kernels  # noqa: PLC0415 - needs pyopencl

    reduction = reduction_for(recipe_of(), engine)
    whole = reduction.map_block(Block(counts(23)))
    monkeypatch.setattr(opencl_kernels, "MOST_BYTES", 100_000)
    for ours, theirs in zip(reduction.map_block(Block(counts(23))), whole, strict=True):
        np.testing.assert_array_equal(ours.signal, theirs.signal)


@needs_device
def test_memory_that_is_copied_gives_the_same_bits_as_memory_that_is_shared(engine: str) -> None:
    from dataclasses import replace  # noqa: PLC0415

    from ringline.processing.bin_table import Limits  # noqa: PLC0415
    from ringline.processing.opencl_kernels import OpenclKernels  # noqa: PLC0415
    from ringline.processing.table import Table  # noqa: PLC0415

    device, table = opencl_device(), Table(recipe_of(splitting="bbox"))
    raws = counts(9).reshape(9, -1)
    raws.flags.writeable = False
    found = [
        OpenclKernels(table, replace(device, shares_memory=shares)).block(
            raws, Limits(high=45), variance=True
        )
        for shares in (True, False)
        if device.shares_memory or not shares
    ]
    for sums in zip(*found, strict=True):
        for other in sums[1:]:
            np.testing.assert_array_equal(sums[0].signal, other.signal)
            np.testing.assert_array_equal(sums[0].variance, other.variance)
            np.testing.assert_array_equal(sums[0].exceptions, other.exceptions)


@needs_device
def test_a_forked_child_is_refused_with_what_to_do(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reduction = reduction_for(recipe_of(binning=Radial(9)), engine)
    monkeypatch.setattr("os.getpid", lambda: 1)
    with pytest.raises(RecipeError, match="was opened before this process was forked"):
        reduction.reduce(counts(1)[0])
