"""The least that a kernel can do: read memory."""

from ringline.processing.compiled import jit


@jit
def total(values):
    """The sum of integers."""
    found = values.dtype.type(0)
    for value in values:
        found += value
    return found
