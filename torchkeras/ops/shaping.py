"""Functions that rearrange a tensor: reshape, move axes, join, split, repeat, pad.

Where torch can return a view it does; the values are those of the input.
"""

import torch

from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.operation import op, op_names
from torchkeras.ops import shape_rules as rules
from torchkeras.ops.operands import all_tensors, beside, canonical_axes


@op(shape=rules.reshape, dtype=rules.kept)
def reshape(x, newshape):
    """`x` in another shape with as many elements.

    Args:
        x: tensor.
        newshape: int or tuple of ints; one may be -1 (or None) for "whatever is left".

    Example:

    >>> keras.ops.reshape(torch.ones(2, 3), (3, -1)).shape
    torch.Size([3, 2])
    """
    newshape = newshape if isinstance(newshape, (tuple, list)) else (newshape,)
    return torch.reshape(convert_to_tensor(x), [-1 if d is None else d for d in newshape])


@op(shape=rules.ravel, dtype=rules.kept)
def ravel(x):
    """`x` with all axes flattened into one.

    Example:

    >>> keras.ops.ravel(torch.ones(2, 3)).shape
    torch.Size([6])
    """
    return torch.ravel(convert_to_tensor(x))


@op(shape=rules.expand_dims, dtype=rules.kept)
def expand_dims(x, axis):
    """`x` with new axes of size 1.

    Args:
        x: tensor.
        axis: int or tuple of ints, where the new axes stand in the result.

    Example:

    >>> keras.ops.expand_dims(torch.ones(3), 0).shape
    torch.Size([1, 3])
    """
    x = convert_to_tensor(x)
    if isinstance(axis, int):
        return torch.unsqueeze(x, axis)
    rules.expand_dims(x, axis)
    for a in sorted(canonical_axes(axis, x.dim() + len(axis))):
        x = torch.unsqueeze(x, a)
    return x


@op(shape=rules.squeeze, dtype=rules.kept)
def squeeze(x, axis=None):
    """`x` without axes of size 1.

    Args:
        x: tensor.
        axis: int or tuple of ints, the axes to drop; None for all of size 1.

    Raises:
        ValueError: a named axis has another size.

    Example:

    >>> keras.ops.squeeze(torch.ones(1, 3, 1), 0).shape
    torch.Size([3, 1])
    """
    x = convert_to_tensor(x)
    if axis is None:
        return torch.squeeze(x)
    axes = canonical_axes(axis, x.dim())
    for a in axes:
        if x.shape[a] != 1:
            raise ValueError(
                f"Only an axis of size 1 can be squeezed. Received: axis={axis} for x of shape "
                f"{tuple(x.shape)}."
            )
    return torch.squeeze(x, axes)


@op(shape=rules.transpose, dtype=rules.kept)
def transpose(x, axes=None):
    """`x` with its axes in another order.

    Args:
        x: tensor.
        axes: tuple of ints, for each axis of the result the one of `x`; None reverses them.

    Example:

    >>> keras.ops.transpose(torch.ones(2, 3, 4), (0, 2, 1)).shape
    torch.Size([2, 4, 3])
    """
    x = convert_to_tensor(x)
    return torch.permute(x, tuple(range(x.dim())[::-1]) if axes is None else tuple(axes))


@op(shape=rules.moveaxis, dtype=rules.kept)
def moveaxis(x, source, destination):
    """`x` with some axes moved, the others keeping their order.

    Args:
        x: tensor.
        source, destination: ints, or tuples of ints of one length.

    Example:

    >>> keras.ops.moveaxis(torch.ones(2, 3, 4), 0, -1).shape
    torch.Size([3, 4, 2])
    """
    return torch.moveaxis(convert_to_tensor(x), source, destination)


@op(shape=rules.swapaxes, dtype=rules.kept)
def swapaxes(x, axis1, axis2):
    """`x` with two axes exchanged.

    Example:

    >>> keras.ops.swapaxes(torch.ones(2, 3, 4), 0, 2).shape
    torch.Size([4, 3, 2])
    """
    return torch.swapaxes(convert_to_tensor(x), axis1, axis2)


@op(shape=rules.broadcast_to, dtype=rules.kept)
def broadcast_to(x, shape):
    """`x` repeated along axes of size 1, and along new leading axes, to a shape.

    Example:

    >>> keras.ops.broadcast_to(torch.ones(3), (2, 3)).shape
    torch.Size([2, 3])
    """
    x = convert_to_tensor(x)
    if x.is_meta:  # an unknown size, whose stand-in would not fit, may be the right one
        return x.new_empty(tuple(shape))
    return torch.broadcast_to(x, tuple(shape))


@op(shape=rules.flip, dtype=rules.kept)
def flip(x, axis=None):
    """`x` in reversed order along axes (int, tuple of ints, or None for all).

    Example:

    >>> keras.ops.flip(torch.tensor([1, 2, 3]))
    tensor([3, 2, 1])
    """
    x = convert_to_tensor(x)
    return torch.flip(x, canonical_axes(axis, x.dim()))


@op(shape=rules.roll, dtype=rules.kept)
def roll(x, shift, axis=None):
    """`x` shifted along axes; what leaves at one end enters at the other.

    Args:
        x: tensor.
        shift: int or tuple of ints, places to move towards larger indices.
        axis: int or tuple of ints; None rolls the flattened tensor and restores its shape.

    Example:

    >>> keras.ops.roll(torch.tensor([1, 2, 3]), 1)
    tensor([3, 1, 2])
    """
    x = convert_to_tensor(x)
    shifts = list(shift) if isinstance(shift, (list, tuple)) else [shift]
    if axis is None:
        return torch.roll(x, sum(shifts))
    axes = list(axis) if isinstance(axis, (list, tuple)) else [axis]
    if len(shifts) != len(axes):  # one shift for each axis, or several for the one
        if 1 not in (len(shifts), len(axes)):
            raise ValueError(
                "`shift` and `axis` must be single ints, or of one length. Received: "
                f"shift={shift}, axis={axis}."
            )
        shifts, axes = shifts * len(axes), axes * len(shifts)
    return torch.roll(x, shifts, axes)


@op(shape=rules.concatenate)
def concatenate(xs, axis=0):
    """Tensors joined along an axis they have.

    Args:
        xs: sequence of tensors that agree in all other axes; their dtypes are promoted.
        axis: int.

    Example:

    >>> keras.ops.concatenate([torch.ones(1, 2), torch.zeros(2, 2)]).shape
    torch.Size([3, 2])
    """
    return torch.cat(all_tensors(xs), axis)


@op(shape=rules.stack)
def stack(x, axis=0):
    """Tensors of one shape joined along a new axis.

    Args:
        x: sequence of tensors; their dtypes are promoted.
        axis: int, where the new axis stands in the result.

    Example:

    >>> keras.ops.stack([torch.zeros(3), torch.ones(3)], axis=1).shape
    torch.Size([3, 2])
    """
    return torch.stack(all_tensors(x), axis)


@op(shape=rules.hstack)
def hstack(xs):
    """Tensors joined along their second axis (the first, if they have only one).

    Example:

    >>> keras.ops.hstack([torch.ones(2, 1), torch.ones(2, 3)]).shape
    torch.Size([2, 4])
    """
    return torch.hstack(all_tensors(xs))


@op(shape=rules.vstack)
def vstack(xs):
    """Tensors joined along their first axis; those with one axis count as rows.

    Example:

    >>> keras.ops.vstack([torch.ones(3), torch.ones(2, 3)]).shape
    torch.Size([3, 3])
    """
    return torch.vstack(all_tensors(xs))


@op(shape=rules.append)
def append(x1, x2, axis=None):
    """`x2` after `x1`, along an axis; both flattened for `axis=None`.

    Example:

    >>> keras.ops.append(torch.tensor([1, 2]), torch.tensor([3]))
    tensor([1, 2, 3])
    """
    x1, x2 = all_tensors((x1, x2))
    return torch.cat((x1.flatten(), x2.flatten())) if axis is None else torch.cat((x1, x2), axis)


@op(shape=rules.split, dtype=rules.kept)
def split(x, indices_or_sections, axis=0):
    """`x` cut along an axis.

    Args:
        x: tensor.
        indices_or_sections: int, the number of equal parts; or a sequence of ints, the indices
            to cut at.
        axis: int.

    Returns:
        List of tensors.

    Raises:
        ValueError: the axis does not divide into so many equal parts.

    Example:

    >>> keras.ops.split(torch.tensor([1, 2, 3, 4]), 2)
    [tensor([1, 2]), tensor([3, 4])]
    """
    x = convert_to_tensor(x)
    if not isinstance(indices_or_sections, int):
        cuts = [int(cut) for cut in indices_or_sections]
        return list(torch.tensor_split(x, cuts, axis))
    size, parts = x.shape[axis], indices_or_sections
    if not 0 < parts <= size:  # an empty axis divides into any number of parts, within reason
        rules.split(x, parts, axis)
    if size % parts:
        if x.is_meta:  # the stand-in for an unknown size; the real one may divide
            return [x.narrow(axis, 0, size // parts) for _ in range(parts)]
        raise ValueError(
            f"`x` must divide into equal parts. Received: indices_or_sections={parts} for axis "
            f"{axis} of size {size}, x of shape {tuple(x.shape)}. Pass the indices to cut at."
        )
    return [x.narrow(axis, i * (size // parts), size // parts) for i in range(parts)]


@op(shape=rules.tile, dtype=rules.kept)
def tile(x, repeats):
    """`x` laid out several times along each axis.

    Args:
        x: tensor.
        repeats: int or tuple of ints; where it is shorter than the axes, the last ones.

    Example:

    >>> keras.ops.tile(torch.tensor([1, 2]), 2)
    tensor([1, 2, 1, 2])
    """
    repeats = (repeats,) if isinstance(repeats, int) else tuple(int(r) for r in repeats)
    return torch.tile(convert_to_tensor(x), repeats)


@op(shape=rules.repeat, dtype=rules.kept)
def repeat(x, repeats, axis=None):
    """Each element repeated in place.

    Args:
        x: tensor.
        repeats: int, or a sequence of ints with one count for each element along the axis.
        axis: int, or None for the flattened tensor.

    Raises:
        ValueError: a count is negative or exceeds any memory, or there are as many as fit neither.

    Example:

    >>> keras.ops.repeat(torch.tensor([1, 2]), 2)
    tensor([1, 1, 2, 2])
    """
    x = convert_to_tensor(x)
    if axis is None:
        x, axis = x.flatten(), 0
    few = isinstance(repeats, int) and 0 <= repeats < 2**20
    if not few and not torch.compiler.is_compiling():
        rules.repeat(x, repeats, axis)  # torch writes past the end where a count is negative
    if isinstance(repeats, int):
        return torch.repeat_interleave(x, repeats, axis)
    if isinstance(repeats, (list, tuple)):
        # The sum is known here, so torch need not read the counts back from the device.
        counts = repeats * x.shape[axis] if len(repeats) == 1 else repeats
        counts, total = torch.tensor(counts, device=x.device), sum(counts)
        return torch.repeat_interleave(x, counts, axis, output_size=total)
    return torch.repeat_interleave(x, beside(repeats, x).long(), axis)


@op(shape=rules.pad, dtype=rules.kept)
def pad(x, pad_width, mode="constant", constant_values=None):
    """`x` with a border around it.

    Args:
        x: tensor.
        pad_width: sequence of `(before, after)` pairs of ints, one for each axis; one pair or
            one int for all axes.
        mode: `"constant"`; `"reflect"`, which mirrors without repeating the edge; or
            `"symmetric"`, which mirrors with it. Borders may be longer than the axis.
        constant_values: number, in mode `"constant"` the value of the border; None for 0.

    Raises:
        ValueError: `pad_width` fits the axes neither way, an unknown `mode`, or
            `constant_values` in another mode.

    Example:

    >>> keras.ops.pad(torch.tensor([1, 2, 3]), (1, 2), mode="reflect")
    tensor([2, 1, 2, 3, 2, 1])
    """
    x = convert_to_tensor(x)
    widths = rules.pad_widths(pad_width, tuple(x.shape))
    if mode == "constant":
        flat = [width for widths_of_axis in reversed(widths) for width in widths_of_axis]
        return torch.nn.functional.pad(x, flat, value=constant_values or 0)
    if mode not in ("reflect", "symmetric"):
        raise ValueError(
            f"`mode` must be 'constant', 'reflect' or 'symmetric'. Received: mode={mode!r}."
        )
    if constant_values is not None:
        raise ValueError(
            "`constant_values` belongs to mode='constant'. Received: constant_values="
            f"{constant_values} with mode={mode!r}."
        )
    for axis, (before, after) in enumerate(widths):
        if before or after:
            x = torch.index_select(x, axis, _mirrored(x, axis, before, after, mode))
    return x


def _mirrored(x, axis, before, after, mode):
    """Index along `axis` of each place of the padded axis."""
    size = x.shape[axis]
    places = torch.arange(-before, size + after, device=x.device)
    if mode == "symmetric":
        places = places % (2 * size)
        return torch.where(places < size, places, 2 * size - 1 - places)
    if size == 1:
        return torch.zeros_like(places)
    return (size - 1) - ((size - 1) - places % (2 * size - 2)).abs()


def ndim(x):
    """Number of axes of a tensor or symbol, a Python int.

    Example:

    >>> keras.ops.ndim(torch.ones(2, 3))
    2
    """
    return len(x.shape) if hasattr(x, "shape") else convert_to_tensor(x).dim()


@op(shape=rules.scalar, dtype="int32")
def size(x):
    """Number of elements, as an `int32` tensor of shape ().

    Example:

    >>> keras.ops.size(torch.ones(2, 3))
    tensor(6, dtype=torch.int32)
    """
    x = convert_to_tensor(x)
    return torch.tensor(x.numel(), dtype=torch.int32, device=x.device)


__all__ = op_names(__name__, "ndim")
