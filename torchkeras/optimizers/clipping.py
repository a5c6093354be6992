"""Clipping of gradients by value, by norm and by their common norm.

Every function returns new tensors and waits for no device. `foreach=True` takes torch's
multi-tensor kernels, which want ordinary tensors. Where these are the parts of sharded ones,
`whole_norms` makes the norms of the whole out of the list of theirs.
"""

import torch


def clip_by_value(grads, limit, foreach=False):
    """Each gradient limited to `[-limit, limit]`, entry by entry."""
    if foreach:
        clipped = torch._foreach_clamp_max(grads, limit)
        torch._foreach_clamp_min_(clipped, -limit)
        return clipped
    return [torch.clamp(grad, -limit, limit) for grad in grads]


def clip_by_norm(grads, limit, foreach=False, whole_norms=None):
    """Each gradient scaled down so that its own L2 norm is at most `limit`.

    The factor is `limit / max(norm, limit)`, so 1 below the limit.
    """
    norms = norms_of(grads, foreach)
    if whole_norms is not None:
        norms = whole_norms(norms)
    return [
        grad * (limit / torch.clamp(norm, min=limit)).to(grad.dtype)
        for grad, norm in zip(grads, norms, strict=True)
    ]


def clip_by_global_norm(grads, limit, foreach=False, whole_norms=None):
    """All gradients scaled by one factor so that their common L2 norm is at most `limit`.

    An infinite or NaN norm makes every gradient NaN (as in Keras), so that it shows.
    """
    norms = norms_of(grads, foreach)
    if whole_norms is not None:
        norms = whole_norms(norms)
    norm = torch.linalg.vector_norm(torch.stack([n.to(norms[0].device) for n in norms]))
    scale = limit / torch.clamp(norm, min=limit) + (norm - norm)
    if foreach and len({(grad.device, grad.dtype) for grad in grads}) == 1:
        return list(torch._foreach_mul(grads, scale.to(grads[0].dtype)))
    return [grad * scale.to(grad.device, grad.dtype) for grad in grads]


def norms_of(grads, foreach=False):
    """The L2 norms of tensors, in float32 or finer: a list of scalars."""
    # float16 ends at 65504, which the norm of a scaled gradient easily passes.
    if foreach and all(grad.dtype is torch.float32 for grad in grads):
        return torch._foreach_norm(grads)
    return [
        torch.linalg.vector_norm(grad, dtype=torch.promote_types(grad.dtype, torch.float32))
        for grad in grads
    ]
