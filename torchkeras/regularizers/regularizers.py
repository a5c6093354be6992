"""Penalties on weights or outputs, which a model adds to its loss."""

import math

import torch

from torchkeras.core import config
from torchkeras.core.convert import convert_to_tensor


class Regularizer:
    """Base class of penalties: called on a tensor, one returns a scalar to add to the loss.

    A subclass defines `__call__(x)` and, to be saved in a config, `get_config`.

    Example:

    >>> class Cubic(keras.regularizers.Regularizer):
    ...     def __call__(self, x):
    ...         return 0.5 * x.abs().pow(3).sum()
    >>> Cubic()(torch.tensor([1.0, -2.0]))
    tensor(4.5000)
    """

    def __call__(self, x):
        """The penalty on `x`; 0 here.

        Args:
            x: tensor of any shape.
        """
        return 0.0

    def get_config(self):
        """The constructor's arguments, as a JSON-ready dict.

        Raises:
            NotImplementedError: always; subclasses replace it.
        """
        raise NotImplementedError(
            f"A regularizer must define `get_config` to be saved. Received: "
            f"{type(self).__name__}, which does not. Return the constructor's arguments as a dict."
        )

    @classmethod
    def from_config(cls, config):
        """The regularizer that `get_config` described."""
        return cls(**config)


class L1L2(Regularizer):
    """`l1 * sum(|x|) + l2 * sum(x ** 2)`.

    Args:
        l1: float, finite, at least 0. None is 0.
        l2: float, finite, at least 0. None is 0.

    Output shape: `()`, in the dtype of the input.

    Raises:
        ValueError: a factor is negative, not finite, or no number.

    Example:

    >>> keras.regularizers.L1L2(l1=0.1, l2=0.01)(torch.tensor([1.0, -2.0]))
    tensor(0.3500)
    """

    def __init__(self, l1=0.0, l2=0.0):
        self.l1 = _factor(0.0 if l1 is None else l1, "l1")
        self.l2 = _factor(0.0 if l2 is None else l2, "l2")

    def __call__(self, x):
        """The penalty on `x`, a tensor of any shape."""
        x = convert_to_tensor(x)
        if not self.l1 and not self.l2:
            return torch.zeros((), dtype=x.dtype, device=x.device)
        if not self.l2:
            return self.l1 * x.abs().sum()
        if not self.l1:
            return self.l2 * x.square().sum()
        return self.l1 * x.abs().sum() + self.l2 * x.square().sum()

    def get_config(self):
        """`{"l1": ..., "l2": ...}`."""
        return {"l1": self.l1, "l2": self.l2}


class L1(Regularizer):
    """`l1 * sum(|x|)`: drives small weights to zero.

    Args:
        l1: float, finite, at least 0. None is 0.01.

    Output shape: `()`, in the dtype of the input.

    Raises:
        ValueError: `l1` is negative, not finite, or no number.

    Example:

    >>> keras.regularizers.L1(0.1)(torch.tensor([1.0, -2.0]))
    tensor(0.3000)
    """

    def __init__(self, l1=0.01):
        self.l1 = _factor(0.01 if l1 is None else l1, "l1")

    def __call__(self, x):
        """The penalty on `x`, a tensor of any shape."""
        return self.l1 * convert_to_tensor(x).abs().sum()

    def get_config(self):
        """`{"l1": ...}`; as given, where Keras writes it rounded to 32 bits."""
        return {"l1": self.l1}


class L2(Regularizer):
    """`l2 * sum(x ** 2)`, without the factor 1/2 that weight decay often has.

    Args:
        l2: float, finite, at least 0. None is 0.01.

    Output shape: `()`, in the dtype of the input.

    Raises:
        ValueError: `l2` is negative, not finite, or no number.

    Example:

    >>> keras.regularizers.L2(0.1)(torch.tensor([1.0, -2.0]))
    tensor(0.5000)
    """

    def __init__(self, l2=0.01):
        self.l2 = _factor(0.01 if l2 is None else l2, "l2")

    def __call__(self, x):
        """The penalty on `x`, a tensor of any shape."""
        return self.l2 * convert_to_tensor(x).square().sum()

    def get_config(self):
        """`{"l2": ...}`."""
        return {"l2": self.l2}


class OrthogonalRegularizer(Regularizer):
    """`factor` times the mean of |cosine| over all pairs of rows, or columns, of a matrix.

    A matrix with a single row (column) has no pairs; its penalty is 0 (Keras gives NaN).

    Args:
        factor: float, finite, at least 0.
        mode: `"rows"` or `"columns"`.

    Input shape: `(rows, columns)`.
    Output shape: `()`, in the dtype of the input.

    Raises:
        ValueError: `factor` is negative, not finite or no number; `mode` has another value;
            when called, the input is not of rank 2.

    Example:

    >>> keras.regularizers.OrthogonalRegularizer(0.5)(torch.tensor([[1.0, 0.0], [2.0, 0.0]]))
    tensor(0.5000)
    """

    def __init__(self, factor=0.01, mode="rows"):
        self.factor = _factor(factor, "factor")
        if mode not in ("rows", "columns"):
            raise ValueError(f"`mode` must be 'rows' or 'columns'. Received: mode={mode!r}.")
        self.mode = mode

    def __call__(self, inputs):
        """The penalty on `inputs`, a matrix."""
        inputs = convert_to_tensor(inputs)
        if inputs.ndim != 2:
            raise ValueError(
                "Inputs to OrthogonalRegularizer must have rank 2. Received: "
                f"inputs.shape={tuple(inputs.shape)}. Use it on matrices, such as the kernel of "
                "a Dense layer."
            )
        rows = inputs if self.mode == "rows" else inputs.T
        # Unlike x * rsqrt(sum(x ** 2)) this has a finite gradient (0) in a row of zeros.
        rows = torch.nn.functional.normalize(rows, dim=1, eps=config.epsilon())
        cosines = (rows @ rows.T).abs()
        count = cosines.shape[0]
        pairs = max(count * (count - 1) / 2, 1.0)
        return self.factor * cosines.triu(1).sum() / pairs

    def get_config(self):
        """`{"factor": ..., "mode": ...}`; as given, where Keras rounds it to 32 bits."""
        return {"factor": self.factor, "mode": self.mode}


def _factor(value, name):
    number = isinstance(value, (int, float))
    if not number or not math.isfinite(value) or value < 0:
        raise ValueError(
            f"`{name}` must be a finite number, at least 0: expected a non-negative float. "
            f"Received: {name}={value!r}."
        )
    return float(value)
