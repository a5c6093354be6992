"""Rectangles within images, as layers that erase or paste them draw them."""

import torch


def rectangles(layer, images, sides, places):
    """Where the pixels of a rectangle are, one for each image.

    Args:
        layer: image layer, for its data format.
        images: batch of images.
        sides: tensor of shape `(batch, 2)`: width and height, as parts of the image's.
        places: tensor of shape `(batch, 2)`, from 0 to 1: of the room that is left along width and
            height, how much lies before the rectangle.

    Returns:
        Bool tensor in the shape of the images, with 1 channel.

    Source: as in Keras, with the centres of pixels; Keras 3.15.1 compares their upper left corners,
    and so spares the first row and column.

    Example:

    >>> from torchkeras.layers.preprocessing.image.patches import rectangles
    >>> images, half = torch.ones(1, 2, 4, 3), torch.tensor([[0.5, 0.5]])
    >>> rectangles(keras.layers.CutMix(), images, half, torch.ones(1, 2))[0, ..., 0]
    tensor([[False, False, False, False],
            [False, False,  True,  True]])
    """
    height, width = layer.image_size(images)
    across = _within(width, sides[:, :1], places[:, :1])
    down = _within(height, sides[:, 1:], places[:, 1:])
    return (down[:, :, None] & across[:, None, :]).unsqueeze(layer.channels_axis)


def _within(size, part, place):
    length = part * size
    start = place * (size - length)
    # Where a pixel's centre lies decides, so that both borders are as near.
    centres = torch.arange(size, device=part.device, dtype=part.dtype) + 0.5
    return (centres >= start) & (centres < start + length)
