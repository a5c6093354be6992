"""Colours of images: shades of gray, and hue, saturation and value."""

import torch

from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.operation import op, op_names
from torchkeras.ops import shape_rules as rules
from torchkeras.ops.shape_rules.images import image_axes


@op(shape=rules.gray_images, dtype=rules.kept)
def rgb_to_grayscale(images, data_format=None):
    """Images in shades of gray: `0.2989 * red + 0.587 * green + 0.114 * blue`.

    Args:
        images: tensor of rank 3 or 4, with 3 channels, or 1, which is left as it is. Of integers
            what stands after the point is dropped, as in Keras.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.

    Output shape: that of the images, with 1 channel; in their dtype.

    Raises:
        ValueError: another rank, or another number of channels.

    Source: ITU-R BT.601.

    Example:

    >>> keras.ops.image.rgb_to_grayscale(torch.tensor([[[0.0, 1.0, 0.0]]]))
    tensor([[[0.5870]]])
    """
    images = convert_to_tensor(images)
    rules.gray_images(images, data_format)
    channels = image_axes(images.shape, data_format)[2]
    if images.shape[channels] == 1:
        return images.clone()
    red, green, blue = images.unbind(channels)
    gray = 0.2989 * red + 0.587 * green + 0.114 * blue
    return gray.to(images.dtype).unsqueeze(channels)


@op(shape=rules.color_images, dtype=rules.kept)
def rgb_to_hsv(images, data_format=None):
    """Hue, saturation and value of images of red, green and blue.

    All are from 0 to 1: a hue of 0 is red, 1/3 green and 2/3 blue.

    Args:
        images: float tensor of rank 3 or 4, with 3 channels, from 0 to 1.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.

    Output shape: that of the images, in their dtype.

    Raises:
        ValueError: another rank, another number of channels, or integers.

    Source: Smith 1978, "Color gamut transform pairs".

    Example:

    >>> keras.ops.image.rgb_to_hsv(torch.tensor([[[0.0, 0.5, 0.0]]]))
    tensor([[[0.3333, 1.0000, 0.5000]]])
    """
    images = convert_to_tensor(images)
    rules.color_images(images, data_format)
    channels = image_axes(images.shape, data_format)[2]
    images = torch.where(images.abs() < torch.finfo(images.dtype).eps, 0, images)
    red, green, blue = images.unbind(channels)
    value, lowest = images.amax(channels), images.amin(channels)
    spread = value - lowest
    # The other branch of each `where` divides by 1, so that no gradient is NaN.
    saturation = torch.where(value > 0, spread / torch.where(value > 0, value, 1), 0)
    sixth = 1 / (6 * torch.where(spread > 0, spread, 1))
    hue = torch.where(value == green, (blue - red) * sixth + 2 / 6, (red - green) * sixth + 4 / 6)
    hue = torch.where(value == red, (green - blue) * sixth, hue)
    hue = torch.where(spread > 0, hue, 0)
    return torch.stack([hue + (hue < 0), saturation, value], channels)


@op(shape=rules.color_images, dtype=rules.kept)
def hsv_to_rgb(images, data_format=None):
    """Red, green and blue of images of hue, saturation and value.

    Args:
        images: float tensor of rank 3 or 4, with 3 channels, from 0 to 1. A hue beyond goes round.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.

    Output shape: that of the images, in their dtype.

    Raises:
        ValueError: another rank, another number of channels, or integers.

    Example:

    >>> keras.ops.image.hsv_to_rgb(torch.tensor([[[1 / 3, 1.0, 0.5]]]))
    tensor([[[0.0000, 0.5000, 0.0000]]])
    """
    images = convert_to_tensor(images)
    rules.color_images(images, data_format)
    channels = image_axes(images.shape, data_format)[2]
    hue, saturation, value = images.unbind(channels)
    place = torch.remainder(hue, 1) * 6
    full = (
        (torch.abs(place - 3) - 1).clamp(0, 1),
        (2 - torch.abs(place - 2)).clamp(0, 1),
        (2 - torch.abs(place - 4)).clamp(0, 1),
    )
    pale = 1 - saturation
    return torch.stack([value * (pale + saturation * color) for color in full], channels)


__all__ = op_names(__name__)
