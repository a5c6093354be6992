"""An optimizer of torch that computes the loss itself: fit runs its closure, all else says so."""

import functools

import numpy as np
import pytest
import torch
from torch import nn

import torchkeras as keras
from torchkeras import layers, optimizers

RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 3)).astype("float32")
Y = np.tanh(X @ RNG.normal(size=(3, 1))).astype("float32")
WEIGHTS = RNG.uniform(0.5, 1.5, 24).astype("float32")
MAKE = functools.partial(torch.optim.LBFGS, lr=0.5, max_iter=4, history_size=5)


def pair():
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4, "tanh"), layers.Dense(1)])
    first, _, last = plain
    model.set_weights(
        [t.detach().numpy() for t in (first.weight.T, first.bias, last.weight.T, last.bias)]
    )
    return model, plain


def by_torch(plain, optimizer, steps):
    """The loop of torch's documentation."""
    losses = []

    def closure():
        optimizer.zero_grad()
        errors = ((plain(torch.tensor(X)) - torch.tensor(Y)) ** 2)[:, 0]
        loss = (errors * torch.tensor(WEIGHTS)).mean()
        loss.backward()
        return loss

    for _ in range(steps):
        losses.append(float(optimizer.step(closure).detach()))
    return losses


@pytest.mark.parametrize("kind", ["function", "instance"])
@pytest.mark.parametrize("by", ["fit", "train_on_batch"])
@pytest.mark.parametrize("line_search", [None, "strong_wolfe"])
def test_fit_is_the_loop_of_torch(line_search, by, kind):
    make = functools.partial(MAKE, line_search_fn=line_search)
    model, plain = pair()
    expected = by_torch(plain, make(plain.parameters()), 5)
    model.compile(make if kind == "function" else make(model.parameters()), "mse", metrics=["mae"])
    if by == "fit":
        history = model.fit(
            X, Y, sample_weight=WEIGHTS, batch_size=24, epochs=5, verbose=0, shuffle=False
        )
        losses = history.history["loss"]
    else:
        losses = [model.train_on_batch(X, Y, sample_weight=WEIGHTS)[0] for _ in range(5)]
    np.testing.assert_allclose(losses, expected, rtol=2e-3)
    assert losses[-1] < 0.1 * losses[0] and int(model.optimizer.iterations) == 5
    np.testing.assert_allclose(
        model.get_weights()[0], plain[0].weight.detach().numpy().T, rtol=0.02, atol=2e-3
    )


def test_frozen_weights_stay_and_thawed_ones_train():
    model, _ = pair()
    model.layers[0].trainable = False
    model.compile(MAKE, "mse")
    for frozen in (True, False):
        model.layers[0].trainable = not frozen
        before = model.get_weights()
        model.fit(X, Y, batch_size=24, epochs=2, verbose=0)
        moved = [
            not np.array_equal(*both) for both in zip(before, model.get_weights(), strict=True)
        ]
        assert moved == [not frozen, not frozen, True, True]


def test_regularizers_and_constraints_take_part():
    inputs = keras.Input((3,))
    outputs = layers.Dense(
        1,
        use_bias=False,
        kernel_initializer="ones",
        kernel_regularizer=keras.regularizers.L2(1.0),
        kernel_constraint=lambda w: w.clamp(min=0.125),
    )(inputs)
    model = keras.Model(inputs, outputs)
    model.compile(MAKE, "mse")
    model.fit(0 * X, 0 * Y, batch_size=24, epochs=10, verbose=0)
    assert model.get_weights()[0].tolist() == [[0.125]] * 3  # the loss is the sum of squares


def test_gradients_alone_are_refused():
    v = keras.Variable(1.0)
    optimizer = optimizers.get(MAKE)
    with pytest.raises(TypeError, match="LBFGS computes the loss several times.*apply_closure"):
        optimizer.apply([torch.tensor(1.0)], [v])
    assert float(v) == 1.0 and optimizer.needs_closure
    for other in (optimizers.get(torch.optim.SGD), optimizers.SGD()):
        other.build([v])
        assert not other.needs_closure


def test_an_optimizer_of_ones_own_that_needs_a_closure():
    class Halving(torch.optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {"lr": 1.0})

        @torch.no_grad()
        def step(self, closure):
            with torch.enable_grad():
                loss = closure()
                closure()
            for group in self.param_groups:
                for param in group["params"]:
                    param /= 2
            return loss

    model = keras.Sequential([keras.Input((3,)), layers.Dense(1, kernel_initializer="ones")])
    model.compile(Halving, "mse")
    model.fit(X, Y, batch_size=24, epochs=2, verbose=0)
    assert model.get_weights()[0].tolist() == [[0.25]] * 3
