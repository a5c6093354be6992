"""AdaptableLayer: base of the layers that learn from data by `adapt`, before training."""

import numpy as np
import torch

from torchkeras.core.strings import as_text, is_text
from torchkeras.layers.layer import Layer


class AdaptableLayer(Layer):
    """A layer whose state comes from a pass over the data: a vocabulary, means, bin edges.

    A subclass defines `update_state(batch)`, called for each batch; `reset_state()`, called
    before the first; and `finalize_state()`, called after the last. State made of numbers is
    best kept in weights; anything else goes to files by `get_assets` and `set_assets`.

    Example:

    >>> class Maximum(AdaptableLayer):
    ...     def build(self, input_shape):
    ...         self.most = self.add_weight(shape=(), trainable=False, name="most")
    ...     def reset_state(self):
    ...         self.most.assign(float("-inf"))
    ...     def update_state(self, batch):
    ...         self.most.assign(torch.maximum(self.most.value, batch.max()))
    ...     def call(self, x):
    ...         return x / self.most
    >>> layer = Maximum()
    >>> layer.adapt([[1.0], [4.0]])
    >>> layer(torch.tensor([[2.0]]))
    tensor([[0.5000]])
    """

    _encoding = "utf-8"  # by which bytes are read

    def adapt(self, data, batch_size=None, steps=None):
        """Learn the layer's state from data, in place of what it learned before.

        Args:
            data: array, tensor, list of strings or of numbers; or an iterable of batches, such as
                a DataLoader, a PyDataset, a generator or a list of arrays. Of batches with
                targets, `(x, y)` or `(x, y, sample_weight)`, the inputs are looked at.
            batch_size: int, samples that are looked at together; None for all of an array.
            steps: int, number of batches to look at; None for all.

        Raises:
            ValueError: `data` has no batch, or batches of another structure.
        """
        count = 0
        for batch in batches_of_inputs(data, batch_size, steps, self._encoding):
            self._learn_from(batch, is_first=count == 0)
            count += 1
        if count == 0:
            raise ValueError(
                f"Layer '{self.name}' adapts to at least one batch. Received: data without any."
            )
        with torch.no_grad():
            self.finalize_state()

    @property
    def _learns(self):
        """Whether `adapt` makes sense; not where the state was given, to it or to layers in it."""
        return all(part._learns for part in self._layers if isinstance(part, AdaptableLayer))

    def _learn_from(self, batch, is_first):
        """Take a batch into account; the first one of some builds the layer and resets it."""
        with torch.no_grad():
            batch = self._batch_for_adapt(batch)
            if not self.built:
                # The batch stays open; weights depend on the other sizes.
                self._build_for({"inputs": _Open(batch)}, (batch,), {})
                if not self.built:
                    self._finish_build({"input_shape": _Open(batch).shape})
            if is_first:
                self.reset_state()
            self.update_state(batch)

    def _batch_for_adapt(self, batch):
        """A batch as `update_state` gets it."""
        (batch,), _ = self._convert_arguments((batch,), {})
        return batch

    def reset_state(self):
        """Forget what was learned; subclasses with state define it."""

    def update_state(self, batch):
        """Take one batch into account.

        Args:
            batch: tensor, or array of strings, as `call` gets it.
        """
        raise NotImplementedError(
            f"{type(self).__name__} must define `update_state(batch)` to be adapted. Received: "
            f"adapt() of '{self.name}' without one."
        )

    def finalize_state(self):
        """Make the state that `call` uses of what `update_state` gathered."""


class _Open:
    """Shape and dtype of a batch, of any number of samples."""

    def __init__(self, batch):
        self.shape = (None, *batch.shape[1:])
        self.dtype = batch.dtype


def batches_of_inputs(data, batch_size=None, steps=None, encoding="utf-8"):
    """Batches of inputs for `adapt`.

    Args:
        data: see `AdaptableLayer.adapt`.
        batch_size: int or None.
        steps: int or None.
        encoding: str, by which bytes are read.

    Example:

    >>> [batch.shape for batch in batches_of_inputs(np.zeros((5, 2)), batch_size=3)]
    [(3, 2), (2, 2)]
    """
    for name, value in (("batch_size", batch_size), ("steps", steps)):
        if value is not None and (not isinstance(value, int) or value < 1):
            raise ValueError(f"`{name}` must be an int of at least 1. Received: {name}={value!r}.")
    for index, batch in enumerate(_batches(data, batch_size, steps, encoding)):
        if index == steps:
            return
        batch = _without_targets(batch)
        yield as_text(batch, encoding) if is_text(batch) else batch


def _without_targets(batch):
    """The inputs of a batch, which stand first in a tuple or list of arrays."""
    if not isinstance(batch, (list, tuple)):
        return batch
    if is_text(batch):
        # A loader of texts and labels gives a list of the texts, and a tensor.
        has_targets = len(batch) in (2, 3) and is_text(batch[0]) and not is_text(batch[1])
        return batch[0] if has_targets and not isinstance(batch[0], (str, bytes)) else batch
    if not batch or not hasattr(batch[0], "shape"):
        return np.asarray(batch) if batch and np.isscalar(np.ravel(batch[0])[0]) else _refuse(batch)
    return batch[0] if len(batch) <= 3 else _refuse(batch)


def _refuse(batch):
    raise ValueError(
        "`adapt` takes batches of inputs, or tuples of inputs, targets and sample weights. "
        f"Received: a batch of {len(batch)} items. Give only the inputs, e.g. "
        "(x for x, y in data)."
    )


def _batches(data, batch_size, steps, encoding):
    if is_text(data):
        data = as_text(data, encoding)
        data = data.reshape(1) if data.ndim == 0 else data
    elif isinstance(data, (list, tuple)) and not _holds_batches(data):
        data = np.asarray(data)
    if hasattr(data, "shape"):
        size = batch_size or (32 if steps else max(len(data), 1))
        return (data[start : start + size] for start in range(0, len(data), size))
    if hasattr(data, "__iter__"):
        return data
    if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        return (data[index] for index in range(len(data)))
    raise ValueError(
        "`adapt` takes arrays, tensors, lists of strings, or an iterable of batches. Received: "
        f"data={data!r} of type {type(data).__name__}."
    )


def _holds_batches(data):
    """Whether a list is one of batches: of arrays, or of tuples of them."""
    first = data[0] if data else None
    first = first[0] if isinstance(first, (list, tuple)) and first else first
    return len(getattr(first, "shape", ())) > 0
