"""Sharded tensors: DTensors, of which every process of a job holds a part.

Nothing here imports `torch.distributed` where there is no such tensor.
"""

import torch
from torch import nn

_PLAIN = (torch.Tensor, nn.Parameter)


def is_sharded(tensor):
    """Whether a tensor is a DTensor, of which each process holds a part.

    Example:

    >>> from torchkeras.core.sharding import is_sharded
    >>> is_sharded(torch.ones(2))
    False
    """
    return type(tensor) not in _PLAIN and hasattr(tensor, "full_tensor")


def local_part(tensor):
    """The part of a sharded tensor in this process; another tensor as it is.

    Example:

    >>> from torchkeras.core.sharding import local_part
    >>> local_part(torch.ones(2))
    tensor([1., 1.])
    """
    return tensor._local_tensor if is_sharded(tensor) else tensor


def shard_like(tensor, reference):
    """`tensor` divided as the sharded `reference` is.

    Args:
        tensor: a tensor of the whole shape, the same in every process, of which each keeps its
            part without a message; or a sharded one, that is divided anew where it has to be.
        reference: a sharded tensor.

    Returns:
        A sharded tensor.
    """
    from torch.distributed.tensor import distribute_tensor

    mesh, placements = reference.device_mesh, reference.placements
    if not is_sharded(tensor):
        return distribute_tensor(tensor.detach(), mesh, placements, src_data_rank=None)
    if tensor.device_mesh == mesh and tensor.placements == placements:
        return tensor
    return tensor.redistribute(mesh, placements)


def whole_of(tensor):
    """The whole of a sharded tensor, gathered by all processes; another tensor as it is.

    Example:

    >>> from torchkeras.core.sharding import whole_of
    >>> whole_of(torch.ones(2))
    tensor([1., 1.])
    """
    return tensor.full_tensor() if is_sharded(tensor) else tensor


def sharding_groups(tensor):
    """Process groups that share a tensor: one for each axis of the mesh that divides it."""
    if not is_sharded(tensor):
        return ()
    mesh = tensor.device_mesh
    return tuple(
        mesh.get_group(axis)
        for axis, placement in enumerate(tensor.placements)
        if placement.is_shard()
    )


def whole_norms(norms, tensors):
    """Norms of sharded tensors, from the norms of the parts in the processes.

    Args:
        norms: list of scalar tensors, of the part of each of the tensors in this process.
        tensors: list of tensors.

    Returns:
        List of scalar tensors; those of tensors that are not sharded as they were.
    """
    import torch.distributed as dist

    by_groups = {}
    for place, tensor in enumerate(tensors):
        by_groups.setdefault(sharding_groups(tensor), []).append(place)
    norms = list(norms)
    for groups, places in by_groups.items():
        if not groups:
            continue
        squares = torch.stack([norms[i] for i in places]).square()
        for group in groups:
            dist.all_reduce(squares, group=group)
        for i, norm in zip(places, squares.sqrt().unbind(), strict=True):
            norms[i] = norm
    return norms
