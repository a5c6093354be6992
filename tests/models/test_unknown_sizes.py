"""Sizes that nobody knows stay None: no stand-in for one reaches a user."""

import re

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras import layers, ops


class Wrapped(layers.Layer):
    """A layer that says nothing of its shapes, around something that is built when called."""

    def __init__(self, inner, **kwargs):
        super().__init__(**kwargs)
        self.inner = inner

    def call(self, x):
        return self.inner(x)


class Halves(layers.Layer):
    """Computes with the size of an axis."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.head = layers.Dense(2)

    def call(self, x):
        half = x.shape[1] // 2
        return self.head(torch.cat([x[:, :half], torch.zeros(x.shape[0], half, x.shape[2])], 1))


def test_slices_beyond_what_anyone_knows():
    x = keras.Input((None, 6))
    assert x[:, 50].shape == (None, 6)
    assert x[:, 10_000].shape == (None, 6)
    assert x[:, 3:50].shape == (None, None, 6)
    model = keras.Model(x, x[:, 50])
    data = torch.randn(2, 60, 6)
    assert torch.equal(model(data), data[:, 50])


def test_reshape_of_an_unknown_number_of_elements():
    x = keras.Input((None, 6))
    assert ops.reshape(x, (-1, 5)).shape == (None, 5)
    model = keras.Model(x, ops.reshape(x, (-1, 5)))
    assert model(torch.ones(2, 5, 6)).shape == (12, 5)


@pytest.mark.parametrize("shapes", [((None, 3), (7, 3)), ((7, 3), (None, 3))])
def test_an_unknown_size_meets_a_known_one(shapes):
    a, b = (keras.Input(shape) for shape in shapes)
    assert (a + b).shape == (None, 7, 3)
    assert layers.Add()([a, b]).shape == (None, None, 3)  # as in Keras
    assert Wrapped(layers.Lambda(lambda both: both[0] * both[1]))([a, b]).shape == (None, 7, 3)
    one = keras.Input((1, 3))
    assert (keras.Input((None, 3)) + one).shape == (None, None, 3)


def test_an_unbuilt_stack_inside_a_layer():
    layer = Wrapped(keras.Sequential([layers.Dense(4), layers.Dense(2)]))
    assert layer(keras.Input((None, 3))).shape == (None, None, 2)
    assert layer.inner.input_shape == (None, None, 3)
    for length in (5, 7):
        assert layer(torch.ones(2, length, 3)).shape == (2, length, 2)


@pytest.mark.parametrize("make", [lambda: Wrapped(layers.Dense(2)), Halves])
def test_shapes_that_are_shown_and_stored(make):
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.part = make()

        def call(self, x):
            return self.part(x)

    model = Own()
    assert model(keras.Input((None, 3))).shape[-1] == 2
    lines = []
    model.summary(print_fn=lines.append, expand_nested=True)
    text = "\n".join(map(str, lines))
    assert not re.search(r"\b(48|96|1680|2520|840|1260)\b", text), text
    for layer in model._flatten_layers():
        config = layer.get_build_config()
        assert config is None or config["input_shape"] == (None, None, 3), layer
    assert model.part.head.kernel.shape == (3, 2) if make is Halves else True
    assert model(torch.ones(2, 6, 3)).shape == (2, 6, 2)


def test_a_size_that_is_computed_from_an_unknown_one():
    class Pooled(layers.Layer):
        """Halves the length, then builds a layer for what it sees."""

        def __init__(self):
            super().__init__()
            self.stack = keras.Sequential([layers.Dense(4)])

        def call(self, x):
            x = torch.nn.functional.avg_pool1d(x.movedim(-1, 1), 2).movedim(1, -1)
            return self.stack(x)

    layer = Pooled()
    assert layer(keras.Input((None, 3))).shape == (None, None, 4)
    assert layer.stack.input_shape == (None, None, 3)
    assert layer(torch.ones(2, 10, 3)).shape == (2, 5, 4)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.matmul(x, torch.ones(4, 4)),
        lambda x: x + torch.ones(2, 2, 2, 2),
        lambda x: x[:, :, 17],
        lambda x: ops.concatenate([x, keras.Input((None, 2, 2))], axis=1),
        lambda x: layers.Dense(2)(x.transpose(1, 2)),
        lambda x: Wrapped(layers.Lambda(lambda y: torch.matmul(y, torch.ones(4, 4))))(x),
    ],
)
def test_errors_name_no_size_that_nobody_gave(function):
    x = keras.Input((None, 6))
    with pytest.raises((ValueError, RuntimeError, IndexError, TypeError)) as caught:
        function(x)
    text = "\n".join([str(caught.value), *getattr(caught.value, "__notes__", [])])
    assert {int(n) for n in re.findall(r"(?<![\w.])\d+", text)} <= {*range(18)}, text


@pytest.mark.parametrize("build", [False, True])
def test_batches_of_several_lengths_train(build):
    """Bucketed sequences: every batch has its own length."""
    model = keras.Sequential([layers.Dense(4, activation="relu"), layers.Dense(1)])
    if build:
        model.build((None, None, 3))
        assert model.output_shape == (None, None, 1)
    model.compile(optimizer="sgd", loss="mse")
    rng = np.random.default_rng(0)
    batches = [
        (rng.normal(size=(4, n, 3)).astype("float32"), np.zeros((4, n, 1), "float32"))
        for n in (5, 7, 3, 9)
    ]
    model.fit((batch for batch in batches), verbose=0)
    assert model.evaluate((batch for batch in batches), verbose=0) >= 0


def test_a_symbol_costs_no_run_of_call():
    """A mask is inferred by `compute_mask` alone, however long the sequence is."""
    calls = []

    class Embed(layers.Layer):
        def __init__(self):
            super().__init__()
            self.supports_masking = True

        def call(self, x):
            calls.append(x)
            return x.unsqueeze(-1).float()

        def compute_mask(self, inputs, previous_mask=None):
            return torch.ne(inputs, 0)

        def compute_output_shape(self, input_shape):
            return (*input_shape, 1)

    for length in (None, 200):
        y = Embed()(keras.Input((length,), dtype="int32"))
        assert y.shape == (None, length, 1) and y._keras_mask.shape == (None, length)
        assert y._keras_mask.dtype == "bool"
    assert not calls
