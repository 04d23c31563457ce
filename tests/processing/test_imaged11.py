"""Parameter files of ImageD11, against pyFAI."""

from pathlib import Path

import numpy as np
import pyFAI.detectors
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyFAI.geometry import Geometry as PyfaiGeometry
from pyFAI.geometry.imaged11 import convert_to_ImageD11

from ringline.processing import Detector, Geometry, RecipeError, read_imaged11, write_imaged11

ANGLES = st.floats(-1.0, 1.0)
GEOMETRIES = st.builds(
    Geometry,
    distance=st.floats(0.01, 10),
    poni1=st.floats(-0.3, 0.3),
    poni2=st.floats(-0.3, 0.3),
    rot1=ANGLES,
    rot2=ANGLES,
    rot3=ANGLES,
    wavelength=st.floats(1e-11, 3e-10),
    detector=st.builds(
        Detector,
        pixel1=st.just(1e-4),
        pixel2=st.just(1.5e-4),
        shape=st.just((40, 50)),
        orientation=st.integers(1, 4),
    ),
)


@given(geometry=GEOMETRIES)
def test_what_is_written_reads_back_the_same(geometry: Geometry, tmp_path: Path) -> None:
    path = tmp_path / "a.par"
    write_imaged11(geometry, path)
    back = read_imaged11(path, geometry.detector)
    assert back.detector == geometry.detector
    assert (back.rot1, back.rot2, back.rot3) == (geometry.rot1, geometry.rot2, geometry.rot3)
    for name in ("distance", "poni1", "poni2"):
        size = 1e-12 * (1 + geometry.distance)
        assert getattr(back, name) == pytest.approx(getattr(geometry, name), rel=1e-12, abs=size)
    assert back.wavelength == pytest.approx(geometry.wavelength, rel=1e-15)


@given(geometry=GEOMETRIES)
def test_the_parameters_are_pyfais(geometry: Geometry, tmp_path: Path) -> None:
    path = tmp_path / "a.par"
    write_imaged11(geometry, path)
    ours = dict(line.split() for line in path.read_text().splitlines())
    theirs = convert_to_ImageD11(
        PyfaiGeometry(
            geometry.distance, geometry.poni1, geometry.poni2, geometry.rot1, geometry.rot2,
            geometry.rot3, wavelength=geometry.wavelength,
            detector=pyFAI.detectors.Detector(
                1e-4, 1.5e-4, max_shape=(40, 50), orientation=geometry.detector.orientation
            ),
        ),
        wavelength_unit="A",
    )._asdict()  # fmt: skip
    tilt = np.arccos(np.cos(geometry.rot1) * np.cos(geometry.rot2))
    for name, value in ours.items():
        if name.endswith("center") and tilt < 2e-3:
            continue  # theirs loses digits of small angles
        assert float(value) == pytest.approx(theirs[name], rel=1e-6, abs=1e-3), name


def test_without_a_detector_pixels_have_the_sizes_of_the_file(tmp_path: Path) -> None:
    geometry = Geometry(
        distance=0.2, poni1=0.1, poni2=0.05, rot1=0.01, wavelength=1e-10,
        detector=Detector(pixel1=1e-4, pixel2=2e-4),
    )  # fmt: skip
    write_imaged11(geometry, tmp_path / "a.par")
    with (tmp_path / "a.par").open("a") as file:
        file.write("cell__a 4.1569\nfit_tolerance 0.05\n")
    back = read_imaged11(tmp_path / "a.par")
    assert (back.detector.pixel1, back.detector.pixel2) == pytest.approx((1e-4, 2e-4))
    assert back.detector.shape is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("o12 1", "only flips are known, no transposition"),
        ("o11 2", "only flips are known, no transposition"),
        ("distance far", "distance must be a number, got 'far'"),
        ("distance -1", "distance must be > 0 um, got -1.0"),
        ("y_size 75", "y_size is 75 um, pixels of Detector have 200"),
        (None, "parameter 'tilt_x' is missing"),
    ],
)
def test_a_file_that_is_no_geometry_is_refused_by_its_name(
    line: str | None, message: str, tmp_path: Path
) -> None:
    path, detector = tmp_path / "a.par", Detector(pixel1=1e-4, pixel2=2e-4)
    write_imaged11(Geometry(distance=0.2, wavelength=1e-10, detector=detector), path)
    text = path.read_text()
    path.write_text(text.replace("tilt_x", "tilt_w") if line is None else f"{text}{line}\n")
    with pytest.raises(RecipeError) as refused:
        read_imaged11(path, detector)
    assert message in str(refused.value)
    assert str(path) in str(refused.value)
    with pytest.raises(RecipeError, match="nowhere"):
        read_imaged11(tmp_path / "nowhere.par")


def test_a_flipped_image_needs_its_shape(tmp_path: Path) -> None:
    detector = Detector(pixel1=1e-4, pixel2=2e-4, orientation=2)
    with pytest.raises(RecipeError, match="has no shape yet"):
        write_imaged11(
            Geometry(distance=0.2, wavelength=1e-10, detector=detector), tmp_path / "a.par"
        )
