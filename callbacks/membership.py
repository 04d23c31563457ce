"""Which run a document belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Membership:
    """Remembers the links between documents of the runs that are open."""

    def __init__(self) -> None:
        self._run_of: dict[str, str] = {}
        self._latest: str | None = None

    def run_of(self, name: str, document: Mapping[str, Any]) -> str | None:
        """Return the uid of the document's run, or None when no known run fits."""
        if name == "start":
            self._latest = str(document["uid"])
            return self._latest
        if name == "stop":
            return str(document["run_start"])
        run = self._lookup(name, document)
        if run is not None and name in ("descriptor", "resource", "stream_resource"):
            self._run_of[document["uid"]] = run
        return run

    def _lookup(self, name: str, document: Mapping[str, Any]) -> str | None:
        match name:
            case "descriptor":
                return str(document["run_start"])
            case "resource" | "stream_resource":
                # Resources of older detectors do not name their run.
                return str(document["run_start"]) if document.get("run_start") else self._latest
            case "event" | "event_page" | "stream_datum":
                return self._run_of.get(document["descriptor"])
            case "datum" | "datum_page":
                return self._run_of.get(document["resource"])
        return None

    def forget(self, run: str) -> None:
        """Drop what is known of a run that has ended."""
        self._run_of = {key: value for key, value in self._run_of.items() if value != run}
        if self._latest == run:
            self._latest = None
