"""Pooling over 1, 2 or 3 spatial axes, in both data formats: by windows, or to a given size."""

import torch.nn.functional as F

from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.operation import op, op_names
from torchkeras.kernels.max_pool import max_pool as max_pool_node
from torchkeras.ops import shape_rules as rules
from torchkeras.ops.geometry import TO_CHANNELS_FIRST, TO_CHANNELS_LAST, zeros_around
from torchkeras.ops.operands import to_float

_MAX = {1: max_pool_node, 2: max_pool_node, 3: F.max_pool3d}
_AVERAGE = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
_ADAPTIVE_MAX = {1: F.adaptive_max_pool1d, 2: F.adaptive_max_pool2d, 3: F.adaptive_max_pool3d}
_ADAPTIVE_AVERAGE = {
    1: F.adaptive_avg_pool1d,
    2: F.adaptive_avg_pool2d,
    3: F.adaptive_avg_pool3d,
}


def _pooled(function, inputs, pool_size, strides, padding, data_format):
    rank = inputs.dim() - 2
    strides = pool_size if strides is None else strides
    geometry = rules.Geometry(rank, pool_size, strides, padding, data_format)
    if geometry.channels_last:
        inputs = inputs.permute(*TO_CHANNELS_FIRST[rank])
    sides = [(0, 0)] * rank
    if geometry.same:
        sides = [
            zeros_around(*axis)
            for axis in zip(inputs.shape[2:], geometry.windows, geometry.strides, strict=True)
        ]
    outputs = function(inputs, geometry.windows, geometry.strides, sides)
    return outputs.permute(*TO_CHANNELS_LAST[rank]) if geometry.channels_last else outputs


def _is_even(sides):
    """Whether torch can add these places itself."""
    return all(before == after for before, after in sides)


def _padded(inputs, sides, value):
    return F.pad(inputs, [places for side in reversed(sides) for places in side], value=value)


def _largest(inputs, windows, strides, sides):
    pool = _MAX[len(windows)]
    if _is_even(sides):
        return pool(inputs, windows, strides, [before for before, after in sides])
    return pool(_padded(inputs, sides, float("-inf")), windows, strides, [0] * len(sides))


def _mean(inputs, windows, strides, sides):
    pool = _AVERAGE[len(windows)]
    if _is_even(sides):
        return pool(inputs, windows, strides, [before for before, after in sides], False, False)
    # The mean of what is there: padding does not count.
    ones = inputs.new_ones((1, 1, *inputs.shape[2:]))
    shares = pool(_padded(ones, sides, 0.0), windows, strides)
    return pool(_padded(inputs, sides, 0.0), windows, strides) / shares


@op(shape=rules.pool, dtype=rules.floating)
def max_pool(inputs, pool_size, strides=None, padding="valid", data_format=None):
    """Largest value of each window.

    Args:
        inputs: tensor of shape `(batch, *sizes, channels)`, or `(batch, channels, *sizes)`;
            integers give `floatx()`.
        pool_size: int, or tuple of ints for each axis, the size of a window.
        strides: int, or tuple of ints for each axis, places from one window to the next; None
            for `pool_size`.
        padding: `"valid"` for windows within the inputs, `"same"` for `ceil(size / stride)`.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.

    Output shape: the shape of `inputs` with other sizes.

    Raises:
        ValueError: shapes do not fit, or an argument is none of these.

    Example:

    >>> keras.ops.max_pool(torch.tensor([[[1.0], [3.0], [2.0], [0.0]]]), 2)
    tensor([[[3.],
             [2.]]])
    """
    rules.pool(inputs, pool_size, strides, padding, data_format)
    inputs = to_float(inputs)
    return _pooled(_largest, inputs, pool_size, strides, padding, data_format)


@op(shape=rules.pool, dtype=rules.floating)
def average_pool(inputs, pool_size, strides=None, padding="valid", data_format=None):
    """Mean of each window; padding does not count.

    Args:
        inputs, pool_size, strides, padding, data_format: as for `max_pool`.

    Output shape: the shape of `inputs` with other sizes.

    Example:

    >>> keras.ops.average_pool(torch.tensor([[[1.0], [3.0], [2.0], [0.0]]]), 2)
    tensor([[[2.],
             [1.]]])
    """
    rules.pool(inputs, pool_size, strides, padding, data_format)
    return _pooled(_mean, to_float(inputs), pool_size, strides, padding, data_format)


def _adapted(functions, inputs, output_size, data_format):
    rules.adaptive_pool(inputs, output_size, data_format)
    inputs = to_float(convert_to_tensor(inputs))
    rank = inputs.dim() - 2
    geometry = rules.Geometry(rank, output_size, data_format=data_format, name="output_size")
    if not geometry.channels_last:
        return functions[rank](inputs, geometry.windows)
    outputs = functions[rank](inputs.permute(*TO_CHANNELS_FIRST[rank]), geometry.windows)
    return outputs.permute(*TO_CHANNELS_LAST[rank])


@op(shape=rules.adaptive_pool, dtype=rules.floating)
def adaptive_max_pool(inputs, output_size, data_format=None):
    """Largest value of each of as many windows as are asked for, which cover the inputs.

    Args:
        inputs: tensor of shape `(batch, *sizes, channels)`, or `(batch, channels, *sizes)`;
            integers give `floatx()`.
        output_size: int, or tuple of ints for each axis. Window `i` of `n` goes from
            `floor(i * size / n)` up to, without, `ceil((i + 1) * size / n)`.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.

    Output shape: the shape of `inputs` with `output_size` for its sizes.

    Example:

    >>> keras.ops.adaptive_max_pool(torch.tensor([[[1.0], [3.0], [2.0]]]), 2)
    tensor([[[3.],
             [3.]]])
    """
    return _adapted(_ADAPTIVE_MAX, inputs, output_size, data_format)


@op(shape=rules.adaptive_pool, dtype=rules.floating)
def adaptive_average_pool(inputs, output_size, data_format=None):
    """Mean of each of as many windows as are asked for, which cover the inputs.

    Args:
        inputs, output_size, data_format: as for `adaptive_max_pool`.

    Output shape: the shape of `inputs` with `output_size` for its sizes.

    Example:

    >>> keras.ops.adaptive_average_pool(torch.tensor([[[1.0], [3.0], [2.0]]]), 2)
    tensor([[[2.0000],
             [2.5000]]])
    """
    return _adapted(_ADAPTIVE_AVERAGE, inputs, output_size, data_format)


__all__ = op_names(__name__)
