"""Identity: the input, unchanged."""

from torchkeras.core import tree
from torchkeras.layers.built_at_init import mark_built
from torchkeras.layers.layer import Layer
from torchkeras.layers.same_spec import same_spec


class Identity(Layer):
    """Returns its input, a tensor or a structure of tensors; a placeholder in a model.

    Input shape: any.
    Output shape: that of the input.

    Example:

    >>> keras.layers.Identity()(torch.tensor([1, 2]))
    tensor([1, 2])
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True
        mark_built(self)

    def call(self, inputs):
        return inputs

    def compute_output_shape(self, input_shape):
        return input_shape

    def compute_output_spec(self, inputs):
        return tree.map_structure(lambda x: same_spec(self, x), inputs)
