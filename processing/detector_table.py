"""The detectors that are found at beamlines, by the names that PONI files use."""

from dataclasses import dataclass, replace

from ringline.processing.checks import did_you_mean
from ringline.processing.detector import Detector, ModuleGrid
from ringline.processing.errors import RecipeError
from ringline.processing.irregular_detectors import IRREGULAR, irregular_detector
from ringline.processing.sensor import Sensor


def detector_named(name: str, pixel: tuple[float, float] | None = None) -> Detector:
    """A detector of the table, by its name or alias as in PONI files ("Pilatus 1M", "Eiger4M").

    Parameters
    ----------
    name:
        Capitals, spaces and hyphens do not matter.
    pixel:
        Size along the slow and the fast axis, m, of a detector that bins pixels: its shape is
        that of the nearest binning, its pixels are exactly these. None: as it is usually run.
        Other detectors have one size, and this one is not looked at.

    Raises
    ------
    RecipeError:
        The name is not in the table; near names are offered. Or it has no such pixels.

    Notes
    -----
    Pixels of some are no grid: hexagons, wide pixels between chips, modules that are tilted. Their
    corners are made when such a detector is asked for. Quadrants of AGIPD1M, LPD1M and DSSC1M
    stand nominally; where they stood in an experiment, ``read_crystfel`` or ``agipd_1m`` says.
    """
    found = _variants(name)
    if not found:
        raise RecipeError(f"unknown detector {name!r}: {did_you_mean(name, detector_names())}")
    if pixel is None or len(found) == 1:
        return found[0]
    for detector in found:
        sizes = zip(pixel, (detector.pixel1, detector.pixel2), strict=True)
        if all(abs(given - size) <= _SAME_PIXEL * size for given, size in sizes):
            return replace(detector, pixel1=pixel[0], pixel2=pixel[1])
    known = ", ".join(f"{1e6 * detector.pixel1:g}" for detector in found)
    raise RecipeError(
        f"detector {name!r}: no pixels of {1e6 * pixel[0]:g} x {1e6 * pixel[1]:g} um: "
        f"it has square ones of {known} um"
    )


def detector_names() -> list[str]:
    """The names in the table, without aliases."""
    regular = (variants[0].name for variants in _TABLE.values())
    return list(dict.fromkeys((*regular, *(each.name for each in IRREGULAR))))


def is_standard(detector: Detector) -> bool:
    """Whether a detector's name and orientation say all about it."""
    return is_listed(detector) and detector.pixel1 == detector_named(detector.name).pixel1


def is_listed(detector: Detector) -> bool:
    """Whether its name, pixel size and orientation say all about it."""
    if detector.corners is None and _key(detector.name) in _IRREGULAR:
        return False
    variants = _variants(detector.name)
    return any(replace(each, orientation=detector.orientation) == detector for each in variants)


def has_variants(name: str) -> bool:
    """Whether a detector of the table bins pixels, so that its name does not tell their size."""
    return len(_TABLE.get(_key(name), ())) > 1


def known_sensor(detector: Detector) -> Sensor:
    """The sensor that is given, or the one with which a detector of the table is sold.

    Raises
    ------
    RecipeError:
        None is given, and the detector is not in the table or sold with several.
    """
    if detector.sensor is not None:
        return detector.sensor
    if is_listed(detector) and (sensor := _SENSORS.get(_key(detector.name))) is not None:
        return sensor
    raise RecipeError(
        f"detector {detector.name!r}: its sensor is not known: give material and thickness"
        " (Detector(sensor=Sensor('Si', 450e-6)), 'sensor' in a PONI file)"
    )


def with_known_sensor(detector: Detector) -> Detector:
    """The same detector, its sensor given; RecipeError as ``known_sensor``."""
    if detector.sensor is not None:
        return detector
    return replace(detector, sensor=known_sensor(detector))


def without_known_sensor(detector: Detector) -> Detector:
    """The same detector, its sensor left out where that is the one with which it is sold."""
    bare = replace(detector, sensor=None)
    try:
        return bare if detector.sensor in (None, known_sensor(bare)) else detector
    except RecipeError:
        return detector


_SAME_PIXEL = 1e-3
"""Relative difference of pixel sizes up to which they are those of one binning."""


@dataclass(frozen=True, slots=True)
class _Family:
    """Detectors of the same modules; shapes by what is added to the prefix."""

    prefix: str
    pixel: float
    modules: ModuleGrid | None
    shapes: dict[str, tuple[int, int]]
    sensor: Sensor | None = None
    aliases: tuple[str, ...] = ()
    """With {} for what is added to the prefix."""

    @property
    def detectors(self) -> dict[str, Detector]:
        """Each by what is added to the prefix."""
        pixel, modules = self.pixel, self.modules
        return {
            size: Detector(
                name=self.prefix + size, pixel1=pixel, pixel2=pixel, shape=shape, modules=modules
            )
            for size, shape in self.shapes.items()
        }


@dataclass(frozen=True, slots=True)
class _Single:
    """One detector, with the pixel sizes that it can bin to."""

    name: str
    shape: tuple[int, int]
    """Without binning, (slow, fast)."""
    pixels: dict[int, float]
    """Size, m, by how many pixels are binned along each axis; the usual one first."""
    aliases: tuple[str, ...] = ()
    round: bool = False
    """Active within the circle that touches the sides of the image."""

    @property
    def variants(self) -> tuple[Detector, ...]:
        """The detector with each size."""
        return tuple(self._binned(number, pixel) for number, pixel in self.pixels.items())

    def _binned(self, number: int, pixel: float) -> Detector:
        slow, fast = (n // number for n in self.shape)
        disk = float(slow // 2) if self.round else None
        return Detector(name=self.name, pixel1=pixel, pixel2=pixel, shape=(slow, fast), disk=disk)


def _key(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def _variants(name: str) -> tuple[Detector, ...]:
    """A detector with each pixel size that it bins to; none where it is not in the table."""
    irregular = _IRREGULAR.get(_key(name))
    if irregular is not None:
        return (irregular_detector(irregular),)
    return _TABLE.get(_key(name), ())


_PILATUS_SHAPES = {
    "100k": (195, 487),
    "200k": (407, 487),
    "300k": (619, 487),
    "300kw": (195, 1475),
    "900k": (619, 1475),
    "1M": (1043, 981),
    "2M": (1679, 1475),
    "6M": (2527, 2463),
}
_PILATUS_CDTE_SHAPES = {
    "300k": (619, 487),
    "300kw": (195, 1475),
    "900kw": (195, 4439),
    "1M": (1043, 981),
    "2M": (1679, 1475),
}
_EIGER_SHAPES = {
    "500k": (514, 1030),
    "1M": (1065, 1030),
    "4M": (2167, 2070),
    "9M": (3269, 3110),
    "16M": (4371, 4150),
}
_EIGER2_SHAPES = {
    "250k": (512, 512),
    "500k": (512, 1028),
    "1M": (1062, 1028),
    "1MW": (512, 2068),
    "2MW": (512, 4148),
    "4M": (2162, 2068),
    "9M": (3262, 3108),
    "16M": (4362, 4148),
}
_PILATUS4_SHAPES = {
    "260k": (530, 513),
    "260kw": (255, 1033),
    "1M": (1080, 1033),
    "2M": (1630, 1553),
    "4M": (2180, 2073),
}
_PILATUS = ModuleGrid(size=(195, 487), gap=(17, 7))
_PILATUS4 = ModuleGrid(size=(255, 513), gap=(20, 7))
_EIGER2 = ModuleGrid(size=(512, 1028), gap=(38, 12))

_CHIPS = ModuleGrid(size=(256, 256), gap=(4, 4))
_JUNGFRAU = ModuleGrid(size=(514, 1030), gap=(36, 8))
_SILICON = Sensor("Si", 450e-6)  # Pilatus of silicon are sold with 320, 450 and 1000 um
_THICK_CDTE = Sensor("CdTe", 1e-3)
_HS = {
    1: 44.2708e-6, 2: 88.5417e-6, 3: 132.8125e-6, 4: 177.0833e-6, 5: 221.3542e-6,
    6: 265.625e-6, 8: 354.1667e-6, 10: 442.7083e-6,
}  # fmt: skip
_HS_39 = {
    2: 78.125e-6, 1: 39.0625e-6, 3: 117.1875e-6, 4: 156.25e-6, 5: 195.3125e-6, 6: 234.375e-6,
    8: 312.5e-6, 10: 390.625e-6,
}  # fmt: skip
_HS_15 = {
    1: 15.625e-6, 2: 31.25e-6, 3: 46.875e-6, 4: 62.5e-6, 5: 78.125e-6, 6: 93.75e-6, 8: 125e-6,
    10: 156.25e-6,
}  # fmt: skip
_CCD_36 = {2: 73.242e-6, 1: 36.621e-6, 3: 109.971e-6, 4: 146.484e-6, 8: 292.969e-6}

# Shapes, pixels and gaps as the maker gives them and as PONI files name them.
_FAMILIES = (
    _Family("Pilatus", 172e-6, _PILATUS, _PILATUS_SHAPES),
    _Family(
        "PilatusCdTe", 172e-6, replace(_PILATUS, seam=(-1, 2)), _PILATUS_CDTE_SHAPES,
        _THICK_CDTE, ("Pilatus {} CdTe",),
    ),
    _Family(
        "Eiger", 75e-6, ModuleGrid(size=(514, 1030), gap=(37, 10)), _EIGER_SHAPES, _SILICON
    ),
    _Family("Eiger2_", 75e-6, _EIGER2, _EIGER2_SHAPES, _SILICON),
    _Family(
        "Eiger2CdTe_", 75e-6, replace(_EIGER2, seam=(-1, 1)),
        {size: shape for size, shape in _EIGER2_SHAPES.items() if size != "250k"},
        Sensor("CdTe", 750e-6),
    ),
    _Family("Pilatus4_", 150e-6, _PILATUS4, _PILATUS4_SHAPES, _SILICON),
    _Family(
        "Pilatus4_CdTe_", 150e-6, replace(_PILATUS4, seam=(0, 1)), _PILATUS4_SHAPES,
        _THICK_CDTE, ("Pilatus4 {} CdTe",),
    ),
    _Family("Jungfrau", 75e-6, _JUNGFRAU, {"1M": (1064, 1030), "4M": (2164, 2068)}),
    _Family(
        "Lambda", 55e-6, _CHIPS,
        {
            "60k": (256, 256), "250k": (516, 516), "750k": (516, 1556), "2M": (1556, 1556),
            "7M5": (2596, 2596), "10M": (2596, 4676),
        },
    ),
    _Family(
        "Maxipix", 55e-6, _CHIPS, {"": (256, 256), "2x2": (516, 516), "5x1": (256, 1296)}
    ),
    _Family(
        "HF_", 150e-6, None,
        {
            "130K": (256, 512), "262k": (512, 512), "1M": (1024, 1024), "2M": (1536, 1536),
            "4M": (2048, 2048), "9M": (3072, 3072),
        },
    ),
)  # fmt: skip

_SINGLES = (
    _Single("Rayonix133", (4096, 4096), {2: 64e-6, 1: 32e-6, 4: 128e-6, 8: 256e-6},
            ("MAR 133",), round=True),
    _Single("RayonixSx165", (4096, 4096), {1: 39.5e-6, 2: 79e-6, 4: 158e-6, 8: 316e-6},
            ("MAR 165",), round=True),
    _Single("RayonixSx200", (4096, 4096), {1: 48e-6, 2: 96e-6, 3: 144e-6, 4: 192e-6, 8: 384e-6}),
    _Single("RayonixMx225", (6144, 6144), _CCD_36, ("MAR 225",)),
    _Single("RayonixMx300", (8192, 8192), _CCD_36, ("MAR 300",)),
    _Single("RayonixMx325", (8192, 8192),
            {2: 79.346e-6, 1: 39.673e-6, 3: 119.135e-6, 4: 158.691e-6, 8: 317.383e-6}),
    _Single("RayonixSx30hs", (1920, 1920), _HS_15),
    _Single("RayonixSx85hs", (1920, 1920), _HS),
    _Single("RayonixMx170", (3840, 3840), _HS, ("Rayonix MX170 HS",)),
    _Single("RayonixMx225hs", (5760, 5760), _HS_39),
    _Single("RayonixMx300hs", (7680, 7680), _HS_39),
    _Single("RayonixMx340hs", (7680, 7680), {2: _HS[2], **_HS}),
    _Single("RayonixMx425hs", (9600, 9600), _HS),
    _Single("RayonixLx170", (1920, 3840), _HS, ("Rayonix LX170 HS",)),
    _Single("RayonixLx255", (1920, 5760), _HS, ("Rayonix LX255 HS",)),
    _Single("Mar555", (3072, 2560), {1: 139e-6}),
    _Single("Perkin", (4096, 4096), {2: 200e-6, 1: 100e-6, 4: 400e-6},
            ("Perkin detector", "Perkin Elmer")),
    _Single("Pixium", (1910, 2480), {2: 308e-6, 1: 154e-6},
            ("Pixium 4700", "Pixium 4700 detector", "Thales Electronics")),
    _Single("Dexela2923", (3888, 3072), {1: 75e-6, 2: 150e-6, 4: 300e-6}),
    _Single("FReLoN", (2048, 2048), {1: 50e-6, 2: 100e-6, 4: 200e-6}),
    _Single("Fairchild", (4096, 4096), {1: 15e-6}, ("Condor", "Fairchild Condor 486:90")),
    _Single("Titan", (2048, 2048), {1: 60e-6},
            ("Titan 2k x 2k", "OXD Titan", "Agilent Titan")),
    _Single("Lambda9M", (3868, 3227), {1: 55e-6}),  # its gaps differ from one to another
    _Single("Basler", (966, 1296), {1: 3.75e-6}, ("aca1300",)),
    _Single("RaspberryPi5M", (1944, 2592), {1: 1.4e-6}, ("Picam v1",)),
    _Single("RaspberryPi8M", (2464, 3280), {1: 1.12e-6}, ("Picam v2",)),
    _Single("RaspberryPi12M", (3040, 4056), {1: 1.55e-6}, ("Picam HQ",)),
    _Single("Apex2", (1024, 1024), {1: 120e-6}, ("ApexII", "Bruker")),
    _Single("ADSC_Q210", (4096, 4096), {1: 51e-6, 2: 102e-6}, ("Quantum 210",)),
    _Single("ADSC_Q315", (6144, 6144), {1: 51e-6, 2: 102e-6}, ("Quantum 315",)),
)  # fmt: skip

# An image plate's two resolutions are no multiples of each other.
_MAR345 = tuple(
    Detector(name="Mar345", pixel1=pixel, pixel2=pixel, shape=(n, n), disk=float(n // 2))
    for pixel, n in ((100e-6, 3450), (150e-6, 2300))
)

_MYTHEN = Detector(name="Mythen", pixel1=8e-3, pixel2=50e-6, shape=(1, 1280))

_OTHER_NAMES = (
    ("Maxipix 1x1", "Maxipix"),
    ("Lambda 7.5M", "Lambda7M5"),
    ("Medipix", "Maxipix"),  # one chip of the same pixels
    ("Timepix", "Maxipix"),
    ("HF-2.4M", "HF_2M"),
    ("HF-9.4M", "HF_9M"),
    ("RayonixLX225HS", "RayonixLx255"),  # so in PONI files
)

_TABLE: dict[str, tuple[Detector, ...]] = {
    **{
        _key(name): (detector,)
        for family in _FAMILIES
        for size, detector in family.detectors.items()
        for name in (detector.name, *(alias.format(size) for alias in family.aliases))
    },
    **{
        _key(name): single.variants
        for single in _SINGLES
        for name in (single.name, *single.aliases)
    },
    **{_key(name): _MAR345 for name in ("Mar345", "Mar3450")},
    **{_key(name): (_MYTHEN,) for name in ("Mythen", "Mythen 1280")},
}
_TABLE |= {_key(alias): _TABLE[_key(name)] for alias, name in _OTHER_NAMES}

_IRREGULAR = {_key(name): each for each in IRREGULAR for name in (each.name, *each.aliases)}

_SENSORS = {
    _key(detector.name): family.sensor
    for family in _FAMILIES
    if family.sensor is not None
    for detector in family.detectors.values()
}
