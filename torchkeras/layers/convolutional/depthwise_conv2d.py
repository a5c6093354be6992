"""DepthwiseConv2D: kernels slid over each channel of images by itself."""

from torchkeras.layers.convolutional.base_depthwise_conv import BaseDepthwiseConv


class DepthwiseConv2D(BaseDepthwiseConv):
    """2D convolution of each channel by itself.

    With `m = depth_multiplier`, strides `s` and dilation rate `d`, for each channel `c`:

        z[b, y, x, c * m + l] =
            sum_ij kernel[i, j, c, l] * inputs[b, y * s + i * d, x * s + j * d, c]

    and the output is the activation of `z` plus the bias.

    Args:
        kernel_size: int of at least 1, or two for height and width, in pixels.
        strides: int of at least 1, or two, in pixels.
        padding: `"valid"` for none, or `"same"` for zeros around the image, so that the output
            has `ceil(size / stride)` pixels. An odd number of zeros has the one more
            at the bottom and at the right.
        depth_multiplier: int of at least 1, channels of the output for each of the input.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.
        dilation_rate: int of at least 1, or two: distance in pixels between the inputs
            of neighbouring entries of the kernel.
        activation: function, or its name; None for none.
        use_bias: bool, whether a bias is added.
        depthwise_initializer, bias_initializer: Initializers, or their names.
        depthwise_regularizer, bias_regularizer: Regularizers, or their names, or None.
        activity_regularizer: Regularizer of the output, or its name, or None.
        depthwise_constraint, bias_constraint: Constraints, or their names, or None.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height, width)` with
        `"channels_first"`.

    Output shape:
        `(batch, new_height, new_width, channels * m)`, or
        `(batch, channels * m, new_height, new_width)` with `"channels_first"`. A
        size `n` becomes `ceil(n / stride)` with `"same"`, else
        `floor((n - dilation_rate * (kernel_size - 1) - 1) / stride) + 1`.

    Raises:
        ValueError: an argument is out of its range; the channels are unknown; the image is
            smaller than the kernel.

    Source:
        Chollet 2017, arXiv:1610.02357. The weight is called `kernel` and stored as
        `(height, width, channels, depth_multiplier)`.

    Example:

    >>> layer = keras.layers.DepthwiseConv2D(3, depth_multiplier=2)
    >>> layer(torch.ones(1, 7, 8, 3)).shape
    torch.Size([1, 5, 6, 6])
    """

    rank = 2
