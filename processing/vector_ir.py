"""Vector instructions that numba does not make of loops by itself, written as LLVM IR.

LLVM fits the vectors to the CPU at hand; numba's cache on disk is kept per CPU.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

_DOUBLE = ir.DoubleType()
_I32 = ir.IntType(32)
_AHEAD = 512
"""Pixels from those at work to those that are fetched."""

LANES = 16
"""Frames that are summed at once; also pixels that are turned round at once."""


@intrinsic
def add_shares(_typing, sums, at, coefficients, start, lanes, value, squared):
    """``sums[at + k] += c[k] * value`` for all k at once, c the pixel's ``len(lanes)`` shares.

    Also ``sums[at + width + k] += c[k] ** 2 * max(value, 1)``, unless ``squared`` is None, in the
    same vector. The arrays are flat, the indices unsigned and not checked.
    """
    width, planes = len(lanes), 1 if isinstance(squared, types.NoneType) else 2

    def generate(context, builder, signature, arguments):
        # Three in a vector are slow as one.
        parts = [(0, 2), (2, 1)] if width == 3 and planes == 1 else [(0, width)]
        for first, count in parts:
            twice = [(k, plane) for plane in range(planes) for k in range(count)]
            _add_products(context, builder, (signature.args, arguments), (first, count), twice)
        return context.get_dummy_value()

    return types.none(sums, at, coefficients, start, lanes, value, squared), generate


@intrinsic
def add_run(_typing, sums, at, coefficients, start, lanes, value, squared):
    """The same, with the two sums of a share side by side, ``sums[at + 2 k]`` and the next."""
    width, planes = len(lanes), 1 if isinstance(squared, types.NoneType) else 2

    def generate(context, builder, signature, arguments):
        pairs = [(k, plane) for k in range(width) for plane in range(planes)]
        _add_products(context, builder, (signature.args, arguments), (0, width), pairs)
        return context.get_dummy_value()

    return types.none(sums, at, coefficients, start, lanes, value, squared), generate


def _add_products(context, builder, call, part, lanes):
    """Add a vector of products, for each lane that of a share, (its number, 0 or 1 if squared)."""
    (sums, _, coefficients, *_), (h, index, table, offset, _, x, _) = call
    count, dtype = part[1], coefficients.dtype
    source = _vector_at(context, builder, (coefficients, table), (offset, part[0]), count)
    shares = builder.load(source, align=dtype.bitwidth // 8)
    doubles = ir.VectorType(_DOUBLE, len(lanes))
    order = ir.Constant(ir.VectorType(_I32, len(lanes)), [k for k, _ in lanes])
    share = _as_doubles(builder, builder.shuffle_vector(shares, shares, order), dtype, doubles)
    number = broadcast(builder, x, len(lanes))
    squared = [plane for _, plane in lanes]
    if any(squared):
        # s x and s s max(x, 1), as s (1 or s) and max(x, no limit or 1)
        least = ir.Constant(doubles, [1.0 if also else -np.inf for also in squared])
        number = builder.select(builder.fcmp_ordered(">", number, least), number, least)
        ones = ir.Constant(doubles, [1.0] * len(lanes))
        mixed = [lane + len(lanes) * also for lane, also in enumerate(squared)]
        factor = builder.shuffle_vector(ones, share, ir.Constant(order.type, mixed))
        share = builder.fmul(share, factor)
    here = _vector_at(context, builder, (sums, h), (index, part[0]), len(lanes))
    product = builder.fmul(share, number)
    builder.store(builder.fadd(builder.load(here, align=8), product), here, align=8)


def broadcast(builder, scalar, count):
    """A vector of ``count`` times the same value."""
    vector = ir.VectorType(scalar.type, count)
    none = ir.Constant(vector, ir.Undefined)
    one = builder.insert_element(none, scalar, _I32(0))
    zeros = ir.Constant(ir.VectorType(_I32, count), [0] * count)
    return builder.shuffle_vector(one, none, zeros)


def _vector_at(context, builder, array, position, count):
    """Pointer to ``count`` elements of an array (numba type, value) as one vector."""
    index, step = position
    pointer = builder.gep(_data(context, builder, array), [builder.add(index, index.type(step))])
    return builder.bitcast(pointer, ir.VectorType(pointer.type.pointee, count).as_pointer())


@intrinsic
def add_block(_typing, block, rows, pixel, first, shares, sums, counted):
    """Add 16 pixels of 16 frames to their bins.

    Parameters
    ----------
    block:
        Raw values, flat; unsigned integers without shares.
    rows:
        Where each of the 16 frames begins in ``block``, int64.
    pixel:
        The first of the 16.
    first:
        First bins, shape (pixels,).
    shares:
        None; or the coefficients, flat, and a tuple as long as a pixel has of them.
    sums:
        Flat, 64-byte aligned. Without shares the sums of raw, (bins + 1, 16): uint32, or uint64
        for uint32 values. With shares (bins + 1, 1 or 2, width, 16), float64.
    counted:
        Without shares how many values are not 0, (bins + 1, 16), uint16, or None. With shares
        None: without the second plane.
    """

    def generate(context, builder, signature, arguments):
        block_, rows_, at, first_, shares_, sums_, counted_ = zip(
            signature.args, arguments, strict=True
        )
        values = _turned(context, builder, block_, rows_, at[1])
        target = (first_, at[1], shares_, sums_, counted_)
        if isinstance(shares, types.NoneType):
            _add_whole(context, builder, values, target)
        else:
            _add_split(context, builder, values, block.dtype, target)
        return context.get_dummy_value()

    return types.none(block, rows, pixel, first, shares, sums, counted), generate


def _add_whole(context, builder, pixels, target):
    first, at, _, sums, counted = target
    sum_type = ir.VectorType(ir.IntType(sums[0].dtype.bitwidth), LANES)
    short = ir.VectorType(ir.IntType(16), LANES)
    for step, values in enumerate(pixels):
        row = _first_bin(context, builder, first, at, step, LANES)
        here = _vector_at(context, builder, sums, (row, 0), LANES)
        total = builder.load(here, align=64)
        builder.store(builder.add(total, builder.zext(values, sum_type)), here, align=64)
        if isinstance(counted[0], types.NoneType):
            continue
        one = ir.Constant(values.type, [1] * LANES)
        some = builder.select(builder.icmp_unsigned("<", values, one), values, one)
        width = values.type.element.width
        if width != 16:
            some = builder.trunc(some, short) if width > 16 else builder.zext(some, short)
        here = _vector_at(context, builder, counted, (row, 0), LANES)
        builder.store(builder.add(builder.load(here, align=32), some), here, align=32)


def _add_split(context, builder, pixels, dtype, target):
    first, at, shares, sums, squared = target
    coefficients, lanes = shares[0]
    table = (coefficients, builder.extract_value(shares[1], 0))
    width, planes = len(lanes), 1 if isinstance(squared[0], types.NoneType) else 2
    doubles = ir.VectorType(_DOUBLE, LANES)
    one = ir.Constant(doubles, [1.0] * LANES)
    for step, values in enumerate(pixels):
        row = _first_bin(context, builder, first, at, step, planes * width * LANES)
        x = _as_doubles(builder, values, dtype, doubles)
        y = builder.select(builder.fcmp_ordered(">", x, one), x, one)
        begin = builder.mul(builder.add(at, at.type(step)), at.type(width))
        for k in range(width):
            source = builder.gep(_data(context, builder, table), [builder.add(begin, at.type(k))])
            share = _as_doubles(builder, builder.load(source), coefficients.dtype, _DOUBLE)
            for plane, number in enumerate((x, y)[:planes]):
                factor = share if plane == 0 else builder.fmul(share, share)
                product = builder.fmul(broadcast(builder, factor, LANES), number)
                place = (row, (plane * width + k) * LANES)
                here = _vector_at(context, builder, sums, place, LANES)
                total = builder.load(here, align=64)
                builder.store(builder.fadd(total, product), here, align=64)


@intrinsic
def block_inside(_typing, block, rows, pixel, low, high):
    """One bit for each of 16 pixels: low <= value <= high in all of 16 frames.

    The bounds have the dtype of the values.
    """

    def generate(context, builder, signature, arguments):
        block_, rows_, at = zip(signature.args[:3], arguments[:3], strict=True)
        arrays = (block_, rows_, at[1])
        rows_of = [_row_of(context, builder, arrays, lane, LANES, 0) for lane in range(LANES)]
        bounds = [broadcast(builder, bound, LANES) for bound in arguments[3:]]
        inside = _inside(builder, rows_of, bounds, block.dtype)
        return builder.bitcast(inside, ir.IntType(LANES))

    if low != block.dtype or high != block.dtype:
        return None
    return types.uint16(block, rows, pixel, low, high), generate


def _inside(builder, rows, bounds, dtype):
    low, high = bounds
    if isinstance(dtype, types.Float):  # one by one: the largest would not show a NaN
        inside = ir.Constant(ir.VectorType(ir.IntType(1), LANES), [1] * LANES)
        for values in rows:
            inside = builder.and_(inside, builder.fcmp_ordered(">=", values, low))
            inside = builder.and_(inside, builder.fcmp_ordered("<=", values, high))
        return inside
    compare = builder.icmp_signed if dtype.signed else builder.icmp_unsigned
    least = most = rows[0]
    for values in rows[1:]:
        least = builder.select(compare("<", values, least), values, least)
        most = builder.select(compare(">", values, most), values, most)
    return builder.and_(compare(">=", least, low), compare("<=", most, high))


def _turned(context, builder, block, rows, pixel):
    """Sixteen vectors, one a pixel, of the values of sixteen frames."""
    arrays, half = (block, rows, pixel), LANES // 2
    for lane in range(LANES):
        _prefetch(context, builder, arrays, lane)
    if block[0].dtype.bitwidth * half < 128:
        vectors = [_row_of(context, builder, arrays, i, LANES, 0) for i in range(LANES)]
        return _interleaved(builder, vectors, 4, LANES)
    # Two frames' halves in one vector: interleaving then stays within halves of registers,
    # which takes one cheap instruction.
    turned = []
    for offset in (0, half):
        halves = [_row_of(context, builder, arrays, i, half, offset) for i in range(LANES)]
        vectors = [
            builder.shuffle_vector(halves[i], halves[i + half], _order(range(LANES)))
            for i in range(half)
        ]
        turned += _interleaved(builder, vectors, 3, half)
    return turned


def _interleaved(builder, vectors, stages, span):
    """The first half of the vectors interleaved with the second, so many times.

    Values are taken in turn within each ``span`` lanes.
    """
    half = len(vectors) // 2
    orders = [
        _order(
            lane + start + i // 2 + LANES * (i % 2)
            for lane in range(0, LANES, span)
            for i in range(span)
        )
        for start in (0, span // 2)
    ]
    for _ in range(stages):
        vectors = [
            builder.shuffle_vector(vectors[i], vectors[i + half], order)
            for i in range(half)
            for order in orders
        ]
    return vectors


def _row_of(context, builder, arrays, lane, count, offset):
    """``count`` values of one frame as a vector."""
    block, rows, pixel = arrays
    row = builder.load(builder.gep(_data(context, builder, rows), [_I32(lane)]))
    place = builder.add(row, pixel)
    source = _vector_at(context, builder, block, (place, offset), count)
    return builder.load(source, align=block[0].dtype.bitwidth // 8)


def _prefetch(context, builder, arrays, lane):
    """Have the values soon to come fetched: sixteen streams are more than CPUs foresee."""
    block, rows, pixel = arrays
    row = builder.load(builder.gep(_data(context, builder, rows), [_I32(lane)]))
    place = builder.add(row, pixel)
    _fetch(builder, _vector_at(context, builder, block, (place, _AHEAD), 1))


def _fetch(builder, pointer):
    pointer = builder.bitcast(pointer, ir.IntType(8).as_pointer())
    kind = ir.FunctionType(ir.VoidType(), [pointer.type, _I32, _I32, _I32])
    prefetch = builder.module.declare_intrinsic("llvm.prefetch", [pointer.type], kind)
    builder.call(prefetch, [pointer, _I32(0), _I32(3), _I32(1)])  # to read, keep, data


def _fetch_element(_typing, array, number):

    def generate(context, builder, signature, arguments):
        target = (signature.args[0], arguments[0])
        _fetch(builder, builder.gep(_data(context, builder, target), [arguments[1]]))
        return context.get_dummy_value()

    return types.none(array, number), generate


fetch: Any = intrinsic(_fetch_element)
"""``fetch(array, i)``: have an element, which is soon to be read, brought into the cache."""


def _order(numbers):
    return ir.Constant(ir.VectorType(_I32, LANES), list(numbers))


def _first_bin(context, builder, first, pixel, step, size):
    """Where the sums of a pixel's first bin begin."""
    place = builder.add(pixel, pixel.type(step))
    number = builder.load(builder.gep(_data(context, builder, first), [place]))
    return builder.mul(builder.zext(number, pixel.type), pixel.type(size))


def _as_doubles(builder, values, dtype, doubles):
    if isinstance(dtype, types.Integer):
        return (builder.sitofp if dtype.signed else builder.uitofp)(values, doubles)
    return values if dtype == types.float64 else builder.fpext(values, doubles)


def _data(context, builder, array):
    return context.make_array(array[0])(context, builder, array[1]).data
