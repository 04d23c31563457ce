"""Compiled loops over the pixels of one frame.

A thread reads four segments of the frame at once, each into sums of its own: neighbouring
pixels fall into the same bin, and would wait for each other's addition. A bin's sum is always
made segment by segment, so its bits do not depend on the number of threads.

Arguments that all kernels share
--------------------------------
raw, first:
    Values and first bins of a frame's pixels, shape (pixels,).
limits:
    None, or (low, high, hole_low, hole_high), see :func:`counts_here`.
shares:
    None, or the coefficients, flat, and a tuple with one entry for each that a pixel has: its
    length is known at compile time.
signal:
    Sums to be added to, flat. Without shares: (segments, bins + 1), uint64, int64 or float64.
    With shares: (segments, bins + 1, planes, width), float64: for each *first* bin the sums of
    share k x raw, and in the second plane those for the variance. Four segments, or one for all.
variance:
    None; or the sums of max(raw, 1), like ``signal``; with shares anything but None.
zero:
    What a raw value of 0 adds to the signal, without shares.
found:
    Room for pixels that do not count, shape (pixels,), how many there are in each segment, and
    the first bin of pixels that have none.
"""

import numpy as np

from ringline.processing.compiled import inner, jit
from ringline.processing.vector_ir import add_run, add_shares

SEGMENTS = 4
"""Segments that are read at once; the last one has up to three pixels more."""

SHORT_RUN = 4
"""Shares of a pixel up to which sums are kept by first bin and share: neighbours then wait for no
part of a sum. It stands here, where its change makes loops be compiled again."""

CHUNK = 32
"""Pixels of a segment that are checked together, before their addition."""


@jit
def counts_here(value, limits):
    """Whether a raw value counts: low <= value <= high and not in the hole. NaN does not.

    Without branches, so that a loop of it becomes vectors.
    """
    inside = (value >= limits[0]) & (value <= limits[1])
    return inside & ~((value >= limits[2]) & (value <= limits[3]))


@jit
def all_count(raw, start, number, limits):
    """Whether ``number`` values from ``start`` on all count."""
    bad = False
    for i in range(number):
        bad |= not counts_here(raw[start + np.uint64(i)], limits)
    return not bad


@jit
def none_out(raw, first, start, number, limits, trash):
    """Whether all of these values count, but for those of pixels that have no bin.

    ``start``: where to begin, in ``raw`` and in ``first``.
    """
    bad = False
    for i in range(number):
        value = raw[start[0] + np.uint64(i)]
        unused = first[start[1] + np.uint64(i)] == first.dtype.type(trash)
        bad |= not (counts_here(value, limits) | unused)
    return not bad


@jit
def add_pixel(raw, first, shares, pixel, offset, signal, variance, zero):
    """Add a pixel to the sums of the segment whose bins begin at ``offset``."""
    value = raw[pixel]
    at = offset + np.uint64(first[pixel])
    if shares is None:
        kind = signal.dtype.type
        signal[at] += kind(value) if value != 0 else zero
        if variance is not None:
            variance[at] += kind(value) if value >= 1 else kind(1)
    else:
        lanes, x = shares[1], np.float64(value)
        width = np.uint64(len(lanes))
        start = pixel * width
        if len(shares) > 2:
            add_to_bins(signal, at, shares[0], start, lanes, x, variance)
            return
        at *= width
        if variance is None:
            add_shares(signal, at, shares[0], start, lanes, x, None)
        else:
            add_shares(signal, np.uint64(2) * at, shares[0], start, lanes, x, True)


@inner
def add_to_bins(sums, at, coefficients, start, lanes, value, variance):
    """Add a pixel's shares bin by bin, signal and variance of a bin side by side.

    The bins of a cake are too many to be kept by first bin and share.
    """
    planes = np.uint64(1 if variance is None else 2)
    if len(lanes) > SHORT_RUN:
        add_run(sums, at * planes, coefficients, start, lanes, value, variance)
        return
    # One by one: a vector would wait for parts of sums that neighbours have just written.
    for k in range(len(lanes)):
        place, number = (at + np.uint64(k)) * planes, start + np.uint64(k)
        add_run(sums, place, coefficients, number, (0,), value, variance)


@jit
def add_checked(raw, first, limits, shares, place, stride, signal, variance, zero, found):
    """Add a pixel, or write it down if it has a bin and its value does not count.

    ``place``: pixel, its segment and where that begins.
    """
    pixel, segment, begin = place
    if limits is None or counts_here(raw[pixel], limits):
        add_pixel(raw, first, shares, pixel, segment * stride, signal, variance, zero)
    elif first[pixel] != first.dtype.type(found[2]):
        found[0][begin + np.uint64(found[1][segment])] = pixel
        found[1][segment] += 1


@jit
def sum_span(raw, first, limits, shares, span, signal, variance, zero, found):
    """Sums over the pixels span[0] .. span[1] - 1, in four segments.

    ``span[2]``: how far the sums of segments lie apart; 0 if they are the same.
    """
    start, stop, stride = np.uint64(span[0]), np.uint64(span[1]), np.uint64(span[2])
    length = (stop - start) // np.uint64(SEGMENTS)
    for chunk in range(np.uint64(0), length, np.uint64(CHUNK)):
        number = min(np.uint64(CHUNK), length - chunk)
        clean = True
        if limits is not None:
            for segment in range(SEGMENTS):
                begin = start + np.uint64(segment) * length + chunk
                # Pixels without a bin may hold anything; most chunks have none of them.
                if not all_count(raw, begin, number, limits):
                    place = (begin, begin)
                    clean &= none_out(raw, first, place, number, limits, found[2])
        for i in range(number):
            for segment in range(SEGMENTS):
                way = np.uint64(segment)
                begin = start + way * length
                pixel = begin + chunk + np.uint64(i)
                if clean:
                    add_pixel(raw, first, shares, pixel, way * stride, signal, variance, zero)
                else:
                    place = (pixel, way, begin)
                    add_checked(
                        raw, first, limits, shares, place, stride, signal, variance, zero, found
                    )
    way = np.uint64(SEGMENTS - 1)
    for pixel in range(start + np.uint64(SEGMENTS) * length, stop):
        place = (pixel, way, start + way * length)
        add_checked(raw, first, limits, shares, place, stride, signal, variance, zero, found)


@jit
def sum_extra(raw, limits, extra, scale, pixels, sums):
    """Add the extra shares of the pixels pixels[0] .. pixels[1] - 1.

    Parameters
    ----------
    extra:
        Pixels (ascending), bins and shares, shape (extra,).
    scale:
        A share of 1 in units of the coefficients.
    sums:
        To be added to, shape (bins + 1, planes, width).
    """
    begin = np.searchsorted(extra[0], np.uint32(pixels[0]))
    for i in range(begin, extra[0].size):
        pixel = extra[0][i]
        if pixel >= pixels[1]:
            break
        value = raw[pixel]
        if limits is not None and not counts_here(value, limits):
            continue
        share, x = scale * np.float64(extra[2][i]), np.float64(value)
        sums[extra[1][i], 0, 0] += share * x
        if sums.shape[1] > 1:
            sums[extra[1][i], 1, 0] += share * share * max(x, 1.0)


@jit
def find_exceptions(raw, first, limits, span, numbers):
    """Fill ``numbers`` with the pixels span[0] .. span[1] - 1 that have a bin and do not count."""
    count = 0
    trash = span[2]
    for chunk in range(np.uint64(span[0]), np.uint64(span[1]), np.uint64(CHUNK)):
        number = min(np.uint64(CHUNK), np.uint64(span[1]) - chunk)
        if all_count(raw, chunk, number, limits):
            continue
        for pixel in range(chunk, chunk + number):
            if first[pixel] != first.dtype.type(trash) and not counts_here(raw[pixel], limits):
                numbers[count] = pixel
                count += 1


@jit
def fold(sums, total):
    """Add sums by first bin, (bins + 1, planes, width), to sums by bin, (planes, bins + 1)."""
    planes, bins = total.shape[0], total.shape[1] - 1
    width = sums.shape[2]
    for plane in range(planes):
        for i in range(bins):
            value = sums[i, plane, 0]
            for k in range(1, min(width, i + 1)):
                value += sums[i - k, plane, k]
            total[plane, i] += value


@jit
def whole_group(raw, first, limits, span, total, zero, poisson, found):
    """Sums of a group of four segments without splitting.

    Parameters
    ----------
    span:
        First pixel, one past the last; bins + 1, or 0 for the same sums for all four segments.
    total:
        Written to, shape (2, bins + 1), or (1, bins + 1) if ``poisson`` is None.
    """
    total[:] = 0
    ways = SEGMENTS if span[2] else 1
    bins = total.shape[1] - 1
    sums = total.reshape((total.shape[0], 1, bins + 1))
    if ways > 1:
        sums = np.zeros((total.shape[0], ways, bins + 1), total.dtype)
    signal = sums[0].reshape(-1)
    if poisson is None:
        sum_span(raw, first, limits, None, span, signal, None, zero, found)
    else:
        variance = sums[1].reshape(-1)
        sum_span(raw, first, limits, None, span, signal, variance, zero, found)
    if ways > 1:
        for way in range(ways):
            total += sums[:, way]


@jit
def split_group(raw, first, limits, shares, extra, scale, span, total, poisson, found):
    """Sums of a group of four segments with splitting; arguments as above.

    The four segments have sums of their own, by first bin and share.
    """
    total[:] = 0.0
    planes, bins, width = total.shape[0], total.shape[1] - 1, len(shares[1])
    flat = np.zeros(SEGMENTS * (bins + 1) * planes * width)
    if poisson is None:
        sum_span(raw, first, limits, shares, span, flat, None, 0.0, found)
    else:  # anything but None
        sum_span(raw, first, limits, shares, span, flat, flat, 0.0, found)
    sums = flat.reshape((SEGMENTS, bins + 1, planes, width))
    length = (span[1] - span[0]) // SEGMENTS
    for segment in range(SEGMENTS):
        begin = span[0] + segment * length
        end = span[1] if segment == SEGMENTS - 1 else begin + length
        sum_extra(raw, limits, extra, scale, (begin, end), sums[segment])
    for segment in range(SEGMENTS):
        fold(sums[segment], total)


@jit
def split_group_by_bin(raw, first, limits, shares, extra, scale, span, sums, poisson, found):
    """The same for many bins: all segments have the same sums, by bin.

    ``sums``: written to, shape (bins + 1 + width, planes).
    """
    sums[:] = 0.0
    flat = sums.reshape(-1)
    by_bin = (shares[0], shares[1], True)
    if poisson is None:
        sum_span(raw, first, limits, by_bin, span, flat, None, 0.0, found)
    else:  # anything but None
        sum_span(raw, first, limits, by_bin, span, flat, flat, 0.0, found)
    by_plane = sums.reshape((sums.shape[0], sums.shape[1], 1))
    sum_extra(raw, limits, extra, scale, (span[0], span[1]), by_plane)


@jit
def join_groups(groups, scale, span, signal, variance):
    """Add the groups' sums of the bins span[0] .. span[1] - 1, over a scale.

    Parameters
    ----------
    groups:
        Shape (groups, 2, bins + ...), or (groups, 1, bins + ...) where ``variance`` is None.
    signal, variance:
        Written to, shape (bins,); the variance may be None.
    """
    for i in range(span[0], span[1]):
        value = groups[0, 0, i]
        for group in range(1, groups.shape[0]):
            value += groups[group, 0, i]
        signal[i] = value / scale
    if variance is not None:
        for i in range(span[0], span[1]):
            value = groups[0, 1, i]
            for group in range(1, groups.shape[0]):
                value += groups[group, 1, i]
            variance[i] = value / (scale * scale)


@jit
def join_counted(groups, shift, span, signal, variance):
    """Likewise, of sums that count the zeros in their bits from ``shift`` on.

    ``groups``: uint64, shape (groups, 1, bins + 1).
    """
    low = (np.uint64(1) << np.uint64(shift)) - np.uint64(1)
    for i in range(span[0], span[1]):
        value = groups[0, 0, i]
        for group in range(1, groups.shape[0]):
            value += groups[group, 0, i]
        counts = value & low
        signal[i] = counts
        variance[i] = counts + (value >> np.uint64(shift))
