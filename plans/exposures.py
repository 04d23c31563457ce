"""Frames ready to be written: compressed chunks with their monitor reading.

Drawing and compressing a Poisson frame costs about 15 ms for 512 x 512 pixels, too much for
500 Hz on one core. So a pool of frames is drawn and compressed when the detector is prepared,
every one an exact Poisson draw with its own monitor reading, and an exposure picks one of them:
noise repeats after ``POOL_PIXELS`` drawn pixels, rates are limited by the disk alone.
"""

import os
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Protocol

import h5py
import hdf5plugin
import numpy as np
from numpy.typing import NDArray

from ringline.plans.scene import NOMINAL_MONITOR, MeanImages, Scene
from ringline.processing import FrameError, open_frames

POOL_PIXELS = 2**24
"""Pixels drawn for a pool: 64 frames of 512 x 512."""
SMALLEST_POOL, LARGEST_POOL = 6, 64
GOLDEN = 0.6180339887498949
SPREAD = 3.0
"""Neighbours in the pool among which the frames of one moment are spread."""


@dataclass(frozen=True, slots=True)
class Exposure:
    """One frame as it goes to the file."""

    chunk: bytes
    """The image, bitshuffle-LZ4 compressed."""
    monitor: float
    """Counts of the beam monitor."""


class Exposures(Protocol):
    """Where frames come from. ``prepare`` may take seconds, an exposure takes microseconds."""

    @property
    def shape(self) -> tuple[int, int]:
        """(slow, fast)."""

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Of a pixel."""

    def prepare(self) -> None:
        """Do the slow part."""

    def expose(self, index: int) -> Exposure:
        """Frame ``index`` of a file."""


def compression() -> hdf5plugin.Bitshuffle:
    """The filter of all frame files: bitshuffle with LZ4, as Eiger detectors write."""
    return hdf5plugin.Bitshuffle(cname="lz4")


def compressed(image: NDArray[np.generic]) -> bytes:
    """``image`` as one compressed HDF5 chunk."""
    # HDF5 refuses two open files of one name, also where neither is on disk.
    name = uuid.uuid4().hex
    with h5py.File(name, "w", driver="core", backing_store=False) as file:
        dataset = file.create_dataset(
            "image", data=image[None], chunks=(1, *image.shape), compression=compression()
        )
        file.flush()
        _, chunk = dataset.id.read_direct_chunk((0, 0, 0))
    return bytes(chunk)


class SimulatedExposures:
    """Poisson frames of a scene, from a pool, in an order that never shows one twice in a row.

    Parameters
    ----------
    scene:
        What is in front of the detector.
    evolution:
        Frames in which the second powder goes from its first to its last fraction.
    dtype:
        Of the written frames, unsigned; gap pixels hold its largest value.
    """

    def __init__(
        self, scene: Scene, *, evolution: int = 100, dtype: np.typing.DTypeLike = np.uint16
    ) -> None:
        self.scene = scene
        self.evolution = max(1, evolution)
        self._dtype = np.dtype(dtype)
        slow, fast = scene.geometry.detector.known_shape
        frames = int(np.clip(POOL_PIXELS // (slow * fast), SMALLEST_POOL, LARGEST_POOL))
        self._pool_size = frames - frames % 2

    @property
    def shape(self) -> tuple[int, int]:
        """(slow, fast)."""
        return self.scene.geometry.detector.known_shape

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Of a pixel."""
        return self._dtype

    @cached_property
    def mean_images(self) -> MeanImages:
        """The noiseless images and the true faults."""
        return MeanImages(self.scene)

    @cached_property
    def pool(self) -> list[Exposure]:
        """All distinct frames, along the evolution of the sample."""
        _ = self.mean_images
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            return list(threads.map(self._draw, range(self._pool_size)))

    def prepare(self) -> None:
        """Draw the pool."""
        _ = self.pool

    def expose(self, index: int) -> Exposure:
        """Frame ``index``.

        A frame comes from near its place in the evolution, spread by the golden ratio over a few
        neighbours; even and odd frames come from different ones, so that noise does not repeat
        from one frame to the next.
        """
        size = len(self.pool)
        first, last = self.scene.fractions
        spread = index * GOLDEN % 1.0
        along = min(index / self.evolution, 1.0)
        width = size if first == last else SPREAD
        place = min(int(along * (size - width) + width * spread), size - 1)
        return self.pool[place - place % 2 + index % 2]

    def _draw(self, place: int) -> Exposure:
        random = np.random.Generator(np.random.SFC64([self.scene.seed, 2, place]))
        first, last = self.scene.fractions
        along = place / max(1, self._pool_size - 1)
        flux = 1.0 + 0.03 * np.sin(7.0 * place) + 0.01 * random.standard_normal()
        monitor = random.poisson(NOMINAL_MONITOR * flux)
        mean = self.mean_images.at(first + along * (last - first)) * np.float32(flux)
        top = np.iinfo(self._dtype).max
        image = np.minimum(random.poisson(mean), top - 1).astype(self._dtype)
        image[self.mean_images.faults.gaps] = top
        return Exposure(compressed(image), float(monitor))


class PlaybackExposures:
    """Frames of image files, bit for bit, one after the other and then again from the first."""

    def __init__(self, images: Sequence[Path]) -> None:
        if not images:
            raise FrameError("nothing to play back: no image files were given")
        self._places: list[tuple[Path, int]] = []
        kinds: dict[tuple[tuple[int, int], np.dtype[np.generic]], Path] = {}
        for path in images:
            with open_frames(path) as source:
                count = source.frame_count()
                if count == 0:
                    raise FrameError(f"{path}: holds no frame")
                first = source.read(0, 1)
            kinds.setdefault(((first.shape[1], first.shape[2]), first.dtype), path)
            self._places += [(path, number) for number in range(count)]
        if len(kinds) > 1:
            found = " and ".join(
                f"{path}: {shape} {dtype}" for (shape, dtype), path in kinds.items()
            )
            raise FrameError(f"images to play back must have one shape and type, got {found}")
        ((self._shape, self._dtype),) = kinds
        self._chunk = lru_cache(maxsize=8)(self._read)

    @property
    def shape(self) -> tuple[int, int]:
        """(slow, fast)."""
        return self._shape

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Of a pixel, as in the files."""
        return self._dtype

    def prepare(self) -> None:
        """Read the first image."""
        self.expose(0)

    def expose(self, index: int) -> Exposure:
        """Image ``index``, counted round."""
        return Exposure(self._chunk(index % len(self._places)), NOMINAL_MONITOR)

    def _read(self, place: int) -> bytes:
        path, number = self._places[place]
        with open_frames(path) as source:
            return compressed(source.read(number, number + 1)[0])


class UnreadableExposures:
    """Exposures of which some are damaged on their way to the file: for fault drills."""

    def __init__(self, exposures: Exposures, damaged: Callable[[int], bool]) -> None:
        self._exposures, self._damaged = exposures, damaged

    @property
    def shape(self) -> tuple[int, int]:
        """(slow, fast)."""
        return self._exposures.shape

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Of a pixel."""
        return self._exposures.dtype

    def prepare(self) -> None:
        """As the exposures do."""
        self._exposures.prepare()

    def expose(self, index: int) -> Exposure:
        """Frame ``index``, with a chunk that no filter can decode if it is a damaged one."""
        exposure = self._exposures.expose(index)
        if not self._damaged(index):
            return exposure
        return replace(exposure, chunk=b"\xff" * len(exposure.chunk))
