"""Rotations in the frame of the sample, and the angles by which a PONI file names them."""

import numpy as np

from ringline.processing.types import FloatArray


def rotation_angles(matrix: FloatArray) -> tuple[float, float, float]:
    """rot1, rot2 and rot3 of a rotation: ``Geometry.rotation`` of them is the matrix again.

    Its last row is (sin rot2, -cos rot2 sin rot1, cos rot2 cos rot1). With rot1 undone, the second
    column is (-sin rot3, cos rot3, 0): no angle loses digits where rot2 comes near a right angle.

    Parameters
    ----------
    matrix:
        A proper rotation, shape (3, 3), axes in order 1, 2, 3.
    """
    rot1 = np.arctan2(-matrix[2, 1], matrix[2, 2])
    rot2 = np.arctan2(matrix[2, 0], np.hypot(matrix[2, 1], matrix[2, 2]))
    column = np.cos(rot1) * matrix[:, 1] + np.sin(rot1) * matrix[:, 2]
    return float(rot1), float(rot2), float(np.arctan2(-column[0], column[1]))


def rotation_about(vector: FloatArray) -> FloatArray:
    r"""Right-handed rotation about a vector by its length in rad: its exponential map.

    .. math:: R = 1 + \frac{\sin\phi}{\phi} W + \frac{1 - \cos\phi}{\phi^2} W^2

    (Rodrigues), with :math:`\phi = |v|` and :math:`W x = v \times x`.

    Parameters
    ----------
    vector:
        :math:`v`, shape (3,).

    Returns
    -------
    :
        Shape (3, 3).
    """
    x, y, z = vector
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    angle = float(np.linalg.norm(vector))
    # sinc(t) is sin(pi t) / (pi t): both coefficients stay exact for small angles.
    first, second = np.sinc(angle / np.pi), 0.5 * np.sinc(0.5 * angle / np.pi) ** 2
    return np.asarray(np.eye(3) + first * cross + second * cross @ cross)
