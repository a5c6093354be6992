"""BaseNormalization: what normalizations with a scale `gamma` and an offset `beta` share."""

import torch

from torchkeras.layers.layer import Layer
from torchkeras.layers.normalization.axes import check_axes
from torchkeras.layers.weight_arguments import weight_arguments, weight_config


class BaseNormalization(Layer):
    """Base of the layers that multiply what they normalized by `gamma` and add `beta`.

    Subclasses take the arguments below in the order of their own signatures, and call
    `_add_gamma_and_beta` in `build`. They hand those of gamma and beta to `set_weight_arguments`
    themselves. Both weights are read in their own dtype under mixed
    precision: torch's normalizations take half-precision inputs with `float32` weights, or the
    inputs are cast.

    Args:
        center: bool, whether `beta` is added.
        scale: bool, whether `gamma` multiplies.

    Example:

    >>> isinstance(keras.layers.BatchNormalization(), BaseNormalization)
    True
    """

    def __init__(self, *, center, scale, **kwargs):
        super().__init__(**kwargs)
        self.center = center
        self.scale = scale
        self.gamma = None
        self.beta = None
        self.supports_masking = True

    def _add_gamma_and_beta(self, shape, scale, center):
        if scale:
            self.gamma = self.add_weight(
                name="gamma", shape=shape, autocast=False, **weight_arguments(self, "gamma")
            )
        if center:
            self.beta = self.add_weight(
                name="beta", shape=shape, autocast=False, **weight_arguments(self, "beta")
            )

    def _gamma_and_beta(self):
        """The tensors of the two weights, None for one that is not there."""
        gamma, beta = self.gamma, self.beta
        return None if gamma is None else gamma.value, None if beta is None else beta.value

    def compute_output_shape(self, input_shape):
        check_axes(self, len(input_shape), input_shape)
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "center": self.center,
            "scale": self.scale,
            **weight_config(self),
        }


class Float32Statistics:
    """Mixin of layers that leave float inputs of a mixed-precision model as they are.

    Their statistics are those of the inputs, not of inputs rounded to half precision; the
    output comes in the compute dtype.

    Example:

    >>> layer = keras.layers.LayerNormalization(dtype="mixed_bfloat16", epsilon=0.0)
    >>> layer(torch.tensor([[1024.0, 1025.0]])).detach()  # bfloat16 has no 1025
    tensor([[-1.,  1.]], dtype=torch.bfloat16)
    """

    def _convert(self, x):
        if isinstance(x, torch.Tensor) and x.is_floating_point():
            return x
        return super()._convert(x)

    def _in_one_dtype(self, x, gamma, beta):
        """`x` and the weights in dtypes that torch takes together, computing in `float32`."""
        weight = beta if gamma is None else gamma
        if x.is_floating_point():
            if weight is None or weight.dtype is x.dtype:
                return x, gamma, beta
            # torch's CPU kernels read half-precision inputs beside float32 weights; in the
            # backward pass, only where there is a gamma.
            half = x.element_size() == 2 and weight.dtype is torch.float32
            if half and gamma is not None and x.device.type == "cpu":
                return x, gamma, beta
        dtype = torch.promote_types(x.dtype, torch.float32)
        gamma = None if gamma is None else gamma.to(dtype)
        return x.to(dtype), gamma, None if beta is None else beta.to(dtype)
