"""Boxes that are turned and stretched, cut with their image, or moved by a border around it."""

import math

import torch

from torchkeras.core.convert import convert_to_tensor
from torchkeras.layers.preprocessing.image.bounding_boxes.formats import convert_format


def affine_transform(
    boxes,
    angle,
    translate_x,
    translate_y,
    scale,
    shear_x,
    shear_y,
    height,
    width,
    center_x=None,
    center_y=None,
    bounding_box_format="xyxy",
):
    """Boxes after an affine transformation: each becomes the smallest upright one around it.

    A corner is shifted, slanted, turned and stretched about a centre.

    Args:
        boxes: tensor `(boxes, 4)` or `(batch, boxes, 4)`.
        angle: tensor `(batch,)` or number, degrees, counter-clockwise.
        translate_x, translate_y: likewise, shifts in parts of `width - 1` and `height - 1`.
        scale: likewise, a factor.
        shear_x, shear_y: likewise, degrees.
        height, width: sizes of the image in pixels.
        center_x, center_y: the centre, in parts of `width - 1` and `height - 1`; None for 0.5.
        bounding_box_format: name of the format of the boxes.

    Output shape: that of the boxes, in their format.

    Example:

    >>> box = torch.tensor([[[0.0, 0.0, 4.0, 2.0]]])
    >>> turned = keras.utils.bounding_boxes.affine_transform(box, 90.0, 0, 0, 1.0, 0, 0, 9, 9)
    >>> turned.round()
    tensor([[[0., 4., 2., 8.]]])
    """
    boxes = convert_format(boxes, bounding_box_format, "xyxy", height, width)
    angle, translate_x, translate_y, scale, shear_x, shear_y = (
        convert_to_tensor(x).to(boxes).reshape(-1, 1, 1)
        for x in (angle, translate_x, translate_y, scale, shear_x, shear_y)
    )
    turn, slant_x, slant_y = (-x * (math.pi / 180) for x in (angle, shear_x, shear_y))
    cos, sin = torch.cos(turn - slant_y), torch.sin(turn - slant_y)
    a, c = cos / torch.cos(slant_y), -sin / torch.cos(slant_y)
    b = a * torch.tan(slant_x) + torch.sin(turn)
    d = torch.cos(turn) - c * torch.tan(slant_x)
    middle_x = (0.5 if center_x is None else center_x) * (width - 1)
    middle_y = (0.5 if center_y is None else center_y) * (height - 1)
    x0, y0, x1, y1 = boxes.unbind(-1)
    x = torch.stack([x0, x1, x0, x1], -1) - middle_x + translate_x * (width - 1)
    y = torch.stack([y0, y0, y1, y1], -1) - middle_y + translate_y * (height - 1)
    new_x = (d * x - b * y) * scale + middle_x
    new_y = (a * y - c * x) * scale + middle_y
    ends = new_x.amin(-1), new_y.amin(-1), new_x.amax(-1), new_y.amax(-1)
    moved = torch.stack(ends, -1)
    if boxes.dim() == 2 and moved.shape[0] == 1:
        moved = moved.squeeze(0)
    return convert_format(moved, "xyxy", bounding_box_format, height, width)


def crop(boxes, top, left, height, width, bounding_box_format="xyxy"):
    """Boxes in the coordinates of a part of their image, cut at its ends.

    Args:
        boxes: tensor `(..., 4)`.
        top, left: pixels cut off above and left of the part.
        height, width: sizes of the part in pixels.
        bounding_box_format: name of the format of the boxes, one in pixels.

    Output shape: that of the boxes, in their format.

    Raises:
        ValueError: a relative format.

    Example:

    >>> box = torch.tensor([[10.0, 20.0, 50.0, 60.0]])
    >>> keras.utils.bounding_boxes.crop(box, top=10, left=20, height=40, width=30)
    tensor([[ 0., 10., 30., 40.]])
    """
    boxes = _in_pixels(boxes, bounding_box_format)
    x0, y0, x1, y1 = boxes.unbind(-1)
    x0, x1 = ((x - left).clamp(0, width) for x in (x0, x1))
    y0, y1 = ((y - top).clamp(0, height) for y in (y0, y1))
    return convert_format(torch.stack([x0, y0, x1, y1], -1), "xyxy", bounding_box_format)


def pad(boxes, top, left, height=None, width=None, bounding_box_format="xyxy"):
    """Boxes in the coordinates of an image with a border around it.

    Args:
        boxes: tensor `(..., 4)`.
        top, left: pixels added above and on the left.
        height, width: of no effect, as in Keras.
        bounding_box_format: name of the format of the boxes, one in pixels.

    Output shape: that of the boxes, in their format.

    Raises:
        ValueError: a relative format.

    Example:

    >>> keras.utils.bounding_boxes.pad(torch.tensor([[1.0, 2.0, 3.0, 4.0]]), top=10, left=20)
    tensor([[21., 12., 23., 14.]])
    """
    boxes = _in_pixels(boxes, bounding_box_format)
    x0, y0, x1, y1 = boxes.unbind(-1)
    moved = torch.stack([x0 + left, y0 + top, x1 + left, y1 + top], -1)
    return convert_format(moved, "xyxy", bounding_box_format)


def _in_pixels(boxes, name):
    if isinstance(name, str) and name.lower().startswith("rel_"):
        raise ValueError(
            "Boxes are cut and moved in pixels. Received: bounding_box_format="
            f"{name!r}. Convert them first, with keras.utils.bounding_boxes.convert_format."
        )
    return convert_format(boxes, name, "xyxy")
