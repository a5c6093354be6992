"""Recurrent layers against real Keras on its torch backend."""

import copy
import json

import numpy as np
import pytest
import torch

import torchkeras

keras = pytest.importorskip("keras")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

WEIGHTS = {
    "kernel_initializer": "he_normal",
    "recurrent_initializer": "glorot_normal",
    "bias_initializer": "ones",
    "kernel_regularizer": "l2",
    "recurrent_regularizer": "l2",
    "bias_regularizer": "l2",
    "activity_regularizer": "l2",
    "kernel_constraint": "max_norm",
    "recurrent_constraint": "unit_norm",
    "bias_constraint": "non_neg",
    "recurrent_dropout": 2.0,
    "trainable": False,
}
READING = {
    "plain": {},
    "sequences": {"return_sequences": True},
    "state": {"return_sequences": True, "return_state": True},
    "backwards": {"return_sequences": True, "return_state": True, "go_backwards": True},
    "zero_output": {"return_sequences": True, "zero_output_for_mask": True},
    "zero_last_output": {"zero_output_for_mask": True, "return_state": True},
    "unroll": {"unroll": True, "return_state": True},
    "no_bias": {"use_bias": False},
    "activations": {"activation": "softsign"},
    "all": {**WEIGHTS, "dropout": 0.5, "seed": 3},
    "mixed": {"dtype": "mixed_bfloat16"},
    "double": {"dtype": "float64", "return_sequences": True, "return_state": True},
}
GATES = {
    "linear": {"activation": None, "recurrent_activation": "hard_sigmoid"},
    "softmax": {"recurrent_activation": "softmax"},
    "implementation": {"implementation": 1, "return_state": True},
}
OWN = {
    "LSTM": {**GATES, "forget_bias": {**WEIGHTS, "unit_forget_bias": False}},
    "GRU": {
        **GATES,
        "reset_before": {"reset_after": False, "return_sequences": True, "return_state": True},
        "reset_before_no_bias": {"reset_after": False, "use_bias": False},
        "reset_before_softmax": {"reset_after": False, "recurrent_activation": "softmax"},
        "loop": {"use_cudnn": False, "return_sequences": True, "return_state": True},
        "loop_no_bias": {"use_cudnn": False, "use_bias": False},
    },
    # Keras's SimpleRNN forgets its activity_regularizer.
    "SimpleRNN": {
        "linear": {"activation": None},
        "all": {**WEIGHTS, "activity_regularizer": None, "dropout": 0.5},
    },
}
CASES = {
    f"{name}-{case}": (name, arguments)
    for name, own in OWN.items()
    for case, arguments in {**READING, **own}.items()
}
# The numbers of their states.
STATES = {"LSTM": 2, "GRU": 1, "SimpleRNN": 1}
MASK = torch.tensor([[False, True, False, True], [True, True, True, False]])


def both(case):
    name, arguments = CASES[case]
    return [getattr(lib.layers, name)(3, **arguments, name="layer") for lib in (torchkeras, keras)]


def data(*shape, seed=0):
    return torch.tensor(np.random.default_rng(seed).normal(size=shape).astype("float32"))


def same_weights(layers):
    rng = np.random.default_rng(1)
    values = [rng.normal(size=w.shape).astype("float32") for w in layers[1].weights]
    for layer in layers:
        layer.set_weights(values)


def flat(outputs):
    return torchkeras.tree.flatten(outputs)


def assert_same_description(ours, theirs, shape=(None, 5)):
    """Weights, configs, symbols; and each library makes the layer of the other's config."""
    described = []
    for library, layer in ((torchkeras, ours), (keras, theirs)):
        symbols = flat(layer(library.Input(shape)))
        weights = [(w.name, w.path, tuple(w.shape), w.trainable) for w in layer.weights]
        config = json.loads(json.dumps(library.saving.serialize_keras_object(layer)))
        described.append((weights, config, [(s.shape, s.dtype) for s in symbols]))
        described[-1] += (layer.supports_masking, repr(layer))
    assert described[0] == described[1]
    for library in (torchkeras, keras):
        config = described[0][1]
        # Keras's from_config takes things out of it.
        made = library.saving.deserialize_keras_object(copy.deepcopy(config))
        assert json.loads(json.dumps(made.get_config())) == config["config"]


def assert_same_computation(layers, x, tolerance=1e-5, training=False, **arguments):
    """Outputs, losses, and gradients with respect to the input, the states and the weights."""
    results = []
    for layer in layers:
        leaf = x.clone().requires_grad_()
        given = torchkeras.tree.map_structure(
            lambda a: a.clone().requires_grad_() if a is not None and a.is_floating_point() else a,
            arguments,
        )
        outputs = flat(layer(leaf, **given, training=training))
        weighted = [(y * data(*y.shape, seed=4).to(y.dtype)).sum() for y in outputs]
        loss = sum(weighted) + sum(layer.losses)
        loss.backward()
        leaves = [each for each in flat(given) if each is not None and each.requires_grad]
        grads = [leaf.grad, *(each.grad for each in leaves)]
        grads += [w.value.grad for w in layer.trainable_weights]
        results.append([*outputs, loss, *grads])
    assert len(results[0]) == len(results[1])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("case", CASES)
def test_config_paths_and_shapes(case):
    assert_same_description(*both(case))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("given", [False, True])
def test_outputs_and_gradients(case, masked, given):
    layers = both(case)
    for layer in layers:
        layer(data(2, 4, 5))
    same_weights(layers)
    states = [data(2, 3, seed=seed) for seed in range(1, 1 + STATES[CASES[case][0]])]
    # bfloat16 keeps 8 bits, and the two sides sum in another order.
    tolerance = 5e-2 if case.endswith("mixed") else 1e-5
    assert_same_computation(
        layers,
        data(2, 4, 5),
        tolerance,
        initial_state=states if given else None,
        mask=MASK if masked else None,
    )


@pytest.mark.parametrize("case", ["LSTM-sequences", "GRU-state", "SimpleRNN-plain"])
def test_computed_masks(case):
    masks = []
    for layer in both(case):
        mask = torch.tensor([[True, False]])
        masks.append(layer.compute_mask(torch.ones(1, 2, 5), mask))
    assert repr(masks[0]) == repr(masks[1])


@pytest.mark.parametrize("name", OWN)
def test_stateful_layers_agree_over_batches(name):
    layers = [
        getattr(lib.layers, name)(3, stateful=True, name="layer") for lib in (torchkeras, keras)
    ]
    for layer in layers:
        layer(data(2, 4, 5))
        layer.reset_state()
    same_weights(layers)
    for seed in range(3):
        mask = MASK if seed == 1 else None
        ours, theirs = (layer(data(2, 4, 5, seed=seed), mask=mask) for layer in layers)
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    for ours, theirs in zip(layers[0].states, layers[1].states, strict=True):
        assert ours.path == theirs.path
        torch.testing.assert_close(ours.value, theirs.value, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("given", [False, True])
def test_mask_of_the_input_holds_with_initial_states(name, given):
    outputs = []
    for library in (torchkeras, keras):
        layer = getattr(library.layers, name)(3, name="layer")
        layer.build((2, 4, 5))
        outputs.append((library, layer))
    same_weights([layer for _, layer in outputs])
    x = data(2, 4, 5) * MASK[..., None]
    states = [data(2, 3, seed=seed) for seed in range(STATES[name])] if given else None
    made = [layer(lib.layers.Masking()(x), initial_state=states) for lib, layer in outputs]
    torch.testing.assert_close(*made, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", [f"{name}Cell" for name in OWN])
@pytest.mark.parametrize(
    "arguments", [{}, WEIGHTS, {"dtype": "mixed_bfloat16"}, {"implementation": 1}]
)
def test_cells(name, arguments):
    arguments = {key: value for key, value in arguments.items() if key != "activity_regularizer"}
    if "implementation" in arguments and name == "SimpleRNNCell":
        return
    cells = [getattr(lib.layers, name)(3, **arguments, name="cell") for lib in (torchkeras, keras)]
    for cell in cells:
        cell.build((None, 5))
    assert [w.path for w in cells[0].weights] == [w.path for w in cells[1].weights]
    configs = [cell.get_config() for cell in cells]
    for library, config in zip((torchkeras, keras), configs, strict=True):
        config["dtype"] = library.saving.serialize_keras_object(config["dtype"])
        config["dtype"].pop("module", None)
    assert json.loads(json.dumps(configs[0])) == json.loads(json.dumps(configs[1]))
    same_weights(cells)
    size = cells[0].state_size
    assert size == cells[1].state_size and cells[0].output_size == cells[1].output_size
    states = [data(2, 3, seed=1), data(2, 3, seed=2)][: STATES[name[:-4]]]
    tolerance = 5e-2 if "dtype" in arguments else 1e-5
    for given in (states, states[0]) if len(states) == 1 else (states,):
        ours, theirs = (cell(data(2, 5), given) for cell in cells)
        assert isinstance(ours[1], list) == isinstance(theirs[1], list)
        for a, b in zip(flat(list(ours)), flat(list(theirs)), strict=True):
            torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)
    zeros = [cell.get_initial_state(batch_size=2) for cell in cells]
    assert [(z.shape, z.dtype) for z in zeros[0]] == [(z.shape, z.dtype) for z in zeros[1]]


DROPPED = {
    "simple": ("SimpleRNNCell", 1, {}),
    "lstm": ("LSTMCell", 4, {}),
    "gru": ("GRUCell", 3, {}),
    "gru, no bias": ("GRUCell", 3, {"use_bias": False}),
    "gru, reset before": ("GRUCell", 3, {"reset_after": False}),
    "softmax": ("GRUCell", 3, {"reset_after": False, "recurrent_activation": "softmax"}),
    "lstm, softmax": ("LSTMCell", 4, {"recurrent_activation": "softmax"}),
}


@pytest.mark.parametrize("case", DROPPED)
@pytest.mark.parametrize("rates", [(0.5, 0.0), (0.5, 0.5), (0.0, 0.5)])
def test_what_is_dropped_goes_the_same_way(case, rates):
    name, gates, arguments = DROPPED[case]
    cells = [
        getattr(lib.layers, name)(3, dropout=rates[0], recurrent_dropout=rates[1], **arguments)
        for lib in (torchkeras, keras)
    ]
    for cell in cells:
        cell.build((2, 5))
        for attribute, size, rate in zip(
            ("_dropout_mask", "_recurrent_dropout_mask"), (5, 3), rates, strict=True
        ):
            kept = [(data(2, size, seed=seed) > 0) * 2.0 for seed in range(gates)]
            by_gate = gates > 1 and rates[1]
            setattr(cell, attribute, (kept if by_gate else kept[0]) if rate else None)
    same_weights(cells)
    results = []
    for cell in cells:
        x = data(2, 5).requires_grad_()
        states = [data(2, 3, seed=seed).requires_grad_() for seed in range(STATES[name[:-4]])]
        output, new_states = cell(x, states, training=True)
        made = [output, *new_states]
        sum((y * data(*y.shape, seed=4)).sum() for y in made).backward()
        grads = [leaf.grad for leaf in (x, *states)]
        results.append([*made, *grads, *(w.value.grad for w in cell.weights)])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def cells_of(library, names):
    return [getattr(library.layers, f"{name}Cell")(size, name=name) for name, size in names]


STACKS = {
    "one": [("LSTM", 3)],
    "several": [("LSTM", 3), ("GRU", 4), ("SimpleRNN", 2)],
}


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("given", [False, True])
def test_stacked_cells(stack, masked, given):
    if stack == "one" and masked:
        pytest.skip("Keras fails there")
    layers = []
    for library in (torchkeras, keras):
        cells = library.layers.StackedRNNCells(cells_of(library, STACKS[stack]), name="stack")
        layers.append(
            library.layers.RNN(cells, return_sequences=True, return_state=True, name="layer")
        )
    assert_same_description(*layers)
    same_weights(layers)
    states = [
        [data(2, size, seed=seed) for seed in range(STATES[name])] for name, size in STACKS[stack]
    ]
    assert_same_computation(
        layers,
        data(2, 4, 5),
        initial_state=states if given else None,
        mask=MASK if masked else None,
    )


def counting_cell(library):
    """A cell of one's own: two states of different sizes, an output of another."""

    @library.saving.register_keras_serializable("tests")
    class Counting(library.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.state_size = [3, 2]
            self.output_size = 4

        def build(self, input_shape):
            self.kernel = self.add_weight(shape=(input_shape[-1] + 5, 4), name="kernel")
            self.built = True

        def call(self, inputs, states, training=False):
            ops = library.ops
            joined = ops.concatenate([inputs, *states], axis=-1)
            output = ops.tanh(ops.matmul(joined, self.kernel))
            return output + (1.0 if training else 0.0), [output[:, :3], output[:, 1:3]]

    return Counting(name="counting")


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("go_backwards", [False, True])
def test_cells_of_ones_own(masked, training, go_backwards):
    arguments = {
        "return_sequences": True,
        "return_state": True,
        "go_backwards": go_backwards,
        "zero_output_for_mask": masked,
        "name": "layer",
    }
    layers = [lib.layers.RNN(counting_cell(lib), **arguments) for lib in (torchkeras, keras)]
    assert_same_description(*layers)
    same_weights(layers)
    for states in (None, [data(2, 3), data(2, 2)]):
        assert_same_computation(
            layers,
            data(2, 4, 5),
            training=training,
            mask=MASK if masked else None,
            initial_state=states,
        )


BIDIRECTIONAL = {
    "concat": ("LSTM", {"return_sequences": True}, {}),
    "sum": ("GRU", {}, {"merge_mode": "sum"}),
    "ave": ("LSTM", {"return_sequences": True, "return_state": True}, {"merge_mode": "ave"}),
    "mul": ("SimpleRNN", {"return_state": True}, {"merge_mode": "mul"}),
    "none": ("LSTM", {"return_sequences": True}, {"merge_mode": None}),
    "none with states": ("GRU", {"return_state": True}, {"merge_mode": None}),
    "zero output": ("LSTM", {"zero_output_for_mask": True}, {}),
    "mixed": ("LSTM", {"dtype": "mixed_bfloat16"}, {"dtype": "mixed_bfloat16"}),
    "backward layer": ("LSTM", {"return_sequences": True}, {"backward": "GRU"}),
}


def bidirectional(library, case):
    name, arguments, own = BIDIRECTIONAL[case]
    own, layers = dict(own), library.layers
    if "backward" in own:
        backward = getattr(layers, own.pop("backward"))
        own["backward_layer"] = backward(3, go_backwards=True, **arguments, name="other")
    inner = getattr(layers, name)(3, **arguments, name="inner")
    return layers.Bidirectional(inner, **own, name="layer")


@pytest.mark.parametrize("case", BIDIRECTIONAL)
def test_bidirectional_is_described_alike(case):
    assert_same_description(*(bidirectional(library, case) for library in (torchkeras, keras)))


@pytest.mark.parametrize("case", BIDIRECTIONAL)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("given", [False, True])
def test_bidirectional(case, masked, given):
    layers = [bidirectional(library, case) for library in (torchkeras, keras)]
    for layer in layers:
        layer.build((2, 4, 5))
    same_weights(layers)
    names = [BIDIRECTIONAL[case][0], BIDIRECTIONAL[case][2].get("backward", BIDIRECTIONAL[case][0])]
    count = sum(STATES[name] for name in names)
    if given and names[0] != names[1]:
        pytest.skip("half of three states is the wrong part in Keras too")
    assert_same_computation(
        layers,
        data(2, 4, 5),
        5e-2 if case == "mixed" else 1e-5,
        mask=MASK if masked else None,
        initial_state=[data(2, 3, seed=seed) for seed in range(count)] if given else None,
    )
    for mask in (None, MASK):
        masks = [layer.compute_mask(data(2, 4, 5), mask) for layer in layers]
        if "return_state" not in BIDIRECTIONAL[case][1]:
            assert repr(masks[0]) == repr(masks[1])


def test_stateful_bidirectional_layers_agree_over_batches():
    layers = []
    for library in (torchkeras, keras):
        inner = library.layers.LSTM(3, stateful=True, return_sequences=True, name="inner")
        layers.append(library.layers.Bidirectional(inner, name="layer"))
        layers[-1].build((2, 4, 5))
    same_weights(layers)
    for seed in range(3):
        ours, theirs = (layer(data(2, 4, 5, seed=seed)) for layer in layers)
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
        if seed == 1:
            for layer in layers:
                layer.reset_state()
    assert [v.path for v in layers[0].states] == [v.path for v in layers[1].states]
    for ours, theirs in zip(layers[0].states, layers[1].states, strict=True):
        torch.testing.assert_close(ours.value, theirs.value, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "arguments",
    [
        lambda layers: {"layer": 3},
        lambda layers: {"layer": layers.LSTM(3, go_backwards=True)},
        lambda layers: {"layer": layers.LSTM(3), "merge_mode": "max"},
        lambda layers: {"layer": layers.LSTM(3), "backward_layer": 3},
        lambda layers: {"layer": layers.LSTM(3), "backward_layer": layers.LSTM(3)},
        lambda layers: {
            "layer": layers.LSTM(3),
            "backward_layer": layers.LSTM(3, go_backwards=True, return_sequences=True),
        },
    ],
)
def test_bidirectional_errors_have_keras_types(arguments):
    for library in (torchkeras, keras):
        with pytest.raises(ValueError):
            library.layers.Bidirectional(**arguments(library.layers))
    for library in (torchkeras, keras):
        with pytest.raises(AttributeError):
            library.layers.Bidirectional(library.layers.LSTM(3)).reset_state()


CONVOLUTIONAL = {
    "1D": ("ConvLSTM1D", {}),
    "2D": ("ConvLSTM2D", {"return_sequences": True, "return_state": True, "padding": "same"}),
    "3D": ("ConvLSTM3D", {"strides": 2, "padding": "same", "return_state": True}),
    "backwards": (
        "ConvLSTM2D",
        {"go_backwards": True, "return_sequences": True, "dilation_rate": 2},
    ),
    "zero output": ("ConvLSTM1D", {"zero_output_for_mask": True, "return_sequences": True}),
    "channels first": (
        "ConvLSTM2D",
        {"data_format": "channels_first", "strides": (2, 1)},
    ),
    "activations": ("ConvLSTM1D", {"activation": None, "recurrent_activation": "hard_sigmoid"}),
    "no bias": ("ConvLSTM2D", {"use_bias": False, "unit_forget_bias": False}),
    "all": ("ConvLSTM1D", {**WEIGHTS, "trainable": True, "dropout": 0.5, "seed": 3}),
    "mixed": ("ConvLSTM2D", {"dtype": "mixed_bfloat16"}),
}
SIZES = {1: (6,), 2: (5, 6), 3: (4, 5, 4)}


def convolutional(case):
    name, arguments = CONVOLUTIONAL[case]
    rank = int(name[-2])
    arguments = {"filters": 3, "kernel_size": 2, **arguments, "name": "layer"}
    shape = (4, *SIZES[rank], 2)
    if "data_format" in arguments:
        shape = (4, 2, *SIZES[rank])
    layers = [getattr(lib.layers, name)(**arguments) for lib in (torchkeras, keras)]
    return layers, shape


@pytest.mark.parametrize("case", CONVOLUTIONAL)
def test_convolutional_layers_are_described_alike(case):
    layers, shape = convolutional(case)
    assert_same_description(*layers, (None, *shape[1:]))


@pytest.mark.parametrize("case", CONVOLUTIONAL)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("given", [False, True])
def test_convolutional_layers(case, masked, given):
    layers, shape = convolutional(case)
    for layer in layers:
        layer.build((2, *shape))
    same_weights(layers)
    state_shape = flat(layers[0].cell.get_initial_state(2))[0].shape
    states = [data(*state_shape, seed=seed) for seed in (1, 2)]
    assert_same_computation(
        layers,
        data(2, *shape),
        5e-2 if case == "mixed" else 1e-5,
        mask=MASK if masked else None,
        initial_state=states if given else None,
    )


@pytest.mark.parametrize(
    ("arguments", "shape"),
    [
        ({"rank": 2, "strides": 2, "dilation_rate": 2}, (2, 4, 5, 5, 2)),
        ({"rank": 2, "padding": "causal"}, (2, 4, 5, 5, 2)),
        ({"rank": 2, "kernel_size": (2, 2, 2)}, (2, 4, 5, 5, 2)),
        ({"rank": 2}, (2, 4, 5, 5)),
        ({"rank": 2}, (2, 4, None, 5, 2)),
        ({"rank": 2}, (2, 4, 5, 5, None)),
        ({"rank": 1, "stateful": True}, (None, 4, 5, 2)),
    ],
)
def test_convolutional_errors_have_keras_types(arguments, shape):
    arguments = {"filters": 3, "kernel_size": 2, **arguments}
    rank = arguments.pop("rank")
    for library in (torchkeras, keras):
        with pytest.raises(ValueError):
            layer = getattr(library.layers, f"ConvLSTM{rank}D")(**arguments)
            layer(library.Input(batch_shape=shape) if None in shape else torch.ones(shape))


EXCHANGED = {
    "LSTM": lambda layers: layers.LSTM(3, return_sequences=True, return_state=True),
    "LSTM dropout": lambda layers: layers.LSTM(
        3, return_sequences=True, return_state=True, dropout=0.5, recurrent_dropout=0.5
    ),
    "GRU": lambda layers: layers.GRU(3, return_sequences=True, return_state=True),
    "SimpleRNN": lambda layers: layers.SimpleRNN(3, return_sequences=True, return_state=True),
    "RNN": lambda layers: layers.RNN(
        layers.LSTMCell(3), return_sequences=True, return_state=True, stateful=True
    ),
    "ConvLSTM1D": lambda layers: layers.ConvLSTM1D(3, 2, return_state=True),
    "Bidirectional": lambda layers: layers.Bidirectional(
        layers.GRU(3, return_sequences=True, return_state=True), merge_mode="ave"
    ),
    "stack": lambda layers: layers.RNN(
        [layers.GRUCell(2), layers.LSTMCell(3)], return_sequences=True, return_state=True
    ),
}


SHAPES = {"ConvLSTM1D": (6, 5)}


@pytest.mark.parametrize("layer", EXCHANGED)
@pytest.mark.parametrize("maker", [torchkeras, keras])
@pytest.mark.parametrize("name", ["model.keras", "model.weights.h5"])
def test_files_are_exchanged(tmp_path, maker, name, layer):
    pytest.importorskip("h5py")

    def model(library):
        layers = library.layers
        inputs = library.Input(batch_shape=(2, None, *SHAPES.get(layer, (5,))))
        outputs = EXCHANGED[layer](layers)(inputs)
        return library.Model(inputs, list(flat(outputs)))

    reader = keras if maker is torchkeras else torchkeras
    made, x = model(maker), data(2, 4, *SHAPES.get(layer, (5,))).numpy()
    if name == "model.keras":
        made.save(tmp_path / name, **({"weights_format": "h5"} if maker is torchkeras else {}))
        other = reader.saving.load_model(tmp_path / name)
    else:
        made.save_weights(tmp_path / name)
        other = model(reader)
        other.load_weights(tmp_path / name)
    expected, found = made.predict(x, verbose=0), other.predict(x, verbose=0)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize(
    ("arguments", "shape"),
    [
        ({"units": 0}, (2, 4, 5)),
        ({"units": 2.5}, (2, 4, 5)),
        ({"use_cudnn": 3}, (2, 4, 5)),
        ({"unknown": 3}, (2, 4, 5)),
        ({}, (2, 4)),
        ({}, (2, 4, 5, 6)),
        ({"stateful": True}, (None, 4, 5)),
        ({}, (2, 4, None)),
    ],
)
def test_errors_have_keras_types(name, arguments, shape):
    for library in (torchkeras, keras):
        with pytest.raises(ValueError):
            layer = getattr(library.layers, name)(**{"units": 3, **arguments})
            layer(library.Input(batch_shape=shape) if None in shape else torch.ones(shape))


@pytest.mark.parametrize("cell", [object(), 3, torch.nn.ReLU()])
def test_what_is_no_cell_is_a_value_error(cell):
    for library in (torchkeras, keras):
        with pytest.raises(ValueError):
            library.layers.RNN(cell)
        with pytest.raises(ValueError):
            library.layers.StackedRNNCells([cell])
