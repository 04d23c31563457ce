"""Records that survive the death of the process at any instant."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from ringline.callbacks.wire import from_json, to_json

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


def file_name(uid: str) -> str:
    """Return a file name for a uid from elsewhere, which may be anything."""
    return uid if _PLAIN.fullmatch(uid) else hashlib.sha256(uid.encode()).hexdigest()


class RecordFile:
    """JSON records, one a line. A line which was cut off by a crash is as if never written.

    Written records are with the operating system: they survive the process, not a power cut.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file: IO[bytes] = path.open("a+b")
        self._drop_torn_line()

    def append(self, *records: Any) -> None:
        """Write records, all at once."""
        self._file.write("".join(to_json(record) + "\n" for record in records).encode())
        self._file.flush()

    def records(self) -> list[Any]:
        """Return all records."""
        with self.path.open("rb") as file:
            return [from_json(line.decode()) for line in file]

    def replace(self, records: Sequence[Any]) -> None:
        """Keep these records and no others."""
        temporary = self.path.with_suffix(".new")
        temporary.write_text("".join(to_json(record) + "\n" for record in records))
        temporary.replace(self.path)
        self._file.close()
        self._file = self.path.open("a+b")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def remove(self) -> None:
        """Close and delete the file."""
        self._file.close()
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()

    def _drop_torn_line(self) -> None:
        self._file.seek(0)
        whole = self._file.read().rfind(b"\n") + 1
        self._file.truncate(whole)
