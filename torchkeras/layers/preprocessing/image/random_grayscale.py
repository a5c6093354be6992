"""RandomGrayscale: some images in shades of gray, in training."""

import torch

from torchkeras.layers.preprocessing.image.base_image_preprocessing_layer import (
    BaseImagePreprocessingLayer,
)
from torchkeras.ops.image_colors import rgb_to_grayscale


class RandomGrayscale(BaseImagePreprocessingLayer):
    """Turns some images into shades of gray during training; they keep their three channels.

    Args:
        factor: float from 0 to 1, the probability for each image.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.
        seed: int, or None; then draws follow `torch.manual_seed`.
        **kwargs: those of `BaseImagePreprocessingLayer`.

    Input shape: `(batch, height, width, 3)` or `(height, width, 3)`, of integers or floats; with
        the channels first for `data_format="channels_first"`. Or a dict of images and what
        belongs to them.
    Output shape: that of the input, in the layer's compute dtype.

    Raises:
        ValueError: `factor` is out of bounds, or images have another number of channels.

    Source: as in Keras, with the seed in the config.

    Example:

    >>> keras.layers.RandomGrayscale(1.0)(torch.tensor([[[100.0, 0.0, 0.0]]]))
    tensor([[[29.8900, 29.8900, 29.8900]]])
    """

    def __init__(self, factor=0.5, data_format=None, seed=None, **kwargs):
        super().__init__(data_format=data_format, **kwargs)
        if isinstance(factor, bool) or not isinstance(factor, (int, float)) or not 0 <= factor <= 1:
            raise ValueError(
                f"`factor` must be a probability, from 0 to 1. Received: factor={factor!r}."
            )
        self.factor = factor
        self.set_seed(seed)

    def get_random_transformation(self, data, training=True, seed=None):
        """Bools of shape `(batch, 1, 1, 1)`: which images become gray."""
        if not training:
            return None
        return self.draw_uniform(data, (1, 1, 1), seed=seed) < self.factor

    def transform_images(self, images, transformation=None, training=True):
        images = self.cast(images)
        if not training or transformation is None:
            return images
        return torch.where(transformation, rgb_to_grayscale(images, self.data_format), images)

    def get_config(self):
        return {**super().get_config(), "factor": self.factor, "seed": self.seed}
