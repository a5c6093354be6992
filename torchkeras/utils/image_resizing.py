"""Resizing images to a size that is asked for, with their shapes kept or not."""

import math

import torch

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
    places, weights = _taps(images.shape[-2], size, margin, interpolation)
    places, weights = places.to(images.device), weights.to(images.device, images.dtype)
    result = images.new_zeros(*images.shape[:-2], size, images.shape[-1])
    for place, weight in zip(places.unbind(1), weights.unbind(1), strict=True):
        result += images.index_select(-2, place) * weight[:, None]
    return result


def _taps(old, new, margin, interpolation):
    """Which old places each new one weighs, and how much: two tensors `(new, taps)`."""
    total = old + 2 * margin
    scale = total / new
    starts = torch.arange(new, dtype=torch.float64) * scale
    middles = starts + scale / 2 - 0.5
    kernel, radius = _KERNELS.get(interpolation, (None, 0.5))
    if interpolation == "area":
        first, count = starts.floor(), math.ceil(scale) + 1
    elif interpolation == "nearest":
        # A middle may lie right between two old places; in float32 as torch rounds it.
        halves = torch.arange(new, dtype=torch.float32) + 0.5
        first, count = (halves * (torch.tensor(float(total)) / new)).floor().double(), 1
    else:
        first, count = (middles - radius).ceil(), math.ceil(2 * radius)
    places = first[:, None] + torch.arange(count, dtype=torch.float64)
    if interpolation == "area":
        ends = torch.minimum(places + 1, starts[:, None] + scale)
        weights = (ends - torch.maximum(places, starts[:, None])).clamp(min=0)
    elif interpolation == "nearest":
        weights = torch.ones_like(places)
    else:
        weights = kernel((places - middles[:, None]).abs())
    if interpolation == "bicubic":  # pixels past the ends are those at the ends
        places = places.clamp(0, total - 1)
    weights = torch.where((places >= 0) & (places < total), weights, 0)
    weights = weights / weights.sum(1, keepdim=True)
    places = places - margin
    weights = torch.where((places >= 0) & (places < old), weights, 0)
    return places.clamp(0, old - 1).long(), weights


def _cubic(a, b, c, d, e):
    """A kernel of two cubic pieces, as coefficients of `x` below 1 and below 2."""

    def kernel(x):
        inner = (a * x + b) * x**2 + c
        outer = ((d[0] * x + d[1]) * x + d[2]) * x + d[3]
        return torch.where(x < 1, inner, torch.where(x < 2, outer, 0)) * e

    return kernel


def _lanczos(radius):
    def kernel(x):
        return torch.where(x < radius, torch.sinc(x) * torch.sinc(x / radius), 0)

    return kernel


_KERNELS = {
    "bilinear": (lambda x: (1 - x).clamp(min=0), 1),
    "bicubic": (_cubic(1.25, -2.25, 1.0, (-0.75, 3.75, -6.0, 3.0), 1.0), 2),
    "mitchellcubic": (_cubic(7.0, -12.0, 16 / 3, (-7 / 3, 12.0, -20.0, 32 / 3), 1 / 6), 2),
    "gaussian": (lambda x: torch.where(x < 1.5, torch.exp(-2 * x**2), 0), 1.5),
    "lanczos3": (_lanczos(3), 3),
    "lanczos5": (_lanczos(5), 5),
}
