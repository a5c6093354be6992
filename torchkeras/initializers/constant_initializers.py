"""Initializers that need no random numbers: Zeros, Ones, Constant, Identity."""

import torch

from torchkeras.core import config, serialization
from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.dtypes import to_torch_dtype
from torchkeras.initializers.initializer import Initializer
from torchkeras.random.distributions import check_shape


class Zeros(Initializer):
    """All zeros (False for bool).

    Example:

    >>> keras.initializers.Zeros()((2,))
    tensor([0., 0.])
    """

    def __call__(self, shape, dtype=None):
        """A tensor of zeros on the default device.

        Args:
            shape: tuple of ints.
            dtype: any dtype; None for `keras.config.floatx()`.
        """
        return torch.zeros(
            check_shape(shape), dtype=to_torch_dtype(dtype), device=config.default_device()
        )


class Ones(Initializer):
    """All ones (True for bool).

    Example:

    >>> keras.initializers.Ones()((2,), dtype="int32")
    tensor([1, 1], dtype=torch.int32)
    """

    def __call__(self, shape, dtype=None):
        """A tensor of ones on the default device.

        Args:
            shape: tuple of ints.
            dtype: any dtype; None for `keras.config.floatx()`.
        """
        return torch.ones(
            check_shape(shape), dtype=to_torch_dtype(dtype), device=config.default_device()
        )


class Constant(Initializer):
    """A given value everywhere.

    Args:
        value: number, or an array, list or tensor that broadcasts to the weight's shape.

    Raises:
        ValueError: `value` holds no numbers, or, when called, does not broadcast to the shape.

    Example:

    >>> keras.initializers.Constant(0.5)((2,))
    tensor([0.5000, 0.5000])
    """

    _exact_shape = None  # set by `get`, for a tensor that stands for the whole weight

    def __init__(self, value=0.0):
        if not isinstance(value, (bool, int, float)):
            convert_to_tensor(value)  # raises for what holds no numbers
        self.value = value

    def __call__(self, shape, dtype=None):
        """A tensor of `value` on the default device; it shares no memory with `value`.

        Args:
            shape: tuple of ints.
            dtype: any dtype; None for `keras.config.floatx()`. Fractions are cut off for an
                integer dtype.
        """
        shape, dtype, device = check_shape(shape), to_torch_dtype(dtype), config.default_device()
        if isinstance(self.value, (bool, int, float)):
            return torch.full(shape, self.value, dtype=dtype, device=device)
        value = convert_to_tensor(self.value, dtype).detach().to(device)
        if self._exact_shape not in (None, shape):
            raise ValueError(
                f"Expected `shape` to be {self._exact_shape}, the shape of the tensor given as "
                f"initializer. Received: shape={shape}. Give a tensor of the weight's shape."
            )
        try:
            return value.expand(shape).clone()
        except RuntimeError:
            raise ValueError(
                f"`value` must broadcast to the shape of the weight, {shape}. Received: value of "
                f"shape {tuple(value.shape)}. Give a number, or an array of that shape."
            ) from None

    def get_config(self):
        """`{"value": ...}`; an array or tensor as `keras.saving` describes it."""
        return {"value": serialization.serialize_keras_object(self.value)}

    @classmethod
    def from_config(cls, config):
        """The initializer that `get_config` described."""
        return cls(**serialization.deserialize_keras_object(config))


class Identity(Initializer):
    """The identity matrix times `gain`; ones on the main diagonal if it is not square.

    Args:
        gain: number. Kept in the config where it is not 1 (Keras loses it there).

    Raises:
        ValueError: when called, if the shape is not of rank 2.

    Example:

    >>> keras.initializers.Identity()((2, 2))
    tensor([[1., 0.],
            [0., 1.]])
    """

    def __init__(self, gain=1.0):
        self.gain = gain

    def __call__(self, shape, dtype=None):
        """The matrix on the default device.

        Args:
            shape: `(rows, columns)`.
            dtype: any dtype; None for `keras.config.floatx()`.
        """
        shape, dtype = check_shape(shape), to_torch_dtype(dtype)
        if len(shape) != 2:
            raise ValueError(
                "Identity makes matrices, so the shape must have two sizes. Received: "
                f"shape={shape} of rank {len(shape)}. Use another initializer for this weight."
            )
        eye = torch.eye(*shape, dtype=dtype, device=config.default_device())
        return eye if self.gain == 1 else (eye * self.gain).to(dtype)

    def get_config(self):
        """`{}`, or `{"gain": ...}` where it is not 1."""
        return {} if self.gain == 1 else {"gain": self.gain}
