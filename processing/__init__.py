"""The science: detectors, geometry, corrections, integration, frames from files, curves to files.

Knows nothing of Tango or Bluesky.
"""

from ringline.processing.averaging import (
    Average,
    average,
    frames_of,
    normalized,
    subtract_dark,
)
from ringline.processing.averaging_settings import Averaging, ClippedMean, Mean, Median
from ringline.processing.binning import Azimuthal, Binning, Cake, Radial, output_shape
from ringline.processing.calibrants import (
    Calibrant,
    calibrant_named,
    calibrant_names,
    read_spacings,
)
from ringline.processing.corrections import Corrections
from ringline.processing.crystals import Atom, Cell, Crystal, Ring
from ringline.processing.crystfel import read_crystfel
from ringline.processing.detector import Detector, ModuleGrid
from ringline.processing.detector_file import (
    DetectorFile,
    read_detector_file,
    write_detector_file,
)
from ringline.processing.detector_table import detector_named, detector_names, is_standard
from ringline.processing.errors import FrameError, RecipeError
from ringline.processing.fit2d import Fit2D, fit2d_of, geometry_from_fit2d
from ringline.processing.frames import Block, Frame, FrameSource, open_frames
from ringline.processing.geometry import Geometry, PixelArrays, pixel_arrays
from ringline.processing.goniometer import Goniometer, goniometer_from_mapping
from ringline.processing.goniometer_file import read_goniometer, write_goniometer
from ringline.processing.hexrd import read_hexrd
from ringline.processing.imaged11 import read_imaged11, write_imaged11
from ringline.processing.mask_file import MaskOrigin, write_mask
from ringline.processing.mask_making import MadeMask, make_mask
from ringline.processing.mask_settings import MaskSettings
from ringline.processing.motion import Motion
from ringline.processing.motions import arm_motion, linear_motion, motion_named
from ringline.processing.moving import (
    MovingReduction,
    moving_from_mapping,
    recipe_at,
    with_range_of_all,
)
from ringline.processing.multi_geometry import MultiGeometry, multi_geometry_from_json
from ringline.processing.outliers import Outliers, QuantileRange, SigmaClip
from ringline.processing.panel_geometry import ImageGeometry
from ringline.processing.poni import read_poni, write_poni
from ringline.processing.pyfai_detectors import detector_from_pyfai
from ringline.processing.recipe import COEFFICIENTS, ERROR_MODELS, SPLITTINGS, Recipe
from ringline.processing.recipe_mapping import (
    detector_to_mapping,
    geometry_digest,
    geometry_to_mapping,
)
from ringline.processing.recipe_reading import (
    detector_from_mapping,
    geometry_from_mapping,
    read_recipe,
    recipe_from_json,
    recipe_from_mapping,
    write_recipe,
)
from ringline.processing.reduction import ENGINES, Reduction, reduction_for
from ringline.processing.result_file import ResultFile, ResultRow
from ringline.processing.result_layout import ResultColumn
from ringline.processing.sensor import Sensor, attenuation
from ringline.processing.separation import Separation, separate, separating
from ringline.processing.separation_file import write_separations
from ringline.processing.spd import SPD, geometry_from_spd, read_spd, spd_from_header, spd_of
from ringline.processing.sums import Profile, Sums
from ringline.processing.units import UNITS, unit_named
from ringline.processing.xfel_detectors import agipd_1m, dssc_1m, lpd_1m
from ringline.processing.xy import write_xy

__all__ = [
    "COEFFICIENTS",
    "ENGINES",
    "ERROR_MODELS",
    "SPD",
    "SPLITTINGS",
    "UNITS",
    "Atom",
    "Average",
    "Averaging",
    "Azimuthal",
    "Binning",
    "Block",
    "Cake",
    "Calibrant",
    "Cell",
    "ClippedMean",
    "Corrections",
    "Crystal",
    "Detector",
    "DetectorFile",
    "Fit2D",
    "Frame",
    "FrameError",
    "FrameSource",
    "Geometry",
    "Goniometer",
    "ImageGeometry",
    "MadeMask",
    "MaskOrigin",
    "MaskSettings",
    "Mean",
    "Median",
    "ModuleGrid",
    "Motion",
    "MovingReduction",
    "MultiGeometry",
    "Outliers",
    "PixelArrays",
    "Profile",
    "QuantileRange",
    "Radial",
    "Recipe",
    "RecipeError",
    "Reduction",
    "ResultColumn",
    "ResultFile",
    "ResultRow",
    "Ring",
    "Sensor",
    "Separation",
    "SigmaClip",
    "Sums",
    "agipd_1m",
    "arm_motion",
    "attenuation",
    "average",
    "calibrant_named",
    "calibrant_names",
    "detector_from_mapping",
    "detector_from_pyfai",
    "detector_named",
    "detector_names",
    "detector_to_mapping",
    "dssc_1m",
    "fit2d_of",
    "frames_of",
    "geometry_digest",
    "geometry_from_fit2d",
    "geometry_from_mapping",
    "geometry_from_spd",
    "geometry_to_mapping",
    "goniometer_from_mapping",
    "is_standard",
    "linear_motion",
    "lpd_1m",
    "make_mask",
    "motion_named",
    "moving_from_mapping",
    "multi_geometry_from_json",
    "normalized",
    "open_frames",
    "output_shape",
    "pixel_arrays",
    "read_crystfel",
    "read_detector_file",
    "read_goniometer",
    "read_hexrd",
    "read_imaged11",
    "read_poni",
    "read_recipe",
    "read_spacings",
    "read_spd",
    "recipe_at",
    "recipe_from_json",
    "recipe_from_mapping",
    "reduction_for",
    "separate",
    "separating",
    "spd_from_header",
    "spd_of",
    "subtract_dark",
    "unit_named",
    "with_range_of_all",
    "write_detector_file",
    "write_goniometer",
    "write_imaged11",
    "write_mask",
    "write_poni",
    "write_recipe",
    "write_separations",
    "write_xy",
]
