"""RMSNormalization: the input divided by its root mean square."""

import torch
from torch.nn import functional as F

from torchkeras.layers.known_sizes import known_sizes
from torchkeras.layers.layer import Layer
from torchkeras.layers.normalization.axes import check_axes, check_axis_argument, trailing_sizes


class RMSNormalization(Layer):
    """Computes `x / sqrt(mean(x^2) + epsilon) * scale` over one axis or several.

    Half precision is summed in `float32`.

    Args:
        axis: int or list of ints, the axes normalized together; `scale` has their sizes.
        epsilon: float, added to the mean square.

    Input shape: any, with known sizes on `axis`.
    Output shape: that of the input, in the layer's compute dtype.

    Raises:
        TypeError: `axis` is no int and no list of ints.
        ValueError: the input lacks one of the axes, or its size is None at build.

    Source: Zhang and Sennrich 2019, arXiv:1910.07467, eq. 4; there without epsilon.

    Example:

    >>> layer = keras.layers.RMSNormalization()
    >>> layer(torch.tensor([[30.0, -30.0]])).detach()
    tensor([[ 1., -1.]])
    >>> layer.scale.shape
    (2,)
    """

    def __init__(self, axis=-1, epsilon=1e-6, **kwargs):
        super().__init__(**kwargs)
        self.axis = check_axis_argument(axis)
        self.epsilon = epsilon

    def build(self, input_shape):
        self.axis = [self.axis] if isinstance(self.axis, int) else sorted(self.axis)
        axes = check_axes(self, len(input_shape), input_shape)
        shape = known_sizes(self, axes, input_shape)
        self.scale = self.add_weight(name="scale", shape=shape, initializer="ones")
        self._trailing = trailing_sizes(axes, input_shape)
        self._reshapes = axes != sorted(axes)
        self._axes = sorted(axes)
        self._broadcast = [s if a in axes else 1 for a, s in enumerate(input_shape)]

    def call(self, x):
        scale = self.scale.value
        if x.dtype is not scale.dtype:  # integers, or a layer that does not cast
            dtype = torch.promote_types(x.dtype, torch.float32)
            x, scale = x.to(dtype), scale.to(dtype)
        if self._trailing is not None:
            if self._reshapes:
                scale = scale.reshape(self._trailing)
            y = F.rms_norm(x, self._trailing, scale, self.epsilon)
        else:
            wide = x.to(torch.promote_types(x.dtype, torch.float32))
            wide = wide * torch.rsqrt(wide.square().mean(self._axes, True) + self.epsilon)
            y = wide * scale.reshape(self._broadcast)
        return y if y.dtype is self._compute_dtype else y.to(self._compute_dtype)

    def compute_output_shape(self, input_shape):
        check_axes(self, len(input_shape), input_shape)
        return input_shape

    def get_config(self):
        return {**super().get_config(), "axis": self.axis, "epsilon": self.epsilon}
