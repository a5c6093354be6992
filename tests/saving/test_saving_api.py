"""What comes back from a file: predictions, structure, compile state, and clear errors."""

import json
import os
import pathlib
import warnings

import numpy as np
import pytest
import torch

import torchkeras as keras

register = keras.saving.register_keras_serializable
layers = keras.layers


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "model.safetensors")


def assert_equal(a, b):
    flat_a, flat_b = keras.tree.flatten(a), keras.tree.flatten(b)
    assert len(flat_a) == len(flat_b)
    assert all(torch.equal(x, y) for x, y in zip(flat_a, flat_b, strict=True))


def round_trip(model, path, *inputs, custom_objects=None, **kwargs):
    """The model from the file, after checking that it is the same."""
    expected = model(*inputs, **kwargs)
    model.save(path)
    loaded = keras.saving.load_model(path, custom_objects=custom_objects)
    assert type(loaded) is type(model)
    assert loaded.name == model.name and loaded.built
    assert list(loaded.state_dict()) == list(model.state_dict())
    assert [v.shape for v in loaded.variables] == [v.shape for v in model.variables]
    assert [v.trainable for v in loaded.variables] == [v.trainable for v in model.variables]
    assert_equal(loaded(*inputs, **kwargs), expected)
    return loaded


# Kinds of models


def test_sequential(path):
    model = keras.Sequential(
        [
            keras.Input((3,)),
            layers.Dense(4, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(2),
        ]
    )
    loaded = round_trip(model, path, torch.randn(5, 3))
    assert [type(layer) for layer in loaded.layers] == [type(layer) for layer in model.layers]
    assert loaded.input_shape == (None, 3)


def test_sequential_built_by_its_first_batch(path):
    model = keras.Sequential([layers.Dense(4), layers.Dense(2)])
    loaded = round_trip(model, path, torch.randn(5, 3))
    assert_equal(loaded(torch.ones(9, 3)), model(torch.ones(9, 3)))


def test_sequential_in_sequential(path):
    inner = keras.Sequential([layers.Dense(4), layers.Dense(3)], name="inner")
    round_trip(
        keras.Sequential([keras.Input((3,)), inner, layers.Dense(2)]), path, torch.ones(2, 3)
    )


def test_functional_with_branches_shared_layers_and_ops(path):
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    shared = layers.Dense(4, name="shared")
    h = layers.Concatenate()([shared(a), shared(b) * 2.0])
    h = keras.ops.relu(h) + torch.sigmoid(h)
    h = keras.ops.reshape(h, (-1, 2, 4))
    outputs = [layers.Dense(2, name="left")(h), keras.ops.mean(h, axis=(1, 2))]
    model = keras.Model([a, b], outputs, name="branches")
    loaded = round_trip(model, path, [torch.randn(5, 3), torch.randn(5, 3)])
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]
    assert len(loaded.get_layer("shared")._inbound_nodes) == 2


def test_functional_with_dicts_at_its_ends(path):
    inputs = {"left": keras.Input((3,), name="left"), "right": keras.Input((2,), name="right")}
    h = layers.Concatenate()([inputs["left"], inputs["right"]])
    model = keras.Model(inputs, {"sum": layers.Dense(1)(h), "all": h})
    x = {"right": torch.randn(4, 2), "left": torch.randn(4, 3)}
    loaded = round_trip(model, path, x)
    assert set(loaded(x)) == {"sum", "all"}


def test_nested_functional_called_twice(path):
    x = keras.Input((3,))
    inner = keras.Model(x, layers.Dense(3, activation="tanh")(x), name="inner")
    y = keras.Input((3,))
    model = keras.Model(y, layers.Add()([inner(inner(y)), y]))
    loaded = round_trip(model, path, torch.randn(4, 3))
    assert len(loaded.get_layer("inner")._inbound_nodes) == 2


def test_functional_over_an_inner_tensor(path):
    x = keras.Input((3,))
    h = layers.Dense(4)(x)
    keras.Model(x, layers.Dense(2)(h))
    round_trip(keras.Model(h, layers.Dense(2)(h)), path, torch.randn(2, 4))


class OwnStep(keras.Model):
    def train_step(self, data):
        self.steps = getattr(self, "steps", 0) + 1
        return super().train_step(data)


def test_functional_subclass_with_its_own_train_step(path):
    register("tests")(OwnStep)
    x = keras.Input((3,))
    model = OwnStep(x, layers.Dense(2)(x))
    model.compile("sgd", "mse")
    loaded = round_trip(model, path, torch.randn(2, 3))
    loaded.fit(torch.ones(8, 3), torch.ones(8, 2), batch_size=4, verbose=0)
    assert loaded.steps == 2


def test_functional_subclass_with_its_own_constructor(path):
    @register("tests")
    class Tower(keras.Model):
        def __init__(self, units, **kwargs):
            x = keras.Input((3,))
            super().__init__(inputs=x, outputs=layers.Dense(units)(x), **kwargs)
            self.units = units

        def get_config(self):
            return {"name": self.name, "units": self.units}

    assert round_trip(Tower(5), path, torch.ones(2, 3)).units == 5


def test_subclass_built_by_its_first_call(path):
    @register("tests")
    class Net(keras.Model):
        def __init__(self, units=4, **kwargs):
            super().__init__(**kwargs)
            self.hidden = layers.Dense(units)
            self.heads = [layers.Dense(1), layers.Dense(2)]

        def call(self, x):
            x = self.hidden(x)
            return [head(x) for head in self.heads]

    loaded = round_trip(Net(units=6), path, torch.randn(5, 3))
    assert loaded.hidden.units == 6
    assert all(layer.built for layer in loaded.layers)


@pytest.mark.parametrize("kind", ["dict", "two", "keyword"])
def test_subclass_with_several_inputs(path, kind):
    @register("tests")
    class Net(keras.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.a, self.b = layers.Dense(4), layers.Dense(4)

    @register("tests")
    class Dicts(Net):
        def call(self, inputs):
            return self.a(inputs["one"]) + self.b(inputs["two"])

    @register("tests")
    class Two(Net):
        def call(self, one, two):
            return self.a(one) + self.b(two)

    one, two = torch.randn(2, 3), torch.randn(2, 5)
    if kind == "dict":
        round_trip(Dicts(), path, {"one": one, "two": two})
    elif kind == "two":
        round_trip(Two(), path, one, two)
    else:
        round_trip(Two(), path, one, two=two)


def test_subclass_whose_build_leaves_layers_to_the_first_call(path):
    @register("tests")
    class Net(keras.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.hidden = layers.Dense(4)

        def build(self, input_shape):
            self.scale = self.add_weight(shape=(4,), initializer="uniform", name="scale")

        def call(self, x):
            return self.hidden(x) * self.scale.value

    round_trip(Net(), path, torch.randn(5, 3))


def test_subclass_with_its_own_build_config(path):
    @register("tests")
    class Net(keras.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.hidden = layers.Dense(2)

        def build(self, input_shape):
            self.seen = tuple(input_shape)
            self.hidden.build(input_shape)

        def get_build_config(self):
            return {"width": self.seen[-1]}

        def build_from_config(self, config):
            self.build((None, config["width"]))

        def call(self, x):
            return self.hidden(x)

    assert round_trip(Net(), path, torch.ones(2, 3)).seen == (None, 3)


def test_subclass_that_cannot_be_built_from_its_config(path):
    @register("tests")
    class Net(keras.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.hidden = layers.Dense(2)

        def call(self, x):
            return self.hidden(x)

        def get_build_config(self):
            return None

    model = Net(name="net")
    model(torch.ones(2, 3))
    model.save(path)
    with pytest.raises(ValueError, match="Net 'net'. Make the model, build it, and call"):
        keras.saving.load_model(path)


class Scale(layers.Layer):
    def __init__(self, factor=2.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def build(self, input_shape):
        self.shift = self.add_weight(shape=input_shape[-1:], initializer="uniform")

    def call(self, x):
        return x * self.factor + self.shift.value


def test_custom_layer_by_registration_or_custom_objects(path):
    def make():
        return keras.Sequential([keras.Input((3,)), Scale(3.0)])

    model = make()
    model.save(path)
    with pytest.raises(ValueError, match="names the class 'Scale'.*custom_objects={'Scale'"):
        keras.saving.load_model(path)
    loaded = round_trip(model, path, torch.ones(2, 3), custom_objects={"Scale": Scale})
    assert loaded.layers[0].factor == 3.0
    with keras.saving.custom_object_scope({"Scale": Scale}):
        assert_equal(keras.saving.load_model(path)(torch.ones(2, 3)), model(torch.ones(2, 3)))
    register("tests")(Scale)
    round_trip(make(), path, torch.ones(2, 3))


def test_custom_objects_do_not_outlive_the_call(path):
    keras.Sequential([keras.Input((3,)), Scale()]).save(path)
    keras.saving.load_model(path, custom_objects={"Scale": Scale})
    with pytest.raises(ValueError, match="names the class 'Scale'"):
        keras.saving.load_model(path)


def test_layer_of_layers_built_by_its_first_call(path):
    @register("tests")
    class Block(layers.Layer):
        def __init__(self, units=4, **kwargs):
            super().__init__(**kwargs)
            self.units = units
            self.stack = [layers.Dense(units), layers.Dense(units)]

        def call(self, x):
            for layer in self.stack:
                x = layer(x)
            return x

    x = keras.Input((3,))
    round_trip(keras.Model(x, Block(5)(x)), path, torch.randn(2, 3))


def test_named_function_in_a_lambda(path):
    @register("tests")
    def double(x):
        return 2 * x

    def halve(x):
        return x / 2

    model = keras.Sequential([keras.Input((3,)), layers.Lambda(double), layers.Dense(2)])
    round_trip(model, path, torch.randn(2, 3))
    model = keras.Sequential([keras.Input((3,)), layers.Lambda(halve)])
    round_trip(model, path, torch.randn(2, 3), custom_objects={"halve": halve})
    with pytest.raises(ValueError, match="names a function that is not known here.*'halve'"):
        keras.saving.load_model(path)


def test_python_lambda_cannot_be_saved(path):
    model = keras.Sequential([keras.Input((3,)), layers.Lambda(lambda x: x)])
    with pytest.raises(ValueError, match="A lambda cannot be saved"):
        model.save(path)
    assert not os.path.exists(path)


def test_plain_torch_module_in_a_sequential(path):
    model = keras.Sequential([keras.Input((3,)), torch.nn.Linear(3, 2)])
    with pytest.raises(NotImplementedError, match="or save the weights only"):
        model.save(path)
    model.save_weights(path)
    other = keras.Sequential([keras.Input((3,)), torch.nn.Linear(3, 2)])
    other.load_weights(path)
    assert_equal(other(torch.ones(1, 3)), model(torch.ones(1, 3)))


def test_registered_torch_module(path):
    @register("tests")
    class Linear(torch.nn.Linear):
        def get_config(self):
            return {"in_features": self.in_features, "out_features": self.out_features}

        @classmethod
        def from_config(cls, config):
            return cls(**config)

    round_trip(keras.Sequential([keras.Input((3,)), Linear(3, 2)]), path, torch.randn(2, 3))


def test_plain_torch_modules_inside_a_subclass(path):
    @register("tests")
    class Net(keras.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))

        def call(self, x):
            return self.net(x)

    model = Net()
    model.compile("sgd", "mse")
    model.fit(torch.randn(16, 3), torch.randn(16, 4), verbose=0)
    loaded = round_trip(model, path, torch.randn(5, 3))
    assert int(loaded.net[1].num_batches_tracked) == 1


def test_frozen_layers(path):
    model = keras.Sequential(
        [keras.Input((3,)), layers.Dense(4, trainable=False), layers.Dense(4), layers.Dense(2)]
    )
    model.layers[1].trainable = False
    loaded = round_trip(model, path, torch.randn(2, 3))
    assert [layer.trainable for layer in loaded.layers] == [False, False, True]
    model.trainable = False
    assert not round_trip(model, path, torch.randn(2, 3)).trainable_variables


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "bfloat16", "float64"])
def test_dtype_policies(path, policy):
    x = keras.Input((3,))
    h = layers.Dense(4, dtype=policy)(x)
    model = keras.Model(x, layers.Dense(2, dtype="float32")(h))
    loaded = round_trip(model, path, torch.randn(2, 3))
    assert [layer.dtype_policy for layer in loaded.layers] == [
        layer.dtype_policy for layer in model.layers
    ]


def test_policy_of_the_file_wins_over_the_default(path):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    model.save(path)
    keras.config.set_dtype_policy("mixed_bfloat16")
    assert keras.saving.load_model(path).layers[0].compute_dtype == "float32"


def test_model_moved_to_half_precision(path):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2)]).to(torch.bfloat16)
    loaded = round_trip(model, path, torch.randn(2, 3))
    assert loaded.layers[0].kernel.value.dtype is torch.bfloat16


def test_seeds_go_on(path):
    model = keras.Sequential([keras.Input((50,)), layers.Dropout(0.5, seed=1)])
    x = torch.ones(2, 50)
    first = model(x, training=True)
    model.save(path)
    expected = [model(x, training=True) for _ in range(2)]
    loaded = keras.saving.load_model(path)
    assert_equal([loaded(x, training=True) for _ in range(2)], expected)
    assert not torch.equal(first, expected[0])


def test_random_models(path):
    rng = np.random.default_rng(0)
    functions = [keras.ops.relu, torch.tanh, lambda t: t * 2.0, lambda t: 1.0 - t, keras.ops.abs]
    for _ in range(25):
        keras.utils.clear_session(free_memory=False)
        inputs = [keras.Input((int(n),)) for n in rng.integers(1, 5, size=rng.integers(1, 4))]
        pool = [layers.Dense(4)(x) for x in inputs]
        shared = [layers.Dense(4, activation="tanh"), layers.Dropout(0.3), Scale(1.5)]
        for _ in range(rng.integers(1, 8)):
            picked = [pool[i] for i in rng.integers(0, len(pool), size=2)]
            kind = rng.integers(0, 4)
            if kind == 0:
                new = shared[rng.integers(0, 3)](picked[0])
            elif kind == 1:
                new = layers.Add()(picked)
            elif kind == 2:
                new = functions[rng.integers(0, len(functions))](picked[0])
            else:
                new = picked[0] - picked[1] if rng.integers(0, 2) else layers.Dense(4)(picked[0])
            pool.append(new)
        total = pool[0]
        for symbol in pool[1:]:
            total = total + symbol
        model = keras.Model(inputs, [total, pool[-1]])
        for layer in model.layers:
            layer.trainable = bool(rng.integers(0, 4))
        x = [torch.randn(3, symbol.shape[1]) for symbol in inputs]
        round_trip(model, path, x, custom_objects={"Scale": Scale})
        second = keras.saving.load_model(path, custom_objects={"Scale": Scale})
        second.save(path)
        third = keras.saving.load_model(path, custom_objects={"Scale": Scale})
        assert third.get_config() == model.get_config()


# Compile state


def two_ends():
    x = keras.Input((3,))
    ends = {"p": layers.Dense(1, name="p")(x), "q": layers.Dense(2, name="q")(x)}
    return keras.Model(x, ends)


TWO_ENDS_DATA = (
    torch.linspace(-1, 1, 12).view(4, 3),
    {"p": torch.ones(4, 1), "q": torch.zeros(4, 2)},
)


def results_on_new_data(model):
    model.reset_metrics()
    return model.test_on_batch(*TWO_ENDS_DATA, return_dict=True)


def quartic(y_true, y_pred):
    return torch.mean((y_true - y_pred) ** 4, dim=-1)


@pytest.mark.parametrize(
    "arguments",
    [
        {"loss": "mse", "metrics": {"p": ["mae"], "q": ["mse", "mae"]}},
        {"loss": {"p": "mse", "q": keras.losses.Huber(0.3)}, "loss_weights": {"p": 1.0, "q": 0.2}},
        {"loss": {"p": quartic, "q": "mae"}, "metrics": {"q": keras.metrics.MeanSquaredError()}},
        {"loss": ["mse", keras.losses.MeanAbsoluteError()], "loss_weights": [0.5, 2.0]},
        {"loss": "mse", "weighted_metrics": {"p": ["mae"], "q": ["mae"]}},
    ],
    ids=["names", "objects", "function", "lists", "weighted"],
)
def test_losses_and_metrics(path, arguments):
    register("tests")(quartic)
    model = two_ends()
    model.compile(optimizer="sgd", **arguments)
    model.train_on_batch(*TWO_ENDS_DATA)
    model.save(path)
    loaded = keras.saving.load_model(path)
    expected = results_on_new_data(model)
    assert results_on_new_data(loaded) == expected
    assert len(expected) >= 3 - ("metrics" not in arguments)


def test_settings_of_compile(path):
    model = two_ends()
    model.compile(
        keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(0.1, 7), weight_decay=0.3),
        "mse",
        run_eagerly=True,
        steps_per_execution=3,
    )
    model.save(path)
    loaded = keras.saving.load_model(path)
    assert loaded.run_eagerly is True and loaded.steps_per_execution == 3
    assert loaded.optimizer.get_config() == model.optimizer.get_config()


def test_custom_loss_metric_optimizer_and_schedule(path):
    class Half(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return torch.mean((y_true - y_pred) ** 2, dim=-1) / 2

    class Count(keras.metrics.Metric):
        def __init__(self, name="count", **kwargs):
            super().__init__(name=name, **kwargs)
            self.total = self.add_variable((), "zeros", name="total")

        def update_state(self, y_true, y_pred, sample_weight=None):
            self.total.assign_add(1.0)

        def result(self):
            return self.total.value

    class Step(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step):
            return 0.1

        def get_config(self):
            return {}

    class Plain(keras.optimizers.SGD):
        pass

    known = {cls.__name__: cls for cls in (Half, Count, Step, Plain)}
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    model.compile(Plain(Step()), Half(), metrics=[Count()])
    model.train_on_batch(torch.ones(2, 3), torch.ones(2, 1))
    model.save(path)
    loaded = keras.saving.load_model(path, custom_objects=known)
    assert type(loaded.optimizer) is Plain and type(loaded.loss) is Half
    assert int(loaded.optimizer.iterations) == 1
    one = loaded.train_on_batch(torch.ones(2, 3), torch.ones(2, 1), return_dict=True)
    assert one["count"] == 1
    with pytest.raises(ValueError, match="names the class 'Plain'.*Pass compile=False"):
        keras.saving.load_model(path)
    assert not keras.saving.load_model(path, compile=False).compiled


def test_model_that_was_not_compiled(path):
    two_ends().save(path)
    assert not keras.saving.load_model(path).compiled


def test_empty_compile_config_as_keras_writes_it(path):
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    two_ends().save(path)
    with safe_open(path, framework="pt") as file:
        config = json.loads(file.metadata()["config"])
    config["compile_config"] = {}
    save_file(load_file(path), path, metadata={"config": json.dumps(config)})
    assert not keras.saving.load_model(path).compiled


@pytest.mark.parametrize("loss", [lambda y, p: (y - p).mean(), torch.nn.MSELoss()])
def test_loss_that_no_config_can_describe(path, loss):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    model.compile("sgd", loss)
    with pytest.warns(UserWarning, match="left out: .* Call `compile` again after loading"):
        model.save(path)
    loaded = keras.saving.load_model(path)
    assert not loaded.compiled
    assert_equal(loaded(torch.ones(1, 3)), model(torch.ones(1, 3)))


def test_compile_false_reaches_nested_models(path):
    x = keras.Input((3,))
    inner = keras.Model(x, layers.Dense(3)(x), name="inner")
    inner.compile("sgd", quartic)
    y = keras.Input((3,))
    keras.Model(y, inner(y)).save(path)
    loaded = keras.saving.load_model(path, compile=False)
    assert not loaded.get_layer("inner").compiled
    with pytest.raises(ValueError, match="quartic"):
        keras.saving.load_model(path)
    known = keras.saving.load_model(path, custom_objects={"quartic": quartic})
    assert known.get_layer("inner").loss is quartic


def test_metrics_start_anew(path):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"])
    model.train_on_batch(torch.ones(2, 3), torch.full((2, 1), 100.0))
    model.save(path)
    loaded = keras.saving.load_model(path)
    fresh = loaded.test_on_batch(torch.ones(2, 3), torch.zeros(2, 1), return_dict=True)
    assert fresh["mae"] < 50


def test_loading_leaves_the_saved_model_alone(path):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    before = dict(model.get_config())
    model.save(path)
    loaded = keras.saving.load_model(path)
    loaded.set_weights([np.zeros((3, 1)), np.zeros(1)])
    assert model.get_config() == before
    assert np.abs(model.layers[0].kernel.numpy()).sum() > 0


def test_loaded_weights_do_not_hang_on_the_file(path):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    model.save(path)
    loaded = keras.saving.load_model(path)
    expected = [w.copy() for w in loaded.get_weights()]
    pathlib.Path(path).write_bytes(b"\xff" * os.path.getsize(path))
    for a, b in zip(loaded.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(a, b)


# Paths and arguments


def test_path_objects(tmp_path):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    model.save(tmp_path / "a.safetensors")
    model.save_weights(tmp_path / "b.safetensors")
    loaded = keras.saving.load_model(tmp_path / "a.safetensors")
    loaded.load_weights(tmp_path / "b.safetensors")
    loaded.load_weights(os.fsencode(tmp_path / "b.safetensors"))


def test_saving_twice_gives_the_same_weights_and_config(tmp_path):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    model.save(tmp_path / "a.safetensors")
    keras.saving.load_model(tmp_path / "a.safetensors").save(tmp_path / "b.safetensors")
    from safetensors import safe_open

    with (
        safe_open(tmp_path / "a.safetensors", "pt") as a,
        safe_open(tmp_path / "b.safetensors", "pt") as b,
    ):
        assert a.metadata() == b.metadata()
        assert all(torch.equal(a.get_tensor(n), b.get_tensor(n)) for n in a.keys())


@pytest.mark.parametrize("name", ["m.hdf", "m.keras.zip", "m", "m.safetensors.txt", "m.KERAS"])
def test_other_endings(tmp_path, name):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    path = str(tmp_path / name)
    endings = {
        model.save: "'.safetensors' or '.keras'",
        keras.saving.load_model: "'.safetensors' or '.keras'",
        model.save_weights: "'.safetensors' or '.weights.h5'",
        model.load_weights: "'.safetensors', '.keras', '.weights.h5', '.safetensors.index.json', "
        "'.weights.json', '.h5' or '.hdf5'",
    }
    for call, known in endings.items():
        with pytest.raises(ValueError, match=rf"end in {known}. Received: filepath=.*"):
            call(path)
    assert os.listdir(tmp_path) == []


def test_missing_file(path):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    with pytest.raises(FileNotFoundError, match="no file to load"):
        keras.saving.load_model(path)
    with pytest.raises(FileNotFoundError, match="no file to load"):
        model.load_weights(path)


def test_folder_in_place_of_a_file(path):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    os.mkdir(path)
    with pytest.raises(IsADirectoryError, match="which is a folder"):
        model.save(path)
    with pytest.raises(ValueError, match="cannot be read as one"):
        keras.saving.load_model(path)


def test_missing_folder(tmp_path):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    with pytest.raises(FileNotFoundError, match="Make the folder first"):
        model.save(tmp_path / "runs" / "m.safetensors")


@pytest.mark.parametrize("method", ["save", "save_weights"])
def test_overwrite_false(path, method):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    getattr(model, method)(path, overwrite=False)
    before = pathlib.Path(path).read_bytes()
    with pytest.raises(FileExistsError, match="overwrite=False. Choose another name"):
        getattr(model, method)(path, overwrite=False)
    assert pathlib.Path(path).read_bytes() == before
    getattr(model, method)(path)


def test_arguments_in_the_wrong_order(path):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    with pytest.raises(TypeError, match="takes a model first"):
        keras.saving.save_model(path, model)
    with pytest.raises(TypeError):
        keras.saving.load_model(model)


def test_layers_are_no_models(path):
    layer = layers.Dense(1)
    layer.build((None, 3))
    with pytest.raises(TypeError, match="takes a model first. Received: <Dense"):
        keras.saving.save_model(layer, path)


def test_a_failed_save_leaves_the_old_file(path):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    model.save(path)
    before = pathlib.Path(path).read_bytes()
    model.add(layers.Lambda(lambda x: x))
    with pytest.raises(ValueError, match="lambda"):
        model.save(path)
    assert pathlib.Path(path).read_bytes() == before
    assert os.listdir(os.path.dirname(path)) == ["model.safetensors"]


def test_no_warnings_on_the_plain_way(path):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    model.compile("adam", "mse", metrics=["mae"])
    model.fit(torch.ones(8, 3), torch.ones(8, 1), verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.save(path)
        keras.saving.load_model(path)
