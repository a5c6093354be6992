"""Batch normalization from given moments: masked batches, renormalization, several processes.

torch's fused `batch_norm` takes its statistics from every element of this process's batch.
Where they come from a part of them, or from the batches of all processes, mean and variance
are computed first, and the gradient has to go through them too: that is what is here.

Inputs have their channels on axis 1. Moments are vectors, a value a channel.
"""

import torch
from torch.autograd.function import once_differentiable

from torchkeras.core.scopes import gradient_weight, sample_count


def process_count():
    """Number of processes of the running `torch.distributed` job; 1 if there is none.

    Example:

    >>> process_count()
    1
    """
    distributed = torch.distributed  # what `import torch` has loaded: nothing is imported here
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_world_size()
    return 1


def batch_moments(x, counted=None, synchronized=False):
    """Count, mean and variance of each channel, outside of autograd.

    The variance is divided by the count. A process whose batch is empty takes part in a
    synchronized call like every other. Where nothing at all is counted, mean and variance are 0.

    Args:
        x: tensor `(batch, channels, ...)`; half precision is summed in `float32`.
        counted: bool tensor of the shape of `x`, True for elements that count; None for all.
        synchronized: bool, whether to take the batches of all processes together.

    Returns:
        Tuple of three vectors, at least `float32`. Counts are floats: exact up to 2^24 a
        process, and to seven digits beyond.

    Source: Chan et al. 1979, "Updating formulae and a pairwise algorithm", eq. 2.1: sums of
    squared deviations, not of squares, so that no digits are lost where the mean is large.

    Example:

    >>> batch_moments(torch.tensor([[1.0], [3.0]]))
    (tensor([2.]), tensor([2.]), tensor([1.]))
    """
    with torch.no_grad():
        count, mean, deviations = _local_sums(x, counted)
        if synchronized:
            if not sample_count(1):  # this process's row is a copy of another's
                count, deviations = torch.zeros_like(count), torch.zeros_like(deviations)
            local = torch.stack([count, mean, deviations])
            gathered = [torch.empty_like(local) for _ in range(process_count())]
            torch.distributed.all_gather(gathered, local)
            counts, means, all_deviations = torch.stack(gathered, 1)
            count = counts.sum(0)
            mean = (counts * means).sum(0) / count.clamp_min(1)
            deviations = (all_deviations + counts * (means - mean).square()).sum(0)
        return count, mean, deviations / count.clamp_min(1)


def _local_sums(x, counted):
    """Count, mean and sum of squared deviations of each channel in this process."""
    axes = _all_but_channels(x)
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    if counted is not None:
        count = counted.sum(axes).to(x.dtype)
        mean = torch.where(counted, x, 0).sum(axes) / count.clamp_min(1)
        difference = torch.where(counted, x - _beside(mean, x), 0)
        return count, mean, difference.square().sum(axes)
    channels = x.shape[1]
    count = x.numel() // channels
    if count == 0:
        return x.new_zeros(3, channels)
    variance, mean = torch.var_mean(x, axes, correction=0)
    return torch.full_like(mean, count), mean, variance * count


def normalize_by_moments(x, gamma, beta, counted, moments, epsilon, synchronized):
    """`(x - mean) / sqrt(variance + epsilon) * gamma + beta`, moments being functions of `x`.

    Args:
        x: tensor `(batch, channels, ...)`.
        gamma, beta: vectors in the dtype of the moments.
        counted: what `batch_moments` was given.
        moments: what `batch_moments` returned.
        epsilon: float, added to the variance.
        synchronized: what `batch_moments` was given. The gradient of `x` then has the share of
            the losses of all processes; those of `gamma` and `beta` are of this process, and
            are summed or averaged as any other.

    Output shape: that of `x`, in its dtype.

    Source: Ioffe and Szegedy 2015, arXiv:1502.03167, section 3.

    Example:

    >>> x = torch.tensor([[1.0], [3.0]])
    >>> moments = batch_moments(x)
    >>> normalize_by_moments(x, torch.ones(1), torch.zeros(1), None, moments, 0.0, False)
    tensor([[-1.],
            [ 1.]])
    """
    return _NormalizeByMoments.apply(x, gamma, beta, counted, *moments, epsilon, synchronized)


class _NormalizeByMoments(torch.autograd.Function):
    @staticmethod
    def forward(x, gamma, beta, counted, count, mean, variance, epsilon, synchronized):
        # Inference mode of torch's fused function: one pass, moments as they are.
        return torch.batch_norm(x, gamma, beta, mean, variance, False, 0.0, epsilon, True)

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, gamma, _, counted, count, mean, variance, ctx.epsilon, ctx.synchronized = inputs
        ctx.weight, ctx.counts = gradient_weight(), sample_count(1)
        ctx.save_for_backward(x, gamma, counted, count, mean, variance)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, gamma, counted, count, mean, variance = ctx.saved_tensors
        axes = _all_but_channels(x)
        factor = torch.rsqrt(variance + ctx.epsilon)
        wide = grad.to(mean.dtype)
        centered = x - _beside(mean, x)
        grad_beta = wide.sum(axes)
        grad_gamma = (wide * centered).sum(axes) * factor
        grad_x = None
        if ctx.needs_input_grad[0]:
            sums = torch.stack([grad_beta, grad_gamma])
            if ctx.synchronized:
                sums *= ctx.weight
                torch.distributed.all_reduce(sums)
                sums /= ctx.weight or 1.0
            # Each counted element moves the mean and the variance by 1 / count.
            through_mean, through_variance = sums * (gamma * factor / count.clamp_min(1))
            correction = torch.addcmul(
                _beside(through_mean, x), centered, _beside(through_variance * factor, x)
            )
            if counted is not None:
                correction = torch.where(counted, correction, 0)
            if not ctx.counts:
                correction = torch.zeros_like(correction)
            grad_x = (wide * _beside(gamma * factor, x) - correction).to(x.dtype)
        return grad_x, grad_gamma, grad_beta, None, None, None, None, None, None


def _all_but_channels(x):
    return [axis for axis in range(x.dim()) if axis != 1]


def _beside(vector, x):
    """A value a channel, in the shape that broadcasts to `x`."""
    return vector.reshape([-1] + [1] * (x.dim() - 2))
