"""One-hot labels and unit-norm scaling of arrays."""

import operator

import numpy as np
import torch

# Keras's default epsilon: below this norm a tensor is divided by it instead.
_EPSILON = 1e-7


def to_categorical(x, num_classes=None):
    """Turn integer class labels into one-hot rows.

    `result[..., c]` is 1 where `x == c` and 0 elsewhere. A last axis of size 1 is dropped
    first, unless it is the only axis. Fractions are cut off (1.7 is class 1), as in Keras.

    Labels outside `[0, num_classes)` raise here. Keras lets -1 wrap around to the last class
    of an array, gives an all-zero row for it in a torch tensor, turns NaN into an arbitrary
    integer, and fails on too large a label with a bare IndexError or RuntimeError.

    Args:
        x: array-like or torch tensor of labels, integers from 0 to `num_classes - 1`.
        num_classes: int, at least 1, size of the new last axis. None (or 0) takes
            `max(x) + 1`; for a tensor this is an addition to Keras.

    Input shape: `(...)` or `(..., 1)`.
    Output shape: `(..., num_classes)`; numpy float64, or for a tensor torch int64 on its
        device, as in Keras.

    Raises:
        ValueError: a label is negative, NaN, infinite or not below `num_classes`; or `x` is
            empty and `num_classes` is None; or `num_classes` is negative.
        TypeError: `num_classes` is no integer, or `x` holds no numbers.

    Example:

    >>> keras.utils.to_categorical([0, 2])
    array([[1., 0., 0.],
           [0., 0., 1.]])
    >>> keras.utils.to_categorical(torch.tensor([[1], [0]]), num_classes=2)
    tensor([[0, 1],
            [1, 0]])
    """
    is_tensor = isinstance(x, torch.Tensor)
    labels = x.detach() if is_tensor else _numeric_array(x)
    if len(labels.shape) > 1 and labels.shape[-1] == 1:
        labels = labels.reshape(labels.shape[:-1])
    num_classes = _num_classes(labels, num_classes)
    if is_tensor:
        return torch.nn.functional.one_hot(labels.long(), num_classes)
    # int64 first: a row index of dtype bool would be a mask.
    indices = labels.astype("int64").reshape(-1)
    result = np.zeros((indices.size, num_classes))
    result[np.arange(indices.size), indices] = 1
    return result.reshape(*labels.shape, num_classes)


def normalize(x, axis=-1, order=2):
    """Divide an array by its vector norm along an axis.

    Computes `x / norm`, `norm = sum(|x| ** order) ** (1 / order)` along `axis`. For arrays a
    norm of 0 is replaced by 1, for tensors a norm below 1e-7 by 1e-7: zeros stay zeros.

    As in Keras, a 1-D array comes back with shape `(1, n)`, a tensor keeps its shape.
    Different from Keras: an array with `axis=0` is scaled along axis 0, where Keras takes the
    norms along axis 0 but divides rows by them; and `axis=None` takes the norm of all elements,
    as Keras does for tensors, where for arrays it takes a matrix norm.

    Args:
        x: numpy array, torch tensor, or nested list (then treated as a tensor).
        axis: int, tuple of ints, or None for all axes.
        order: number. For an array anything `numpy.linalg.norm` takes for vectors, `np.inf`
            and 0 included; for a tensor an int of at least 1.

    Output shape: that of `x`, `(1, n)` for an array of shape `(n,)`. Integers give float64
        arrays and tensors of torch's default dtype.

    Raises:
        ValueError: `order` is not valid for a tensor, or `axis` is not an axis of `x`.

    Example:

    >>> keras.utils.normalize(np.array([[3.0, 4.0], [0.0, 2.0]]))
    array([[0.6, 0.8],
           [0. , 1. ]])
    >>> keras.utils.normalize(torch.tensor([[3.0, 1.0], [4.0, 0.0]]), axis=0)
    tensor([[0.6000, 1.0000],
            [0.8000, 0.0000]])
    """
    if isinstance(x, np.ndarray):
        axes = tuple(range(x.ndim)) if axis is None else np.atleast_1d(axis).tolist()
        # Bring the axes together: with two of them, numpy's norm would be a matrix norm.
        last = np.moveaxis(x, axes, range(-len(axes), 0))
        flat = last.reshape(*last.shape[: x.ndim - len(axes)], -1)
        norm = np.expand_dims(np.linalg.norm(flat, order, axis=-1), tuple(axes))
        result = x / np.where(norm == 0, np.ones_like(norm), norm)
        return result[np.newaxis] if x.ndim == 1 else result

    if not isinstance(order, int) or order < 1:
        raise ValueError(
            "`order` must be an int of at least 1 for tensors. "
            f"Received: order={order!r}. For other norms, pass a numpy array."
        )
    x = torch.as_tensor(x)
    if x.ndim == 0:
        x = x.reshape(1)
    if not (x.is_floating_point() or x.is_complex()):
        x = x.to(torch.get_default_dtype())
    try:
        norm = torch.linalg.vector_norm(x, order, dim=axis, keepdim=True)
    except IndexError:
        raise ValueError(
            f"`axis` must name axes of `x`. Received: axis={axis}, x of shape {tuple(x.shape)}. "
            f"Choose from {-x.ndim} to {x.ndim - 1}."
        ) from None
    return x / norm.clamp_min(_EPSILON)


def _numeric_array(x):
    labels = np.asarray(x)
    if labels.dtype.kind in "biuf":
        return labels
    try:
        return labels.astype("int64")
    except (TypeError, ValueError):
        raise TypeError(
            "`x` must hold integer class labels. "
            f"Received: x with elements of dtype {labels.dtype}. Convert them to integers first."
        ) from None


def _num_classes(labels, num_classes):
    """Check labels, an array or tensor, and return the number of classes as an int."""
    try:
        num_classes = operator.index(num_classes or 0)
    except TypeError:
        raise TypeError(
            f"`num_classes` must be an int or None. Received: num_classes={num_classes!r}. "
            "Pass the number of classes, or None to take max(x) + 1."
        ) from None
    if num_classes < 0:
        raise ValueError(
            f"`num_classes` must be at least 1, or None. Received: num_classes={num_classes}. "
            "Pass the number of classes, or None to take max(x) + 1."
        )
    if 0 in labels.shape:
        if num_classes:
            return num_classes
        raise ValueError(
            "`x` must hold at least one label when `num_classes` is None. "
            f"Received: x of shape {tuple(labels.shape)}. Pass num_classes."
        )
    # Compared before any cast: NaN and huge floats have no integer value. `not (a <= b)` is
    # true for NaN, which min() and max() of numpy and torch both hand on.
    smallest, largest = labels.min().item(), labels.max().item()
    limit = num_classes or float("inf")
    if not (0 <= smallest and largest < limit):
        allowed = f"from 0 to {num_classes - 1}" if num_classes else "finite and at least 0"
        raise ValueError(
            f"Labels must be {allowed}. Received: x with labels from {smallest} to {largest}, "
            f"num_classes={num_classes or None}. Mask or relabel the others, or raise num_classes."
        )
    return num_classes or int(largest) + 1
