"""Elements of a dataset: structures of tensors and text, and how they make and leave batches."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import torch

from torchkeras.core import config, tree
from torchkeras.core.convert import convert_to_numpy, convert_to_tensor
from torchkeras.core.dtypes import standardize_dtype
from torchkeras.core.strings import as_text, is_text


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """Shape and dtype of a tensor in the elements of a dataset.

    Args:
        shape: tuple of int, or None where sizes differ between elements.
        dtype: name of a dtype; `"string"` for text.

    Example:

    >>> keras.data.Dataset.from_tensor_slices(np.zeros((4, 2))).batch(3).element_spec
    TensorSpec(shape=(None, 2), dtype='float64')
    """

    shape: tuple
    dtype: str


def as_element(x):
    """`x` as an element: tuples and dicts stay, numbers, arrays and lists become tensors.

    Text becomes `str`, or a NumPy array of them. None stays.

    Raises:
        ValueError: something in it is neither.

    Example:

    >>> from torchkeras.data.elements import as_element
    >>> as_element((1, {"a": [1.0, 2.0], "b": b"text"}))
    (tensor(1, dtype=torch.int32), {'a': tensor([1., 2.]), 'b': 'text'})
    """
    if isinstance(x, torch.Tensor):
        return x.detach() if x.requires_grad else x  # data collects no gradients
    if x is None or isinstance(x, str):
        return x
    if isinstance(x, tuple):
        items = [as_element(item) for item in x]
        return type(x)(*items) if hasattr(x, "_fields") else tuple(items)
    if isinstance(x, Mapping):
        return {key: as_element(value) for key, value in x.items()}
    if is_text(x):
        text = as_text(x)
        return text if text.ndim else text.item()
    try:
        with config.device("cpu"):
            return convert_to_tensor(x)
    except (TypeError, ValueError) as error:
        raise ValueError(
            "Elements of a dataset are numbers, arrays, tensors, text, and tuples and dicts of "
            f"these. Received: an item of type {type(x).__name__}. ({error}) A list is one tensor: "
            "give parts of several shapes as a tuple."
        ) from error


def collate(elements):
    """A batch of elements: their tensors stacked, and their strings in NumPy arrays.

    Raises:
        ValueError: the elements differ in structure or shape.

    Example:

    >>> from torchkeras.data.elements import collate
    >>> collate([(torch.tensor(1), "a"), (torch.tensor(2), "b")])
    (tensor([1, 2]), array(['a', 'b'], dtype=object))
    """
    return tree.map_structure(lambda *leaves: _stacked(leaves), *elements)


def _stacked(leaves):
    first = leaves[0]
    if first is None:
        return None
    if isinstance(first, torch.Tensor):
        try:
            return torch.stack(leaves)
        except (RuntimeError, TypeError) as error:
            raise _different_error(leaves) from error
    if isinstance(first, str):
        return as_text(list(leaves))
    try:
        return np.stack(leaves)
    except ValueError as error:
        raise _different_error(leaves) from error


def _different_error(leaves):
    kinds = []
    for leaf in leaves:
        kind = str(tuple(leaf.shape)) if hasattr(leaf, "shape") else type(leaf).__name__
        if kind not in kinds:
            kinds.append(kind)
    return ValueError(
        "A batch needs elements of one shape and dtype. Received: elements of shapes "
        f"{', '.join(kinds[:4])}. Use `padded_batch`, or make them alike with `map`."
    )


class PaddedCollate:
    """Makes batches of elements of different sizes, padded at their ends to a common one.

    Args:
        shapes: None for the size of the largest element along each axis, or a structure like the
            elements of tuples of int or None.
        values: number, or a structure of them, that fills; None for 0.

    Example:

    >>> from torchkeras.data.elements import PaddedCollate
    >>> PaddedCollate(None, -1)([torch.tensor([1]), torch.tensor([2, 3])])
    tensor([[ 1, -1],
            [ 2,  3]])
    """

    def __init__(self, shapes=None, values=None):
        self.shapes = shapes
        self.values = values

    def __call__(self, elements):
        structure = elements[0]
        shapes = self._spread(self.shapes, structure, tuple)
        values = self._spread(self.values, structure, (int, float))
        columns = zip(*(tree.flatten(element) for element in elements), strict=True)
        leaves = [
            _padded(leaves, shape, value)
            for leaves, shape, value in zip(columns, shapes, values, strict=True)
        ]
        return tree.pack_sequence_as(structure, leaves)

    def _spread(self, given, structure, kinds):
        """A list of what `given` says for each leaf; a single entry is for all of them."""
        count = len(tree.flatten(structure))
        is_shape = kinds is tuple and isinstance(given, (tuple, list))
        if given is None or (is_shape and all(n is None or isinstance(n, int) for n in given)):
            return [given] * count
        if not tree.is_nested(given):
            return [given] * count
        found = []
        tree.map_structure_up_to(structure, lambda *pair: found.append(pair[1]), structure, given)
        return found


def _padded(leaves, shape, value):
    first = leaves[0]
    if not isinstance(first, torch.Tensor):
        return _stacked(leaves)
    sizes = torch.tensor([leaf.shape for leaf in leaves]).reshape(len(leaves), -1)
    largest = sizes.max(0).values.tolist() if first.dim() else []
    if shape is not None:
        if len(shape) != first.dim():
            raise ValueError(
                f"`padded_shapes` must have a size for each axis. Received: {tuple(shape)} for "
                f"elements of shape {tuple(first.shape)}."
            )
        wanted = [most if n is None else n for n, most in zip(shape, largest, strict=True)]
        if any(n < most for n, most in zip(wanted, largest, strict=True)):
            raise ValueError(
                "`padded_shapes` must be at least the sizes of the elements, which are not cut. "
                f"Received: {tuple(shape)} for elements of up to {tuple(largest)}."
            )
        largest = wanted
    batch = first.new_full((len(leaves), *largest), 0 if value is None else value)
    for row, leaf in zip(batch, leaves, strict=True):
        row[tuple(slice(n) for n in leaf.shape)] = leaf
    return batch


class RaggedCollate:
    """Makes batches whose first item, or only one, is a nested tensor of rows of any length.

    Example:

    >>> from torchkeras.data.elements import RaggedCollate
    >>> batch = RaggedCollate()([torch.zeros(2, 1), torch.zeros(5, 1)])
    >>> [tuple(row.shape) for row in batch.unbind()]
    [(2, 1), (5, 1)]
    """

    def __call__(self, elements):
        if isinstance(elements[0], tuple):
            rows, *others = zip(*elements, strict=True)
            return (self(rows), *(collate(other) for other in others))
        return torch.nested.nested_tensor(list(elements), layout=torch.jagged)


def split_rows(element):
    """The elements of a batch, one after the other.

    Raises:
        ValueError: its tensors have no axis of samples, or not the same number of them.

    Example:

    >>> from torchkeras.data.elements import split_rows
    >>> list(split_rows((torch.tensor([1, 2]), np.array(["a", "b"], dtype=object))))
    [(tensor(1), 'a'), (tensor(2), 'b')]
    """
    leaves = [leaf for leaf in tree.flatten(element) if leaf is not None]
    counts = {len(leaf) if getattr(leaf, "ndim", 0) else None for leaf in leaves}
    if len(counts) != 1 or None in counts:
        shapes = ", ".join(str(tuple(getattr(leaf, "shape", ()))) for leaf in leaves)
        raise ValueError(
            "`unbatch` needs batches: tensors with the same number of samples on their first axis. "
            f"Received: an element with shapes {shapes or 'none at all'}."
        )
    for i in range(counts.pop()):
        yield tree.map_structure(lambda leaf, i=i: None if leaf is None else leaf[i], element)


def spec_of(element):
    """The `TensorSpec` of each tensor and text of an element.

    Example:

    >>> from torchkeras.data.elements import spec_of
    >>> spec_of((torch.zeros(2), "a"))
    (TensorSpec(shape=(2,), dtype='float32'), TensorSpec(shape=(), dtype='string'))
    """

    def one(leaf):
        if leaf is None:
            return None
        if isinstance(leaf, torch.Tensor):
            shape = tuple(
                n if isinstance(n, int) and not leaf.is_nested else None for n in leaf.shape
            )
            return TensorSpec(shape, standardize_dtype(leaf.dtype))
        return TensorSpec(tuple(getattr(leaf, "shape", ())), "string")

    return tree.map_structure(one, element)


def as_numpy(element):
    """An element with NumPy arrays in the place of its tensors."""
    return tree.map_structure(
        lambda leaf: convert_to_numpy(leaf) if isinstance(leaf, torch.Tensor) else leaf, element
    )
