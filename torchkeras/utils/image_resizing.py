"""Resizing images to a size that is asked for, with their shapes kept or not."""

import torch

from torchkeras.ops.resampling import axis_taps

INTERPOLATIONS = (
    "bilinear",
    "nearest",
    "bicubic",
    "area",
    "lanczos3",
    "lanczos5",
    "gaussian",
    "mitchellcubic",
)
_TORCH_MODES = {"bilinear": "bilinear", "nearest": "nearest-exact", "bicubic": "bicubic"}


def check_interpolation(interpolation):
    """The name in lower case; a ValueError if it is none of `INTERPOLATIONS`."""
    name = str(interpolation).lower()
    if name not in INTERPOLATIONS:
        raise ValueError(
            f"`interpolation` must be one of {', '.join(INTERPOLATIONS)}. Received: "
            f"interpolation={interpolation!r}."
        )
    return name


def resize_images(images, size, interpolation="bilinear", crop=False, pad=False):
    """Images of another height and width.

    A new pixel weighs the old ones around the place of its middle; nothing is smoothed before an
    image shrinks (`"area"` aside, the mean over what a new pixel covers).

    Args:
        images: float tensor `(..., channels, height, width)`.
        size: `(height, width)` of the result.
        interpolation: one of `INTERPOLATIONS`.
        crop: bool, cut the largest window of the new proportions out of the middle first.
        pad: bool, put the image into the middle of a black one of the new proportions first.

    Source:
        `"bicubic"` as torch and Keras on torch have it: Keys 1981 with -0.75; the others as in
        TensorFlow. Mitchell and Netravali 1988; Duchon 1979 (Lanczos).

    Example:

    >>> from torchkeras.utils.image_resizing import resize_images
    >>> resize_images(torch.tensor([[[1.0, 3.0]]]), (1, 4))
    tensor([[[1.0000, 1.5000, 2.5000, 3.0000]]])
    """
    height, width = images.shape[-2:]
    if crop:
        rows = max(min(height, int(width * size[0] / size[1])), 1)
        columns = max(min(width, int(height * size[1] / size[0])), 1)
        top, left = (height - rows) // 2, (width - columns) // 2
        images = images[..., top : top + rows, left : left + columns]
    margins = (0, 0)
    if pad:
        margins = (
            max(int(width * size[0] / size[1]) - height, 0) // 2,
            max(int(height * size[1] / size[0]) - width, 0) // 2,
        )
    if tuple(images.shape[-2:]) == tuple(size) and margins == (0, 0):
        return images
    if interpolation in _TORCH_MODES and margins == (0, 0):
        batch = images.reshape(-1, *images.shape[-3:])
        corners = None if interpolation == "nearest" else False
        batch = torch.nn.functional.interpolate(
            batch, size=tuple(size), mode=_TORCH_MODES[interpolation], align_corners=corners
        )
        return batch.reshape(*images.shape[:-2], *size)
    # The margins are never made: a pixel there only weighs nothing.
    images = _resized_axis(images, size[0], margins[0], interpolation)
    return _resized_axis(images.mT, size[1], margins[1], interpolation).mT


def _resized_axis(images, size, margin, interpolation):
    """`images` with `size` places on the axis before the last."""
    places, weights = axis_taps(images.shape[-2], size, margin, interpolation)
    places, weights = places.to(images.device), weights.to(images.device, images.dtype)
    result = images.new_zeros(*images.shape[:-2], size, images.shape[-1])
    for place, weight in zip(places.unbind(1), weights.unbind(1), strict=True):
        result += images.index_select(-2, place) * weight[:, None]
    return result
