"""Order statistics over axes: quantiles, percentiles, medians, with and without NaN.

Half precision is computed in `float32`; integers give `floatx()`.
"""

import torch

from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.operation import op, op_names
from torchkeras.ops import shape_rules as rules
from torchkeras.ops.operands import at_least_float32, canonical_axes, to_float


def _quantile(function, x, q, axis, method, keepdims):
    x = to_float(x)
    dtype = x.dtype
    x = at_least_float32(x)
    q = convert_to_tensor(q, x.dtype).to(x.device)
    rules.quantile(x, q, axis, method, keepdims)
    axes = canonical_axes(axis, x.dim())
    if not axes:
        result = x.expand(*q.shape, *x.shape).clone()
        return result.to(dtype)
    kept = [i for i in range(x.dim()) if i not in axes]
    rows = x.permute(*kept, *axes).flatten(len(kept))
    result = function(rows, q.flatten(), dim=-1, interpolation=method)
    shape = [1 if i in axes else n for i, n in enumerate(x.shape) if keepdims or i not in axes]
    return result.reshape((*q.shape, *shape)).to(dtype)


@op(shape=rules.quantile, dtype=rules.floating)
def quantile(x, q, axis=None, method="linear", keepdims=False):
    """Value below which the fraction `q` of the data over axes lies, a float.

    Args:
        x: tensor; integers give `floatx()`, half precision is computed in `float32`.
        q: float in [0, 1], or a tensor of them, whose axes then come first in the result.
        axis: int, tuple of ints, or None for all axes.
        method: between two data points, `"linear"`, `"lower"`, `"higher"`, `"midpoint"` or
            `"nearest"`.
        keepdims: bool, whether reduced axes stay with size 1.

    Example:

    >>> keras.ops.quantile(torch.tensor([1.0, 2.0, 4.0]), 0.75)
    tensor(3.)
    """
    return _quantile(torch.quantile, x, q, axis, method, keepdims)


@op(shape=rules.quantile, dtype=rules.floating)
def percentile(x, q, axis=None, method="linear", keepdims=False):
    """Value below which `q` percent of the data over axes lie, a float.

    Args:
        x, axis, method, keepdims: as for `quantile`.
        q: float in [0, 100], or a tensor of them, whose axes then come first in the result.

    Example:

    >>> keras.ops.percentile(torch.tensor([1.0, 2.0, 4.0]), 75)
    tensor(3.)
    """
    return _quantile(torch.quantile, x, _fractions(q), axis, method, keepdims)


@op(shape=rules.reduced, dtype=rules.floating)
def median(x, axis=None, keepdims=False):
    """Middle value over axes, the mean of the two middle ones of an even count, a float.

    Example:

    >>> keras.ops.median(torch.tensor([3.0, 1.0, 2.0, 10.0]))
    tensor(2.5000)
    """
    return _quantile(torch.quantile, x, 0.5, axis, "linear", keepdims)


@op(shape=rules.quantile, dtype=rules.floating)
def nanquantile(x, q, axis=None, method="linear", keepdims=False):
    """As `quantile`, of the elements that are not NaN; NaN where there is none.

    Args:
        x, q, axis, method, keepdims: as for `quantile`.

    Example:

    >>> keras.ops.nanquantile(torch.tensor([1.0, float("nan"), 3.0]), 0.5)
    tensor(2.)
    """
    return _quantile(torch.nanquantile, x, q, axis, method, keepdims)


@op(shape=rules.quantile, dtype=rules.floating)
def nanpercentile(x, q, axis=None, method="linear", keepdims=False):
    """As `percentile`, of the elements that are not NaN; NaN where there is none.

    Args:
        x, q, axis, method, keepdims: as for `percentile`.

    Example:

    >>> keras.ops.nanpercentile(torch.tensor([1.0, float("nan"), 3.0]), 50)
    tensor(2.)
    """
    return _quantile(torch.nanquantile, x, _fractions(q), axis, method, keepdims)


@op(shape=rules.reduced, dtype=rules.floating)
def nanmedian(x, axis=None, keepdims=False):
    """As `median`, of the elements that are not NaN; NaN where there is none.

    Example:

    >>> keras.ops.nanmedian(torch.tensor([1.0, float("nan"), 3.0]))
    tensor(2.)
    """
    return _quantile(torch.nanquantile, x, 0.5, axis, "linear", keepdims)


def _fractions(percents):
    return to_float(percents) / 100


__all__ = op_names(__name__)
