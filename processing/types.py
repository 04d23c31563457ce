"""Array types of the package."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]
BoolArray: TypeAlias = NDArray[np.bool_]
IntArray: TypeAlias = NDArray[np.int64]
ImageArray: TypeAlias = NDArray[np.bool_ | np.integer | np.floating]
"""Pixels as the detector wrote them: any numeric dtype, byte order and strides."""
