"""Boxes as their difference from anchors, which detectors learn, and back."""

import torch

from torchkeras.core import config
from torchkeras.core.convert import convert_to_tensor
from torchkeras.layers.preprocessing.image.bounding_boxes.formats import convert_format
from torchkeras.ops.geometry import choice_argument

_ENCODINGS = ("center_xywh", "center_yxhw")


def encode_box_to_deltas(
    anchors,
    boxes,
    anchor_format,
    box_format,
    encoding_format="center_yxhw",
    variance=None,
    image_shape=None,
):
    """How far boxes are from anchors: centres in parts of the anchor's sizes, sizes as logarithms.

    Args:
        anchors: tensor `(boxes, 4)`.
        boxes: tensor `(boxes, 4)` or `(batch, boxes, 4)`.
        anchor_format, box_format: names of their formats.
        encoding_format: `"center_yxhw"` or `"center_xywh"`, the order of the four numbers.
        variance: four numbers that the deltas are divided by, or None.
        image_shape: `(height, width, channels)` in pixels, for relative formats.

    Output shape: that of the boxes.

    Raises:
        ValueError: another encoding, or not four variances.

    Source: Girshick et al. 2014, "Rich feature hierarchies for accurate object detection and
    semantic segmentation", appendix C.

    Example:

    >>> anchors, boxes = torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([[5.0, 0, 15, 10]])
    >>> keras.utils.bounding_boxes.encode_box_to_deltas(anchors, boxes, "xyxy", "xyxy")
    tensor([[0.0000, 0.5000, 0.0000, 0.0000]])
    """
    choice_argument(encoding_format, "encoding_format", _ENCODINGS)
    variance = _variance(variance)
    height, width = _sizes(image_shape)
    anchors = convert_format(anchors, anchor_format, encoding_format, height, width)
    boxes = convert_format(boxes, box_format, encoding_format, height, width)
    least = config.epsilon()
    sizes = anchors[..., 2:].clamp(min=least)
    deltas = torch.cat(
        [
            (boxes[..., :2] - anchors[..., :2]) / sizes,
            torch.log(boxes[..., 2:].clamp(min=least) / sizes),
        ],
        -1,
    )
    return deltas if variance is None else deltas / variance.to(deltas)


def decode_deltas_to_boxes(
    anchors,
    boxes_delta,
    anchor_format,
    box_format,
    encoded_format="center_yxhw",
    variance=None,
    image_shape=None,
):
    """Boxes from their deltas: the way back from `encode_box_to_deltas`.

    Args:
        anchors: tensor `(boxes, 4)`, or a dict of them.
        boxes_delta: tensor `(boxes, 4)` or `(batch, boxes, 4)`, or a dict of them with those keys.
        anchor_format, box_format: names of the formats of the anchors and of the result.
        encoded_format: `"center_yxhw"` or `"center_xywh"`, the order of the deltas.
        variance: four numbers that the deltas are multiplied by, or None.
        image_shape: `(height, width, channels)` in pixels, for relative formats.

    Output shape: that of the deltas, or a dict.

    Raises:
        ValueError: another encoding, or not four variances.

    Example:

    >>> anchors, deltas = torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([[0.0, 0.5, 0, 0]])
    >>> keras.utils.bounding_boxes.decode_deltas_to_boxes(anchors, deltas, "xyxy", "xyxy")
    tensor([[ 5.,  0., 15., 10.]])
    """
    choice_argument(encoded_format, "encoded_format", _ENCODINGS)
    variance = _variance(variance)
    height, width = _sizes(image_shape)

    def decoded(anchors, deltas):
        anchors = convert_format(anchors, anchor_format, encoded_format, height, width)
        deltas = convert_to_tensor(deltas)
        deltas = deltas if variance is None else deltas * variance.to(deltas)
        sizes = anchors[..., 2:]
        centers = deltas[..., :2] * sizes + anchors[..., :2]
        boxes = torch.cat([centers, torch.exp(deltas[..., 2:]) * sizes], -1)
        return convert_format(boxes, encoded_format, box_format, height, width)

    if isinstance(anchors, dict) and isinstance(boxes_delta, dict):
        return {level: decoded(anchors[level], boxes_delta[level]) for level in anchors}
    return decoded(anchors, boxes_delta)


def _variance(variance):
    if variance is None:
        return None
    variance = convert_to_tensor(variance, "float32")
    if variance.dim() == 0 or variance.shape[-1] != 4:
        raise ValueError(f"`variance` must be four numbers. Received: variance={variance}.")
    return variance


def _sizes(image_shape):
    return (None, None) if image_shape is None else tuple(image_shape)[:2]
