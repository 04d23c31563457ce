"""Geometry as SPD has it, against pyFAI and against Boesecke's formulas written out."""

from pathlib import Path

import fabio.edfimage
import numpy as np
import pyFAI.detectors
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyFAI.geometry import Geometry as PyfaiGeometry

from ringline.processing import (
    SPD,
    Detector,
    Geometry,
    RecipeError,
    detector_named,
    geometry_from_spd,
    pixel_arrays,
    read_spd,
    spd_from_header,
    spd_of,
)

Floats = NDArray[np.float64]
DETECTOR = Detector(pixel1=1e-4, pixel2=1.5e-4, shape=(8, 9))
ANGLES = st.floats(-3.1, 3.1)
CENTERS = st.floats(-3000, 3000)
GEOMETRIES = st.builds(
    Geometry,
    distance=st.floats(0.01, 10),
    poni1=st.floats(-0.3, 0.3),
    poni2=st.floats(-0.3, 0.3),
    rot1=ANGLES,
    rot2=st.one_of(st.floats(-1.5, 1.5), st.sampled_from([np.pi / 2, -np.pi / 2])),
    rot3=ANGLES,
    wavelength=st.floats(1e-11, 3e-10),
    detector=st.just(DETECTOR),
)
PARAMETERS = st.builds(
    SPD,
    sample_distance=st.floats(0.01, 10),
    wavelength=st.floats(1e-11, 3e-10),
    center_1=CENTERS,
    center_2=CENTERS,
    pixel_1=st.just(1.5e-4),
    pixel_2=st.just(1e-4),
    offset_1=st.floats(-100, 100),
    offset_2=st.floats(-100, 100),
    rotation_1=ANGLES,
    rotation_2=ANGLES,
    rotation_3=ANGLES,
    binning_1=st.integers(1, 8),
    binning_2=st.integers(1, 8),
)


@given(GEOMETRIES)
def test_a_geometry_survives_spd(geometry: Geometry) -> None:
    back = geometry_from_spd(spd_of(geometry), DETECTOR)
    for name in ("distance", "wavelength"):
        assert getattr(back, name) == getattr(geometry, name)
    for name in ("poni1", "poni2"):
        assert getattr(back, name) == pytest.approx(getattr(geometry, name), rel=1e-15)
    np.testing.assert_allclose(back.rotation, geometry.rotation, rtol=0, atol=5e-15)


@given(PARAMETERS)
def test_a_header_holds_the_parameters_exactly(parameters: SPD) -> None:
    assert spd_from_header(parameters.to_header()) == parameters


def turned(point: list[float], axis: int, angle: float) -> list[float]:
    """A counter-clockwise turn about one of SPD's axes, as it stands in Boesecke's description."""
    x1, x2, x3 = point
    c, s = np.cos(angle), np.sin(angle)
    match axis:
        case 1:
            return [x1, c * x2 - s * x3, s * x2 + c * x3]
        case 2:
            return [c * x1 + s * x3, x2, -s * x1 + c * x3]
        case _:
            return [c * x1 - s * x2, s * x1 + c * x2, x3]


@given(PARAMETERS)
def test_angles_are_those_of_spd(parameters: SPD) -> None:
    """A scattered beam's direction in the laboratory: cos 2theta is against axis 3."""
    found = pixel_arrays(geometry_from_spd(parameters, DETECTOR))
    two_theta, alpha = np.empty((8, 9)), np.empty((8, 9))
    for i in range(8):
        for j in range(9):
            point = [
                (j + 0.5 + parameters.offset_1 - parameters.center_1) * parameters.pixel_1,
                (i + 0.5 + parameters.offset_2 - parameters.center_2) * parameters.pixel_2,
                -parameters.sample_distance,
            ]
            for axis in (1, 2, 3):
                point = turned(point, axis, getattr(parameters, f"rotation_{axis}"))
            x1, x2, x3 = point
            two_theta[i, j] = np.arctan2(np.hypot(x1, x2), -x3)
            alpha[i, j] = np.arctan2(x2, x1)
    np.testing.assert_allclose(found.two_theta, two_theta, rtol=0, atol=1e-10)
    across = np.sin(two_theta)
    np.testing.assert_allclose(
        across * np.exp(1j * found.chi), across * np.exp(1j * alpha), rtol=0, atol=1e-10
    )


@pytest.mark.parametrize(
    ("rotation", "angle"),
    [("rotation_1", "rot2"), ("rotation_2", "rot1"), ("rotation_3", "rot3")],
)
def test_a_single_turn_is_the_opposite_one_of_a_poni_file(rotation: str, angle: str) -> None:
    values = {
        "sample_distance": 0.1, "wavelength": 1e-10, "center_1": 1.0, "center_2": 2.0,
        "pixel_1": 1.5e-4, "pixel_2": 1e-4, rotation: 0.25,
    }  # fmt: skip
    geometry = geometry_from_spd(SPD(**values))
    for name in ("rot1", "rot2", "rot3"):
        expected = -0.25 if name == angle else 0.0
        assert getattr(geometry, name) == pytest.approx(expected, abs=1e-15)
    assert getattr(spd_of(geometry), rotation) == pytest.approx(0.25, rel=1e-14)


def test_a_positive_turn_about_the_horizontal_axis_lifts_the_detector_from_the_beam() -> None:
    """Counter-clockwise about axis 1, the far end of the beam (against axis 3) goes up."""
    parameters = SPD(
        sample_distance=0.1, wavelength=1e-10, center_1=4.5, center_2=4.0, pixel_1=1.5e-4,
        pixel_2=1e-4, rotation_1=0.3,
    )  # fmt: skip
    t1, t2, t3 = geometry_from_spd(parameters, DETECTOR).sample_frame(
        np.array(4.0 * 1e-4), np.array(4.5 * 1.5e-4)
    )
    assert (float(t1), float(t2), float(t3)) == pytest.approx(
        (0.1 * np.sin(0.3), 0.0, 0.1 * np.cos(0.3)), abs=1e-15
    )


@settings(max_examples=4)  # each of pyFAI's geometries takes half a second to make
@given(GEOMETRIES)
def test_without_turns_the_parameters_are_pyfais(geometry: Geometry) -> None:
    theirs = PyfaiGeometry(
        geometry.distance, geometry.poni1, geometry.poni2, wavelength=geometry.wavelength,
        detector=pyFAI.detectors.Detector(1e-4, 1.5e-4, max_shape=(8, 9)),
    ).getSPD()  # fmt: skip
    straight = Geometry(
        distance=geometry.distance, poni1=geometry.poni1, poni2=geometry.poni2,
        wavelength=geometry.wavelength, detector=DETECTOR,
    )  # fmt: skip
    header = spd_of(straight).to_header()
    for key in ("SampleDistance", "Center_1", "Center_2", "PSize_1", "PSize_2", "WaveLength"):
        assert float(header[key]) == theirs[key]
    for key in ("BSize_1", "BSize_2"):
        assert float(header[key]) == theirs[key]
    assert {header[f"DetectorRotation_{axis}"] for axis in (1, 2, 3)} == {"0.0"}
    back = PyfaiGeometry().setSPD(**{key: float(header[key]) for key in theirs if key in header})
    ours = geometry_from_spd(spd_of(straight))
    assert (back.dist, back.poni1, back.poni2) == (ours.distance, ours.poni1, ours.poni2)
    assert back.wavelength == ours.wavelength
    assert (back.pixel1, back.pixel2) == (ours.detector.pixel1, ours.detector.pixel2)


HEADER = {
    "SampleDistance": "1.5", "WaveLength": "9.95e-11", "Center_1": "487.5", "center_2": "310.25",
    "PSize_1": "0.000172", "PSize_2": "0.000172", "Offset_1": "10", "BSize_1": "1",
    "DetectorRotation_2": "0.1", "ProjectionType": "Saxs", "Dummy": "-1",
}  # fmt: skip


def written(header: dict[str, str], folder: Path, shape: tuple[int, int] = (195, 487)) -> Path:
    path = folder / "it.edf"
    data = np.zeros(shape, np.float32)
    fabio.edfimage.EdfImage(data=data, header=header).write(str(path))
    return path


def test_the_header_of_an_edf_file_tells_the_geometry(tmp_path: Path) -> None:
    path = written(HEADER, tmp_path)
    geometry = read_spd(path)
    assert geometry.detector == Detector(pixel1=172e-6, pixel2=172e-6, shape=(195, 487))
    assert (geometry.distance, geometry.wavelength) == (1.5, 9.95e-11)
    assert geometry.poni1 == pytest.approx(310.25 * 172e-6)
    assert geometry.poni2 == pytest.approx(477.5 * 172e-6)
    assert geometry.rot1 == pytest.approx(-0.1)
    assert read_spd(path, detector_named("Pilatus100k")).detector == detector_named("Pilatus100k")


def test_what_is_written_to_an_edf_file_reads_back(tmp_path: Path) -> None:
    geometry = Geometry(
        distance=0.7, poni1=0.012, poni2=-0.034, rot1=0.3, rot2=-0.2, rot3=1.0, wavelength=1.1e-10,
        detector=Detector(pixel1=1e-4, pixel2=2e-4, shape=(30, 40)),
    )  # fmt: skip
    back = read_spd(written(spd_of(geometry).to_header(), tmp_path, (30, 40)))
    assert back.detector == geometry.detector
    for name in ("distance", "poni1", "poni2", "rot1", "rot2", "rot3", "wavelength"):
        assert getattr(back, name) == pytest.approx(getattr(geometry, name), rel=1e-14)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"SampleDistance": "0"}, "SampleDistance must be > 0, got '0'"),
        ({"PSize_1": "wide"}, "PSize_1 must be a number, got 'wide'"),
        ({"Center_1": "nan"}, "Center_1 must be finite, got 'nan'"),
        ({"BSize_2": "0"}, "BSize_2 must be > 0, got '0'"),
        ({"ProjectionType": "Waxs"}, "ProjectionType must be Saxs, got 'Waxs'"),
        ({"RasterOrientation": "3"}, "RasterOrientation must be 1, got 3"),
    ],
)
def test_a_header_that_tells_no_geometry_is_refused_by_its_file(
    change: dict[str, str], message: str, tmp_path: Path
) -> None:
    path = written({**HEADER, **change}, tmp_path)
    with pytest.raises(RecipeError) as refused:
        read_spd(path)
    assert message in str(refused.value)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize("key", ["WaveLength", "center_2", "PSize_2"])
def test_a_header_must_tell_all_that_a_geometry_needs(key: str, tmp_path: Path) -> None:
    path = written({name: value for name, value in HEADER.items() if name != key}, tmp_path)
    with pytest.raises(RecipeError, match=rf"{key} is missing".replace("center", "Center")):
        read_spd(path)


def test_another_detector_is_refused(tmp_path: Path) -> None:
    path = written(HEADER, tmp_path)
    with pytest.raises(RecipeError, match=r"PSize_1 is 0\.000172 m, pixels of Eiger1M have 7\.5e"):
        read_spd(path, detector_named("Eiger1M"))
    with pytest.raises(RecipeError, match=r"of \(195, 487\) pixels, Pilatus1M has \(1043, 981\)"):
        read_spd(path, detector_named("Pilatus1M"))
    (tmp_path / "no.edf").write_text("no")
    for name in ("no.edf", "nowhere.edf"):
        with pytest.raises(RecipeError, match=name):
            read_spd(tmp_path / name)
