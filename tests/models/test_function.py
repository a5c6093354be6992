"""Function, and operations of one's own in models and their files; beside Keras's."""

import json

import numpy as np
import pytest
import torch

import torchkeras as keras


class Scaled(keras.Operation):
    def __init__(self, factor=2, note="x", name=None):
        super().__init__(name=name)
        self.factor = factor

    def call(self, x, shift=0.0):
        return x * self.factor + shift


class Nameless(keras.Operation):
    def __init__(self, *factors):
        super().__init__()
        self.factors = factors

    def call(self, x):
        return x * self.factors[0]


def make(lib):
    a, b = lib.KerasTensor((None, 3)), lib.KerasTensor((None, 3))
    total = a + b
    return lib.Function({"a": a, "b": b}, [lib.ops.sigmoid(total), {"sum": total}], name="f")


def test_it_is_as_in_keras():
    real = pytest.importorskip("keras")
    a, b = np.random.RandomState(0).randn(2, 4, 3).astype("float32")
    results = []
    for lib in (keras, real):
        function = make(lib)
        first, second = function({"a": a, "b": b})
        results.append((first, second["sum"]))
        assert [type(x).__name__ for x in function.inputs] == ["KerasTensor"] * 2
        assert len(function.operations) == 2 and len(function.outputs) == 2
        shapes = function.compute_output_shape({"a": (5, 3), "b": (5, 3)})
        assert shapes == [(5, 3), {"sum": (5, 3)}]
        symbols = function({"a": lib.Input((3,)), "b": lib.Input((3,))})
        assert symbols[1]["sum"].shape == (None, 3)
        with pytest.raises(ValueError):
            function([a, b, b])
        with pytest.raises(ValueError):
            function({"a": a, "b": b[:, :2]})
        with pytest.raises(ValueError):
            lib.Function([], lib.KerasTensor((2,)))
        with pytest.raises(NotImplementedError):
            function.get_config()
        x = lib.Input((3,))
        hidden = lib.layers.Dense(4, name="hidden")(x)
        part = lib.Function(hidden, lib.ops.relu(hidden * 2))
        assert len(part.operations) == 2
        assert [op.name for op in lib.Function(x, hidden).operations][1:] == ["hidden"]
        with pytest.raises(ValueError):
            lib.Function(x, part(lib.Input((4,))))
    for mine, theirs in zip(*results, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_it_is_a_step_of_a_model_and_trains_its_layers():
    x = keras.Input((3,))
    function = keras.Function(x, keras.layers.Dense(2)(x))
    inputs = keras.Input((3,))
    model = keras.Model(inputs, function(inputs))
    data = torch.ones(4, 3)
    torch.testing.assert_close(model(data), function(data))
    function(data).sum().backward()
    assert function.operations[1].kernel.value.grad is not None


def test_errors_name_what_was_given():
    with pytest.raises(ValueError, match="must be KerasTensors. Received: 3 of type int"):
        keras.Function(3, keras.KerasTensor((2,)))
    function = make(keras)
    with pytest.raises(ValueError, match="'f' takes its inputs in the structure {'a':"):
        function(torch.ones(2))


def test_an_operation_of_ones_own_is_described_by_its_arguments():
    real = pytest.importorskip("keras")

    class Theirs(real.Operation):
        def __init__(self, factor=2, note="x", name=None):
            super().__init__(name=name)

    assert Scaled(3, name="s").get_config() == Theirs(3, name="s").get_config()
    assert Scaled.from_config(Scaled(3).get_config()).factor == 3
    for wrong in (Nameless(1, 2), Scaled(object())):
        with pytest.raises(NotImplementedError, match="needs a `get_config` method of its own"):
            wrong.get_config()


@pytest.mark.parametrize("suffix", [".keras", ".safetensors"])
def test_an_operation_of_ones_own_in_a_file(tmp_path, suffix):
    x = keras.Input((3,))
    model = keras.Model(x, Scaled(3, name="mine")(keras.layers.Dense(2)(x), shift=1.0))
    path = tmp_path / f"model{suffix}"
    model.save(path)
    data = torch.randn(2, 3)
    loaded = keras.models.load_model(path, custom_objects={"Scaled": Scaled})
    torch.testing.assert_close(loaded(data), model(data))
    assert loaded.operations[-1].factor == 3 and loaded.operations[-1].name == "mine"
    with pytest.raises(ValueError, match="Scaled"):
        keras.models.load_model(path)


def test_keras_reads_the_config_of_such_a_model_and_we_read_its():
    real = pytest.importorskip("keras")

    class Theirs(real.Operation):
        def __init__(self, factor=2, note="x", name=None):
            super().__init__(name=name)
            self.factor = factor

        def call(self, x, shift=0.0):
            return x * self.factor + shift

    data = np.ones((2, 3), "float32")
    x = keras.Input((3,), name="x")
    config = json.loads(keras.Model(x, Scaled(3, name="mine")(x, shift=1.0)).to_json())
    model = real.models.model_from_json(json.dumps(config), custom_objects={"Scaled": Theirs})
    assert model(data).detach().numpy().tolist() == [[4.0] * 3] * 2
    x = real.Input((3,), name="x")
    text = real.Model(x, Theirs(3, name="mine")(x, shift=1.0)).to_json()
    model = keras.models.model_from_json(text, custom_objects={"Theirs": Scaled})
    assert model(data).tolist() == [[4.0] * 3] * 2
