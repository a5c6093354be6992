"""GradientTape and value_and_grad against derivatives known by formula."""

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras.autograd import GradientTape, grad, value_and_grad


def test_tape_differentiates_by_variables_and_watched_tensors():
    weight, x = keras.Variable([2.0, 3.0]), torch.tensor([5.0, 7.0])
    with GradientTape() as tape:
        tape.watch(x)
        loss = (weight * x).sum()
    by_weight, by_x = tape.gradient(loss, [weight, x])
    assert by_weight.tolist() == [5.0, 7.0]
    assert by_x.tolist() == [2.0, 3.0]


@pytest.mark.parametrize("required", [True, False])
def test_tape_leaves_requires_grad_as_it_was(required):
    x = torch.ones(2, requires_grad=required)
    with GradientTape() as tape:
        tape.watch(x)
        y = (x * x).sum()
    assert x.requires_grad is required
    assert tape.gradient(y, x).tolist() == [2.0, 2.0]
    assert x.grad is None


def test_tape_leaves_requires_grad_as_it_was_after_an_error():
    x = torch.ones(2)
    with pytest.raises(KeyError), GradientTape() as tape:
        tape.watch(x)
        raise KeyError
    assert not x.requires_grad
    assert keras.autograd._open_tapes == []


def test_tape_watches_tensors_that_are_no_leaves():
    start = torch.tensor([1.0, 2.0], requires_grad=True)
    middle = start * 3
    with GradientTape() as tape:
        tape.watch(middle)
        y = (middle**2).sum()
    assert tape.gradient(y, middle).tolist() == [6.0, 12.0]


def test_nested_tapes_give_the_second_derivative():
    x = torch.tensor(2.0)
    with GradientTape() as outer:
        outer.watch(x)
        with GradientTape() as inner:
            inner.watch(x)
            y = x**4
        first = inner.gradient(y, x)
    assert first.item() == 4 * 2.0**3
    assert float(outer.gradient(first, x)) == 12 * 2.0**2
    assert not x.requires_grad


def test_nested_tapes_give_the_third_derivative_of_a_variable():
    x = keras.Variable(2.0)
    with GradientTape() as a:
        with GradientTape() as b:
            with GradientTape() as c:
                y = x**4
            first = c.gradient(y, x)
        second = b.gradient(first, x)
    assert float(a.gradient(second, x)) == 24 * 2.0


def test_tape_gives_gradients_once_unless_persistent():
    x = keras.Variable(3.0)
    with GradientTape() as tape:
        y = x * x
    tape.gradient(y, x)
    with pytest.raises(RuntimeError, match="persistent=True"):
        tape.gradient(y, x)
    with GradientTape(persistent=True) as tape:
        y = x * x
        z = y * y
    assert float(tape.gradient(y, x)) == 6.0
    assert float(tape.gradient(z, x)) == 4 * 27.0


def test_unconnected_sources_give_none_or_zeros():
    x, other = keras.Variable(3.0), keras.Variable([1.0, 2.0])
    with GradientTape(persistent=True) as tape:
        y = x * x
    assert tape.gradient(y, other) is None
    assert tape.gradient(y, other, unconnected_gradients="zero").tolist() == [0.0, 0.0]
    assert tape.gradient(torch.tensor(1.0), x) is None


def test_structures_of_sources_and_targets():
    x, y = keras.Variable(2.0), keras.Variable(3.0)
    with GradientTape() as tape:
        targets = [x * y, x * x]
    found = tape.gradient(targets, {"x": x, "y": (y,)})
    assert float(found["x"]) == 3.0 + 4.0
    assert float(found["y"][0]) == 2.0


def test_output_gradients_weight_the_target():
    x = torch.tensor([1.0, 2.0])
    with GradientTape() as tape:
        tape.watch(x)
        y = x**2
    weights = torch.tensor([10.0, 100.0])
    assert tape.gradient(y, x, output_gradients=weights).tolist() == [20.0, 400.0]


def test_jacobian_of_a_linear_map_is_its_matrix():
    matrix = torch.randn(3, 2)
    x = torch.randn(2)
    with GradientTape() as tape:
        tape.watch(x)
        y = matrix @ x
    torch.testing.assert_close(tape.jacobian(y, x), matrix)


def test_jacobian_shapes_and_unconnected():
    x, other = torch.randn(2, 3), torch.randn(4)
    with GradientTape(persistent=True) as tape:
        tape.watch([x, other])
        y = x.sum(dim=1)
    assert tape.jacobian(y, x).shape == (2, 2, 3)
    assert tape.jacobian(y, other) is None
    zeros = tape.jacobian(y, other, unconnected_gradients="zero")
    assert zeros.shape == (2, 4)
    assert not zeros.any()


def test_tape_records_inside_no_grad():
    x = keras.Variable(3.0)
    with torch.no_grad():
        with GradientTape() as tape:
            y = x * x
        assert float(tape.gradient(y, x)) == 6.0


@pytest.mark.parametrize(
    ("thing", "error"), [(np.ones(2), TypeError), (torch.ones(2, dtype=torch.int32), ValueError)]
)
def test_watch_refuses_what_has_no_gradient(thing, error):
    with pytest.raises(error, match="Received"), GradientTape() as tape:
        tape.watch(thing)


def test_value_and_grad_has_the_order_of_jax():
    x, y = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])
    value, gradient = value_and_grad(lambda x, y: (x * y).sum())(x, y)
    assert float(value) == 11.0
    assert gradient.tolist() == [3.0, 4.0]
    (value, aux), (gx, gy) = value_and_grad(
        lambda x, y: ((x * y).sum(), {"n": x + y}), argnums=(0, 1), has_aux=True
    )(x, y)
    assert aux["n"].tolist() == [4.0, 6.0]
    assert (gx.tolist(), gy.tolist()) == ([3.0, 4.0], [1.0, 2.0])
    gradient, aux = grad(lambda x: ((x * x).sum(), 7), has_aux=True)(x)
    assert (gradient.tolist(), aux) == ([2.0, 4.0], 7)


def test_value_and_grad_of_lists_and_keywords():
    weights = [torch.tensor(2.0), torch.tensor(3.0)]
    value, gradients = value_and_grad(lambda w, factor: w[0] * w[1] * factor)(weights, factor=10)
    assert float(value) == 60.0
    assert [float(g) for g in gradients] == [30.0, 20.0]


def test_grad_nests():
    third = grad(grad(grad(lambda x: x**4)))
    assert float(third(torch.tensor(2.0))) == 48.0


def test_value_and_grad_leaves_parameters_and_their_grad_alone():
    layer = keras.layers.Dense(2)
    layer.build((None, 3))
    values = [v.value for v in layer.trainable_variables]
    before = [v.detach().clone() for v in values]

    def loss(trainable):
        outputs, _ = layer.stateless_call(trainable, [], torch.ones(4, 3))
        return outputs.sum()

    value, gradients = value_and_grad(loss)(values)
    assert not value.requires_grad
    assert not any(g.requires_grad for g in gradients)
    assert all(v.grad is None and v.requires_grad for v in values)
    assert all(torch.equal(a, b) for a, b in zip(values, before, strict=True))
    torch.testing.assert_close(gradients[0], torch.full((3, 2), 4.0))
    torch.testing.assert_close(gradients[1], torch.full((2,), 4.0))
