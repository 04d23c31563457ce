"""Motions that beamlines have: an arm that turns, a table that moves along the beam or across."""

from dataclasses import replace

from ringline.processing.checks import require_choice
from ringline.processing.errors import RecipeError
from ringline.processing.motion import FIELDS, Motion

MOVES = ("distance", "poni1", "poni2", "rot1", "rot2")
"""What a motor can move, of what rings tell."""
ARMS = ("arm-rot1", "arm-rot2")
"""Arms that turn the detector about axis 1 or 2 through the sample, however it is mounted."""


def motion_named(name: str, motor: str, wavelength: float | None = None) -> Motion:
    """A motion by one motor, of ``MOVES`` (``linear_motion``) or ``ARMS`` (``arm_motion``).

    Parameters
    ----------
    name:
        Which.
    motor:
        Name of its position: letters, digits and underscores.
    wavelength:
        m; None: a parameter ``wavelength``.

    Raises
    ------
    RecipeError:
        An unknown motion, or a name that cannot stand in a formula.
    """
    require_choice("motion", name, (*ARMS, *MOVES))
    if name in ARMS:
        return arm_motion(int(name[-1]), motor, wavelength)
    return linear_motion(name, motor, wavelength)


def linear_motion(moved: str, motor: str, wavelength: float | None = None) -> Motion:
    """One quantity of the geometry goes with one motor: ``MOVED_zero + MOVED_scale * MOTOR``.

    ``distance`` is a table along the detector's normal, ``poni1`` and ``poni2`` move the detector
    in its plane, ``rot1`` and ``rot2`` turn it about the sample where nothing else is tilted. The
    other quantities are parameters, but for rot3, which rings do not tell: 0.

    Parameters and refusals as of ``motion_named``.
    """
    require_choice("motion", moved, MOVES)
    zero, scale = f"{moved}_zero", scale_of(moved)
    formulas = {name: name for name in FIELDS}
    formulas |= {"rot3": "0", moved: f"{zero} + {scale} * {motor}"}
    return _motion(formulas, wavelength, (zero, scale), motor)


def arm_motion(axis: int, motor: str, wavelength: float | None = None) -> Motion:
    r"""An arm turns the detector about an axis of the laboratory through the sample.

    With the motor at 0 the detector has rot1, rot2 and rot3 (rings at several angles tell how it is
    rolled against the arm's axis); the arm's turn by ``arm_scale * MOTOR`` comes after them:
    :math:`R = R_k(\delta) R_3 R_2 R_1`, taken apart into three turns of PONI files anew.

    Parameters
    ----------
    axis:
        1, along the slow axis, or 2, along the fast one.
    motor, wavelength:
        As of ``motion_named``, and refusals likewise.
    """
    if axis not in (1, 2):
        raise RecipeError(f"axis of an arm must be 1 or 2, got {axis!r}")
    turn = f"({scale_of('arm')} * {motor})"
    s, c = f"sin{turn}", f"cos{turn}"
    s2, c2, s3, c3 = "sin(rot2)", "cos(rot2)", "sin(rot3)", "cos(rot3)"
    # Elements (3, 1), (3, 2) less its sign, (3, 3), (2, 1) and (1, 1) of R_k(delta) R_3 R_2.
    if axis == 1:
        e31, e32, e33 = f"{c}*{s2} - {s}*{s3}*{c2}", f"{s}*{c3}", f"{s}*{s3}*{s2} + {c}*{c2}"
        e21, e11 = f"{c}*{s3}*{c2} + {s}*{s2}", f"{c3}*{c2}"
    else:
        e31, e32, e33 = f"{s}*{c3}*{c2} + {c}*{s2}", f"{s}*{s3}", f"{c}*{c2} - {s}*{c3}*{s2}"
        e21, e11 = f"{s3}*{c2}", f"{c}*{c3}*{c2} - {s}*{s2}"
    formulas = {name: name for name in FIELDS}
    formulas |= {
        "rot1": f"rot1 + arctan2({e32}, {e33})",
        "rot2": f"arcsin({e31})",
        "rot3": f"arctan2({e21}, {e11})",
    }
    return _motion(formulas, wavelength, ("rot1", "rot2", "rot3", scale_of("arm")), motor)


def scale_of(moved: str) -> str:
    """Name of the parameter that says by how much a motor moves something, m or rad a unit."""
    return f"{moved}_scale"


def with_free_wavelength(motion: Motion) -> Motion:
    """The motion with the wavelength as one more parameter, whatever it was before."""
    taken = {*motion.parameters, *motion.motors, *motion.constants}
    name = "wavelength"
    while name in taken:
        name += "_"
    own = (n for n in motion.parameters if motion.fields_of(n) != ("wavelength",))
    return replace(motion, wavelength=name, parameters=(*own, name))


def _motion(
    formulas: dict[str, str], wavelength: float | None, more: tuple[str, ...], motor: str
) -> Motion:
    if wavelength is not None:
        formulas["wavelength"] = repr(float(wavelength))
    own = tuple(name for name in FIELDS if formulas[name] == name)
    return Motion(
        distance=formulas["distance"],
        poni1=formulas["poni1"],
        poni2=formulas["poni2"],
        rot1=formulas["rot1"],
        rot2=formulas["rot2"],
        rot3=formulas["rot3"],
        wavelength=formulas["wavelength"],
        parameters=(*own, *more),
        motors=(motor,),
    )
