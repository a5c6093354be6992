"""RandomSaturation: colours fuller or paler, in training."""

import torch

from torchkeras.core import config
from torchkeras.layers.preprocessing.image.color_layer import ColorLayer, rescaled
from torchkeras.ops.image_colors import hsv_to_rgb, rgb_to_hsv


class RandomSaturation(ColorLayer):
    """Multiplies the saturation of each image during training, by a number drawn for each.

    A factor `f` multiplies by `f / (1 - f)`: 0 gives shades of gray, 0.5 leaves the image as it
    is, 1 gives the fullest colours of the same hue and value.

    Args:
        factor: number from 0 to 1, for factors from 0 to it; or two numbers, the lowest and the
            highest.
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

    Source: the bounds of the factor are those of Keras's description. Saturation is at most 1;
    Keras 3.15.1 lets it grow to the highest value of a pixel, and gives negative colours.

    Example:

    >>> layer = keras.layers.RandomSaturation((1.0, 1.0))
    >>> layer(torch.tensor([[[200.0, 100.0, 100.0]]])).round().abs()
    tensor([[[200.,   0.,   0.]]])
    """

    factor_bounds = (-1.0, 1.0)  # what files of Keras have in them for one number
    factor_from_zero = True

    def __init__(self, factor, value_range=(0, 255), data_format=None, seed=None, **kwargs):
        super().__init__(factor, value_range, seed, data_format=data_format, **kwargs)

    def get_random_transformation(self, data, training=True, seed=None):
        """`{"factor": ...}`: what saturation is multiplied by, of shape `(batch,)`."""
        if not training:
            return None
        factor = self.draw_uniform(data, (), *self.factor, seed)
        return {"factor": factor / (1 - factor + config.epsilon())}

    def change_colors(self, images, transformation):
        factor = transformation["factor"].clamp(max=_LARGE).reshape(-1, 1, 1).to(images.dtype)
        unit = rescaled(images, self.value_range, (0, 1))
        hue, saturation, value = rgb_to_hsv(unit, self.data_format).unbind(self.channels_axis)
        colors = torch.stack([hue, (saturation * factor).clamp(0, 1), value], self.channels_axis)
        return rescaled(hsv_to_rgb(colors, self.data_format), (0, 1), self.value_range)


_LARGE = 1e4  # times it any saturation that shows is above 1; half precision holds it
