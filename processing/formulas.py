"""A user's own axis: a formula of the pixel position, checked word by word before it is used."""

import ast
from collections.abc import Callable, Mapping
from types import CodeType

import numpy as np

from ringline.processing.checks import did_you_mean
from ringline.processing.errors import RecipeError
from ringline.processing.types import FloatArray

FUNCTIONS: Mapping[str, Callable[..., object]] = {
    name: getattr(np, name)
    for name in (
        "sqrt", "exp", "log", "log10", "log1p", "abs", "hypot", "minimum", "maximum", "where",
        "sin", "cos", "tan", "arcsin", "arccos", "arctan", "arctan2", "sinh", "cosh", "tanh",
        "arcsinh", "arccosh", "arctanh", "floor", "ceil", "sign",
    )
}  # fmt: skip
ARGUMENTS: Mapping[str, int] = {"hypot": 2, "minimum": 2, "maximum": 2, "arctan2": 2, "where": 3}
"""How many a function takes, where it is not one. One too many would be an array to write to."""
LONGEST = 1000
"""Characters of a formula."""
CONSTANTS: Mapping[str, float] = {"pi": float(np.pi), "π": float(np.pi)}

_ALLOWED = (
    ast.Expression, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Call, ast.Name, ast.Load, ast.Constant,
    ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow, ast.Mod, ast.USub, ast.UAdd,
    ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq,
)  # fmt: skip


def compiled_formula(text: str, variables: tuple[str, ...]) -> CodeType:
    """A formula as code, for ``formula_value``.

    Parameters
    ----------
    text:
        Arithmetic, comparisons and the functions of ``FUNCTIONS``, in Python's notation.
    variables:
        Names that it may use.

    Raises
    ------
    RecipeError:
        It is not a formula, or has a word that is not allowed: named.
    """
    if len(text) > LONGEST:
        raise RecipeError(f"formula of {len(text)} characters: must be at most {LONGEST}")
    try:
        tree = ast.parse(text.strip(), mode="eval")
        for node in ast.walk(tree):
            _check(node, text, variables)
        code = compile(_FloatNumbers().visit(tree), "<formula>", "eval")
        # Numbers alone may overflow or divide by zero: that does not depend on the positions.
        formula_value(code, dict.fromkeys(variables, np.full(2, 0.5)))
    except RecipeError:
        raise
    except (SyntaxError, ValueError, TypeError, ArithmeticError, RecursionError) as error:
        raise RecipeError(f"formula {text!r} cannot be computed: {error}") from error
    return code


def formula_value(code: CodeType, values: Mapping[str, FloatArray | float]) -> FloatArray:
    """The value of a formula, shape of the values; not a number where it has none."""
    names = {**FUNCTIONS, **CONSTANTS, **values}
    with np.errstate(all="ignore"):
        result = eval(code, {"__builtins__": {}}, names)  # every word was checked
    if np.iscomplexobj(result):
        raise TypeError("its value is a complex number")
    shape = np.broadcast_shapes(*(np.shape(value) for value in values.values()))
    return np.array(np.broadcast_to(np.asarray(result, dtype=np.float64), shape))


def _check(node: ast.AST, text: str, variables: tuple[str, ...]) -> None:
    if not isinstance(node, _ALLOWED):
        raise RecipeError(f"formula {text!r}: {type(node).__name__} is not allowed")
    known = (*variables, *FUNCTIONS, *CONSTANTS)
    if isinstance(node, ast.Name) and node.id not in known:
        raise RecipeError(f"formula {text!r}: unknown {node.id!r}: {did_you_mean(node.id, known)}")
    if isinstance(node, ast.Constant) and not isinstance(node.value, (int, float)):
        raise RecipeError(f"formula {text!r}: {node.value!r} is not a number")
    if isinstance(node, ast.Call):
        function = node.func.id if isinstance(node.func, ast.Name) else "?"
        if function not in FUNCTIONS or node.keywords:
            raise RecipeError(f"formula {text!r}: {function!r} cannot be called")
        if len(node.args) != (takes := ARGUMENTS.get(function, 1)):
            raise RecipeError(f"formula {text!r}: {function!r} takes {takes}, got {len(node.args)}")


class _FloatNumbers(ast.NodeTransformer):
    """Whole numbers as floats: 9**9**9**9 overflows at once instead of being worked out."""

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        return ast.copy_location(ast.Constant(float(node.value)), node)  # type: ignore[arg-type]
