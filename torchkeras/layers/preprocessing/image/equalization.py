"""Equalization: values spread so that all are about as frequent."""

import torch

from torchkeras.layers.preprocessing.image.arguments import check_value_range
from torchkeras.layers.preprocessing.image.base_image_preprocessing_layer import (
    BaseImagePreprocessingLayer,
)
from torchkeras.layers.preprocessing.image.color_layer import levels_of, rescaled


class Equalization(BaseImagePreprocessingLayer):
    """Equalizes the histogram of each channel of each image, at inference as well.

    A pixel gets the value that says how many pixels of its channel are not lighter than it. A
    channel whose pixels are all in one bin stays as it is.

    Args:
        value_range: two numbers, the lowest and the highest value of a pixel.
        bins: int, above 1. Bins of the histogram over the range of values.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.
        **kwargs: those of `BaseImagePreprocessingLayer`.

    Input shape: `(batch, height, width, channels)` or `(height, width, channels)`, of integers or
        floats; with the channels first for `data_format="channels_first"`. Or a dict of images
        and what belongs to them.
    Output shape: that of the input, in the layer's compute dtype. No gradient passes.

    Raises:
        ValueError: `value_range` are not two numbers, or `bins` is no int above 1.

    Source: the table of levels is
    `round(255 * (cdf - cdf_min) / (pixels - cdf_min))`. Each image has a histogram of its own;
    Keras 3.15.1 takes one for the whole batch, and does nothing at inference.

    Example:

    >>> keras.layers.Equalization()(torch.tensor([[[10.0], [11.0], [13.0]]])).flatten()
    tensor([  0., 128., 255.])
    """

    def __init__(self, value_range=(0, 255), bins=256, data_format=None, **kwargs):
        super().__init__(data_format=data_format, **kwargs)
        self.value_range = check_value_range(value_range)
        if isinstance(bins, bool) or not isinstance(bins, int) or bins < 2:
            raise ValueError(f"`bins` must be an int above 1. Received: bins={bins!r}.")
        self.bins = bins

    def transform_images(self, images, transformation=None, training=True):
        images = self.cast(images).detach()
        channels_last = self.data_format == "channels_last"
        first = images.movedim(-1, 1) if channels_last else images
        levels = levels_of(first, self.value_range, self.bins).flatten(2)
        counts = levels.new_zeros(*levels.shape[:2], self.bins)
        counts = counts.scatter_add(2, levels, torch.ones_like(levels))
        reached = counts.cumsum(2)
        lowest = torch.where(reached > 0, reached, levels.shape[2]).amin(2, keepdim=True)
        above = levels.shape[2] - lowest  # 0 where all are in one bin
        table = (255 * (reached - lowest).to(torch.float32) / above.clamp(min=1)).round()
        equalized = table.clamp(0, 255).gather(2, levels).reshape(first.shape)
        equalized = self.cast(rescaled(equalized, (0, 255), self.value_range))
        result = torch.where(above[..., None] > 0, equalized, first)
        return result.movedim(1, -1) if channels_last else result

    def get_config(self):
        return {**super().get_config(), "bins": self.bins, "value_range": self.value_range}
