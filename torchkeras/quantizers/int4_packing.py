"""Two integers of 4 bits in one byte."""

import torch

from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.dtypes import standardize_dtype, to_torch_dtype
from torchkeras.core.operation import op


@op
def pack_int4(arr, axis=0, dtype="int8"):
    """Integers of 4 bits, two to a byte: the first of a pair in the low half.

    Args:
        arr: tensor of int8 from -8 to 7, or of uint8 from 0 to 15.
        axis: int, along which neighbours are a pair. A last one without another is padded by 0.
        dtype: `"int8"` or `"uint8"`, the dtype of `arr`.

    Returns:
        The bytes, their shape as a tuple, and the size of the axis before.

    Raises:
        ValueError: `dtype` is neither.
        TypeError: `arr` has another dtype.

    Example:

    >>> x = torch.tensor([[-3, 7, 2], [-8, 1, 0]], dtype=torch.int8)
    >>> keras.quantizers.pack_int4(x, axis=1)
    (tensor([[125,   2],
            [ 24,   0]], dtype=torch.int8), (2, 2), 3)
    """
    _check_dtype(dtype)
    arr = convert_to_tensor(arr)
    if arr.dtype is not to_torch_dtype(dtype):
        raise TypeError(
            f"`arr` must have dtype {dtype}. Received: an array of dtype "
            f"{standardize_dtype(arr.dtype)}. Cast it, or give its dtype as `dtype`."
        )
    rows = arr.movedim(axis, 0)
    size = rows.shape[0]
    if size % 2:
        rows = torch.cat([rows, torch.zeros_like(rows[:1])])
    packed = (rows[::2] & 0x0F) | (rows[1::2] << 4)
    packed = packed.movedim(0, axis).contiguous()
    return packed, tuple(packed.shape), size


@op
def unpack_int4(packed, orig_len, axis=0, dtype="int8"):
    """The integers that `pack_int4` packed.

    Args:
        packed: tensor of bytes.
        orig_len: int, size of the axis before.
        axis: int, along which they were packed.
        dtype: `"int8"` for integers from -8 to 7, `"uint8"` for 0 to 15; that of `packed`.

    Raises:
        ValueError: `dtype` is neither.
        TypeError: `packed` has another dtype.

    Example:

    >>> packed = torch.tensor([[125, 2], [24, 0]], dtype=torch.int8)
    >>> keras.quantizers.unpack_int4(packed, 3, axis=1)
    tensor([[-3,  7,  2],
            [-8,  1,  0]], dtype=torch.int8)
    """
    _check_dtype(dtype)
    packed = convert_to_tensor(packed)
    if packed.dtype is not to_torch_dtype(dtype):
        raise TypeError(
            f"`packed` must have dtype {dtype}. Received: an array of dtype "
            f"{standardize_dtype(packed.dtype)}."
        )
    axis = axis % packed.dim()
    if dtype == "int8":  # a shift to the right keeps the sign
        low, high = (packed << 4) >> 4, packed >> 4
    else:
        low, high = packed & 0x0F, packed >> 4
    pairs = torch.stack([low, high], axis + 1).flatten(axis, axis + 1)
    return pairs.narrow(axis, 0, orig_len)


def _check_dtype(dtype):
    if dtype not in ("int8", "uint8"):
        raise ValueError(f"`dtype` must be 'int8' or 'uint8'. Received: dtype={dtype!r}.")
