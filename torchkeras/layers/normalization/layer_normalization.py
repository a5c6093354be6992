"""LayerNormalization: mean 0 and variance 1 over the features of each example."""

import warnings

import torch
from torch.nn import functional as F

from torchkeras.layers.known_sizes import known_sizes
from torchkeras.layers.normalization.axes import check_axes, check_axis_argument, trailing_sizes
from torchkeras.layers.normalization.base_normalization import (
    BaseNormalization,
    Float32Statistics,
)
from torchkeras.layers.weight_arguments import set_weight_arguments


class LayerNormalization(Float32Statistics, BaseNormalization):
    """Computes `(x - mean) / sqrt(variance + epsilon) * gamma + beta` over one axis or several.

    Mean and variance are those of one example; training and inference are the same. Half
    precision is summed in `float32`.

    Args:
        axis: int or list of ints, the axes normalized together; `gamma` and `beta` have their
            sizes.
        epsilon: float, added to the variance.
        center: bool, whether `beta` is added.
        scale: bool, whether `gamma` multiplies.
        beta_initializer, gamma_initializer: initializers, by name or instance.
        beta_regularizer, gamma_regularizer: regularizers, by name or instance, or None.
        beta_constraint, gamma_constraint: constraints, by name or instance, or None.
        rms_scaling: bool, deprecated as in Keras: True computes
            `x / sqrt(variance + epsilon) * gamma`, which is not RMS normalization.

    Input shape: any, with known sizes on `axis`.
    Output shape: that of the input, in the layer's compute dtype.

    Raises:
        TypeError: `axis` is no int and no list of ints.
        ValueError: the input lacks one of the axes, or its size is None at build.

    Source: Ba et al. 2016, arXiv:1607.06450, eq. 3.

    Example:

    >>> layer = keras.layers.LayerNormalization(epsilon=0.0)
    >>> layer(torch.tensor([[1.0, 3.0], [7.0, 5.0]])).detach()
    tensor([[-1.,  1.],
            [ 1., -1.]])
    """

    def __init__(
        self,
        axis=-1,
        epsilon=1e-3,
        center=True,
        scale=True,
        beta_initializer="zeros",
        gamma_initializer="ones",
        beta_regularizer=None,
        gamma_regularizer=None,
        beta_constraint=None,
        gamma_constraint=None,
        *,
        rms_scaling=False,
        **kwargs,
    ):
        axis = check_axis_argument(axis)
        super().__init__(center=center, scale=scale, **kwargs)
        set_weight_arguments(self, locals(), "beta", "gamma")
        if rms_scaling:
            warnings.warn(
                "`rms_scaling=True` divides by the standard deviation of inputs that are not "
                "centered, which is not RMS normalization. Use keras.layers.RMSNormalization.",
                stacklevel=2,
            )
        self.axis = axis
        self.epsilon = epsilon
        self.rms_scaling = rms_scaling

    def build(self, input_shape):
        self.axis = [self.axis] if isinstance(self.axis, int) else sorted(self.axis)
        axes = check_axes(self, len(input_shape), input_shape)
        # Keras's order of sizes, also where `axis` counts from both ends: files hold it.
        self._add_gamma_and_beta(
            known_sizes(self, axes, input_shape),
            scale=self.scale or self.rms_scaling,
            center=self.center and not self.rms_scaling,
        )
        self._trailing = None if self.rms_scaling else trailing_sizes(axes, input_shape)
        self._reshapes = axes != sorted(axes)
        self._axes = sorted(axes)
        self._broadcast = [s if a in axes else 1 for a, s in enumerate(input_shape)]

    def call(self, inputs):
        x, gamma, beta = self._in_one_dtype(inputs, *self._gamma_and_beta())
        sizes = self._trailing
        if sizes is not None:
            if self._reshapes:
                gamma = None if gamma is None else gamma.reshape(sizes)
                beta = None if beta is None else beta.reshape(sizes)
            y = F.layer_norm(x, sizes, gamma, beta, self.epsilon)
        else:
            y = self._over_inner_axes(x, gamma, beta)
        return y if y.dtype is self._compute_dtype else y.to(self._compute_dtype)

    def _over_inner_axes(self, x, gamma, beta):
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        variance, mean = torch.var_mean(x, self._axes, correction=0, keepdim=True)
        y = x if self.rms_scaling else x - mean
        factor = torch.rsqrt(variance + self.epsilon)
        y = y * (factor if gamma is None else factor * gamma.reshape(self._broadcast))
        return y if beta is None else y + beta.reshape(self._broadcast)

    def get_config(self):
        return {
            **super().get_config(),
            "axis": self.axis,
            "epsilon": self.epsilon,
            "rms_scaling": self.rms_scaling,
        }
