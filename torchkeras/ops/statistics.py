"""Functions of whole series: correlations and integrals."""

import torch

from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.operation import op, op_names
from torchkeras.ops import shape_rules as rules
from torchkeras.ops.operands import at_least_float32, beside, same_dtype_pair, to_float


@op(shape=rules.corrcoef, dtype=rules.floating)
def corrcoef(x):
    """Correlation coefficients of the rows of a matrix, as floats.

    Args:
        x: tensor of shape `(variables, observations)`, or `(observations,)`. Half precision is
            computed in `float32`.

    Output shape: `(variables, variables)`; () for a single one.

    Example:

    >>> keras.ops.corrcoef(torch.tensor([[1.0, 2.0], [2.0, 4.0]]))
    tensor([[1., 1.],
            [1., 1.]])
    """
    rules.corrcoef(x)
    x = to_float(x)
    return torch.corrcoef(at_least_float32(x)).to(x.dtype)


@op(shape=rules.correlate, dtype=rules.floats_promoted)
def correlate(x1, x2, mode="valid"):
    """Cross-correlation of two series: `sum(x1[n + k] * conj(x2[n]))` for each shift `k`.

    Args:
        x1, x2: tensors of shapes `(m,)` and `(n,)`, at least 1 each; integers give `floatx()`.
        mode: `"valid"` for the shifts at which the shorter series lies within the longer one,
            `"same"` for `max(m, n)` shifts around the middle, `"full"` for all that overlap.

    Output shape: `(max(m, n) - min(m, n) + 1,)`, `(max(m, n),)` or `(m + n - 1,)`.

    Raises:
        ValueError: other ranks, an empty series, or another `mode`.

    Example:

    >>> keras.ops.correlate(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.0, 1.0]))
    tensor([2., 3.])
    """
    rules.correlate(x1, x2, mode)
    x1, x2 = same_dtype_pair(x1, x2)
    x1, x2 = to_float(x1), to_float(x2)
    m, n = x1.shape[0], x2.shape[0]
    all_shifts = torch.nn.functional.conv1d(
        x1[None, None], x2.conj().resolve_conj()[None, None], padding=n - 1
    )[0, 0]
    if mode == "full":
        return all_shifts
    short, long = min(m, n), max(m, n)
    if mode == "valid":
        return all_shifts[short - 1 : long]
    start = (n - 1) // 2 if m >= n else m // 2
    return all_shifts[start : start + long]


@op(shape=rules.trapezoid, dtype=rules.floating)
def trapezoid(y, x=None, dx=1.0, axis=-1):
    """Integral along an axis by the trapezoidal rule, a float.

    Args:
        y: tensor of values.
        x: tensor of the points they belong to, which broadcasts with `y`, or has one axis, of
            the size of `axis`; None for points `dx` apart.
        dx: number, distance of the points.
        axis: int.

    Output shape: that of `y` without the axis.

    Example:

    >>> keras.ops.trapezoid(torch.tensor([1.0, 2.0, 3.0]))
    tensor(4.)
    """
    rules.trapezoid(y, x, dx, axis)
    y = to_float(y)
    if x is None:
        return torch.trapezoid(y, dx=1.0, dim=axis) * convert_to_tensor(dx).to(y)
    return torch.trapezoid(y, x=beside(x, y).to(y.dtype), dim=axis)


__all__ = op_names(__name__)
