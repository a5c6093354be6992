"""RandomFlip: images mirrored at random."""

import torch

from torchkeras.layers.preprocessing.image.geometric_layer import GeometricLayer
from torchkeras.ops.geometry import choice_argument

_MODES = ("horizontal", "vertical", "horizontal_and_vertical")


class RandomFlip(GeometricLayer):
    """Mirrors half of the images in training, each by a draw of its own.

    Args:
        mode: `"horizontal"`, left and right change places; `"vertical"`, top and bottom do;
            `"horizontal_and_vertical"`, both do, together, as in Keras 3.
        seed: int, or None; then draws follow `torch.manual_seed`.
        data_format, bounding_box_format, **kwargs: see `BaseImagePreprocessingLayer`.

    Input shape: `(batch, height, width, channels)` or `(height, width, channels)`, or a dict.
    Output shape: that of the input, in the layer's compute dtype.

    Raises:
        ValueError: an unknown mode.

    Example:

    >>> flip = keras.layers.RandomFlip("horizontal", seed=0)
    >>> images = torch.tensor([1.0, 2.0]).reshape(1, 1, 2, 1).expand(4, 1, 2, 1)
    >>> flip(images)[:, 0, :, 0].tolist()
    [[2.0, 1.0], [1.0, 2.0], [1.0, 2.0], [1.0, 2.0]]
    """

    def __init__(self, mode="horizontal_and_vertical", seed=None, data_format=None, **kwargs):
        super().__init__(data_format=data_format, **kwargs)
        self.mode = choice_argument(mode, "mode", _MODES)
        self.set_seed(seed)

    def get_random_transformation(self, data, training=True, seed=None):
        if not training:
            return None
        flips = self.draw_uniform(data, (1, 1, 1), seed=seed) <= 0.5
        return {"flips": flips, "input_shape": self.images_of(data).shape}

    def warp(self, images, transformation, interpolation):
        axes = []
        if "horizontal" in self.mode:
            axes.append(self.width_axis)
        if "vertical" in self.mode:
            axes.append(self.height_axis)
        return torch.where(transformation["flips"], images.flip(axes), images)

    def move_boxes(self, boxes, transformation, height, width):
        x0, y0, x1, y1 = boxes.unbind(-1)
        if "horizontal" in self.mode:
            x0, x1 = width - x1, width - x0
        if "vertical" in self.mode:
            y0, y1 = height - y1, height - y0
        moved = torch.stack([x0, y0, x1, y1], -1)
        return torch.where(transformation["flips"].squeeze(-1), moved, boxes)

    def get_config(self):
        config = {**super().get_config(), "mode": self.mode, "seed": self.seed}
        del config["interpolation"]
        return config
