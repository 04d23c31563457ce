"""What became of frames: curves and losses, for files, events and records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ringline.callbacks.ledger import Entry
from ringline.processing import Profile, ResultRow
from ringline.processing.result_layout import position_key


@dataclass(frozen=True, slots=True)
class Row:
    """A frame that became a curve."""

    stream: str
    """Of the raw run."""
    entry: Entry
    profile: Profile
    time: float
    monitor: float
    rejected: int = 0
    positions: Mapping[str, float] = field(default_factory=dict)
    """Of the motors of a moving detector."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A frame that did not."""

    stream: str
    entry: Entry
    cause: str
    dropped: bool = False


Outcome = Row | Loss


def plain(outcome: Outcome) -> list[Any]:
    """Return what a record keeps of it."""
    entry = outcome.entry
    cause, dropped = (
        (outcome.cause, outcome.dropped) if isinstance(outcome, Loss) else (None, False)
    )
    place = [outcome.stream, entry.resource, entry.index, entry.seq_num, entry.event]
    return [*place, cause, dropped]


def result_row(row: Row) -> ResultRow:
    """Return what a result file holds of it."""
    entry = row.entry
    return ResultRow(
        row.profile,
        entry.index,
        entry.seq_num,
        monitor=row.monitor,
        epoch=row.profile.recipe_digest,
        rejected=row.rejected,
        positions=tuple(row.positions.values()),
    )


def scalars_of_rows(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """Return what the events of curves hold, at least one, by data key."""
    return {
        "frame_index": [row.entry.index for row in rows],
        "raw_seq_num": [row.entry.seq_num for row in rows],
        "monitor": [row.monitor for row in rows],
        "rejected": [row.rejected for row in rows],
        "epoch": [row.profile.recipe_digest for row in rows],
        **{
            position_key(motor): [row.positions[motor] for row in rows]
            for motor in rows[0].positions
        },
    }


def scalars_of_total(total: Profile, digest: str) -> dict[str, list[Any]]:
    """Return what the event of a sum holds, by data key."""
    return {
        "frames": [total.frames],
        "first_frame": [total.first_frame],
        "last_frame": [total.last_frame],
        "epoch": [digest],
    }
