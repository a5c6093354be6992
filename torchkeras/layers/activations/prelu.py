"""PReLU: a rectified linear unit that learns its slope below zero."""

import torch

from torchkeras.layers.input_spec import InputSpec
from torchkeras.layers.layer import Layer
from torchkeras.layers.weight_arguments import (
    set_weight_arguments,
    weight_arguments,
    weight_config,
)


class PReLU(Layer):
    """`x` where `x >= 0`, else `alpha * x`, with a learned `alpha` of the shape of a sample.

    Args:
        alpha_initializer: initializer, by name or instance.
        alpha_regularizer: regularizer, by name or instance, or None.
        alpha_constraint: constraint, by name or instance, or None.
        shared_axes: int or list of ints, the axes (1 is the first after the batch) along which
            one `alpha` serves all; None for one each.

    Input shape: `(batch, ...)`; all sizes but the batch and shared axes known at build.
    Output shape: that of the input.

    Source: He et al. 2015, arXiv:1502.01852, eq. 1; alpha starts at 0 as in Keras (0.25 there).

    Example:

    >>> layer = keras.layers.PReLU(alpha_initializer="ones", shared_axes=[1])
    >>> layer(torch.tensor([[[-1.0, 2.0]]]))
    tensor([[[-1.,  2.]]], grad_fn=<WhereBackward0>)
    >>> layer.alpha.shape
    (1, 2)
    """

    keeps_shape = True

    def __init__(
        self,
        alpha_initializer="Zeros",
        alpha_regularizer=None,
        alpha_constraint=None,
        shared_axes=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.supports_masking = True
        set_weight_arguments(self, locals(), "alpha")
        if shared_axes is not None and not isinstance(shared_axes, (list, tuple)):
            shared_axes = [shared_axes]
        self.shared_axes = None if shared_axes is None else list(shared_axes)

    def build(self, input_shape):
        shared = self.shared_axes or []
        rank = len(input_shape)
        if any(not 1 <= axis < rank for axis in shared):
            raise ValueError(
                f"Layer '{self.name}' shares axes from 1 to {rank - 1} of an input of rank {rank}. "
                f"Received: shared_axes={shared}, input_shape={input_shape}."
            )
        shape = [1 if axis in shared else size for axis, size in enumerate(input_shape)]
        self.alpha = self.add_weight(
            name="alpha", shape=shape[1:], **weight_arguments(self, "alpha")
        )
        axes = {axis: input_shape[axis] for axis in range(1, rank) if axis not in shared}
        self.input_spec = InputSpec(ndim=rank, axes=axes if shared else {})

    def call(self, inputs):
        return torch.where(inputs > 0, inputs, self.alpha.value * inputs)

    def get_config(self):
        return {
            **super().get_config(),
            **weight_config(self),
            "shared_axes": self.shared_axes,
        }
