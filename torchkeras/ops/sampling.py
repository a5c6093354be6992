"""Values between the places of a tensor: the nearest one, or a mean of those around."""

import functools
import itertools
import operator

import torch

ORDERS = {"nearest": 0, "bilinear": 1}


def _mirrored(index, size):
    """`c b | a b c d | c b`: the end is not repeated."""
    if isinstance(size, int) and size == 1:
        return torch.zeros_like(index)
    return ((index + size - 1) % (2 * size - 2) - (size - 1)).abs()


def _reflected(index, size):
    """`b a | a b c d | d c`: the end is repeated."""
    index = index % (2 * size)
    return torch.minimum(index, 2 * size - 1 - index)


def _clipped(index, size):
    return index.clamp(0, size - 1)


_INSIDE = {
    "constant": _clipped,
    "nearest": _clipped,
    "wrap": lambda index, size: index % size,
    "mirror": _mirrored,
    "reflect": _reflected,
}


def _around(coordinate, order):
    """`(index, weight)` of the places on an axis that make up a value; weight None for 1."""
    if order == 0:
        return [(coordinate.round().long(), None)]
    below = coordinate.floor()
    part = coordinate - below
    below = below.long()
    return [(below, 1 - part), (below + 1, part)]


def sample(values_at, sizes, coordinates, order, fill_mode, fill_value):
    """Values at coordinates, one tensor of them for each axis.

    Args:
        values_at: function of a list of int64 tensors, an index for each axis, that gives the
            values there; their axes are those of the coordinates, and possibly more behind.
        sizes: ints, sizes of the axes.
        coordinates: float tensors of one shape, one for each axis.
        order: 0 for the nearest place, 1 for the linear mean of two along each axis.
        fill_mode: what lies beyond the ends: `"constant"`, `"nearest"` (the end goes on), `"wrap"`
            (the other end), `"mirror"` or `"reflect"` (backwards, without and with the end twice).
        fill_value: number, what lies beyond for `"constant"`.

    Output shape: that of what `values_at` gives, in its dtype; integers are rounded.

    Example:

    >>> x = torch.tensor([1.0, 3.0])
    >>> sample(lambda index: x[index[0]], [2], [torch.tensor([0.5, 2.0])], 1, "constant", 0)
    tensor([2., 0.])
    """
    inside = _INSIDE[fill_mode]
    axes = []
    for coordinate, size in zip(coordinates, sizes, strict=True):
        places = []
        for index, weight in _around(coordinate, order):
            valid = (index >= 0) & (index < size) if fill_mode == "constant" else None
            places.append((inside(index, size), valid, weight))
        axes.append(places)
    total = None
    for corner in itertools.product(*axes):
        indices, valid, weights = zip(*corner, strict=True)
        values = values_at(list(indices))
        dtype = values.dtype
        extra = (1,) * (values.dim() - coordinates[0].dim())
        if fill_mode == "constant":
            all_valid = functools.reduce(operator.and_, valid)
            fill = fill_value if dtype.is_floating_point else int(fill_value)
            values = torch.where(all_valid.reshape(*all_valid.shape, *extra), values, fill)
        if order == 1:
            weight = functools.reduce(operator.mul, weights)
            values = weight.reshape(*weight.shape, *extra) * values
        total = values if total is None else total + values
    if total.is_floating_point() and not dtype.is_floating_point and dtype is not torch.bool:
        total = total.round()
    return total.to(dtype)


def sample_images(images, rows, columns, order, fill_mode, fill_value):
    """Pixels of images at places of their own for each.

    Args:
        images: tensor `(batch, height, width, channels)`.
        rows, columns: float tensors `(batch, new height, new width)`.
        order, fill_mode, fill_value: as for `sample`.

    Output shape: `(batch, new height, new width, channels)`, in the dtype of the images.

    Example:

    >>> images = torch.arange(4.0).reshape(1, 2, 2, 1)
    >>> middle = torch.full((1, 1, 1), 0.5)
    >>> sample_images(images, middle, middle, 1, "nearest", 0).flatten()
    tensor([1.5000])
    """
    batch, height, width, channels = images.shape
    flat = images.reshape(batch, height * width, channels)

    def values_at(index):
        # `gather` adds up gradients without sorting, as an index of three tensors would.
        place = (index[0] * width + index[1]).flatten(1).unsqueeze(-1)
        values = flat.gather(1, place.expand(-1, -1, channels))
        return values.reshape(*rows.shape, channels)

    return sample(values_at, (height, width), (rows, columns), order, fill_mode, fill_value)
