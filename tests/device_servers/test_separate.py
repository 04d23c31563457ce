"""Bragg peaks told from the smooth signal, from a client."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
import pytest
import tango

from ringline.processing import recipe_from_json, separating, write_recipe
from ringline.processing.command_line import main
from tests.device_servers.conftest import (
    GEOMETRY,
    RECIPE,
    SHAPE,
    Server,
    everything,
    reason,
    refused,
    wait_for,
)

IMAGES = ("smooth", "bragg", "spots")


def separated(proxy: tango.DeviceProxy, name: str) -> dict[str, object]:
    """The reply; the first call compiles, and may take longer than a command may."""
    for _ in range(10):
        try:
            return dict(json.loads(proxy.Separate(name)))
        except tango.DevFailed as failure:
            if failure.args[0].reason != "Ringline_Busy":
                raise
        wait_for(lambda: proxy.state() == tango.DevState.ON, "ON", 60)
    raise AssertionError("still busy")


def tree_of(file: h5py.File) -> dict[str, object]:
    """Everything in it but images and date."""
    found: dict[str, object] = {}

    def look(name: str, item: h5py.Group | h5py.Dataset) -> None:
        attributes = {key: np.asarray(value).tolist() for key, value in item.attrs.items()}
        value = None
        if isinstance(item, h5py.Dataset):
            value = item[()] if item.shape == () else (item.dtype, item.shape[1:], item.chunks)
        found[name] = (attributes, value)

    file.visititems(look)
    del found["entry/process/date"]
    return found


@pytest.fixture
def results(server: Server) -> Path:
    """Where the server writes."""
    return server.registration.directory / "results"


@pytest.fixture
def peaks_file(server: Server, images: np.ndarray) -> Path:
    """Three frames that each have a bright spot, in a file that the server may read."""
    images[[0, 1, 2], [5, 20, 30], [7, 40, 11]] = 9000
    path = server.registration.directory / "raw" / "three spots.h5"
    with h5py.File(path, "w") as file:
        file["entry/data"] = images
    return path


# What is written


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"outlier_rejection": "sigma_clip", "outlier_threshold": 4.0},
        {"outlier_rejection": "quantiles", "quantile_range": [0.3, 0.7], "splitting": "no"},
        {"azimuthal_bins": 4, "radial_bins": 16, "engine": "numpy"},
    ],
)
def test_separate_writes_the_bytes_that_the_command_line_writes(
    reducer: tango.DeviceProxy, peaks_file: Path, tmp_path: Path, given: dict[str, object]
) -> None:
    reducer.Configure(json.dumps(given))
    recipe, output = recipe_from_json(reducer.recipe), tmp_path / "out.h5"
    write_recipe(recipe, tmp_path / "recipe.toml")
    options = ["--recipe", str(tmp_path / "recipe.toml"), "--engine", reducer.engine]
    assert main(["separate", str(peaks_file), *options, "-o", str(output)]) == 0
    with h5py.File(output) as expected:
        for frame, name in enumerate(("", "#1", "::entry/data#2")):
            reply = separated(reducer, f"{peaks_file}{name}")
            assert reply["recipe_digest"] == separating(recipe).digest
            with h5py.File(reply["file"]) as found:
                assert tree_of(found) == tree_of(expected)
                group, other = found["entry/separation"], expected["entry/separation"]
                for image in IMAGES:
                    assert group[image].shape == (1, *SHAPE)
                    assert group[image][0].tobytes() == other[image][frame].tobytes()
                assert reply["spots"] == group["spots"][:].sum()


def test_a_spot_is_counted_and_found_where_it_is(
    reducer: tango.DeviceProxy, peaks_file: Path
) -> None:
    given = {"outlier_rejection": "sigma_clip", "outlier_threshold": 6.0}
    reducer.Configure(json.dumps({**given, "splitting": "no", "radial_bins": 20}))
    reply = separated(reducer, f"{peaks_file}#1")
    with h5py.File(str(reply["file"])) as found:
        spots, bragg = (found[f"entry/separation/{name}"][0] for name in ("spots", "bragg"))
    assert reply["spots"] == 1
    assert np.argwhere(spots).tolist() == [[20, 40]]
    assert bragg[20, 40] == pytest.approx(8900, abs=30)


def test_the_file_is_in_results_and_the_same_frame_and_recipe_replace_it(
    reducer: tango.DeviceProxy, peaks_file: Path, results: Path
) -> None:
    first = Path(str(separated(reducer, str(peaks_file))["file"]))
    assert first.parent == results
    assert first.name.startswith("three spots_0_peaks_")
    count = len(list(results.iterdir()))
    assert separated(reducer, f"{peaks_file}#0")["file"] == str(first)
    assert len(list(results.iterdir())) == count
    reducer.Configure(json.dumps({"radial_bins": 37}))
    assert separated(reducer, str(peaks_file))["file"] != str(first)
    assert len(list(results.iterdir())) == count + 1


def test_files_of_one_name_in_two_folders_do_not_replace_each_other(
    reducer: tango.DeviceProxy, peaks_file: Path
) -> None:
    other = peaks_file.parent / "second" / peaks_file.name
    other.parent.mkdir(exist_ok=True)
    other.write_bytes(peaks_file.read_bytes())
    names = {str(separated(reducer, str(path))["file"]) for path in (peaks_file, other)}
    assert len(names) == 2


def test_what_is_shown_stays_as_it_was(reducer: tango.DeviceProxy, peaks_file: Path) -> None:
    """A frame looked at by one person does not take the curve of a scan from another."""
    with suppress(tango.DevFailed):  # the first compiles, and may take longer than a command may
        reducer.Integrate(f"{peaks_file}#2")
    wait_for(lambda: reducer.frame_index == 2, "the curve")
    wait_for(lambda: reducer.state() == tango.DevState.ON, "ON")
    before = everything(reducer), reducer.armed, reducer.engine_used
    separated(reducer, str(peaks_file))
    assert (everything(reducer), reducer.armed, reducer.engine_used) == before


# What is refused


@pytest.fixture
def untouched(results: Path, reducer: tango.DeviceProxy) -> Callable[[str, str], str]:
    """A refusal, after which everything in results is as it was."""

    def look(name: str, expected: str) -> str:
        before = {path: path.stat().st_mtime_ns for path in results.iterdir()}
        text = refused(reducer, "Separate", name, expected)
        assert {path: path.stat().st_mtime_ns for path in results.iterdir()} == before
        return text

    return look


@pytest.mark.parametrize("name", ["/etc/hostname", "relative.h5", "", "{raw}/../../outside.h5"])
def test_a_file_outside_the_readable_folders_is_refused(
    untouched: Callable[[str, str], str], peaks_file: Path, name: str
) -> None:
    text = untouched(name.replace("{raw}", str(peaks_file.parent)), "Ringline_BadInput")
    assert "outside the readable folders" in text or "absolute" in text or "give path" in text


def test_a_file_that_cannot_be_read_is_refused(
    untouched: Callable[[str, str], str], peaks_file: Path
) -> None:
    missing, text = peaks_file.parent / "missing.h5", peaks_file.parent / "text only.tif"
    text.write_text("this is no image")
    assert missing.name in untouched(str(missing), "Ringline_BadInput")
    assert text.name in untouched(str(text), "Ringline_BadInput")
    assert "there is no frame 3" in untouched(f"{peaks_file}#3", "Ringline_BadInput")


def test_a_frame_of_another_shape_is_refused_with_both_shapes(
    untouched: Callable[[str, str], str], peaks_file: Path
) -> None:
    path = peaks_file.parent / "of another shape.h5"
    with h5py.File(path, "w") as file:
        file["entry/data"] = np.ones((2, 5, 6), dtype=np.uint16)
    text = untouched(str(path), "Ringline_BadInput")
    assert "(5, 6)" in text
    assert str(SHAPE) in text


def test_an_azimuthal_profile_is_refused(
    reducer: tango.DeviceProxy, untouched: Callable[[str, str], str], peaks_file: Path
) -> None:
    reducer.Configure(json.dumps({"azimuthal_bins": 20, "radial_bins": 0}))
    text = untouched(str(peaks_file), "Ringline_BadRecipe")
    assert "an azimuthal profile cannot be separated" in text


def test_a_frame_without_a_reading_of_the_monitor_is_refused_where_one_is_needed(
    reducer: tango.DeviceProxy, untouched: Callable[[str, str], str], peaks_file: Path
) -> None:
    reducer.Configure(json.dumps({"monitor_reference": 100}))
    text = untouched(str(peaks_file), "Ringline_BadInput")
    assert "the recipe normalizes to the monitor" in text


def test_a_folder_that_cannot_be_written_is_refused_and_named(
    reducer: tango.DeviceProxy, peaks_file: Path, results: Path
) -> None:
    separated(reducer, str(peaks_file))  # compiled, so that the refusal is in time
    away = results.rename(results.with_name("results elsewhere"))
    try:
        text = refused(reducer, "Separate", str(peaks_file), "Ringline_BadInput")
    finally:
        away.rename(results)
    assert str(results) in text
    assert "cannot be written: No such file or directory" in text


def test_settings_that_make_no_recipe_are_refused(
    reducer: tango.DeviceProxy, peaks_file: Path
) -> None:
    reducer.mask_file = "/there/is/no/mask.npy"
    with pytest.raises(tango.DevFailed) as refusal:
        reducer.Separate(str(peaks_file))
    assert reason(refusal)[0] == "Ringline_BadRecipe"
    assert "/there/is/no/mask.npy" in reason(refusal)[1]


def test_a_device_without_a_recipe_says_what_to_set(
    new_server: Callable[[], Server], images: np.ndarray
) -> None:
    server = new_server()
    proxy = server.start()
    path = server.registration.directory / "raw" / "image.h5"
    with h5py.File(path, "w") as file:
        file["entry/data"] = images
    with pytest.raises(tango.DevFailed) as refusal:
        proxy.Separate(str(path))
    assert reason(refusal)[0] == "Ringline_NotReady"
    assert "not configured" in reason(refusal)[1]
    assert not list((server.registration.directory / "results").iterdir())


# Long work


def test_separate_answers_before_a_client_gives_up_and_says_where_the_file_will_be(
    server: Server, reducer: tango.DeviceProxy
) -> None:
    """Clients give up after 3 s."""
    path = server.registration.directory / "raw" / "large spots.h5"
    with h5py.File(path, "w") as file:
        file["entry/data"] = np.ones((1, 4000, 4000), dtype=np.uint8)
    large = {"pixel1": 1e-4, "pixel2": 1e-4, "shape": [4000, 4000]}
    # Sorting the pixels of so many rings takes longer than a command may.
    recipe = {**RECIPE, "geometry": {**GEOMETRY, "detector": large}, "splitting": "full"}
    reducer.Configure(json.dumps({"recipe": recipe, "engine": "numpy"}))
    began = time.monotonic()
    with pytest.raises(tango.DevFailed) as refusal:
        reducer.Separate(str(path))
    assert time.monotonic() - began < 3
    found, text = reason(refusal)
    assert found == "Ringline_Busy"
    start = "still separating: follow State, then read "
    assert text.startswith(start)
    assert reducer.state() == tango.DevState.RUNNING
    output = Path(text.removeprefix(start))
    wait_for(lambda: output.exists() or reducer.last_error, "the file", 90)
    wait_for(lambda: reducer.state() == tango.DevState.ON, "ON")
    with h5py.File(output) as written:
        assert written["entry/separation/smooth"].shape == (1, 4000, 4000)
