"""RandomInvert: some images as their negatives, in training."""

import torch

from torchkeras.layers.preprocessing.image.color_layer import ColorLayer


class RandomInvert(ColorLayer):
    """Turns some images into their negatives during training: light is dark, and dark is light.

    Each image has a probability of its own, drawn from the range `factor`. A negative pixel is
    `lowest + highest - pixel`.

    Args:
        factor: number from 0 to 1, for probabilities from 0 to it; or two numbers, the lowest and
            the highest probability.
        value_range: two numbers, the lowest and the highest value of a pixel.
        seed: int, or None; then draws follow `torch.manual_seed`.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.
        **kwargs: those of `BaseImagePreprocessingLayer`.

    Input shape: `(batch, height, width, channels)` or `(height, width, channels)`, of integers or
        floats; with the channels first for `data_format="channels_first"`. Or a dict of images
        and what belongs to them.
    Output shape: that of the input, in the layer's compute dtype.

    Raises:
        ValueError: `factor` is out of bounds, or `value_range` are not two numbers.

    Example:

    >>> keras.layers.RandomInvert((1.0, 1.0))(torch.tensor([[[0, 100, 255]]]))
    tensor([[[255., 155.,   0.]]])
    """

    def __init__(self, factor=1.0, value_range=(0, 255), seed=None, data_format=None, **kwargs):
        super().__init__(factor, value_range, seed, data_format=data_format, **kwargs)

    def get_random_transformation(self, data, training=True, seed=None):
        """`{"apply_inversion": ...}`: a bool for each image, of shape `(batch,)`."""
        if not training:
            return None
        return {"apply_inversion": draw_chances(self, data, self.factor, seed)}

    def change_colors(self, images, transformation):
        chosen = transformation["apply_inversion"].reshape(-1, 1, 1, 1)
        return torch.where(chosen, sum(self.value_range) - images, images)


def draw_chances(layer, data, factor, seed=None):
    """For each image, whether something is to happen to it: bools of shape `(batch,)`.

    Args:
        layer: image layer that draws.
        data: what `get_random_transformation` was given.
        factor: lowest and highest probability; one is drawn for each image.
        seed: int or `SeedGenerator`; None for the layer's own.

    Example:

    >>> from torchkeras.layers.preprocessing.image.random_invert import draw_chances
    >>> draw_chances(keras.layers.RandomInvert(), torch.ones(2, 1, 1, 3), (1.0, 1.0))
    tensor([True, True])
    """
    low, high = factor
    probability, threshold = layer.draw_uniform(data, (2,), seed=seed).unbind(1)
    return threshold < probability * (high - low) + low
