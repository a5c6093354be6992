"""ZeroPadding1D: sequences with zeros at their ends."""

from torchkeras.layers.reshaping.base_zero_padding import BaseZeroPadding


class ZeroPadding1D(BaseZeroPadding):
    """Adds zeros to the ends of sequences.

    Args:
        padding: int of at least 0 for both ends, or two for start and end, in steps.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.

    Input shape:
        `(batch, steps, channels)`; `"channels_first"` has the channels on axis 1.

    Output shape:
        `(batch, new_steps, channels)`, each axis longer by what is added.

    Raises:
        ValueError: an argument is out of its range.

    Example:

    >>> keras.layers.ZeroPadding1D((1, 2))(torch.ones(1, 5, 3)).shape
    torch.Size([1, 8, 3])
    """

    rank = 1
