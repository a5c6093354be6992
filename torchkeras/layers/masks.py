"""Masks: how they ride on tensors as `_keras_mask` and reach the arguments of `call`."""

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
    return mask is not None and any(leaf is not None for leaf in tree.flatten(mask))


def fill_masks(spec, args, kwargs):
    """Give a call the masks that ride on its tensors, under the names `call` asks for.

    With one tensor argument that is `mask`; with several, `<argument>_mask` for each. A mask
    that the caller gave stays.

    Args:
        spec: CallSpec of the layer's `call`.
        args, kwargs: its arguments.

    Returns:
        `(kwargs, mask)`: the new keyword arguments, and the mask that goes to `compute_mask`,
        which is `mask` if there is one, else that of the first argument.
    """
    arguments = spec.bind(args, kwargs)
    tensors = [
        name
        for name, value in arguments.items()
        if name != "training"
        and not name.endswith("mask")
        and any(is_tensor_like(leaf) for leaf in tree.flatten(value))
    ]
    filled = dict(kwargs)
    if len(tensors) == 1 and spec.takes_mask and arguments.get("mask") is None:
        filled["mask"] = mask_of(arguments[tensors[0]])
    elif len(tensors) > 1:
        for name in tensors:
            key = f"{name}_mask"
            if key in spec.names and arguments.get(key) is None:
                filled[key] = mask_of(arguments[name])
    mask = filled.get("mask", arguments.get("mask"))
    first = args[0] if args else next(iter(kwargs.values()), None)
    return filled, mask_of(first) if mask is None else mask


def attach_mask(layer, inputs, outputs, previous_mask):
    """Put what `layer.compute_mask` says on the outputs that have no mask of their own."""
    flat = tree.flatten(outputs)
    if all(getattr(tensor, "_keras_mask", None) is not None for tensor in flat):
        return
    masks = tree.flatten(layer.compute_mask(inputs, previous_mask))
    if len(masks) == 1 and len(flat) > 1:
        masks = masks * len(flat)
    for tensor, mask in zip(flat, masks, strict=False):
        if mask is not None and isinstance(tensor, torch.Tensor):
            if getattr(tensor, "_keras_mask", None) is None:
                tensor._keras_mask = mask
