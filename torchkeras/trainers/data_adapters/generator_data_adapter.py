"""GeneratorDataAdapter: batches of a Python generator, iterator or other iterable."""

import itertools

from torchkeras.trainers.data_adapters import data_adapter_utils as utils
from torchkeras.trainers.data_adapters.data_adapter import DataAdapter


class GeneratorDataAdapter(DataAdapter):
    """Batches of an iterable whose items are whole batches.

    A tuple or list item is `(x,)`, `(x, y)` or `(x, y, sample_weight)`; any other item is `x`.
    NumPy arrays become tensors of the same dtype, as in Keras, and share their memory.

    A generator or iterator is read once: the first batch is looked at here, to fail early, and
    given out again first. Other iterables (a `tf.data.Dataset`, a loader of another library)
    are iterated anew for each pass.

    Args:
        source: iterable of batches.
        class_weight: dict of class index to weight, or None.
        device: torch device of the batches, or None to leave them where they are.

    Raises:
        ValueError: the source is empty, or its first batch holds anything but arrays.

    Example:

    >>> adapter = GeneratorDataAdapter(np.full((2,), i) for i in range(2))
    >>> list(adapter.batches())
    [(tensor([0, 0]),), (tensor([1, 1]),)]
    """

    def __init__(self, source, class_weight=None, device=None):
        self.one_shot = hasattr(source, "__next__")
        self._source = source
        self._class_weight = class_weight
        self._device = utils.full_device(device)
        iterator = iter(source)
        try:
            first = next(iterator)
        except StopIteration:
            raise ValueError(
                "The data must give at least one batch. Received: an empty "
                f"{type(source).__name__}. A generator that was read before is empty: call the "
                "generator function again."
            ) from None
        self.bare_batches = utils.is_bare(first)
        self._convert(first)
        self._iterator = itertools.chain([first], iterator)

    @property
    def num_batches(self):
        if self.one_shot:
            return None
        try:
            return len(self._source)
        except (TypeError, NotImplementedError):
            return None

    def source_state(self):
        return utils.state_of(self._source)

    def set_source_state(self, state):
        if state is not None and self.one_shot:
            self._iterator = self._source  # without the batch that was looked at
        utils.set_state(self._source, state)

    def batches(self):
        iterator, self._iterator = self._iterator, None
        if self.one_shot:
            self._iterator = iterator
        elif iterator is None:
            iterator = iter(self._source)
        return map(self._convert, iterator)

    def _convert(self, batch):
        device = self._device
        batch = utils.batch_to_tensors(
            utils.as_batch_tuple(batch), pinned=device is not None and device.type == "cuda"
        )
        if self._class_weight is not None:
            batch = utils.add_class_weight(batch, self._class_weight)
        return batch if device is None else utils.to_device(batch, device)
