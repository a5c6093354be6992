"""RandomContrast: pixels further from their mean, or nearer to it, in training."""

from torchkeras.layers.preprocessing.image.arguments import factor_range
from torchkeras.layers.preprocessing.image.color_layer import ColorLayer, per_image


class RandomContrast(ColorLayer):
    """`(pixel - mean) * contrast + mean` during training, for each channel of each image.

    The contrast is drawn for each image, evenly from `[1 - lower, 1 + upper]`; the result is
    clipped to the range of values.

    Args:
        factor: number from 0 to 1, which is both `lower` and `upper`; or the two numbers
            `(lower, upper)`.
        value_range: two numbers, the lowest and the highest value of a pixel.
        seed: int, or None; then draws follow `torch.manual_seed`.
        **kwargs: those of `BaseImagePreprocessingLayer`.

    Input shape: `(batch, height, width, channels)` or `(height, width, channels)`, of integers or
        floats; with the channels first for `data_format="channels_first"`. Or a dict of images
        and what belongs to them.
    Output shape: that of the input, in the layer's compute dtype.

    Raises:
        ValueError: `factor` is out of bounds, or `value_range` are not two numbers.

    Source: the meaning of one number is that of Keras's description; Keras 3.15.1 draws from
    `[1, 1 + factor]` there.

    Example:

    >>> layer = keras.layers.RandomContrast(0.2, seed=1)
    >>> y = layer(torch.tensor([[[100.0], [200.0]]]))
    >>> bool(y.max() - y.min() >= 80) and bool(y.max() - y.min() <= 120), float(y.mean())
    (True, 150.0)
    """

    def __init__(self, factor, value_range=(0, 255), seed=None, **kwargs):
        super().__init__(factor, value_range, seed, **kwargs)
        pair = tuple(factor) if isinstance(factor, (list, tuple)) else (abs(factor), abs(factor))
        for number in pair:
            factor_range(number, self.factor_bounds)
        self.factor = pair

    def get_random_transformation(self, data, training=True, seed=None):
        """`{"contrast_factor": ...}`, of shape `(batch, 1, 1, 1)`."""
        if not training:
            return None
        lower, upper = self.factor
        contrast = self.draw_uniform(data, (1, 1, 1), 1.0 - lower, 1.0 + upper, seed)
        return {"contrast_factor": contrast}

    def change_colors(self, images, transformation):
        mean = images.mean((self.height_axis, self.width_axis), keepdim=True)
        contrast = per_image(transformation["contrast_factor"], images)
        return self.clip((images - mean) * contrast + mean)
