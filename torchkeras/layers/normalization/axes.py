"""The `axis` arguments of normalizations: checks, and sizes on axes."""


def check_axis_argument(axis):
    """`axis` as an int or a list of ints; TypeError for anything else.

    Example:

    >>> check_axis_argument((1, 2))
    [1, 2]
    """
    if isinstance(axis, int) and not isinstance(axis, bool):
        return axis
    if isinstance(axis, (list, tuple)) and all(isinstance(a, int) for a in axis):
        return list(axis)
    raise TypeError(
        f"`axis` must be an int or a list of ints. Received: axis={axis!r} of type "
        f"{type(axis).__name__}."
    )


def check_axes(layer, rank, input_shape):
    """Axes of `layer.axis` counted from 0, in its order; ValueError for one that is not there.

    Args:
        layer: Layer with an attribute `axis`, an int or a list of ints.
        rank: int, number of axes of the input.
        input_shape: tuple, for the message.

    Example:

    >>> check_axes(keras.layers.UnitNormalization(axis=[1, -1]), 3, (None, 2, 3))
    [1, 2]
    """
    axes = [layer.axis] if isinstance(layer.axis, int) else list(layer.axis)
    counted = [axis + rank if axis < 0 else axis for axis in axes]
    if not all(0 <= axis < rank for axis in counted) or len(set(counted)) < len(counted):
        raise ValueError(
            f"Layer '{layer.name}' expects an input that has each axis of axis={layer.axis}, "
            f"none of them twice. Received: input_shape={input_shape}. Axes count from 0, or "
            "from -1 backwards."
        )
    return counted


def trailing_sizes(axes, input_shape):
    """Sizes of `axes` as torch's fused normalizations take them; None if they are not the last.

    Args:
        axes: ints from 0, in any order.
        input_shape: tuple.

    Example:

    >>> trailing_sizes([2, 1], (8, 4, 3))
    (4, 3)
    >>> print(trailing_sizes([1], (8, 4, 3)))
    None
    """
    first = len(input_shape) - len(axes)
    return tuple(input_shape[first:]) if min(axes, default=first) >= first else None
