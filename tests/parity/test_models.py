"""Models against real Keras on its torch backend: names, weights, configs, results, files."""

import json
import random

import numpy as np
import pytest
import torch

import torchkeras

keras = pytest.importorskip("keras")

BOTH = pytest.mark.parametrize("seed", range(40))


@pytest.fixture(autouse=True)
def fresh_names():
    keras.utils.clear_session(free_memory=False)


def random_model(library, seed):
    """The same random graph of layers, functions and nested models in either library."""
    layers, ops, choose = library.layers, library.ops, random.Random(seed)
    inputs = [library.Input((4,), name=f"in{i}") for i in range(choose.randint(1, 3))]
    pool, shared = list(inputs), []
    for _ in range(choose.randint(2, 14)):
        kind, a, b = choose.randrange(13), choose.choice(pool), choose.choice(pool)
        if kind < 3:
            shared.append(layers.Dense(4, name=choose.choice([None, f"given{len(pool)}"])))
            y = shared[-1](a)
        elif kind == 3:
            y = choose.choice(shared)(a) if shared else -a
        elif kind == 4:
            y = layers.Add()([a, b])
        elif kind == 5:
            y = a + b
        elif kind == 6:
            y = 1.0 - a * 2.0
        elif kind == 7:
            y = ops.relu(a)
        elif kind == 8:
            y = ops.concatenate([a, b], axis=-1)[:, :4]
        elif kind == 9:
            y = layers.Dropout(0.5)(a, training=False)
        elif kind == 10:
            y = ops.sum(a, axis=-1, keepdims=True) + b
        elif kind == 11:
            left, right = ops.split(a, 2, axis=1)
            y = ops.concatenate([right, left], axis=1)
            pool.append(ops.concatenate([left, left], axis=1))
        elif choose.random() < 0.5:
            x = library.Input((4,))
            shared.append(library.Model(x, layers.Dense(4)(x)))
            y = shared[-1](a)
        else:
            shared.append(library.Sequential([layers.Dense(3), layers.Dense(4)]))
            y = shared[-1](a)
        pool.append(y)
    made = pool[len(inputs) :]
    outputs = list({id(y): y for y in choose.choices(made, k=choose.randint(1, 3))}.values())
    structure = choose.choice(["list", "dict", "one"])
    if structure == "dict":
        outputs = {f"out{i}": y for i, y in enumerate(outputs)}
        inputs = {x.name: x for x in inputs}
    elif structure == "one":
        outputs, inputs = outputs[0], inputs[0] if len(inputs) == 1 else inputs
    return library.Model(inputs, outputs)


def plain(config):
    """A config as JSON, without what torchkeras leaves out.

    These are: a `mask` of None among the arguments of a call, a `compile_config` of a model that
    is not compiled, the `build_config` of layers, and the registered name of Functional, whose
    public module stands for it.
    """
    if isinstance(config, dict):
        if set(config) == {"args", "kwargs"}:
            kwargs = {k: v for k, v in config["kwargs"].items() if k != "mask" or v is not None}
            config = {"args": config["args"], "kwargs": kwargs}
        return {
            key: plain(value)
            for key, value in config.items()
            if key not in ("build_config", "compile_config")
            and not (key == "registered_name" and value in (None, "Functional"))
        }
    return [plain(item) for item in config] if isinstance(config, (list, tuple)) else config


def config_of(model):
    return plain(json.loads(model.to_json()))


def weights_of(model):
    return [w.value.detach().numpy() for w in model.weights]  # get_weights() warns in Keras


def numpy(outputs):
    return [y.detach().numpy() for y in keras.tree.flatten(outputs)]


def assert_same_results(ours, theirs, inputs, rtol=1e-4):
    for a, b in zip(numpy(ours(inputs)), numpy(theirs(inputs)), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-5)


def data_for(model):
    arrays = [np.random.default_rng(0).normal(size=(3, 4)).astype("float32") for _ in model.inputs]
    if isinstance(model.input, dict):
        return dict(zip(sorted(model.input), arrays, strict=True))
    return arrays if isinstance(model.input, list) else arrays[0]


@BOTH
def test_random_graphs_have_the_same_names_weights_configs_and_results(seed):
    ours, theirs = random_model(torchkeras, seed), random_model(keras, seed)
    assert [layer.name for layer in ours.layers] == [layer.name for layer in theirs.layers]
    assert [op.name for op in ours.operations] == [op.name for op in theirs.operations]
    assert [w.path for w in ours.weights] == [w.path for w in theirs.weights]
    assert ours.output_names == theirs.output_names
    assert config_of(ours) == config_of(theirs)
    ours.set_weights(weights_of(theirs))
    assert_same_results(ours, theirs, data_for(ours))


@BOTH
def test_random_graphs_are_exchanged_as_json_both_ways(seed):
    ours, theirs = random_model(torchkeras, seed), random_model(keras, seed)
    expected = config_of(theirs)
    from_theirs = torchkeras.models.model_from_json(theirs.to_json())
    from_ours = keras.models.model_from_json(ours.to_json())
    clones = torchkeras.models.clone_model(ours), keras.models.clone_model(theirs)
    for model in (from_theirs, from_ours, clones[0]):
        assert config_of(model) == expected
    assert [w.shape for w in clones[0].weights] == [tuple(w.shape) for w in clones[1].weights]
    from_theirs.set_weights(weights_of(theirs))
    assert_same_results(from_theirs, theirs, data_for(ours))


# Functions of keras.ops with settings, in each of the ways their arguments can be given.
FUNCTIONS = {
    "sum": lambda ops, x: ops.sum(x, axis=1, keepdims=True),
    "mean": lambda ops, x: ops.mean(x),
    "max": lambda ops, x: ops.max(x, -1),
    "argmax": lambda ops, x: ops.argmax(x, axis=1),
    "multiply": lambda ops, x: ops.multiply(x, 3.0),
    "power": lambda ops, x: x**2,
    "floor_divide": lambda ops, x: x // 2,
    "matmul": lambda ops, x: x @ ops.transpose(x, (1, 0)),
    "logical": lambda ops, x: ops.logical_and(x > 0, x < 1),
    "where": lambda ops, x: ops.where(x > 0, x, 0.0),
    "concatenate": lambda ops, x: ops.concatenate([x, x * 2.0], axis=0),
    "stack": lambda ops, x: ops.stack([x, -x], axis=1),
    "reshape": lambda ops, x: ops.reshape(x, (-1, 2, 2)),
    "transpose": lambda ops, x: ops.transpose(x),
    "expand_dims": lambda ops, x: ops.squeeze(ops.expand_dims(x, 1), 1),
    "slice": lambda ops, x: x[:, 1:3],
    "clip": lambda ops, x: ops.clip(x, 0, 1),
    "cast": lambda ops, x: ops.cast(x, "int32"),
    "one_hot": lambda ops, x: ops.one_hot(ops.cast(x, "int32"), 3, dtype="float32"),
    "einsum": lambda ops, x: ops.einsum("ab,ab->a", x, x),
    "take": lambda ops, x: ops.take(x, [0, 1], axis=1),
    "softmax": lambda ops, x: ops.softmax(x, axis=-1),
    "gelu": lambda ops, x: ops.gelu(x, approximate=False),
    "leaky_relu": lambda ops, x: ops.leaky_relu(x, negative_slope=0.1),
    "logsumexp": lambda ops, x: ops.logsumexp(x, axis=1),
    "norm": lambda ops, x: ops.norm(x, axis=1),
    "top_k": lambda ops, x: ops.top_k(x, 2)[0],
    "log1p": lambda ops, x: ops.log1p(ops.exp(x)),
    "repeat": lambda ops, x: ops.repeat(x, 2, axis=1),
    "tile": lambda ops, x: ops.tile(x, [1, 2]),
    "roll": lambda ops, x: ops.roll(x, 1, axis=1),
    "cumsum": lambda ops, x: ops.cumsum(x, axis=1),
    "isclose": lambda ops, x: ops.isclose(x, x),
    "tensordot": lambda ops, x: ops.tensordot(x, x, axes=[[1], [1]]),
    "unstack": lambda ops, x: ops.unstack(x, axis=1)[2],
    "normalize": lambda ops, x: ops.normalize(x, axis=-1),
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_functions_have_the_same_config_and_are_exchanged(function):
    models = []
    for library in (torchkeras, keras):
        x = library.Input(batch_shape=(3, 4), name="x")
        models.append(library.Model(x, function(library.ops, x), name="m"))
    ours, theirs = models
    assert config_of(ours) == config_of(theirs)
    batch = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    for model in (
        ours,
        torchkeras.models.model_from_json(theirs.to_json()),
        keras.models.model_from_json(ours.to_json()),
    ):
        assert_same_results(model, theirs, batch)


def test_every_shared_function_splits_its_arguments_as_keras_does():
    import importlib
    import inspect

    from torchkeras.core.operation import OPS
    from torchkeras.models.operation_configs import _is_operand

    classes = {}
    for part in ("numpy", "nn", "math", "core", "linalg", "image"):
        module = importlib.import_module(f"keras.src.ops.{part}")
        for name, cls in vars(module).items():
            if isinstance(cls, type) and cls.__module__ == module.__name__:
                classes[name.lower()] = cls
    compared = 0
    for name, function in OPS.items():
        cls = classes.get(name.replace("_", ""))
        if cls is None:
            continue
        settings = set(inspect.signature(cls.__init__).parameters) - {"self", "name", "kwargs"}
        # Loops take functions, which no config holds.
        if name in ("scan", "while_loop", "fori_loop", "vectorized_map", "switch", "cond", "map"):
            continue
        ours = {p for p in inspect.signature(function).parameters if not _is_operand(name, p)}
        assert ours == settings, name
        compared += 1
    assert compared > 150


def stack(library, case):
    layers = library.layers
    return {
        "with input": lambda: [library.Input((4,)), layers.Dense(3), layers.Dense(2)],
        "named input": lambda: [library.Input((4,), name="x", batch_size=3), layers.Dense(2)],
        "deferred": lambda: [layers.Dense(3, activation="relu"), layers.Dropout(0.5)],
        "nested": lambda: [
            library.Sequential([layers.Dense(3), layers.Dense(2)], name="inner"),
            layers.Dense(1, name="head"),
        ],
        "integer input": lambda: [library.Input((4,), dtype="int32"), layers.Flatten()],
        "one layer": lambda: [layers.Dense(2)],
        "empty": lambda: [],
    }[case]()


STACKS = ["with input", "named input", "deferred", "nested", "integer input", "one layer"]


@pytest.mark.parametrize("case", [*STACKS, "empty"])
def test_sequential_configs_before_it_is_called(case):
    ours, theirs = (lib.Sequential(stack(lib, case)) for lib in (torchkeras, keras))
    assert ours.name == theirs.name
    assert config_of(ours) == config_of(theirs)
    assert [w.path for w in ours.weights] == [w.path for w in theirs.weights]
    for name in ("input_shape", "output_shape"):
        assert getattr(ours, name, "unknown") == getattr(theirs, name, "unknown")


@pytest.mark.parametrize("case", STACKS)
@pytest.mark.parametrize("how", ["call", "build"])
def test_sequential_configs_once_it_is_built(case, how):
    models = [lib.Sequential(stack(lib, case)) for lib in (torchkeras, keras)]
    data = np.arange(12).reshape(3, 4)
    for model in models:
        if how == "call":
            model(data)
        elif not model.built:
            model.build((None, 4))
    ours, theirs = models
    assert config_of(ours) == config_of(theirs)
    assert [w.path for w in ours.weights] == [w.path for w in theirs.weights]
    assert ours.input_shape == theirs.input_shape
    assert ours.output_shape == theirs.output_shape
    assert len(ours.inputs) == len(theirs.inputs) and len(ours.outputs) == len(theirs.outputs)
    assert ours.input.dtype == theirs.inputs[0].dtype
    ours.set_weights(weights_of(theirs))
    assert_same_results(ours, theirs, data)
    ours.pop(), theirs.pop()
    for library, model in ((torchkeras, ours), (keras, theirs)):
        model.add(library.layers.Dense(5, name="added"))
    assert config_of(ours) == config_of(theirs)
    assert [w.path for w in ours.weights] == [w.path for w in theirs.weights]
    again = torchkeras.models.model_from_json(theirs.to_json())
    again.set_weights(weights_of(theirs))
    assert_same_results(again, theirs, data)
    assert keras.models.model_from_json(ours.to_json()).count_params() == ours.count_params()


def test_names_given_after_many_models_are_the_same():
    for library in (torchkeras, keras):
        library.Sequential([library.Input((2,)), library.layers.Dense(1)])
        model = library.Sequential()
        model.add(library.Input((2,)))
        model.add(library.layers.Dense(1))
        model.add(library.layers.Dense(1))
        model.pop()
    x = torchkeras.Input((2,))
    y = keras.Input((2,))
    assert torchkeras.Model(x, x + 1).name == keras.Model(y, y + 1).name
    assert x._keras_history.operation.name == y._keras_history.operation.name


@pytest.mark.parametrize("form", ["list", "tuple", "array", "dict"])
@pytest.mark.parametrize("made", ["list", "dict", "one"])
def test_inputs_are_accepted_in_the_same_forms(made, form):
    results = []
    for library in (torchkeras, keras):
        a, b = library.Input((2,), name="a"), library.Input((2,), name="b")
        if made == "one":
            model = library.Model(a, a * 2.0)
        else:
            model = library.Model([a, b] if made == "list" else {"a": a, "b": b}, a - b)
        arrays = [np.full((3, 2), 5.0), np.full((3, 2), 2)]
        given = {
            "list": arrays[: len(model.inputs)],
            "tuple": tuple(arrays[: len(model.inputs)]),
            "array": arrays[0],
            "dict": dict(zip("ab", arrays, strict=True)),
        }[form]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("warnings.warn", lambda *args, **kwargs: None)  # Keras warns, and runs
            try:
                results.append(model(given).numpy().tolist())
            except ValueError:
                results.append("ValueError")
    assert results[0] == results[1]


def test_training_recorded_in_the_graph():
    configs = []
    for library in (torchkeras, keras):
        x = library.Input((2,), name="x")
        base = library.Sequential([library.layers.Dropout(0.5, name="d")], name="base")
        configs.append(config_of(library.Model(x, base(x, training=False), name="m")))
    assert configs[0] == configs[1]
    loaded = torchkeras.models.model_from_json(json.dumps(configs[1]))
    loaded.train()
    assert torch.equal(loaded(torch.ones(4, 2)), torch.ones(4, 2))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda x, y: y,
        lambda x, y: [y],
        lambda x, y: (y,),
        lambda x, y: {"y": y},
        lambda x, y: [[x, y]],
        lambda x, y: [{"y": y}],
        lambda x, y: [[y]],
        lambda x, y: {"p": [y], "q": (x, {"r": y})},
    ],
)
def test_outputs_come_in_the_same_structure(wrap):
    outlines = []
    for library in (torchkeras, keras):
        x = library.Input((2,))
        y = library.Model(x, wrap(x, x + 1.0))(np.ones((1, 2)))
        outlines.append(keras.tree.map_structure(lambda t: t.detach().tolist(), y))
        outlines.append(keras.tree.map_structure(lambda t: 0, y))
    assert outlines[:2] == outlines[2:]
