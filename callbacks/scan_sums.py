"""The sums of a scan: of all frames of one detector that count, by result file."""

from __future__ import annotations

from collections.abc import Mapping

from ringline.callbacks.derived import DerivedRun, Output
from ringline.callbacks.frames import Location
from ringline.callbacks.ledger import Entry
from ringline.callbacks.surroundings import Surroundings
from ringline.processing import (
    Frame,
    FrameError,
    MovingReduction,
    Profile,
    Recipe,
    RecipeError,
    Sums,
)


class ScanSums:
    """Adds up frames as they are reduced, or all once more where that does not tell the sum.

    Frames of a detector that moves are added like several geometries: see `MovingReduction`.

    Parameters
    ----------
    derived:
        Knows which frame became which row.
    shared:
        Reads frames.
    locations:
        Where frames are, by resource; it grows.
    """

    def __init__(
        self, derived: DerivedRun, shared: Surroundings, locations: Mapping[str, Location]
    ) -> None:
        self._derived, self._shared, self._locations = derived, shared, locations
        self._sums: dict[int, Sums] = {}
        """Of all frames so far, by number of the output."""
        self._firsts: dict[int, Recipe] = {}
        """Of the first frame of each, to whose solid angle those of others relate."""
        self.complete = True
        """Whether all frames that count are in them, and no others."""

    def add(self, output: Output, sums: Sums, recipe: Recipe) -> None:
        """Add a frame that was reduced by a recipe."""
        maker, number = output.reduction, output.number
        if isinstance(maker, MovingReduction):
            first = self._firsts.setdefault(number, recipe)
            sums = maker.shared_sums(sums, recipe, first)
        total = self._sums.get(number)
        self._sums[number] = sums if total is None else total + sums

    def totals(self) -> tuple[dict[int, Profile], str | None]:
        """Return the sums of the scan, and why they are not complete."""
        ledgers = self._derived.ledgers.values()
        problem = None
        if not self.complete or any(ledger.rewound for ledger in ledgers):
            problem = self._sum_again()
        totals = {
            output.number: output.reduction.finish(self._sums[output.number])
            for output in self._derived.outputs
            if output.number in self._sums
        }
        return totals, problem

    def _sum_again(self) -> str | None:
        """Add up the frames that count, in the order of their curves, from the raw files."""
        self._sums.clear()
        self._firsts.clear()
        problem = None
        # Files that were given up have no sum.
        rows = {
            output.number: _Rows(output) for output in self._derived.outputs if not output.abandoned
        }
        for ledger in self._derived.ledgers.values():
            for row, entry in ledger.counting():
                self._shared.check()
                if entry.output not in rows:
                    continue
                try:
                    self._add_again(rows[entry.output], row, entry)
                except (FrameError, RecipeError, KeyError) as error:
                    problem = f"frame {entry.index} is missing in the sum: {error}"
        return problem

    def _add_again(self, rows: _Rows, row: int, entry: Entry) -> None:
        location, maker = self._locations[entry.resource], rows.output.reduction
        image = self._shared.reader.read(location, entry.index, entry.index + 1, 0.0)[0]
        if isinstance(maker, MovingReduction):
            reduction = maker.reduction_at(rows.positions[row])
        else:
            reduction = maker
        sums = reduction.map(Frame(image, entry.index, rows.monitors[row]))
        self.add(rows.output, sums, reduction.recipe)


class _Rows:
    """What the rows of a result file tell of their frames."""

    def __init__(self, output: Output) -> None:
        self.output = output
        self.monitors = output.file.monitors()
        self.positions = output.file.positions()
