"""draw_bounding_boxes: boxes and their labels on images."""

import numpy as np

from torchkeras.core.config import standardize_data_format
from torchkeras.core.convert import convert_to_numpy
from torchkeras.layers.preprocessing.image.bounding_boxes import convert_format
from torchkeras.visualization.image_arrays import as_batch, imported

_TEXT_PIXELS = 22  # height of a line of text at a font scale of 1, as that of OpenCV's font


def draw_bounding_boxes(
    images,
    bounding_boxes,
    bounding_box_format,
    class_mapping=None,
    color=(128, 128, 128),
    line_thickness=2,
    text_thickness=1,
    font_scale=1.0,
    data_format=None,
):
    """Images with boxes on them, and with the names of their classes.

    Floats up to 1 are taken for parts of 255. Lines are centred on the edges of a box, and what is
    outside of the image is left out. Names are drawn by Pillow, where there are any.

    Args:
        images: tensor or array `(batch, height, width, channels)`.
        bounding_boxes: dict with `boxes` `(batch, boxes, 4)` and `labels` `(batch, boxes)`, where
            -1 stands for no box; and perhaps `confidences` `(batch, boxes)`.
        bounding_box_format: name of a format, see `keras.utils.bounding_boxes.convert_format`.
        class_mapping: dict of labels to names; None for no names.
        color: tuple of three ints from 0 to 255.
        line_thickness: int, in pixels.
        text_thickness: int, thickness of the text's strokes; None for that of the lines.
        font_scale: float, 1 for lines of 22 pixels.
        data_format: of `images`, `"channels_last"` or `"channels_first"`; None for the
            configured default.

    Returns:
        uint8 array `(batch, height, width, channels)`, channels last.

    Raises:
        ValueError: `images` has not four axes, a key is missing, or the format is unknown.
        TypeError: `bounding_boxes` is no dict.

    Example:

    >>> boxes = {"boxes": np.array([[[1, 1, 3, 3]]]), "labels": np.array([[0]])}
    >>> images = keras.visualization.draw_bounding_boxes(
    ...     np.zeros((1, 5, 5, 3)), boxes, "xyxy", color=(9, 9, 9), line_thickness=1
    ... )
    >>> images[0, :, :, 0].tolist()
    [[0, 0, 0, 0, 0], [0, 9, 9, 9, 0], [0, 9, 0, 9, 0], [0, 9, 9, 9, 0], [0, 0, 0, 0, 0]]
    """
    standardize_data_format(data_format)
    images = _as_bytes(as_batch(images, data_format))
    if not isinstance(bounding_boxes, dict):
        raise TypeError(
            "`bounding_boxes` should be a dict. Received: bounding_boxes of type "
            f"{type(bounding_boxes).__name__}."
        )
    if "boxes" not in bounding_boxes or "labels" not in bounding_boxes:
        raise ValueError(
            "`bounding_boxes` should be a dict containing 'boxes' and 'labels' keys. Received: the "
            f"keys {list(bounding_boxes)}."
        )
    given = {key: convert_to_numpy(value) for key, value in bounding_boxes.items()}
    size = images.shape[1:3]
    corners = convert_format(given["boxes"], bounding_box_format, "xyxy", *size)
    corners = convert_to_numpy(corners).astype("int32")
    labels = given["labels"].astype("int32")
    confidences, names = given.get("confidences"), class_mapping or {}
    for i, image in enumerate(images):
        for j, (box, label) in enumerate(zip(corners[i], labels[i].tolist(), strict=True)):
            if label == -1:
                continue
            _draw_frame(image, box.tolist(), color, line_thickness)
            if label in names:
                text = str(names[label])
                if confidences is not None:
                    text = f"{text} | {confidences[i][j]:.2f}"
                thickness = text_thickness or line_thickness
                _draw_text(image, text, box.tolist(), color, font_scale, thickness)
    return images


def _as_bytes(images):
    if images.dtype.kind == "f" and images.size:
        images = np.clip(images, 0, 1) * 255 if images.max() <= 1 else np.clip(images, 0, 255)
    return images.astype("uint8")


def _draw_frame(image, box, color, thickness):
    before, after = thickness // 2, thickness - thickness // 2
    left, top, right, bottom = box
    channels = np.array(color, "uint8")[: image.shape[-1]]

    def fill(x1, x2, y1, y2):
        x1, y1 = max(x1, 0), max(y1, 0)
        if x2 > x1 and y2 > y1:
            image[y1:y2, x1:x2] = channels

    for y in (top, bottom):
        fill(left - before, right + after, y - before, y + after)
    for x in (left, right):
        fill(x - before, x + after, top - before, bottom + after)


def _draw_text(image, text, box, color, font_scale, thickness):
    name = "draw_bounding_boxes with names"
    pillow = imported("PIL.Image", name)
    font = imported("PIL.ImageFont", name).load_default(size=_TEXT_PIXELS * font_scale)
    left, top = box[:2]
    height = _TEXT_PIXELS * font_scale
    # Above the box, or inside of it where there is no room.
    is_above = top - 8 - height > 0
    place = (left, top - 8 - height) if is_above else (left + 3, top + thickness + 3)
    mask = pillow.new("L", (image.shape[1], image.shape[0]))
    drawing = imported("PIL.ImageDraw", name).Draw(mask)
    drawing.text(place, text, fill=255, font=font, stroke_width=max(thickness - 1, 0) / 2)
    share = np.asarray(mask, dtype="float32")[..., None] / 255
    channels = np.array(color, "float32")[: image.shape[-1]]
    image[:] = np.round(image * (1 - share) + channels * share).astype("uint8")
