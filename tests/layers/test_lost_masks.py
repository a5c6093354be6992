"""Masks that end in a layer: who tells, how often, and what the loss says of a wrong one."""

import warnings

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras import layers

X = torch.tensor([[[1.0, 2.0], [0.0, 0.0]], [[3.0, 4.0], [5.0, 6.0]]])


class Mean(layers.Layer):
    def call(self, x):
        return x.mean(1)


def masked(*parts):
    return keras.Sequential([layers.Masking(), *parts])


@pytest.mark.parametrize(
    "layer", [lambda: layers.Reshape((4,)), layers.Flatten, Mean, lambda: layers.Lambda(torch.relu)]
)
def test_a_layer_that_ends_a_mask_tells_once(layer):
    layer = layer()
    x = layers.Masking()(X)
    with pytest.warns(UserWarning, match=f"'{layer.name}'.*does not support masking") as seen:
        assert getattr(layer(x), "_keras_mask", None) is None
        layer(x), layer(x)
        layer(layers.Masking()(keras.Input((2, 2))))
    assert len(seen) == 1


def test_a_symbolic_call_tells_too():
    with pytest.warns(UserWarning, match="'flatten.*does not support masking") as seen:
        model = keras.Sequential([keras.Input((2, 2)), layers.Masking(), layers.Flatten()])
        model(X), model.predict(X, verbose=0)
    assert len(seen) == 1


def test_where_the_mask_goes_on_or_there_is_none_nobody_tells():
    class Passing(Mean):
        def __init__(self):
            super().__init__()
            self.supports_masking = True

        def compute_mask(self, inputs, mask):
            return None

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        masked(layers.Dense(2), layers.ReLU(), layers.Dropout(0.5), Passing(), layers.Dense(1))(X)
        layers.Flatten()(X)


@pytest.mark.parametrize("axis", [-1, 1])
def test_softmax_takes_the_mask_of_steps(axis):
    y = masked(layers.Softmax(axis=axis))(X)
    low = torch.where((X != 0).any(-1, keepdim=True), X, -torch.inf)
    want = torch.nan_to_num(torch.softmax(low, axis))
    torch.testing.assert_close(y, want)
    assert y._keras_mask.tolist() == [[True, False], [True, True]]
    model = keras.Sequential([keras.Input((2, 2)), layers.Masking(), layers.Softmax(axis=axis)])
    torch.testing.assert_close(model(X), want)


def test_softmax_after_dense_trains_under_a_mask_of_as_many_steps_as_samples():
    model = masked(layers.Dense(2), layers.Softmax())  # (2, 2) could be broadcast both ways
    model.compile("sgd", "mse")
    model.fit(X, X, verbose=0)
    y = model(X)
    torch.testing.assert_close(y.sum(-1), torch.tensor([[1.0, 0.0], [1.0, 1.0]]))


def test_an_explicit_mask_of_softmax_broadcasts_as_before():
    x = torch.zeros(2, 3, 4)
    mask = torch.tensor([True, True, False, False])
    np.testing.assert_allclose(layers.Softmax()(x, mask=mask)[1, 2], [0.5, 0.5, 0, 0])
    with pytest.raises(ValueError, match="must broadcast to the inputs"):
        layers.Softmax()(x, mask=torch.ones(2, 3, dtype=torch.bool))


def test_a_mask_that_does_not_fit_is_named_as_such():
    class Wrong(Mean):
        def __init__(self):
            super().__init__()
            self.supports_masking = True

    model = masked(Wrong())
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"mask of y_pred .*shape \(3, 2\) .*compute_mask"):
        model.evaluate(torch.cat([X, X[:1]]), torch.ones(3, 2), verbose=0)
