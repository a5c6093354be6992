"""Models that are compiled one after the other in a process, and that take the long way."""

import pytest
import torch

import torchkeras as keras
from torchkeras import layers
from torchkeras.trainers import graph

X = torch.linspace(-1, 1, 8).reshape(2, 4)


class Own(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(3)

    def call(self, x, training=False):
        return self.dense(x, training=training)


class Added(layers.Layer):
    def call(self, x):
        self.add_loss(x.square().mean())
        return 2 * x


def two_inputs():
    a, b = keras.Input((4,)), keras.Input((4,))
    return keras.Model([a, b], layers.Dense(3)(layers.Add()([a, b])))


def stack(*parts, shape=(4,)):
    return keras.Sequential([keras.Input(shape), *parts])


MAKERS = {
    "plain": (lambda: stack(layers.Dense(3)), X),
    "two inputs": (two_inputs, [X, 2 * X]),
    "regularizer": (lambda: stack(layers.Dense(3, activity_regularizer="l2")), X),
    "added loss": (lambda: stack(Added()), X),
    "masks": (lambda: stack(layers.Masking(), layers.Dense(3), shape=(2, 4)), X[None]),
    "mixed": (lambda: stack(layers.Dense(3, dtype="mixed_bfloat16")), X),
    "double": (lambda: stack(layers.Dense(3)).double(), X),
    "own": (Own, X),
}


@pytest.fixture(autouse=True)
def fresh():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize("first", ["two inputs", "own"])
@pytest.mark.parametrize("second", MAKERS)
def test_the_second_model_of_a_process_compiles_too(first, second):
    for kind in (first, second, first):
        make, x = MAKERS[kind]
        model = make()
        want = model(x)
        losses = [float(loss.detach()) for loss in model.losses]
        compiled = torch.compile(make_alike(model, make), backend="eager", fullgraph=True)
        y = compiled(x)
        torch.testing.assert_close(y, want)
        assert [float(loss.detach()) for loss in compiled._orig_mod.losses] == losses
        if y.requires_grad:
            y.float().sum().backward()


def make_alike(model, make):
    """A second model with the same weights: this one has called nothing yet."""
    other = make()
    if not other.built:
        other.build((None, 4))
    other.set_weights(model.get_weights())
    return other


def test_a_compiled_fit_after_a_compiled_fit(monkeypatch):
    def compile_module(module, inputs, options):
        return torch._dynamo.lookup_backend("aot_eager")(module, inputs)

    monkeypatch.setattr(graph, "compile_module", compile_module)
    for _ in range(2):
        model = stack(layers.Dense(3, activity_regularizer="l2"), layers.Dense(1))
        model.compile("sgd", "mse", jit_compile=True)
        before = model.get_weights()[0].copy()
        model.fit(X, X[:, :1], epochs=2, verbose=0)
        assert (model.get_weights()[0] != before).any()
        if graph.can_trace_gradients():
            assert model._graph_steps["train_step"].failure is None
