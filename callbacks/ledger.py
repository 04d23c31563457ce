"""Which frame became which row, and which frames count for the sum."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

LOST = -1


@dataclass(frozen=True, slots=True)
class Entry:
    """One frame that is accounted for."""

    resource: str
    """Of its location."""
    index: int
    """In its location."""
    seq_num: int
    event: int
    """Tells apart the events that share a sequence number: the frame's index in units of events."""
    output: int = LOST
    """Number of the file that holds its curve."""


class Ledger:
    """Frames of one stream of one detector, in the order in which they were reduced.

    A rewind repeats sequence numbers. Every curve is kept, and of each sequence number only the
    last event counts for the sum.
    """

    def __init__(self) -> None:
        self._names: list[str] = []
        self._numbers: dict[str, int] = {}
        self._columns = [array("q") for _ in range(5)]
        self._newest = (0, 0, -1)
        self.rewound = False

    def __len__(self) -> int:
        """Give the number of entries."""
        return len(self._columns[0])

    def add(self, entry: Entry) -> None:
        """Append an entry."""
        if entry.resource not in self._numbers:
            self._numbers[entry.resource] = len(self._names)
            self._names.append(entry.resource)
        resource = self._numbers[entry.resource]
        visit = (entry.seq_num, resource, entry.event)
        if entry.seq_num > self._newest[0]:
            self._newest = visit
        elif visit != self._newest:
            self.rewound = True
        values = (resource, entry.index, entry.seq_num, entry.event, entry.output)
        for column, value in zip(self._columns, values, strict=True):
            column.append(value)

    def __iter__(self) -> Iterator[Entry]:
        """Give the entries in order."""
        for resource, index, seq_num, event, output in zip(*self._columns, strict=True):
            yield Entry(self._names[resource], index, seq_num, event, output)

    def counting(self) -> Iterator[tuple[int, Entry]]:
        """Give the entries with a curve that count for the sum, in order, each with its row."""
        last: dict[int, tuple[str, int]] = {}
        for entry in self:
            last[entry.seq_num] = (entry.resource, entry.event)
        rows: Counter[int] = Counter()
        for entry in self:
            if entry.output == LOST:
                continue
            if last[entry.seq_num] == (entry.resource, entry.event):
                yield rows[entry.output], entry
            rows[entry.output] += 1
