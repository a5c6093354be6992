"""Building a model, and its optimizer, for the data that it is given."""

import contextlib
import threading

import torch

from torchkeras.core import config, tree
from torchkeras.core.dtypes import is_float_dtype, standardize_dtype
from torchkeras.core.keras_tensor import KerasTensor
from torchkeras.trainers.steps import overrides

_BUILDING = threading.RLock()


def build_for(model, iterator):
    """Create the weights that do not exist yet, for the shapes of the first batch.

    Args:
        model: Trainer.
        iterator: EpochIterator of the data.

    Raises:
        ValueError: the data has no batch to build from.
    """
    if _is_built(model):
        return
    with _BUILDING:  # several threads may predict with a new model
        if not _is_built(model):
            _build_on(model, iterator)


def _is_built(model):
    return all(layer.built for layer in model._flatten_layers())


def _build_on(model, iterator):
    batch = iterator.peek()
    if batch is None:
        raise ValueError(
            f"A batch is needed to build '{model.name}' for its shapes. Received: data "
            "without any. Check the generator or data set, or call `build(input_shape)`."
        )
    x = batch[0]  # a batch of a step of one's own may have more than three items
    if model.built or not _build_symbolically(model, x):
        with torch.no_grad():
            model(x, training=False)


def _build_symbolically(model, x):
    """Build by a call on symbols of any batch size. Returns whether that was possible."""
    if not all(isinstance(leaf, torch.Tensor) for leaf in tree.flatten(x)):
        return False

    def symbol(tensor):
        dtype = standardize_dtype(tensor.dtype)
        dtype = config.floatx() if is_float_dtype(dtype) else dtype
        return KerasTensor((None, *tensor.shape[1:]), dtype)

    if isinstance(x, torch.Tensor) and hasattr(model, "_stack"):
        model.build((None, *x.shape[1:]))
        return model.built
    try:
        with contextlib.suppress(NotImplementedError):
            model(tree.map_structure(symbol, x))
    finally:
        model._inbound_nodes.clear()
    return model.built


def build_optimizer(model):
    """Create the optimizer's state for the weights of a built model.

    Raises:
        ValueError: there is no optimizer, and `train_step` is the Trainer's own.
    """
    optimizer = model.optimizer
    if optimizer is None:
        if not overrides(model, "train_step"):
            raise ValueError(
                f"Training '{model.name}' needs an optimizer. Received: optimizer=None in "
                "`compile()`. Give one, or override `train_step`."
            )
    elif not optimizer.built:
        optimizer.build(model.trainable_variables)


def finish_optimizer(model):
    """Put what the optimizer keeps apart, such as averages of weights, into the weights."""
    optimizer = model.optimizer
    if optimizer is not None and optimizer.built:
        # Those it was built on: a layer may have been frozen since.
        optimizer.finalize_variable_values(optimizer._trainable_variables)
