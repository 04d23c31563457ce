"""What each setting is: its name, bounds, unit and words, in one table."""

from collections.abc import Mapping

from ringline.device_servers.kinds import (
    BinEdges,
    Choice,
    Count,
    FilePath,
    Interval,
    Number,
    Quantiles,
    Switch,
    Text,
    UnitName,
)
from ringline.device_servers.setting import (
    Bins,
    EdgesOfBins,
    Energy,
    Setting,
    Switching,
    Wavelength,
)
from ringline.processing import COEFFICIENTS, ENGINES, ERROR_MODELS, SPLITTINGS, UNITS
from ringline.processing.recipe_mapping import OUTLIERS
from ringline.processing.units import AZIMUTHAL_UNITS, FORMULA_VARIABLES

MOST_RADIAL_BINS = 65_536
MOST_AZIMUTHAL_BINS = 8_192

_ANY_LENGTH = Number(unit="m")
_ANY_ANGLE = Number(unit="rad")
_ARRAY_FILE = "absolute path (.npy, file.h5::dataset, or an image); empty: none."

# In the order in which a Configure with several of them is applied.
SETTINGS: Mapping[str, Setting] = {
    setting.name: setting
    for setting in (
        Setting(
            name="distance", kind=Number(above=0, unit="m"), unit="m",
            label="Distance", doc="Sample to the point of normal incidence (PONI); > 0 m.",
        ),
        Setting(
            name="poni1", kind=_ANY_LENGTH, unit="m", label="PONI 1",
            doc="Point of normal incidence along the detector's slow axis.",
        ),
        Setting(
            name="poni2", kind=_ANY_LENGTH, unit="m", label="PONI 2",
            doc="Point of normal incidence along the detector's fast axis.",
        ),
        Setting(
            name="rot1", kind=_ANY_ANGLE, unit="rad", label="Rotation 1",
            doc="Rotation of the detector about its slow axis, as in PONI files.",
        ),
        Setting(
            name="rot2", kind=_ANY_ANGLE, unit="rad", label="Rotation 2",
            doc="Rotation of the detector about its fast axis, as in PONI files.",
        ),
        Setting(
            name="rot3", kind=_ANY_ANGLE, unit="rad", label="Rotation 3",
            doc="Rotation of the detector about the beam, as in PONI files.",
        ),
        Energy(
            name="energy", kind=Number(above=0, unit="keV"), unit="keV",
            label="Photon energy", memorized=False,
            doc="Photon energy, > 0 keV: the wavelength seen otherwise, and memorized as such.",
        ),
        Wavelength(
            name="wavelength", kind=Number(above=0, unit="angstrom"), unit="angstrom",
            label="Wavelength", doc="Wavelength, > 0 angstrom.",
        ),
        Setting(
            name="detector", kind=Text(), label="Detector",
            doc='Its name as in PONI files ("Pilatus1M"), a NeXus detector file (.h5), or JSON: '
            '{"pixel1": m, "pixel2": m, "shape": [slow, fast]}; without a shape that of the first '
            'frame is taken. Also '
            '"sensor": {"material": "Si", "thickness": m}, "corners" and "mask": {"path": file}.',
        ),
        Setting(
            name="orientation", kind=Count(1, 4), label="Orientation",
            doc="How the image is stored: 3 along the PONI's axes, 2 flipped up-down, 4 flipped "
            "left-right, 1 both.",
        ),
        Setting(
            name="parallax", kind=Switch(), label="Parallax",
            doc="Whether to undo the parallax of rays that enter the sensor at an angle; the "
            "detector must tell its sensor.",
        ),
        Bins(
            name="radial_bins", kind=Count(0, MOST_RADIAL_BINS), edges="radial_edges",
            label="Radial bins",
            doc="Points of the curve. 0, with azimuthal_bins > 0: intensity against the azimuth. "
            "Writing another number than that of radial_edges drops these.",
        ),
        Bins(
            name="azimuthal_bins", kind=Count(0, MOST_AZIMUTHAL_BINS), edges="azimuth_edges",
            label="Azimuthal bins",
            doc="0: a curve; more: a cake with this many rows, or with radial_bins = 0 the points "
            "of an azimuthal profile.",
        ),
        Setting(
            name="radial_unit", kind=UnitName(tuple(UNITS)), label="Radial unit",
            doc="Unit of the radial axis and range, by pyFAI's names, or 'formula: ...' of "
            f"{', '.join(FORMULA_VARIABLES)}.",
        ),
        Setting(
            name="azimuthal_unit", kind=Choice(AZIMUTHAL_UNITS), label="Azimuthal unit",
            doc="Unit of the axis and the edges of an azimuthal profile.",
        ),
        Setting(
            name="radial_range", kind=Interval(), label="Radial range",
            doc="Low and high in radial_unit; both 0: all that the detector sees.",
        ),
        Setting(
            name="azimuth_range", kind=Interval(), unit="degree", label="Azimuth range",
            doc="Low and high, at most 360 degrees apart; both 0: all.",
        ),
        EdgesOfBins(
            name="radial_edges", kind=BinEdges(MOST_RADIAL_BINS + 1), bins="radial_bins",
            label="Radial edges",
            doc="Ascending edges of the radial bins in radial_unit, instead of radial_range; "
            "two zeros: equal bins. Writing them sets radial_bins.",
        ),
        EdgesOfBins(
            name="azimuth_edges", kind=BinEdges(MOST_AZIMUTHAL_BINS + 1), bins="azimuthal_bins",
            label="Azimuth edges",
            doc="Ascending edges of the azimuthal bins, instead of azimuth_range: of a cake in "
            "degrees, of an azimuthal profile in azimuthal_unit; two zeros: equal bins. Writing "
            "them sets azimuthal_bins.",
        ),
        Setting(
            name="splitting", kind=Choice(tuple(SPLITTINGS)), label="Pixel splitting",
            doc="How a pixel is shared between bins: not at all, by its bounding box, by that "
            "shrunk to its area, by its polygon.",
        ),
        Setting(
            name="coefficients", kind=Choice(tuple(COEFFICIENTS)), label="Coefficients",
            doc="How a pixel's shares are kept: in steps of 2^-24, or of 1/65535, faster to read.",
        ),
        Setting(
            name="error_model", kind=Choice(tuple(ERROR_MODELS)), label="Error model",
            doc="Where the variance of a pixel comes from: its counts, variance_file, the scatter "
            "around its ring, or scatter to find outliers and counts for the error.",
        ),
        Setting(
            name="outlier_rejection", kind=Choice(("none", *OUTLIERS)),
            label="Outlier rejection",
            doc="What each ring of a frame is cleared of: what lies outlier_threshold standard "
            "deviations off its mean, or outside quantile_range.",
        ),
        Setting(
            name="outlier_threshold", kind=Number(low=0), label="Outlier threshold",
            doc="Of sigma_clip, standard deviations; 0: Chauvenet's criterion.",
        ),
        Setting(
            name="outlier_iterations", kind=Count(1, 1_000_000), label="Outlier iterations",
            doc="Of sigma_clip, at most.",
        ),
        Setting(
            name="quantile_range", kind=Quantiles(), label="Quantile range",
            doc="Of quantiles, low and high from 0 to 1: only what lies between is averaged; both "
            "0.5: the median.",
        ),
        Switching(
            name="polarization_factor", kind=Number(low=-1, high=1),
            switch="polarization_correction",
            label="Polarization factor",
            doc="(Ih - Iv) / (Ih + Iv), from -1 to 1. Writing it switches "
            "polarization_correction on.",
        ),
        Setting(
            name="polarization_correction", kind=Switch(), label="Polarization correction",
            doc="Whether to correct for polarization, by polarization_factor.",
        ),
        Setting(
            name="polarization_axis", kind=Number(unit="degree"), unit="degree",
            label="Polarization axis",
            doc="Turn of the beam's main axis of polarization from the horizontal.",
        ),
        Setting(
            name="solid_angle_correction", kind=Switch(), label="Solid angle correction",
            doc="Whether to divide by the solid angle of each pixel.",
        ),
        Setting(
            name="absorption_correction", kind=Switch(), label="Absorption correction",
            doc="Whether to divide by the part of the photons that each pixel's sensor absorbs; "
            "the detector must have a sensor.",
        ),
        Setting(
            name="mask_file", kind=FilePath(), label="Mask",
            doc="Pixels to leave out, nonzero there: " + _ARRAY_FILE,
        ),
        Setting(
            name="dark_file", kind=FilePath(), label="Dark image",
            doc="Counts to subtract from each frame: " + _ARRAY_FILE,
        ),
        Setting(
            name="flat_file", kind=FilePath(), label="Flat field",
            doc="Relative response of each pixel: " + _ARRAY_FILE,
        ),
        Setting(
            name="dark_variance_file", kind=FilePath(), label="Variance of the dark",
            doc="Added to that of each frame, counts squared: " + _ARRAY_FILE,
        ),
        Setting(
            name="variance_file", kind=FilePath(), label="Variance",
            doc="Of each pixel, counts squared, for the error model variance: " + _ARRAY_FILE,
        ),
        Setting(
            name="monitor_reference", kind=Number(low=0), label="Monitor reference",
            doc="Reading of the beam monitor (property monitor_key) to which frames are "
            "normalized; a frame without a reading fails. 0: they are not normalized.",
        ),
        Setting(
            name="absolute_scale", kind=Number(above=0), label="Absolute scale",
            doc="What the intensity is multiplied by; > 0.",
        ),
        Switching(
            name="saturation", kind=Number(), switch="saturation_rejection", label="Saturation",
            doc="Pixels of a frame that reach this value count nowhere. Writing it switches "
            "saturation_rejection on.",
        ),
        Setting(
            name="saturation_rejection", kind=Switch(), label="Saturation rejection",
            doc="Whether pixels that reach saturation are left out.",
        ),
        Switching(
            name="dummy", kind=Number(), switch="dummy_rejection", label="Dummy value",
            doc="Pixels of a frame with this value count nowhere. Writing it switches "
            "dummy_rejection on.",
        ),
        Setting(
            name="dummy_rejection", kind=Switch(), label="Dummy rejection",
            doc="Whether pixels with the value dummy are left out.",
        ),
        Setting(
            name="delta_dummy", kind=Number(low=0), label="Delta dummy",
            doc="How far from dummy a value still means it.",
        ),
        Setting(
            name="engine", kind=Choice(("auto", *ENGINES)), label="Engine",
            doc="What computes; for documents from the next Init on.",
        ),
    )
}  # fmt: skip
