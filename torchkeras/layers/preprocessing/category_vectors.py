"""Vectors that tell which categories are there: one-hot, multi-hot and counts."""

import torch

MODES = ("int", "one_hot", "multi_hot", "count")


def check_mode(output_mode, modes=MODES):
    """An output mode under its own name; "binary" is an old one of "multi_hot".

    Raises:
        ValueError: it is none of `modes`.

    Example:

    >>> check_mode("binary")
    'multi_hot'
    """
    mode = {"binary": "multi_hot", "tf-idf": "tf_idf"}.get(output_mode, output_mode)
    if mode not in modes:
        raise ValueError(
            f"`output_mode` must be one of {', '.join(map(repr, modes))}. Received: "
            f"output_mode={output_mode!r}."
        )
    return mode


def check_dense(sparse):
    """Refuse sparse outputs: layers, losses and files of this library hold dense tensors.

    Raises:
        ValueError: `sparse` is True.

    Example:

    >>> check_dense(False)
    """
    if sparse:
        raise ValueError(
            f"Outputs are dense tensors. Received: sparse={sparse!r}. Leave `sparse` out, and call "
            "`.to_sparse()` on what the layer gives where a sparse tensor is needed."
        )


def category_vectors(places, mode, depth, dtype, weights=None):
    """Vectors of `depth` entries for places among categories.

    Args:
        places: tensor of ints below `depth`; a negative one counts nowhere.
        mode: "one_hot", a vector for each place, or one for the last axis if its size is 1;
            "multi_hot" and "count", a vector for all places of the last axis.
        depth: int.
        dtype: torch dtype.
        weights: tensor of the shape of `places`, what each counts in the mode "count"; None for 1.

    Returns:
        tensor of shape `vectors_shape(places.shape, mode, depth)`.

    Raises:
        ValueError: a place is `depth` or more, and on the CPU, where looking costs no waiting.

    Example:

    >>> category_vectors(torch.tensor([[0, 2, 2, -1]]), "count", 3, torch.float32)
    tensor([[1., 0., 2.]])
    """
    _check_range(places, depth)
    if places.dim() == 0 or mode == "one_hot" and not _is_column(places.shape):
        places = places.unsqueeze(-1)
    # What counts nowhere is gathered in an entry at the end, which is cut off.
    slots = torch.where(places < 0, depth, places).long()
    if weights is None:
        weights = torch.ones_like(slots, dtype=dtype)
    counts = weights.new_zeros((*slots.shape[:-1], depth + 1))
    counts = counts.scatter_add(-1, slots, weights.reshape(slots.shape))[..., :depth]
    return counts if mode == "count" else counts.clamp(max=1)


def vectors_shape(shape, mode, depth):
    """Shape of `category_vectors`; of the places themselves in the mode "int".

    Example:

    >>> vectors_shape((None, 1), "one_hot", 4), vectors_shape((None, 3), "one_hot", 4)
    ((None, 4), (None, 3, 4))
    """
    shape = tuple(shape)
    if mode == "int":
        return shape
    if mode == "one_hot" and not _is_column(shape):
        return (*shape, depth)
    return (*shape[:-1], depth)


def _is_column(shape):
    return len(shape) > 1 and shape[-1] == 1


def may_look_at(x):
    """Whether reading a value of a tensor costs no waiting for a device, and breaks no trace.

    Example:

    >>> may_look_at(torch.ones(2)), may_look_at(torch.ones(2, device="meta"))
    (True, False)
    """
    if x.device.type != "cpu" or type(x) is not torch.Tensor:
        return False
    return not (torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active())


def _check_range(places, depth):
    if not may_look_at(places) or not places.numel():
        return  # a device says it itself, later
    largest = int(places.max())
    if largest >= depth:
        raise ValueError(
            f"Categories from 0 to {depth - 1} were expected. Received: {largest} among them. Make "
            "room for it in the number of categories, or give -1 for what is to count nowhere."
        )
