"""BaseConvTranspose: the body of Conv1DTranspose, Conv2DTranspose and Conv3DTranspose."""

import torch

from torchkeras.layers.convolutional.convolution_layer import ConvolutionLayer
from torchkeras.layers.spatial import (
    TO_CHANNELS_FIRST,
    first_spatial_axis,
    int_argument,
    sizes_argument,
    spatial_sizes,
    with_sizes,
)
from torchkeras.layers.weight_arguments import set_weight_arguments, weight_arguments
from torchkeras.ops.geometry import TO_TORCH_KERNEL, transposed_cuts

_CONVOLUTIONS = {
    1: torch.nn.functional.conv_transpose1d,
    2: torch.nn.functional.conv_transpose2d,
    3: torch.nn.functional.conv_transpose3d,
}


class BaseConvTranspose(ConvolutionLayer):
    """Transposed convolution over `rank` axes; a subclass sets `rank`, and is documented."""

    def __init__(
        self,
        filters,
        kernel_size,
        strides=1,
        padding="valid",
        output_padding=None,
        data_format=None,
        dilation_rate=1,
        activation=None,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        **kwargs,
    ):
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.filters = int_argument(filters, "filters")
        self._set_geometry(locals())
        if output_padding is not None:
            output_padding = sizes_argument(output_padding, self.rank, "output_padding", least=0)
            if any(more >= s for more, s in zip(output_padding, self.strides, strict=True)):
                raise ValueError(
                    "`output_padding` must be below `strides` on each axis. Received: "
                    f"output_padding={output_padding}, strides={self.strides}."
                )
        self.output_padding = output_padding
        set_weight_arguments(self, locals(), "kernel", "bias")
        cuts = [
            transposed_cuts(*axis, self.padding == "same")
            for axis in zip(
                self._windows,
                self.strides,
                output_padding or (None,) * self.rank,
                strict=True,
            )
        ]
        # Torch cuts the same at both ends and adds to the end; more at the end we cut ourselves.
        torch_cuts = [(0, 0), *cuts] if self._lifted else cuts
        self._cut = tuple(before for before, after in torch_cuts)
        self._added = tuple(max(before - after, 0) for before, after in torch_cuts)
        self._cut_more = tuple(
            (axis, after - before)
            for axis, (before, after) in enumerate(torch_cuts, 2)
            if after > before
        )
        self._sizes_added = tuple(
            window - before - after
            for window, (before, after) in zip(self._windows, cuts, strict=True)
        )

    def build(self, input_shape):
        channels = self._known_channels(input_shape)
        self.compute_output_shape(input_shape)  # refuses an input that leaves no output
        self.kernel = self.add_weight(
            name="kernel",
            shape=(*self.kernel_size, self.filters, channels),
            **weight_arguments(self, "kernel"),
        )
        self._add_bias(self.filters)

    def call(self, inputs):
        rank, kernel = self._torch_rank, self.kernel.value
        if inputs.dtype is not kernel.dtype:  # integers, such as pixels, come as they are
            inputs = inputs.to(kernel.dtype)
        if self._lifted:
            inputs, kernel = inputs.unsqueeze(1), kernel.unsqueeze(0)
        if self.data_format == "channels_last":
            inputs = inputs.permute(*TO_CHANNELS_FIRST[rank])
        outputs = _CONVOLUTIONS[rank](
            inputs,
            kernel.permute(*TO_TORCH_KERNEL[rank]),
            None if self.bias is None else self.bias.value,
            self._torch_strides,
            self._cut,
            self._added,
            1,
            self._torch_rates,
        )
        for axis, more in self._cut_more:
            outputs = outputs.narrow(axis, 0, outputs.shape[axis] - more)
        return self._activated(outputs)

    def compute_output_shape(self, input_shape):
        sizes = list(spatial_sizes(self, self.rank, input_shape))
        for place, size in enumerate(sizes):
            if size is not None:
                sizes[place] = (size - 1) * self.strides[place] + self._sizes_added[place]
                if sizes[place] < 1:
                    raise ValueError(
                        f"Layer '{self.name}' leaves no output on axis "
                        f"{first_spatial_axis(self.data_format) + place}. Received: input_shape="
                        f"{tuple(input_shape)}, output_padding={self.output_padding}. Raise "
                        "`output_padding`, or give a larger input."
                    )
        return with_sizes(input_shape, sizes, self.filters, self.data_format)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "output_padding": self.output_padding,
        }
