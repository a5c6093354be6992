"""RandomHue: colours turned round the colour wheel, in training."""

import torch

from torchkeras.layers.preprocessing.image.color_layer import ColorLayer, rescaled
from torchkeras.ops.image_colors import hsv_to_rgb, rgb_to_hsv


class RandomHue(ColorLayer):
    """Turns the hue of each image during training, by an angle drawn for each.

    A factor of 1 is half a turn, in either direction; both are as likely.

    Args:
        factor: number from 0 to 1, for turns from 0 to it; or two numbers, the smallest and the
            largest turn.
        value_range: two numbers, the lowest and the highest value of a pixel.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.
        seed: int, or None; then draws follow `torch.manual_seed`.
        **kwargs: those of `BaseImagePreprocessingLayer`.

    Input shape: `(batch, height, width, 3)` or `(height, width, 3)`, of integers or floats; with
        the channels first for `data_format="channels_first"`. Or a dict of images and what
        belongs to them.
    Output shape: that of the input, in the layer's compute dtype.

    Raises:
        ValueError: `factor` is out of bounds, `value_range` are not two numbers, or images have
            another number of channels.

    Example:

    >>> layer = keras.layers.RandomHue((1.0, 1.0))  # to the complementary colour
    >>> layer(torch.tensor([[[255.0, 0.0, 0.0]]])).round().abs()
    tensor([[[  0., 255., 255.]]])
    """

    def __init__(self, factor, value_range=(0, 255), data_format=None, seed=None, **kwargs):
        super().__init__(factor, value_range, seed, data_format=data_format, **kwargs)

    def get_random_transformation(self, data, training=True, seed=None):
        """`{"factor": ...}`: the turn of each image, in whole turns, of shape `(batch,)`."""
        if not training:
            return None
        low, high = self.factor
        side, turn = self.draw_uniform(data, (2,), seed=seed).unbind(1)
        turn = (turn * (high - low) + low) * 0.5
        return {"factor": torch.where(side > 0.5, -turn, turn)}

    def change_colors(self, images, transformation):
        turn = transformation["factor"].reshape(-1, 1, 1).to(images.dtype)
        unit = rescaled(images, self.value_range, (0, 1))
        hue, saturation, value = rgb_to_hsv(unit, self.data_format).unbind(self.channels_axis)
        turned = torch.stack([hue + turn, saturation, value], self.channels_axis)
        colors = hsv_to_rgb(turned, self.data_format).clamp(0, 1)
        return rescaled(colors, (0, 1), self.value_range)
