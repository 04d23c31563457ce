"""Parallax: a ray that enters a thick sensor at an angle is absorbed beside where it entered."""

import numpy as np

from ringline.processing.sensor import Slab
from ringline.processing.types import FloatArray

_STEPS = 100
_SETTLED = 4e-16


def without_parallax(apparent: FloatArray, feet: FloatArray, slab: Slab) -> FloatArray:
    r"""Where the rays enter that appear, through parallax, at given positions.

    A ray that enters at distance r from the foot of the perpendicular from the sample is absorbed
    on average after the path :math:`\ell(\alpha)` within the sensor (``Slab.mean_path``), and so
    appears at :math:`r + \ell \sin\alpha`, :math:`\tan\alpha = r / D`: pyFAI's
    ``ThinSensor.measure_displacement`` (``ThickSensor`` where the thickness is not known). pyFAI
    inverts that in a table of 1024 angles; here the equation

    .. math:: r + \ell(\alpha) \sin\alpha = \rho \quad\Leftrightarrow\quad
        r = \rho \frac{D}{D + \ell(\alpha) \cos\alpha}

    is solved for each position to the last digit.

    Parameters
    ----------
    apparent:
        Positions in the frame of the sample, m, shape (3, ...).
    feet:
        Foot of the perpendicular from the sample to the plane of each position, m, which
        broadcasts with ``apparent``; a position whose plane is not known (0) stays.
    slab:
        The sensor at the photon energy.

    Returns
    -------
    :
        m, shape of ``apparent``.
    """
    along = apparent - feet
    distance = np.sqrt((feet * feet).sum(axis=0))
    with np.errstate(divide="ignore", invalid="ignore"):
        tangent = np.sqrt((along * along).sum(axis=0)) / distance
        ratio = _entry_ratio(tangent, distance, slab)
    return np.asarray(np.where(distance > 0, feet + ratio * along, apparent))


def _entry_ratio(tangent: FloatArray, distance: FloatArray, slab: Slab) -> FloatArray:
    r"""Ratio of r to :math:`\rho`, by iteration: its error shrinks by the sensor's depth over D.

    Parameters
    ----------
    tangent:
        :math:`\rho / D`.
    distance:
        D, m.
    slab:
        The sensor at the photon energy.
    """
    ratio = np.ones_like(tangent)
    for _ in range(_STEPS):
        cosine = 1.0 / np.sqrt(1.0 + (ratio * tangent) ** 2)
        former, ratio = ratio, distance / (distance + slab.mean_path(cosine) * cosine)
        if not (np.abs(ratio - former) > _SETTLED).any():
            break
    return ratio
