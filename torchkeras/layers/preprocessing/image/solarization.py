"""Solarization: light pixels as their negatives, in training."""

import torch

from torchkeras.layers.preprocessing.image.arguments import check_value_range, factor_range
from torchkeras.layers.preprocessing.image.base_image_preprocessing_layer import (
    BaseImagePreprocessingLayer,
)
from torchkeras.layers.preprocessing.image.color_layer import per_image, rescaled


class Solarization(BaseImagePreprocessingLayer):
    """Inverts the pixels that reach a threshold during training, after making the image lighter.

    Addition and threshold are drawn for each image, as parts of the range of values. With the
    defaults both are 0, and every pixel is inverted, to `lowest + highest - pixel`.

    Args:
        addition_factor: number from 0 to 1, for parts from 0 to it; or two, the lowest and the
            highest part that is added to the pixels.
        threshold_factor: likewise; only pixels of at least the threshold are inverted.
        value_range: two numbers, the lowest and the highest value of a pixel.
        seed: int, or None; then draws follow `torch.manual_seed`.
        **kwargs: those of `BaseImagePreprocessingLayer`.

    Input shape: `(batch, height, width, channels)` or `(height, width, channels)`, of integers or
        floats; with the channels first for `data_format="channels_first"`. Or a dict of images
        and what belongs to them.
    Output shape: that of the input, in the layer's compute dtype.

    Raises:
        ValueError: a factor is out of bounds, or `value_range` are not two numbers.

    Source: Cubuk et al. 2019, "AutoAugment", table 6. Both ends of a factor are parts of the range
    of values; in Keras 3.15.1 the lower end counts as a number of 255.

    Example:

    >>> keras.layers.Solarization(0.0, (0.5, 0.5))(torch.tensor([[[10, 100, 200]]]))
    tensor([[[ 10., 100.,  55.]]])
    """

    def __init__(
        self,
        addition_factor=0.0,
        threshold_factor=0.0,
        value_range=(0, 255),
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.set_seed(seed)
        bounds = (0, 1)
        self.addition_factor = factor_range(addition_factor, bounds, "addition_factor")
        self.threshold_factor = factor_range(threshold_factor, bounds, "threshold_factor")
        self.value_range = check_value_range(value_range)

    def get_random_transformation(self, data, training=True, seed=None):
        """`{"additions": ..., "thresholds": ...}`, each `(batch, 1, 1, 1)`, for pixels to 255."""
        if not training:
            return None
        numbers = self.draw_uniform(data, (2,), seed=seed).unbind(1)
        factors = (self.addition_factor, self.threshold_factor)
        additions, thresholds = (
            255 * (number * (high - low) + low).reshape(-1, 1, 1, 1)
            for number, (low, high) in zip(numbers, factors, strict=True)
        )
        return {"additions": additions, "thresholds": thresholds}

    def transform_images(self, images, transformation=None, training=True):
        images = self.cast(images)
        if not training or transformation is None:
            return images
        images = rescaled(images, self.value_range, (0, 255))
        images = (images + per_image(transformation["additions"], images)).clamp(0, 255)
        below = images < per_image(transformation["thresholds"], images)
        return rescaled(torch.where(below, images, 255 - images), (0, 255), self.value_range)

    def get_config(self):
        return {
            **super().get_config(),
            "value_range": self.value_range,
            "addition_factor": self.addition_factor,
            "threshold_factor": self.threshold_factor,
            "seed": self.seed,
        }
