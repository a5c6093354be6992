"""RandomTranslation: images shifted at random."""

import torch

from torchkeras.layers.preprocessing.image.affine_layer import AffineLayer, affine_rows
from torchkeras.layers.preprocessing.image.arguments import factor_range


class RandomTranslation(AffineLayer):
    """Shifts each image in training, by a way of its own.

    Args:
        height_factor: float, for shifts from `-height_factor` to `height_factor` of the height;
            or two floats from -1 to 1, the least and the greatest. Above 0 images move down.
        width_factor: likewise for the width. Above 0 images move to the right.
        fill_mode: what lies beyond the ends of an axis `a b c d`. `"reflect"`: `b a | a b c d | d
            c`; `"wrap"`: `c d | a b c d | a b`; `"nearest"`: `a a | a b c d | d d`; `"constant"`:
            `fill_value`.
        interpolation: `"nearest"` or `"bilinear"`.
        seed: int, or None; then draws follow `torch.manual_seed`.
        fill_value: number.
        data_format, bounding_box_format, **kwargs: see `BaseImagePreprocessingLayer`.

    Input shape: `(batch, height, width, channels)` or `(height, width, channels)`, or a dict.
    Output shape: that of the input, in the layer's compute dtype.

    Raises:
        ValueError: an argument is out of its range.

    Example:

    >>> shift = keras.layers.RandomTranslation(0.0, (0.25, 0.25), fill_mode="constant")
    >>> shift(torch.arange(1.0, 5.0).reshape(1, 4, 1)).flatten()
    tensor([0., 1., 2., 3.])
    """

    def __init__(
        self,
        height_factor,
        width_factor,
        fill_mode="reflect",
        interpolation="bilinear",
        seed=None,
        fill_value=0.0,
        data_format=None,
        **kwargs,
    ):
        super().__init__(
            fill_mode, interpolation, seed, fill_value, data_format=data_format, **kwargs
        )
        self.height_factor = height_factor
        self.width_factor = width_factor
        self._heights = factor_range(height_factor, name="height_factor")
        self._widths = factor_range(width_factor, name="width_factor")

    def get_random_transformation(self, data, training=True, seed=None):
        if not training:
            return None
        images = self.images_of(data)
        height, width = self.image_size(images)
        drawn = self.draw_uniform(data, (2,), seed=seed)
        shifts = [
            (low + (high - low) * drawn[:, i]) * size
            for i, ((low, high), size) in enumerate(
                ((self._widths, width), (self._heights, height))
            )
        ]
        return {"translations": torch.stack(shifts, 1), "input_shape": images.shape}

    def matrices(self, transformation, height, width):
        x, y = transformation["translations"].unbind(1)
        return affine_rows(x, a2=-x, b2=-y)

    def get_config(self):
        return {
            **super().get_config(),
            "height_factor": self.height_factor,
            "width_factor": self.width_factor,
        }
