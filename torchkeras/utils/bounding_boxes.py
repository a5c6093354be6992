"""keras.utils.bounding_boxes: the formats of boxes, and what transformations make of them."""

from torchkeras.layers.preprocessing.image.bounding_boxes import (
    clip_to_image_size as clip_to_image_size,
)
from torchkeras.layers.preprocessing.image.bounding_boxes import convert_format as convert_format
