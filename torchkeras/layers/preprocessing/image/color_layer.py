"""ColorLayer: a change of colours by numbers drawn for each image; and the ranges of pixels."""

import torch

from torchkeras.layers.preprocessing.image.arguments import check_value_range, factor_range
from torchkeras.layers.preprocessing.image.base_image_preprocessing_layer import (
    BaseImagePreprocessingLayer,
)


class ColorLayer(BaseImagePreprocessingLayer):
    """Base of layers that change the colours of images in training, each by a factor of its own.

    Labels, boxes and masks stay as they are. A subclass defines `change_colors`, and
    `get_random_transformation` where it draws something else than one factor.

    Args:
        factor: number, or two of them; the bounds are the subclass' `factor_bounds`.
        value_range: two numbers, the lowest and the highest value of a pixel.
        seed: int, or None; then draws follow `torch.manual_seed`.
        **kwargs: those of `BaseImagePreprocessingLayer`.

    Raises:
        ValueError: `factor` is out of bounds, or `value_range` are not two numbers.

    Example:

    >>> from torchkeras.layers.preprocessing.image.color_layer import ColorLayer, per_image
    >>> class RandomShade(ColorLayer):
    ...     def change_colors(self, images, transformation):
    ...         return images * (1 - per_image(transformation["factor"], images))
    >>> RandomShade((0.25, 0.25))(torch.ones(1, 1, 1, 3))
    tensor([[[[0.7500, 0.7500, 0.7500]]]])
    """

    factor_bounds = (0.0, 1.0)
    factor_from_zero = False  # whether one number means the range from 0, whatever the bounds

    def __init__(self, factor, value_range=(0, 255), seed=None, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor_range(factor, self.factor_bounds)
        if self.factor_from_zero and not isinstance(factor, (list, tuple)):
            self.factor = (0.0, self.factor[1])
        self.value_range = check_value_range(value_range)
        self.set_seed(seed)

    def get_random_transformation(self, data, training=True, seed=None):
        """`{"factor": ...}`: a number for each image, of shape `(batch,)`."""
        return {"factor": self.draw_uniform(data, (), *self.factor, seed)} if training else None

    def transform_images(self, images, transformation=None, training=True):
        images = self.cast(images)
        if not training or transformation is None:
            return images
        return self.change_colors(images, transformation)

    def change_colors(self, images, transformation):
        """The images, which are of the compute dtype, in other colours; a subclass defines it."""
        raise NotImplementedError(
            f"{type(self).__name__} must define `change_colors(images, transformation)`. Received: "
            "a call of a layer without one."
        )

    def clip(self, images):
        """Images within the range of values."""
        return images.clamp(*self.value_range)

    def get_config(self):
        return {
            **super().get_config(),
            "factor": self.factor,
            "value_range": self.value_range,
            "seed": self.seed,
        }


def per_image(numbers, images):
    """One number for each image, in a shape and dtype that broadcast to the images.

    Example:

    >>> from torchkeras.layers.preprocessing.image.color_layer import per_image
    >>> per_image(torch.tensor([1.0, 2.0]), torch.ones(2, 4, 4, 3)).shape
    torch.Size([2, 1, 1, 1])
    """
    return numbers.reshape(-1, 1, 1, 1).to(images.dtype)


def rescaled(images, source, target):
    """Images of one range of values in another.

    Args:
        images: float tensor.
        source, target: two numbers each, lowest and highest value.

    Example:

    >>> from torchkeras.layers.preprocessing.image.color_layer import rescaled
    >>> rescaled(torch.tensor([0.0, 0.5]), (0, 1), (0, 255))
    tensor([  0.0000, 127.5000])
    """
    if tuple(source) == tuple(target):
        return images
    (low, high), (target_low, target_high) = source, target
    return (images - low) / (high - low) * (target_high - target_low) + target_low


def levels_of(images, value_range, count=256):
    """Which of `count` even steps of the range each pixel has reached, as int64 from 0.

    What is out of the range counts as its end.

    Example:

    >>> from torchkeras.layers.preprocessing.image.color_layer import levels_of
    >>> levels_of(torch.tensor([-1.0, 0.5, 7 / 255, 1.0]), (0, 1))
    tensor([  0, 127,   7, 255])
    """
    steps = rescaled(images.to(torch.float32), value_range, (0, count - 1))
    # A byte that was divided by 255 comes back a little below the whole number that it was.
    return (steps + 1e-3).clamp(0, count - 1).to(torch.int64)
