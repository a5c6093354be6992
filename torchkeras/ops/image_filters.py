"""Filters of images, each channel for itself: blur, edges, and likeness by the look of parts."""

import torch
from torch.nn import functional as F

from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.operation import op, op_names
from torchkeras.ops import shape_rules as rules
from torchkeras.ops.geometry import sizes_argument
from torchkeras.ops.operands import at_least_float32, to_float
from torchkeras.ops.resampling import as_computed, back_to
from torchkeras.ops.shape_rules.images import image_axes


def _by_channel(images, data_format):
    """Images as `(batch, channels, height, width)`, and the function that turns results back."""
    channels = image_axes(images.shape, data_format)[2]
    single = images.dim() == 3
    batch = images.unsqueeze(0) if single else images
    batch = batch.movedim(-1, 1) if channels == -1 else batch

    def back(result):
        result = result.movedim(1, 3) if channels == -1 else result
        return result.squeeze(0) if single else result

    return batch, back


def gaussian_window(size, sigma, dtype, device):
    """Weights of a Gaussian window, of sum 1.

    Args:
        size: int.
        sigma: float, or a tensor of shape () or `(windows, 1)`.
        dtype, device: of the result, `(size,)` or `(windows, size)`.

    Example:

    >>> gaussian_window(3, 1.0, torch.float32, "cpu")
    tensor([0.2741, 0.4519, 0.2741])
    """
    x = torch.arange(size, dtype=dtype, device=device) - (size - 1) / 2
    weights = torch.exp(-0.5 * (x / sigma) ** 2)
    return weights / weights.sum(-1, keepdim=True)


def filtered(images, rows, columns):
    """Each channel of `(batch, channels, height, width)` filtered along columns, then along rows.

    Args:
        images: float tensor.
        rows, columns: weights over the height and the width, one row for all channels or one for
            each; the result has as many fewer places.

    Example:

    >>> filtered(torch.ones(1, 2, 3, 3), torch.ones(3), torch.ones(2)).shape
    torch.Size([1, 2, 1, 2])
    """
    channels = images.shape[1]
    for weights, axis in ((rows, -1), (columns, -2)):
        kernel = weights.to(images.dtype).reshape(-1, 1, weights.shape[-1]).unsqueeze(axis)
        kernel = kernel.expand(channels, *kernel.shape[1:])
        images = F.conv2d(images, kernel, groups=channels)
    return images


def blur(images, kernel_size, sigma):
    """`(batch, channels, height, width)` blurred, with zeros beyond the ends.

    Args:
        images: float tensor.
        kernel_size: two ints.
        sigma: two floats, or tensors of shape () or `(channels, 1)`.

    Example:

    >>> spot = torch.zeros(1, 1, 3, 3)
    >>> spot[..., 1, 1] = 1.0
    >>> blur(spot, (1, 3), (1.0, 1.0))[0, 0, 1]
    tensor([0.2741, 0.4519, 0.2741])
    """
    before = [(n - 1) // 2 for n in kernel_size]
    after = [n // 2 for n in kernel_size]
    padded = F.pad(images, (before[1], after[1], before[0], after[0]))
    rows, columns = (
        gaussian_window(n, s, images.dtype, images.device)
        for n, s in zip(kernel_size, sigma, strict=True)
    )
    return filtered(padded, rows, columns)


@op(shape=rules.blurred, dtype=rules.kept)
def gaussian_blur(images, kernel_size=(3, 3), sigma=(1.0, 1.0), data_format=None):
    """Images blurred by a Gaussian window.

    Args:
        images: tensor of rank 3 or 4. Beyond it lie zeros.
        kernel_size: int, or two for height and width: pixels that the window spans.
        sigma: two floats for height and width, or a tensor of them: standard deviations in pixels.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.

    Output shape: that of the images, in their dtype; integers are rounded.

    Raises:
        ValueError: an argument is out of its range.

    Example:

    >>> image = torch.zeros(3, 3, 1)
    >>> image[1, 1] = 1.0
    >>> keras.ops.image.gaussian_blur(image)[1].flatten()
    tensor([0.1238, 0.2042, 0.1238])
    """
    images = convert_to_tensor(images)
    kernel_size = sizes_argument(kernel_size, 2, "kernel_size")
    sigma = sigma.to(images.device) if isinstance(sigma, torch.Tensor) else sigma
    batch, back = _by_channel(images, data_format)
    return back(back_to(blur(as_computed(batch), kernel_size, tuple(sigma)), images.dtype))


@op(shape=rules.edges, dtype=rules.floating)
def sobel_edges(images, data_format=None):
    """Gradients of images along height and width, by the Sobel operator.

    Args:
        images: tensor of rank 3 or 4. Beyond it lie zeros.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.

    Output shape: that of the images and a last axis of 2, for `[dy, dx]`; in their dtype, of
        integers in `floatx()`.

    Raises:
        ValueError: another rank.

    Example:

    >>> image = torch.zeros(3, 4, 1)
    >>> image[:, 2:] = 1.0
    >>> keras.ops.image.sobel_edges(image)[1, :, 0, 1]
    tensor([ 0.,  4.,  4., -4.])
    """
    images = to_float(images)
    batch, back = _by_channel(at_least_float32(images), data_format)
    padded = F.pad(batch, (1, 1, 1, 1))
    step = torch.arange(-1, 2, device=images.device)
    smooth = 2 - step.abs()
    both = filtered(padded, step, smooth), filtered(padded, smooth, step)
    return torch.stack([back(each) for each in both], -1).to(images.dtype)


@op(shape=rules.similarity, dtype=rules.floating)
def ssim(
    image1,
    image2,
    max_val=1.0,
    filter_size=11,
    filter_sigma=1.5,
    k1=0.01,
    k2=0.03,
    data_format=None,
):
    """Structural similarity of two images, from -1 to 1, where 1 stands for the same image.

    Means, variances and the covariance under a Gaussian window at each place give
    `(2 m1 m2 + c1) (2 v12 + c2) / ((m1^2 + m2^2 + c1) (v1 + v2 + c2))`, with `c1 = (k1 max_val)^2`
    and `c2 = (k2 max_val)^2`; the mean over places and channels is the result.

    Args:
        image1, image2: tensors of one shape, of rank 3 or 4.
        max_val: number, the largest value a pixel can have.
        filter_size: int, pixels that the window spans; the images must be as large.
        filter_sigma: float, standard deviation of the window in pixels.
        k1, k2: floats, of terms that keep the quotient finite.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.

    Output shape: `()` for one image, `(batch,)` for a batch; in the dtype of `image1`, of integers
        in `floatx()`.

    Raises:
        ValueError: the shapes differ, or the images are smaller than the window.

    Source: Wang et al. 2004, "Image quality assessment: from error visibility to structural
    similarity", eq. 13.

    Example:

    >>> image = torch.rand(16, 16, 3)
    >>> keras.ops.image.ssim(image, image)
    tensor(1.)
    """
    image1, image2 = to_float(image1), to_float(image2)
    dtype, rank = image1.dtype, image1.dim()
    rules.similarity(image1, image2, max_val, filter_size, data_format=data_format)
    a, b = (_by_channel(at_least_float32(x), data_format)[0] for x in (image1, image2))
    window = gaussian_window(filter_size, filter_sigma, a.dtype, a.device)
    channels = a.shape[1]
    parts = torch.cat([a, b, a * a, b * b, a * b], 1)
    mean_a, mean_b, aa, bb, ab = filtered(parts, window, window).split(channels, 1)
    c1, c2 = (k1 * max_val) ** 2, (k2 * max_val) ** 2
    upper = (2 * mean_a * mean_b + c1) * (2 * (ab - mean_a * mean_b) + c2)
    squares = mean_a * mean_a + mean_b * mean_b
    lower = (squares + c1) * (aa + bb - squares + c2)
    result = (upper / lower).mean((1, 2, 3)).to(dtype)
    return result.squeeze(0) if rank == 3 else result


__all__ = op_names(__name__)
