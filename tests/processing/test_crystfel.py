"""Geometry files of CrystFEL, against positions written out from its manual."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ringline.processing import (
    Corrections,
    Geometry,
    Radial,
    Recipe,
    RecipeError,
    pixel_arrays,
    read_crystfel,
    reduction_for,
)

Floats = NDArray[np.float64]

TWO_PANELS = """\
; two panels in one slab, the second turned by a right angle and further away
photon_energy = 9300 eV   ; a comment
clen = 0.2
res = 5000
data = /entry/data
rigid_group_q0 = a,b
group_all = a,b
max_adu = 14000
a/min_fs = 0
a/max_fs = 3
a/min_ss = 0
a/max_ss = 1
a/corner_x = -10.5
a/corner_y = 20
a/fs = +1.0x
a/ss = -y
b/min_fs = 0
b/max_fs = 3
b/min_ss = 2
b/max_ss = 4
b/corner_x = 5
b/corner_y = -6
b/fs = +0.0x +1.0y
b/ss = x
b/coffset = 0.01
"""

STACK = """\
wavelength = 1.3 A
res = 2000
clen = 300 mm
dim0 = %
dim2 = ss
dim3 = fs
min_fs = 0
max_fs = 2
fs = x
ss = y
corner_y = 0
m1t0/dim1 = 1
m1t0/min_ss = 0
m1t0/max_ss = 1
m1t0/corner_x = 10
m0t1/dim1 = 0
m0t1/min_ss = 2
m0t1/max_ss = 3
m0t1/corner_x = 20
m0t0/dim1 = 0
m0t0/min_ss = 0
m0t0/max_ss = 1
m0t0/corner_x = 30
"""


OF_A = {(i, j) for i in (0, 1) for j in range(4)}
OF_B = {(i, j) for i in (2, 3, 4) for j in range(4)}


def written(text: str, folder: Path) -> Path:
    path = folder / "it.geom"
    path.write_text(text)
    return path


def centers_of(geometry: Geometry) -> Floats:
    """CrystFEL's (x, y, z) of each pixel's center, m."""
    p1, p2, p3 = geometry.detector.pixel_centers()
    t1, t2, t3 = geometry.sample_frame(p1, p2, p3)
    return np.stack([t2, t1, t3], axis=-1)


def masked(geometry: Geometry) -> set[tuple[int, int]]:
    mask = geometry.detector.built_in_mask()
    return (
        set()
        if mask is None
        else {(int(i), int(j)) for i, j in zip(*np.nonzero(mask), strict=True)}
    )


def test_pixels_stand_where_the_manual_says(tmp_path: Path) -> None:
    found = read_crystfel(written(TWO_PANELS, tmp_path))
    geometry = found.geometry
    assert geometry.detector.shape == (5, 4)
    assert geometry.energy_kev == pytest.approx(9.3, rel=1e-15)
    assert (found.data, found.saturation) == ("/entry/data", 14000)
    centers = centers_of(geometry)
    pixel = 0.2e-3
    for i in range(2):
        for j in range(4):
            expected = ((-10.5 + j + 0.5) * pixel, (20 - i - 0.5) * pixel, 0.2)
            np.testing.assert_allclose(centers[i, j], expected, rtol=1e-12)
    for i in range(3):
        for j in range(4):
            expected = ((5 + i + 0.5) * pixel, (-6 + j + 0.5) * pixel, 0.21)
            np.testing.assert_allclose(centers[2 + i, j], expected, rtol=1e-12)


def test_azimuths_count_from_x_towards_y(tmp_path: Path) -> None:
    geometry = read_crystfel(written(TWO_PANELS, tmp_path)).geometry
    x, y, z = np.moveaxis(centers_of(geometry), -1, 0)
    found = pixel_arrays(geometry)
    np.testing.assert_allclose(found.chi, np.arctan2(y, x), rtol=1e-12)
    np.testing.assert_allclose(found.two_theta, np.arctan2(np.hypot(x, y), z), rtol=1e-12)


def test_modules_of_a_stack_lie_below_each_other_in_the_image(tmp_path: Path) -> None:
    found = read_crystfel(written(STACK, tmp_path))
    detector = found.geometry.detector
    assert detector.shape == (8, 3)
    assert found.geometry.wavelength == pytest.approx(1.3e-10)
    assert found.geometry.distance == pytest.approx(0.3)
    x = centers_of(found.geometry)[..., 0] * 2000
    np.testing.assert_allclose(x[0], [30.5, 31.5, 32.5])
    np.testing.assert_allclose(x[2], [20.5, 21.5, 22.5])
    np.testing.assert_allclose(x[4], [10.5, 11.5, 12.5])
    # The second module has one tile only: the other half is nowhere.
    assert masked(found.geometry) == {(i, j) for i in (6, 7) for j in range(3)}


def test_a_stack_of_frames_is_reduced_as_the_image_it_is(tmp_path: Path) -> None:
    geometry = read_crystfel(written(STACK, tmp_path)).geometry
    frame = np.arange(2 * 4 * 3, dtype=np.uint16).reshape(2, 4, 3)
    recipe = Recipe(
        geometry=geometry, binning=Radial(1), corrections=Corrections(solid_angle=False)
    )
    profile = reduction_for(recipe).reduce(frame.reshape(-1, frame.shape[-1]))
    assert profile.sums.signal.sum() == frame.sum() - frame[1, 2:].sum()


def test_defaults_hold_for_the_panels_that_begin_after_them(tmp_path: Path) -> None:
    text = TWO_PANELS.replace("b/min_fs", "res = 10000\ncoffset = 0.03\nb/min_fs")
    text = text.replace("b/coffset = 0.01\n", "a/coffset = 0.04\n")
    centers = centers_of(read_crystfel(written(text, tmp_path)).geometry)
    np.testing.assert_allclose(centers[0, 0], (-10 * 0.2e-3, 19.5 * 0.2e-3, 0.24), rtol=1e-12)
    np.testing.assert_allclose(centers[2, 0], (5.5 * 0.1e-3, -5.5 * 0.1e-3, 0.23), rtol=1e-12)


def test_a_single_panel_is_a_grid_with_the_beam_at_its_place(tmp_path: Path) -> None:
    text = (
        "photon_energy = 12 keV\nclen = 0.1 m\npixel_pitch = 75e-6\nmin_fs = 0\nmin_ss = 0\n"
        "p/max_fs = 99\np/max_ss = 79\np/fs = x\np/ss = y\np/corner_x = -40.5\np/corner_y = -30\n"
        "detector_shift_x = 1 mm\ndetector_shift_y = 0.002\n"
    )
    geometry = read_crystfel(written(text, tmp_path)).geometry
    assert geometry.detector.corners is None
    assert geometry.detector.orientation == 3
    assert geometry.poni1 == pytest.approx(30 * 75e-6 - 2e-3)
    assert geometry.poni2 == pytest.approx(40.5 * 75e-6 - 1e-3)
    assert geometry.distance == pytest.approx(0.1)


@given(
    factors=st.lists(st.floats(-2, 2).filter(lambda f: abs(f) > 1e-6), min_size=3, max_size=3),
    form=st.sampled_from(["{:+.17e}{}", "{:+.17g}{} ", " {:+.17f} {}"]),
)
def test_directions_are_read_in_any_form(factors: list[float], form: str, tmp_path: Path) -> None:
    direction = "".join(form.format(f, axis) for f, axis in zip(factors, "yxz", strict=True))
    text = STACK.replace("fs = x\n", f"fs = {direction}\n").replace("ss = y\n", "ss = z\n")
    centers = centers_of(read_crystfel(written(text, tmp_path)).geometry)
    step = (centers[0, 1] - centers[0, 0]) * 2000
    np.testing.assert_allclose(step, (factors[1], factors[0], factors[2]), atol=1e-10)


def test_what_stands_in_data_files_is_given_instead(tmp_path: Path) -> None:
    text = STACK.replace("300 mm", "/LCLS/distance mm").replace("1.3 A", "/LCLS/wavelength m")
    path = written(text, tmp_path)
    found = read_crystfel(path, camera_length=0.4, energy_kev=8.0).geometry
    assert (found.distance, found.energy_kev) == pytest.approx((0.4, 8.0))
    with pytest.raises(RecipeError, match="clen stands in the data files, .*: give camera_length"):
        read_crystfel(path, energy_kev=8.0)
    with pytest.raises(RecipeError, match="in /LCLS/wavelength: give energy_kev"):
        read_crystfel(path, camera_length=0.4)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("a/no_index = true", OF_A),
        ("a/no_index = 0", set()),
        (
            "b/mask_edge_pixels = 1",
            {(i, j) for i in (2, 3, 4) for j in range(4)} - {(3, 1), (3, 2)},
        ),
        (
            "bad1/panel = b\nbad1/min_fs = 1\nbad1/max_fs = 2\nbad1/min_ss = 3\nbad1/max_ss = 3",
            {(3, 1), (3, 2)},
        ),
        # First corners: x from -10.5, y from 20 downwards in a; x from 5, y from -6 upwards in b.
        ("badregion/min_x = -9\nbadregion/max_x = 5.5\nbadregion/min_y = 19.5", {(0, 2), (0, 3)}),
        (
            "bad_x/max_x = 100\nbad_x/max_y = -4.5\nbad_x/min_x = 5.5",
            {(3, 0), (3, 1), (4, 0), (4, 1)},
        ),
        ("bad_x/panel = b\nbad_x/min_y = -3.5", {(2, 3), (3, 3), (4, 3)}),
    ],
)
def test_bad_pixels_are_masked(lines: str, expected: set[tuple[int, int]], tmp_path: Path) -> None:
    geometry = read_crystfel(written(f"{TWO_PANELS}{lines}\n", tmp_path)).geometry
    assert masked(geometry) == expected


def test_a_mask_file_is_read_by_its_bits(tmp_path: Path) -> None:
    values = np.zeros((2, 4, 3), np.uint16)
    values[...] = 4
    values[0, 0, 0] = 0  # the good bit is missing
    values[0, 2, 1] = 5  # a bad one is there
    values[1, 1, 2] = 12  # another bit says nothing
    with h5py.File(tmp_path / "mask.h5", "w") as file:
        file["m"] = values
    lines = "mask1_data = /m\nmask1_file = mask.h5\nmask1_goodbits = 0x4\nmask1_badbits = 3\n"
    geometry = read_crystfel(written(f"{lines}{STACK}", tmp_path)).geometry
    nowhere = {(i, j) for i in (6, 7) for j in range(3)}
    assert masked(geometry) == {(0, 0), (2, 1)} | nowhere
    old = "mask = /m\nmask_file = mask.h5\nmask_good = 0x4\nmask_bad = 3\n"
    assert read_crystfel(written(f"{old}{STACK}", tmp_path)).geometry == geometry


def test_a_mask_beside_the_images_is_told_of(tmp_path: Path) -> None:
    path = written(f"mask = /entry/mask\nmask_bad = 0xff\n{STACK}", tmp_path)
    with pytest.warns(UserWarning, match="the mask in /entry/mask of data files is not read: give"):
        found = read_crystfel(path)
    assert found.geometry == read_crystfel(written(STACK, tmp_path)).geometry


def test_rows_of_hexagons_interlock(tmp_path: Path) -> None:
    """Every corner inside a panel belongs to three pixels, a half step apart in every other row."""
    pitch = 236e-6
    text = STACK.replace("res = 2000", f"res = {1 / pitch}").replace(
        "ss = y\n", f"ss = {1.5 / np.sqrt(3):.17g}y\n"
    )
    detector = read_crystfel(written(text, tmp_path), hexagonal=True).geometry.detector
    corners = detector.pixel_corners()[:2]
    assert corners.shape == (2, 3, 6, 3)
    centers = corners.mean(axis=2)
    np.testing.assert_allclose(centers[1, 0, 2] - centers[0, 0, 2], 0.5 * pitch, rtol=1e-9)
    np.testing.assert_allclose(centers[0, 1, 2] - centers[0, 0, 2], pitch, rtol=1e-9)
    sides = np.linalg.norm(np.roll(corners, 1, axis=2) - corners, axis=-1)
    np.testing.assert_allclose(sides, pitch / np.sqrt(3), rtol=1e-9)  # regular, and so adjacent
    away = np.linalg.norm(centers[1, 0] - centers[0, :2], axis=-1)
    np.testing.assert_allclose(away, pitch, rtol=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("a/corner_x = -10.5\n", ""), "panel 'a': corner_x is missing"),
        (("res = 5000", "res = 0"), "panel 'a': res must be > 0 pixels/m, got '0'"),
        (("res = 5000\n", ""), "panel 'a': res is missing"),
        (("clen = 0.2", "clen = 20 cm"), "clen must be in m or mm, got '20 cm'"),
        (("9300 eV", "0"), "photon_energy must be > 0 keV, got 0.0"),
        (("photon_energy = 9300 eV", ""), "photon_energy is missing: give energy_kev"),
        (("clen = 0.2\n", ""), "panel 'a': clen is missing: give camera_length"),
        (
            ("a/fs = +1.0x", "a/fs = 1.0u"),
            "panel 'a': fs must be such as '+0.01x -0.99y', got '1",
        ),
        (("a/max_ss = 1", "a/max_ss = 1.5"), "max_ss must be a whole number, got 1.5"),
        (("a/min_ss = 0", "a/min_ss = 3"), "panel 'a': min_ss must be from 0 to max_ss = 1, got 3"),
        (("b/min_ss = 2", "b/min_ss = 1"), "two panels share pixels"),
        (
            ("b/coffset", "b/data = /other\nb/coffset"),
            "several datasets, such as /entry/data and",
        ),
        (("b/coffset", "bad/panel = c\nb/coffset"), "region 'bad': no panel 'c'"),
        (
            ("b/coffset", "b/dim0 = fs\nb/dim1 = ss\nb/coffset"),
            "a frame must be (ss, fs)",
        ),
        (("; two panels", "two panels"), "line 1 is no entry (key = value): 'two panels in one"),
        ((TWO_PANELS, "clen = 1\n"), "no panel in it"),
        (("data = ", "mask = /m\nmask_file = no.h5\ndata = "), "mask no.h5::/m cannot be read"),
    ],
)
def test_a_file_that_is_no_geometry_is_refused_by_its_name(
    change: tuple[str, str], message: str, tmp_path: Path
) -> None:
    path = written(TWO_PANELS.replace(*change, 1), tmp_path)
    with pytest.raises(RecipeError) as refused:
        read_crystfel(path)
    assert message in str(refused.value)
    assert str(path) in str(refused.value)


def test_a_region_in_a_stack_must_name_its_panel_and_arguments_must_be_lengths(
    tmp_path: Path,
) -> None:
    path = written(f"{STACK}bad/min_fs = 0\nbad/max_fs = 1\n", tmp_path)
    with pytest.raises(RecipeError, match="region 'bad': panel is missing"):
        read_crystfel(path)
    with pytest.raises(RecipeError, match="camera_length must be > 0 m, got -1"):
        read_crystfel(written(STACK, tmp_path), camera_length=-1)
    with pytest.raises(RecipeError, match=r"nowhere\.geom: No such file"):
        read_crystfel(tmp_path / "nowhere.geom")
