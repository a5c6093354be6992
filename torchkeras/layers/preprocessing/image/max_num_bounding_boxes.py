"""MaxNumBoundingBoxes: as many boxes for every image."""

from torch.nn import functional as F

from torchkeras.core.dtypes import is_float_dtype
from torchkeras.layers.preprocessing.image.base_image_preprocessing_layer import (
    BaseImagePreprocessingLayer,
)


class MaxNumBoundingBoxes(BaseImagePreprocessingLayer):
    """Leaves out boxes, with their labels, or adds some, until there are `max_number`.

    Args:
        max_number: int, boxes of each image of the output.
        fill_value: int, every number of added boxes and labels.
        **kwargs: see `BaseImagePreprocessingLayer`; the format of boxes does not matter.

    Input shape: a dict with `"images"` and `"bounding_boxes"`, a dict of `"boxes"`,
        `(batch, boxes, 4)`, and `"labels"`, `(batch, boxes)`; or without the batch.
    Output shape: likewise, with `max_number` boxes and labels; all else as it is.

    Example:

    >>> boxes = {"boxes": torch.ones(1, 2, 4), "labels": torch.tensor([[3, 4]])}
    >>> data = {"images": torch.ones(1, 8, 8, 3), "bounding_boxes": boxes}
    >>> keras.layers.MaxNumBoundingBoxes(3)(data)["bounding_boxes"]["labels"]
    tensor([[ 3,  4, -1]])
    """

    needs_box_format = False

    def __init__(self, max_number, fill_value=-1, **kwargs):
        super().__init__(**kwargs)
        self.max_number = int(max_number)
        self.fill_value = int(fill_value)

    def transform_images(self, images, transformation=None, training=True):
        return self.cast(images) if images.is_floating_point() else images

    def compute_image_dtype(self, dtype):
        return self.compute_dtype if is_float_dtype(dtype) else dtype

    def transform_bounding_boxes(self, bounding_boxes, transformation=None, training=True):
        boxes, labels = bounding_boxes["boxes"], bounding_boxes["labels"]
        missing = max(self.max_number - boxes.shape[1], 0)
        kept = {}
        for name, x in (("boxes", boxes), ("labels", labels)):
            widths = (0, 0) * (x.dim() - 2) + (0, missing)
            kept[name] = F.pad(x[:, : self.max_number], widths, value=self.fill_value)
        return {**bounding_boxes, **kept}

    def compute_output_shape(self, input_shape):
        shapes = super().compute_output_shape(input_shape)
        if isinstance(shapes, dict) and "bounding_boxes" in shapes:
            given = dict(shapes["bounding_boxes"])
            # The boxes are behind the batch, where there is one.
            place = len(given["boxes"]) - 2
            for name in ("boxes", "labels"):
                sizes = list(given[name])
                sizes[place] = self.max_number
                given[name] = tuple(sizes)
            shapes["bounding_boxes"] = given
        return shapes

    def get_config(self):
        return {
            **super().get_config(),
            "max_number": self.max_number,
            "fill_value": self.fill_value,
        }
