"""RNN over cells of any kind, and stacks of them."""

import pytest
import torch

import torchkeras as keras
from tests.layers.rnn.sequences import data
from tests.testing import assert_close, case, layer_cases
from torchkeras.layers.rnn.steps import is_split

MASK = torch.tensor([[False, True, False, True], [True, True, True, False]])


@keras.saving.register_keras_serializable("tests")
class Decay(keras.layers.Layer):
    """A cell without anything of ours: two states, the second one a count."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.state_size = [units, 1]

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], self.units), name="kernel")

    def call(self, inputs, states):
        total, count = states
        total = 0.5 * total + inputs @ self.kernel.value
        return total, [total, count + 1]


def expected_of_decay(kernel, x, mask=None):
    total, outputs, output = torch.zeros(2, 3), [], torch.zeros(2, 3)
    for t in range(x.shape[1]):
        here = torch.ones(2, 1, dtype=bool) if mask is None else mask[:, t, None]
        total = torch.where(here, 0.5 * total + x[:, t] @ kernel, total)
        output = torch.where(here, total, output)
        outputs.append(output)
    return torch.stack(outputs, dim=1)


@pytest.mark.parametrize("masked", [False, True])
def test_any_cell_is_read_step_by_step(masked):
    layer = keras.layers.RNN(Decay(3), return_sequences=True, return_state=True)
    x, mask = data(2, 4, 5), MASK if masked else None
    outputs, total, count = layer(x, mask=mask)
    assert_close(outputs, expected_of_decay(layer.cell.kernel.value, x, mask))
    assert_close(total, outputs[:, -1])
    assert count.flatten().tolist() == ([2, 3] if masked else [4, 4])


def rnn(cells, **arguments):
    return case(
        keras.layers.RNN,
        lambda: {"cell": cells(), **arguments},
        (2, 4, 5),
        mask_shape=(2, 4),
        supports_masking=True,
    )


CASES = {
    "own cell": rnn(lambda: Decay(3), return_sequences=True, return_state=True),
    "lstm": rnn(lambda: keras.layers.LSTMCell(3), go_backwards=True),
    "unroll": rnn(lambda: keras.layers.GRUCell(3), unroll=True, zero_output_for_mask=True),
    "stack": rnn(lambda: [keras.layers.LSTMCell(3), keras.layers.GRUCell(2)], return_state=True),
    "mixed stack": rnn(lambda: [Decay(3), keras.layers.SimpleRNNCell(2)]),
    "dropout": rnn(lambda: [keras.layers.LSTMCell(3, dropout=0.5), Decay(2)]),
}


@layer_cases(CASES)
def test_holds_the_contract_of_layers(check):
    check()


STATEFUL = {
    "LSTM": lambda: (keras.layers.LSTM, {"units": 3, "return_state": True}),
    "GRU": lambda: (keras.layers.GRU, {"units": 3}),
    "loop": lambda: (keras.layers.SimpleRNN, {"units": 3, "return_sequences": True}),
    "stack": lambda: (
        keras.layers.RNN,
        {"cell": [keras.layers.LSTMCell(3), keras.layers.GRUCell(2)]},
    ),
    "bidirectional": lambda: (
        keras.layers.Bidirectional,
        {"layer": keras.layers.GRU(3, stateful=True)},
    ),
}


def stateful(made):
    # Without the checks of configs, where a copy starts from other states.
    cls = made()[0]
    more = {} if cls is keras.layers.Bidirectional else {"stateful": True}
    return case(
        cls,
        lambda: {**made()[1], **more},
        (2, 4, 5),
        mask_shape=(2, 4),
        dynamic_batch=False,
        supports_config=False,
    )


@pytest.mark.parametrize("name", STATEFUL)
@pytest.mark.parametrize("part", ["eager", pytest.param("graphs", marks=pytest.mark.slow)])
def test_stateful_layers_hold_the_contract_of_layers(name, part):
    stateful(STATEFUL[name])(part=part)


CELL_CASES = {
    name: case(
        getattr(keras.layers, name),
        {"units": 3},
        (2, 5),
        call_args=([torch.ones(2, 3)] * states,),
        mask_shape=False,
        static_shape=False,
    )
    for name, states in {"SimpleRNNCell": 1, "LSTMCell": 2, "GRUCell": 1}.items()
}
CELL_CASES["GRUCell, reset before"] = case(
    keras.layers.GRUCell,
    {"units": 3, "reset_after": False, "use_bias": False},
    (2, 5),
    call_args=(torch.ones(2, 3),),
    mask_shape=False,
)
CELL_CASES["StackedRNNCells"] = case(
    keras.layers.StackedRNNCells,
    lambda: {"cells": [keras.layers.LSTMCell(3), keras.layers.GRUCell(2)]},
    (2, 5),
    call_args=([[torch.ones(2, 3)] * 2, [torch.ones(2, 2)]],),
    mask_shape=False,
)


@layer_cases(CELL_CASES)
def test_cells_hold_the_contract_of_layers(check):
    check()


class Plain:
    """A cell that is no layer."""

    state_size = 5

    def call(self, inputs, states):
        return inputs + states[0], [inputs + states[0]]


class Starts(Plain):
    def get_initial_state(self, batch_size=None):
        return torch.full((batch_size, 5), 10.0)

    def __call__(self, inputs, states):
        return self.call(inputs, states)


def test_cell_may_be_no_layer():
    x = data(2, 4, 5)
    assert_close(keras.layers.RNN(Plain())(x), x.sum(1))
    assert_close(keras.layers.RNN(Starts())(x), x.sum(1) + 10)
    stack = keras.layers.RNN([Plain(), Starts()])
    assert_close(stack(x), x.cumsum(1).sum(1) + 10)


def test_state_that_is_no_list_may_be_returned():
    class Cell(keras.layers.Layer):
        state_size = 5

        def call(self, inputs, states):
            return inputs + states[0], inputs + states[0]

    x = data(2, 4, 5)
    output, state = keras.layers.RNN(Cell(), return_state=True)(x)
    assert_close([output, state], [x.sum(1)] * 2)


@pytest.mark.parametrize("name", ["LSTM", "GRU", "SimpleRNN"])
def test_mask_may_be_of_numbers_and_have_an_axis_more(name):
    layer, x = getattr(keras.layers, name)(3), data(2, 4, 5)
    expected = layer(x, mask=MASK)
    assert_close(layer(x, mask=MASK[..., None]), expected)
    assert_close(layer(x, mask=MASK.int()), expected)
    assert_close(layer(x, mask=MASK.numpy()), expected)


def test_layers_in_a_cell_are_built_with_it():
    class Cell(keras.layers.Layer):
        state_size = 3

        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(3)

        def call(self, inputs, states):
            output = self.dense(inputs) + states[0]
            return output, [output]

    layer = keras.layers.RNN(Cell())
    model = keras.Model(inputs := keras.Input((None, 5)), layer(inputs))
    assert len(model.weights) == 2
    x = data(2, 4, 5)
    assert_close(model(x), layer.cell.dense(x).sum(1))


def test_cell_of_other_policy_computes_in_its_own():
    layer = keras.layers.RNN(keras.layers.LSTMCell(3, dtype="float64"), return_state=True)
    output, *states = layer(data(2, 4, 5))
    assert output.dtype is torch.float32 and layer.cell.kernel.value.dtype is torch.float64
    assert all(state.dtype is torch.float32 for state in states)


def test_hooks_and_subclasses_of_cells_are_heeded():
    x, seen = data(2, 4, 5), []
    layer = keras.layers.RNN(keras.layers.GRUCell(3))
    expected = layer(x)
    layer.cell.register_forward_hook(lambda *args: seen.append(1))
    assert_close(layer(x), expected)
    assert len(seen) == 4
    penalized = keras.layers.RNN(keras.layers.GRUCell(3, activity_regularizer="l2"))
    penalized(x)
    assert len(penalized.losses) == 8  # of output and state, at each step

    class Doubled(keras.layers.GRUCell):
        def call(self, inputs, states, training=False):
            return super().call(2 * inputs, states, training=training)

    doubled = keras.layers.RNN(Doubled(3))
    doubled.build(x.shape)
    doubled.set_weights(layer.get_weights())
    assert_close(doubled(x / 2), expected)


@pytest.mark.parametrize("name", ["SimpleRNNCell", "LSTMCell", "GRUCell"])
@pytest.mark.parametrize("implementation", [1, 2])
def test_cell_draws_once_for_a_sequence(name, implementation):
    more = {} if name == "SimpleRNNCell" else {"implementation": implementation}
    cell = getattr(keras.layers, name)(3, dropout=0.5, recurrent_dropout=0.5, **more)
    x, states = data(2, 50), cell.get_initial_state(2)
    states = [state + 1 for state in states]
    assert_close(cell(x, states), cell(x, states))
    first = cell(x, states, training=True)[0]
    assert_close(cell(x, states, training=True)[0], first)
    assert cell(data(3, 50), [data(3, 3)] * len(states), training=True)[0].shape == (3, 3)
    cell.reset_dropout_mask()
    cell.reset_recurrent_dropout_mask()
    assert not torch.equal(cell(x, states, training=True)[0], first)
    again = keras.layers.RNN(cell)
    sequences = data(2, 6, 50)
    assert not torch.equal(again(sequences, training=True), again(sequences, training=True))
    assert cell._dropout_mask is None


@pytest.mark.parametrize("dropouts", [{}, {"dropout": 0.5}, {"recurrent_dropout": 0.5}])
@pytest.mark.parametrize("name", ["LSTM", "GRU", "SimpleRNN"])
def test_what_is_read_at_once_is_what_calls_of_the_cell_give(name, dropouts):
    """With a hook on the cell, which is called then, with the same draws."""
    results = []
    for hooked in (False, True):
        cell = getattr(keras.layers, f"{name}Cell")(3, seed=1, **dropouts)
        layer = keras.layers.RNN(cell, return_sequences=True, return_state=True)
        layer.build((2, 4, 5))
        layer.set_weights([data(*w.shape, seed=7) for w in layer.weights])
        if hooked:
            cell.register_forward_hook(lambda *args: None)
        assert is_split(cell, data(1)) is not hooked
        results.append(layer(data(2, 4, 5), mask=MASK, training=True))
    assert_close(*results)


def test_states_of_a_stack_are_nested_as_its_cells_are():
    cells = [keras.layers.LSTMCell(3), keras.layers.GRUCell(2)]
    layer = keras.layers.RNN(cells, stateful=True, return_state=True)
    x = data(2, 6, 5)
    layer(x[:, :2])
    output, (h, c), g = layer(x[:, 2:])
    (kept_h, kept_c), kept_g = layer.states
    assert_close([kept_h.value, kept_c.value, kept_g[0].value], [h, c, g[0]])
    layer.reset_state()
    assert_close(layer(x)[0], output)
    assert len(layer.variables) == 9 and len(layer.weights) == 6
    other = keras.layers.RNN(layer.cell)
    assert_close(other(x, initial_state=[[torch.zeros(2, 3)] * 2, [torch.zeros(2, 2)]]), output)


@pytest.mark.parametrize("unroll", [False, True])
def test_stack_of_one_cell_is_that_cell(unroll):
    cell = keras.layers.LSTMCell(3)
    layers = [
        keras.layers.RNN(
            each, unroll=unroll, go_backwards=True, return_sequences=True, return_state=True
        )
        for each in (cell, [cell])
    ]
    one, stack = (keras.tree.flatten(layer(data(2, 4, 5), mask=MASK)) for layer in layers)
    assert_close(one, stack)


def test_symbolic_call_does_not_depend_on_the_steps(monkeypatch):
    def call(self, sequences, initial_state=None, mask=None, training=False):
        raise AssertionError("traced")

    monkeypatch.setattr(keras.layers.RNN, "call", call)
    cells = [keras.layers.LSTMCell(3), Decay(2)]
    for layer in (keras.layers.GRU(3), keras.layers.SimpleRNN(3), keras.layers.RNN(cells)):
        assert layer(keras.layers.Masking()(keras.Input((1000, 5)))).shape[0] is None


@pytest.mark.parametrize("name", ["LSTM", "GRU", "SimpleRNN"])
def test_batch_may_be_empty(name):
    layer = getattr(keras.layers, name)(3)
    x = torch.ones(0, 4, 5, requires_grad=True)
    output = layer(x)
    output.sum().backward()
    assert output.shape == (0, 3) and x.grad.shape == x.shape


def test_errors_say_what_to_do():
    with pytest.raises(ValueError, match="A cell of a recurrent layer must have `call`"):
        keras.layers.RNN(3)
    with pytest.raises(ValueError, match="must have `state_size`"):
        keras.layers.StackedRNNCells([keras.layers.Dense(3)])
    with pytest.raises(ValueError, match="At least one cell"):
        keras.layers.RNN([])
    cell = Plain()
    cell.state_size = "three"
    with pytest.raises(ValueError, match="`state_size` of a cell must be an int"):
        keras.layers.RNN(cell)
    with pytest.raises(ValueError, match="at least one step"):
        keras.layers.GRU(3)(torch.ones(2, 0, 5))
    layer = keras.layers.RNN([keras.layers.LSTMCell(3), keras.layers.GRUCell(2)])
    with pytest.raises(ValueError, match="must be a list of tensors of the shapes"):
        layer(data(2, 4, 5), initial_state=[data(2, 3)])
