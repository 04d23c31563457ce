"""Where the direct beam meets the detector, with errors."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ringline.processing.errors import RecipeError
from ringline.processing.fit2d import fit2d_of
from ringline.processing.geometry import Geometry
from ringline.processing.types import FloatArray


def beam_place(geometry: Geometry) -> FloatArray | None:
    """Place along the slow and the fast axis, pixels along the PONI's axes, shape (2,).

    None where the beam does not meet the detector's plane from the front.
    """
    try:
        beam = fit2d_of(geometry)
    except RecipeError:
        return None
    return np.array([beam.center_y, beam.center_x])


def beam_errors(
    geometry: Geometry, names: Sequence[str], covariance: FloatArray
) -> FloatArray | None:
    r"""Standard errors of the place, pixels, shape (2,): of :math:`J C J^T`.

    They are smaller than those of the PONI, which goes with the rotations.

    Parameters
    ----------
    geometry:
        Of the beam.
    names, covariance:
        Parameters that have errors, and their covariance, m and rad, shape (n, n).

    Returns
    -------
    :
        None where the beam does not meet the detector, or nothing has errors.
    """
    slopes = []
    for name in names:
        step = 1e-6 * (1.0 if name.startswith("rot") else geometry.distance)
        value = getattr(geometry, name)
        above = beam_place(replace(geometry, **{name: value + step}))
        below = beam_place(replace(geometry, **{name: value - step}))
        if above is None or below is None:
            return None
        slopes.append((above - below) / (2 * step))
    if not slopes or not np.isfinite(covariance).all():
        return None
    jacobian = np.stack(slopes, axis=1)
    variance = np.einsum("pi,ij,pj->p", jacobian, covariance, jacobian)
    return np.asarray(np.sqrt(np.maximum(variance, 0.0)))
