import json
import math
from dataclasses import fields, replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from ringline.processing import (
    Crystal,
    Detector,
    RecipeError,
    calibrant_named,
    calibrant_names,
    detector_named,
    read_spacings,
)
from ringline.processing.calibration import Calibration, ControlPoints, calibration_task
from ringline.processing.calibration.record import (
    calibration_from_mapping,
    calibration_to_mapping,
    read_calibration,
    write_calibration,
)
from ringline.processing.calibration.record_mapping import calibrant_to_mapping
from ringline.processing.calibration.record_reading import calibrant_from_mapping
from ringline.processing.crystals import Cell

from .made_calibrations import DETECTOR, Made, made, made_geometry, rejected  # noqa: TID252


def through_json(calibration: Calibration) -> Calibration:
    text = json.dumps(calibration_to_mapping(calibration), allow_nan=False)
    return calibration_from_mapping(json.loads(text))


def assert_same(one: Calibration, other: Calibration) -> None:
    for name in ("task", "image_sha256", "verdict", "geometry", "id"):
        assert getattr(one, name) == getattr(other, name), name
    for name in ("covariance", "axis", "curve"):
        assert_same_bits(getattr(one, name), getattr(other, name))
    assert repr(one.rings) == repr(other.rings)  # NaN is not equal to itself
    assert (one.points is None) == (other.points is None)
    if one.points is not None and other.points is not None:
        for field in fields(ControlPoints):
            assert_same_bits(getattr(one.points, field.name), getattr(other.points, field.name))


def assert_same_bits(one: np.ndarray, other: np.ndarray) -> None:  # type: ignore[type-arg]
    assert (one.shape, one.dtype) == (other.shape, other.dtype)
    assert one.tobytes() == other.tobytes()


@pytest.fixture
def known() -> Made:
    return made()


@pytest.mark.parametrize("which", [made, rejected])
def test_a_calibration_comes_back_from_json_to_the_last_bit(which: object) -> None:
    assert callable(which)
    calibration = which().calibration
    assert_same(through_json(calibration), calibration)


def test_what_is_not_a_number_comes_back_as_such(known: Made) -> None:
    assert known.calibration.points is not None
    sigma = known.calibration.points.sigma.copy()
    sigma[0], sigma[1] = math.nan, math.inf
    rings = (replace(known.calibration.rings[0], residual=math.nan), *known.calibration.rings[1:])
    points = replace(known.calibration.points, sigma=sigma)
    covariance = np.full((4, 4), math.nan)
    odd = replace(known.calibration, points=points, covariance=covariance, rings=rings)
    assert_same(through_json(odd), odd)
    assert math.isnan(through_json(odd).rings[0].residual)


def test_the_mapping_tells_readers_without_ringline_what_they_look_for(known: Made) -> None:
    mapping = json.loads(json.dumps(calibration_to_mapping(known.calibration)))
    assert mapping["id"] == known.calibration.id != ""
    assert mapping["refined"] == ["distance", "poni1", "poni2", "rot2"]
    assert mapping["errors"]["poni1"] == pytest.approx(math.sqrt(4e-10 + 1e-13))
    assert mapping["geometry"]["distance"] == 0.1
    assert mapping["task"]["calibrant"]["cell"]["a"] == 4.156826e-10
    assert mapping["task"]["energy_kev"] == pytest.approx(12.398419843 / 0.41)
    assert mapping["task"]["bounds"] == [{"name": "distance", "low": 0.05, "high": 0.2}]
    assert mapping["verdict"]["accepted"] is True
    assert mapping["verdict"]["words"].startswith("accepted: ")
    assert mapping["curve"]["intensity"][0] is None
    assert "geometry" not in calibration_to_mapping(rejected().calibration)


@pytest.mark.parametrize("name", calibrant_names())
def test_every_calibrant_comes_back_whole(name: str) -> None:
    calibrant = calibrant_named(name)
    found = calibrant_from_mapping(json.loads(json.dumps(calibrant_to_mapping(calibrant))))
    assert found == calibrant
    assert found.rings(smallest_spacing=1.5e-10) == calibrant.rings(smallest_spacing=1.5e-10)


def test_calibrants_from_files_and_of_ones_own_come_back_whole(tmp_path: Path) -> None:
    file = tmp_path / "mine.D"
    file.write_text("3.1 # (1 0 0) 6 100\n2.2\n1.9\n")
    own = Crystal(name="mine", cell=Cell(3e-10, 4e-10, 5e-10, beta=95.0), space_group="P 1 21 1")
    for calibrant in (read_spacings(file), own):
        mapping = json.loads(json.dumps(calibrant_to_mapping(calibrant)))
        file.unlink(missing_ok=True)  # what a record holds needs no file
        assert calibrant_from_mapping(mapping) == calibrant


def test_a_calibrant_may_be_given_by_its_name_alone() -> None:
    assert calibrant_from_mapping("lab6") == calibrant_named("LaB6")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("geometri",), 1, "unknown key 'geometri': did you mean 'geometry'"),
        (("version",), 2, "version of the record must be 1, got 2"),
        (("curve",), None, "key 'curve' is missing"),
        (("task", "detector"), None, "key 'detector' is missing"),
        (("task", "calibrant", "kind"), "cristal", "did you mean 'crystal'"),
        (("task", "calibrant", "cell", "a"), -1.0, "a must be > 0 m"),
        (("task", "bounds"), [{"name": "distance", "low": 2.0, "high": 1.0}], "low < high"),
        (("task", "bounds"), 3, "bounds must be a list, got 3"),
        (("task", "calibrant"), 3, "calibrant must be a name or a section with a kind, got 3"),
        (("rings",), [1], "rings must be a section, got 1"),
        (("covariance",), [[1.0, 2.0]], "covariance must be square"),
        (("points", "chi"), [0.0], "points: columns must have one length"),
        (("points", "ring"), [0.5], "ring must be whole numbers"),
        (("geometry", "distance"), 0.101, "it was changed"),
    ],
)
def test_a_mapping_that_cannot_be_right_is_refused_by_name(
    known: Made, path: tuple[str, ...], value: object, message: str
) -> None:
    mapping = json.loads(json.dumps(calibration_to_mapping(known.calibration)))
    place = mapping
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    with pytest.raises(RecipeError) as refused:
        calibration_from_mapping(mapping)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_file_gives_back_calibration_and_image(known: Made, tmp_path: Path) -> None:
    write_calibration(tmp_path / "out.h5", known.calibration, known.image)
    calibration, image = read_calibration(tmp_path / "out.h5")
    assert_same(calibration, known.calibration)
    assert image.dtype == known.image.dtype
    np.testing.assert_array_equal(image, known.image)


def test_a_calibration_without_geometry_is_written_too(tmp_path: Path) -> None:
    nothing = rejected()
    write_calibration(tmp_path / "out.h5", nothing.calibration, nothing.image)
    calibration, _ = read_calibration(tmp_path / "out.h5")
    assert_same(calibration, nothing.calibration)
    assert not calibration.verdict.accepted


def test_the_file_opens_with_the_curve_and_names_its_units(known: Made, tmp_path: Path) -> None:
    write_calibration(tmp_path / "out.h5", known.calibration, known.image)
    with h5py.File(tmp_path / "out.h5") as file:
        entry = file[file.attrs["default"]]
        plot = entry[entry.attrs["default"]]
        assert {group.attrs["NX_class"] for group in (entry, plot)} == {"NXentry", "NXdata"}
        axis = plot[plot.attrs["axes"][0]]
        assert axis.attrs["units"] == "degree"
        np.testing.assert_array_equal(axis[()], known.calibration.axis)
        np.testing.assert_array_equal(plot[plot.attrs["signal"]][()], known.calibration.curve)
        points = entry["points"]
        assert points["residual"].attrs["units"] == "rad"
        assert len(points["residual"]) == len(points["sigma"]) == len(points["ring"])
        assert entry["rings/two_theta"][0] == known.calibration.rings[0].two_theta
        assert entry["geometry/distance"].attrs["units"] == "m"
        assert entry["geometry/distance"][()] == 0.1
        assert entry["geometry/distance_errors"][()] == known.calibration.errors["distance"]
        assert "rot1_errors" not in entry["geometry"]  # it was fixed
        assert entry["image/data"].compression is not None
        assert entry["instrument/monochromator/wavelength"][()] == pytest.approx(0.41)


def test_masks_without_a_path_are_kept_beside_the_file(tmp_path: Path) -> None:
    known = made()
    mask = np.zeros(known.image.shape, dtype=bool)
    mask[3] = True
    task = calibration_task(
        "LaB6", DETECTOR, energy_kev=30.24, options={"mask": mask, "dark": 1.0 * mask}
    )
    calibration = replace(known.calibration, task=task, covariance=np.eye(5))
    write_calibration(tmp_path / "out.h5", calibration, known.image)
    found, _ = read_calibration(tmp_path / "out.h5")
    assert found.task == task
    assert found.task.mask is not None
    np.testing.assert_array_equal(found.task.mask.values, mask)
    Path(found.task.mask.path or "").unlink()
    with pytest.raises(RecipeError, match=r"out\.h5: mask: .*No such file"):
        read_calibration(tmp_path / "out.h5")


def test_corners_of_pixels_keep_their_place_and_the_id(tmp_path: Path) -> None:
    corners = detector_named("Pilatus 100k").with_shape((195, 487)).pixel_corners()[:50, :40]
    detector = Detector(pixel1=172e-6, pixel2=172e-6, corners=corners)
    known = made(made_geometry(detector))
    write_calibration(tmp_path / "out.h5", known.calibration, known.image)
    found, _ = read_calibration(tmp_path / "out.h5")
    assert found.id == known.calibration.id
    assert found.geometry is not None
    assert found.geometry.detector.corners == detector.corners


def test_another_image_is_refused_by_writer_and_reader(known: Made, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="was made from one with"):
        write_calibration(tmp_path / "out.h5", known.calibration, known.image + 1)
    assert list(tmp_path.iterdir()) == []
    write_calibration(tmp_path / "out.h5", known.calibration, known.image)
    with h5py.File(tmp_path / "out.h5", "r+") as file:
        file["entry/image/data"][0, 0] += 1
    with pytest.raises(RecipeError, match=r"out\.h5: the image was changed"):
        read_calibration(tmp_path / "out.h5")


def test_a_file_that_is_no_calibration_is_refused_by_name(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["entry/data"] = 1
    (tmp_path / "text.h5").write_text("no HDF5")
    for name in ("other.h5", "text.h5", "absent.h5"):
        with pytest.raises(RecipeError, match=rf"{name}: not the file of a calibration"):
            read_calibration(tmp_path / name)
