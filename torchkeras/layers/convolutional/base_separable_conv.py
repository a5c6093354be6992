"""BaseSeparableConv: the body of SeparableConv1D and SeparableConv2D."""

from torchkeras.layers.convolutional.convolution_layer import ConvolutionLayer
from torchkeras.layers.spatial import int_argument
from torchkeras.layers.weight_arguments import set_weight_arguments, weight_arguments


class BaseSeparableConv(ConvolutionLayer):
    """A depthwise and a pointwise convolution; a subclass sets `rank`, and is documented."""

    _one_step = False

    def __init__(
        self,
        filters,
        kernel_size,
        strides=1,
        padding="valid",
        data_format=None,
        dilation_rate=1,
        depth_multiplier=1,
        activation=None,
        use_bias=True,
        depthwise_initializer="glorot_uniform",
        pointwise_initializer="glorot_uniform",
        bias_initializer="zeros",
        depthwise_regularizer=None,
        pointwise_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        depthwise_constraint=None,
        pointwise_constraint=None,
        bias_constraint=None,
        **kwargs,
    ):
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.filters = int_argument(filters, "filters")
        self.depth_multiplier = int_argument(depth_multiplier, "depth_multiplier")
        self._set_geometry(locals())
        set_weight_arguments(self, locals(), "depthwise", "pointwise", "bias")

    def build(self, input_shape):
        channels = self._known_channels(input_shape)
        self.compute_output_shape(input_shape)  # refuses an input smaller than the kernel
        self.depthwise_kernel = self.add_weight(
            name="depthwise_kernel",
            shape=(*self.kernel_size, channels, self.depth_multiplier),
            **weight_arguments(self, "depthwise"),
        )
        self.pointwise_kernel = self.add_weight(
            name="pointwise_kernel",
            shape=(*(1,) * self.rank, channels * self.depth_multiplier, self.filters),
            **weight_arguments(self, "pointwise"),
        )
        self._add_bias(self.filters)

    def call(self, inputs):
        kernel = self.depthwise_kernel.value
        return self._convolved(
            inputs,
            kernel.flatten(-2).unsqueeze(-2),
            kernel.shape[-2],
            self.pointwise_kernel.value,
        )

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "depth_multiplier": self.depth_multiplier,
        }
