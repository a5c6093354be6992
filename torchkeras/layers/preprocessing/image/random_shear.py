"""RandomShear: images slanted at random."""

import torch

from torchkeras.layers.preprocessing.image.affine_layer import AffineLayer, affine_rows
from torchkeras.layers.preprocessing.image.arguments import factor_range


class RandomShear(AffineLayer):
    """Slants each image in training, by amounts of its own.

    The pixel at `(x, y)` of the result is read at `(x + a y, y + b x)`.

    Args:
        x_factor: float from 0 to 1, for `a` from `-x_factor` to `x_factor`; or two floats, the
            least and the greatest `a`, of which the sign is drawn as well, one for both axes.
        y_factor: likewise for `b`.
        interpolation: `"nearest"` or `"bilinear"`.
        fill_mode: what lies beyond the ends of an axis `a b c d`. `"reflect"`: `b a | a b c d | d
            c`; `"wrap"`: `c d | a b c d | a b`; `"nearest"`: `a a | a b c d | d d`; `"constant"`:
            `fill_value`.
        fill_value: number.
        data_format: see `BaseImagePreprocessingLayer`.
        seed: int, or None; then draws follow `torch.manual_seed`.
        bounding_box_format, **kwargs: see `BaseImagePreprocessingLayer`.

    Input shape: `(batch, height, width, channels)` or `(height, width, channels)`, or a dict.
    Output shape: that of the input, in the layer's compute dtype. A box becomes the smallest
        upright one around its corners.

    Raises:
        ValueError: an argument is out of its range.

    Example:

    >>> layer = keras.layers.RandomShear(x_factor=0.3, seed=1)
    >>> layer(torch.ones(2, 8, 8, 3)).shape
    torch.Size([2, 8, 8, 3])
    """

    def __init__(
        self,
        x_factor=0.0,
        y_factor=0.0,
        interpolation="bilinear",
        fill_mode="reflect",
        fill_value=0.0,
        data_format=None,
        seed=None,
        **kwargs,
    ):
        super().__init__(
            fill_mode, interpolation, seed, fill_value, data_format=data_format, **kwargs
        )
        self.x_factor = _shear_range(x_factor, "x_factor")
        self.y_factor = _shear_range(y_factor, "y_factor")

    def get_random_transformation(self, data, training=True, seed=None):
        if not training:
            return None
        drawn = self.draw_uniform(data, (3,), seed=seed)
        sign = torch.where(drawn[:, :1] > 0.5, -1.0, 1.0)
        factors = [
            (low + (high - low) * drawn[:, i : i + 1]) * sign
            for i, (low, high) in enumerate((self.x_factor, self.y_factor), 1)
        ]
        factors = torch.cat(factors, 1)
        return {"shear_factor": factors, "input_shape": self.images_of(data).shape}

    def matrices(self, transformation, height, width):
        x, y = transformation["shear_factor"].unbind(1)
        return affine_rows(x, a1=x, b0=y)

    def get_config(self):
        return {**super().get_config(), "x_factor": self.x_factor, "y_factor": self.y_factor}


def _shear_range(factor, name):
    # Configs, Keras's too, hold the range that a single number stands for.
    if isinstance(factor, (list, tuple)) and len(factor) == 2 and factor[0] == -factor[1]:
        factor = factor[1]
    low, high = factor_range(factor, (0.0, 1.0), name)
    return (low, high) if isinstance(factor, (list, tuple)) else (-high, high)
