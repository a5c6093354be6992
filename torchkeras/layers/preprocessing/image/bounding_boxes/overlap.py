"""How much boxes overlap."""

import math

import torch

from torchkeras.core import config
from torchkeras.core.convert import convert_to_tensor
from torchkeras.layers.preprocessing.image.bounding_boxes.formats import convert_format


def compute_iou(
    boxes1, boxes2, bounding_box_format, use_masking=False, mask_val=-1, image_shape=None
):
    """Intersection over union of every box of one set with every box of another.

    Args:
        boxes1: tensor `(n, 4)` or `(batch, n, 4)`.
        boxes2: tensor `(m, 4)` or `(batch, m, 4)`.
        bounding_box_format: name of the format of both.
        use_masking: bool, whether pairs with a box of negative numbers alone get `mask_val`.
        mask_val: number.
        image_shape: `(height, width, channels)` in pixels, for relative formats.

    Output shape: `(n, m)`, or `(batch, n, m)` where one of the sets has a batch.

    Raises:
        ValueError: boxes of another rank, or a relative format without `image_shape`.

    Example:

    >>> boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [1.0, 0.0, 3.0, 2.0]])
    >>> keras.utils.bounding_boxes.compute_iou(boxes, boxes, "xyxy")
    tensor([[1.0000, 0.3333],
            [0.3333, 1.0000]])
    """
    for name, boxes in (("boxes1", boxes1), ("boxes2", boxes2)):
        if len(convert_to_tensor(boxes).shape) not in (2, 3):
            raise ValueError(
                f"`{name}` must be of shape (boxes, 4) or (batch, boxes, 4). Received: {name} of "
                f"shape {tuple(convert_to_tensor(boxes).shape)}."
            )
    boxes1, boxes2 = _in_pixels((boxes1, boxes2), bounding_box_format, image_shape)
    first, second = boxes1.unsqueeze(-2), boxes2.unsqueeze(-3)
    common = _intersection(first, second)
    total = _area(first) + _area(second) - common
    result = common / (total + config.epsilon())
    if not use_masking:
        return result
    none = (first.amax(-1) < 0) | (second.amax(-1) < 0)
    return torch.where(none, torch.full_like(result, mask_val), result)


def compute_ciou(boxes1, boxes2, bounding_box_format, image_shape=None):
    """Complete intersection over union of boxes with their partners, at most 1.

    From the intersection over union are taken the squared distance of the centres, in parts of
    the squared diagonal of the smallest box around both, and a term for other proportions.

    Args:
        boxes1, boxes2: tensors `(..., 4)` whose shapes broadcast.
        bounding_box_format: name of the format of both.
        image_shape: `(height, width, channels)` in pixels, for relative formats.

    Output shape: `(...)`.

    Raises:
        ValueError: a relative format without `image_shape`.

    Source: Zheng et al. 2020, "Distance-IoU loss: faster and better learning for bounding box
    regression", eq. 8 to 11.

    Example:

    >>> box = torch.tensor([0.0, 0.0, 2.0, 2.0])
    >>> keras.utils.bounding_boxes.compute_ciou(box, box + 1, "xyxy")
    tensor(0.0317)
    """
    first, second = _in_pixels((boxes1, boxes2), bounding_box_format, image_shape)
    least = config.epsilon()
    x0, y0, x1, y1 = first.unbind(-1)
    u0, v0, u1, v1 = second.unbind(-1)
    wide, high = x1 - x0, y1 - y0 + least
    other_wide, other_high = u1 - u0, v1 - v0 + least
    common = _intersection(first, second)
    total = wide * high + other_wide * other_high - common + least
    iou = common / (total + least)
    around_x = torch.maximum(x1, u1) - torch.minimum(x0, u0)
    around_y = torch.maximum(y1, v1) - torch.minimum(y0, v0)
    diagonal = around_x.square() + around_y.square() + least
    distance = ((x0 + x1 - u0 - u1) / 2).square() + ((y0 + y1 - v0 - v1) / 2).square()
    shape = torch.atan(other_wide / other_high) - torch.atan(wide / high)
    shape = 4 / math.pi**2 * shape.square()
    weight = shape / (shape - iou + (1 + least))
    return iou - (distance / diagonal + shape * weight)


def _in_pixels(sets, name, image_shape):
    if isinstance(name, str) and name.lower().startswith("rel_") and image_shape is None:
        raise ValueError(
            "Relative boxes are measured in the pixels of their image. Received: "
            f"bounding_box_format={name!r}, image_shape=None. Give `image_shape`, as (height, "
            "width, channels)."
        )
    height, width = (None, None) if image_shape is None else tuple(image_shape)[:2]
    return [convert_format(boxes, name, "xyxy", height, width) for boxes in sets]


def _area(boxes):
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def _intersection(first, second):
    start = torch.maximum(first[..., :2], second[..., :2])
    end = torch.minimum(first[..., 2:], second[..., 2:])
    return (end - start).clamp(min=0).prod(-1)
