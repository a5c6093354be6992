"""GroupNormalization: mean 0 and variance 1 over each group of channels of each example."""

import torch

from torchkeras.layers.input_spec import InputSpec
from torchkeras.layers.known_sizes import known_sizes
from torchkeras.layers.normalization.axes import check_axes
from torchkeras.layers.normalization.base_normalization import (
    BaseNormalization,
    Float32Statistics,
)
from torchkeras.layers.weight_arguments import set_weight_arguments


class GroupNormalization(Float32Statistics, BaseNormalization):
    """Normalizes each group of channels of each example, over all its positions.

    Computes `(x - mean) / sqrt(variance + epsilon) * gamma + beta`, with one `gamma` and one
    `beta` a channel. Training and inference are the same. Half precision is summed in `float32`.

    Args:
        groups: int, number of groups, a divisor of the number of channels; -1 for one group a
            channel (instance normalization).
        axis: int, the axis of the channels, not that of the batch.
        epsilon: float, added to the variance.
        center: bool, whether `beta` is added.
        scale: bool, whether `gamma` multiplies.
        beta_initializer, gamma_initializer: initializers, by name or instance.
        beta_regularizer, gamma_regularizer: regularizers, by name or instance, or None.
        beta_constraint, gamma_constraint: constraints, by name or instance, or None.

    Input shape: `(batch, ...)`, with a known size on `axis`.
    Output shape: that of the input, in the layer's compute dtype.

    Raises:
        ValueError: `groups` is neither positive nor -1, or does not divide the channels; the
            input lacks the axis, or its size is None at build.

    Source: Wu and He 2018, arXiv:1803.08494, eq. 7.

    Example:

    >>> layer = keras.layers.GroupNormalization(groups=2, epsilon=0.0)
    >>> layer(torch.tensor([[1.0, 3.0, 50.0, 10.0]])).detach()
    tensor([[-1.,  1.,  1., -1.]])
    """

    def __init__(
        self,
        groups=32,
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
        **kwargs,
    ):
        if not isinstance(groups, int) or (groups <= 0 and groups != -1):
            raise ValueError(
                "`groups` must be an int of at least 1, or -1 for one group a channel. Received: "
                f"groups={groups!r}."
            )
        super().__init__(center=center, scale=scale, **kwargs)
        set_weight_arguments(self, locals(), "beta", "gamma")
        self.groups = groups
        self.axis = axis
        self.epsilon = epsilon

    def build(self, input_shape):
        (axis,) = check_axes(self, len(input_shape), input_shape)
        if axis == 0:
            raise ValueError(
                f"Layer '{self.name}' groups channels of one example. Received: axis="
                f"{self.axis}, the axis of the batch, for input_shape={input_shape}. Give the "
                "axis of the channels."
            )
        (channels,) = known_sizes(self, [axis], input_shape)
        if self.groups == -1:
            self.groups = channels
        if channels % self.groups:
            raise ValueError(
                f"Layer '{self.name}' expects a number of channels that `groups` divides. "
                f"Received: groups={self.groups}, and {channels} channels on axis {self.axis} of "
                f"input_shape={input_shape}."
            )
        self._add_gamma_and_beta((channels,), self.scale, self.center)
        self._channel_axis = axis
        self.input_spec = InputSpec(ndim=len(input_shape), axes={self.axis: channels})

    def call(self, inputs):
        x, gamma, beta = self._in_one_dtype(inputs, *self._gamma_and_beta())
        axis = self._channel_axis
        if axis != 1:
            x = x.movedim(axis, 1)
        if x.device.type == "cpu" and not x.requires_grad and torch.is_grad_enabled():
            # torch 2.13 crashes in the backward pass of its channels-last kernel where only the
            # weights want a gradient.
            x = x.contiguous()
        # Not F.group_norm: it refuses a group of one value, which is normalized to 0.
        y = torch.group_norm(x, self.groups, gamma, beta, self.epsilon)
        if axis != 1:
            y = y.movedim(1, axis)
        return y if y.dtype is self._compute_dtype else y.to(self._compute_dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "groups": self.groups,
            "axis": self.axis,
            "epsilon": self.epsilon,
        }
