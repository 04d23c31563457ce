"""One frame named by a text: ``path[::dataset][#frame]``."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ringline.callbacks.uris import path_within
from ringline.device_servers.errors import BadInputError
from ringline.processing import FrameError, open_frames
from ringline.processing.types import ImageArray

_NAME = re.compile(r"(?P<path>.+?)(::(?P<dataset>.+?))?(#(?P<frame>\d+))?")


@dataclass(frozen=True, slots=True)
class ImageName:
    """A frame in a file."""

    path: Path
    dataset: str | None = None
    frame: int = 0

    def __str__(self) -> str:
        dataset = "" if self.dataset is None else f"::{self.dataset}"
        return f"{self.path}{dataset}#{self.frame}"

    @classmethod
    def parse(cls, text: str, folders: Sequence[Path]) -> "ImageName":
        """A frame in one of the folders; BadInputError for any other."""
        found = _NAME.fullmatch(text.strip())
        if found is None:
            raise BadInputError(f"give path[::dataset][#frame], got {text!r}")
        path = Path(found["path"])
        if not path.is_absolute():
            raise BadInputError(f"the path must be absolute, got {found['path']!r}")
        inside = path_within(path, folders)
        if inside is None:
            known = ", ".join(str(folder) for folder in folders)
            raise BadInputError(f"{path} is outside the readable folders {known}")
        return cls(inside, found["dataset"], int(found["frame"] or 0))


def read_image_named(name: ImageName) -> ImageArray:
    """The frame; FrameError where there is none."""
    with open_frames(name.path, name.dataset) as frames:
        count = frames.frame_count()
        if name.frame >= count:
            raise FrameError(f"{name.path}: has {count} frames, there is no frame {name.frame}")
        block = frames.read(name.frame, name.frame + 1)
    return np.asarray(block[0])
