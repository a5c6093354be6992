"""Shapes and dtypes of results, found by running the function on tensors without data.

Part of one idea, with operation.py and keras_tensor.py: see operation.py.
"""

import contextlib
import threading

import torch

from torchkeras.core import config
from torchkeras.core.arguments import map_leaves, symbols_of
from torchkeras.core.dtypes import standardize_dtype, to_torch_dtype
from torchkeras.core.keras_tensor import KerasTensor
from torchkeras.core.scopes import meta_scope

# Stand-ins for an unknown size. Where the two runs differ the size is unknown in the result
# too; highly composite, so that reshapes such as (-1, 8) divide.
_SIZES = (48, 96)


class _Reading(threading.local):
    allowed = True


_READING = _Reading()


@contextlib.contextmanager
def without_data():
    """Inside, `infer` runs functions on meta tensors alone, and constants lose their values, too.

    For what a file names, with arguments that it gives: no memory is there to be read or written.

    Example:

    >>> from torchkeras.core.shapes import infer, without_data
    >>> with without_data():
    ...     infer(torch.add, (keras.KerasTensor((None, 3)), torch.ones(3)), {}).shape
    (None, 3)
    """
    previous, _READING.allowed = _READING.allowed, False
    try:
        yield
    finally:
        _READING.allowed = previous


def infer(function, args, kwargs, modules=()):
    """KerasTensors for the result of `function(*args, **kwargs)`.

    Args:
        function: a function on tensors.
        args, kwargs: its arguments, KerasTensors among them.
        modules: `torch.nn.Module`s whose parameters and buffers it reads.

    Returns:
        What the function returns, with a KerasTensor for each tensor.
    """
    unknown = any(None in symbol.shape for symbol in symbols_of((args, kwargs)))
    sizes = _SIZES if unknown else _SIZES[:1]
    try:
        with meta_scope(), torch.no_grad(), _meta_slots(modules):
            runs = [_run(function, args, kwargs, size, "meta") for size in sizes]
    except (RuntimeError, NotImplementedError, TypeError) as error:
        if not _READING.allowed:
            raise
        # Data-dependent code, NumPy, or a tensor on a real device: run on zeros instead.
        device = _device(modules)
        devices = [device] if device.type == "cuda" else []
        try:
            with torch.no_grad(), torch.random.fork_rng(devices), _copied_slots(modules):
                runs = [_run(function, args, kwargs, size, device) for size in sizes]
        except Exception:
            raise error from None
    return _symbols(*runs)


def _run(function, args, kwargs, size, device):
    def concrete(leaf):
        if isinstance(leaf, torch.Tensor) and not _READING.allowed:
            return leaf.detach().to("meta")
        if not getattr(type(leaf), "_is_symbolic", False):
            return leaf
        shape = [size if d is None else d for d in leaf.shape]
        tensor = torch.zeros(shape, dtype=to_torch_dtype(leaf.dtype), device=device)
        if leaf._keras_mask is not None:
            mask_shape = [size if d is None else d for d in leaf._keras_mask.shape]
            tensor._keras_mask = torch.ones(mask_shape, dtype=torch.bool, device=device)
        return tensor

    return function(*map_leaves(concrete, args), **map_leaves(concrete, kwargs))


def _symbols(first, second=None):
    """Compare two runs: KerasTensors with None where the sizes differ."""
    second = first if second is None else second
    if isinstance(first, torch.Tensor):
        shape = [a if a == b else None for a, b in zip(first.shape, second.shape, strict=True)]
        symbol = KerasTensor(shape, standardize_dtype(first.dtype))
        mask = getattr(first, "_keras_mask", None)
        if mask is not None:
            symbol._keras_mask = _symbols(mask, second._keras_mask)
        return symbol
    if isinstance(first, dict):
        return type(first)((key, _symbols(first[key], second[key])) for key in first)
    if isinstance(first, (list, tuple)):
        items = [_symbols(a, b) for a, b in zip(first, second, strict=True)]
        return type(first)(*items) if hasattr(first, "_fields") else type(first)(items)
    if type(first) is int and first != second:
        return None  # a size that is not known
    return first


def _device(modules):
    for module in modules:
        for parameter in module.parameters():
            return parameter.device
    return config.default_device()


def _meta_slots(modules):
    """Put meta tensors into every slot of `modules` meanwhile."""
    return _other_slots(modules, lambda tensor: tensor.detach().to("meta"))


def _copied_slots(modules):
    """Put copies into every slot of `modules` meanwhile, so that a run changes no state."""
    return _other_slots(modules, lambda tensor: tensor.detach().clone())


@contextlib.contextmanager
def _other_slots(modules, replacement):
    saved = []
    try:
        for module in modules:
            for part in module.modules():
                for store in (part._parameters, part._buffers):
                    for key, tensor in store.items():
                        if tensor is not None and tensor.device.type != "meta":
                            saved.append((store, key, tensor))
        for store, key, tensor in saved:
            store[key] = replacement(tensor)
        yield
    finally:
        for store, key, tensor in saved:
            store[key] = tensor
