"""`ringline serve` as a child process, for as long as it is needed."""

import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Self

from ringline.callbacks import Workspace
from ringline.processing import RecipeError

START_LIMIT = 60.0
STOP_LIMIT = 20.0
_POLL = 0.02
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Served:
    """Where the services are."""

    tango_host: str
    device: str
    """The reducer."""
    trl: str
    calibrator_trl: str


class ServedSystem:
    """Context manager: Tango database, device server and store of a workspace, in a child.

    The child has a session of its own, so that Ctrl-C reaches only this process and everything is
    stopped in order; and it ends when this process is killed.

    Parameters
    ----------
    workspace:
        Its folder.
    options:
        More options of ``ringline serve``.
    """

    def __init__(self, workspace: Workspace, options: Sequence[str] = ()) -> None:
        self._workspace, self._options = workspace, options
        self._process: subprocess.Popen[bytes] | None = None
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  # closed in __exit__

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "ringline.processing.command_line", "serve"]
        command += ["--directory", str(self._workspace.directory), *self._options]
        # Embedded, also where the environment names a facility's database.
        environment = {name: value for name, value in os.environ.items() if name != "TANGO_HOST"}
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=self._said,
            env=environment,
            start_new_session=True,
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509  # one call of C
        )
        return self

    def wait_until_ready(self) -> Served:
        """Where the services are, once they answer.

        Raises
        ------
        RecipeError:
            They do not start; the message is theirs.
        """
        process = self._process
        assert process is not None
        deadline = time.monotonic() + START_LIMIT
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise RecipeError(f"the services did not start: {self._last_words()}")
            info = self._info()
            # Another process's file is one that a killed server left.
            if info.get("pid") == process.pid:
                names = ("tango_host", "device", "trl", "calibrator_trl")
                return Served(*(str(info[name]) for name in names))
            time.sleep(_POLL)
        raise RecipeError(f"the services were not ready in {START_LIMIT:g} s: {self._last_words()}")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_LIMIT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._said.close()

    def _info(self) -> dict[str, object]:
        try:
            info: dict[str, object] = json.loads(self._workspace.info.read_text())
        except (OSError, ValueError):
            return {}
        return info

    def _last_words(self) -> str:
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        return lines[-1].removeprefix("ringline serve: ") if lines else "it said nothing"


class Ended(BaseException):
    """A signal asked this process to end. No Exception: libraries swallow those."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(f"ended by {signal.Signals(number).name}")


@contextmanager
def ending_on_signals() -> Iterator[Callable[[], None]]:
    """Turn the first SIGINT or SIGTERM into :class:`Ended`; later ones do not disturb the end.

    Yields
    ------
    :
        A function that raises it again: for the case that a finalizer swallowed it.
    """
    numbers = (signal.SIGINT, signal.SIGTERM)
    asked: list[int] = []

    def end(number: int, _frame: FrameType | None) -> None:
        asked.append(number)
        for other in numbers:
            signal.signal(other, signal.SIG_IGN)
        raise Ended(number)

    def check() -> None:
        if asked:
            raise Ended(asked[0])

    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield check
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
