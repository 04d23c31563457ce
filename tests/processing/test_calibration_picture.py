import sys
from dataclasses import replace
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure

from ringline.processing import Detector
from ringline.processing.calibration import Calibration, Check, Verdict
from ringline.processing.calibration.parameters import Parameter, parameters_of
from ringline.processing.calibration.picture import draw_calibration
from ringline.processing.calibration.picture_panels import View, draw_image

from .made_calibrations import (  # noqa: TID252
    DETECTOR,
    Made,
    digest_of_image,
    made,
    made_geometry,
    rejected,
    ring_angles,
)

GREEN, RED = (0x1F, 0x8A, 0x4C), (0xC1, 0x12, 0x1F)


@pytest.fixture(scope="module")
def known() -> Made:
    return made()


def banner_of(path: Path) -> tuple[int, ...]:
    return tuple(round(255 * float(part)) for part in matplotlib.image.imread(path)[5, 5, :3])


def drawn(tmp_path: Path, one: Made) -> Path:
    path = tmp_path / "calibration.png"
    draw_calibration(path, one.image, one.calibration)
    return path


def test_an_accepted_calibration_has_a_green_banner_a_rejected_one_a_red_one(
    known: Made, tmp_path: Path
) -> None:
    assert banner_of(drawn(tmp_path, known)) == GREEN
    check = Check("rings", passed=False, words="one ring, 3 needed")
    bad = replace(known.calibration, verdict=Verdict((check,)))
    assert banner_of(drawn(tmp_path, Made(bad, known.image))) == RED


def test_without_a_geometry_image_and_reasons_are_drawn(tmp_path: Path) -> None:
    nothing = rejected()
    assert banner_of(drawn(tmp_path, nothing)) == RED


def without_points(calibration: Calibration) -> Calibration:
    return replace(calibration, points=None)


def without_rings(calibration: Calibration) -> Calibration:
    points = calibration.points
    assert points is not None
    none = replace(points, used=np.zeros_like(points.used))
    return replace(calibration, rings=(), points=none)


def without_errors(calibration: Calibration) -> Calibration:
    return replace(calibration, covariance=np.zeros((0, 0)))


def without_a_curve(calibration: Calibration) -> Calibration:
    return replace(calibration, axis=np.zeros(0), curve=np.zeros(0))


def with_a_dark_curve(calibration: Calibration) -> Calibration:
    return replace(calibration, curve=np.full(len(calibration.axis), np.nan))


@pytest.mark.parametrize(
    "change", [without_points, without_rings, without_errors, without_a_curve, with_a_dark_curve]
)
def test_what_a_rejected_calibration_lacks_is_left_out(
    known: Made, tmp_path: Path, change: object
) -> None:
    assert callable(change)
    assert banner_of(drawn(tmp_path, Made(change(known.calibration), known.image))) == GREEN


@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.int64, bool])
def test_images_of_any_type_are_drawn(known: Made, tmp_path: Path, dtype: type) -> None:
    image = np.maximum(known.image, 0).astype(dtype)
    calibration = replace(known.calibration, image_sha256=digest_of_image(image))
    assert banner_of(drawn(tmp_path, Made(calibration, image))) == GREEN


def test_an_image_without_a_value_is_drawn(known: Made, tmp_path: Path) -> None:
    image = np.full(known.image.shape, -1, dtype=np.int32)
    assert banner_of(drawn(tmp_path, Made(known.calibration, image))) == GREEN


def test_the_plotting_state_of_the_process_is_left_alone(known: Made, tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    had = "matplotlib.pyplot" in sys.modules
    drawn(tmp_path, known)
    assert dict(matplotlib.rcParams) == before
    assert ("matplotlib.pyplot" in sys.modules) == had


@pytest.mark.parametrize("orientation", [1, 2, 3, 4, None])
def test_rings_are_drawn_where_their_angle_is(orientation: int | None) -> None:
    """On the lines, between the pixels, the geometry gives the angle of the ring.

    None: a detector that says where the corners of its pixels are.
    """
    flat = replace(DETECTOR, orientation=orientation or 3)
    corners = Detector(pixel1=3e-4, pixel2=3e-4, corners=flat.pixel_corners())
    detector = flat if orientation else corners
    geometry = made_geometry(detector)
    one = made(geometry)
    axes = Figure().add_subplot()
    FigureCanvasAgg(axes.figure)
    draw_image(axes, View(one.image, one.calibration))
    lines = [child for child in axes.get_children() if isinstance(child, QuadContourSet)]
    wanted = [angle for _, angle, _ in ring_angles(geometry)]
    number = 0
    for path in (path for line in lines for path in line.get_paths()):
        fast, slow = path.vertices.T
        if len(fast) == 0:
            continue
        if flat.orientation in (1, 2):
            slow = flat.known_shape[0] - slow
        if flat.orientation in (1, 4):
            fast = flat.known_shape[1] - fast
        t1, t2, t3 = geometry.sample_frame(slow * 3e-4, fast * 3e-4)
        found = np.arctan2(np.hypot(t1, t2), t3)
        nearest = min(wanted, key=lambda angle: abs(angle - np.median(found)))
        pixel = 3e-4 / geometry.distance
        assert np.abs(found - nearest).max() < 0.02 * pixel
        number += 1
    assert number >= 20


def test_residuals_are_shown_in_pixels_outwards(known: Made) -> None:
    """A point that lies half a pixel outside its ring has a residual of half a pixel."""
    points = known.calibration.points
    geometry = known.calibration.geometry
    assert points is not None
    assert geometry is not None
    radial = np.stack([np.sin(points.chi), np.cos(points.chi)])
    t1, t2, t3 = geometry.sample_frame(points.slow * 3e-4, points.fast * 3e-4)
    outside = geometry.sample_frame(
        (points.slow + 0.5 * radial[0]) * 3e-4, (points.fast + 0.5 * radial[1]) * 3e-4
    )
    moved = np.arctan2(np.hypot(outside[0], outside[1]), outside[2])
    residual = moved - np.arctan2(np.hypot(t1, t2), t3)
    view = View(known.image, replace(known.calibration, points=replace(points, residual=residual)))
    np.testing.assert_allclose(view.residuals, 0.5, atol=0.02)


def test_values_have_the_digits_that_their_errors_leave() -> None:
    assert Parameter("distance", 125.00004, 0.01234, "mm").words == "125.000 ± 0.012"
    assert Parameter("rot1", -0.5, 12.0, "deg").words == "-0 ± 12"
    assert Parameter("rot3", 0.0, float("nan"), "deg").words == "0"


def test_the_error_of_the_beams_place_follows_from_those_that_go_together(known: Made) -> None:
    """With poni2 and rot1 turned against each other, the beam stays where it is."""
    geometry = known.calibration.geometry
    assert geometry is not None
    flat = replace(geometry, rot1=0.0, rot2=0.0)
    slope = geometry.distance  # the beam's place moves by -distance for each rad of rot1
    random = np.random.default_rng(3).normal(0.0, 1e-4, 1000)
    samples = np.zeros((5, 1000))
    samples[3] = random
    samples[2] = slope * random
    task = replace(known.calibration.task, fixed=frozenset())
    calibration = replace(
        known.calibration, task=task, geometry=flat, covariance=np.cov(samples), points=None
    )
    found = {one.name: one for one in parameters_of(calibration)}
    assert found["poni2"].error == pytest.approx(1e-2, rel=0.1)
    assert found["beam fast"].error < 1e-3 * found["poni2"].error * 1e-3 / 3e-4
    assert found["beam fast"].value == pytest.approx(90.0)


def test_a_beam_that_misses_the_detector_has_no_place(known: Made) -> None:
    geometry = known.calibration.geometry
    assert geometry is not None
    backwards = replace(known.calibration, geometry=replace(geometry, rot2=3.0))
    names = [one.name for one in parameters_of(backwards)]
    assert "distance" in names
    assert "beam slow" not in names
    assert parameters_of(rejected().calibration) == []
