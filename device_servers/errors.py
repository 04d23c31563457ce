"""Refusals, each with its Tango reason."""

from ringline.callbacks import StoreError
from ringline.processing import FrameError, RecipeError


class BadInputError(ValueError):
    """A file or a text that cannot be used. Nothing was changed."""


class NotReadyError(Exception):
    """It would work later, or after something else."""


class BusyError(Exception):
    """The work goes on after the answer."""


REASONS: dict[type[Exception], str] = {
    RecipeError: "Ringline_BadRecipe",
    FrameError: "Ringline_BadInput",
    BadInputError: "Ringline_BadInput",
    NotReadyError: "Ringline_NotReady",
    StoreError: "Ringline_NotReady",
    BusyError: "Ringline_Busy",
}
REFUSALS = tuple(REASONS)


def reason_of(error: Exception) -> str:
    """The reason by which a client tells one refusal from another."""
    return next(reason for kind, reason in REASONS.items() if isinstance(error, kind))
