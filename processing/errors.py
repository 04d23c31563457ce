"""The two ways in which input can be wrong."""


class RecipeError(ValueError):
    """A recipe or an input named by it is refused, before the first frame.

    The message names the field, the value and the bound; whatever was in force stays in force.
    """


class FrameError(ValueError):
    """One frame cannot be read or reduced. It is counted and marked; others are not touched."""
