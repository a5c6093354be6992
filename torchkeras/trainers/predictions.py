"""Predictions: outputs of batch after batch, on their way to arrays."""

import numpy as np
import torch

from torchkeras.core import tree
from torchkeras.core.convert import convert_to_numpy


class Predictions:
    """Collects the outputs of batches and joins them along the first axis.

    Copies from an accelerator start at once, and are waited for together in the end.

    Example:

    >>> from torchkeras.trainers.predictions import Predictions
    >>> predictions = Predictions()
    >>> for batch in torch.arange(5.0).split(2):
    ...     predictions.add({"y": batch})
    >>> predictions.join()
    {'y': array([0., 1., 2., 3., 4.], dtype=float32)}
    """

    def __init__(self):
        self._batches = []
        self._waits = False

    def __len__(self):
        return len(self._batches)

    def add(self, outputs):
        """Take the outputs of one batch: a tensor, or a structure of them."""
        self._batches.append(tree.map_structure(self._to_cpu, outputs))

    def _to_cpu(self, x):
        if not isinstance(x, torch.Tensor):
            return x
        x = x.detach()
        if x.device.type == "cpu":
            return x
        self._waits = True
        return x.to("cpu", non_blocking=True)

    def join(self):
        """NumPy arrays in the structure of the outputs, in memory of their own."""
        if self._waits:
            torch.accelerator.synchronize()
        return tree.map_structure(lambda *parts: _join(parts), *self._batches)


def _join(parts):
    if all(isinstance(part, torch.Tensor) for part in parts):
        return convert_to_numpy(torch.cat(parts))
    return np.concatenate([np.asarray(part) for part in parts])
