"""Identity: the input, unchanged."""

from torchkeras.layers.built_at_init import mark_built
from torchkeras.layers.layer import Layer


class Identity(Layer):
    """Returns its input, a tensor or a structure of tensors; a placeholder in a model.

    Input shape: any.
    Output shape: that of the input.

    Example:

    >>> keras.layers.Identity()(torch.tensor([1, 2]))
    tensor([1, 2])
    """

    keeps_shape = True
    keeps_dtype = True

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True
        mark_built(self)

    def call(self, inputs):
        return inputs
