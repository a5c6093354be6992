"""Conv3D: kernels slid over volumes."""

from torchkeras.layers.convolutional.base_conv import BaseConv


class Conv3D(BaseConv):
    """3D convolution, from volumes to volumes of features.

    With strides `s` and dilation rate `d`, for each filter `f`:

        v[b, z, y, x, f] = sum_ijkc kernel[i, j, k, c, f]
            * inputs[b, z * s + i * d, y * s + j * d, x * s + k * d, c]
        outputs[b, z, y, x, f] = activation(v[b, z, y, x, f] + bias[f])

    so the kernel is not mirrored. With `groups` the channels and the filters are split into as
    many parts, and each part of the filters sees its part of the channels alone.

    Args:
        filters: int of at least 1, channels of the output; a multiple of `groups`.
        kernel_size: int of at least 1, or three for depth, height and width, in voxels.
        strides: int of at least 1, or three, in voxels.
        padding: `"valid"` for none, or `"same"` for zeros around the volume, so that the output
            has `ceil(size / stride)` voxels. An odd number of zeros has the one more at the far
            end.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.
        dilation_rate: int of at least 1, or three: distance in voxels between the inputs
            of neighbouring entries of the kernel. Above 1 only with strides of 1.
        groups: int of at least 1, which divides `filters` and the channels of the input.
        activation: function, or its name; None for none.
        use_bias: bool, whether a bias is added.
        kernel_initializer, bias_initializer: Initializers, or their names.
        kernel_regularizer, bias_regularizer: Regularizers, or their names, or None.
        activity_regularizer: Regularizer of the output, or its name, or None.
        kernel_constraint, bias_constraint: Constraints, or their names, or None.

    Input shape:
        `(batch, depth, height, width, channels)`, or `(batch, channels, depth, height, width)` with
        `"channels_first"`.

    Output shape:
        `(batch, new_depth, new_height, new_width, filters)`, or
        `(batch, filters, new_depth, new_height, new_width)` with `"channels_first"`. A
        size `n` becomes `ceil(n / stride)` with `"same"`, else
        `floor((n - dilation_rate * (kernel_size - 1) - 1) / stride) + 1`.

    Raises:
        ValueError: an argument is out of its range; the channels are unknown or no multiple of
            `groups`; the volume is smaller than the kernel.

    Source:
        Ji et al. 2013, "3D convolutional neural networks for human action recognition"; sizes
        after Dumoulin & Visin 2016, arXiv:1603.07285, relationship 14. The kernel is stored as
        `(depth, height, width, channels / groups, filters)`.

    Example:

    >>> layer = keras.layers.Conv3D(4, 3, strides=2, padding="same", activation="relu")
    >>> layer(torch.ones(1, 5, 7, 8, 3)).shape
    torch.Size([1, 3, 4, 4, 4])
    """

    rank = 3
