"""Conv2D: kernels slid over images."""

from torchkeras.layers.convolutional.base_conv import BaseConv


class Conv2D(BaseConv):
    """2D convolution, from images to maps of features.

    With strides `s` and dilation rate `d`, for each filter `f`:

        z[b, y, x, f] = sum_ijc kernel[i, j, c, f] * inputs[b, y * s + i * d, x * s + j * d, c]
        outputs[b, y, x, f] = activation(z[b, y, x, f] + bias[f])

    so the kernel is not mirrored. With `groups` the channels and the filters are split into as
    many parts, and each part of the filters sees its part of the channels alone.

    Args:
        filters: int of at least 1, channels of the output; a multiple of `groups`.
        kernel_size: int of at least 1, or two for height and width, in pixels.
        strides: int of at least 1, or two, in pixels.
        padding: `"valid"` for none, or `"same"` for zeros around the image, so that the output
            has `ceil(size / stride)` pixels. An odd number of zeros has the one more at the
            bottom and at the right.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.
        dilation_rate: int of at least 1, or two: distance in pixels between the inputs of
            neighbouring entries of the kernel. Above 1 only with strides of 1.
        groups: int of at least 1, which divides `filters` and the channels of the input.
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
        `(batch, new_height, new_width, filters)`, or `(batch, filters, new_height, new_width)`. A
        size `n` becomes `ceil(n / stride)` with `"same"`, else
        `floor((n - dilation_rate * (kernel_size - 1) - 1) / stride) + 1`.

    Raises:
        ValueError: an argument is out of its range; the channels are unknown or no multiple of
            `groups`; the image is smaller than the kernel.

    Source:
        LeCun et al. 1989, "Backpropagation applied to handwritten zip code recognition"; sizes
        after Dumoulin & Visin 2016, arXiv:1603.07285, relationship 14; groups after Krizhevsky et
        al. 2012. The kernel is stored as `(height, width, channels / groups, filters)`.

    Example:

    >>> layer = keras.layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")
    >>> layer(torch.ones(1, 7, 8, 3)).shape
    torch.Size([1, 4, 4, 4])
    """

    rank = 2
