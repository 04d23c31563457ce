"""Detector files: what pyFAI writes, what it reads of ours, what we refuse."""

import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pyFAI.detectors
import pytest

from ringline.processing import (
    Corrections,
    Detector,
    Geometry,
    Radial,
    Recipe,
    RecipeError,
    Sensor,
    detector_named,
    read_detector_file,
    read_poni,
    recipe_from_json,
    reduction_for,
    write_detector_file,
    write_poni,
)

# Hexagons, pixels of several sizes, modules that are turned, a round area, gaps.
KINDS = ["Pixirad1", "ImXPadS70", "Jungfrau", "Cirpad", "RayonixSx165", "Pilatus300k"]


def pyfais_file(name: str, folder: Path) -> tuple[Path, pyFAI.detectors.Detector]:
    theirs = pyFAI.detectors.detector_factory(name)
    path = folder / f"{name}.h5"
    theirs.save(str(path))
    return path, theirs


@pytest.mark.parametrize("name", KINDS)
def test_a_file_of_pyfais_is_read_and_written_back_to_the_last_bit(
    name: str, tmp_path: Path
) -> None:
    path, theirs = pyfais_file(name, tmp_path)
    detector = read_detector_file(path).detector
    assert detector.shape == tuple(theirs.shape)
    assert (detector.pixel1, detector.pixel2) == (theirs.pixel1, theirs.pixel2)
    mask = detector.built_in_mask()
    if theirs.mask is None:
        assert mask is None or not mask.any()
    else:
        np.testing.assert_array_equal(mask, theirs.mask.astype(bool))
    if detector.corners is not None:
        np.testing.assert_array_equal(detector.corners.values, theirs.get_pixel_corners())
    ours = tmp_path / "ours.h5"
    write_detector_file(ours, detector)
    assert read_detector_file(ours).detector == detector
    back = pyFAI.detectors.NexusDetector(str(ours))
    assert tuple(back.shape) == detector.shape
    np.testing.assert_array_equal(back.get_pixel_corners(), theirs.get_pixel_corners())


def test_sensor_orientation_and_arrays_of_corrections_come_back(tmp_path: Path) -> None:
    detector = Detector(
        pixel1=1e-4, pixel2=2e-4, shape=(5, 7), name="mine", orientation=2,
        sensor=Sensor("CdTe", 1e-3), mask=np.arange(35).reshape(5, 7) % 9 == 0,
    )  # fmt: skip
    rng = np.random.default_rng(1)
    flat, dark = rng.random((5, 7)).astype(np.float32), rng.random((5, 7))
    write_detector_file(tmp_path / "d.h5", detector, {"flat": flat, "dark": dark})
    found = read_detector_file(tmp_path / "d.h5")
    assert found.detector == detector
    assert found.flat is not None
    np.testing.assert_array_equal(found.flat.values, flat)
    assert found.dark is not None
    np.testing.assert_array_equal(found.dark.values, dark)
    assert read_detector_file(tmp_path / "d.h5", orientation=4).detector.orientation == 4
    theirs = pyFAI.detectors.NexusDetector(str(tmp_path / "d.h5"))
    np.testing.assert_array_equal(theirs.flatfield, flat)
    assert theirs.orientation == 2


def test_a_poni_file_that_names_a_detector_file_has_its_pixels_and_its_mask(
    tmp_path: Path,
) -> None:
    path, theirs = pyfais_file("ImXPadS70", tmp_path)
    poni = tmp_path / "x.poni"
    config = json.dumps({"filename": path.name, "orientation": 3})
    poni.write_text(
        f"poni_version: 2.1\nDetector: NexusDetector\nDetector_config: {config}\n"
        "Distance: 0.1\nPoni1: 0.01\nPoni2: 0.02\nRot1: 0\nRot2: 0\nRot3: 0\n"
        "Wavelength: 1e-10\n"
    )
    geometry = read_poni(poni)
    assert geometry.detector == read_detector_file(path).detector
    recipe = Recipe(geometry=geometry, binning=Radial(20), corrections=Corrections())
    assert recipe_from_json(recipe.to_json()) == recipe
    profile = reduction_for(recipe).reduce(np.ones(geometry.detector.known_shape, np.uint16))
    counted = geometry.detector.known_shape[0] * geometry.detector.known_shape[1]
    assert profile.sums.count.sum() == counted - np.count_nonzero(theirs.mask)
    write_poni(geometry, tmp_path / "y.poni")  # names the file as well
    assert read_poni(tmp_path / "y.poni") == geometry
    assert pyFAI.load(str(tmp_path / "y.poni")).detector == theirs


def test_a_detector_that_is_no_more_that_of_its_file_cannot_go_into_a_poni_file(
    tmp_path: Path,
) -> None:
    write_detector_file(
        tmp_path / "d.h5", Detector(pixel1=1e-4, pixel2=1e-4, shape=(5, 7), mask=np.eye(5, 7))
    )
    detector = read_detector_file(tmp_path / "d.h5").detector
    moved = Geometry(distance=0.1, wavelength=1e-10, detector=replace(detector, pixel1=2e-4))
    with pytest.raises(RecipeError, match="the geometry of the detector that is read from it"):
        write_poni(moved, tmp_path / "x.poni")
    assert not (tmp_path / "x.poni").exists()


def test_a_flat_in_the_file_that_a_poni_file_names_is_told_of(tmp_path: Path) -> None:
    detector = Detector(pixel1=1e-4, pixel2=1e-4, shape=(5, 7))
    write_detector_file(tmp_path / "d.h5", detector, {"flat": np.ones((5, 7))})
    poni = tmp_path / "x.poni"
    config = json.dumps({"filename": str(tmp_path / "d.h5")})
    poni.write_text(
        f"poni_version: 2.1\nDetector: NexusDetector\nDetector_config: {config}\n"
        "Distance: 0.1\nPoni1: 0\nPoni2: 0\nRot1: 0\nRot2: 0\nRot3: 0\nWavelength: 1e-10\n"
    )
    with pytest.warns(UserWarning, match=r"give .*d\.h5::.*flatfield as flat to apply it"):
        assert read_poni(poni).detector == detector


def test_a_mask_of_the_detector_counts_in_the_digest_and_cannot_go_into_a_poni_file(
    tmp_path: Path,
) -> None:
    plain = detector_named("Pilatus100k")
    masked = replace(plain, mask=np.eye(195, 487))
    recipes = [
        Recipe(
            geometry=Geometry(distance=0.1, wavelength=1e-10, detector=detector),
            binning=Radial(10),
        )
        for detector in (plain, masked)
    ]
    assert recipes[0].digest != recipes[1].digest
    assert set(recipes[1].arrays()) == {"detector_mask"}
    stored = recipes[1].with_stored_arrays(tmp_path)
    assert recipe_from_json(stored.to_json()) == recipes[1]
    with pytest.raises(RecipeError, match="a PONI file cannot hold a detector's mask"):
        write_poni(masked_geometry := recipes[1].geometry, tmp_path / "m.poni")
    assert masked_geometry.detector == masked


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda group: group.attrs.__delitem__("NX_class"), "no NXdetector with a pixel_size"),
        (lambda group: _replace(group, "pixel_size", [1e-4]), "pixel_size must be two numbers"),
        (lambda group: _replace(group, "pixel_size", [0.0, 1e-4]), "pixel1 must be > 0 m"),
        (lambda group: _replace(group, "orientation", 7), "orientation must be 1, 2, 3 or 4"),
        (lambda group: _replace(group, "mask", np.ones((3, 3))), "mask: of (3, 3) pixels"),
    ],
)
def test_a_file_that_describes_no_detector_is_refused_by_its_name(
    change: object, told: str, tmp_path: Path
) -> None:
    path = tmp_path / "bad.h5"
    write_detector_file(path, Detector(pixel1=1e-4, pixel2=1e-4, shape=(5, 7), name="it"))
    with h5py.File(path, "r+") as file:
        assert callable(change)
        change(file["entry_0000/instrument/it"])
    with pytest.raises(RecipeError) as refused:
        read_detector_file(path)
    assert told in str(refused.value)
    assert str(path) in str(refused.value)


def _replace(group: h5py.Group, name: str, value: object) -> None:
    if name in group:
        del group[name]
    group[name] = value


def test_what_is_no_hdf5_file_and_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.h5").write_text("no")
    with pytest.raises(RecipeError, match=r"text\.h5"):
        read_detector_file(tmp_path / "text.h5")
    detector = Detector(pixel1=1e-4, pixel2=1e-4, shape=(5, 7))
    with pytest.raises(RecipeError, match=r"flat: shape \(3, 3\), the detector has \(5, 7\)"):
        write_detector_file(tmp_path / "n.h5", detector, {"flat": np.ones((3, 3))})
    with pytest.raises(RecipeError, match="holds flat and dark, got 'gain'"):
        write_detector_file(tmp_path / "n.h5", detector, {"gain": np.ones((5, 7))})
    assert not (tmp_path / "n.h5").exists()
