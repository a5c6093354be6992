"""ActivityRegularization: a penalty on what passes through."""

from torchkeras import regularizers
from torchkeras.layers.built_at_init import mark_built
from torchkeras.layers.layer import Layer


class ActivityRegularization(Layer):
    """Returns its input and adds `l1 * sum(|x|) + l2 * sum(x**2)`, over the batch size, as loss.

    Args:
        l1: float, at least 0.
        l2: float, at least 0.

    Input shape: `(batch, ...)`.
    Output shape: that of the input.

    Example:

    >>> layer = keras.layers.ActivityRegularization(l1=0.5)
    >>> _ = layer(torch.ones(2, 3))
    >>> layer.losses
    [tensor(1.5000)]
    """

    keeps_shape = True
    keeps_dtype = True

    def __init__(self, l1=0.0, l2=0.0, **kwargs):
        super().__init__(activity_regularizer=regularizers.L1L2(l1=l1, l2=l2), **kwargs)
        self.supports_masking = True
        self.l1 = l1
        self.l2 = l2
        mark_built(self)

    def call(self, inputs):
        return inputs

    def get_config(self):
        config = {**super().get_config(), "l1": self.l1, "l2": self.l2}
        config.pop("activity_regularizer", None)  # l1 and l2 say it
        return config
