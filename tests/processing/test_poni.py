"""PONI files: versions, what pyFAI reads of ours, what we refuse."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyFAI.io.ponifile import PoniFile

from ringline.processing import Geometry, RecipeError, detector_named, read_poni, write_poni

VERSION_1 = """# Calibration done at Fri Feb 27 13:52:42 2015
PixelSize1: 0.000172
PixelSize2: 0.000172
Distance: 0.2
Poni1: 0.087
Poni2: 0.079
Rot1: -0.018
Rot2: 0.004
Rot3: -2.7e-08
SplineFile: None
Wavelength: 4.066e-11
"""
VERSION_2 = """poni_version: 2
Detector: Detector
Detector_config: {"pixel1": 1e-4, "pixel2": 2e-4, "max_shape": [30, 40]}
Distance: 0.1
Poni1: 0.01
Poni2: 0.02
Rot1: 0
Rot2: 0
Rot3: 0
Wavelength: 1e-10
"""
VERSION_2_1 = VERSION_2.replace("poni_version: 2", "poni_version: 2.1").replace(
    '"max_shape"', '"orientation": 2, "max_shape"'
)


def written(folder: Path, text: str) -> Path:
    path = folder / "file.poni"
    path.write_text(text)
    return path


@pytest.mark.parametrize("text", [VERSION_1, VERSION_2, VERSION_2_1])
def test_every_version_reads_as_pyfai_reads_it(text: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    ours, theirs = read_poni(path), PoniFile(str(path))
    assert ours.distance == theirs.dist
    for name in ("poni1", "poni2", "rot1", "rot2", "rot3", "wavelength"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert ours.detector.pixel1 == theirs.detector.pixel1
    assert ours.detector.pixel2 == theirs.detector.pixel2
    assert ours.detector.shape == theirs.detector.max_shape
    assert ours.detector.orientation == theirs.detector.orientation


def test_the_last_entry_of_a_key_counts(tmp_path: Path) -> None:
    assert read_poni(written(tmp_path, VERSION_1 + "Distance: 0.3\n")).distance == 0.3


def test_a_detector_is_found_by_name_with_its_gaps(tmp_path: Path) -> None:
    text = VERSION_2.replace("Detector: Detector", "Detector: Pilatus1M").replace(
        '{"pixel1": 1e-4, "pixel2": 2e-4, "max_shape": [30, 40]}', '{"orientation": 4}'
    )
    detector = read_poni(written(tmp_path, text)).detector
    assert detector.name == "Pilatus1M"
    assert detector.shape == (1043, 981)
    assert detector.orientation == 4
    assert detector.built_in_mask() is not None


def test_the_file_of_a_real_calibration_reads(shared_data: Callable[[str], Path]) -> None:
    geometry = read_poni(shared_data("ceo2-pilatus1m/CeO2_Pilatus1M.poni"))
    assert geometry.distance == 0.208651380603
    assert geometry.detector.shape is None


@given(data=st.data())
@settings(max_examples=20)
def test_what_is_written_reads_back_to_the_last_bit_here_and_in_pyfai(
    data: st.DataObject, any_geometry: st.SearchStrategy[Geometry], tmp_path: Path
) -> None:
    geometry, path = data.draw(any_geometry), tmp_path / "out.poni"
    write_poni(geometry, path)
    theirs = PoniFile(str(path))
    assert read_poni(path) == geometry
    assert theirs.API_VERSION == 2.1
    assert (theirs.dist, theirs.rot1) == (geometry.distance, geometry.rot1)
    assert theirs.detector.orientation == geometry.detector.orientation
    assert theirs.detector.max_shape == geometry.detector.shape


def test_a_detector_that_bins_is_written_with_the_size_of_its_pixels(tmp_path: Path) -> None:
    detector = replace(detector_named("RayonixMx225", (146.484e-6, 146.484e-6)), orientation=2)
    geometry = Geometry(distance=1.0, wavelength=1e-10, detector=detector)
    write_poni(geometry, tmp_path / "r.poni")
    assert read_poni(tmp_path / "r.poni") == geometry
    theirs = PoniFile(str(tmp_path / "r.poni")).detector
    assert (theirs.shape, theirs.pixel1) == ((1536, 1536), 146.484e-6)


def test_a_named_detector_is_written_by_its_name(tmp_path: Path) -> None:
    geometry = Geometry(distance=1.0, wavelength=1e-10, detector=detector_named("Eiger4M"))
    write_poni(geometry, tmp_path / "e.poni")
    assert PoniFile(str(tmp_path / "e.poni")).detector.name.replace(" ", "") == "Eiger4M"
    assert read_poni(tmp_path / "e.poni") == geometry


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (VERSION_1.replace("Poni2: 0.079\n", ""), "key 'Poni2' is missing"),
        (VERSION_1.replace("Wavelength: 4.066e-11\n", ""), "key 'Wavelength' is missing"),
        (VERSION_1.replace("4.066e-11", "0"), "wavelength must be > 0 m, got 0.0"),
        (VERSION_1.replace("4.066e-11", "nan"), "wavelength must be > 0 m, got nan"),
        (VERSION_1.replace("0.2\n", "near\n"), "Distance must be a number, got 'near'"),
        (VERSION_1.replace("PixelSize1: 0.000172\n", ""), "key 'pixel1'"),
        (VERSION_2.replace("Detector: Detector", "Detector: Pilatos1M"), "did you mean"),
        (VERSION_2.replace("[30, 40]}", "[30, 40]"), "Detector_config is not JSON"),
        (VERSION_2.replace("poni_version: 2", "poni_version: 4"), "poni_version must be <= 3"),
        (VERSION_2 + "Parallax: True\n", "its sensor is not known"),
        (VERSION_2_1.replace('"orientation": 2', '"orientation": 7'), "orientation must be 1, 2"),
        ("", "missing"),
    ],
)
def test_a_bad_file_is_refused_naming_file_and_key(text: str, message: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(RecipeError, match=message) as caught:
        read_poni(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"none.poni: No such file"):
        read_poni(tmp_path / "none.poni")
