"""BaseConv: the body of Conv1D, Conv2D and Conv3D."""

from torchkeras.layers.convolutional.convolution_layer import ConvolutionLayer
from torchkeras.layers.spatial import int_argument
from torchkeras.layers.weight_arguments import set_weight_arguments, weight_arguments


class BaseConv(ConvolutionLayer):
    """Convolution over `rank` axes; a subclass sets `rank`, and has the documentation."""

    def __init__(
        self,
        filters,
        kernel_size,
        strides=1,
        padding="valid",
        data_format=None,
        dilation_rate=1,
        groups=1,
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
        self.groups = int_argument(groups, "groups")
        if filters % groups:
            raise ValueError(
                "`filters` must be a multiple of `groups`. Received: "
                f"filters={filters}, groups={groups}."
            )
        self._set_geometry(locals())
        set_weight_arguments(self, locals(), "kernel", "bias")

    def build(self, input_shape):
        channels = self._known_channels(input_shape)
        if channels % self.groups:
            raise ValueError(
                f"Layer '{self.name}' takes channels in a multiple of `groups`. Received: "
                f"input_shape={input_shape}, groups={self.groups}."
            )
        self.compute_output_shape(input_shape)  # refuses an input smaller than the kernel
        self.kernel = self.add_weight(
            name="kernel",
            shape=(*self.kernel_size, channels // self.groups, self.filters),
            **weight_arguments(self, "kernel"),
        )
        self._add_bias(self.filters)

    def call(self, inputs):
        return self._convolved(inputs, self.kernel.value, self.groups)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, "groups": self.groups}
