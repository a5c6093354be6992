"""Weights with which an axis is drawn at other places: kernels, and their places on an axis."""

import math

import torch


def _triangle(x):
    return (1 - x).clamp(min=0)


def _keys(a):
    """Keys's cubic with `a` as the free parameter."""

    def kernel(x):
        near = ((a + 2) * x - (a + 3)) * x * x + 1
        far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
        return torch.where(x < 1, near, torch.where(x < 2, far, 0))

    return kernel


def _mitchell(x):
    near = (7 * x - 12) * x * x + 16 / 3
    far = ((-7 / 3 * x + 12) * x - 20) * x + 32 / 3
    return torch.where(x < 1, near, torch.where(x < 2, far, 0)) / 6


def _lanczos(radius):
    def kernel(x):
        return torch.where(x < radius, torch.sinc(x) * torch.sinc(x / radius), 0)

    return kernel


def _gaussian(x):
    return torch.where(x < 1.5, torch.exp(-2 * x**2), 0)


_KERNELS = {
    "linear": _triangle,
    "cubic": _keys(-0.5),
    "lanczos3": _lanczos(3),
    "lanczos5": _lanczos(5),
}
# Of an axis in taps: the kernel, and how far it reaches.
_TAPS = {
    "bilinear": (_triangle, 1),
    "bicubic": (_keys(-0.75), 2),
    "mitchellcubic": (_mitchell, 2),
    "gaussian": (_gaussian, 1.5),
    "lanczos3": (_KERNELS["lanczos3"], 3),
    "lanczos5": (_KERNELS["lanczos5"], 5),
}
KERNEL_OF = {
    **dict.fromkeys(("linear", "bilinear", "trilinear", "triangle"), "linear"),
    **dict.fromkeys(("cubic", "bicubic", "tricubic"), "cubic"),
    "lanczos3": "lanczos3",
    "lanczos5": "lanczos5",
}


def axis_weights(size, new_size, scale, translation, method, antialias=False, device=None):
    """Weights `(new_size, size)` of old places for new ones.

    The middle of new place `i` lies at `(i + 0.5 - translation) / scale - 0.5` of the old axis, and
    each old place weighs as the kernel says of its distance; kernels are widened where the axis
    shrinks and `antialias` is set. Weights are divided by their sum; those of a place outside
    the old axis are 0.

    Args:
        size, new_size: ints.
        scale, translation: float tensors of shape (), or floats.
        method: key of `KERNEL_OF`.
        antialias: bool.
        device: of the result; that of `scale`, if it is a tensor.

    Output shape: `(new_size, size)`, float32, or float64 for a scale of that dtype.

    Source: Duchon 1979, "Lanczos filtering in one and two dimensions"; Keys 1981, "Cubic
    convolution interpolation for digital image processing", eq. 15.

    Example:

    >>> axis_weights(2, 4, 2.0, 0.0, "linear")
    tensor([[1.0000, 0.0000],
            [0.7500, 0.2500],
            [0.2500, 0.7500],
            [0.0000, 1.0000]])
    """
    dtype = torch.float64
    if isinstance(scale, torch.Tensor):
        dtype, device = torch.promote_types(scale.dtype, torch.float32), scale.device
    places = torch.arange(new_size, dtype=dtype, device=device)
    middle = (places + 0.5 - translation) / scale - 0.5
    distance = (middle[:, None] - torch.arange(size, dtype=dtype, device=device)).abs()
    if antialias and isinstance(scale, torch.Tensor):
        distance = distance / (1 / scale).clamp(min=1)
    elif antialias:
        distance = distance / max(1 / scale, 1)
    weights = _KERNELS[KERNEL_OF[method]](distance)
    total = weights.sum(1, keepdim=True)
    # A sum this small is rounding: there is nothing of the old axis at this place.
    least = 1000 * torch.finfo(torch.float32).eps
    weights = torch.where(total.abs() > least, weights / torch.where(total != 0, total, 1), 0)
    inside = (middle >= -0.5) & (middle <= size - 0.5)
    weights = torch.where(inside[:, None], weights, 0)
    return weights if isinstance(scale, torch.Tensor) else weights.float()


def axis_taps(old, new, margin, interpolation):
    """Which old places each new one weighs, and how much: two tensors `(new, taps)`.

    Nothing is smoothed before an axis shrinks, but for `"area"`, the mean over what a new place
    covers. Where there are few taps this takes less than `axis_weights`.

    Args:
        old, new: ints, the sizes.
        margin: int, places of weight 0 to think before and after the old ones.
        interpolation: `"bilinear"`, `"nearest"`, `"bicubic"` with -0.75 as in torch, `"area"`,
            `"lanczos3"`, `"lanczos5"`, `"gaussian"` or `"mitchellcubic"`.

    Source: Mitchell and Netravali 1988, "Reconstruction filters in computer graphics", with 1/3 for
    both parameters; the others as `axis_weights`.

    Example:

    >>> axis_taps(2, 4, 0, "bilinear")[1]
    tensor([[0.0000, 1.0000],
            [0.7500, 0.2500],
            [0.2500, 0.7500],
            [1.0000, 0.0000]], dtype=torch.float64)
    """
    total = old + 2 * margin
    scale = total / new
    starts = torch.arange(new, dtype=torch.float64) * scale
    middles = starts + scale / 2 - 0.5
    kernel, radius = _TAPS.get(interpolation, (None, 0.5))
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


def along_axis(weights, x, axis):
    """`x` with `weights` applied to one of its axes.

    Args:
        weights: tensor `(new size, size)`, float.
        x: float tensor.
        axis: int.

    Example:

    >>> along_axis(torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0], [2.0]]), 0)
    tensor([[3.]])
    """
    return torch.matmul(x.movedim(axis, -1), weights.to(x.dtype).mT).movedim(-1, axis)


def as_computed(x):
    """`x` in a dtype to weigh pixels in: float32, or float64."""
    return x if x.dtype is torch.float64 else x.float()


def back_to(y, dtype):
    """Weighed pixels in the dtype of the images: integers are rounded and stay in their range."""
    if dtype.is_floating_point:
        return y.to(dtype)
    if dtype is not torch.bool:  # negative weights reach past the range of a pixel
        limits = torch.iinfo(dtype)
        y = y.clamp(limits.min, limits.max)
    return y.round().to(dtype)
