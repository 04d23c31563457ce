"""Vector instructions that numba does not make of loops by itself, written as LLVM IR.

LLVM fits the vectors to the CPU at hand; numba's cache on disk is kept per CPU.
"""

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

_DOUBLE = ir.DoubleType()
_I32 = ir.IntType(32)


@intrinsic
def add_shares(_typing, sums, at, coefficients, start, lanes, value, squared):
    """``sums[at + k] += c[k] * value`` for all k at once, c the pixel's ``len(lanes)`` shares.

    Also ``sums[at + width + k] += c[k] ** 2 * squared``, unless ``squared`` is None. The arrays
    are flat, the indices unsigned and not checked.
    """
    width = len(lanes)

    def generate(context, builder, signature, arguments):
        h, index, table, offset, _, x, y = arguments
        for first, count in _vectors(width):
            source = _vector_at(
                context, builder, (signature.args[2], table), (offset, first), count
            )
            convert = builder.fpext if coefficients.dtype == types.float32 else builder.uitofp
            share = convert(
                builder.load(source, align=coefficients.dtype.bitwidth // 8),
                ir.VectorType(_DOUBLE, count),
            )
            planes = [(share, x)]
            if not isinstance(squared, types.NoneType):
                planes.append((builder.fmul(share, share), y))
            for plane, (factor, number) in enumerate(planes):
                here = _vector_at(
                    context,
                    builder,
                    (signature.args[0], h),
                    (index, plane * width + first),
                    count,
                )
                product = builder.fmul(factor, broadcast(builder, number, count))
                builder.store(builder.fadd(builder.load(here, align=8), product), here, align=8)
        return context.get_dummy_value()

    return types.none(sums, at, coefficients, start, lanes, value, squared), generate


def broadcast(builder, scalar, count):
    """A vector of ``count`` times the same value."""
    vector = ir.VectorType(scalar.type, count)
    none = ir.Constant(vector, ir.Undefined)
    one = builder.insert_element(none, scalar, _I32(0))
    zeros = ir.Constant(ir.VectorType(_I32, count), [0] * count)
    return builder.shuffle_vector(one, none, zeros)


def _vectors(width):
    """(first, count) of the vectors that make up ``width`` lanes; three is slow as one."""
    return [(0, 2), (2, 1)] if width == 3 else [(0, width)]


def _vector_at(context, builder, array, position, count):
    """Pointer to ``count`` elements of an array (numba type, value) as one vector."""
    index, step = position
    data = context.make_array(array[0])(context, builder, array[1]).data
    pointer = builder.gep(data, [builder.add(index, index.type(step))])
    return builder.bitcast(pointer, ir.VectorType(pointer.type.pointee, count).as_pointer())
