"""Goniometers in pyFAI's JSON files, versions 1.1 and 2."""

import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path

from ringline.processing.checks import as_number
from ringline.processing.detector import Detector
from ringline.processing.errors import RecipeError
from ringline.processing.files import replace_text
from ringline.processing.formulas import CONSTANTS, FUNCTIONS
from ringline.processing.goniometer import Goniometer
from ringline.processing.motion import FIELDS, Motion
from ringline.processing.poni import detector_entries, detector_from_entries
from ringline.processing.recipe_mapping import Mapped

_VERSIONS = ("Goniometer calibration v2", "Goniometer calibration v1.1")
_FUNCTIONS = ("GeometryTransformation", "GeometryTranslation", "ExtendedTransformation")
"""Transformations that are formulas."""
_EXPRESSIONS = {name: f"{'dist' if name == 'distance' else name}_expr" for name in FIELDS}
_OURS = "ringline"
"""Key of what pyFAI has no place for; it reads over it."""
_UNKNOWN_TO_PYFAI = frozenset({"hypot", "minimum", "maximum", "sign", "π"})
"""Words of formulas that numexpr, with which pyFAI computes them, has not had in all versions."""
_DETECTOR_KEYS = ("pixel1", "pixel2", "max_shape", "orientation", "sensor", "filename")


def read_goniometer(path: str | os.PathLike[str]) -> Goniometer:
    """The goniometer in a file of pyFAI's, or one that ``write_goniometer`` wrote.

    Raises
    ------
    RecipeError:
        The file cannot be read or is another kind of file, its motion is not one of formulas, or a
        formula has a function that is not known: named with the file.
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        return _goniometer(found, Path(path).parent)
    except OSError as error:
        raise RecipeError(f"{path}: {error.strerror or error}") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise RecipeError(f"{path}: not a goniometer file: {error}") from error
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from error


def write_goniometer(goniometer: Goniometer, path: str | os.PathLike[str]) -> None:
    """Write a file that pyFAI reads, as a whole or not at all.

    Covariance and data keys stand under a key of their own, over which pyFAI reads.

    Raises
    ------
    RecipeError:
        A formula has a function that pyFAI does not know, or the detector is one that no name and
        no file tells.
    """
    motion = goniometer.motion
    for name, formula in motion.formulas.items():
        for word in re.findall(r"[^\W\d]\w*", formula):
            if word in _UNKNOWN_TO_PYFAI:
                raise RecipeError(f"{path}: {name} = {formula}: pyFAI has no {word!r}")
    name, config = detector_entries(goniometer.detector, path)
    names = {"param_names": list(motion.parameters), "pos_names": list(motion.motors)}
    fixed = _number(motion.wavelength)
    expressions = {key: getattr(motion, field) for field, key in _EXPRESSIONS.items()}
    if fixed is not None:
        del expressions["wavelength_expr"]
    ours: dict[str, Mapped] = {
        key: value
        for key, value in goniometer.to_mapping().items()
        if key in ("covariance", "data_keys")
    }
    text = {
        "content": _VERSIONS[0],
        "detector": name,
        "detector_config": config,
        **({} if fixed is None else {"wavelength": fixed}),
        "param": list(goniometer.values),
        **names,
        "trans_function": {
            "content": _FUNCTIONS[0] if fixed is not None else _FUNCTIONS[2],
            **names,
            **expressions,
            "constants": dict(motion.constants),
        },
        **({_OURS: ours} if ours else {}),
    }
    replace_text(Path(path), json.dumps(text, indent=2) + "\n")


def _goniometer(found: object, folder: Path) -> Goniometer:
    if not isinstance(found, Mapping) or found.get("content") not in _VERSIONS:
        raise RecipeError(f"not a goniometer file: its content must be {_VERSIONS[0]!r}")
    function = found.get("trans_function")
    if not isinstance(function, Mapping):
        raise RecipeError("its motion is missing: there is no trans_function, or it is no formula")
    kind = function.get("content", _FUNCTIONS[0])
    if kind not in _FUNCTIONS:
        raise RecipeError(f"trans_function {kind!r} is not one of {', '.join(_FUNCTIONS)}")
    motion = _motion(function, found.get("wavelength"))
    ours = found.get(_OURS, {})
    values = found.get("param")
    if isinstance(values, Mapping):
        values = [values.get(name) for name in motion.parameters]
    return Goniometer(
        detector=_detector(found, folder),
        motion=motion,
        values=values or (),  # type: ignore[arg-type]  # checked there
        covariance=ours.get("covariance"),
        data_keys=ours.get("data_keys", {}),
    )


def _motion(function: Mapping[str, object], wavelength: object) -> Motion:
    formulas = {name: _expression(function, name) for name in FIELDS}
    if formulas["wavelength"] is None:
        if wavelength is None:
            raise RecipeError("key 'wavelength' is missing, and no formula tells it")
        formulas["wavelength"] = repr(as_number("wavelength", wavelength))
    if formulas["distance"] is None:
        raise RecipeError("key 'dist_expr' of trans_function is missing")
    known = {name: formula or "0" for name, formula in formulas.items()}
    constants = function.get("constants") or {}
    if not isinstance(constants, Mapping):
        raise RecipeError(f"constants must map names to numbers, got {constants!r}")
    words = set(re.findall(r"[^\W\d]\w*", " ".join(known.values())))
    return Motion(
        **known,
        parameters=tuple(function.get("param_names") or ()),  # type: ignore[arg-type]
        motors=tuple(function.get("pos_names") or ("pos",)),  # type: ignore[arg-type]
        # pyFAI writes those that no formula uses as well.
        constants={
            name: as_number(f"constant {name}", value)
            for name, value in constants.items()
            if name in words and not _is_known(name, value)
        },
    )


def _is_known(name: str, value: object) -> bool:
    return name in CONSTANTS and as_number(name, value) == CONSTANTS[name]


def _expression(function: Mapping[str, object], name: str) -> str | None:
    value = function.get(_EXPRESSIONS[name])
    if value is None:
        return None
    if isinstance(value, (int, float)):
        return repr(float(value))
    for word in re.findall(r"([^\W\d]\w*)\s*\(", str(value)):
        if word not in FUNCTIONS:
            raise RecipeError(f"{_EXPRESSIONS[name]} {value!r}: function {word!r} is not known")
    return str(value)


def _detector(found: Mapping[str, object], folder: Path) -> Detector:
    config = found.get("detector_config")
    if not isinstance(config, Mapping):  # version 1.1
        config = {key: found[key] for key in _DETECTOR_KEYS if key in found}
    entries = {"detector": str(found.get("detector")), "detector_config": json.dumps(dict(config))}
    return detector_from_entries(entries, folder)


def _number(formula: str) -> float | None:
    try:
        value = float(formula)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
