"""Images warped: turned, stretched, seen from aside, or drawn at any places at all."""

import torch

from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.operation import op, op_names
from torchkeras.ops import shape_rules as rules
from torchkeras.ops.geometry import choice_argument
from torchkeras.ops.image_filters import blur
from torchkeras.ops.operands import beside
from torchkeras.ops.resampling import as_computed
from torchkeras.ops.sampling import ORDERS, sample, sample_images
from torchkeras.ops.shape_rules.images import FILL_MODES, image_axes
from torchkeras.random.distributions import source_of


def _as_batch(images, data_format):
    """Images as `(batch, height, width, channels)`, and the function that turns results back."""
    channels = image_axes(images.shape, data_format)[2]
    single = images.dim() == 3
    batch = images.unsqueeze(0) if single else images
    batch = batch.movedim(channels, -1)

    def back(result):
        result = result.movedim(-1, channels)
        return result.squeeze(0) if single else result

    return batch, back


@op(shape=rules.at_coordinates, dtype=rules.kept)
def map_coordinates(inputs, coordinates, order, fill_mode="constant", fill_value=0):
    """Values of a tensor at coordinates that may lie between its places.

    Args:
        inputs: tensor of any rank.
        coordinates: tensor `(rank, ...)`, or a list of one tensor for each axis: where to read.
        order: 0 for the nearest place, 1 for the mean of the two around along each axis.
        fill_mode: what lies beyond the ends of the axis `a b c d`. `"constant"`: `k k | a b c d | k
            k` with `fill_value`; `"nearest"`: `a a | a b c d | d d`; `"wrap"`: `c d | a b c d | a
            b`; `"mirror"`: `c b | a b c d | c b`; `"reflect"`: `b a | a b c d | d c`.
        fill_value: number.

    Output shape: that of the coordinates without the first axis, in the dtype of `inputs`;
        integers are rounded.

    Raises:
        ValueError: an unknown mode or order, or coordinates that do not fit.

    Example:

    >>> x = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
    >>> keras.ops.image.map_coordinates(x, torch.tensor([[0.5, 1.0], [0.5, 0.0]]), order=1)
    tensor([1.5000, 2.0000])
    """
    fill_mode = choice_argument(fill_mode, "fill_mode", FILL_MODES)
    inputs = convert_to_tensor(inputs)
    if not isinstance(coordinates, (list, tuple)):
        coordinates = beside(coordinates, inputs)
    rules.at_coordinates(inputs, coordinates, order)
    axes = [as_computed(beside(each, inputs)) for each in coordinates]
    return sample(lambda i: inputs[tuple(i)], inputs.shape, axes, order, fill_mode, fill_value)


@op(shape=rules.warped, dtype=rules.kept)
def affine_transform(
    images,
    transform,
    interpolation="bilinear",
    fill_mode="constant",
    fill_value=0,
    data_format=None,
):
    """Images after affine transformations: turned, stretched, sheared or shifted.

    The pixel at `(x, y)` of the result is read at `(a0 x + a1 y + a2, b0 x + b1 y + b2)`.

    Args:
        images: tensor of rank 3 or 4.
        transform: `[a0, a1, a2, b0, b1, b2, c0, c1]`, or a row of them for each image. The last
            two do nothing, as in Keras on all backends but TensorFlow.
        interpolation: `"nearest"` or `"bilinear"`.
        fill_mode: what lies beyond the images: `"constant"`, `"nearest"`, `"wrap"`, `"mirror"` or
            `"reflect"`, as in `map_coordinates`.
        fill_value: number, for `"constant"`.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.

    Output shape: that of the images, in their dtype.

    Raises:
        ValueError: an argument is out of its range or does not fit.

    Example:

    >>> image = torch.tensor([[1.0, 2.0, 3.0]]).reshape(1, 3, 1)
    >>> shift = torch.tensor([1.0, 0, 1, 0, 1, 0, 0, 0])
    >>> keras.ops.image.affine_transform(image, shift).flatten()
    tensor([2., 3., 0.])
    """
    order = ORDERS[choice_argument(interpolation, "interpolation", tuple(ORDERS))]
    fill_mode = choice_argument(fill_mode, "fill_mode", FILL_MODES)
    images = convert_to_tensor(images)
    transform = as_computed(convert_to_tensor(transform).to(images.device))
    rules.warped(images, transform, data_format=data_format)
    batch, back = _as_batch(images, data_format)
    x, y = _grid(batch, transform.dtype)
    a0, a1, a2, b0, b1, b2, _, _ = transform.reshape(-1, 8, 1, 1).unbind(1)
    shape = batch.shape[:3]
    columns = (a0 * x + a1 * y + a2).expand(shape)
    rows = (b0 * x + b1 * y + b2).expand(shape)
    return back(sample_images(batch, rows, columns, order, fill_mode, fill_value))


def _grid(batch, dtype):
    """x of the columns and y of the rows of images, which broadcast to `(height, width)`."""
    _, height, width, _ = batch.shape
    x = torch.arange(width, dtype=dtype, device=batch.device)
    return x, torch.arange(height, dtype=dtype, device=batch.device)[:, None]


@op(shape=rules.warped_by_points, dtype=rules.kept)
def perspective_transform(
    images, start_points, end_points, interpolation="bilinear", fill_value=0, data_format=None
):
    """Images of which four points are moved, and all else with them, as a camera would see it.

    Args:
        images: tensor of rank 3 or 4.
        start_points: tensor `(4, 2)`, or `(batch, 4, 2)` for points of each image: x and y of the
            points before.
        end_points: tensor of that shape: where they come to.
        interpolation: `"nearest"` or `"bilinear"`.
        fill_value: number, what lies beyond the images.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.

    Output shape: that of the images, in their dtype. Where three of the four points lie on a line
        there is no such transformation, and the values are of no use.

    Raises:
        ValueError: an unknown interpolation, or shapes that do not fit.

    Source: Hartley and Zisserman 2004, "Multiple view geometry in computer vision", section 4.1.

    Example:

    >>> image = torch.arange(4.0).reshape(2, 2, 1)
    >>> corners = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> mirrored = corners[[1, 0, 3, 2]]
    >>> turned = keras.ops.image.perspective_transform(image, corners, mirrored, "nearest")
    >>> turned.flatten()
    tensor([1., 0., 3., 2.])
    """
    order = ORDERS[choice_argument(interpolation, "interpolation", tuple(ORDERS))]
    images = convert_to_tensor(images)
    start, end = (
        as_computed(convert_to_tensor(points).to(images.device))
        for points in (start_points, end_points)
    )
    rules.warped_by_points(images, start, end, data_format=data_format)
    batch, back = _as_batch(images, data_format)
    x, y = _grid(batch, start.dtype)
    a0, a1, a2, b0, b1, b2, c0, c1 = homography(start, end).reshape(-1, 8, 1, 1).unbind(1)
    depth = c0 * x + c1 * y + 1
    shape = batch.shape[:3]
    columns = ((a0 * x + a1 * y + a2) / depth).expand(shape)
    rows = ((b0 * x + b1 * y + b2) / depth).expand(shape)
    return back(sample_images(batch, rows, columns, order, "constant", fill_value))


def homography(start_points, end_points):
    """The eight numbers of the projective map that brings end points to start points.

    They are `[a0, a1, a2, b0, b1, b2, c0, c1]` of `x' = (a0 x + a1 y + a2) / (c0 x + c1 y + 1)` and
    `y' = (b0 x + b1 y + b2) / (c0 x + c1 y + 1)`.

    Args:
        start_points, end_points: float tensors `(..., 4, 2)`.

    Output shape: `(..., 8)`.

    Example:

    >>> points = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> bool((homography(points + 2, points) - torch.tensor([1.0, 0, 2, 0, 1, 2, 0, 0])).abs().max()
    ...      < 1e-5)
    True
    """
    x, y = end_points.unbind(-1)
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    new_x, new_y = start_points.unbind(-1)
    rows_x = torch.stack([x, y, one, zero, zero, zero, -new_x * x, -new_x * y], -1)
    rows_y = torch.stack([zero, zero, zero, x, y, one, -new_y * x, -new_y * y], -1)
    matrix = torch.stack([rows_x, rows_y], -2).flatten(-3, -2)
    # `solve_ex` does not look whether it can be solved, which would wait for the device.
    solution, _ = torch.linalg.solve_ex(matrix, start_points.flatten(-2).unsqueeze(-1))
    return solution.squeeze(-1)


@op(shape=rules.distorted, dtype=rules.kept)
def elastic_transform(
    images,
    alpha=20.0,
    sigma=5.0,
    interpolation="bilinear",
    fill_mode="reflect",
    fill_value=0.0,
    seed=None,
    data_format=None,
):
    """Images of which every pixel is moved a little, neighbours alike.

    The ways pixels go are normal numbers of standard deviation `sigma`, blurred with `sigma`, and
    multiplied by `alpha`.

    Args:
        images: tensor of rank 3 or 4.
        alpha: float, how far pixels are moved.
        sigma: float, above 0, over how many pixels the moves are alike.
        interpolation: `"nearest"` or `"bilinear"`.
        fill_mode: what lies beyond the images, as in `map_coordinates`.
        fill_value: number, for `"constant"`.
        seed: int, `SeedGenerator`, or None for torch's default generator.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.

    Output shape: that of the images, in their dtype.

    Raises:
        ValueError: an argument is out of its range.

    Source: Simard et al. 2003, "Best practices for convolutional neural networks applied to visual
    document analysis".

    Example:

    >>> keras.ops.image.elastic_transform(torch.ones(8, 8, 3), seed=1).shape
    torch.Size([8, 8, 3])
    """
    order = ORDERS[choice_argument(interpolation, "interpolation", tuple(ORDERS))]
    fill_mode = choice_argument(fill_mode, "fill_mode", FILL_MODES)
    images = convert_to_tensor(images)
    rules.distorted(images, alpha, sigma, data_format=data_format)
    batch, back = _as_batch(images, data_format)
    count, height, width, _ = batch.shape
    dtype = as_computed(batch[:0]).dtype
    noise = source_of(seed, images.device).normal((count, 2, height, width), dtype)
    moves = elastic_moves(noise, alpha, sigma, int(6 * sigma) | 1)
    return back(moved(batch, moves, order, fill_mode, fill_value))


def elastic_moves(noise, alpha, sigma, size):
    """How far every pixel is moved, neighbours alike, by noise that is blurred.

    Args:
        noise: tensor `(batch, 2, height, width)` of standard normal numbers, for x and y.
        alpha, sigma: floats as for `elastic_transform`, or tensors of one for each image.
        size: int, pixels that the blurring window spans.

    Output shape: that of the noise, pixels.

    Example:

    >>> elastic_moves(torch.randn(3, 2, 8, 8), 0.0, 1.0, 5).abs().max()
    tensor(0.)
    """
    if noise.shape[0] == 0:  # torch convolves no 0 channels
        return noise
    per_channel = sigma
    if isinstance(sigma, torch.Tensor):
        per_channel = sigma.repeat_interleave(2).unsqueeze(-1)
        alpha, sigma = alpha.reshape(-1, 1, 1, 1), sigma.reshape(-1, 1, 1, 1)
    # All of a batch as channels of one image, since each may have a window of its own.
    channels = (noise * sigma).flatten(0, 1).unsqueeze(0)
    return blur(channels, (size, size), (per_channel,) * 2).reshape(noise.shape) * alpha


def moved(images, moves, order, fill_mode, fill_value):
    """Images of which each pixel comes from another place.

    Args:
        images: tensor `(batch, height, width, channels)`.
        moves: tensor `(batch, 2, height, width)`: how far away it lies along x and y.
        order, fill_mode, fill_value: as for `sample`.

    Example:

    >>> images = torch.arange(4.0).reshape(1, 1, 4, 1)
    >>> moved(images, torch.ones(1, 2, 1, 4), 0, "nearest", 0).flatten()
    tensor([1., 2., 3., 3.])
    """
    x, y = _grid(images, moves.dtype)
    columns, rows = x + moves[:, 0], y + moves[:, 1]
    return sample_images(images, rows, columns, order, fill_mode, fill_value)


__all__ = op_names(__name__)
