"""Compiled loops over the pixels of sixteen frames at once.

Arguments that all kernels share
--------------------------------
block:
    Raw values of the frames, flat.
rows:
    Where each of sixteen frames begins in ``block``; one may stand in for missing ones.
limits, shares:
    See :mod:`ringline.processing.numba_kernels`.
sums:
    To be added to, flat, 64-byte aligned: without shares uint32 or uint64, (bins + 1, 16);
    with shares float64, (bins + 1, planes, width, 16).
counted:
    None; or how many values are not 0, like ``sums``, uint16; with shares anything but None.
total:
    Zeros, to which the sums are added, shape (planes, bins + 1, 16): uint64, and in the second
    plane how many values are not 0; with shares float64, signal and variance.
simple:
    None; anything else if only the first two limits matter.
out:
    The first bin of pixels that have none, and how many values do not count in each frame, to
    be added to, shape (16,).
"""

import numpy as np

from ringline.processing.compiled import jit
from ringline.processing.numba_kernels import SEGMENTS, counts_here, none_out
from ringline.processing.vector_ir import LANES, add_block, block_inside

MOST_PER_BIN = 65_535
"""Values that a bin can take before its uint32 sum or uint16 count may overflow."""

ALL_LANES = np.uint16(2**LANES - 1)


@jit
def add_one(block, first, shares, place, sums, counted):
    """Add one value, exactly as the vectors do; ``place``: its number, its pixel and its lane."""
    number, pixel, lane = place
    value = block[number]
    lanes_ = np.uint64(LANES)
    if shares is None:
        at = np.uint64(first[pixel]) * lanes_ + lane
        sums[at] += sums.dtype.type(value)
        if counted is not None:
            counted[at] += np.uint16(value != 0)
    else:
        width = np.uint64(len(shares[1]))
        x = np.float64(value)
        planes = np.uint64(1 if counted is None else 2)
        at = np.uint64(first[pixel]) * planes * width * lanes_ + lane
        for k in range(width):
            share = np.float64(shares[0][pixel * width + np.uint64(k)])
            here = at + np.uint64(k) * lanes_
            sums[here] += share * x
            if counted is not None:
                sums[here + width * lanes_] += share * share * max(x, 1.0)


@jit
def add_checked(block, rows, first, limits, shares, pixels, sums, counted, out):
    """Add the values that count of the pixels pixels[0] .. pixels[1] - 1; count the others."""
    trash = first.dtype.type(out[0])
    for pixel in range(np.uint64(pixels[0]), np.uint64(pixels[1])):
        if first[pixel] == trash:
            continue
        for lane in range(np.uint64(LANES)):
            number = np.uint64(rows[lane]) + pixel
            if limits is None or counts_here(block[number], limits):
                add_one(block, first, shares, (number, pixel, lane), sums, counted)
            else:
                out[1][lane] += 1


@jit
def is_clean(block, rows, first, limits, simple, pixel, trash):
    """Whether the values of sixteen pixels of all frames count, but for pixels without a bin."""
    lanes = np.uint64(LANES)
    if simple is not None:
        inside = block_inside(block, rows, pixel, limits[0], limits[1])
        if inside != ALL_LANES:
            for k in range(lanes):
                unused = first[pixel + np.uint64(k)] == first.dtype.type(trash)
                inside |= np.uint16(unused) << np.uint16(k)
        return inside == ALL_LANES
    clean = True
    for lane in range(LANES):
        begin = np.uint64(rows[lane]) + pixel
        clean &= none_out(block, first, (begin, pixel), lanes, limits, trash)
    return clean


@jit
def sum_block(block, rows, first, limits, simple, shares, pixels, sums, counted, out):
    """Add the pixels pixels[0] .. pixels[1] - 1 in their order."""
    start, stop = np.uint64(pixels[0]), np.uint64(pixels[1])
    whole = start + (stop - start) // np.uint64(LANES) * np.uint64(LANES)
    for pixel in range(start, whole, np.uint64(LANES)):
        clean = True
        if limits is not None:
            clean = is_clean(block, rows, first, limits, simple, pixel, out[0])
        if clean:
            add_block(block, rows, pixel, first, shares, sums, counted)
        else:
            few = (pixel, pixel + np.uint64(LANES))
            add_checked(block, rows, first, limits, shares, few, sums, counted, out)
    add_checked(block, rows, first, limits, shares, (whole, stop), sums, counted, out)


@jit
def whole_block(block, rows, first, limits, simple, span, sums, counted, total, out):
    """Sums of the pixels span[0] .. span[1] - 1 without splitting.

    ``span[2]``: after how many pixels the sums must be emptied lest they overflow.
    """
    bins = total.shape[1] - 1
    for start in range(span[0], span[1], span[2]):
        pixels = (start, min(start + span[2], span[1]))
        sum_block(block, rows, first, limits, simple, None, pixels, sums, counted, out)
        total[0] += sums.reshape((bins + 1, LANES))
        sums[:] = 0
        if counted is not None:
            total[1] += counted.reshape((bins + 1, LANES))
            counted[:] = 0


@jit
def split_block(block, rows, first, limits, simple, shares, extra, span, sums, counted, total, out):
    """Sums of the pixels span[0] .. span[1] - 1 with splitting, in the order of one frame.

    ``extra``: pixels, bins and shares as in ``sum_extra``, and the scale of the coefficients.
    """
    planes, bins = total.shape[0], total.shape[1] - 1
    width = len(shares[1])
    length = (span[1] - span[0]) // SEGMENTS
    for segment in range(SEGMENTS):
        begin = span[0] + segment * length
        pixels = (begin, span[1] if segment == SEGMENTS - 1 else begin + length)
        sum_block(block, rows, first, limits, simple, shares, pixels, sums, counted, out)
        shaped = sums.reshape((bins + 1, planes, width, LANES))
        add_extra_block(block, rows, limits, extra, pixels, shaped)
        fold_block(shaped, total)
        sums[:] = 0


@jit
def add_extra_block(block, rows, limits, extra, pixels, sums):
    """Add the extra shares of the pixels pixels[0] .. pixels[1] - 1."""
    pixel_of, bin_of, share_of, scale = extra
    for i in range(np.searchsorted(pixel_of, np.uint32(pixels[0])), pixel_of.size):
        pixel = pixel_of[i]
        if pixel >= pixels[1]:
            break
        share = scale * np.float64(share_of[i])
        for lane in range(LANES):
            value = block[np.uint64(rows[lane]) + np.uint64(pixel)]
            if limits is not None and not counts_here(value, limits):
                continue
            x = np.float64(value)
            sums[bin_of[i], 0, 0, lane] += share * x
            if sums.shape[1] > 1:
                sums[bin_of[i], 1, 0, lane] += share * share * max(x, 1.0)


@jit
def fold_block(sums, total):
    """Add sums by first bin to sums by bin."""
    planes, bins = total.shape[0], total.shape[1] - 1
    width = sums.shape[2]
    for plane in range(planes):
        for i in range(bins):
            for lane in range(LANES):
                value = sums[i, plane, 0, lane]
                for k in range(1, min(width, i + 1)):
                    value += sums[i - k, plane, k, lane]
                total[plane, i, lane] += value
