"""RandomZoom: images enlarged or made smaller at random."""

from torchkeras.layers.preprocessing.image.affine_layer import AffineLayer, affine_rows
from torchkeras.layers.preprocessing.image.arguments import factor_range

_MORE_THAN_ALL = -1.0


class RandomZoom(AffineLayer):
    """Zooms each image about its middle in training, by factors of its own.

    Args:
        height_factor: float, for a height of the part that is seen from `1 - height_factor` to `1
            + height_factor` of the image's; or two floats above -1 and up to 1, the least and the
            greatest change. Below 0 the image is enlarged.
        width_factor: likewise for the width; None for the height's, drawn once.
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

    >>> zoom = keras.layers.RandomZoom((-0.5, -0.5), interpolation="nearest")
    >>> image = torch.arange(4.0).reshape(1, 4, 1)
    >>> zoom(image).flatten()
    tensor([1., 1., 2., 2.])
    """

    def __init__(
        self,
        height_factor,
        width_factor=None,
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
        self._heights = _zoom_range(height_factor, "height_factor")
        self._widths = None if width_factor is None else _zoom_range(width_factor, "width_factor")

    def get_random_transformation(self, data, training=True, seed=None):
        if not training:
            return None
        ranges = [self._heights] if self._widths is None else [self._heights, self._widths]
        drawn = self.draw_uniform(data, (len(ranges),), seed=seed)
        zooms = [
            1 + low + (high - low) * drawn[:, i : i + 1] for i, (low, high) in enumerate(ranges)
        ]
        shape = self.images_of(data).shape
        return {"height_zoom": zooms[0], "width_zoom": zooms[-1], "input_shape": shape}

    def matrices(self, transformation, height, width):
        x, y = transformation["width_zoom"][:, 0], transformation["height_zoom"][:, 0]
        left, above = (width - 1) / 2 * (1 - x), (height - 1) / 2 * (1 - y)
        return affine_rows(x, a0=x, a2=left, b1=y, b2=above)

    def get_config(self):
        return {
            **super().get_config(),
            "height_factor": self.height_factor,
            "width_factor": self.width_factor,
        }


def _zoom_range(factor, name):
    low, high = factor_range(factor, name=name)
    if low <= _MORE_THAN_ALL:
        raise ValueError(
            f"`{name}` must be above -1, where nothing of the image is left to be seen. Received: "
            f"{name}={factor!r}."
        )
    return low, high
