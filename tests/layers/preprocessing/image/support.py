"""What tests of image layers share: cases in inference mode, and a batch with all that may be."""

import torch

from tests.testing import case


def image_case(cls, init_kwargs, *args, **kwargs):
    """`case` for a layer that is in training mode by itself, where the contract expects not."""
    kwargs = {"prepare": lambda layer: layer.eval(), "mask_shape": False, **kwargs}
    return case(cls, init_kwargs, *args, **kwargs)


def sample(batch=2, size=(6, 8), channels=3, dtype=torch.float32):
    """Images with labels, boxes in "xyxy" and masks, as a dict of tensors.

    Args:
        batch: int.
        size: height and width.
        channels: int.
        dtype: torch dtype of the images.
    """
    generator = torch.Generator().manual_seed(0)
    height, width = size
    images = torch.randint(0, 256, (batch, height, width, channels), generator=generator)
    boxes = torch.tensor([[1.0, 2.0, 4.0, 5.0], [0.0, 0.0, width, height]])
    return {
        "images": images.to(dtype),
        "labels": torch.arange(batch),
        "bounding_boxes": {
            "boxes": boxes.expand(batch, 2, 4).clone(),
            "labels": torch.tensor([[3, 5]]).expand(batch, 2).clone(),
        },
        "segmentation_masks": torch.randint(0, 4, (batch, height, width, 1), generator=generator),
    }
