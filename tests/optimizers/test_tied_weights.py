"""One Parameter under two names is one weight: counted, stepped and normed once."""

import copy
import functools

import numpy as np
import pytest
import torch
from torch import nn

import torchkeras as keras
from torchkeras import layers, optimizers

X = np.random.default_rng(0).integers(0, 5, (12, 3))
Y = np.random.default_rng(1).integers(0, 5, (12, 3))


class Plain(nn.Module):
    """Embedding whose table is also the kernel of the output."""

    def __init__(self):
        super().__init__()
        self.e, self.o = nn.Embedding(5, 4), nn.Linear(4, 5)
        self.o.weight = self.e.weight

    def forward(self, x):
        return self.o(torch.tanh(self.e(x)))


class Tied(keras.Model):
    def __init__(self):
        super().__init__()
        self.e, self.o = nn.Embedding(5, 4), nn.Linear(4, 5)
        self.o.weight = self.e.weight

    def call(self, x):
        return self.o(torch.tanh(self.e(x)))


def tied_and_plain():
    torch.manual_seed(0)
    model, plain = Tied(), Plain()
    model.load_state_dict(plain.state_dict())
    model(X)
    return model, plain


def loss_of(logits, y):
    return nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten())


def trained_by_torch(plain, optimizer, steps=4, clip=None):
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of(plain(torch.tensor(X)), torch.tensor(Y)).backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(plain.parameters(), clip)
        optimizer.step()
    return plain.state_dict()


def assert_same_weights(model, expected):
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, expected[name], atol=1e-5, rtol=1e-5)


def test_a_tied_weight_is_listed_and_counted_once():
    model, plain = tied_and_plain()
    assert len(model.weights) == len(model.trainable_variables) == 2
    assert model.count_params() == sum(p.numel() for p in plain.parameters()) == 25
    assert model.weights[0].value is model.e.weight is model.o.weight


@pytest.mark.parametrize(
    "ours, torchs, clip",
    [
        (optimizers.SGD(0.5), functools.partial(torch.optim.SGD, lr=0.5), None),
        (
            optimizers.SGD(0.5, momentum=0.9),
            functools.partial(torch.optim.SGD, lr=0.5, momentum=0.9),
            None,
        ),
        (
            optimizers.Adam(0.1, epsilon=1e-12),
            functools.partial(torch.optim.Adam, lr=0.1, eps=1e-12),
            None,
        ),
        (
            optimizers.SGD(0.5, global_clipnorm=0.05),
            functools.partial(torch.optim.SGD, lr=0.5),
            0.05,
        ),
        (
            functools.partial(torch.optim.AdamW, lr=0.1),
            functools.partial(torch.optim.AdamW, lr=0.1),
            None,
        ),
    ],
    ids=["sgd", "momentum", "adam", "global_clipnorm", "torch_factory"],
)
def test_fit_steps_a_tied_weight_as_torch_does(ours, torchs, clip):
    model, plain = tied_and_plain()
    expected = trained_by_torch(plain, torchs(plain.parameters()), clip=clip)
    model.compile(ours, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(X, Y, batch_size=12, epochs=4, verbose=0, shuffle=False)
    assert_same_weights(model, expected)


@pytest.mark.parametrize("kernel", [True, False])
@pytest.mark.parametrize("built_on", ["unique", "concatenated"])
def test_lists_of_both_halves_put_together_step_it_once(built_on, kernel, monkeypatch):
    """`encoder.trainable_variables + decoder.trainable_variables` name the weight twice."""
    if not kernel:
        monkeypatch.setattr(optimizers.Adam, "_update_group", None)
    e, o = layers.Dense(2, use_bias=False), layers.Dense(2, use_bias=False)
    e.build((None, 2)), o.build((None, 2))
    o.kernel = e.kernel.value
    expected = e.kernel.value.detach().clone().requires_grad_()
    reference = torch.optim.Adam([expected], lr=0.1, eps=1e-7)
    both = [*e.trainable_variables, *o.trainable_variables]
    optimizer = optimizers.Adam(0.1, use_ema=True)
    optimizer.build(both if built_on == "concatenated" else e.trainable_variables)
    for step in range(3):
        gradient = torch.full((2, 2), step + 1.0)
        optimizer.apply([gradient, gradient], both)
        expected.grad = gradient
        reference.step()
    torch.testing.assert_close(e.kernel.value, expected)
    assert o.kernel.value is e.kernel.value


def test_a_stateless_call_gives_both_names_the_value():
    model, plain = tied_and_plain()
    values = [torch.full((5, 4), 0.5), torch.zeros(5)]
    outputs, _ = model.stateless_call(values, [], torch.tensor(X))
    expected = 4 * 0.5 * np.tanh(0.5)  # both the table and the kernel are 0.5 everywhere
    np.testing.assert_allclose(outputs.detach(), np.full((12, 3, 5), expected), rtol=1e-6)
    assert model.o.weight is model.e.weight
    torch.testing.assert_close(model.e.weight, plain.e.weight)


def test_a_weight_that_is_untied_again_is_two():
    model, _ = tied_and_plain()
    assert len(model.weights) == 2
    model.o.weight = nn.Parameter(torch.zeros(5, 4))
    assert len(model.weights) == 3
    outputs, _ = model.stateless_call([torch.ones(5, 4), torch.ones(5, 4), torch.zeros(5)], [], X)
    np.testing.assert_allclose(outputs.detach(), 4 * np.tanh(np.ones((12, 3, 5))), rtol=1e-6)


def test_regularizers_and_constraints_of_both_names_count():
    e = layers.Dense(2, use_bias=False, kernel_regularizer=keras.regularizers.L2(0.5))
    o = layers.Dense(
        2,
        use_bias=False,
        kernel_regularizer=keras.regularizers.L1(0.25),
        kernel_constraint=lambda w: w.clamp(max=0.5),
    )
    model = keras.Sequential([keras.Input((2,)), e, o])
    e.kernel.assign(torch.ones(2, 2))
    o.kernel = e.kernel.value
    assert len(model.trainable_variables) == 1
    assert sum(model.losses).detach().item() == 0.5 * 4 + 0.25 * 4
    optimizer = optimizers.SGD(0.0)
    optimizer.apply([torch.zeros(2, 2)], model.trainable_variables)
    assert e.kernel.numpy().max() == 0.5


def test_a_copy_of_one_half_does_not_carry_the_other():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(2), layers.Dense(2)])
    first, second = model.layers
    second.kernel = first.kernel.value
    assert len(model.weights) == 3
    twin = copy.deepcopy(first)
    assert twin.kernel._ties is None and len(twin.weights) == 2
    both = copy.deepcopy(model)
    assert len(both.weights) == 3 and both.layers[0].kernel.value is both.layers[1].kernel.value
