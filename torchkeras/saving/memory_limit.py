"""A limit on the memory that making a model from a file may ask for."""

import math

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from torchkeras.core.claims import Limited

_ALLOWANCE_BYTES = 96 * 2**20  # states of metrics, tables and masks, which no file holds
_FACTOR = 16  # optimizer state, and what initializers need beside the weights


class MemoryLimit(TorchDispatchMode, Limited):
    """Inside, new tensors and claims may together take a small multiple of what a file holds.

    A config of some bytes can declare a layer of terabytes. Weights that the file does not hold
    are refused before memory is taken for them; so are the states of metrics and optimizers.

    Args:
        stored_bytes: int, size of the file.
        values_follow: bool, whether the values of all weights come from the file: no random
            numbers are drawn for them then.

    Raises:
        ValueError: from the call that would pass the limit.

    Example:

    >>> with MemoryLimit(1000):
    ...     torch.zeros(2**40)
    Traceback (most recent call last):
    ...
    ValueError: The weights of a model must be in its file. Received: a config that asks for \
4398046511104 bytes, in a file of 1000. The file is damaged or hostile.
    """

    def __init__(self, stored_bytes, values_follow=False):
        TorchDispatchMode.__init__(self)
        Limited.__init__(self, values_follow)
        self._stored = stored_bytes
        self._asked = 0

    @classmethod
    def _should_skip_dynamo(cls):
        return False  # nothing is compiled meanwhile; True costs the import of Dynamo, a second

    def __enter__(self):
        Limited.__enter__(self)
        return TorchDispatchMode.__enter__(self)

    def __exit__(self, *error):
        Limited.__exit__(self, *error)
        return TorchDispatchMode.__exit__(self, *error)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        self.claim(_bytes_asked_for(func, args, kwargs))
        return func(*args, **kwargs)

    def claim(self, size_bytes):
        """Count bytes that are about to be taken."""
        self._asked += size_bytes
        if self._asked > _ALLOWANCE_BYTES + _FACTOR * self._stored:
            raise ValueError(
                "The weights of a model must be in its file. Received: a config that asks for "
                f"{self._asked} bytes, in a file of {self._stored}. The file is damaged or hostile."
            )


# Factories of one axis, whose size is no list.
_ROWS = frozenset("arange linspace logspace randperm".split())


def _count_of_row(name, args, kwargs):
    """How many values such a factory makes, or more."""
    if name == "randperm":
        return args[0]
    if name != "arange":
        return kwargs.get("steps", args[2] if len(args) > 2 else 100)
    start, end, step = (0, *args, 1) if len(args) == 1 else (*args, 1)[:3]
    return math.ceil(abs(end - start) / abs(step)) if step else 0


def _bytes_asked_for(func, args, kwargs):
    """Size of the tensor that a factory such as `torch.empty` makes; 0 for other functions."""
    name = func.overloadpacket.__name__
    made_from_tensor = name.startswith("new_")
    if not made_from_tensor and any(isinstance(arg, torch.Tensor) for arg in args):
        return 0
    device = kwargs.get("device") or (args[0].device if made_from_tensor else None)
    if device is not None and torch.device(device).type == "meta":
        return 0
    if name in _ROWS:
        count = _count_of_row(name, args, kwargs)
    elif name == "eye":
        count = math.prod(arg for arg in args if isinstance(arg, int))
    else:
        sizes = next((arg for arg in args if isinstance(arg, (list, tuple))), ())
        count = math.prod(size for size in sizes if isinstance(size, int))
    dtype = kwargs.get("dtype") or torch.get_default_dtype()
    return max(count, 0) * dtype.itemsize
