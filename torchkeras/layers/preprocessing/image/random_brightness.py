"""RandomBrightness: images brighter or darker, in training."""

from torchkeras.layers.preprocessing.image.color_layer import ColorLayer, per_image


class RandomBrightness(ColorLayer):
    """Adds a random number to all pixels of an image during training.

    The number is drawn for each image, as a part of the range of values; the result is clipped to
    the range.

    Args:
        factor: number from -1 (black) to 1 (white), for parts between minus and plus its size; or
            two numbers, the lowest and the highest part.
        value_range: two numbers, the lowest and the highest value of a pixel.
        seed: int, or None; then draws follow `torch.manual_seed`.
        **kwargs: those of `BaseImagePreprocessingLayer`.

    Input shape: `(batch, height, width, channels)` or `(height, width, channels)`, of integers or
        floats; with the channels first for `data_format="channels_first"`. Or a dict of images
        and what belongs to them.
    Output shape: that of the input, in the layer's compute dtype.

    Raises:
        ValueError: `factor` is out of bounds, or `value_range` are not two numbers.

    Example:

    >>> layer = keras.layers.RandomBrightness((0.1, 0.1))
    >>> layer(torch.tensor([[[0, 100, 250]]], dtype=torch.uint8))
    tensor([[[ 25.5000, 125.5000, 255.0000]]])
    """

    factor_bounds = (-1.0, 1.0)

    def get_random_transformation(self, data, training=True, seed=None):
        """`{"rgb_delta": ...}`: what is added to the pixels, of shape `(batch, 1, 1, 1)`."""
        if not training:
            return None
        low, high = self.value_range
        parts = self.draw_uniform(data, (1, 1, 1), *self.factor, seed)
        return {"rgb_delta": parts * (high - low)}

    def change_colors(self, images, transformation):
        return self.clip(images + per_image(transformation["rgb_delta"], images))
