"""Refused calls leave a model as it was: an error before the first update undoes what had moved."""

import contextlib

import torch

from torchkeras.distribution.one_process import OneProcess
from torchkeras.distribution.random_state import (
    get_random_states,
    get_torch_states,
    set_random_states,
    set_torch_states,
)
from torchkeras.layers.tracked_module import CHANGES

# Statistics are smaller; what is larger is a frozen weight, which no step moves.
_LARGEST = 1 << 16


@contextlib.contextmanager
def unmoved_on_error(model, draws_data=True):
    """Inside, an error before the optimizer's first update puts back what a step moves before it.

    That is the statistics of layers, the seeds of random layers, metrics, and the global random
    generators. Nothing is waited for. In one of several processes errors end the job, and nothing
    is put back.

    Args:
        model: a built Trainer.
        draws_data: bool, whether data is shuffled inside, so that Python's and NumPy's generators
            may move as well. To read their states takes longer than a small step.

    Example:

    >>> from torchkeras.trainers.unmoved import unmoved_on_error
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.BatchNormalization()])
    >>> with contextlib.suppress(ValueError), unmoved_on_error(model):
    ...     _ = model(torch.ones(2, 1), training=True)
    ...     raise ValueError
    >>> model.layers[0].moving_mean.numpy()
    array([0.], dtype=float32)
    """
    if not isinstance(model._replica, OneProcess):
        yield
        return
    moving, trained = _parts(model)
    count = _updates(model, trained)
    kept = [(v, v.value.detach().clone()) for v in moving]
    states = get_random_states() if draws_data else get_torch_states()
    try:
        yield
    except Exception:
        if _updates(model, trained) == count:
            with torch.no_grad():
                for variable, value in kept:
                    variable.assign(value)
            (set_random_states if draws_data else set_torch_states)(states)
        raise


def _parts(model):
    """What moves before an update, and the tensors that an update changes; looked up once."""
    found = model.__dict__.get("_parts_that_move")
    metrics = model.metrics_variables
    if found is None or found[0] != CHANGES.count:
        moving = [v for v in model.non_trainable_variables if v.value.numel() <= _LARGEST]
        for module in model.modules():
            moving += [g.state for g in getattr(module, "_seed_generators", ())]
        trained = [p for p in model.parameters() if p.requires_grad and not p.is_inference()]
        found = CHANGES.count, list({id(v): v for v in moving}.values()), trained
        model.__dict__["_parts_that_move"] = found
    return [*found[1], *metrics], found[2]


def _updates(model, trained):
    """What tells whether a weight was updated: torch counts writes to each; and the optimizer."""
    iterations = getattr(model.optimizer, "_iterations", None)
    versions = [p._version for p in trained]
    return None if iterations is None else int(iterations), versions
