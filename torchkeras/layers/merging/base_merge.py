"""Merge: base of the layers that combine a list of tensors element by element."""

import torch

from torchkeras.layers.layer import Layer


class Merge(Layer):
    """Combines tensors of one batch size whose other sizes broadcast.

    Tensors of lower rank gain axes of size 1 after the batch. A subclass defines
    `_merge_function`. The mask of the output is the union of the inputs' masks, or none where
    an input has none.

    Input shape: list of `(batch, ...)`.
    Output shape: `(batch, ...)`, broadcast.

    Example:

    >>> class Twice(keras.layers.Add):
    ...     def _merge_function(self, inputs):
    ...         return 2 * super()._merge_function(inputs)
    >>> Twice()([torch.ones(2), torch.ones(2)])
    tensor([4., 4.])
    """

    # How many inputs, where it is not any number from one on.
    _inputs_required = None
    keeps_dtype = True
    _makes_masks = False

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def _merge_function(self, inputs):
        raise NotImplementedError(
            f"{type(self).__name__} must define `_merge_function(inputs)`. Received: a call of a "
            "merging layer without one."
        )

    def build(self, input_shape):
        self._check_list(input_shape)
        self.compute_output_shape(input_shape)

    def _check_list(self, input_shape):
        required = self._inputs_required
        is_list = (
            isinstance(input_shape, (list, tuple))
            and len(input_shape) > 0
            and all(shape is None or isinstance(shape, (list, tuple)) for shape in input_shape)
        )
        if not is_list or (required is not None and len(input_shape) != required):
            count = "at least one tensor" if required is None else f"exactly {required} tensors"
            raise ValueError(
                f"Layer '{self.name}' of class {type(self).__name__} should be called on a list "
                f"of {count}. Received: input_shape={input_shape}. Pass the tensors together, "
                "as layer([a, b])."
            )

    def call(self, inputs):
        if not isinstance(inputs, (list, tuple)):
            raise ValueError(
                f"Layer '{self.name}' of class {type(self).__name__} should be called on a list "
                f"of tensors. Received: inputs of type {type(inputs).__name__}. Pass the "
                "tensors together, as layer([a, b])."
            )
        return self._merge_function(_at_one_rank(inputs))

    def compute_output_shape(self, input_shape):
        batches = {shape[0] for shape in input_shape if shape} - {None}
        result = ()
        for shape in input_shape:
            result = _broadcast(result, tuple(shape[1:]))
            if result is None or len(batches) > 1:
                raise ValueError(
                    f"Layer '{self.name}' of class {type(self).__name__} expects tensors of one "
                    "batch size whose other sizes are equal or 1. Received: incompatible "
                    f"input_shape={input_shape}."
                )
        return (batches.pop() if batches else None, *result)

    def compute_mask(self, inputs, mask=None):
        if check_masks(inputs, mask) is None or any(m is None for m in mask):
            return None
        union = mask[0]
        for m in mask[1:]:
            union = torch.logical_or(union, m)
        return union


def check_masks(inputs, mask):
    """`mask`, if it is None or a list of one mask or None for each input; else ValueError.

    Example:

    >>> from torchkeras.layers.merging.base_merge import check_masks
    >>> check_masks([torch.ones(1)], [None])
    [None]
    """
    if mask is None:
        return None
    for name, value in (("mask", mask), ("inputs", inputs)):
        if not isinstance(value, (list, tuple)):
            raise ValueError(
                f"`{name}` should be a list, as the layer merges a list of tensors. Received: "
                f"{name} of type {type(value).__name__}."
            )
    if len(mask) != len(inputs):
        raise ValueError(
            "`mask` should have one entry, a mask or None, for each input. Received: "
            f"{len(mask)} masks for {len(inputs)} inputs."
        )
    return mask


def step_mask(x):
    """The mask that rides on `x` with axes of size 1 added, so that it broadcasts; or None.

    Example:

    >>> from torchkeras.layers.merging.base_merge import step_mask
    >>> step_mask(keras.layers.Masking()(torch.ones(2, 3, 4))).shape
    torch.Size([2, 3, 1])
    """
    mask = getattr(x, "_keras_mask", None)
    return None if mask is None else mask.reshape(mask.shape + (1,) * (x.dim() - mask.dim()))


def reduce_unmasked(function, inputs):
    """`function` over the tensors in turn, masked elements standing back for the others.

    Args:
        function: of two tensors, such as `torch.maximum`.
        inputs: list of tensors that broadcast, masks riding on some of them.

    Example:

    >>> from torchkeras.layers.merging.base_merge import reduce_unmasked
    >>> reduce_unmasked(torch.maximum, [torch.zeros(2), torch.tensor([-1.0, 1.0])])
    tensor([0., 1.])
    """
    output, output_mask = None, None
    for x in inputs:
        mask = step_mask(x)
        if output is None:
            output, output_mask = x, mask
            continue
        # A masked element takes the other's value, so that it decides nothing.
        other = x if mask is None else torch.where(mask, x, output)
        if output_mask is not None:
            output = torch.where(output_mask, output, other)
        output = function(output, other)
        both = mask is not None and output_mask is not None
        output_mask = torch.logical_or(output_mask, mask) if both else None
    return output


def _at_one_rank(inputs):
    rank = max(x.dim() for x in inputs)
    return [
        x if x.dim() == rank else x.reshape(x.shape[:1] + (1,) * (rank - x.dim()) + x.shape[1:])
        for x in inputs
    ]


def _broadcast(a, b):
    """Shape that `a` and `b` broadcast to, None for an unknown size; None if they do not."""
    if len(a) < len(b):
        a, b = b, a
    result = list(a[: len(a) - len(b)])
    for i, j in zip(a[len(a) - len(b) :], b, strict=True):
        if i is None or j is None:
            result.append(None)
        elif i == 1 or j == 1 or i == j:
            result.append(j if i == 1 else i)
        else:
            return None
    return tuple(result)
