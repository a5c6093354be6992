"""What layers over sequences, images and volumes share: arguments by axis, layouts, windows."""

from torchkeras.ops.geometry import TO_CHANNELS_FIRST as TO_CHANNELS_FIRST
from torchkeras.ops.geometry import TO_CHANNELS_LAST as TO_CHANNELS_LAST
from torchkeras.ops.geometry import choice_argument as choice_argument
from torchkeras.ops.geometry import sizes_argument as sizes_argument
from torchkeras.ops.geometry import zeros_around as zeros_around

_UNITS = {1: "steps", 2: "pixels", 3: "voxels"}


def int_argument(value, argument, least=1):
    """An int that is at least `least`, or a ValueError that names the argument.

    Example:

    >>> int_argument(3, "filters")
    3
    """
    if not isinstance(value, int) or value < least:
        raise ValueError(
            f"`{argument}` must be an int of at least {least}. Received: {argument}={value!r}."
        )
    return value


def sides_argument(value, rank, argument):
    """Pairs of ints of at least 0, one for each axis: places before it and after it.

    Args:
        value: int for all sides; or one item for each axis, an int for both sides or two. For one
            axis the two stand alone.
        rank: int, number of spatial axes.
        argument: str, the argument's name, for the message.

    Raises:
        ValueError: anything else was given.

    Example:

    >>> sides_argument((1, (2, 3)), 2, "padding")
    ((1, 1), (2, 3))
    """
    sides = (value,) if rank == 1 else value
    sides = (value,) * rank if isinstance(value, int) else sides
    valid = isinstance(sides, (tuple, list)) and len(sides) == rank
    pairs = [(side, side) if isinstance(side, int) else side for side in sides] if valid else ()
    for pair in pairs:
        valid = valid and isinstance(pair, (tuple, list)) and len(pair) == 2
        valid = valid and all(isinstance(places, int) and places >= 0 for places in pair)
    if not valid:
        many = "two of them" if rank == 1 else f"{rank} of them, or {rank} pairs of them"
        raise ValueError(
            f"`{argument}` must be an int of at least 0, or {many}. Received: {argument}={value!r}."
        )
    return tuple(tuple(pair) for pair in pairs)


def channel_axis(data_format):
    """The axis of the channels, -1 or 1."""
    return -1 if data_format == "channels_last" else 1


def first_spatial_axis(data_format):
    """The first axis that is neither batch nor channels."""
    return 1 if data_format == "channels_last" else 2


def with_sizes(input_shape, sizes, channels, data_format):
    """A shape with these spatial sizes and channels."""
    if data_format == "channels_last":
        return (input_shape[0], *sizes, channels)
    return (input_shape[0], channels, *sizes)


def spatial_sizes(layer, rank, input_shape):
    """The spatial sizes in a shape, None where one is unknown; ValueError for another rank."""
    if len(input_shape) != rank + 2:
        raise ValueError(
            f"Layer '{layer.name}' takes inputs with {rank + 2} axes. Received: input_shape="
            f"{tuple(input_shape)}."
        )
    first = first_spatial_axis(layer.data_format)
    return tuple(input_shape[first : first + rank])


def window_counts(layer, input_shape, windows, strides, padding, what):
    """How many windows fit on each spatial axis, None where its size is unknown.

    Args:
        layer: Layer with a `data_format`, for the axes and the message.
        input_shape: tuple.
        windows: tuple of ints, places a window spans on each axis.
        strides: tuple of ints.
        padding: `"valid"`, or any other for `ceil(size / stride)` windows.
        what: str, name of the window in the message.

    Raises:
        ValueError: the input has another rank, or `"valid"` leaves no window.
    """
    sizes = spatial_sizes(layer, len(windows), input_shape)
    counts = []
    for place, (size, window, stride) in enumerate(zip(sizes, windows, strides, strict=True)):
        if size is not None and padding != "valid":
            size = (size - 1) // stride + 1
        elif size is not None:
            if size < window:
                axis = first_spatial_axis(layer.data_format) + place
                raise ValueError(
                    f"Layer '{layer.name}' takes inputs of at least the {what}'s size, {window} "
                    f"{_UNITS[len(windows)]} on axis {axis}. Received: input_shape="
                    f'{tuple(input_shape)}. Use padding="same" or a smaller {what}.'
                )
            size = (size - window) // stride + 1
        counts.append(size)
    return counts
