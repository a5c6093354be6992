"""Bounding boxes: the functions of keras.utils.bounding_boxes, which the image layers use too."""

from torchkeras.layers.preprocessing.image.bounding_boxes.formats import (
    clip_to_image_size as clip_to_image_size,
)
from torchkeras.layers.preprocessing.image.bounding_boxes.formats import (
    convert_format as convert_format,
)
