"""Putting a geometry in force in the reducer: in the history and there, or in neither."""

from collections.abc import Callable
from dataclasses import replace

from ringline.callbacks import CalibrationHistory, Decision, StoreError
from ringline.device_servers.reducer_link import ReducerLink
from ringline.processing import RecipeError, geometry_digest


def enforce(
    history: CalibrationHistory, link: ReducerLink, decide: Callable[[], Decision]
) -> Decision:
    """Take a decision and carry it out; where one of both fails, neither is done.

    Parameters
    ----------
    history:
        Where the decision is recorded.
    link:
        The reducer.
    decide:
        What is to be put in force.

    Raises
    ------
    NotReadyError:
        The reducer does not answer.
    BadInputError:
        The reducer refuses the geometry.
    StoreError:
        The decision cannot be recorded.
    """
    present = link.geometry()
    decision = decide()
    if present is None or geometry_digest(present) != decision.id:
        # What the reducer has may come from elsewhere than the history.
        decision = replace(decision, former=present)
    else:
        ruling = history.in_force(link.device)
        if ruling is not None and ruling.decision.id == decision.id:
            return ruling.decision  # a client that asks twice decides once
    geometry = decision.geometry
    assert geometry is not None  # of a decision that puts one in force
    try:
        with history.deciding(decision):
            link.put(geometry)
    except StoreError:
        if present is not None:
            link.put(present)  # what is not in the history is not to be in force
        raise
    return decision


def former_of(history: CalibrationHistory, device: str) -> str:
    """Id of the geometry to which the device would go back; empty: there is none."""
    try:
        return history.reversion(device).id
    except RecipeError:
        return ""
