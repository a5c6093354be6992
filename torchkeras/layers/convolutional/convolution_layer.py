"""ConvolutionLayer: what every layer that slides kernels over its input has in common."""

import torch

from torchkeras import activations, regularizers
from torchkeras.core import config
from torchkeras.layers.input_spec import InputSpec
from torchkeras.layers.known_sizes import known_sizes
from torchkeras.layers.layer import Layer
from torchkeras.layers.spatial import (
    TO_CHANNELS_FIRST,
    TO_CHANNELS_LAST,
    channel_axis,
    choice_argument,
    sizes_argument,
    window_counts,
    with_sizes,
    zeros_around,
)
from torchkeras.layers.weight_arguments import weight_arguments, weight_config
from torchkeras.ops.geometry import TO_TORCH_KERNEL

_CONVOLUTIONS = {
    1: torch.nn.functional.conv1d,
    2: torch.nn.functional.conv2d,
    3: torch.nn.functional.conv3d,
}


class ConvolutionLayer(Layer):
    """Base of layers with kernels: geometry, layouts and the call of torch.

    A subclass sets `rank`, calls `_set_geometry` and `set_weight_arguments` in `__init__`, and
    has `filters`, or its own `_channels_out`.

    Torch convolves channels first. Other data is handed to it as a permuted view, whose layout
    in memory torch knows as its `channels_last`, and its result is handed on as a view: a chain
    of such layers copies nothing.
    """

    rank = None  # number of spatial axes
    _paddings = ("valid", "same")
    _one_step = True  # whether strides and a dilation rate above 1 exclude each other, as in Keras

    def _set_geometry(self, arguments):
        """Attributes of the arguments that say where kernels go, of a dict such as `locals()`."""
        rank = self.rank
        for argument in ("kernel_size", "strides", "dilation_rate"):
            setattr(self, argument, sizes_argument(arguments[argument], rank, argument))
        self.padding = choice_argument(arguments["padding"], "padding", self._paddings)
        data_format = arguments["data_format"]
        self.data_format = choice_argument(
            config.image_data_format() if data_format is None else data_format,
            "data_format",
            ("channels_last", "channels_first"),
        )
        if self._one_step and max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(
                "Strides above 1 and a dilation rate above 1 exclude each other. Received: "
                f"strides={self.strides}, dilation_rate={self.dilation_rate}. Set one to 1."
            )
        self.activation = activations.get(arguments["activation"])
        self.use_bias = arguments["use_bias"]
        self.input_spec = InputSpec(ndim=rank + 2)
        self._windows = tuple(
            rate * (size - 1) + 1
            for rate, size in zip(self.dilation_rate, self.kernel_size, strict=True)
        )
        # Torch copies sequences whose channels come last, and images not: such a sequence goes to
        # it as an image of height 1, which halves the time of a training step.
        self._lifted = rank == 1 and self.data_format == "channels_last"
        ahead = (1,) if self._lifted else ()
        self._torch_rank = rank + len(ahead)
        self._torch_windows = (*ahead, *self._windows)
        self._torch_strides = (*ahead, *self.strides)
        self._torch_rates = (*ahead, *self.dilation_rate)
        # Zeros that torch adds itself: the same on both sides, whatever the size of the input.
        self._zeros = None
        if self.padding == "valid":
            self._zeros = (0,) * self._torch_rank
        elif self.padding == "same" and max(self.strides) == 1:
            if all(window % 2 for window in self._windows):
                self._zeros = tuple(window // 2 for window in self._torch_windows)

    def _known_channels(self, input_shape):
        """Channels of the input, which from now on all inputs must have."""
        axis = channel_axis(self.data_format)
        (channels,) = known_sizes(self, [axis], input_shape)
        self.input_spec = InputSpec(ndim=self.rank + 2, axes={axis: channels})
        return channels

    def _add_bias(self, channels):
        """Set `bias`: a weight, or None."""
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias", shape=(channels,), **weight_arguments(self, "bias")
            )

    def _convolved(self, inputs, kernel, groups, pointwise_kernel=None):
        """Activation of the convolution of `inputs` with a kernel in Keras's layout."""
        rank = self._torch_rank
        if inputs.dtype is not kernel.dtype:  # integers, such as pixels, come as they are
            inputs = inputs.to(kernel.dtype)
        if self._lifted:
            inputs, kernel = inputs.unsqueeze(1), kernel.unsqueeze(0)
        channels_last = self.data_format == "channels_last"
        if channels_last:
            inputs = inputs.permute(*TO_CHANNELS_FIRST[rank])
        zeros = self._zeros
        if zeros is None:
            inputs, zeros = self._padded(inputs)
        bias = None if self.bias is None else self.bias.value
        convolve, to_torch_kernel = _CONVOLUTIONS[rank], TO_TORCH_KERNEL[rank]
        outputs = convolve(
            inputs,
            kernel.permute(*to_torch_kernel),
            bias if pointwise_kernel is None else None,
            self._torch_strides,
            zeros,
            self._torch_rates,
            groups,
        )
        if pointwise_kernel is not None:
            if self._lifted:
                pointwise_kernel = pointwise_kernel.unsqueeze(0)
            outputs = convolve(outputs, pointwise_kernel.permute(*to_torch_kernel), bias)
        return self._activated(outputs)

    def _activated(self, outputs):
        """What torch gave, in the layout of the layer, through the activation."""
        if self.data_format == "channels_last":
            outputs = outputs.permute(*TO_CHANNELS_LAST[self._torch_rank])
            if self._lifted:
                outputs = outputs.squeeze(1)
        return outputs if self.activation is activations.linear else self.activation(outputs)

    def _padded(self, inputs):
        """`inputs`, and the zeros that torch is to add on both sides of them."""
        if self.padding == "causal":
            return torch.nn.functional.pad(inputs, (self._windows[0] - 1, 0)), 0
        sides = [
            zeros_around(size, window, stride)
            for size, window, stride in zip(
                inputs.shape[2:], self._torch_windows, self._torch_strides, strict=True
            )
        ]
        if all(before == after for before, after in sides):
            return inputs, [before for before, after in sides]
        around = [zeros for side in reversed(sides) for zeros in side]
        return torch.nn.functional.pad(inputs, around), 0

    def _channels_out(self, input_shape):
        return self.filters

    def compute_output_shape(self, input_shape):
        counts = window_counts(
            self, input_shape, self._windows, self.strides, self.padding, "kernel"
        )
        return with_sizes(input_shape, counts, self._channels_out(input_shape), self.data_format)

    def get_config(self):
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
            "dilation_rate": self.dilation_rate,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
            **weight_config(self),
        }
