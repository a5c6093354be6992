"""UnitNormalization: every vector of the input at length 1."""

from torch.nn import functional as F

from torchkeras.layers.built_at_init import mark_built
from torchkeras.layers.layer import Layer
from torchkeras.layers.normalization.axes import check_axes, check_axis_argument


class UnitNormalization(Layer):
    """Divides its input by the L2 norm over one axis or several.

    Norms below `1e-12` count as `1e-12`, so that zeros stay zeros, with a gradient of zero
    through the norm.

    Args:
        axis: int or list of ints, the axes that form one vector.

    Input shape: any; integers are computed in the compute dtype.
    Output shape: that of the input.

    Raises:
        TypeError: `axis` is no int and no list of ints.

    Example:

    >>> keras.layers.UnitNormalization()(torch.tensor([[3.0, 4.0]]))
    tensor([[0.6000, 0.8000]])
    """

    def __init__(self, axis=-1, **kwargs):
        super().__init__(**kwargs)
        self.axis = check_axis_argument(axis)
        self.supports_masking = True
        mark_built(self)

    def call(self, inputs):
        if not inputs.is_floating_point():
            inputs = inputs.to(self._compute_dtype)
        return F.normalize(inputs, dim=self.axis, eps=1e-12)

    def compute_output_shape(self, input_shape):
        check_axes(self, len(input_shape), input_shape)
        return input_shape

    def get_config(self):
        return {**super().get_config(), "axis": self.axis}
