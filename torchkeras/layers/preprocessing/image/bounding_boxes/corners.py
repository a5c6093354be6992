"""Boxes as their corners, to be moved as pixels are."""

import torch


def corners_of(boxes):
    """x and y of the four corners of boxes, in the coordinates of pixels.

    The middle of pixel `i` stands at `i` there, and at `i + 0.5` in a box.

    Args:
        boxes: tensor `(..., 4)` in the format "xyxy".

    Output shape: two tensors `(..., 4)`.

    Example:

    >>> corners_of(torch.tensor([0.0, 0.0, 1.0, 2.0]))
    (tensor([-0.5000,  0.5000, -0.5000,  0.5000]), tensor([-0.5000, -0.5000,  1.5000,  1.5000]))
    """
    x0, y0, x1, y1 = (boxes - 0.5).unbind(-1)
    return torch.stack([x0, x1, x0, x1], -1), torch.stack([y0, y0, y1, y1], -1)


def around_corners(x, y):
    """The smallest upright boxes around corners: the way back from `corners_of`.

    Args:
        x, y: tensors `(..., 4)`.

    Output shape: `(..., 4)`, in the format "xyxy".

    Example:

    >>> around_corners(*corners_of(torch.tensor([0.0, 0.0, 1.0, 2.0])))
    tensor([0., 0., 1., 2.])
    """
    return torch.stack([x.amin(-1), y.amin(-1), x.amax(-1), y.amax(-1)], -1) + 0.5
