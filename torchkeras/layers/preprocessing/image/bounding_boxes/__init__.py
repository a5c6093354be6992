"""Bounding boxes: the functions of keras.utils.bounding_boxes, which the image layers use too."""

from torchkeras.layers.preprocessing.image.bounding_boxes.deltas import (
    decode_deltas_to_boxes as decode_deltas_to_boxes,
)
from torchkeras.layers.preprocessing.image.bounding_boxes.deltas import (
    encode_box_to_deltas as encode_box_to_deltas,
)
from torchkeras.layers.preprocessing.image.bounding_boxes.formats import (
    clip_to_image_size as clip_to_image_size,
)
from torchkeras.layers.preprocessing.image.bounding_boxes.formats import (
    convert_format as convert_format,
)
from torchkeras.layers.preprocessing.image.bounding_boxes.moves import (
    affine_transform as affine_transform,
)
from torchkeras.layers.preprocessing.image.bounding_boxes.moves import (
    crop as crop,
)
from torchkeras.layers.preprocessing.image.bounding_boxes.moves import (
    pad as pad,
)
from torchkeras.layers.preprocessing.image.bounding_boxes.overlap import (
    compute_ciou as compute_ciou,
)
from torchkeras.layers.preprocessing.image.bounding_boxes.overlap import (
    compute_iou as compute_iou,
)
