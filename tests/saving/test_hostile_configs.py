"""Configs that are not as `get_config` gives them: errors of the config, in words."""

import json
import sys
import time

import pytest

import torchkeras as keras
from torchkeras.core.claims import ClaimLimit, claim_memory
from torchkeras.core.keras_tensor import KerasTensor

layers = keras.layers


def _config(module, class_name, **settings):
    return {"module": f"keras.{module}", "class_name": class_name, "config": settings}


@pytest.mark.parametrize(
    "config",
    [
        _config("layers", "StackedRNNCells"),
        _config("layers", "TimeDistributed"),
        {"class_name": "__tensor__", "config": {}},
        {"class_name": "__slice__", "config": {"start": 1}},
        {"class_name": "__bytes__", "config": {"value": 3}},
    ],
)
def test_what_is_missing_is_an_error_of_the_config(config):
    with pytest.raises(ValueError, match="must be one that `get_config` gives. Received: .*Error"):
        keras.saving.deserialize_keras_object(config)


@pytest.mark.parametrize("make", [lambda inner: [inner], lambda inner: {"a": inner}])
def test_nesting_beyond_all_sense_is_an_error(make):
    deep = 1
    for _ in range(5000):
        deep = make(deep)
    circle = make(None)
    circle[next(iter(circle)) if isinstance(circle, dict) else 0] = circle
    for config in (deep, circle):
        with pytest.raises(ValueError, match="nested too deeply"):
            keras.saving.deserialize_keras_object(config)


def test_errors_of_a_users_own_class_are_told():
    class Own(layers.Layer):
        @classmethod
        def from_config(cls, config):
            raise OSError("no such thing")

    config = {"module": "x", "class_name": "Own", "config": {}}
    with pytest.raises(OSError, match="no such thing"):
        keras.saving.deserialize_keras_object(config, custom_objects={"Own": Own})


def _text(layer=None, metric=None):
    model = keras.Sequential([keras.Input((3,), name="x"), layers.Dense(2, name="d")], name="m")
    model.compile("sgd", "mse")
    config = json.loads(model.to_json())
    if layer is not None:
        config["config"]["layers"][1] = layer
    if metric is not None:
        config["compile_config"]["metrics"] = [metric]
    return json.dumps(config)


@pytest.mark.parametrize(
    "parts",
    [
        {"metric": _config("metrics", "AUC", num_thresholds=2 * 10**8)},
        {"layer": _config("layers", "StringLookup", num_oov_indices=2 * 10**8)},
        {"layer": _config("layers", "TextVectorization", ngrams=2 * 10**8)},
    ],
)
def test_a_text_cannot_ask_for_long_lists(parts):
    start = time.process_time()
    told = r"(in proportion to its description|at most 2\*\*20)\. Received: "
    with pytest.raises(ValueError, match=told):
        keras.models.model_from_json(_text(**parts))
    assert time.process_time() - start < 1


def test_a_text_that_describes_no_whole_model():
    inner = {"module": "keras", "class_name": "Model", "config": {"name": "y"}}
    with pytest.raises(ValueError, match="must"):
        keras.models.model_from_json(_text(layer=inner))


def test_limits_of_claims_end_with_their_scope():
    with ClaimLimit(100):
        claim_memory(60)
        with pytest.raises(ValueError, match="asks for 120 bytes, where 100 are allowed"):
            claim_memory(60)
    claim_memory(10**9)


@pytest.mark.parametrize("name", ["tensor_split", "unbind", "chunk"])
def test_a_step_of_a_file_makes_no_millions_of_parts(tmp_path, name):
    import torch

    x = keras.Input((3,), name="x", batch_size=2)
    model = keras.Model(x, torch.chunk(x.expand(2, 3), 2, 0), name="m")
    config = json.loads(model.to_json())
    expand, split = config["config"]["layers"][1:]
    first = expand["inbound_nodes"][0]["args"]
    first[1:] = [10**7, 2, 3]
    split["config"]["function"] = f"torch.{name}"
    split["inbound_nodes"][0]["args"][1:] = [10**7] * (name != "unbind")
    start = time.process_time()
    with pytest.raises(ValueError, match="in proportion"):
        keras.models.model_from_json(json.dumps(config))
    assert time.process_time() - start < 1


@pytest.mark.parametrize("given", [{}, {"dtype": "int32"}, {"dtype": "float16"}, {"retstep": True}])
def test_linspace_of_symbols_makes_no_values(given):
    made = keras.ops.linspace(KerasTensor((None, 3)), 1.0, num=2**40, **given)
    small = keras.ops.linspace(keras.ops.zeros((2, 3)), 1.0, num=4, **given)
    pairs = zip(made, small, strict=True) if given.get("retstep") else [(made, small)]
    for symbol, tensor in pairs:
        assert symbol.dtype == keras.backend.standardize_dtype(tensor.dtype)
    first = made[0] if given.get("retstep") else made
    assert first.shape == (2**40, None, 3)


# Costs


def _calls_of(function):
    counted = [0]

    def count(frame, event, argument):
        counted[0] += event == "call"

    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
    return counted[0]


def _stack(count):
    return keras.Sequential([keras.Input((3,)), *[layers.Dense(3) for _ in range(count)]])


def _residual(count):
    x = inputs = keras.Input((3,))
    for _ in range(count // 2):
        x = layers.add([x, layers.Dense(3)(x)])
    return keras.Model(inputs, x)


def _shared(count):
    x, layer = keras.Input((3,)), layers.Dense(3)
    inputs = x
    for _ in range(count):
        x = layer(x)
    return keras.Model(inputs, x)


@pytest.mark.parametrize("make", [_stack, _residual, _shared])
@pytest.mark.parametrize("ending", [".keras", ".safetensors", ".json"])
def test_reading_takes_the_same_for_each_layer(tmp_path, make, ending):
    counts = []
    for count in (2, 40, 320):
        model = make(count)
        if ending == ".json":
            text = model.to_json()
            counts.append(_calls_of(lambda text=text: keras.models.model_from_json(text)))
        else:
            path = tmp_path / f"{count}{ending}"
            model.save(path)
            counts.append(_calls_of(lambda path=path: keras.saving.load_model(path)))
    assert counts[2] < 8.4 * counts[1]


@pytest.mark.slow
@pytest.mark.parametrize("make", [_stack, _residual, _shared])
def test_two_thousand_layers_take_four_times_as_long_as_five_hundred(tmp_path, make):
    import gc

    seconds = {}
    gc.collect()
    gc.disable()  # a full collection, now and then, takes as long as the load of 500 layers
    try:
        for count in (500, 2000):
            path = tmp_path / f"{count}.safetensors"
            make(count).save(path)
            seconds[count] = []
            for _ in range(3):
                start = time.process_time()
                keras.saving.load_model(path)
                seconds[count].append(time.process_time() - start)
    finally:
        gc.enable()
    assert min(seconds[2000]) < 4.5 * min(seconds[500])
