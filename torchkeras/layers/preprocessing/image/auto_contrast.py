"""AutoContrast: each channel of each image over the whole range of values."""

import torch

from torchkeras.layers.preprocessing.image.arguments import check_value_range
from torchkeras.layers.preprocessing.image.base_image_preprocessing_layer import (
    BaseImagePreprocessingLayer,
)


class AutoContrast(BaseImagePreprocessingLayer):
    """Stretches each channel of each image to the whole range of values, at inference as well.

    The darkest pixel of a channel gets the lowest value, the lightest one the highest. A channel
    of one value, or with a NaN in it, stays as it is.

    Args:
        value_range: two numbers, the lowest and the highest value of a pixel.
        **kwargs: those of `BaseImagePreprocessingLayer`.

    Input shape: `(batch, height, width, channels)` or `(height, width, channels)`, of integers or
        floats; with the channels first for `data_format="channels_first"`. Or a dict of images
        and what belongs to them.
    Output shape: that of the input, in the layer's compute dtype.

    Raises:
        ValueError: `value_range` are not two numbers.

    Source: Cubuk et al. 2019, "AutoAugment", table 6. Channels are kept apart in both data
    formats; Keras 3.15.1 stretches rows of all channels together for `"channels_first"`.

    Example:

    >>> keras.layers.AutoContrast()(torch.tensor([[[10.0], [20.0], [35.0]]])).flatten()
    tensor([  0., 102., 255.])
    """

    def __init__(self, value_range=(0, 255), **kwargs):
        super().__init__(**kwargs)
        self.value_range = check_value_range(value_range)

    def transform_images(self, images, transformation=None, training=True):
        images = self.cast(images)
        axes = (self.height_axis, self.width_axis)
        low, high = images.amin(axes, keepdim=True), images.amax(axes, keepdim=True)
        varies = high > low
        lowest, highest = self.value_range
        scale = (highest - lowest) / torch.where(varies, high - low, 1)
        stretched = ((images - low) * scale + lowest).clamp(lowest, highest)
        return torch.where(varies, stretched, images)

    def get_config(self):
        return {**super().get_config(), "value_range": self.value_range}
