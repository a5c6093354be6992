"""BaseDepthwiseConv: the body of DepthwiseConv1D and DepthwiseConv2D."""

from torchkeras.layers.convolutional.convolution_layer import ConvolutionLayer
from torchkeras.layers.spatial import channel_axis, int_argument
from torchkeras.layers.weight_arguments import set_weight_arguments, weight_arguments


class BaseDepthwiseConv(ConvolutionLayer):
    """Convolution of each channel; a subclass sets `rank`, and has the documentation."""

    _one_step = False

    def __init__(
        self,
        kernel_size,
        strides=1,
        padding="valid",
        depth_multiplier=1,
        data_format=None,
        dilation_rate=1,
        activation=None,
        use_bias=True,
        depthwise_initializer="glorot_uniform",
        bias_initializer="zeros",
        depthwise_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        depthwise_constraint=None,
        bias_constraint=None,
        **kwargs,
    ):
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.depth_multiplier = int_argument(depth_multiplier, "depth_multiplier")
        self._set_geometry(locals())
        set_weight_arguments(self, locals(), "depthwise", "bias")

    def build(self, input_shape):
        channels = self._known_channels(input_shape)
        self.compute_output_shape(input_shape)  # refuses an input smaller than the kernel
        self.kernel = self.add_weight(
            name="kernel",
            shape=(*self.kernel_size, channels, self.depth_multiplier),
            **weight_arguments(self, "depthwise"),
        )
        self._add_bias(channels * self.depth_multiplier)

    def call(self, inputs):
        kernel = self.kernel.value
        return self._convolved(inputs, kernel.flatten(-2).unsqueeze(-2), kernel.shape[-2])

    def _channels_out(self, input_shape):
        channels = input_shape[channel_axis(self.data_format)]
        return None if channels is None else channels * self.depth_multiplier

    def get_config(self):
        return {**super().get_config(), "depth_multiplier": self.depth_multiplier}
