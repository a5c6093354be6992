"""Cropping1D: sequences without their ends."""

from torchkeras.layers.reshaping.base_cropping import BaseCropping


class Cropping1D(BaseCropping):
    """Cuts steps off the ends of sequences. The output is a view, not a copy.

    Args:
        cropping: int of at least 0 for both ends, or two for start and end, in steps.

    Input shape:
        `(batch, steps, channels)`.

    Output shape:
        `(batch, new_steps, channels)`, each axis shorter by what is cut off.

    Raises:
        ValueError: an argument is out of its range; nothing is left of an axis.

    Example:

    >>> keras.layers.Cropping1D((1, 2))(torch.ones(1, 5, 3)).shape
    torch.Size([1, 2, 3])
    """

    rank = 1

    def __init__(self, cropping=1, **kwargs):
        super().__init__(cropping, "channels_last", **kwargs)

    def get_config(self):
        config = super().get_config()
        del config["data_format"]
        return config
