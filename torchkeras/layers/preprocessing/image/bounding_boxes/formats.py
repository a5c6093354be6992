"""The formats of bounding boxes: conversion, and what is left of a box within its image."""

import torch

from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.dtypes import to_torch_dtype

# Of each absolute format: which of its numbers are x0 (or its centre), y0, x1 (or width) and y1.
_PLACES = {
    "xyxy": ("corners", (0, 1, 2, 3)),
    "yxyx": ("corners", (1, 0, 3, 2)),
    "xywh": ("size", (0, 1, 2, 3)),
    "center_xywh": ("center", (0, 1, 2, 3)),
    "center_yxhw": ("center", (1, 0, 3, 2)),
}
_RELATIVE = ("rel_xyxy", "rel_yxyx", "rel_xywh", "rel_center_xywh")
FORMATS = (*_PLACES, *_RELATIVE)


def convert_format(boxes, source, target, height=None, width=None, dtype="float32"):
    """Boxes of one format in another.

    Formats, of any case: `"xyxy"` (left, top, right, bottom), `"yxyx"`, `"xywh"` (left, top,
    width, height), `"center_xywh"`, `"center_yxhw"`; and `"rel_xyxy"`, `"rel_yxyx"`,
    `"rel_xywh"` and `"rel_center_xywh"`, in parts of the image's width and height.

    Args:
        boxes: tensor or array of shape `(..., 4)`, or a dict that has one under `"boxes"`, of
            which a copy with converted boxes is given.
        source, target: names of formats.
        height, width: sizes of the image in pixels; needed where one format is relative and the
            other is not.
        dtype: dtype of the result.

    Output shape: that of the boxes.

    Raises:
        ValueError: an unknown format, a last axis of another size than 4, or missing sizes.

    Example:

    >>> boxes = torch.tensor([[10.0, 20.0, 30.0, 60.0]])
    >>> keras.utils.bounding_boxes.convert_format(boxes, "xyxy", "center_xywh")
    tensor([[20., 40., 20., 40.]])
    >>> keras.utils.bounding_boxes.convert_format(boxes, "xyxy", "rel_yxyx", height=80, width=40)
    tensor([[0.2500, 0.2500, 0.7500, 0.7500]])
    """
    source, target = _check_format(source, "source"), _check_format(target, "target")
    if isinstance(boxes, dict):
        converted = convert_format(boxes["boxes"], source, target, height, width, dtype)
        return {**boxes, "boxes": converted}
    boxes = convert_to_tensor(boxes).to(to_torch_dtype(dtype))
    if boxes.dim() == 0 or boxes.shape[-1] != 4:
        raise ValueError(
            "`boxes` must have four numbers a box on the last axis. Received: boxes of shape "
            f"{tuple(boxes.shape)}."
        )
    from_parts, to_parts = source in _RELATIVE, target in _RELATIVE
    if (from_parts or to_parts) and (height is None or width is None):
        raise ValueError(
            "Relative boxes are converted with the size of their image. Received: "
            f"source={source!r}, target={target!r}, height={height}, width={width}. Give `height` "
            "and `width` in pixels."
        )
    if source == target:
        return boxes
    x0, y0, x1, y1 = _corners(boxes, source.removeprefix("rel_"))
    if from_parts and not to_parts:
        x0, y0, x1, y1 = x0 * width, y0 * height, x1 * width, y1 * height
    elif to_parts and not from_parts:
        x0, y0, x1, y1 = x0 / width, y0 / height, x1 / width, y1 / height
    return _from_corners((x0, y0, x1, y1), target.removeprefix("rel_"))


def _check_format(name, argument):
    lower = name.lower() if isinstance(name, str) else name
    if lower not in FORMATS:
        raise ValueError(
            f"`{argument}` must be one of {', '.join(FORMATS)}. Received: {argument}={name!r}."
        )
    return lower


def _corners(boxes, name):
    kind, places = _PLACES[name]
    numbers = boxes.unbind(-1)
    x0, y0, x1, y1 = (numbers[place] for place in places)
    if kind == "size":
        return x0, y0, x0 + x1, y0 + y1
    if kind == "center":
        return x0 - x1 / 2, y0 - y1 / 2, x0 + x1 / 2, y0 + y1 / 2
    return x0, y0, x1, y1


def _from_corners(corners, name):
    kind, places = _PLACES[name]
    x0, y0, x1, y1 = corners
    if kind == "size":
        numbers = x0, y0, x1 - x0, y1 - y0
    elif kind == "center":
        numbers = x0 + (x1 - x0) / 2, y0 + (y1 - y0) / 2, x1 - x0, y1 - y0
    else:
        numbers = corners
    return torch.stack([numbers[place] for place in places], -1)  # the places are their own inverse


def clip_to_image_size(bounding_boxes, height=None, width=None, bounding_box_format="xyxy"):
    """Cut off what stands out of the image; a box of which nothing is left gets the label -1.

    Args:
        bounding_boxes: dict with `"boxes"` of shape `(..., 4)` and, possibly, `"labels"` of shape
            `(...)`.
        height, width: sizes of the image in pixels; not needed for relative boxes.
        bounding_box_format: name of the format of the boxes, any that `convert_format` knows.

    Returns:
        A dict with clipped boxes and labels; other entries are kept.

    Raises:
        ValueError: an unknown format, or missing sizes.

    Example:

    >>> boxes = {"boxes": torch.tensor([[-5.0, 2.0, 5.0, 20.0], [12.0, 0.0, 14.0, 5.0]])}
    >>> boxes["labels"] = torch.tensor([7, 8])
    >>> clipped = keras.utils.bounding_boxes.clip_to_image_size(boxes, height=10, width=10)
    >>> clipped["boxes"].tolist(), clipped["labels"].tolist()
    ([[0.0, 2.0, 5.0, 10.0], [10.0, 0.0, 10.0, 5.0]], [7, -1])
    """
    name = _check_format(bounding_box_format, "bounding_box_format")
    boxes = convert_to_tensor(bounding_boxes["boxes"])
    if name in _RELATIVE:
        height = width = 1
    elif height is None or width is None:
        raise ValueError(
            f"Boxes in pixels are clipped to a `height` and a `width`. Received: height={height}, "
            f"width={width}, bounding_box_format={bounding_box_format!r}."
        )
    absolute = name.removeprefix("rel_")
    x0, y0, x1, y1 = _corners(boxes, absolute)
    x0, x1 = x0.clamp(0, width), x1.clamp(0, width)
    y0, y1 = y0.clamp(0, height), y1.clamp(0, height)
    clipped = {**bounding_boxes, "boxes": _from_corners((x0, y0, x1, y1), absolute)}
    if bounding_boxes.get("labels") is not None:
        labels = convert_to_tensor(bounding_boxes["labels"])
        left = (x1 > x0) & (y1 > y0)
        left = left.unsqueeze(-1) if labels.dim() == boxes.dim() else left  # a row for each box
        clipped["labels"] = torch.where(left, labels, -1)
    return clipped
