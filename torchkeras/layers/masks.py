"""Masks: how they ride on tensors as `_keras_mask` and reach the arguments of `call`."""

import warnings

import torch

from torchkeras.core import tree
from torchkeras.layers.call_spec import is_tensor_like


def mask_of(x):
    """The mask of a tensor, or the structure of masks of a structure of tensors; None for none."""
    if tree.is_nested(x):
        return tree.map_structure(lambda leaf: getattr(leaf, "_keras_mask", None), x)
    return getattr(x, "_keras_mask", None)


def any_mask(mask):
    """Whether there is a mask in what `mask_of` gave."""
    if mask is None or isinstance(mask, torch.Tensor):
        return mask is not None
    return any(leaf is not None for leaf in tree.flatten(mask))


def unmasked(x):
    """A tensor without the mask that rides on it, for a layer that has dealt with the mask."""
    return x.view_as(x) if hasattr(x, "_keras_mask") and isinstance(x, torch.Tensor) else x


def carries_mask(values):
    """Whether a mask rides on one of these arguments of a call."""
    for x in values:
        if isinstance(x, torch.Tensor):
            if hasattr(x, "_keras_mask"):
                return True
        elif tree.is_nested(x):
            if carries_mask(x.values() if isinstance(x, dict) else x):
                return True
        elif getattr(x, "_keras_mask", None) is not None:
            return True
    return False


def find_masks(spec, args, kwargs):
    """Give a call the masks that ride on its tensors, under the names `call` asks for.

    With one tensor argument that is `mask`; with several, `<argument>_mask` for each. A mask
    that the caller gave stays.

    Args:
        spec: CallSpec of the layer's `call`.
        args, kwargs: its arguments.

    Returns:
        `(kwargs, mask)`: the new keyword arguments, and the mask that goes to `compute_mask`,
        which is `mask` if there is one, else that of the first argument; None for none.
    """
    if not (carries_mask(args) or (kwargs and carries_mask(kwargs.values()))):
        given = kwargs.get("mask")
        if given is None and len(args) > 1 and spec.takes_mask:
            given = spec.bind(args, kwargs).get("mask")
        return kwargs, given
    if len(args) == 1 and not kwargs:
        mask = mask_of(args[0])
        return ({"mask": mask} if spec.takes_mask else kwargs), mask
    arguments = spec.bind(args, kwargs)
    tensors = [
        name
        for name, value in arguments.items()
        if name != "training" and not name.endswith("mask") and _holds_tensor(value)
    ]
    filled = dict(kwargs)
    if len(tensors) == 1 and spec.takes_mask and arguments.get("mask") is None:
        if "mask" not in arguments or "mask" in kwargs:  # else it was given by place, as None
            filled["mask"] = mask_of(arguments[tensors[0]])
    elif len(tensors) > 1:
        for name in tensors:
            key = f"{name}_mask"
            if key in spec.names and arguments.get(key) is None:
                filled[key] = mask_of(arguments[name])
    mask = filled.get("mask", arguments.get("mask"))
    first = args[0] if args else next(iter(kwargs.values()), None)
    return filled, mask_of(first) if mask is None else mask


def _holds_tensor(value):
    if isinstance(value, torch.Tensor):
        return True
    if tree.is_nested(value):
        return any(is_tensor_like(leaf) for leaf in tree.flatten(value))
    return is_tensor_like(value)


def attach_mask(layer, inputs, outputs, previous_mask):
    """Put what `layer.compute_mask` says on the outputs that have no mask of their own.

    Args:
        layer: Layer.
        inputs: first argument of the call.
        outputs: tensor or symbol, or a structure of them.
        previous_mask: mask of the inputs, or structure of masks.
    """
    flat = [outputs] if isinstance(outputs, torch.Tensor) else tree.flatten(outputs)
    if all(getattr(tensor, "_keras_mask", None) is not None for tensor in flat):
        return
    mask = layer.compute_mask(inputs, previous_mask)
    put_masks(flat, mask)


def warn_of_lost_mask(layer):
    """Tell, once for each layer, that the mask of its input ends there."""
    if layer.__dict__.get("_lost_mask") or torch.compiler.is_compiling():
        return
    layer._lost_mask = True
    warnings.warn(
        f"Layer '{layer.name}' of class {type(layer).__name__} was given an input with a mask, and "
        "does not support masking: the layers after it will not see the mask. Set "
        "`supports_masking = True` in its __init__ to pass it on, or define `compute_mask`.",
        stacklevel=2,
    )


def put_masks(flat, mask):
    """Put the mask on the first of the tensors or symbols in `flat`, or a list of masks on each."""
    masks = [mask] if isinstance(mask, torch.Tensor) or mask is None else tree.flatten(mask)
    for tensor, mask in zip(flat, masks, strict=False):
        if mask is not None and is_tensor_like(tensor):
            if getattr(tensor, "_keras_mask", None) is None:
                tensor._keras_mask = mask
