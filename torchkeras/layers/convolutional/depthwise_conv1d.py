"""DepthwiseConv1D: kernels slid over each channel of sequences by itself."""

from torchkeras.layers.convolutional.base_depthwise_conv import BaseDepthwiseConv


class DepthwiseConv1D(BaseDepthwiseConv):
    """1D convolution of each channel by itself.

    With `m = depth_multiplier`, strides `s` and dilation rate `d`, for each channel `c`:

        z[b, t, c * m + j] = sum_i kernel[i, c, j] * inputs[b, t * s + i * d, c]

    and the output is the activation of `z` plus the bias.

    Args:
        kernel_size: int of at least 1, or a tuple of one, in steps.
        strides: int of at least 1, or a tuple of one, in steps.
        padding: `"valid"` for none, or `"same"` for zeros around the sequence, so that the output
            has `ceil(size / stride)` steps. An odd number of zeros has the one more
            at the end.
        depth_multiplier: int of at least 1, channels of the output for each of the input.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.
        dilation_rate: int of at least 1, or a tuple of one: distance in steps between the inputs
            of neighbouring entries of the kernel.
        activation: function, or its name; None for none.
        use_bias: bool, whether a bias is added.
        depthwise_initializer, bias_initializer: Initializers, or their names.
        depthwise_regularizer, bias_regularizer: Regularizers, or their names, or None.
        activity_regularizer: Regularizer of the output, or its name, or None.
        depthwise_constraint, bias_constraint: Constraints, or their names, or None.

    Input shape:
        `(batch, steps, channels)`, or `(batch, channels, steps)` with
        `"channels_first"`.

    Output shape:
        `(batch, new_steps, channels * m)`, or
        `(batch, channels * m, new_steps)` with `"channels_first"`. A
        size `n` becomes `ceil(n / stride)` with `"same"`, else
        `floor((n - dilation_rate * (kernel_size - 1) - 1) / stride) + 1`.

    Raises:
        ValueError: an argument is out of its range; the channels are unknown; the sequence is
            smaller than the kernel.

    Source:
        Chollet 2017, arXiv:1610.02357. The weight is called `kernel` and stored as
        `(steps, channels, depth_multiplier)`.

    Example:

    >>> layer = keras.layers.DepthwiseConv1D(3, depth_multiplier=2)
    >>> layer(torch.ones(1, 7, 3)).shape
    torch.Size([1, 5, 6])
    """

    rank = 1
