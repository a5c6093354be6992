"""Going on within an epoch: what `fit` itself knows of a run, and takes over from another."""

import os

import torch

from torchkeras.callbacks import BackupAndRestore, CallbackList
from torchkeras.core import tree
from torchkeras.distribution.random_state import get_random_states, set_random_states
from torchkeras.trainers.stateless_step import build_metrics


def with_backup(callbacks, folder):
    """The `callbacks` given to `fit`, and a BackupAndRestore on `folder` after them.

    Raises:
        TypeError: `folder` is no path.
        ValueError: there is a BackupAndRestore, or a CallbackList, among the callbacks already.

    Example:

    >>> from torchkeras.trainers.resuming import with_backup
    >>> [type(callback).__name__ for callback in with_backup(None, "backup")]
    ['BackupAndRestore']
    """
    if not isinstance(folder, (str, bytes, os.PathLike)):
        raise TypeError(
            "`resume` must be the path of a folder. Received: "
            f"resume={folder!r} of type {type(folder).__name__}. Give a str or a pathlib.Path, or "
            "leave it out."
        )
    if keeps_position(callbacks) or isinstance(callbacks, CallbackList):
        other = "CallbackList" if isinstance(callbacks, CallbackList) else "BackupAndRestore"
        raise ValueError(
            "`resume` adds a BackupAndRestore to the callbacks. Received: "
            f"resume={folder!r} beside a {other}. Leave out one of the two."
        )
    return [*(tree.flatten(callbacks) if callbacks else []), BackupAndRestore(folder)]


def keeps_position(callbacks):
    """Whether one of the callbacks saves where the data is.

    Example:

    >>> from torchkeras.trainers.resuming import keeps_position
    >>> keeps_position([keras.callbacks.BackupAndRestore("backup")]), keeps_position(None)
    (True, False)
    """
    if isinstance(callbacks, CallbackList):
        callbacks = callbacks.callbacks
    if not callbacks:
        return False
    return any(
        keeps_position(c) if isinstance(c, CallbackList) else getattr(c, "_keeps_position", False)
        for c in tree.flatten(callbacks)
    )


def set_metrics(model, values, iterator):
    """Give the metrics of a model the values that they had in another run.

    Metrics whose variables appear with the first batch are shown one before.

    Args:
        model: Trainer within an epoch.
        values: list of tensors, as `model.metrics_variables` had them.
        iterator: EpochIterator of the epoch.

    Raises:
        ValueError: the metrics are others.
    """
    if not _fits(model.metrics_variables, values):
        is_over = iterator.is_over or iterator.peek() is None
        states = get_random_states()
        if is_over and not model._replica.divides_batches:
            return  # nothing is left to measure, and the logs are known
        batch = iterator.example()
        if batch is not None:
            build_metrics(model, batch)
            if not _fits(model.metrics_variables, values):
                _show_batch(model, batch)
        set_random_states(states)
    variables = model.metrics_variables
    if not _fits(variables, values):
        shapes = [tuple(v.shape) for v in variables], [tuple(v.shape) for v in values]
        raise ValueError(
            "A run can go on within an epoch only with the metrics that it was begun with. "
            f"Received: metrics with variables of shapes {shapes[0]}, and a backup of "
            f"{shapes[1]}. Compile with the same metrics, or delete the backup to start anew."
        )
    with torch.no_grad():
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)


def _fits(variables, values):
    return [tuple(v.shape) for v in variables] == [tuple(v.shape) for v in values]


def _show_batch(model, batch):
    """Let metrics make variables that they make by the shapes of what they see."""
    x, y, sample_weight = (*batch, None, None)[:3]
    with torch.no_grad():
        model.compute_metrics(x, y, model(x, training=False), sample_weight)
