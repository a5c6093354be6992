"""OneProcess does for one process what Replica does for several, by the same methods."""

import copy
import inspect
import pickle

import numpy as np
import pytest

import torchkeras as keras
from torchkeras.distribution.one_process import OneProcess
from torchkeras.distribution.replica import Replica

# What a Replica does in the midst of a step, where one process has none, or for itself alone.
WITHIN_STEPS = {
    "gradient_weight",
    "normalizer",
    "reduce_gradients",
    "scaled_gradients",
    "scaled_loss",
    "sum_scale",
    "total",
}
X, Y = np.ones((6, 3), "float32"), np.ones((6, 1), "float32")


def public(cls):
    return {name for name in vars(cls) if not name.startswith("_")}


def model_of(cls=keras.Sequential):
    model = cls([keras.Input((3,)), keras.layers.Dense(1, kernel_initializer="zeros")])
    model.compile("sgd", "mse")
    return model


def test_the_methods_are_those_of_a_replica():
    assert public(OneProcess) == public(Replica) - WITHIN_STEPS
    for name in public(OneProcess) - {"divides_batches", "takes_graphs"}:
        ours, theirs = (inspect.signature(getattr(c, name)) for c in (OneProcess, Replica))
        assert ours == theirs, name


def test_a_step_is_run_as_it_is():
    alone = OneProcess(model_of())

    def step(data):
        return {}

    assert alone.training_step(step, None) is step and alone.evaluating_step(step, None) is step


@pytest.mark.parametrize("flag", ["stop_training", "stop_evaluating", "stop_predicting"])
def test_decisions_are_the_flags_of_the_model(flag):
    model = model_of()
    for value in (False, True):
        setattr(model, flag, value)
        assert model._replica.agree(flag) is value
        assert model._replica.agree_after_batch("on_train_batch_end", flag) is value


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))],
    ids=["copy", "deepcopy", "pickle"],
)
def test_a_copy_is_asked_about_itself(copied):
    model = model_of()
    model.evaluate(X, Y, verbose=0)
    other = copied(model)
    assert type(other._replica) is OneProcess and other._replica.model is other
    assert model._replica.model is model


def test_a_distribution_without_a_replica_is_one_process():
    class Alone(keras.distribution.Distribution):
        def make_replica(self, model):
            return None

    model = model_of()
    with Alone().scope():
        assert model.evaluate(X, Y, verbose=0) == 1.0
    assert type(model._replica) is OneProcess
