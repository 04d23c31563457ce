"""The commands, from a client."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
import pytest
import tango

from ringline.processing import (
    Azimuthal,
    Cake,
    Corrections,
    Detector,
    Geometry,
    Recipe,
    Sensor,
    SigmaClip,
    open_frames,
    read_poni,
    recipe_from_mapping,
    reduction_for,
    write_poni,
)
from tests.device_servers.conftest import (
    GEOMETRY,
    RECIPE,
    SHAPE,
    Server,
    reason,
    recipe_mapping,
    refused,
    wait_for,
)

# Configure


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"radial_bins": 10, "radial_bin": 5}, "unknown setting 'radial_bin'"),
        ({"radial_bins": 10, "wavelength": 0}, "wavelength must be > 0"),
        ({"radial_bins": 10, "distance": float("nan")}, "distance must be finite"),
        ({"radial_bins": 10, "radial_unit": "furlong"}, "unknown radial_unit 'furlong'"),
        ({"radial_bins": 10, "radial_range": [2, 1]}, "it is empty"),
        ({"radial_bins": 10, "mask_file": "/no/mask.npy"}, "/no/mask.npy"),
        ({"radial_bins": 10, "detector": "Pilatus1N"}, "unknown detector 'Pilatus1N'"),
        ({"radial_bins": 10, "recipe": {}}, "'geometry' is missing"),
        ({"radial_bins": 10, "radial_edges": [0, 1, 2]}, "radial_bins is 10, but radial_edges"),
        ({"radial_bins": 0}, "radial_bins and azimuthal_bins are both 0"),
        ({"radial_edges": [0, 1], "radial_range": [0, 1]}, "are both given"),
        ({"error_model": "variance"}, "needs the array corrections.variance"),
        ({"absorption_correction": True}, "its sensor is not known"),
        ({"radial_bins": 10, "recipe": {**RECIPE, "extra": 1}}, "extra"),
    ],
)
def test_a_refused_configure_changes_nothing(
    reducer: tango.DeviceProxy, given: dict[str, object], words: str
) -> None:
    text = refused(reducer, "Configure", json.dumps(given), "Ringline_BadRecipe")
    assert words in text


@pytest.mark.parametrize("name", ["mask", "dark", "flat", "dark_variance", "variance"])
def test_an_array_of_another_shape_is_refused_with_both_shapes(
    reducer: tango.DeviceProxy, tmp_path: Path, name: str
) -> None:
    path = tmp_path / "array.npy"
    np.save(path, np.ones((3, 4)))
    given = json.dumps({f"{name}_file": str(path)})
    text = refused(reducer, "Configure", given, "Ringline_BadRecipe")
    assert all(word in text for word in (name, str(path), "(3, 4)", str(SHAPE)))


def test_configure_with_a_mask_applies_it(
    reducer: tango.DeviceProxy, tmp_path: Path, image_file: Path, images: np.ndarray
) -> None:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[:, :20] = True
    np.save(tmp_path / "mask.npy", mask)
    reducer.Configure(json.dumps({"mask_file": str(tmp_path / "mask.npy"), "radial_bins": 33}))
    recipe = recipe_from_mapping(
        {**recipe_mapping(bins=33), "corrections": {"mask": str(tmp_path / "mask.npy")}}
    )
    assert reducer.recipe_digest == recipe.digest
    expected = reduction_for(recipe).reduce(images[0]).intensity
    np.testing.assert_array_equal(reducer.Integrate(str(image_file)), expected)


def test_what_is_not_json_is_refused(reducer: tango.DeviceProxy) -> None:
    assert "not JSON" in refused(reducer, "Configure", "radial_bins=3", "Ringline_BadRecipe")


# PONI files


def test_save_and_load_poni_give_the_same_geometry(
    reducer: tango.DeviceProxy, tmp_path: Path
) -> None:
    path, digest = tmp_path / "saved.poni", reducer.recipe_digest
    reducer.SavePoni(str(path))
    assert read_poni(path) == recipe_from_mapping(RECIPE).geometry
    reducer.distance = 9.0
    reducer.LoadPoni(str(path))
    assert reducer.distance == 0.1
    wait_for(lambda: reducer.recipe_digest == digest, "the former digest")


def poni_without(path: Path, key: str) -> None:
    write_poni(recipe_from_mapping(RECIPE).geometry, path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if not line.startswith(key)))


@pytest.mark.parametrize("key", ["Distance", "Poni1", "Rot3", "Wavelength"])
def test_a_poni_file_without_a_key_is_refused(
    reducer: tango.DeviceProxy, tmp_path: Path, key: str
) -> None:
    poni_without(tmp_path / "bad.poni", key)
    text = refused(reducer, "LoadPoni", str(tmp_path / "bad.poni"), "Ringline_BadRecipe")
    assert key in text
    assert "bad.poni" in text


def test_a_poni_file_that_is_not_there_is_refused(reducer: tango.DeviceProxy) -> None:
    assert "/no/a.poni" in refused(reducer, "LoadPoni", "/no/a.poni", "Ringline_BadRecipe")


def test_a_poni_file_of_another_detector_than_the_mask_is_refused(
    reducer: tango.DeviceProxy, tmp_path: Path
) -> None:
    np.save(tmp_path / "mask.npy", np.zeros(SHAPE, dtype=bool))
    reducer.Configure(json.dumps({"mask_file": str(tmp_path / "mask.npy")}))
    other = {**GEOMETRY, "detector": {"pixel1": 1e-3, "pixel2": 1e-3, "shape": [7, 8]}}
    geometry = recipe_from_mapping({**RECIPE, "geometry": other}).geometry
    write_poni(geometry, tmp_path / "other.poni")
    text = refused(reducer, "LoadPoni", str(tmp_path / "other.poni"), "Ringline_BadRecipe")
    assert "(7, 8)" in text
    assert str(SHAPE) in text


@pytest.mark.parametrize("path", ["/no/such/folder/a.poni", "/tmp/a.txt", "a.poni"])
def test_save_poni_refuses_what_it_cannot_or_should_not_write(
    reducer: tango.DeviceProxy, path: str
) -> None:
    assert path in refused(reducer, "SavePoni", path, "Ringline_BadInput")


# Integrate


def test_integrate_gives_the_bytes_that_the_engine_gives(
    reducer: tango.DeviceProxy, image_file: Path, curves: list[np.ndarray]
) -> None:
    for frame, name in enumerate(
        (str(image_file), f"{image_file}#1", f"{image_file}::entry/data#2")
    ):
        found = reducer.Integrate(name)
        assert found.tobytes() == curves[frame].tobytes()
        assert reducer.intensity.tobytes() == curves[frame].tobytes()
        assert reducer.frame_index == frame
    assert np.isfinite(reducer.radial).all()


def test_integrate_of_a_cake_shows_cake_and_mean_curve(
    reducer: tango.DeviceProxy, image_file: Path, images: np.ndarray
) -> None:
    reducer.Configure(
        json.dumps({"azimuthal_bins": 6, "radial_bins": 16, "error_model": "poisson"})
    )
    flat = reducer.Integrate(str(image_file))
    profile = reduction_for(recipe_from_mapping(json.loads(reducer.recipe))).reduce(images[0])
    np.testing.assert_array_equal(flat.reshape(6, 16), profile.intensity)
    np.testing.assert_array_equal(reducer.cake, profile.intensity)
    np.testing.assert_array_equal(reducer.azimuth, profile.azimuth)
    full = np.isfinite(profile.intensity).all(axis=0)
    expected = profile.intensity.mean(axis=0)[full]
    np.testing.assert_allclose(reducer.intensity[full], expected)
    assert np.isfinite(reducer.sigma).any()


def test_integrate_of_an_azimuthal_profile_shows_it_against_the_azimuth(
    reducer: tango.DeviceProxy, image_file: Path, images: np.ndarray
) -> None:
    given = {"azimuthal_bins": 20, "radial_bins": 0, "radial_range": [1, 9]}
    reducer.Configure(
        json.dumps({**given, "azimuthal_unit": "chi_rad", "error_model": "azimuthal"})
    )
    reducer.Arm()
    assert np.isfinite(reducer.azimuth).all()
    found = reducer.Integrate(str(image_file))
    recipe = recipe_from_mapping(json.loads(reducer.recipe))
    assert recipe.binning == Azimuthal(20, "chi_rad", (1, 9))
    profile = reduction_for(recipe).reduce(images[0])
    np.testing.assert_array_equal(found, profile.intensity)
    np.testing.assert_array_equal(reducer.intensity, profile.intensity)
    np.testing.assert_array_equal(reducer.std, profile.std)
    np.testing.assert_allclose(reducer.azimuth, np.degrees(profile.axis), rtol=1e-15)
    assert np.isnan(reducer.radial).all()


def test_integrate_counts_the_pixels_that_it_leaves_out(
    reducer: tango.DeviceProxy, image_file: Path, images: np.ndarray
) -> None:
    limit = float(np.sort(images[1].ravel())[-7])
    reducer.Configure(json.dumps({"saturation": limit}))
    with suppress(tango.DevFailed):  # the first compiles, and may take longer than a command may
        reducer.Integrate(f"{image_file}#1")
    wait_for(lambda: reducer.frame_index == 1, "the curve")
    assert reducer.pixels_rejected == (images[1] >= limit).sum()
    reducer.Reset()
    assert reducer.pixels_rejected == 0


@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_the_engine_in_use_says_why(reducer: tango.DeviceProxy, engine: str) -> None:
    reducer.Configure(json.dumps({"engine": engine}))
    reducer.Arm()
    assert reducer.engine_used == f"{engine}: asked for"
    reducer.Configure(json.dumps({"engine": "auto"}))
    reducer.Arm()
    chosen = reduction_for(recipe_from_mapping(RECIPE))
    assert reducer.engine_used == f"{chosen.engine}: {chosen.engine_reason}"


def test_a_frame_without_a_reading_of_the_monitor_is_refused_where_one_is_needed(
    reducer: tango.DeviceProxy, image_file: Path
) -> None:
    reducer.Configure(json.dumps({"monitor_reference": 100}))
    text = refused(reducer, "Integrate", str(image_file), "Ringline_BadInput")
    assert "the recipe normalizes to the monitor" in text


def test_a_whole_recipe_with_everything_goes_in_and_comes_back(
    reducer: tango.DeviceProxy, tmp_path: Path
) -> None:
    flat = Detector(pixel1=1e-3, pixel2=1e-3, shape=SHAPE)
    np.save(tmp_path / "corners.npy", flat.pixel_corners())
    np.save(tmp_path / "ones.npy", np.ones(SHAPE))
    detector = Detector(
        pixel1=1e-3, pixel2=1e-3, corners=tmp_path / "corners.npy", sensor=Sensor("Si", 3e-4)
    )
    ones = str(tmp_path / "ones.npy")
    recipe = Recipe(
        geometry=Geometry(distance=0.1, wavelength=1e-10, detector=detector, parallax=True),
        binning=Cake(edges=(0.5, 1.0, 1 / 0.3), azimuth_edges=(-180.0, 0.0, 1 / 3)),
        splitting="full",
        error_model="hybrid",
        coefficients="compact",
        outliers=SigmaClip(1 / 3, 7),
        corrections=Corrections(
            dark=ones, dark_variance=ones, variance=ones, polarization=1 / 3,
            polarization_axis=1 / 3, absorption=True, monitor=1 / 3, scale=1 / 3,
            saturation=1e9 / 3, dummy=0.0, delta_dummy=1 / 3,
        ),
    )  # fmt: skip
    reducer.Configure(json.dumps({"recipe": recipe.to_mapping()}))
    assert reducer.recipe_digest == recipe.digest
    assert recipe_from_mapping(json.loads(reducer.recipe)) == recipe


@pytest.mark.parametrize(
    "name", ["/etc/hostname", "relative.h5", "", "/proc/self/environ", "{raw}/../../outside.h5"]
)
def test_a_file_outside_the_readable_folders_is_refused(
    server: Server, reducer: tango.DeviceProxy, name: str
) -> None:
    given = name.replace("{raw}", str(server.registration.directory / "raw"))
    text = refused(reducer, "Integrate", given, "Ringline_BadInput")
    assert "outside the readable folders" in text or "absolute" in text or "give path" in text


def bad_images(folder: Path) -> dict[str, Path]:
    """Files that cannot be reduced."""
    paths = {name: folder / f"{name}.h5" for name in ("other shape", "truncated", "no images")}
    for path, shape in ((paths["other shape"], (2, 5, 6)), (paths["truncated"], (2, *SHAPE))):
        with h5py.File(path, "w") as file:
            file["entry/data"] = np.ones(shape, dtype=np.uint16)
    with h5py.File(paths["no images"], "w") as file:
        file["entry/name"] = 3
    whole = paths["truncated"].read_bytes()
    paths["truncated"].write_bytes(whole[: len(whole) // 2])
    paths["empty"] = folder / "empty.tif"
    paths["empty"].touch()
    paths["no image"] = folder / "text.tif"
    paths["no image"].write_text("this is no image")
    paths["missing"] = folder / "missing.h5"
    return paths


@pytest.mark.parametrize(
    "kind", ["other shape", "truncated", "no images", "empty", "no image", "missing"]
)
def test_a_file_that_cannot_be_reduced_is_refused(
    server: Server, reducer: tango.DeviceProxy, kind: str
) -> None:
    path = bad_images(server.registration.directory / "raw")[kind]
    text = refused(reducer, "Integrate", str(path), "Ringline_BadInput")
    assert path.name in text or "shape" in text


def test_a_frame_that_is_not_in_the_file_is_refused(
    reducer: tango.DeviceProxy, image_file: Path
) -> None:
    text = refused(reducer, "Integrate", f"{image_file}#3", "Ringline_BadInput")
    assert "there is no frame 3" in text


def test_integrate_agrees_with_the_command_line(
    reducer: tango.DeviceProxy, shared_data: Callable[[str], Path], server: Server
) -> None:
    poni = shared_data("ceo2-pilatus1m/CeO2_Pilatus1M.poni")
    image = shared_data("ceo2-pilatus1m/CeO2_Pilatus1M.tif")
    copy = server.registration.directory / "raw" / image.name
    copy.write_bytes(image.read_bytes())
    reducer.LoadPoni(str(poni))
    given = {"orientation": 2, "radial_bins": 1512, "radial_unit": "2th_deg"}
    reducer.Configure(json.dumps({**given, "polarization_factor": 0.99}))
    with open_frames(copy) as frames:
        recipe = recipe_from_mapping(json.loads(reducer.recipe))
        expected = reduction_for(recipe).reduce(frames.read(0, 1)[0]).intensity
    try:
        found = reducer.Integrate(str(copy))
    except tango.DevFailed:  # the first compiles, and may take longer than a command may
        wait_for(lambda: reducer.frame_index == 0, "the curve")
        found = reducer.intensity
    assert found.tobytes() == expected.tobytes()


# Arm, Disarm, Reset


def test_arm_compiles_and_shows_the_axis_and_begins_a_generation(
    reducer: tango.DeviceProxy,
) -> None:
    before = reducer.generation
    assert not reducer.armed
    reducer.Arm()
    assert reducer.armed
    assert np.isfinite(reducer.radial).all()
    assert reducer.generation != before
    reducer.Disarm()
    assert not reducer.armed


def test_a_new_recipe_must_be_armed_anew(reducer: tango.DeviceProxy) -> None:
    reducer.Arm()
    reducer.radial_bins = 65
    wait_for(lambda: not reducer.armed, "disarmed")


def test_arm_refuses_settings_that_make_no_recipe(reducer: tango.DeviceProxy) -> None:
    reducer.mask_file = "/there/is/no/mask.npy"
    with pytest.raises(tango.DevFailed) as refusal:
        reducer.Arm()
    assert reason(refusal)[0] == "Ringline_BadRecipe"
    assert "/there/is/no/mask.npy" in reason(refusal)[1]


def test_reset_clears_curve_and_errors_and_tells_so_by_the_generation(
    reducer: tango.DeviceProxy, image_file: Path
) -> None:
    reducer.Integrate(str(image_file))
    refused(reducer, "Integrate", "/etc/hostname", "Ringline_BadInput")
    before = reducer.generation
    reducer.Reset()
    assert np.isnan(reducer.intensity).all()
    assert (reducer.frame_index, reducer.newest_frame, reducer.last_error) == (-1, "", "")
    count_before, count = int(before.split()[1]), int(reducer.generation.split()[1])
    assert count == count_before + 1


def test_init_restarts_the_device_with_its_settings(
    reducer: tango.DeviceProxy, image_file: Path, curves: list[np.ndarray]
) -> None:
    digest = reducer.recipe_digest
    reducer.Init()
    wait_for(lambda: reducer.state() != tango.DevState.INIT, "open again")
    assert reducer.recipe_digest == digest, reducer.status()
    assert reducer.read_attribute("radial_bins").w_value == 64
    np.testing.assert_array_equal(reducer.Integrate(str(image_file)), curves[0])


def test_a_command_answers_before_a_client_gives_up_and_the_work_goes_on(
    server: Server, reducer: tango.DeviceProxy
) -> None:
    """Clients give up after 3 s."""
    path = server.registration.directory / "raw" / "large.h5"
    with h5py.File(path, "w") as file:
        file["entry/data"] = np.ones((1, 4000, 4000), dtype=np.uint8)
    large = {"pixel1": 1e-4, "pixel2": 1e-4, "shape": [4000, 4000]}
    # Sorting the pixels of so many rings takes longer than a command may.
    outliers = {"kind": "quantiles", "low": 0.2, "high": 0.8}
    geometry = {**GEOMETRY, "detector": large}
    recipe = {**RECIPE, "geometry": geometry, "splitting": "full", "outliers": outliers}
    began = time.monotonic()
    reducer.Configure(json.dumps({"recipe": recipe, "engine": "numpy"}))
    with pytest.raises(tango.DevFailed) as refusal:
        reducer.Integrate(str(path))
    assert reason(refusal) == (
        "Ringline_Busy",
        "still reducing: follow State, then read intensity",
    )
    assert time.monotonic() - began < 6
    assert reducer.state() == tango.DevState.RUNNING
    wait_for(lambda: reducer.frame_index == 0 or reducer.last_error, "the curve", 60)
    assert np.nanmax(reducer.intensity) > 0
    wait_for(lambda: reducer.state() == tango.DevState.ON, "ON")
