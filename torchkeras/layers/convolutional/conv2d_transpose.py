"""Conv2DTranspose: each place of an image spread by a kernel."""

from torchkeras.layers.convolutional.base_conv_transpose import BaseConvTranspose


class Conv2DTranspose(BaseConvTranspose):
    """2D transposed convolution, from small images to larger ones.

    The transpose of the linear map that a convolution is: where that one gathers a window into
    one place, this one adds the kernel, times the value of a place, to a window of the output
    that starts at the place times `strides`. With `padding="same"` the output is cut at both
    ends, at the end by one more where the number is odd.

    Args:
        filters: int of at least 1, channels of the output.
        kernel_size: int of at least 1, or two for height and width, in pixels.
        strides: int of at least 1, or two, in pixels of the output.
        padding: `"valid"` to keep all that a kernel reaches, or `"same"`.
        output_padding: int, or two, at least 0 and below the stride, which
            chooses among the sizes that a convolution would bring to the input's; None for the
            sizes below.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.
        dilation_rate: int of at least 1, or two: distance in pixels between the outputs
            of neighbouring entries of the kernel. Above 1 only with strides of 1.
        activation: function, or its name; None for none.
        use_bias: bool, whether a bias is added.
        kernel_initializer, bias_initializer: Initializers, or their names.
        kernel_regularizer, bias_regularizer: Regularizers, or their names, or None.
        activity_regularizer: Regularizer of the output, or its name, or None.
        kernel_constraint, bias_constraint: Constraints, or their names, or None.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height, width)` with
        `"channels_first"`.

    Output shape:
        `(batch, new_height, new_width, filters)`, or
        `(batch, filters, new_height, new_width)` with `"channels_first"`. A
        size `n` becomes `(n - 1) * stride + max(k, stride)` with
        `"valid"`, and `n * stride` with `"same"`; with an `output_padding` it becomes
        `(n - 1) * stride + output_padding` plus `k`, or with `"same"` plus `k % 2`. Here `k` is
        `dilation_rate * (kernel_size - 1) + 1`.

    Raises:
        ValueError: an argument is out of its range; the channels are unknown; no output is left.

    Source:
        Dumoulin & Visin 2016, arXiv:1603.07285, section 4; sizes as in Keras. The kernel is
        stored as `(height, width, filters, channels)`.

    Example:

    >>> layer = keras.layers.Conv2DTranspose(2, 3, strides=2, padding="same")
    >>> layer(torch.ones(1, 4, 5, 3)).shape
    torch.Size([1, 8, 10, 2])
    """

    rank = 2
