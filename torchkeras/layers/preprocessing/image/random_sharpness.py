"""RandomSharpness: images blurred or sharpened, in training."""

import torch

from torchkeras.layers.preprocessing.image.color_layer import ColorLayer, per_image


class RandomSharpness(ColorLayer):
    """Blurs or sharpens each image during training, by a factor drawn for each.

    A factor of 0 gives the smoothed image, 0.5 the image as it is, 1 the image with as much more of
    what smoothing takes away. A smoothed pixel is the mean of 3 by 3 pixels, its own counted five
    times; beyond the border stands 0.

    Args:
        factor: number from 0 to 1, for factors from 0 to it; or two numbers, the lowest and the
            highest.
        value_range: two numbers, the lowest and the highest value of a pixel.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.
        seed: int, or None; then draws follow `torch.manual_seed`.
        **kwargs: those of `BaseImagePreprocessingLayer`.

    Input shape: `(batch, height, width, channels)` or `(height, width, channels)`, of integers or
        floats; with the channels first for `data_format="channels_first"`. Or a dict of images
        and what belongs to them.
    Output shape: that of the input, in the layer's compute dtype.

    Raises:
        ValueError: `factor` is out of bounds, or `value_range` are not two numbers.

    Source: Cubuk et al. 2019, "AutoAugment", table 6, with the kernel of Pillow's `SMOOTH`.

    Example:

    >>> keras.layers.RandomSharpness((0.0, 0.0))(torch.tensor([[[130.0], [0.0]]])).flatten()
    tensor([50., 10.])
    """

    def __init__(self, factor, value_range=(0, 255), data_format=None, seed=None, **kwargs):
        super().__init__(factor, value_range, seed, data_format=data_format, **kwargs)

    def change_colors(self, images, transformation):
        last = self.data_format == "channels_last"
        first = images.movedim(-1, 1) if last else images
        around = torch.nn.functional.avg_pool2d(first, 3, stride=1, padding=1)
        around = around.movedim(1, -1) if last else around
        smooth = (9 * around + 4 * images) / 13
        factor = 2 * per_image(transformation["factor"], images)
        return self.clip(images + (1 - factor) * (smooth - images))
