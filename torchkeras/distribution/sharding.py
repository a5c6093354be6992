"""The state of a sharded model as a whole, for a while, in process 0."""

import contextlib

import torch
from torch import nn

from torchkeras.core.sharding import is_sharded, local_part
from torchkeras.distribution import process_group


def is_divided(model):
    """Whether any weight of a model is divided among the processes.

    Example:

    >>> from torchkeras.distribution.sharding import is_divided
    >>> is_divided(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]))
    False
    """
    return any(is_sharded(parameter) for parameter in model.parameters())


@contextlib.contextmanager
def whole_state(model, write_back=False):
    """Inside, the slots of a sharded model hold whole tensors on the CPU, in process 0 only.

    Weights and the optimizer's state are gathered tensor by tensor; the other processes keep
    their parts. Every process must enter. Of a model that is not sharded nothing happens.

    Args:
        model: a built model.
        write_back: bool, whether what process 0 has set inside goes to the parts at the end.

    Example:

    >>> from torchkeras.distribution.sharding import whole_state
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> with whole_state(model):
    ...     type(model.layers[0].kernel.value).__name__
    'Parameter'
    """
    places = _sharded_places(model) if process_group.is_active() else []
    if not places:
        yield
        return
    chief = process_group.is_chief()
    parts = [store[key] for store, key in places]
    wholes = {}
    for (store, key), part in zip(places, parts, strict=True):
        if id(part) not in wholes:
            whole = part.detach().full_tensor()
            wholes[id(part)] = _as(part, whole.cpu()) if chief else None
        if chief:
            store[key] = wholes[id(part)]
    try:
        yield
        if write_back:
            _scatter(parts, wholes)
    finally:
        for (store, key), part in zip(places, parts, strict=True):
            store[key] = part


def _scatter(parts, wholes):
    from torch.distributed.tensor import distribute_tensor

    for part in {id(part): part for part in parts}.values():
        whole = wholes[id(part)]
        if whole is None:
            whole = torch.empty(part.shape, dtype=part.dtype, device=part.device)
        whole = whole.detach().to(part.device)
        divided = distribute_tensor(whole, part.device_mesh, part.placements)
        with torch.no_grad():
            local_part(part).copy_(local_part(divided))


def _as(part, whole):
    if not isinstance(part, nn.Parameter):
        return whole
    return nn.Parameter(whole, requires_grad=part.requires_grad)


def _sharded_places(model):
    """`(dict, key)` of each slot that holds a sharded tensor, of the model and its optimizer."""
    stores = []
    for module in model.modules():
        stores += [module._parameters, module._buffers]
    optimizer = getattr(model, "optimizer", None)
    if optimizer is not None:
        inner = getattr(optimizer, "optimizer", None)
        if isinstance(inner, torch.optim.Optimizer):
            stores += inner.state.values()
        else:
            stores += [variable._store for variable in optimizer.variables]
    return [
        (store, key)
        for store in stores
        for key, value in store.items()
        if isinstance(value, torch.Tensor) and is_sharded(value)
    ]
