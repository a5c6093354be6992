"""RandomElasticTransform: images of which every pixel is moved a little, at random."""

import torch

from torchkeras.layers.preprocessing.image.affine_layer import FILL_MODES
from torchkeras.layers.preprocessing.image.arguments import check_value_range, factor_range
from torchkeras.layers.preprocessing.image.geometric_layer import GeometricLayer
from torchkeras.ops.geometry import choice_argument
from torchkeras.ops.image_warps import elastic_moves, moved
from torchkeras.ops.sampling import ORDERS


class RandomElasticTransform(GeometricLayer):
    """Moves the pixels of images in training, neighbours alike, each image's in its own way.

    See `keras.ops.image.elastic_transform`, with `alpha = 0.1 * s * max(height, width)` and
    `sigma = 0.05 * s * min(height, width)`.

    Args:
        factor: float from 0 to 1, or two of them: the probability that an image is changed is
            drawn between 0 and it, or between the two.
        scale: float from 0 to 1, or two of them, likewise for `s`.
        interpolation: `"nearest"` or `"bilinear"`.
        fill_mode: what lies beyond the images: `"reflect"`, `"wrap"`, `"constant"`, `"nearest"` or
            `"mirror"`, as in `keras.ops.image.map_coordinates`.
        fill_value: number.
        value_range: two numbers, the lowest and the highest value of a pixel; others are cut.
        seed: int, or None; then draws follow `torch.manual_seed`.
        data_format, bounding_box_format, **kwargs: see `BaseImagePreprocessingLayer`.

    Input shape: `(batch, height, width, channels)` or `(height, width, channels)`, or a dict.
    Output shape: that of the input, in the layer's compute dtype. A box becomes the smallest one
        around the pixels that come from it.

    Raises:
        ValueError: an argument is out of its range.

    Source: Simard et al. 2003, "Best practices for convolutional neural networks applied to visual
    document analysis".

    Example:

    >>> layer = keras.layers.RandomElasticTransform(factor=(1.0, 1.0), seed=1)
    >>> layer(torch.ones(2, 16, 16, 3)).shape
    torch.Size([2, 16, 16, 3])
    """

    def __init__(
        self,
        factor=1.0,
        scale=1.0,
        interpolation="bilinear",
        fill_mode="reflect",
        fill_value=0.0,
        value_range=(0, 255),
        seed=None,
        data_format=None,
        **kwargs,
    ):
        super().__init__(interpolation=interpolation, data_format=data_format, **kwargs)
        self.factor = factor_range(factor, (0.0, 1.0))
        self.scale = factor_range(scale, (0.0, 1.0), "scale")
        self.fill_mode = choice_argument(fill_mode, "fill_mode", (*FILL_MODES, "mirror"))
        self.fill_value = fill_value
        self.value_range = check_value_range(value_range)
        self.set_seed(seed)

    def get_random_transformation(self, data, training=True, seed=None):
        if not training or self.scale[1] == 0 or self.factor[1] == 0:
            return None
        images = self.images_of(data)
        height, width = self.image_size(images)
        seed = self.generator if seed is None else seed
        drawn = self.draw_uniform(data, (3,), seed=seed)
        apply = drawn[:, 0] < self.factor[0] + (self.factor[1] - self.factor[0]) * drawn[:, 1]
        scale = self.scale[0] + (self.scale[1] - self.scale[0]) * drawn[:, 2]
        noise = self.draw_normal(data, (2, height, width), seed=seed)
        shorter = 0.05 * min(height, width)
        # No window of width 0, which is none.
        sigma = (scale * shorter).clamp(min=1e-3)
        window = int(6 * shorter * self.scale[1]) | 1
        moves = elastic_moves(noise, scale * 0.1 * max(height, width), sigma, window)
        return {
            "moves": torch.where(apply[:, None, None, None], moves, 0),
            "input_shape": images.shape,
        }

    def transform_images(self, images, transformation, training=True):
        images = super().transform_images(images, transformation, training)
        if not training or transformation is None:
            return images
        return images.clamp(*self.value_range)

    def warp(self, images, transformation, interpolation):
        channels = images.dim() + self.channels_axis
        warped = moved(
            images.movedim(channels, -1),
            transformation["moves"],
            ORDERS[interpolation],
            self.fill_mode,
            self.fill_value,
        )
        return warped.movedim(-1, channels)

    def move_boxes(self, boxes, transformation, height, width):
        moves = transformation["moves"]
        columns = torch.arange(width, device=boxes.device)
        rows = torch.arange(height, device=boxes.device)
        x = (columns + 0.5 + moves[:, 0]).unsqueeze(1)  # where the pixels come from
        y = (rows[:, None] + 0.5 + moves[:, 1]).unsqueeze(1)
        x0, y0, x1, y1 = (each[..., None, None] for each in boxes.unbind(-1))
        inside = (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)  # (batch, boxes, height, width)
        in_column, in_row = inside.any(-2), inside.any(-1)
        extent = torch.stack(
            [
                torch.where(in_column, columns, width).amin(-1),
                torch.where(in_row, rows, height).amin(-1),
                torch.where(in_column, columns + 1, 0).amax(-1),
                torch.where(in_row, rows + 1, 0).amax(-1),
            ],
            -1,
        )
        return extent.masked_fill(~in_row.any(-1, keepdim=True), 0).to(boxes.dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "factor": self.factor,
            "scale": self.scale,
            "fill_mode": self.fill_mode,
            "fill_value": self.fill_value,
            "value_range": self.value_range,
            "seed": self.seed,
        }
