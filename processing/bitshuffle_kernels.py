"""Chunks that the bitshuffle filter made with LZ4, decoded without Python's lock.

A chunk has a header with its decoded size and that of a block, in bytes; then each block with its
length before it; then up to seven elements as they are. A block is LZ4's form of bit planes: the
lowest bit of all its elements, eight to a byte, then the next bit of all, and so on.
"""

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from ringline.processing.compiled import inner, jit
from ringline.processing.vector_ir import broadcast

HEADER = 12
SPARE = 64
"""Bytes behind what is decoded or copied that may be read or spoilt."""

_STEP = 32
"""Bytes that are copied at once."""
_TOGETHER = 64
"""Elements that are made of bit planes at once."""
_BYTE = ir.IntType(8)
_AFTER_FOUR = (0, 1, 2, 1, 0, 4, 4, 4)
"""From where eight bytes back begin to the next four of them, by how far back that is; ..."""
_AFTER_EIGHT = (0, 0, 0, -1, -4, 1, 2, 3)
"""... and back again from there, so that the distance is a multiple, 8 or more."""


def _copier(count):
    """What copies ``count`` bytes between flat arrays, nothing checked."""

    @intrinsic
    def copy(_typing, target, to, source, at):
        def generate(context, builder, signature, arguments):
            kind = ir.VectorType(_BYTE, count).as_pointer()
            pointers = []
            for k in (0, 2):
                array = context.make_array(signature.args[k])(context, builder, arguments[k])
                place = builder.gep(array.data, [arguments[k + 1]])
                pointers.append(builder.bitcast(place, kind))
            builder.store(builder.load(pointers[1], align=1), pointers[0], align=1)
            return context.get_dummy_value()

        return types.none(target, to, source, at), generate

    return copy


_copy_4, _copy_8, _copy_step = _copier(4), _copier(8), _copier(_STEP)


@intrinsic
def _join_planes(_typing, planes, at, stride, target, to, used):
    """Make 64 elements of their bit planes; only those of the lowest ``len(used)`` bytes.

    Parameters
    ----------
    planes:
        Flat bytes; the planes begin ``stride`` bytes apart, the elements at byte ``at`` of each.
    target:
        Flat; the elements are stored from number ``to`` on.
    used:
        A tuple.
    """
    element = ir.IntType(target.dtype.bitwidth)

    def generate(context, builder, signature, arguments):
        bits, offset, step, out, place, _ = arguments
        source = context.make_array(signature.args[0])(context, builder, bits).data
        joined = None
        for number in range(len(used)):
            lanes = _byte_of_planes(builder, source, (offset, step), number)
            wide = ir.VectorType(element, _TOGETHER)
            if element.width > 8:
                lanes = builder.zext(lanes, wide)
                shift = ir.Constant(wide, [8 * number] * _TOGETHER)
                lanes = builder.shl(lanes, shift) if number else lanes
            joined = lanes if joined is None else builder.or_(joined, lanes)
        data = context.make_array(signature.args[3])(context, builder, out).data
        here = builder.bitcast(builder.gep(data, [place]), joined.type.as_pointer())
        builder.store(joined, here, align=element.width // 8)
        return context.get_dummy_value()

    return types.none(planes, at, stride, target, to, used), generate


def _byte_of_planes(builder, source, position, number):
    """Byte ``number`` of 64 elements, of eight planes."""
    offset, step = position
    vector = ir.VectorType(_BYTE, _TOGETHER)
    mask_type = ir.IntType(_TOGETHER)
    total = ir.Constant(vector, [0] * _TOGETHER)
    for bit in range(8):
        plane = builder.mul(step, step.type(8 * number + bit))
        pointer = builder.gep(source, [builder.add(offset, plane)])
        mask = builder.load(builder.bitcast(pointer, mask_type.as_pointer()), align=1)
        chosen = builder.bitcast(mask, ir.VectorType(ir.IntType(1), _TOGETHER))
        value = broadcast(builder, _BYTE(1 << bit), _TOGETHER)
        total = builder.select(chosen, builder.add(total, value), total)
    return total


@jit
def decode_chunk(chunk, size, target, planes):
    """Decode a chunk; False where it is damaged, whatever its bytes are.

    Parameters
    ----------
    chunk:
        uint8, with at least SPARE bytes behind the chunk.
    size:
        Bytes of the chunk itself.
    target:
        Unsigned integers, flat: exactly what the chunk must hold.
    planes:
        uint8, to work in: at least as long as a block and SPARE more. Longer blocks are refused.
    """
    block = _block_size(chunk, size, target)
    position, done = HEADER, 0
    while block and target.size - done >= 8:
        elements = min(block, (target.size - done) // 8 * 8)
        length = _big_endian(chunk, position, 4)
        position += 4
        fits = elements * target.itemsize + SPARE <= planes.size and length <= size - position
        span = (position, position + length)
        if not fits or not _decode_lz4(chunk, span, planes, elements * target.itemsize):
            return False
        _join_block(planes, elements, target, done)
        position += length
        done += elements
    rest = target[done:].view(np.uint8)
    if not block or size - position != rest.size:
        return False
    for k in range(rest.size):
        rest[k] = chunk[position + k]
    return True


@inner
def _block_size(chunk, size, target):
    """Elements of a block by the header; 0 if it is not that of a chunk for the target."""
    if size < HEADER or _big_endian(chunk, 0, 8) != target.size * target.itemsize:
        return 0
    block = _big_endian(chunk, 8, 4)
    return block // target.itemsize if block % (8 * target.itemsize) == 0 else 0


@inner
def _big_endian(values, at, count):
    number = np.int64(0)
    for k in range(count):
        number = (number << 8) | np.int64(values[at + k])
    return number


@inner
def _decode_lz4(source, span, target, size):
    """Decode an LZ4 block that must fill ``size`` bytes; False where it does not."""
    position, stop = span
    done = 0
    while position < stop:
        token = np.int64(source[position])
        position += 1
        length = token >> 4
        if length == 15:
            length, position = _long(source, position, stop)
        if length > stop - position or length > size - done:
            return False
        _copy_step(target, done, source, position)
        for k in range(_STEP, length, _STEP):
            _copy_step(target, done + k, source, position + k)
        position += length
        done += length
        if position >= stop - 1:  # the last sequence has no match
            return position == stop and done == size
        back = np.int64(source[position]) | (np.int64(source[position + 1]) << 8)
        position += 2
        length = (token & 15) + 4
        if length == 19:
            length, position = _long(source, position, stop)
            length += 4
        if back == 0 or back > done or length > size - done:
            return False
        _repeat(target, done, back, length)
        done += length
    return False


@inner
def _long(source, position, stop):
    """A length of 15 or more, which goes on in further bytes, and what follows it."""
    length, more = np.int64(15), np.int64(255)
    while more == 255 and position < stop:
        more = np.int64(source[position])
        length += more
        position += 1
    return length, position


@inner
def _repeat(target, start, back, length):
    """Go on with what was decoded ``back`` bytes before."""
    at = start - back
    if length > 24:
        _repeat_long(target, start, back, length)
        return
    if back < 8:
        at = _repeat_few(target, start, back)
    else:
        _copy_8(target, start, target, at)
        at += 8
    _copy_8(target, start + 8, target, at)
    _copy_8(target, start + 16, target, at + 8)


@inner
def _repeat_few(target, start, back):
    """Eight bytes of what is repeated less than eight bytes later, and where to go on copying."""
    at = start - back
    for k in range(4):
        target[start + k] = target[at + k]
    at += _AFTER_FOUR[back]
    _copy_4(target, start + 4, target, at)
    return at - _AFTER_EIGHT[back]


@inner
def _repeat_long(target, start, back, length):
    if back >= _STEP:
        for k in range(0, length, _STEP):
            _copy_step(target, start + k, target, start + k - back)
        return
    if _is_zero(target[start - back : start]):  # planes of high bits
        target[start : start + length] = 0
        return
    if back < 8:  # make it a multiple that is not
        at = _repeat_few(target, start, back)
        start += 8
        length -= 8
        back = start - at
    for k in range(0, min(length, 2 * _STEP), 8):
        _copy_8(target, start + k, target, start + k - back)
    back *= (_STEP + back - 1) // back
    for k in range(2 * _STEP, length, _STEP):
        _copy_step(target, start + k, target, start + k - back)


@inner
def _is_zero(values):
    some = np.uint8(0)
    for value in values:  # to the end: vectors cannot stop early
        some |= value
    return some == 0


@inner
def _join_block(planes, elements, target, start):
    stride = elements // 8
    whole = elements - elements % _TOGETHER
    if _is_zero(planes[8 * stride : elements * target.itemsize]):  # small counts: most images
        for k in range(0, whole, _TOGETHER):
            _join_planes(planes, k // 8, stride, target, start + k, (0,))
    elif target.itemsize == 2:
        for k in range(0, whole, _TOGETHER):
            _join_planes(planes, k // 8, stride, target, start + k, (0, 0))
    else:
        for k in range(0, whole, _TOGETHER):
            _join_planes(planes, k // 8, stride, target, start + k, (0, 0, 0, 0))
    for k in range(whole, elements):
        value = np.int64(0)
        for bit in range(8 * target.itemsize):
            plane = np.int64(planes[bit * stride + k // 8])
            value |= ((plane >> (k % 8)) & 1) << bit
        target[start + k] = value
