"""ReLU: the rectified linear unit as a layer."""

from torchkeras import activations
from torchkeras.layers.built_at_init import mark_built
from torchkeras.layers.layer import Layer


class ReLU(Layer):
    """Rectified linear unit, with an optional cap, slope and threshold.

    `max_value` where `x >= max_value`, `x` where `threshold <= x < max_value`, else
    `negative_slope * (x - threshold)`.

    Args:
        max_value: float, at least 0, or None for no cap.
        negative_slope: float, at least 0.
        threshold: float, at least 0.

    Input shape: any.
    Output shape: that of the input.

    Raises:
        ValueError: an argument is negative.

    Example:

    >>> layer = keras.layers.ReLU(max_value=10, negative_slope=0.5)
    >>> layer(torch.tensor([-10.0, -5.0, 0.0, 5.0, 20.0]))
    tensor([-5.0000, -2.5000,  0.0000,  5.0000, 10.0000])
    """

    keeps_shape = True

    def __init__(self, max_value=None, negative_slope=0.0, threshold=0.0, **kwargs):
        super().__init__(**kwargs)
        values = {"negative_slope": negative_slope, "threshold": threshold}
        if max_value is not None:
            values["max_value"] = max_value
        for argument, value in values.items():
            check_not_negative(argument, value)
        self.max_value = max_value
        self.negative_slope = negative_slope
        self.threshold = threshold
        self.supports_masking = True
        mark_built(self)

    def call(self, inputs):
        return activations.relu(
            inputs,
            negative_slope=self.negative_slope,
            max_value=self.max_value,
            threshold=self.threshold,
        )

    def get_config(self):
        return {
            **super().get_config(),
            "max_value": self.max_value,
            "negative_slope": self.negative_slope,
            "threshold": self.threshold,
        }


def check_not_negative(argument, value):
    """Raise ValueError unless `value` is a number of at least 0.

    Example:

    >>> from torchkeras.layers.activations.relu import check_not_negative
    >>> check_not_negative("threshold", 0.5)
    """
    if value is None or value < 0:
        raise ValueError(
            f"`{argument}` must be a number of at least 0. Received: {argument}={value}."
        )
