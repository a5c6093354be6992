"""SlotPlan: the tensors behind a list of variables, gathered once for torch's kernels."""

import operator

import torch
from torch import nn

from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.sharding import is_sharded, local_part, shard_like, whole_norms

_PLAIN = (torch.Tensor, nn.Parameter)
_KERNEL_DEVICES = ("cpu", "cuda", "mps", "xpu")
_KERNEL_DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)

# From so many elements on it pays to flush denormal numbers in all threads of a CPU, 2 to 5 us.
_LARGE = 16384


class Group:
    """Variables of one device and dtype that share a weight-decay decision.

    Attributes:
        variables: list of the Variables.
        params: list of their tensors.
        states: dict from the name of an optimizer's list of variables to its tensors here.
        decays: bool, whether weight decay applies.
        cache: dict for what a kernel wants to keep with the group.
    """

    def __init__(self, decays):
        self.positions = []
        self.variables = []
        self.params = []
        self.states = {}
        self.decays = decays
        self.cache = {}


class SlotPlan:
    """The tensors behind a list of variables and their optimizer state, in groups.

    Kernels read raw memory, so a plan holds only ordinary tensors whose state lies in memory
    exactly as they do; `is_current` and `fit` verify each step what could have changed. Of
    sharded variables it holds the parts in this process, whose state is sharded alike.

    Args:
        variables: list of Variables.
        states: dict from a name to a list of state Variables, one for each variable.
        decays: list of bool, whether weight decay applies to each variable.
    """

    def __init__(self, variables, states, decays):
        self.variables = variables
        self.handles = [*variables, *(v for name in states for v in states[name])]
        self.tensors = [v._store[v._key] for v in self.handles]
        self.wholes = self.tensors[: len(variables)]
        self.is_sharded = any(map(is_sharded, self.wholes))
        if self.is_sharded:
            self.tensors = list(map(local_part, self.tensors))
        self.params = self.tensors[: len(variables)]
        self.addresses = list(map(torch.Tensor.data_ptr, self.params))
        self.numels = list(map(torch.Tensor.numel, self.params))
        self.states = {n: [local_part(v._store[v._key]) for v in states[n]] for n in states}
        self.dtypes = [p.dtype for p in self.params]
        self.devices = [p.device for p in self.params]
        self.shapes = [p.shape for p in self.params]
        self.strides = [p.stride() for p in self.params]
        sizes = zip(self.numels, self.devices, strict=True)
        on_cpu = sum(size for size, device in sizes if device.type == "cpu")
        self.is_large_on_cpu = on_cpu >= _LARGE
        groups = {}
        for i, param in enumerate(self.params):
            key = (param.device, param.dtype, decays[i])
            group = groups.setdefault(key, Group(decays[i]))
            group.positions.append(i)
            group.variables.append(variables[i])
            group.params.append(param)
            for name, tensors in self.states.items():
                group.states.setdefault(name, []).append(tensors[i])
        self.groups = list(groups.values())

    def is_current(self):
        """Whether every slot still holds the tensor, and every weight the memory, of the plan.

        `Module.to` keeps a Parameter and gives it new memory, hence the second check. An
        assignment to `.data` may keep the address and change the length, hence the third.
        """
        tensors = [v._store[v._key] for v in self.handles]
        if self.is_sharded:
            tensors = list(map(local_part, tensors))
        return (
            all(map(operator.is_, tensors, self.tensors))
            and list(map(torch.Tensor.data_ptr, self.params)) == self.addresses
            and list(map(torch.Tensor.numel, self.params)) == self.numels
        )

    def fit(self, grads):
        """The gradients as kernels need them, or None if one is not an ordinary tensor.

        One of another dtype, memory layout or sparsity is copied; the caller's are never
        written to.

        Raises:
            ValueError: a gradient has another shape or device than its variable.
        """
        if self._fits(grads):
            return grads
        if [p.shape for p in self.params] != self.shapes:
            return None  # a `.data` of another shape: the plain way tells of it
        grads = [checked_gradient(g, v) for g, v in zip(grads, self.variables, strict=True)]
        if self.is_sharded:
            grads = list(map(_part_of_gradient, grads, self.wholes))
        fitted = []
        for grad, param in zip(grads, self.params, strict=True):
            if type(grad) not in _PLAIN:
                return None
            if (grad.dtype, grad.device, grad.stride()) != (
                param.dtype,
                param.device,
                param.stride(),
            ):
                grad = torch.empty_like(param.detach()).copy_(grad)
            fitted.append(grad)
        return fitted

    def whole_norms(self, norms):
        """Norms of the variables' gradients, from those of the parts in this process."""
        return whole_norms(norms, self.wholes) if self.is_sharded else norms

    def _fits(self, grads):
        # A list at a time costs two thirds of one loop over the gradients.
        try:
            return (
                set(map(type, grads)) == {torch.Tensor}
                and [grad.dtype for grad in grads] == self.dtypes
                and [grad.device for grad in grads] == self.devices
                and [grad.shape for grad in grads] == self.shapes
                and [grad.stride() for grad in grads] == self.strides
            )
        except RuntimeError:  # a sparse tensor has no strides
            return False


def has_ties(variables):
    """Whether two of the variables hold the same tensor."""
    return len({id(v._store[v._key]) for v in variables}) < len(variables)


def each_tensor_once(grads, variables):
    """Gradients and variables without those of a tensor that another handle has brought before.

    Torch gives a weight that has two names one gradient, under both.
    """
    first = {}
    for grad, variable in zip(grads, variables, strict=True):
        key = id(variable._store[variable._key])
        known, holder = first.get(key, (None, variable))
        first[key] = (grad if known is None else known), holder
    return [grad for grad, _ in first.values()], [variable for _, variable in first.values()]


def _part_of_gradient(grad, tensor):
    """What belongs to this process's part of a variable's tensor."""
    return local_part(shard_like(grad, tensor)) if is_sharded(tensor) else grad


def checked_gradient(grad, variable):
    """`grad` as a dense tensor that fits the variable.

    Raises:
        ValueError: its shape or device is not the variable's.
    """
    tensor = variable._store[variable._key]
    if not isinstance(grad, torch.Tensor):
        grad = convert_to_tensor(grad).to(tensor.device)
    if grad.layout is not torch.strided:
        grad = grad.to_dense()
    if grad.shape != tensor.shape:
        raise ValueError(
            f"The gradient of variable '{variable.path}' must have its shape "
            f"{tuple(tensor.shape)}. Received: a gradient of shape {tuple(grad.shape)}. Pass "
            "gradients and variables in the same order."
        )
    if grad.device != tensor.device and grad.dim():
        raise ValueError(
            f"The gradient of variable '{variable.path}' must be on its device "
            f"{tensor.device}. Received: a gradient on {grad.device}. Move it with "
            f"`.to('{tensor.device}')`."
        )
    return grad


def takes_kernels(variable):
    """Whether the variable's tensor is an ordinary dense float tensor on a device with kernels.

    Of a sharded one that is asked of the part in this process.
    """
    tensor = variable._store[variable._key]
    if is_sharded(tensor):
        if any(placement.is_partial() for placement in tensor.placements):
            return False
        tensor = local_part(tensor)
    return (
        type(tensor) in _PLAIN
        and tensor.dtype in _KERNEL_DTYPES
        and tensor.device.type in _KERNEL_DEVICES
        and tensor.layout is torch.strided
        and torch.empty_like(tensor, device="meta").stride() == tensor.stride()
    )


def place_like(variable, reference):
    """Move the state `variable` to where `reference` is now: device, dtype, layout, sharding.

    Nothing happens where they agree already. A model that was moved, cast or sharded takes its
    optimizer's state along this way, at the next step.

    Raises:
        ValueError: they differ in shape: a kernel would read past the end of the shorter one.
    """
    tensor = variable._store[variable._key]
    target = reference._store[reference._key].detach()
    if tensor.shape != target.shape:
        raise ValueError(
            f"The optimizer's state '{variable.path}' has the shape that variable "
            f"'{reference.path}' had when the optimizer was built, {tuple(tensor.shape)}. "
            f"Received: an update of the variable in the shape {tuple(target.shape)}. Compile the "
            "model with a new optimizer after changing a weight's shape."
        )
    if type(tensor) is not type(target) and hasattr(target, "device_mesh"):
        from torch.distributed.tensor import distribute_tensor

        moved = tensor.to(target.device, target.dtype)
        moved = distribute_tensor(moved, target.device_mesh, target.placements)
    elif (
        tensor.dtype is target.dtype
        and tensor.device == target.device
        and tensor.stride() == target.stride()
    ):
        return
    else:
        moved = torch.empty_like(target).copy_(tensor)
    variable._store[variable._key] = moved
