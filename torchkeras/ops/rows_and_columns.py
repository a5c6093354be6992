"""Tensors joined, cut and turned by their rows (axis 0), columns (axis 1) and depth (axis 2)."""

import torch

from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.operation import op, op_names
from torchkeras.ops import shape_rules as rules
from torchkeras.ops.operands import all_tensors
from torchkeras.ops.shaping import split


@op(shape=rules.column_stack)
def column_stack(xs):
    """Tensors joined along their second axis; those with one axis count as columns.

    Args:
        xs: sequence of tensors with as many rows; their dtypes are promoted.

    Example:

    >>> keras.ops.column_stack([torch.tensor([1, 2]), torch.tensor([3, 4])])
    tensor([[1, 3],
            [2, 4]])
    """
    return torch.column_stack(all_tensors(xs))


@op(shape=rules.dstack)
def dstack(xs):
    """Tensors joined along their third axis, which those with fewer axes get.

    Args:
        xs: sequence of tensors that agree in all other axes; their dtypes are promoted. One
            with one axis counts as a row.

    Example:

    >>> keras.ops.dstack([torch.ones(2, 3), torch.zeros(2, 3)]).shape
    torch.Size([2, 3, 2])
    """
    return torch.dstack(all_tensors(xs))


@op(shape=rules.vsplit, dtype=rules.kept)
def vsplit(x, indices_or_sections):
    """`x` cut along its first axis, as by `split`.

    Args:
        x: tensor with at least two axes.
        indices_or_sections: int, the number of equal parts; or a sequence of ints, the indices
            to cut at.

    Returns:
        List of tensors.

    Example:

    >>> [part.shape for part in keras.ops.vsplit(torch.ones(4, 3), 2)]
    [torch.Size([2, 3]), torch.Size([2, 3])]
    """
    rules.vsplit(x, indices_or_sections)
    return split(x, indices_or_sections, 0)


@op(shape=rules.hsplit, dtype=rules.kept)
def hsplit(x, indices_or_sections):
    """`x` cut along its second axis (the first, if it has only one), as by `split`.

    Args:
        x: tensor with at least one axis.
        indices_or_sections: int, the number of equal parts; or a sequence of ints, the indices
            to cut at.

    Returns:
        List of tensors.

    Example:

    >>> [part.shape for part in keras.ops.hsplit(torch.ones(4, 3), [1])]
    [torch.Size([4, 1]), torch.Size([4, 2])]
    """
    rules.hsplit(x, indices_or_sections)
    return split(x, indices_or_sections, min(len(rules.shape_of(x)) - 1, 1))


@op(shape=rules.dsplit, dtype=rules.kept)
def dsplit(x, indices_or_sections):
    """`x` cut along its third axis, as by `split`.

    Args:
        x: tensor with at least three axes.
        indices_or_sections: int, the number of equal parts; or a sequence of ints, the indices
            to cut at.

    Returns:
        List of tensors.

    Example:

    >>> [part.shape for part in keras.ops.dsplit(torch.ones(1, 2, 4), 2)]
    [torch.Size([1, 2, 2]), torch.Size([1, 2, 2])]
    """
    rules.dsplit(x, indices_or_sections)
    return split(x, indices_or_sections, 2)


@op(shape=rules.array_split, dtype=rules.kept)
def array_split(x, indices_or_sections, axis=0):
    """`x` cut along an axis into parts as equal as can be, the first ones longer by one.

    Args:
        x: tensor.
        indices_or_sections: int, at least 1, the number of parts.
        axis: int.

    Returns:
        List of tensors.

    Raises:
        TypeError: `indices_or_sections` or `axis` is no int.

    Example:

    >>> keras.ops.array_split(torch.tensor([1, 2, 3, 4]), 3)
    [tensor([1, 2]), tensor([3]), tensor([4])]
    """
    rules.array_split(x, indices_or_sections, axis)
    return list(torch.tensor_split(convert_to_tensor(x), indices_or_sections, axis))


@op(shape=rules.fliplr, dtype=rules.kept)
def fliplr(x):
    """`x` with its columns, the second axis, in reversed order.

    Example:

    >>> keras.ops.fliplr(torch.tensor([[1, 2], [3, 4]]))
    tensor([[2, 1],
            [4, 3]])
    """
    return torch.fliplr(convert_to_tensor(x))


@op(shape=rules.flipud, dtype=rules.kept)
def flipud(x):
    """`x` with its rows, the first axis, in reversed order.

    Example:

    >>> keras.ops.flipud(torch.tensor([[1, 2], [3, 4]]))
    tensor([[3, 4],
            [1, 2]])
    """
    return torch.flipud(convert_to_tensor(x))


@op(shape=rules.rot90, dtype=rules.kept)
def rot90(array, k=1, axes=(0, 1)):
    """`array` turned by quarters of a circle in the plane of two axes.

    Args:
        array: tensor with at least two axes.
        k: int, the number of quarters, from the first towards the second axis.
        axes: pair of different ints.

    Raises:
        ValueError: fewer axes, or `axes` names no plane.

    Example:

    >>> keras.ops.rot90(torch.tensor([[1, 2], [3, 4]]))
    tensor([[2, 4],
            [1, 3]])
    """
    rules.rot90(array, k, axes)
    return torch.rot90(convert_to_tensor(array), k % 4, tuple(axes))


__all__ = op_names(__name__)
