"""Convolutions over 1, 2 or 3 spatial axes, in both data formats.

Kernels have Keras's layout, `(*sizes, channels in, channels out)`. Torch convolves channels
first; other data goes to it as a permuted view. Inputs and kernels are promoted to their common
float dtype.
"""

import torch.nn.functional as F

from torchkeras.core.operation import op, op_names
from torchkeras.ops import shape_rules as rules
from torchkeras.ops.geometry import (
    TO_CHANNELS_FIRST,
    TO_CHANNELS_LAST,
    TO_TORCH_KERNEL,
    zeros_around,
)
from torchkeras.ops.operands import same_dtype_pair, to_float

_CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def _operands(inputs, kernel):
    inputs, kernel = same_dtype_pair(inputs, kernel)
    return to_float(inputs), to_float(kernel)


def _convolved(inputs, kernel, geometry):
    """The convolution of tensors, of channels in groups where the kernel has fewer."""
    rank = len(geometry.strides)
    if geometry.channels_last:
        inputs = inputs.permute(*TO_CHANNELS_FIRST[rank])
    padding = 0
    if geometry.same:
        sides = [
            zeros_around(*axis)
            for axis in zip(inputs.shape[2:], geometry.windows, geometry.strides, strict=True)
        ]
        if all(before == after for before, after in sides):
            padding = [before for before, after in sides]
        else:
            inputs = F.pad(inputs, [zeros for side in reversed(sides) for zeros in side])
    outputs = _CONVOLUTIONS[rank](
        inputs,
        kernel.permute(*TO_TORCH_KERNEL[rank]),
        None,
        geometry.strides,
        padding,
        geometry.rates,
        inputs.shape[1] // kernel.shape[-2],
    )
    return outputs.permute(*TO_CHANNELS_LAST[rank]) if geometry.channels_last else outputs


@op(shape=rules.conv, dtype=rules.floats_promoted)
def conv(inputs, kernel, strides=1, padding="valid", data_format=None, dilation_rate=1):
    """Convolution of sequences, images or volumes with kernels.

    Args:
        inputs: tensor of shape `(batch, *sizes, channels)`, or `(batch, channels, *sizes)`.
        kernel: tensor of shape `(*kernel sizes, channels in, filters)`. Where it has fewer
            channels than the inputs, these are convolved in groups of as many.
        strides: int, or tuple of ints for each axis, places from one window to the next.
        padding: `"valid"` for windows within the inputs, `"same"` for `ceil(size / stride)`.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.
        dilation_rate: int, or tuple of ints for each axis, distance of the kernel's places.

    Output shape: the shape of `inputs` with other sizes, and `filters` channels.

    Raises:
        ValueError: shapes do not fit, or an argument is none of these.

    Example:

    >>> keras.ops.conv(torch.ones(1, 5, 2), torch.ones(3, 2, 4)).shape
    torch.Size([1, 3, 4])
    """
    rules.conv(inputs, kernel, strides, padding, data_format, dilation_rate)
    inputs, kernel = _operands(inputs, kernel)
    sizes = tuple(kernel.shape[:-2])
    geometry = rules.Geometry(len(sizes), sizes, strides, padding, data_format, dilation_rate)
    return _convolved(inputs, kernel, geometry)


@op(shape=rules.depthwise_conv, dtype=rules.floats_promoted)
def depthwise_conv(inputs, kernel, strides=1, padding="valid", data_format=None, dilation_rate=1):
    """Convolution of each channel by itself, with several kernels.

    Args:
        inputs, strides, padding, data_format, dilation_rate: as for `conv`.
        kernel: tensor of shape `(*kernel sizes, channels, multiplier)`.

    Output shape: the shape of `inputs` with other sizes, and `channels * multiplier` channels.

    Example:

    >>> keras.ops.depthwise_conv(torch.ones(1, 5, 2), torch.ones(3, 2, 4)).shape
    torch.Size([1, 3, 8])
    """
    rules.depthwise_conv(inputs, kernel, strides, padding, data_format, dilation_rate)
    inputs, kernel = _operands(inputs, kernel)
    sizes = tuple(kernel.shape[:-2])
    geometry = rules.Geometry(len(sizes), sizes, strides, padding, data_format, dilation_rate)
    return _convolved(inputs, _one_channel_in(kernel), geometry)


def _one_channel_in(kernel):
    return kernel.reshape(*kernel.shape[:-2], 1, kernel.shape[-2] * kernel.shape[-1])


@op(shape=rules.separable_conv, dtype=rules.floats_promoted)
def separable_conv(
    inputs,
    depthwise_kernel,
    pointwise_kernel,
    strides=1,
    padding="valid",
    data_format=None,
    dilation_rate=1,
):
    """Convolution of each channel by itself, then of all channels place by place.

    Args:
        inputs, strides, padding, data_format, dilation_rate: as for `conv`.
        depthwise_kernel: tensor of shape `(*kernel sizes, channels, multiplier)`.
        pointwise_kernel: tensor of shape `(1, ..., channels * multiplier, filters)`.

    Output shape: the shape of `inputs` with other sizes, and `filters` channels.

    Example:

    >>> x = torch.ones(1, 5, 2)
    >>> keras.ops.separable_conv(x, torch.ones(3, 2, 2), torch.ones(1, 4, 7)).shape
    torch.Size([1, 3, 7])
    """
    outputs = depthwise_conv(inputs, depthwise_kernel, strides, padding, data_format, dilation_rate)
    return conv(outputs, pointwise_kernel, data_format=data_format)


@op(shape=rules.conv_transpose, dtype=rules.floats_promoted)
def conv_transpose(
    inputs,
    kernel,
    strides=1,
    padding="valid",
    output_padding=None,
    data_format=None,
    dilation_rate=1,
):
    """Transposed convolution: the gradient of a convolution with regard to its inputs.

    Args:
        inputs, strides, padding, data_format, dilation_rate: as for `conv`.
        kernel: tensor of shape `(*kernel sizes, filters, channels in)`.
        output_padding: int, or tuple of ints for each axis, below `strides`: places that the
            output has more; None for as many as make the sizes multiples of the strides
            (`"same"`), or the kernel fit (`"valid"`).

    Output shape: the shape of `inputs` with other sizes, and `filters` channels.

    Example:

    >>> keras.ops.conv_transpose(torch.ones(1, 5, 2), torch.ones(3, 4, 2), strides=2).shape
    torch.Size([1, 11, 4])
    """
    rules.conv_transpose(
        inputs, kernel, strides, padding, output_padding, data_format, dilation_rate
    )
    inputs, kernel = _operands(inputs, kernel)
    sizes = tuple(kernel.shape[:-2])
    geometry = rules.Geometry(len(sizes), sizes, strides, padding, data_format, dilation_rate)
    rank = len(geometry.strides)
    if geometry.channels_last:
        inputs = inputs.permute(*TO_CHANNELS_FIRST[rank])
    cuts = geometry.cuts(output_padding)
    outputs = _TRANSPOSED[rank](
        inputs,
        kernel.permute(*TO_TORCH_KERNEL[rank]),
        None,
        geometry.strides,
        0,
        0,
        1,
        geometry.rates,
    )
    around = [-places for pair in reversed(cuts) for places in pair]
    outputs = F.pad(outputs, around)
    return outputs.permute(*TO_CHANNELS_LAST[rank]) if geometry.channels_last else outputs


__all__ = op_names(__name__)
