"""What layers over sequences, images and volumes share: arguments by axis, layouts, windows."""

# How torch wants data of 1, 2 or 3 spatial axes, and back: views, which copy nothing. Handed on as
# `permute(*axes)`, which takes 0.9 µs where `permute(axes)` takes 1.35.
TO_CHANNELS_FIRST = {1: (0, 2, 1), 2: (0, 3, 1, 2), 3: (0, 4, 1, 2, 3)}
TO_CHANNELS_LAST = {1: (0, 2, 1), 2: (0, 2, 3, 1), 3: (0, 2, 3, 4, 1)}

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


def sizes_argument(value, rank, argument, least=1):
    """A tuple of one int for each axis, of an int for all or of a tuple or list.

    Args:
        value: int, or tuple or list of `rank` ints.
        rank: int, number of spatial axes.
        argument: str, the argument's name, for the message.
        least: int, the smallest value allowed.

    Raises:
        ValueError: anything else was given.

    Example:

    >>> sizes_argument(3, 2, "kernel_size")
    (3, 3)
    """
    sizes = (value,) * rank if isinstance(value, int) else value
    valid = isinstance(sizes, (tuple, list)) and len(sizes) == rank
    if not valid or not all(isinstance(size, int) and size >= least for size in sizes):
        many = f", or a tuple of {rank} of them"
        raise ValueError(
            f"`{argument}` must be an int of at least {least}{many}. Received: "
            f"{argument}={value!r}."
        )
    return tuple(sizes)


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


def choice_argument(value, argument, choices):
    """One of the names in `choices`, in lower case; else a ValueError.

    Example:

    >>> choice_argument("SAME", "padding", ("valid", "same"))
    'same'
    """
    name = value.lower() if isinstance(value, str) else value
    if not isinstance(name, str) or name not in choices:
        raise ValueError(
            f"`{argument}` must be one of {', '.join(map(repr, choices))}. Received: "
            f"{argument}={value!r}."
        )
    return name


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


def zeros_around(size, window, stride):
    """Places to add before and after an axis, that `"same"` has `ceil(size / stride)` windows.

    Args:
        size: int, places on the axis.
        window: int, places a window spans.
        stride: int.

    Example:

    >>> zeros_around(5, 4, 1)
    (1, 2)
    """
    missing = window - 1
    if stride > 1:  # the last window starts at (ceil(size / stride) - 1) * stride
        missing = max((size - 1) // stride * stride + window - size, 0)
    return missing // 2, missing - missing // 2


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
