"""Images cut into blocks, and put together again."""

import torch.nn.functional as F

from torchkeras.core import config
from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.operation import op, op_names
from torchkeras.ops import shape_rules as rules
from torchkeras.ops.operands import to_float


@op(shape=rules.unfold, dtype=rules.floating)
def unfold(x, kernel_size, dilation=1, padding=0, stride=1):
    """Blocks of images, which may overlap, as columns.

    Args:
        x: tensor of shape `(batch, channels, height, width)`; integers give `floatx()`.
        kernel_size: int or pair of ints, places of a block.
        dilation: int or pair of ints, distance of these places.
        padding: int or pair of ints, zeros on both sides of each axis.
        stride: int or pair of ints, places from one block to the next.

    Output shape: `(batch, channels * places of a block, blocks)`.

    Example:

    >>> keras.ops.unfold(torch.ones(1, 3, 4, 4), 2).shape
    torch.Size([1, 12, 9])
    """
    rules.unfold(x, kernel_size, dilation, padding, stride)
    return F.unfold(to_float(x), kernel_size, dilation, padding, stride)


@op(shape=rules.fold, dtype=rules.floating)
def fold(x, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """Images that are the sum of blocks: the transpose of `unfold`.

    Args:
        x: tensor of shape `(batch, channels * places of a block, blocks)`; integers give
            `floatx()`.
        output_size: int or pair of ints, height and width.
        kernel_size, dilation, padding, stride: as for `unfold`.

    Output shape: `(batch, channels, height, width)`.

    Raises:
        ValueError: there are other blocks than cover the image.

    Example:

    >>> keras.ops.fold(torch.ones(1, 4, 4), 3, 2)
    tensor([[[[1., 2., 1.],
              [2., 4., 2.],
              [1., 2., 1.]]]])
    """
    rules.fold(x, output_size, kernel_size, dilation, padding, stride)
    return F.fold(to_float(x), output_size, kernel_size, dilation, padding, stride)


@op(shape=rules.depth_to_space, dtype=rules.kept)
def depth_to_space(x, block_size, data_format="channels_last"):
    """Blocks of pixels out of the channels of each pixel.

    Args:
        x: tensor of shape `(batch, height, width, channels)`, or channels first.
        block_size: int, at least 2.
        data_format: `"channels_last"` or `"channels_first"`.

    Output shape: `(batch, height * block_size, width * block_size, channels / block_size**2)`.
    The channels hold, for each pixel of a block, row by row, those of the result
    (`"channels_first"`: for each of these the block).

    Example:

    >>> keras.ops.depth_to_space(torch.tensor([[[[1, 2, 3, 4]]]]), 2)[0, ..., 0]
    tensor([[1, 2],
            [3, 4]])
    """
    rules.depth_to_space(x, block_size, data_format)
    x, b = convert_to_tensor(x), block_size
    if config.standardize_data_format(data_format) == "channels_last":
        n, h, w, c = x.shape
        x = x.reshape(n, h, w, b, b, c // b**2).permute(0, 1, 3, 2, 4, 5)
        return x.reshape(n, h * b, w * b, c // b**2)
    n, c, h, w = x.shape
    x = x.reshape(n, c // b**2, b, b, h, w).permute(0, 1, 4, 2, 5, 3)
    return x.reshape(n, c // b**2, h * b, w * b)


@op(shape=rules.space_to_depth, dtype=rules.kept)
def space_to_depth(x, block_size, data_format="channels_last"):
    """Blocks of pixels put into the channels of one pixel: the inverse of `depth_to_space`.

    Args:
        x: tensor of shape `(batch, height, width, channels)`, or channels first.
        block_size: int, at least 2, which divides height and width.
        data_format: `"channels_last"` or `"channels_first"`.

    Output shape: `(batch, height / block_size, width / block_size, channels * block_size**2)`.

    Example:

    >>> keras.ops.space_to_depth(torch.arange(4).reshape(1, 2, 2, 1), 2)
    tensor([[[[0, 1, 2, 3]]]])
    """
    rules.space_to_depth(x, block_size, data_format)
    x, b = convert_to_tensor(x), block_size
    if config.standardize_data_format(data_format) == "channels_last":
        n, h, w, c = x.shape
        x = x.reshape(n, h // b, b, w // b, b, c).permute(0, 1, 3, 2, 4, 5)
        return x.reshape(n, h // b, w // b, c * b**2)
    n, c, h, w = x.shape
    x = x.reshape(n, c, h // b, b, w // b, b).permute(0, 1, 3, 5, 2, 4)
    return x.reshape(n, c * b**2, h // b, w // b)


__all__ = op_names(__name__)
