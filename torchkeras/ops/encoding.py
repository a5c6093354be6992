"""Codes of classes: ones where an element belongs, zeros elsewhere."""

import torch

from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.dtypes import to_torch_dtype
from torchkeras.core.operation import op, op_names
from torchkeras.ops import shape_rules as rules


@op(shape=rules.one_hot, dtype=rules.given_or_floatx(3))
def one_hot(x, num_classes, axis=-1, dtype=None, sparse=False):
    """Ones at the class of each element, zeros elsewhere.

    Args:
        x: tensor of ints. An element outside [0, num_classes) gives zeros only.
        num_classes: int, size of the new axis.
        axis: int, where the new axis stands in the result.
        dtype: dtype of the result; None for `floatx()`.
        sparse: must be False; torchkeras has no sparse symbols.

    Example:

    >>> keras.ops.one_hot(torch.tensor([1, 0]), 3)
    tensor([[0., 1., 0.],
            [1., 0., 0.]])
    """
    if sparse:
        raise ValueError("`one_hot` returns dense tensors only. Received: sparse=True.")
    x = convert_to_tensor(x)
    x = x if x.dtype in (torch.int32, torch.int64) else x.long()
    x = x.unsqueeze(axis)
    axis = axis % x.dim()
    classes = torch.arange(num_classes, device=x.device, dtype=x.dtype)
    classes = classes.reshape([-1 if i == axis else 1 for i in range(x.dim())])
    return (x == classes).to(to_torch_dtype(dtype))


@op(shape=rules.multi_hot, dtype=rules.given_or_floatx(3))
def multi_hot(inputs, num_classes=None, axis=-1, dtype=None, sparse=False):
    """Ones at every class that occurs in a row, zeros elsewhere.

    Args:
        inputs: tensor of ints of shape `(n,)`, or `(batch, n, ...)`: the second axis is
            gathered. An element outside [0, num_classes) counts nowhere, so -1 can pad.
        num_classes: int, size of the new axis.
        axis: int, where `one_hot` puts the new axis before the gathering.
        dtype: dtype of the result; None for `floatx()`.
        sparse: must be False; torchkeras has no sparse symbols.

    Raises:
        ValueError: `num_classes` is missing.

    Example:

    >>> keras.ops.multi_hot(torch.tensor([[0, 2], [1, -1]]), 3)
    tensor([[1., 0., 1.],
            [0., 1., 0.]])
    """
    if num_classes is None:
        raise ValueError("`num_classes` must be an int. Received: num_classes=None.")
    inputs = convert_to_tensor(inputs)
    codes = one_hot(inputs, num_classes, axis=axis, dtype=dtype, sparse=sparse)
    return torch.amax(codes, 1 if inputs.dim() > 1 else 0)


__all__ = op_names(__name__)
