"""Refusals, each with its Tango reason."""

from ringline.processing import FrameError, RecipeError


class BadInput(ValueError):
    """A file or a text that cannot be used. Nothing was changed."""


class NotReady(Exception):
    """It would work later, or after something else."""


class Busy(Exception):
    """The work goes on after the answer."""


REASONS: dict[type[Exception], str] = {
    RecipeError: "Ringline_BadRecipe",
    FrameError: "Ringline_BadInput",
    BadInput: "Ringline_BadInput",
    NotReady: "Ringline_NotReady",
    Busy: "Ringline_Busy",
}
REFUSALS = tuple(REASONS)


def reason_of(error: Exception) -> str:
    """The reason by which a client tells one refusal from another."""
    return next(reason for kind, reason in REASONS.items() if isinstance(error, kind))
