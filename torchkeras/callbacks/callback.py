"""Callback, the base class of what acts during training, and the values its hooks receive."""

import numpy as np
import torch


class Callback:
    """Base class of objects whose methods are called at points of `fit`, `evaluate`, `predict`.

    A subclass overrides the hooks it needs. The order in `fit` is `on_train_begin`; then for
    each epoch `on_epoch_begin`, the pairs `on_train_batch_begin`, `on_train_batch_end`, a
    validation (`on_test_begin`, pairs `on_test_batch_*`, `on_test_end`), `on_epoch_end`; at the
    end `on_train_end`. `evaluate` calls the `test` hooks, `predict` the `predict` hooks.

    `logs` maps names of metrics to Python floats. It is one dict for all callbacks of a call,
    so an entry that a callback adds at the end of an epoch is seen by those after it. A class
    attribute `_supports_device_logs = True` asks the batch hooks for what the training loop
    has instead: a dict of 0-d tensors or floats, or a function that returns it. Reading a
    tensor waits for the device, so such a callback reads only what it needs, by
    `logs_to_floats`.

    Attributes:
        params: dict of what the loop knows: `verbose`, `epochs`, `steps`; or None.
        model: the model being trained, or None outside a call.

    Example:

    >>> class Losses(keras.callbacks.Callback):
    ...     def on_epoch_end(self, epoch, logs=None):
    ...         print(epoch, logs["loss"])
    >>> Losses().on_epoch_end(0, {"loss": 0.5})
    0 0.5
    """

    _supports_device_logs = False

    def __init__(self):
        self.params = None
        self._model = None

    def set_params(self, params):
        """Receive the dict of `verbose`, `epochs` and `steps`."""
        self.params = params

    def set_model(self, model):
        """Receive the model."""
        self._model = model

    @property
    def model(self):
        """The model; of one wrapped in DistributedDataParallel, the model inside."""
        model = self._model
        if isinstance(model, torch.nn.parallel.DistributedDataParallel):
            return model.module
        return model

    def on_batch_begin(self, batch, logs=None):
        """Older name of `on_train_batch_begin`."""

    def on_batch_end(self, batch, logs=None):
        """Older name of `on_train_batch_end`."""

    def on_epoch_begin(self, epoch, logs=None):
        """Called before epoch `epoch`, an int from 0. `logs` is empty."""

    def on_epoch_end(self, epoch, logs=None):
        """Called after epoch `epoch` and its validation, whose entries begin with `val_`."""

    def on_train_batch_begin(self, batch, logs=None):
        """Called before training step `batch`, an int from 0 in each epoch. `logs` is empty."""
        self.on_batch_begin(batch, logs=logs)

    def on_train_batch_end(self, batch, logs=None):
        """Called after training step `batch`; `logs` are the metrics of the epoch so far."""
        self.on_batch_end(batch, logs=logs)

    def on_test_batch_begin(self, batch, logs=None):
        """Called before evaluation step `batch`, in validation too. `logs` is empty."""

    def on_test_batch_end(self, batch, logs=None):
        """Called after evaluation step `batch`; `logs` are the metrics so far."""

    def on_predict_batch_begin(self, batch, logs=None):
        """Called before prediction step `batch`. `logs` is empty."""

    def on_predict_batch_end(self, batch, logs=None):
        """Called after prediction step `batch`; `logs["outputs"]` is what the model gave."""

    def on_train_begin(self, logs=None):
        """Called at the start of `fit`. `logs` is empty."""

    def on_train_end(self, logs=None):
        """Called at the end of `fit`, with the logs of the last epoch."""

    def on_test_begin(self, logs=None):
        """Called at the start of an evaluation or validation. `logs` is empty."""

    def on_test_end(self, logs=None):
        """Called at the end of an evaluation or validation, with its metrics."""

    def on_predict_begin(self, logs=None):
        """Called at the start of `predict`. `logs` is empty."""

    def on_predict_end(self, logs=None):
        """Called at the end of `predict`. `logs` is empty."""


def logs_to_floats(logs):
    """`logs` as a new dict of Python floats, in the order of the names.

    Tensors on an accelerator are read together, one wait for each dtype. Dicts inside are
    merged into the result; arrays of more than one element and other objects stay as they are.

    Args:
        logs: dict, a function that returns one, or None.

    Example:

    >>> logs_to_floats(lambda: {"loss": torch.tensor(0.5), "accuracy": 1})
    {'accuracy': 1.0, 'loss': 0.5}
    """
    if callable(logs):
        logs = logs()
    if not logs:
        return {}
    result, on_device = {}, {}
    for name in sorted(logs):
        value = logs[name]
        if isinstance(value, dict):
            result.update(logs_to_floats(value))
            continue
        if hasattr(value, "_as_tensor"):  # a Variable
            value = value._as_tensor()
        if isinstance(value, torch.Tensor):
            if value.ndim > 1 or value.numel() != 1 or value.is_complex():
                pass
            elif value.device.type == "cpu":
                value = float(value.item())
            else:
                on_device.setdefault((value.device, value.dtype), []).append((name, value))
        elif isinstance(value, (int, float, np.integer, np.floating, np.bool_)):
            value = float(value)
        elif isinstance(value, np.ndarray) and value.size == 1 and value.ndim < 2:
            value = float(value.reshape(()))
        result[name] = value
    for items in on_device.values():
        numbers = torch.stack([value.detach().reshape(()) for _, value in items]).tolist()
        result.update((name, float(v)) for (name, _), v in zip(items, numbers, strict=True))
    return result
