"""SeparableConv2D: a convolution of each channel, then one across the channels."""

from torchkeras.layers.convolutional.base_separable_conv import BaseSeparableConv


class SeparableConv2D(BaseSeparableConv):
    """2D convolution in two parts: first along the image, then across the channels.

    The first part is a `DepthwiseConv2D` without bias, the second a `Conv2D` with kernels of
    size 1. That is a convolution whose kernels are products, with fewer weights and operations.

    Args:
        filters: int of at least 1, channels of the output.
        kernel_size: int of at least 1, or two for height and width, in pixels.
        strides: int of at least 1, or two, in pixels.
        padding: `"valid"` for none, or `"same"` for zeros around the image, so that the output
            has `ceil(size / stride)` pixels. An odd number of zeros has the one more
            at the bottom and at the right.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.
        dilation_rate: int of at least 1, or two: distance in pixels between the inputs
            of neighbouring entries of the kernel.
        depth_multiplier: int of at least 1, channels between the parts for each of the input.
        activation: function, or its name; None for none.
        use_bias: bool, whether a bias is added.
        depthwise_initializer, pointwise_initializer, bias_initializer: Initializers, or their
            names.
        depthwise_regularizer, pointwise_regularizer, bias_regularizer: Regularizers, or their
            names, or None.
        activity_regularizer: Regularizer of the output, or its name, or None.
        depthwise_constraint, pointwise_constraint, bias_constraint: Constraints, or their names,
            or None.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height, width)` with
        `"channels_first"`.

    Output shape:
        `(batch, new_height, new_width, filters)`, or
        `(batch, filters, new_height, new_width)` with `"channels_first"`. A
        size `n` becomes `ceil(n / stride)` with `"same"`, else
        `floor((n - dilation_rate * (kernel_size - 1) - 1) / stride) + 1`.

    Raises:
        ValueError: an argument is out of its range; the channels are unknown; the image is
            smaller than the kernel.

    Source:
        Chollet 2017, arXiv:1610.02357. The weights are stored as
        `(height, width, channels, depth_multiplier)` and `(1, 1, channels *
        depth_multiplier, filters)`.

    Example:

    >>> layer = keras.layers.SeparableConv2D(4, 3, activation="relu")
    >>> layer(torch.ones(1, 7, 8, 3)).shape
    torch.Size([1, 5, 6, 4])
    """

    rank = 2
