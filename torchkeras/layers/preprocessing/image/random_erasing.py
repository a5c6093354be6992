"""RandomErasing: a rectangle of some images filled with noise or one colour, in training."""

import torch

from torchkeras.layers.preprocessing.image.arguments import factor_range
from torchkeras.layers.preprocessing.image.color_layer import ColorLayer
from torchkeras.layers.preprocessing.image.patches import rectangles
from torchkeras.layers.preprocessing.image.random_invert import draw_chances


class RandomErasing(ColorLayer):
    """Erases a rectangle of some images during training.

    Each image has a probability of its own, drawn from the range `factor`. Both sides of the
    rectangle are drawn apart, each as the square root of a number from `scale`, in parts of the
    image's; so the numbers of `scale` are about the parts of the area.

    Args:
        factor: number from 0 to 1, for probabilities from 0 to it; or two numbers, the lowest and
            the highest probability.
        scale: two numbers from 0 to 1, the smallest and the largest part; or one, for parts from 0
            to it.
        fill_value: number for all pixels erased, or a list of one for each channel; None for
            normal noise, with the highest value as its standard deviation, clipped to the range.
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
        ValueError: `factor` or `scale` is out of bounds, `fill_value` is neither a number nor a
            list of them, or `value_range` are not two numbers.

    Source: Zhong et al. 2017, "Random Erasing data augmentation"; the shape of the rectangle is
    Keras's.

    Example:

    >>> layer = keras.layers.RandomErasing((1.0, 1.0), scale=(0.25, 0.25), fill_value=7)
    >>> int((layer(torch.zeros(4, 4, 1)) == 7).sum())
    4
    """

    def __init__(
        self,
        factor=1.0,
        scale=(0.02, 0.33),
        fill_value=None,
        value_range=(0, 255),
        seed=None,
        data_format=None,
        **kwargs,
    ):
        super().__init__(factor, value_range, seed, data_format=data_format, **kwargs)
        self.scale = factor_range(scale, self.factor_bounds, "scale")
        colors = fill_value if isinstance(fill_value, (list, tuple)) else [fill_value or 0]
        if not colors or not all(isinstance(color, (int, float)) for color in colors):
            raise ValueError(
                "`fill_value` must be a number, a list of one for each channel, or None for noise. "
                f"Received: fill_value={fill_value!r}."
            )
        self.fill_value = fill_value

    def get_random_transformation(self, data, training=True, seed=None):
        """Which images, where in them, and with what: a dict.

        `apply_erasing` is of shape `(batch,)`, `batch_masks` of that of the images with 1 channel,
        `fill_value` broadcasts to the images.
        """
        if not training:
            return None
        images = self.images_of(data)
        smallest, largest = self.scale
        numbers = self.draw_uniform(data, (4,), seed=seed)
        sides = (numbers[:, :2] * (largest - smallest) + smallest).sqrt()
        return {
            "apply_erasing": draw_chances(self, data, self.factor, seed),
            "batch_masks": rectangles(self, images, sides, numbers[:, 2:]),
            "fill_value": self.clip(self._fill(data, images, seed)),
        }

    def _fill(self, data, images, seed):
        if self.fill_value is None:
            return self.draw_normal(data, images.shape[1:], seed) * self.value_range[1]
        colors = (
            self.fill_value if isinstance(self.fill_value, (list, tuple)) else [self.fill_value]
        )
        # Made on the device: a copy from the host would wait for it.
        color = torch.stack([torch.full((), c, device=images.device) for c in map(float, colors)])
        shape = [1, 1, 1, 1]
        shape[self.channels_axis] = -1
        return color.reshape(shape)

    def change_colors(self, images, transformation):
        chosen = transformation["apply_erasing"].reshape(-1, 1, 1, 1)
        erased = chosen & transformation["batch_masks"]
        return torch.where(erased, self.cast(transformation["fill_value"]), images)

    def get_config(self):
        return {**super().get_config(), "scale": self.scale, "fill_value": self.fill_value}
