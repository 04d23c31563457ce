"""The images that calibration is judged by, against pyFAI."""

import numpy as np
import pytest
from pyFAI.detectors import Detector as PyfaiDetector
from pyFAI.integrator.azimuthal import AzimuthalIntegrator

from ringline.processing import Geometry, fit2d_of

from .calibration_cases import draw, kind_of  # noqa: TID252
from .calibration_images import synthetic_image  # noqa: TID252
from .powder_scene import beam_center, directions  # noqa: TID252


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
