"""The mean of a loss over everything in as few torch calls as there are, as a training step wants.

A loss function carries it in its attribute `_fused_mean`.
"""

import functools


def with_fused_mean(fused_mean):
    """Decorator: note how the mean of a loss function is computed at once.

    Args:
        fused_mean: function `(y_true, y_pred, **kwargs)` of plain tensors on one device that
            gives the mean of the values, or None where only the long way is right.
    """

    def decorate(function):
        function._fused_mean = fused_mean
        return function

    return decorate


def paired(y_true, y_pred):
    """`y_true` in the shape and dtype of `y_pred`, or None where the shapes differ in earnest."""
    if y_true.shape != y_pred.shape:
        if (*y_true.shape, 1) != y_pred.shape and (*y_pred.shape, 1) != y_true.shape:
            return None
        y_true = y_true.reshape(y_pred.shape)
    return y_true if y_true.dtype is y_pred.dtype else y_true.to(y_pred.dtype)


def _fused_elementwise(elementwise, y_true, y_pred):
    y_true = paired(y_true, y_pred)
    return None if y_true is None else elementwise(y_true, y_pred).mean()


def mean_of(elementwise):
    """The fused mean of a loss that is the mean over the last axis of `elementwise` values."""
    return functools.partial(_fused_elementwise, elementwise)  # which pickles, unlike a closure


def is_last(axis, rank):
    """Whether `axis` is the last of `rank` axes."""
    return axis == -1 or axis == rank - 1
