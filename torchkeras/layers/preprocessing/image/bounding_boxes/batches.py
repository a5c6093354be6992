"""Bounding boxes as layers take them: a dict of tensors, made of lists and arrays too."""

import torch

from torchkeras.core.convert import convert_to_tensor


def dense_boxes(bounding_boxes):
    """Boxes as float32 and labels as a tensor, checked.

    Lists of unequal length are filled up, with boxes of zeros and labels of -1.

    Args:
        bounding_boxes: dict with `"boxes"`, `(boxes, 4)` or `(batch, boxes, 4)`, and `"labels"`,
            one for each box or one row for each; tensors, arrays or lists. Other entries are kept.

    Raises:
        ValueError: one of the two is missing, or they do not fit each other.

    Example:

    >>> from torchkeras.layers.preprocessing.image.bounding_boxes.batches import dense_boxes
    >>> dense = dense_boxes({"boxes": [[[0, 0, 2, 2]], []], "labels": [[5], []]})
    >>> dense["boxes"].shape, dense["labels"].tolist()
    (torch.Size([2, 1, 4]), [[5], [-1]])
    """
    if not isinstance(bounding_boxes, dict) or not {"boxes", "labels"} <= set(bounding_boxes):
        received = sorted(bounding_boxes) if isinstance(bounding_boxes, dict) else bounding_boxes
        raise ValueError(
            "`bounding_boxes` must be a dict with the keys 'boxes' and 'labels'. Received: "
            f"{received!r}."
        )
    boxes, labels = bounding_boxes["boxes"], bounding_boxes["labels"]
    if _is_list_of_images(boxes):
        boxes, labels = _filled_up(boxes, labels)
    elif isinstance(boxes, (list, tuple)) and not boxes:
        boxes = torch.zeros(0, 4)
    boxes = convert_to_tensor(boxes).to(torch.float32)
    labels = convert_to_tensor(labels)
    if (
        boxes.dim() not in (2, 3)
        or boxes.shape[-1] != 4
        or labels.dim() not in (boxes.dim() - 1, boxes.dim())
        or labels.shape[: boxes.dim() - 1] != boxes.shape[:-1]
    ):
        raise ValueError(
            "`bounding_boxes` must have boxes of shape (boxes, 4) or (batch, boxes, 4), and a "
            f"label, or a row of them, for each box. Received: boxes of shape "
            f"{tuple(boxes.shape)}, labels of shape {tuple(labels.shape)}."
        )
    return {**bounding_boxes, "boxes": boxes, "labels": labels}


def _is_list_of_images(boxes):
    """Whether `boxes` is a list with one list, array or tensor of boxes an image."""
    if not isinstance(boxes, (list, tuple)):
        return False
    for image in boxes:
        if not isinstance(image, (list, tuple)):
            return len(getattr(image, "shape", ())) == 2
        if image:
            first = image[0]
            return isinstance(first, (list, tuple)) or len(getattr(first, "shape", ())) == 1
    return False


def _filled_up(boxes, labels):
    boxes = [convert_to_tensor(each).to(torch.float32).reshape(-1, 4) for each in boxes]
    labels = [convert_to_tensor(each) for each in labels]
    if [len(each) for each in boxes] != [len(each) for each in labels]:
        raise ValueError(
            "`bounding_boxes` must have as many labels as boxes. Received: "
            f"{[len(each) for each in boxes]} boxes and {[len(each) for each in labels]} labels "
            "for the images."
        )
    full = next((each for each in labels if len(each)), None)
    if full is not None:  # an empty list says nothing of the dtype
        labels = [each if len(each) else each.new_empty(0, *full.shape[1:]) for each in labels]
        labels = [each.to(full.dtype) for each in labels]
    pad = torch.nn.utils.rnn.pad_sequence
    return pad(boxes, batch_first=True), pad(labels, batch_first=True, padding_value=-1)
