"""Loops inside torch.autocast: what a step computes with is the weights as they are."""

import numpy as np
import pytest
import torch
from torch import nn

import torchkeras as keras
from torchkeras import layers

RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, 4)).astype("float32")
Y = (X @ RNG.normal(size=(4, 1))).astype("float32")


class Plain(keras.Model):
    """A torch module, whose weights torch.autocast casts, in a Keras model."""

    def __init__(self):
        super().__init__()
        self.hidden, self.out = nn.Linear(4, 8), layers.Dense(1)

    def call(self, x):
        return self.out(torch.tanh(self.hidden(x)))


class OwnStep(Plain):
    """A step that updates the weights past our optimizers."""

    def train_step(self, data):
        x, y = data
        loss = ((self(x).float() - y) ** 2).mean()
        loss.backward()
        with torch.no_grad():
            for parameter in self.parameters():
                parameter -= 0.1 * parameter.grad
        return {"loss": loss}


def autocast():
    return torch.autocast("cpu", torch.bfloat16)


def by_torch(model, steps, lr=0.1):
    """The loop as torch's guide has it, a region for each forward pass."""
    losses = []
    for _ in range(steps):
        with autocast():
            loss = ((model(torch.tensor(X)) - torch.tensor(Y)) ** 2).float().mean()
        for parameter in model.parameters():
            parameter.grad = None
        loss.backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= lr * parameter.grad
        losses.append(loss.item())
    return losses


def made(cls=Plain):
    torch.manual_seed(0)
    model = cls()
    model(X)
    return model


def fitted(model, optimizer):
    model.compile(optimizer, "mse")
    with autocast():
        history = model.fit(X, Y, batch_size=32, epochs=20, verbose=0, shuffle=False)
    return history.history["loss"]


def on_batches(model, optimizer):
    model.compile(optimizer, "mse")
    with autocast():
        return [model.train_on_batch(X, Y) for _ in range(20)]


def own_loop(model, optimizer):
    losses = []
    optimizer = keras.optimizers.get(optimizer)
    with autocast():
        for _ in range(20):
            model.zero_grad()
            loss = ((model(torch.tensor(X)) - torch.tensor(Y)) ** 2).float().mean()
            loss.backward()
            variables = model.trainable_variables
            optimizer.apply([v.grad for v in variables], variables)
            losses.append(loss.item())
    return losses


@pytest.mark.parametrize(
    "optimizer",
    [lambda: keras.optimizers.SGD(0.1), lambda: lambda p: torch.optim.SGD(p, lr=0.1)],
    ids=["ours", "torch"],
)
@pytest.mark.parametrize("train", [fitted, on_batches, own_loop])
def test_training_inside_autocast_is_that_of_torch(train, optimizer):
    expected = by_torch(made(), 20)
    found = train(made(), optimizer())
    np.testing.assert_allclose(found, expected, rtol=0.05)  # sums in bfloat16: 8 bits
    assert found[-1] < 0.2 * found[0]


def test_a_step_of_ones_own_inside_autocast():
    expected = by_torch(made(), 20)
    np.testing.assert_allclose(fitted(made(OwnStep), "sgd"), expected, rtol=0.05)


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.set_weights([0 * w for w in model.get_weights()]),
        lambda model: [v.assign(torch.zeros(v.shape)) for v in model.weights],
        lambda model: [v.__imul__(0) for v in model.weights],
        lambda model: [v.__setitem__(slice(None), 0) for v in model.weights],
    ],
    ids=["set_weights", "assign", "in place", "items"],
)
def test_a_value_set_inside_autocast_is_computed_with(change):
    model = made()
    with autocast():
        assert model(X).abs().max().item() > 0
        change(model)
        assert model(X).abs().max().item() == 0


def test_weights_set_by_torch_between_loops_inside_autocast():
    model = made()
    model.compile(loss="mse")
    with autocast():
        model(X)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.zero_()
        assert np.abs(model.predict(X, verbose=0)).max() == 0
