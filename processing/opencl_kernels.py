"""Sums over the pixels of frames on an OpenCL device. Loads pyopencl."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyopencl as cl
from numpy.typing import NDArray

from ringline.processing.bin_table import BinSums, Limits
from ringline.processing.numba_kernels import find_exceptions
from ringline.processing.opencl_probe import GROUP, OpenclDevice
from ringline.processing.table import Table
from ringline.processing.tile_layout import TileLayout, tile_layout
from ringline.processing.types import FloatArray, ImageArray

MOST_BYTES = 2**28
"""Of frames, and of their unfinished sums, on the device for one call at a time."""
NAMES = {"u1": "uchar", "u2": "ushort", "u4": "uint", "i2": "short", "i4": "int",
         "f4": "float", "f8": "double"}  # fmt: skip
_READ = cl.mem_flags.READ_ONLY


@dataclass(frozen=True, slots=True)
class Job:
    """What is asked of the kernels; sizes and types that follow."""

    dtype: np.dtype[Any]
    frames: int
    limits: Limits
    split: bool
    poisson: bool

    @property
    def lanes(self) -> int:
        """Frames that a group sums at once: eight bytes of each pixel."""
        return 8 // self.dtype.itemsize

    @property
    def vectors(self) -> int:
        """Groups of as many frames."""
        return -(-self.frames // self.lanes)

    @property
    def planes(self) -> int:
        """Signal, and variance where asked for."""
        return 2 if self.poisson else 1

    @property
    def types(self) -> tuple[str, np.dtype[Any], np.dtype[Any]]:
        """Of pixels; of strands' sums and of bins' sums, none of which can overflow."""
        kind = self.dtype.kind
        name = NAMES[f"{kind}{self.dtype.itemsize}"]
        if self.split or kind == "f":
            return name, np.dtype(np.float64), np.dtype(np.float64)
        wide = np.dtype(f"{kind}8")
        return name, wide if self.dtype.itemsize == 4 else np.dtype(f"{kind}4"), wide

    @property
    def options(self) -> tuple[str, ...]:
        """With what the kernels are built."""
        pixel, strand, total = self.types
        names = {"u4": "uint", "i4": "int", "u8": "ulong", "i8": "long", "f8": "double"}
        strand_name = names[f"{strand.kind}{strand.itemsize}"]
        lanes = "" if self.lanes == 1 else str(self.lanes)
        flags = {
            "SPLIT": self.split,
            "POISSON": self.poisson,
            "LIMITED": self.limits.of_dtype(self.dtype) is not None,
        }
        return (
            f"-DGROUP={GROUP}", f"-DLANES={self.lanes}", f"-DPIXEL={pixel}",
            f"-DPIXELS={pixel}{lanes}", f"-DSUM={strand_name}", f"-DSUMS={strand_name}{lanes}",
            f"-DTOTAL={names[f'{total.kind}{total.itemsize}']}",
            *(f"-D{name}" for name, given in flags.items() if given),
        )  # fmt: skip


class Workspace:
    """A queue and buffers that grow, for one thread at a time."""

    def __init__(self, device: OpenclDevice) -> None:
        self.device = device
        self.queue = cl.CommandQueue(device.context)
        self._buffers: dict[str, cl.Buffer] = {}

    def room(self, name: str, size: int) -> cl.Buffer:
        """A buffer of at least ``size`` bytes; holds anything."""
        kept = self._buffers.get(name)
        if kept is None or kept.size < size:
            self._buffers.pop(name, None)
            kept = cl.Buffer(self.device.context, cl.mem_flags.READ_WRITE, max(size, 8))
            self._buffers[name] = kept
        return kept

    def upload(self, name: str, values: NDArray[Any]) -> cl.Buffer:
        """A buffer with these values: the array itself, where the device can read it."""
        if self.device.shares_memory:
            flags = _READ | cl.mem_flags.USE_HOST_PTR
            return cl.Buffer(self.device.context, flags, hostbuf=values)
        buffer = self.room(name, values.nbytes)
        cl.enqueue_copy(self.queue, buffer, values, is_blocking=False)
        return buffer


class OpenclKernels:
    """Sums over the pixels of frames for a table that lies on the device. Thread-safe."""

    def __init__(self, table: Table, device: OpenclDevice) -> None:
        self._table = table
        self._device = device
        self._layout: TileLayout = tile_layout(table)
        self._free: list[Workspace] = []  # append and pop are atomic
        layout = self._layout
        share = np.zeros(1, np.float32) if layout.share is None else layout.share
        self._entries = [self._kept(layout.pixel), self._kept(share), np.float64(layout.unit)]
        self._entries += [self._kept(layout.batch), self._kept(layout.entry)]
        self._entries += [self._kept(layout.slot), self._kept(layout.plain)]
        self._start = self._kept(layout.start)
        self._in_use = self._kept(table.in_use.astype(np.uint8))
        self._sizes = [np.uint32(size) for size in (*table.shape, layout.tiles_across)]
        self._tile = (f"-DROWS={layout.rows}", f"-DCOLUMNS={layout.columns}")

    def block(self, raws: ImageArray, limits: Limits, *, variance: bool) -> list[BinSums]:
        """Sums of share x raw of frames (frames, pixels), and share squared x max(raw, 1)."""
        split = self._layout.share is not None
        found: list[BinSums] = []
        step = self._at_once(Job(raws.dtype, 1, limits, split, variance))
        with self._workspace() as workspace:
            for first in range(0, len(raws), step):
                part = raws[first : first + step]
                job = Job(raws.dtype, len(part), limits, split, variance)
                self.enqueue(workspace, workspace.upload("raws", part), job)
                found += self._fetched(workspace, part, job)
        return found

    def enqueue(self, workspace: Workspace, raws: cl.Buffer, job: Job) -> None:
        """Sum frames that are on the device; the sums stay there, in ``totals``."""
        _, strand, total = job.types
        layout, bins = self._layout, np.uint32(self._table.bins)
        program, queue = self._device.program((*job.options, *self._tile)), workspace.queue
        bounds = job.limits.of_dtype(job.dtype) or (job.dtype.type(0),) * 4
        rejected = workspace.room("rejected", 4 * job.frames)
        cl.enqueue_fill_buffer(queue, rejected, np.uint32(0), 0, 4 * job.frames)
        rejects = workspace.room("rejects", 4 * job.frames * self._most_rejects)
        vectors = job.planes * job.vectors
        sums = workspace.room("sums", vectors * layout.slots * job.lanes * strand.itemsize)
        totals = workspace.room("totals", job.planes * job.frames * int(bins) * total.itemsize)
        cl.Kernel(program, "sum_strands")(
            queue, (job.vectors * GROUP, layout.tiles), (GROUP, 1),
            raws, np.uint32(job.frames), *self._sizes, *self._entries, np.uint32(layout.slots),
            self._in_use, *bounds, rejected, rejects, np.uint32(self._most_rejects), sums,
        )  # fmt: skip
        items = self._items
        groups = -(-int(bins) * items // GROUP)
        cl.Kernel(program, "sum_bins")(
            queue, (groups * GROUP, job.vectors, job.planes), (GROUP, 1, 1),
            sums, self._start, np.uint32(layout.slots), np.uint32(items), bins,
            np.uint32(job.frames), totals,
        )  # fmt: skip

    def scatter(
        self, raw: ImageArray, exceptions: NDArray[np.uint32], mean: FloatArray
    ) -> FloatArray:
        """Sums of (share x (raw - dark - norm x mean of the bin)) squared, shape (bins,)."""
        layout, bins = self._layout, self._table.bins
        lost = np.zeros(raw.size, np.uint8)
        lost[exceptions] = 1
        job = Job(np.dtype(np.float64), 1, Limits(), layout.share is not None, poisson=False)
        pixel = NAMES[f"{raw.dtype.kind}{raw.dtype.itemsize}"]
        options = [text for text in job.options if not text.startswith("-DPIXEL")]
        options += [f"-DPIXEL={pixel}", f"-DPIXELS={pixel}", "-DSCATTER"]
        program = self._device.program((*options, *self._tile))
        spread = np.empty(bins)
        with self._workspace() as workspace:
            sums = workspace.room("sums", 8 * layout.slots)
            totals = workspace.room("totals", 8 * bins)
            cl.Kernel(program, "scatter_strands")(
                workspace.queue, (GROUP, layout.tiles), (GROUP, 1),
                workspace.upload("raws", raw), *self._sizes, *self._entries, *self._terms,
                workspace.upload("lost", lost), workspace.upload("mean", mean), sums,
            )  # fmt: skip
            groups = -(-bins * self._items // GROUP)
            cl.Kernel(program, "sum_bins")(
                workspace.queue, (groups * GROUP, 1, 1), (GROUP, 1, 1),
                sums, self._start, np.uint32(layout.slots), np.uint32(self._items),
                np.uint32(bins), np.uint32(1), totals,
            )  # fmt: skip
            cl.enqueue_copy(workspace.queue, spread, totals)
        return spread

    @property
    def _most_rejects(self) -> int:
        """Of a frame that are listed on the device; where there are more, the host looks."""
        return max(1024, self._table.norm.size // 64)

    @property
    def _items(self) -> int:
        """Work-items that add up a bin's strands: each about four of them. A power of two."""
        each = self._layout.slots // (4 * self._table.bins)
        return int(min(GROUP, 1 << max(each.bit_length() - 1, 0)))

    @cached_property
    def _terms(self) -> list[cl.Buffer]:
        """Bins of strands; norm and dark of pixels."""
        table = self._table
        dark = np.zeros(table.norm.size) if table.dark is None else table.dark
        return [self._kept(self._layout.bin), self._kept(table.norm.ravel()), self._kept(dark)]

    def _at_once(self, job: Job) -> int:
        """How many frames of a block are summed together."""
        most = min(MOST_BYTES, self._device.most_bytes)
        bytes_of_sums = self._layout.slots * job.planes * job.types[1].itemsize
        most_of = max(self._table.norm.size * job.dtype.itemsize, bytes_of_sums, 1)
        return max(most // most_of // job.lanes, 1) * job.lanes

    def _kept(self, values: NDArray[Any]) -> cl.Buffer:
        values = values if values.size else np.zeros(1, values.dtype)
        return cl.Buffer(self._device.context, _READ | cl.mem_flags.COPY_HOST_PTR, hostbuf=values)

    @contextmanager
    def _workspace(self) -> Iterator[Workspace]:
        self._device.require_process()
        try:
            workspace = self._free.pop()
        except IndexError:
            workspace = Workspace(self._device)
        yield workspace
        # One that failed is not used again.
        self._free.append(workspace)

    def _fetched(self, workspace: Workspace, raws: ImageArray, job: Job) -> list[BinSums]:
        queue, bins = workspace.queue, self._table.bins
        totals = np.empty((job.planes, job.frames, bins), job.types[2])
        rejected = np.zeros(job.frames, np.uint32)
        cl.enqueue_copy(queue, totals, workspace.room("totals", totals.nbytes), is_blocking=False)
        cl.enqueue_copy(queue, rejected, workspace.room("rejected", rejected.nbytes))
        sums = totals.astype(np.float64, copy=False)
        return [
            BinSums(
                sums[0, k],
                sums[1, k] if job.poisson else None,
                self._exceptions(workspace, raws[k], (k, count), job),
            )
            for k, count in enumerate(rejected.tolist())
        ]

    def _exceptions(
        self, workspace: Workspace, raw: ImageArray, frame: tuple[int, int], job: Job
    ) -> NDArray[np.uint32]:
        """The pixels of frame number ``frame[0]`` that do not count, of which there are [1]."""
        number, count = frame
        pixels = np.empty(count, np.uint32)
        if not count:
            return pixels
        most = self._most_rejects
        if count > most:
            table, bounds = self._table.shares, job.limits.of_dtype(job.dtype)
            find_exceptions(raw, table.first, bounds, (0, raw.size, table.bins), pixels)
            return pixels
        rejects = workspace.room("rejects", 4 * job.frames * most)
        cl.enqueue_copy(workspace.queue, pixels, rejects, src_offset=4 * number * most)
        pixels.sort()
        return pixels
