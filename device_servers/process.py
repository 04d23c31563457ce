"""Child processes which end with us, and whose last words are kept for the error message."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_GRACE_S = 5.0


class Child:
    """One child process with a log file.

    It has its own session, so that Ctrl-C in a terminal reaches only us and the children are
    stopped in order; and it ends when we are killed, so that no orphan holds the database.
    """

    def __init__(self, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self.arguments = list(arguments)
        self.log = log
        with log.open("ab") as stream:
            self._begin = stream.tell()
            self._process = subprocess.Popen(
                self.arguments,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                start_new_session=True,
                preexec_fn=_end_with_parent  # noqa: PLW1509 - it makes one system call
                if sys.platform == "linux"
                else None,
            )

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def said(self) -> str:
        """What it wrote to its log, all of it."""
        with self.log.open("rb") as stream:
            stream.seek(self._begin)
            return stream.read().decode(errors="replace")

    def stop(self) -> None:
        """Ask it to end, wait, and kill it if it does not."""
        if self.exit_code is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
