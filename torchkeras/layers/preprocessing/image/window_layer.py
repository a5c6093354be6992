"""WindowLayer: base of layers that take a part of each image, or more, in a given size."""

import torch

from torchkeras.layers.preprocessing.image.base_image_preprocessing_layer import (
    BaseImagePreprocessingLayer,
)
from torchkeras.layers.preprocessing.image.bounding_boxes.formats import (
    clip_to_image_size,
    convert_format,
)
from torchkeras.layers.spatial import int_argument


class WindowLayer(BaseImagePreprocessingLayer):
    """Images of a given size, made of a window of each; a subclass is documented.

    A subclass defines `take(images, transformation, interpolation)` and `window(height, width,
    transformation)`, which says where the window lies: `(top, left, height, width)` in pixels.

    Args:
        height, width: ints of at least 1.
        **kwargs: those of `BaseImagePreprocessingLayer`.
    """

    def __init__(self, height, width, **kwargs):
        super().__init__(**kwargs)
        self.height = int_argument(height, "height")
        self.width = int_argument(width, "width")

    def get_random_transformation(self, data, training=True, seed=None):
        return {"input_shape": self.images_of(data).shape}

    def transform_images(self, images, transformation, training=True):
        return self.take(self.cast(images), transformation, "bilinear")

    def transform_segmentation_masks(self, segmentation_masks, transformation, training=True):
        return self.take(segmentation_masks, transformation, "nearest")

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        shape = transformation["input_shape"]
        height, width = shape[self.height_axis], shape[self.width_axis]
        given = self.bounding_box_format
        moved = convert_format(bounding_boxes, given, "xyxy", height, width)
        top, left, rows, columns = self.window(height, width, transformation)
        x_scale, y_scale = self.width / columns, self.height / rows
        x0, y0, x1, y1 = moved["boxes"].unbind(-1)
        moved["boxes"] = torch.stack(
            [
                (x0 - left) * x_scale,
                (y0 - top) * y_scale,
                (x1 - left) * x_scale,
                (y1 - top) * y_scale,
            ],
            -1,
        )
        moved = clip_to_image_size(moved, self.height, self.width)
        return convert_format(moved, "xyxy", given, self.height, self.width)

    def compute_image_shape(self, image_shape):
        shape = list(image_shape)
        shape[self.height_axis], shape[self.width_axis] = self.height, self.width
        return tuple(shape)

    def get_config(self):
        return {**super().get_config(), "height": self.height, "width": self.width}


def ratio_window(height, width, new_height, new_width):
    """`(top, left, height, width)` of the largest part in the middle with a new aspect ratio.

    It is the part that `keras.ops.image.resize` takes with `crop_to_aspect_ratio`.

    Args:
        height, width, new_height, new_width: ints.

    Example:

    >>> ratio_window(2, 4, 5, 5)
    (0, 1, 2, 2)
    """
    rows = max(min(height, width * new_height // new_width), 1)
    columns = max(min(width, height * new_width // new_height), 1)
    return (height - rows) // 2, (width - columns) // 2, rows, columns
