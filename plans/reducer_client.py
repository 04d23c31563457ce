"""Plain calls to an ``AzimuthalReducer``, for threads."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tango

from ringline.plans.tango_client import CALL_TIMEOUT_MS, SEND_TIMEOUT_MS, TangoClient, cause
from ringline.processing import RecipeError


@dataclass(frozen=True, slots=True)
class Readiness:
    """What a plan asks the server before it opens a run."""

    state: str
    status: str
    recipe_digest: str
    readable_folders: tuple[Path, ...]


_READ = (
    *("intensity", "sigma", "frame_index", "pixels_rejected"),
    *("frames_reduced", "frames_failed", "recipe_digest"),
)


class ReducerClient(TangoClient):
    """Plain Tango calls, for threads; each ends within its time limit."""

    def send(self, text: str) -> str:
        """Give documents to the reducer; its reply."""
        with tango.EnsureOmniThread():
            return str(self.proxy(SEND_TIMEOUT_MS).command_inout("Consume", text))

    def pending(self) -> int | None:
        """Frames and documents not yet accounted for; None where it does not answer.

        ``lag``, not ``frames_pending``: a document that was delivered and not yet looked at may
        announce frames.
        """
        try:
            return int(self.proxy(CALL_TIMEOUT_MS).read_attribute("lag").value)
        except tango.DevFailed:
            return None

    def values(self) -> dict[str, Any] | None:
        """The readings; None where it does not answer."""
        return self.read(_READ)

    def readiness(self) -> Readiness:
        """See :class:`Readiness`."""
        try:
            proxy = self.proxy(SEND_TIMEOUT_MS)
            digest, folders = proxy.read_attributes(["recipe_digest", "readable_folders"])
            return Readiness(
                state=str(proxy.state()),
                status=proxy.status(),
                recipe_digest=str(digest.value),
                readable_folders=tuple(Path(folder) for folder in folders.value or ()),
            )
        except tango.DevFailed as error:
            raise RecipeError(
                f"reduction device {self.trl} does not answer: start it with `ringline serve` "
                f"({cause(error)})"
            ) from error

    def load_poni(self, path: Path) -> None:
        """Take the geometry from a PONI file."""
        self.command("LoadPoni", str(path))
