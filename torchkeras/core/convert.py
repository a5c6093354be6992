"""Tensors from anything array-like, and back."""

import numpy as np
import torch

from torchkeras.core import config
from torchkeras.core.dtypes import NAME_TO_TORCH, result_type, to_torch_dtype
from torchkeras.core.sharding import whole_of


def is_tensor(x):
    """Whether `x` is a torch tensor (a Variable or KerasTensor is not).

    Example:

    >>> keras.ops.is_tensor(torch.ones(2)), keras.ops.is_tensor([1.0])
    (True, False)
    """
    return isinstance(x, torch.Tensor)


def convert_to_tensor(x, dtype=None):
    """A torch tensor with the contents of `x`.

    Python floats become `floatx()` and Python ints `int32`, as in Keras; arrays and tensors
    keep their dtype unless `dtype` is given. A tensor stays on its device; anything else goes
    to the default device. NumPy memory is shared where torch can.

    Args:
        x: tensor, Variable, NumPy array, number, bool, or nested lists of these.
        dtype: name or torch dtype, or None.

    Raises:
        ValueError: `x` holds objects or strings, or is ragged.

    Example:

    >>> keras.ops.convert_to_tensor([1, 2]).dtype
    torch.int32
    """
    if dtype is not None:
        dtype = to_torch_dtype(dtype)
    if isinstance(x, torch.Tensor):
        return x if dtype is None or x.dtype is dtype else x.to(dtype)
    if hasattr(x, "_as_tensor"):  # a Variable, and whatever else wraps a tensor
        return convert_to_tensor(x._as_tensor(), dtype)
    if getattr(x, "_is_symbolic", False):
        raise ValueError(
            "A concrete array was expected here. Received: the symbolic "
            f"{x!r}. Use keras.ops on it, and it becomes a step of the model."
        )
    device = config.default_device()
    if isinstance(x, (bool, int, float)):
        return torch.tensor(x, dtype=dtype or NAME_TO_TORCH[result_type(type(x))], device=device)
    if isinstance(x, (list, tuple)):
        return _from_sequence(x, dtype, device)
    return _from_array(np.asarray(x), dtype, device)


def _from_sequence(x, dtype, device):
    leaves = list(_leaves(x))
    if any(isinstance(leaf, torch.Tensor) or hasattr(leaf, "_as_tensor") for leaf in leaves):
        parts = [convert_to_tensor(item, dtype) for item in x]
        common = dtype or NAME_TO_TORCH[result_type(*[part.dtype for part in parts])]
        return torch.stack([part.to(common) for part in parts])
    if dtype is None and leaves and all(isinstance(leaf, (bool, int, float)) for leaf in leaves):
        dtype = NAME_TO_TORCH[result_type(*[type(leaf) for leaf in leaves])]
    elif dtype is None and not leaves:
        dtype = NAME_TO_TORCH[config.floatx()]
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise ValueError(
            "Rows of equal length were expected. Received: a ragged list "
            f"of {len(x)} items. Pad the rows first, with keras.utils.pad_sequences."
        ) from error
    return _from_array(array, dtype, device)


def _leaves(x):
    for item in x:
        if isinstance(item, (list, tuple)):
            yield from _leaves(item)
        else:
            yield item


def _from_array(array, dtype, device):
    if array.dtype == object or array.dtype.kind in "USM":
        raise ValueError(
            "An array of numbers or booleans was expected. Received: an array of dtype "
            f"{array.dtype} and shape {array.shape}. Convert it first, e.g. with "
            "`.astype('float32')`."
        )
    if array.dtype.kind == "V" or array.dtype.name == "bfloat16":  # ml_dtypes
        array = array.astype("float32")
        dtype = dtype or torch.bfloat16
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if not array.flags.writeable or any(stride < 0 for stride in array.strides):
        array = array.copy()  # torch cannot view either, and warns about the first
    tensor = torch.from_numpy(array) if array.ndim else torch.tensor(array[()])
    return tensor.to(device=device, dtype=dtype or tensor.dtype)


def convert_to_numpy(x):
    """A NumPy array with the contents of `x` (bfloat16 and float8 as float32).

    Of a sharded tensor it is the whole, and every process must ask for it at the same time.

    Args:
        x: tensor on any device, Variable, or anything `np.asarray` takes.

    Example:

    >>> keras.ops.convert_to_numpy(torch.ones(2))
    array([1., 1.], dtype=float32)
    """
    if hasattr(x, "_as_tensor"):
        x = x._as_tensor()
    if isinstance(x, torch.Tensor):
        x = whole_of(x.detach())
        if x.is_floating_point() and x.dtype not in (torch.float16, torch.float32, torch.float64):
            x = x.float()
        return x.cpu().resolve_conj().resolve_neg().numpy()
    if isinstance(x, (list, tuple)) and any(
        isinstance(leaf, torch.Tensor) or hasattr(leaf, "_as_tensor") for leaf in _leaves(x)
    ):
        return convert_to_numpy(convert_to_tensor(x))
    return np.asarray(x)
