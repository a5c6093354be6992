"""Concatenate: tensors joined along an axis."""

import torch

from torchkeras.layers.merging.base_merge import Merge, check_masks


class Concatenate(Merge):
    """Joins tensors along one axis; all other sizes must be equal.

    Args:
        axis: int, the axis to join along; 0 is the batch.

    Input shape: list of shapes that differ on `axis` only.
    Output shape: that of the inputs, with the sum of the sizes on `axis`.

    Raises:
        ValueError: the input is not a list, or another size differs.

    Example:

    >>> keras.layers.Concatenate()([torch.ones(2, 3), torch.ones(2, 4)]).shape
    torch.Size([2, 7])
    """

    keeps_dtype = True
    _makes_masks = False

    def __init__(self, axis=-1, **kwargs):
        super().__init__(**kwargs)
        self.axis = axis

    def call(self, inputs):
        if not isinstance(inputs, (list, tuple)):
            return super().call(inputs)  # the error
        return torch.cat(inputs, dim=self.axis)

    def compute_output_shape(self, input_shape):
        self._check_list(input_shape)
        rank, axis = len(input_shape[0]), self.axis
        fits = -rank <= axis < rank and all(len(shape) == rank for shape in input_shape)
        result = []
        for i in range(rank if fits else 0):
            sizes = [shape[i] for shape in input_shape]
            if i == axis % rank:
                result.append(None if None in sizes else sum(sizes))
                continue
            known = set(sizes) - {None}
            fits = fits and len(known) <= 1
            # An unknown size is known after all where another input has it; the batch alone
            # stays open, as it is in every other layer.
            result.append(known.pop() if known and (i or None not in sizes) else None)
        if not fits:
            raise ValueError(
                f"Layer '{self.name}' of class Concatenate requires inputs with matching shapes "
                f"except on the concatenation axis {axis}. Received: input_shape={input_shape}."
            )
        return tuple(result)

    def compute_mask(self, inputs, mask=None):
        if check_masks(inputs, mask) is None or all(m is None for m in mask):
            return None
        masks = []
        for x, m in zip(inputs, mask, strict=True):
            if m is None:
                m = torch.ones_like(x, dtype=torch.bool)
            elif m.dim() < x.dim():
                m = m.unsqueeze(-1).expand(x.shape)
            masks.append(m)
        return torch.cat(masks, dim=self.axis).any(dim=-1)

    def get_config(self):
        return {**super().get_config(), "axis": self.axis}


def concatenate(inputs, axis=-1, **kwargs):
    """Tensors joined along one axis; see `keras.layers.Concatenate`.

    Args:
        inputs: list of tensors whose shapes differ on `axis` only.
        axis: int, the axis to join along.
        **kwargs: arguments of the layer, such as `name`.

    Example:

    >>> keras.layers.concatenate([torch.zeros(1, 1), torch.ones(1, 2)])
    tensor([[0., 1., 1.]])
    """
    return Concatenate(axis=axis, **kwargs)(inputs)
