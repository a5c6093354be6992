import copy

import numpy as np
import pytest
import torch

import torchkeras as keras

layers, ops = keras.layers, keras.ops
clone_model = keras.models.clone_model
BATCH = torch.randn(4, 3)


def functional():
    x = keras.Input((3,), name="x")
    shared = layers.Dense(3)
    y = shared(layers.Dropout(0.5)(shared(x), training=False))
    y = ops.concatenate([torch.relu(y), x * 2.0], axis=-1)
    return keras.Model(x, {"y": layers.Dense(2)(y), "sum": ops.sum(y, axis=1)}, name="net")


def sequential():
    return keras.Sequential([keras.Input((3,), name="x"), layers.Dense(4), layers.Dense(2)])


def deferred():
    model = keras.Sequential([layers.Dense(4), layers.Dense(2)])
    model(BATCH)
    return model


def nested():
    x = keras.Input((3,))
    return keras.Model(x, layers.Dense(1)(sequential()(x)))


def unbuilt():
    return keras.Sequential([layers.Dense(4)])


@pytest.mark.parametrize("make", [functional, sequential, deferred, nested])
def test_clone_has_the_architecture_and_weights_of_its_own(make):
    model = make()
    clone = clone_model(model)
    assert clone.get_config() == model.get_config()
    assert [w.path for w in clone.weights] == [w.path for w in model.weights]
    assert not {id(p) for p in clone.parameters()} & {id(p) for p in model.parameters()}
    assert not torch.equal(clone.weights[0].value, model.weights[0].value)
    clone.set_weights(model.get_weights())
    torch.testing.assert_close(clone(BATCH), model(BATCH))
    assert all(len(layer._inbound_nodes) < 3 for layer in model.layers)


def test_unbuilt_stack():
    clone = clone_model(unbuilt())
    assert not clone.built and clone.layers[0].units == 4
    assert clone_model(keras.Sequential(name="empty")).name == "empty"


def test_clone_function_replaces_layers():
    def narrow(layer):
        if isinstance(layer, layers.Dropout):
            return layers.Dropout(0.25, name=layer.name)
        return layer  # shared with the original

    model = functional()
    clone = clone_model(model, clone_function=narrow)
    assert clone.get_layer("dropout").rate == 0.25
    assert clone.get_layer("dense") is model.get_layer("dense")
    seen = []
    clone_model(
        sequential(), clone_function=lambda layer: seen.append(layer.name) or copy.copy(layer)
    )
    assert len(seen) == 2  # not the Input


def test_call_function_makes_the_calls():
    called = []

    def call(layer, *args, **kwargs):
        called.append(layer.name)
        y = layer(*args, **kwargs)
        return layers.Dropout(0.1)(y) if isinstance(layer, layers.Dense) else y

    x = keras.Input((3,))
    model = keras.Model(x, ops.relu(layers.Dense(2, name="d")(x)))
    clone = clone_model(model, call_function=call)
    assert [type(layer).__name__ for layer in clone.layers] == ["InputLayer", "Dense", "Dropout"]
    assert called == ["d", "relu"]


def test_input_tensors():
    model = functional()
    x = keras.Input((3,), name="other")
    clone = clone_model(model, input_tensors=x)
    assert clone.input is x and clone.input_names == ["other"]
    stack = clone_model(sequential(), input_tensors=[x])
    assert stack.input is x
    on_top = clone_model(sequential(), input_tensors=x * 2)
    assert on_top(BATCH).shape == (4, 2)
    with pytest.raises(ValueError, match="must be KerasTensors. Received: tensor"):
        clone_model(model, input_tensors=torch.ones(1, 3))
    with pytest.raises(ValueError, match="must have the structure"):
        clone_model(model, input_tensors=[x])
    with pytest.raises(ValueError, match="takes one KerasTensor"):
        clone_model(sequential(), input_tensors=[x, x])


def test_recursive():
    seen = []

    def clone_function(layer):
        seen.append(type(layer).__name__)
        return type(layer).from_config(layer.get_config())

    model = nested()
    clone_model(model, clone_function=clone_function)
    assert seen == ["Sequential", "Dense"]
    seen.clear()
    clone = clone_model(model, clone_function=clone_function, recursive=True)
    assert seen == ["Dense", "Dense", "Dense"]
    clone.set_weights(model.get_weights())
    torch.testing.assert_close(clone(BATCH), model(BATCH))


def test_cache_shares_layers_between_clones():
    cache, model = {}, sequential()
    first, second = clone_model(model, cache=cache), clone_model(model, cache=cache)
    assert first.layers[0] is second.layers[0] is cache[id(model.layers[0])]


def test_lambdas_are_shared_as_functions():
    def double(x, factor=2):
        return x * factor

    x = keras.Input((3,))
    inner = keras.Sequential([layers.Lambda(lambda x: x + 1)])
    y = layers.Lambda(double, arguments={"factor": 5}, output_shape=(3,), name="times")(inner(x))
    clone = clone_model(keras.Model(x, y))
    assert torch.equal(clone(BATCH), (BATCH + 1) * 5)
    assert clone.get_layer("times").function is double


def test_compiled_model_gives_a_compiled_clone():
    model = sequential()
    model.compile(optimizer=keras.optimizers.SGD(0.125), loss="mse", metrics=["mae"])
    clone = clone_model(model)
    assert clone.compiled and clone.loss == "mse"
    assert clone.optimizer is not model.optimizer
    assert float(clone.optimizer.learning_rate) == 0.125
    clone.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)


class Custom(keras.Model):
    def __init__(self, units):
        super().__init__()
        self.dense = layers.Dense(units)

    def call(self, x):
        return self.dense(x)


def test_subclassed_model_is_cloned_by_its_config():
    clone = clone_model(Custom(5))
    assert type(clone) is Custom and clone(BATCH).shape == (4, 5)
    with pytest.raises(ValueError, match="cloned by its config alone"):
        clone_model(Custom(5), clone_function=lambda layer: layer)


def test_frozen_layers_and_optional_inputs_stay_so():
    x = keras.Input((3,), optional=True, name="maybe")
    model = keras.Model(x, layers.Dense(1, name="d")(x))
    model.get_layer("d").trainable = False
    clone = clone_model(model)
    assert clone.get_layer("d").trainable is False and clone.trainable
    assert clone.layers[0].optional is True


def test_wrong_arguments():
    with pytest.raises(ValueError, match="no such arguments. Received: \\['clone_fn'\\]"):
        clone_model(sequential(), clone_fn=None)
    with pytest.raises(ValueError, match="`call_function` goes with functional models"):
        clone_model(sequential(), call_function=lambda layer, x: layer(x))
    with pytest.raises(ValueError, match="takes a model. Received: <Dense"):
        clone_model(layers.Dense(1))


def test_clone_recursive_gives_inner_layers_to_the_function():
    inner = keras.Sequential([keras.Input((3,)), layers.Dense(4, name="inner_dense")], name="inner")
    model = keras.Sequential([keras.Input((3,)), inner, layers.Dense(2, name="outer_dense")])
    for recursive, first in ((False, "inner"), (True, "inner_dense")):
        seen = []

        def clone(layer, seen=seen):
            seen.append(layer.name)
            return type(layer).from_config(layer.get_config())

        copy = keras.models.clone_model(model, clone_function=clone, recursive=recursive)
        assert {first, "outer_dense"} <= set(seen) and ("inner_dense" in seen) is recursive
        assert copy(torch.ones(1, 3)).shape == (1, 2)
