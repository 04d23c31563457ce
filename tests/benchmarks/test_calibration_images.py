"""The images that calibration is judged by, against pyFAI."""

from dataclasses import replace

import numpy as np
import pytest
from pyFAI.detectors import Detector as PyfaiDetector
from pyFAI.integrator.azimuthal import AzimuthalIntegrator

from ringline.processing import Detector, Geometry, fit2d_of

from .calibration_cases import draw, kind_of, lines_of, rings_of  # noqa: TID252
from .calibration_images import spoiled_image, synthetic_image  # noqa: TID252
from .calibration_limits import PARAMETERS, attainable, sectors_of  # noqa: TID252
from .powder_scene import (  # noqa: TID252
    Background,
    PowderScene,
    beam_center,
    directions,
    profile,
)

NOTHING = Background(0.0, 1.0, 0.0, 1.0, 1.0, 0.0)
SMALL = Geometry(
    distance=0.09,
    wavelength=0.65e-10,
    poni1=0.031,
    poni2=0.042,
    rot1=0.11,
    rot2=-0.17,
    detector=Detector(pixel1=172e-6, pixel2=172e-6, shape=(400, 380)),
)


def scene_of(geometry: Geometry, *, width: float = 3.0) -> PowderScene:
    """Some rings of LaB6, far from each other, with Gaussian profiles, and nothing else."""
    angles, strengths = lines_of("LaB6", geometry.wavelength)
    rings = rings_of(geometry, (angles[::3], strengths[::3]), (width, 0.0), 1e3)
    assert np.diff(rings.two_theta).min() > 6 * rings.width.max()
    return PowderScene(geometry, replace(rings, lorentzian=0.0), NOTHING)


def integrator_of(geometry: Geometry) -> AzimuthalIntegrator:
    detector = geometry.detector
    return AzimuthalIntegrator(
        dist=geometry.distance,
        poni1=geometry.poni1,
        poni2=geometry.poni2,
        rot1=geometry.rot1,
        rot2=geometry.rot2,
        rot3=geometry.rot3,
        wavelength=geometry.wavelength,
        detector=PyfaiDetector(detector.pixel1, detector.pixel2, max_shape=detector.known_shape),
    )


@pytest.mark.parametrize("number", [0, 3, 12])
def test_directions_of_pixels_are_pyfais(number: int) -> None:
    geometry = draw(kind_of(number), number).scene.geometry
    shape = geometry.detector.known_shape
    slow, fast = np.mgrid[: shape[0] : 7, : shape[1] : 9].astype(float)
    found = directions(geometry, slow + 0.5, fast + 0.5)
    theirs = integrator_of(geometry)
    np.testing.assert_allclose(found.two_theta, theirs.tth(slow, fast), atol=1e-12)
    turn = np.angle(np.exp(1j * (found.chi - theirs.chi(slow, fast))))
    np.testing.assert_allclose(turn, 0.0, atol=1e-9)
    np.testing.assert_allclose(found.cos_incidence, theirs.cos_incidence(slow, fast), atol=1e-12)


def test_the_beams_center_is_fit2ds() -> None:
    geometry = draw(kind_of(12), 12).scene.geometry
    theirs = fit2d_of(geometry)
    np.testing.assert_allclose(beam_center(geometry), (theirs.center_y, theirs.center_x))


def test_an_image_is_the_same_each_time() -> None:
    one, again = synthetic_image(2), synthetic_image(2)
    np.testing.assert_array_equal(one.image, again.image)
    assert one.truth == again.truth


@pytest.mark.parametrize("width", [1.5, 4.0])
def test_rings_lie_where_pyfai_finds_them(width: float) -> None:
    scene = scene_of(SMALL, width=width)
    image, integrator = scene.mean_image(), integrator_of(SMALL)
    pixel = SMALL.detector.pixel1 / SMALL.distance
    shifts = []
    for start in range(-180, 180, 90):
        curve = integrator.integrate1d(
            image,
            3000,
            unit="2th_rad",
            correctSolidAngle=True,
            polarization_factor=scene.polarization,
            method=("full", "csr", "cython"),
            azimuth_range=(start, start + 90),
        )
        angle, light = curve.radial.astype(float), curve.intensity.astype(float)
        for ring in range(1, scene.rings.two_theta.size):
            there, wide = scene.rings.two_theta[ring], 2.5 * scene.rings.width[ring]
            seen = pixel * np.cos(there) ** 2
            near = np.abs(angle - there) < wide + seen
            if (
                light[near].max(initial=0.0) > 0.3 * scene.rings.height[ring]
            ):  # it is in this quarter
                shifts.append(np.average(angle[near] - there, weights=light[near]) / seen)
    assert len(shifts) >= 8
    np.testing.assert_allclose(shifts, 0.0, atol=0.01)


def test_a_pixel_holds_the_mean_of_its_ring() -> None:
    scene = scene_of(SMALL, width=1.5)
    fine = (np.arange(16) + 0.5) / 16
    found, row = scene.mean_image(), 200
    places = directions(
        SMALL, row + fine[:, None, None], np.arange(380.0)[:, None] + fine[None, None, :]
    )
    expected = (scene.rings.counts(places) * scene.dimming(places)).mean(axis=(0, 2))
    assert expected.max() > 100
    np.testing.assert_allclose(found[row], expected, atol=2e-3 * expected.max())


def test_grains_and_texture_leave_a_rings_mean_as_it_is() -> None:
    kind = replace(kind_of(1), textured=True, grainy=True)
    rings = draw(kind, 1).scene.rings
    assert rings.amplitude.shape[1] > 1
    np.testing.assert_allclose(rings.amplitude.mean(axis=1), 1.0, rtol=0.2)
    assert rings.amplitude.min() < 0.1
    moved = np.average(rings.offset, weights=rings.amplitude, axis=1)
    assert np.all(np.abs(moved) < 6 * np.sqrt(rings.wander))
    assert np.any(moved != 0)


def test_a_profile_is_half_as_high_at_half_its_width() -> None:
    for lorentzian in (0.0, 0.5, 1.0):
        top, half = profile(np.array([0.0, 0.5]), lorentzian)
        assert half / top == pytest.approx(0.5, abs=2e-3)


def test_the_bound_is_the_scatter_of_fits_to_noisy_images() -> None:
    """Each image fitted with its true profile, to first order about the truth."""
    scene = scene_of(SMALL)
    scene = replace(scene, background=replace(NOTHING, fluorescence=20.0))
    mean = scene.mean_image()
    columns = []
    for name in PARAMETERS:
        step = 1e-5 if name.startswith("rot") else 1e-6
        more = replace(SMALL, **{name: getattr(SMALL, name) + step})
        less = replace(SMALL, **{name: getattr(SMALL, name) - step})
        columns.append((_image(scene, more) - _image(scene, less)).ravel() / (2 * step))
    slopes = np.array(columns).T / np.sqrt(mean.ravel())[:, None]
    inverse = np.linalg.pinv(slopes)
    random = np.random.default_rng(1)
    noise = ((random.poisson(mean) - mean) / np.sqrt(mean) for _ in range(400))
    fits = np.array([inverse @ each.ravel() for each in noise])
    sectors = sectors_of(scene)
    assert sectors is not None
    bound = attainable(SMALL, sectors)
    expected = [bound[name] for name in PARAMETERS]
    np.testing.assert_allclose(fits.std(axis=0), expected, rtol=0.2)


def _image(scene: PowderScene, geometry: Geometry) -> np.ndarray:
    return replace(scene, geometry=geometry).mean_image()


def test_kinds_have_their_shares() -> None:
    kinds = [kind_of(number) for number in range(200)]
    assert sum(kind.center == "off" for kind in kinds) == 30
    assert sum(kind.tilt == (15.0, 30.0) for kind in kinds) == 40
    assert len({kind.detector.name for kind in kinds}) == 5


def test_gaps_hold_what_the_detectors_maker_writes() -> None:
    made = synthetic_image(2)
    gaps = made.detector.built_in_mask()
    assert made.image.dtype == np.int32
    assert gaps is not None
    assert np.all(made.image[gaps] == -1)
    assert made.image[~gaps].min() == 0


@pytest.mark.parametrize(("number", "kind"), [(0, "wrong calibrant"), (26, "one ring")])
def test_spoiled_images_are_what_they_say(number: int, kind: str) -> None:
    made = spoiled_image(number)
    assert made.kind == kind
    assert made.image.shape == made.detector.shape
