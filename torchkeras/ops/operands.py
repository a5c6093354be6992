"""What every op does with its arguments: tensors pass through, all else becomes a tensor.

Dtypes follow torch's promotion, which for tensors is JAX's, with two corrections that keep
results at 32 bits as in Keras: a Python number beside a tensor is weak, and Python ints are
`int32`. A tensor of shape () is weak against tensors that have axes, as everywhere in torch.
"""

import torch

from torchkeras.core import config
from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.dtypes import NAME_TO_TORCH

_NUMBERS = (int, float, complex, torch.SymInt, torch.SymFloat)  # a bool is an int


def beside(x, tensor):
    """`x` as a tensor to compute with `tensor`: on its device, weak if it is a Python number.

    A number becomes a tensor of shape () on the CPU, which torch takes beside any device
    without a copy and without waiting for it.
    """
    if isinstance(x, torch.Tensor):
        return x
    if isinstance(x, _NUMBERS):
        return torch.tensor(x, dtype=_weak_dtype(x, tensor.dtype))
    x = convert_to_tensor(x)
    return x.to(tensor.device) if x.dim() else x


def _weak_dtype(number, dtype):
    """Dtype of a Python number beside a tensor of `dtype`: the same, if it can hold the number.

    As `dtypes.result_type`, but of steps that Dynamo can trace (it warns of cached functions).
    """
    if isinstance(number, (complex, torch.SymFloat, float)) and not dtype.is_complex:
        if isinstance(number, complex):
            return torch.complex128 if dtype is torch.float64 else torch.complex64
        return dtype if dtype.is_floating_point else NAME_TO_TORCH[config.floatx()]
    return torch.int32 if dtype is torch.bool and not isinstance(number, bool) else dtype


def pair(x1, x2):
    """Both arguments as tensors."""
    if isinstance(x1, torch.Tensor):
        return x1, beside(x2, x1)
    if isinstance(x2, torch.Tensor):
        return beside(x1, x2), x2
    if isinstance(x1, _NUMBERS) and not isinstance(x2, _NUMBERS):
        x2 = convert_to_tensor(x2)
        return beside(x1, x2), x2
    x1 = convert_to_tensor(x1)
    return x1, beside(x2, x1)


def weak_pair(x1, x2):
    """Both arguments for a torch function that takes a Python number on either side.

    A number stays one where torch gives the result Keras's dtype: it saves making a tensor.
    """
    for number, x in ((x1, x2), (x2, x1)):
        if isinstance(x, torch.Tensor) and (
            (x.is_floating_point() and isinstance(number, (int, float)))
            or (type(number) is int and not x.is_complex() and x.dtype is not torch.bool)
        ):
            return x1, x2
    return pair(x1, x2)


def same_dtype_pair(x1, x2):
    """Both arguments as tensors of their common dtype, for functions that do not promote."""
    x1, x2 = pair(x1, x2)
    if x1.dtype is not x2.dtype:
        common = torch.result_type(x1, x2)
        x1, x2 = x1.to(common), x2.to(common)
    return x1, x2


def all_tensors(xs):
    """A list of tensors from any sequence of arguments, all on the device of the first tensor."""
    for x in xs:
        if isinstance(x, torch.Tensor):
            return [beside(item, x) for item in xs]
    return [convert_to_tensor(x) for x in xs]


def to_float(x):
    """`x` as a tensor of floats; integers and booleans become `floatx()`."""
    x = convert_to_tensor(x)
    if x.is_floating_point() or x.is_complex():
        return x
    return x.to(NAME_TO_TORCH[config.floatx()])


def at_least_float32(x):
    """`x` as a tensor of at least 32 bits, for sums that half precision would spoil."""
    x = to_float(x)
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def canonical_axes(axis, ndim, name="axis"):
    """`axis` (int, sequence of ints, or None for all) as a tuple of ints in [0, ndim).

    Raises:
        ValueError: an axis out of range.
    """
    if axis is None:
        return tuple(range(ndim))
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    for a in axes:
        if not -ndim <= a < ndim:
            raise ValueError(
                f"`{name}` must lie in [{-ndim}, {ndim}) for a tensor with {ndim} axes. "
                f"Received: {name}={axis}."
            )
    return tuple(a % ndim for a in axes)


def reject_symbolic(x, op_name):
    """Refuse to infer the shape of a result whose size depends on values.

    Raises:
        ValueError: `x` has no data, since a model is being defined or a shape inferred.
    """
    if x.is_meta:
        raise ValueError(
            f"The size of what `{op_name}` returns depends on the values of its input, so it "
            "cannot be a step of a symbolic model. Received: an input of shape "
            f"{tuple(x.shape)} without values. Use keras.ops.where(condition, x1, x2), or call "
            f"`{op_name}` on data."
        )
