"""Lanczos interpolation of images that grow by a whole factor."""

import torch


def lanczos_weights(size, factor, radius, device=None):
    """Weights `(size * factor, size)` that enlarge an axis.

    The new place `i` lies at `(i + 0.5) / factor - 0.5` of the old axis, and each old place within
    `radius` of it weighs `sinc(x) * sinc(x / radius)` of its distance `x`. Weights that fall past
    the ends are left out, and the others divided by their sum.

    Args:
        size: int, places of the axis.
        factor: int, places that each of them becomes.
        radius: int.
        device: torch device of the result, float32.

    Example:

    >>> lanczos_weights(4, 2, 3).sum(1)
    tensor([1., 1., 1., 1., 1., 1., 1., 1.])
    """
    new = (torch.arange(size * factor, dtype=torch.float64, device=device) + 0.5) / factor - 0.5
    distance = new[:, None] - torch.arange(size, dtype=torch.float64, device=device)
    weights = torch.sinc(distance) * torch.sinc(distance / radius)
    weights = torch.where(distance.abs() < radius, weights, 0)
    return (weights / weights.sum(1, keepdim=True)).float()
