"""Shape inference by running a function without data."""

import numpy as np
import pytest
import torch
from torch import nn

import torchkeras as keras
from torchkeras.core import shapes


def infer(function, *symbols, modules=()):
    return shapes.infer(function, symbols, {}, modules)


def test_unknown_sizes_stay_unknown_and_known_ones_known():
    x = keras.KerasTensor((None, 6, None))
    for function, expected in [
        (lambda x: x, (None, 6, None)),
        (lambda x: x.transpose(0, 1), (6, None, None)),
        (lambda x: x.sum(-1), (None, 6)),
        (lambda x: x.reshape(-1, 3), (None, 3)),
        (lambda x: torch.zeros(2, 5), (2, 5)),
        (lambda x: x[:4], (4, 6, None)),
    ]:
        assert infer(function, x).shape == expected


def test_dtypes_and_structures():
    x = keras.KerasTensor((2, 3), "float16")
    y = infer(lambda x: {"a": [x, x > 0], "b": (x.argmax(-1), "text", None, 3)}, x)
    assert (y["a"][0].dtype, y["a"][1].dtype, y["b"][0].dtype) == ("float16", "bool", "int64")
    assert y["b"][1:] == ("text", None, 3)


def test_named_tuples_keep_their_type():
    x = keras.KerasTensor((None, 3))
    y = infer(lambda x: x.max(dim=1), x)
    assert y.values.shape == (None,) and y.indices.dtype == "int64"


def test_a_size_in_the_result_is_none_where_it_is_unknown():
    x = keras.KerasTensor((None, 3))
    assert infer(lambda x: (x.shape[0], x.shape[1]), x) == (None, 3)


def test_a_function_that_needs_data_runs_on_zeros():
    x = keras.KerasTensor((None, 3))
    calls = []

    def needs_data(x):
        calls.append(x.device.type)
        return x * 2 if float(x.sum()) == 0 else x.sum()

    assert infer(needs_data, x).shape == (None, 3)
    assert calls[-2:] == ["cpu", "cpu"]


def test_numpy_inside_a_function():
    x = keras.KerasTensor((2, 3))
    assert infer(lambda x: torch.from_numpy(np.sort(x.numpy())), x).shape == (2, 3)


def test_the_error_of_the_function_is_the_one_that_shows():
    x = keras.KerasTensor((None, 3))
    with pytest.raises(RuntimeError, match=r"\[None, 3\] X \[4, 2\]"):
        infer(lambda x: x @ torch.ones(4, 2, device=x.device), x)


@pytest.mark.parametrize("needs_data", [False, True])
def test_modules_change_no_state(needs_data):
    norm = nn.BatchNorm1d(3).train()
    before = {name: value.clone() for name, value in norm.state_dict().items()}

    def call(x):
        y = norm(x)
        if needs_data:
            float(y.sum())
        return y

    assert infer(call, keras.KerasTensor((None, 3)), modules=(norm,)).shape == (None, 3)
    for name, value in norm.state_dict().items():
        assert torch.equal(value, before[name]) and value.device.type == "cpu"
    assert isinstance(norm.weight, nn.Parameter)


@pytest.mark.parametrize("needs_data", [False, True])
def test_random_state_does_not_move(needs_data):
    def call(x):
        if needs_data:
            float(x.sum())
        return x + torch.rand(x.shape, device=x.device)

    state = torch.get_rng_state()
    infer(call, keras.KerasTensor((None, 3)))
    assert torch.equal(torch.get_rng_state(), state)


def test_slots_come_back_after_an_error():
    linear = nn.Linear(3, 2)
    weight = linear.weight

    def fails(x):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        infer(fails, keras.KerasTensor((2, 3)), modules=(linear,))
    assert linear.weight is weight


# Unknown sizes


def test_a_function_that_fits_only_some_sizes():
    x, y = keras.KerasTensor((None, None, 3)), keras.KerasTensor((None, 7, 3))
    for function, expected in [
        (lambda x: x + torch.ones(7, 3, device=x.device), (None, 7, 3)),
        (lambda x: x[:, 1000], (None, 3)),
        (lambda x: x.reshape(-1, 5), (None, 5)),
        (lambda x: x.transpose(1, 2) @ torch.ones(4, 2, device=x.device), (None, 3, 2)),
        (lambda x: x + torch.ones(512, 3, device=x.device)[: x.shape[1]], (None, None, 3)),
    ]:
        assert infer(function, x).shape == expected
    assert infer(torch.add, x, y).shape == (None, 7, 3)
    joined = infer(lambda x, y: torch.cat([x, y], 2), x, torch.ones(2, 5, 3))
    assert joined.shape == (2, 5, 6)
    five = keras.KerasTensor((None,) * 5)
    assert infer(lambda x: x * 2, five).shape == (None,) * 5
    linear = nn.Linear(4, 2)
    assert infer(linear, keras.KerasTensor((None, None)), modules=(linear,)).shape == (None, 2)


def test_a_function_that_refuses_long_axes():
    def short(x):
        if x.shape[1] > 40:
            raise ValueError(f"At most 40 steps. Received: {x.shape[1]}.")
        return x * 2

    assert infer(short, keras.KerasTensor((None, None, 3))).shape == (None, None, 3)


@pytest.mark.parametrize("error", [ValueError, RuntimeError, KeyError, TypeError])
def test_no_error_names_a_size_that_nobody_gave(error):
    def fails(x):
        raise error(f"Received {tuple(x.shape)}, half {x.shape[0] // 2}, sum {x.shape[1] + 1.5}")

    with pytest.raises(error) as caught:
        infer(fails, keras.KerasTensor((None, None, 3)))
    assert "Received (None, None, 3), half None, sum None" in str(caught.value)


def test_an_error_of_other_words_in_each_run_is_replaced():
    def fails(x):
        raise ValueError("a b" if x.shape[0] > 2000 else "a 840 b 3")

    with pytest.raises(ValueError, match=r"fits no sizes.*\(None, 3\)\.$"):
        infer(fails, keras.KerasTensor((None, 3)))


def test_notes_of_an_error_name_no_stand_in():
    def fails(x):
        error = ValueError("no")
        error.add_note(f"on an input of shape {tuple(x.shape)}")
        raise error

    with pytest.raises(ValueError, match="no") as caught:
        infer(fails, keras.KerasTensor((None, 3)))
    assert caught.value.__notes__ == ["on an input of shape (None, 3)"]


def test_as_many_parts_as_an_unknown_size_is_long():
    with pytest.raises(ValueError, match="a known number of parts"):
        infer(lambda x: x.unbind(0), keras.KerasTensor((None, 3)))


def test_a_known_size_that_equals_a_stand_in_stays_known():
    for size in {size for pair in shapes._PAIRS for size in pair}:
        x = keras.KerasTensor((None, size))
        assert infer(lambda x: x * 2, x).shape == (None, size)
        assert infer(shapes.symbolic_shape, x) == (None, size)


def test_tensors_with_data_may_stand_beside_symbols():
    weight = nn.Parameter(torch.ones(3, 2))
    y = infer(torch.matmul, keras.KerasTensor((None, 3)), weight)
    assert y.shape == (None, 2) and not weight.is_meta


class Asks(nn.Module):
    """Makes its weight at the first call, of the sizes its input has."""

    weights = None

    def forward(self, x, y):
        if self.weights is None:
            self.asked = [shapes.symbolic_shape(x), shapes.symbolic_shape(y)]
            self.weights = [torch.zeros([d or 1 for d in s]) for s in self.asked]
        return x, y


@pytest.mark.parametrize("needs_data", [False, True])
def test_what_outlasts_a_trace_is_told_no_stand_in(needs_data):
    first, second, calls = Asks(), Asks(), []

    def call(x):
        calls.append(1)
        if needs_data:
            float(x.sum())
        half, _ = first(x[:, ::2], x.flatten(1))
        return second(torch.cat([half, half], -1), x[:, 1:])[0]

    y = infer(call, keras.KerasTensor((None, None, 3)), modules=())
    assert y.shape == (None, None, 6)
    assert first.asked == [(None, None, 3), (None, None)]
    assert second.asked == [(None, None, 6), (None, None, 3)]
    before = len(calls)
    infer(call, keras.KerasTensor((None, None, 3)))
    assert len(calls) == before + 2 * (1 + needs_data)  # nothing is asked any more
    inner = Asks()
    infer(
        lambda x: infer(lambda x: inner(x, x)[0], keras.KerasTensor(x.shape)),
        keras.KerasTensor((None, 3)),
    )
    assert inner.asked == [(None, 3), (None, 3)]
    fixed = Asks()
    infer(lambda x: fixed(x[:, ::2], x.flatten(1)), keras.KerasTensor((5, 4, 3)))
    assert fixed.asked == [(5, 2, 3), (5, 12)]
    assert shapes.symbolic_shape(torch.ones(48, 3)) == (48, 3)


def test_a_loop_inside_a_trace_ends():
    def call(x):
        float(x.sum())  # needs data, so it runs on zeros, which never exceed 1
        return keras.ops.while_loop(lambda v: keras.ops.sum(v) < 1, lambda v: v * 2, (x,))[0]

    assert infer(call, keras.KerasTensor((None, 3))).shape == (None, 3)
    assert infer(call, keras.KerasTensor((2, 3))).shape == (2, 3)


# Calls on symbols


@pytest.mark.parametrize(
    "function, expected",
    [
        (lambda x: torch.relu(x).mean(dim=1), (None, 3)),
        (lambda x: x[:, :4], (None, None, 3)),  # a trace could not know that it may be shorter
        (lambda x: x.reshape(x.shape[0], -1), (None, None)),
        (lambda x: x + torch.zeros(x.shape[1], 3, device=x.device), (None, None, 3)),
        (lambda x: x if x.dtype is torch.float32 else None, (None, None, 3)),
        (lambda x: x * 2 if float(x.sum()) == 0 else None, (None, None, 3)),
        (lambda x: torch.ones(2, 5), (2, 5)),
    ],
)
def test_calls_on_symbols_give_what_tensors_give(function, expected):
    x = keras.Input((None, 3))
    y = shapes.infer_on_symbols(function, (x,), {})
    assert y.shape == expected and y is not x
    assert x._keras_history.operation._outbound_nodes == []


@pytest.mark.parametrize("needs_size", [False, True])
def test_calls_on_symbols_change_no_module(needs_size):
    module = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Dropout(0.5)).train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    state = torch.get_rng_state()

    def call(x):
        return module(x) + (torch.zeros(x.shape[0], 1, device=x.device) if needs_size else 0)

    y = shapes.infer_on_symbols(call, (keras.Input((3,)),), {}, modules=(module,))
    assert y.shape == (None, 2) and y.dtype == "float32"
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])
    assert torch.equal(torch.get_rng_state(), state)
    assert isinstance(module[0].weight, nn.Parameter)


def test_calls_on_symbols_raise_what_a_trace_raises():
    def fails(x):
        raise ValueError(f"no {x.shape[1]}, {tuple(x.shape)}")

    with pytest.raises(ValueError, match=r"no 3, \(None, 3\)"):
        shapes.infer_on_symbols(fails, (keras.Input((3,)),), {})


class Doubling(keras.layers.Layer):
    """A Python loop on values: on zeros it never ends."""

    def call(self, x):
        while torch.sum(x) < 10:
            x = x * 2
        return x


def test_a_loop_that_never_ends_on_zeros_explains_itself():
    with pytest.raises(RuntimeError, match="does not end.*keras.ops.while_loop.*keeps_shape"):
        Doubling()(keras.Input((3,)))

    class Function(keras.layers.Layer):
        def call(self, x):
            while keras.ops.sum(x) < 10:
                x = x * 2
            return x

    with pytest.raises(RuntimeError, match="does not end"):
        keras.Sequential([keras.Input((3,)), Function()])
    with pytest.raises(TypeError, match="no truth value"):
        x = keras.Input((3,))
        while keras.ops.sum(x) < 10:
            x = x * 2


def test_a_loop_on_values_is_fine_where_the_class_says_its_shape():
    class Says(Doubling):
        keeps_shape = True

    model = keras.Sequential([keras.Input((3,)), Says()])
    assert model(torch.ones(1, 3)).tolist() == [[4.0, 4.0, 4.0]]


def test_a_loop_that_ends_on_zeros_is_run():
    class Halving(keras.layers.Layer):
        def call(self, x):
            while x.max() > 1:
                x = x / 2
            return x

    assert Halving()(keras.Input((3,))).shape == (None, 3)


def test_while_loop_on_a_symbol_ends():
    x = keras.Input((3,))
    y = keras.ops.while_loop(lambda v: keras.ops.sum(v) < 10, lambda v: v * 2, (x,))
    assert y[0].shape == (None, 3)
    torch.testing.assert_close(keras.Model(x, y)(torch.ones(1, 3)), torch.full((1, 3), 4.0))
