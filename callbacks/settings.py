"""What a reduction callback is told, and what it tells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from ringline.processing import Goniometer, Profile, RecipeError

Document = Mapping[str, object]
Emit = Callable[[str, dict[str, object]], None]


@dataclass(frozen=True, slots=True)
class Accounts:
    """Where every frame went. After a run ``seen == reduced + dropped + failed``."""

    seen: int = 0
    reduced: int = 0
    dropped: int = 0
    """Lost by us: no room to keep an image that came inside an event."""
    failed: int = 0
    """Could not be read or reduced."""
    causes: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """Why frames were dropped or failed, and how many."""

    @property
    def pending(self) -> int:
        """Frames announced and not yet reduced, dropped or failed."""
        return self.seen - self.reduced - self.dropped - self.failed

    def __add__(self, other: Accounts) -> Accounts:
        causes = dict(self.causes)
        for cause, count in other.causes.items():
            causes[cause] = causes.get(cause, 0) + count
        return Accounts(
            self.seen + other.seen,
            self.reduced + other.reduced,
            self.dropped + other.dropped,
            self.failed + other.failed,
            causes,
        )


@dataclass(frozen=True, slots=True)
class Result:
    """The newest curve of a run."""

    profile: Profile
    frame_index: int
    """Index of the frame in its detector's file (or count of images for images inside events)."""
    frame: str
    """Its name, ``path::dataset#frame``, under which anybody reads it; "" inside an event."""
    raw_seq_num: int
    epoch: str
    """Digest of the recipe that made the curve."""
    raw_uid: str
    reduced_uid: str
    data_key: str
    stream: str
    """Stream of the raw run."""
    monitor: float
    """NaN when there is none."""
    timestamp_written: float
    """When the curve was on its way to the store, seconds since the epoch."""
    processing_time: float
    """To read, reduce and store a frame, mean of this frame's block, s."""
    accounts: Accounts
    """Of this derived run, up to and including this frame's block."""
    rejected: int = 0
    """Pixels left out because of what the frame holds there."""
    engine: str = ""
    """What computed it, and why."""
    positions: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """Of the motors of a moving detector, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReductionSettings:
    """How a :class:`ReductionCallback` finds frames and where it writes."""

    results: Path
    """Folder for the HDF5 files with curves."""
    arrays: Path | None = None
    """Folder for arrays given without a path; None: ``arrays`` beside the results."""
    spool: Path | None = None
    """Folder that makes derived runs survive a crash; None: nothing is spooled."""
    detector: str | None = None
    """Data key or device whose images are reduced; None: every image."""
    monitor: str | None = None
    """Data key of the beam monitor, in the events or the files of the same stream."""
    goniometer: Goniometer | None = None
    """What moves the detector: each frame is reduced where the positions of its event put it, which
    the goniometer's data keys name, in the events or the files of the same stream; None: it stands
    where the recipe has it."""
    readable: tuple[Path, ...] | None = None
    """Folders that frames may come from; None: anywhere."""
    engine: str = "auto"
    block: int = 16
    """Most frames which are read, reduced and announced at once."""
    queue: int = 10_000
    """Documents that may wait before ``busy`` is reported."""
    failed_fraction: float | None = None
    """More failed frames than this fraction of a run is an error at ``drain``; None: never."""
    frame_timeout: float = 10.0
    """Longest wait for a frame that is announced and not yet in its file, s."""
    on_result: Callable[[Result], None] | None = None
    """Called on the worker thread with the last curve of each block."""

    def __post_init__(self) -> None:
        if self.block < 1:
            raise RecipeError(f"block must be >= 1 frame, got {self.block}")
        if self.queue < 1:
            raise RecipeError(f"queue must be >= 1 document, got {self.queue}")
        if not self.frame_timeout >= 0:
            raise RecipeError(f"frame_timeout must be >= 0 s, got {self.frame_timeout}")
        if self.failed_fraction is not None and not 0 <= self.failed_fraction <= 1:
            raise RecipeError(f"failed_fraction must be in [0, 1], got {self.failed_fraction}")

    @property
    def stored_arrays(self) -> Path:
        """Folder for arrays given without a path."""
        return self.results / "arrays" if self.arrays is None else self.arrays
