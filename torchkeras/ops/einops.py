"""rearrange: axes taken apart, moved and joined by a pattern."""

import torch

from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.operation import op, op_names
from torchkeras.ops import shape_rules as rules


@op(shape=rules.rearranged, dtype=rules.kept)
def rearrange(tensor, pattern, **axes_lengths):
    """`tensor` with axes taken apart, moved and joined.

    Args:
        tensor: tensor.
        pattern: str such as `"b (h p) c -> b h (p c)"`: a name for each axis, before and after.
            Names in parentheses are one axis together, the last one running fastest. `...`
            stands for any other axes, `1` for an axis of size 1.
        **axes_lengths: ints, sizes of axes in parentheses; of each pair of parentheses all but one
            are needed.

    Raises:
        ValueError: the pattern is malformed, or does not fit.

    Source: Rogozhnikov 2022, "Einops", ICLR.

    Example:

    >>> keras.ops.rearrange(torch.ones(2, 6, 3), "b (h p) c -> b h (p c)", p=2).shape
    torch.Size([2, 3, 6])
    """
    tensor = convert_to_tensor(tensor)
    apart, order, joined = rules.plan(pattern, tuple(tensor.shape), axes_lengths)
    return torch.reshape(tensor, apart).permute(order).reshape(joined)


__all__ = op_names(__name__)
