"""known_sizes: the sizes of an input that a layer's weights depend on."""


def known_sizes(layer, axes, input_shape):
    """Sizes of an input on `axes`, in their order; ValueError if one is unknown.

    Args:
        layer: Layer, for the message.
        axes: ints, negative ones from the end.
        input_shape: tuple, None where a size is unknown.

    Example:

    >>> known_sizes(keras.layers.LayerNormalization(), [2], (None, None, 3))
    (3,)
    """
    sizes = tuple(input_shape[axis] for axis in axes)
    if None in sizes:
        which = "size of the last axis" if list(axes) == [-1] else f"sizes on axes {list(axes)}"
        raise ValueError(
            f"Layer '{layer.name}' needs the {which}. Received: input_shape="
            f"{input_shape}. Give them in Input(shape=...), or call the layer on data first."
        )
    return sizes
