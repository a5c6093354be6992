"""RandomPosterization: colours in fewer steps, in training."""

import torch

from torchkeras.layers.preprocessing.image.color_layer import ColorLayer, levels_of, rescaled

_BITS = 8


class RandomPosterization(ColorLayer):
    """Keeps some bits of the eight of each pixel during training.

    How many is drawn for each image. Values are cut off, so colours become darker.

    Args:
        factor: int from 1 to 8, for numbers of bits from 1 to it; or two ints, the least and the
            most bits to keep.
        value_range: two numbers, the lowest and the highest value of a pixel.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.
        seed: int, or None; then draws follow `torch.manual_seed`.
        **kwargs: those of `BaseImagePreprocessingLayer`.

    Input shape: `(batch, height, width, channels)` or `(height, width, channels)`, of integers or
        floats; with the channels first for `data_format="channels_first"`. Or a dict of images
        and what belongs to them.
    Output shape: that of the input, in the layer's compute dtype. No gradient passes.

    Raises:
        ValueError: `factor` holds something else than ints from 1 to 8, or `value_range` are not
            two numbers.

    Source: Cubuk et al. 2019, "AutoAugment", table 6. The most bits may be drawn, too; Keras
    3.15.1 never draws them.

    Example:

    >>> keras.layers.RandomPosterization((2, 2))(torch.tensor([[[10, 100, 255]]]))
    tensor([[[  0.,  64., 192.]]])
    """

    factor_bounds = (1, _BITS)

    def __init__(self, factor, value_range=(0, 255), data_format=None, seed=None, **kwargs):
        super().__init__(factor, value_range, seed, data_format=data_format, **kwargs)
        if any(bits != int(bits) for bits in self.factor):
            raise ValueError(
                "`factor` must be a number of bits from 1 to 8, or the least and the most of them. "
                f"Received: factor={factor!r}."
            )
        self.factor = tuple(map(int, self.factor))

    def get_random_transformation(self, data, training=True, seed=None):
        """`{"shift_factor": ...}`: how many bits each image loses, uint8 of shape `(batch,)`."""
        if not training:
            return None
        least, most = self.factor
        bits = self.draw_uniform(data, (), least, most + 1, seed).floor()
        return {"shift_factor": (_BITS - bits).clamp(min=_BITS - most).to(torch.uint8)}

    def change_colors(self, images, transformation):
        levels = levels_of(images, self.value_range).to(torch.uint8)
        shift = transformation["shift_factor"].reshape(-1, 1, 1, 1)
        return rescaled(self.cast(levels >> shift << shift), (0, 255), self.value_range)
