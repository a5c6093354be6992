"""Images as arrays to draw on, and the extra that draws."""

import importlib

import numpy as np

from torchkeras.core.config import standardize_data_format
from torchkeras.core.convert import convert_to_numpy


def as_batch(images, data_format):
    """A batch of images as a new array `(batch, height, width, channels)`.

    Args:
        images: tensor or array with four axes.
        data_format: `"channels_last"`, `"channels_first"`, or None for the configured default.

    Raises:
        ValueError: it has not four axes.
    """
    images = np.array(convert_to_numpy(images))
    if images.ndim != 4:
        raise ValueError(
            "`images` must be batched 4D tensor, (batch, height, width, channels). Received: "
            f"images of shape {images.shape}. A single image is images[None]."
        )
    if standardize_data_format(data_format) == "channels_first":
        images = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    return images


def imported(module, name):
    """A module of the extra `visualization`, or an error that says how to install it.

    Args:
        module: str.
        name: str, what is to be drawn.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{name} draws with {module.partition('.')[0]}, which is not installed. Run: "
            'pip install "torchkeras[visualization]"'
        ) from error
