"""GeometricLayer: base of layers that move pixels, and masks and boxes with them."""

from torchkeras.layers.preprocessing.image.base_image_preprocessing_layer import (
    BaseImagePreprocessingLayer,
)
from torchkeras.layers.preprocessing.image.bounding_boxes.formats import (
    clip_to_image_size,
    convert_format,
)
from torchkeras.ops.geometry import choice_argument


class GeometricLayer(BaseImagePreprocessingLayer):
    """Images, masks and boxes after one movement; a subclass says which, and is documented.

    A transformation is a dict, with the shape of the images under `"input_shape"`. A subclass
    defines `warp` and `move_boxes`.

    Args:
        interpolation: `"nearest"` or `"bilinear"`, for images; masks take the nearest pixel.
        **kwargs: those of `BaseImagePreprocessingLayer`.
    """

    def __init__(self, interpolation="bilinear", **kwargs):
        super().__init__(**kwargs)
        self.interpolation = choice_argument(
            interpolation, "interpolation", ("nearest", "bilinear")
        )

    def warp(self, images, transformation, interpolation):
        """Images, or masks, after the movement, in their dtype."""
        raise NotImplementedError

    def move_boxes(self, boxes, transformation, height, width):
        """Boxes `(batch, boxes, 4)` in the format "xyxy" after the movement."""
        raise NotImplementedError

    def transform_images(self, images, transformation, training=True):
        images = self.cast(images)
        if not training or transformation is None:
            return images
        return self.warp(images, transformation, self.interpolation)

    def transform_segmentation_masks(self, segmentation_masks, transformation, training=True):
        if not training or transformation is None:
            return segmentation_masks
        return self.warp(segmentation_masks, transformation, "nearest")

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        if not training or transformation is None:
            return bounding_boxes
        shape = transformation["input_shape"]
        height, width = shape[self.height_axis], shape[self.width_axis]
        given = self.bounding_box_format
        moved = convert_format(bounding_boxes, given, "xyxy", height, width)
        moved["boxes"] = self.move_boxes(moved["boxes"], transformation, height, width)
        moved = clip_to_image_size(moved, height, width)
        return convert_format(moved, "xyxy", given, height, width)

    def get_config(self):
        return {**super().get_config(), "interpolation": self.interpolation}
