"""Conv1D: kernels slid over sequences."""

from torchkeras.layers.convolutional.base_conv import BaseConv


class Conv1D(BaseConv):
    """1D convolution, from sequences to sequences of features.

    With strides `s` and dilation rate `d`, for each filter `f`:

        z[b, t, f] = sum_ic kernel[i, c, f] * inputs[b, t * s + i * d, c]
        outputs[b, t, f] = activation(z[b, t, f] + bias[f])

    so the kernel is not mirrored. With `groups` the channels and the filters are split into as
    many parts, and each part of the filters sees its part of the channels alone.

    Args:
        filters: int of at least 1, channels of the output; a multiple of `groups`.
        kernel_size: int of at least 1, or a tuple of one, in steps.
        strides: int of at least 1, or a tuple of one, in steps.
        padding: `"valid"` for none; `"same"` for zeros around the sequence, so that the output has
            `ceil(size / stride)` steps, an odd number of them with the one more at the end;
            `"causal"` for as many steps, with all zeros before the sequence, so that no output
            depends on a later input.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.
        dilation_rate: int of at least 1, or a tuple of one: distance in steps between the inputs
            of neighbouring entries of the kernel. Above 1 only with strides of 1.
        groups: int of at least 1, which divides `filters` and the channels of the input.
        activation: function, or its name; None for none.
        use_bias: bool, whether a bias is added.
        kernel_initializer, bias_initializer: Initializers, or their names.
        kernel_regularizer, bias_regularizer: Regularizers, or their names, or None.
        activity_regularizer: Regularizer of the output, or its name, or None.
        kernel_constraint, bias_constraint: Constraints, or their names, or None.

    Input shape:
        `(batch, steps, channels)`, or `(batch, channels, steps)` with
        `"channels_first"`.

    Output shape:
        `(batch, new_steps, filters)`, or
        `(batch, filters, new_steps)` with `"channels_first"`. A
        size `n` becomes `ceil(n / stride)` with `"same"` and `"causal"`, else
        `floor((n - dilation_rate * (kernel_size - 1) - 1) / stride) + 1`.

    Raises:
        ValueError: an argument is out of its range; the channels are unknown or no multiple of
            `groups`; the sequence is smaller than the kernel.

    Source:
        Waibel et al. 1989, "Phoneme recognition using time-delay neural networks"; `"causal"` after
        van den Oord et al. 2016, arXiv:1609.03499, section 2.1. The kernel is stored as
        `(steps, channels / groups, filters)`.

    Example:

    >>> layer = keras.layers.Conv1D(4, 3, padding="causal", dilation_rate=2)
    >>> layer(torch.ones(1, 7, 3)).shape
    torch.Size([1, 7, 4])
    """

    rank = 1
    _paddings = ("valid", "same", "causal")
