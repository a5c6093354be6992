"""Weights with which an axis is drawn at other places: linear, cubic and Lanczos kernels."""

import torch


def _triangle(x):
    return (1 - x).clamp(min=0)


def _cubic(x):
    """Keys's cubic with -0.5 as the free parameter."""
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, 0))


def _lanczos(radius):
    def kernel(x):
        return torch.where(x < radius, torch.sinc(x) * torch.sinc(x / radius), 0)

    return kernel


_KERNELS = {"linear": _triangle, "cubic": _cubic, "lanczos3": _lanczos(3), "lanczos5": _lanczos(5)}
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
