"""What a load costs: work that grows with the file, no numbers drawn in vain, all or nothing."""

import json
import random

import pytest
import torch

import torchkeras as keras
from torchkeras import layers
from torchkeras.core.claims import claim_memory, values_follow
from torchkeras.models import sequential
from torchkeras.saving.memory_limit import MemoryLimit
from torchkeras.saving.messages import json_object
from torchkeras.saving.optimizer_state import get_optimizer_state, set_optimizer_state


class Drawn(keras.initializers.RandomNormal):
    calls = 0

    def __call__(self, shape, dtype=None):
        Drawn.calls += 1
        return super().__call__(shape, dtype)


def model_with(initializer):
    made = layers.Dense(4, kernel_initializer=initializer)
    return keras.Sequential([keras.Input((3,)), made])


@pytest.mark.parametrize("ending", [".safetensors", ".keras"])
def test_no_numbers_are_drawn_for_weights_that_follow(tmp_path, monkeypatch, ending):
    model, path = model_with(keras.initializers.Orthogonal(seed=1)), tmp_path / f"model{ending}"
    model.save(path)

    def refuse(*args, **kwargs):
        raise AssertionError("drawn")

    monkeypatch.setattr(keras.initializers.Orthogonal, "__call__", refuse)
    again = keras.saving.load_model(path)
    assert torch.equal(again.layers[0].kernel.value, model.layers[0].kernel.value)
    with pytest.raises(AssertionError, match="drawn"):
        keras.models.model_from_json(model.to_json())  # fresh weights


def test_an_initializer_of_the_program_is_called(tmp_path):
    path = tmp_path / "model.safetensors"
    model_with(Drawn()).save(path)
    before = Drawn.calls
    keras.saving.load_model(path, custom_objects={"Drawn": Drawn})
    assert Drawn.calls == before + 1


def test_claims_count_where_a_file_is_read(monkeypatch):
    claim_memory(2**60)
    with MemoryLimit(0, values_follow=True) as limit:
        claim_memory(1000)
        assert values_follow() and limit._asked == 1000
        with MemoryLimit(0), pytest.raises(ValueError, match="damaged or hostile"):
            assert not values_follow()
            claim_memory(2**40)
        assert values_follow()
    assert not values_follow()


def test_a_sequential_is_registered_once_however_long_it_is(monkeypatch):
    counts = []
    register = sequential.register_layers
    monkeypatch.setattr(
        sequential,
        "register_layers",
        lambda model, found: (counts.append(len(found)), register(model, found)),
    )
    made = [layers.Dense(1, name=f"d{i}") for i in range(50)]
    model = keras.Sequential(made)
    assert sum(counts) == 50
    counts.clear()
    keras.Sequential.from_config(model.get_config())
    assert sum(counts) == 50


def test_layers_of_a_functional_config_may_stand_in_any_order():
    x = y = keras.Input((3,), name="x")
    shared = layers.Dense(3, name="shared")
    for i in range(6):
        y = layers.Dense(3, name=f"d{i}")(shared(y))
        y = layers.Add(name=f"a{i}")([y, x])
    model = keras.Model(x, layers.Concatenate()([y, shared(y)]))
    config, data = json.loads(model.to_json()), torch.randn(2, 3)
    for seed in range(5):
        random.Random(seed).shuffle(config["config"]["layers"])
        again = keras.models.model_from_json(json.dumps(config))
        again.load_state_dict(model.state_dict())
        assert torch.equal(again(data), model(data))


def test_work_on_a_functional_config_backwards_is_linear(monkeypatch):
    from torchkeras.models import functional_config

    counted = []
    revive = functional_config._revive_arguments
    monkeypatch.setattr(
        functional_config, "_revive_arguments", lambda *a: (counted.append(1), revive(*a))[1]
    )
    x = y = keras.Input((3,))
    for _ in range(40):
        y = torch.relu(y)
    config = json.loads(keras.Model(x, y).to_json())
    config["config"]["layers"].reverse()
    keras.models.model_from_json(json.dumps(config))
    assert len(counted) == 79  # each of 40 twice, but the first one


def test_json_of_very_many_parts_is_not_read():
    text = '{"a": [' + "[]," * 2_000_000 + "[]]}"
    with pytest.raises(ValueError, match="4000003 parts"):
        json_object(text, "x.keras", ".keras", size=6000)
    numbers = json.dumps({"a": [0.123456789] * 1000})
    assert len(json_object(numbers, "x.keras")["a"]) == 1000


def test_deep_json_is_a_value_error():
    with pytest.raises(ValueError, match="nested too deeply"):
        keras.models.model_from_json("[" * 10**5)


def compiled(optimizer="adam"):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4, name="d")])
    model.compile(optimizer, "mse")
    return model


@pytest.mark.parametrize(
    "spoil",
    [
        lambda tensors: tensors[:-1],
        lambda tensors: [*tensors[:-1], torch.zeros(9)],
        lambda tensors: [*tensors[:-1], tensors[-1].to(torch.complex64)],
    ],
)
def test_a_refused_state_leaves_an_optimizer_unbuilt(spoil):
    model = compiled()
    model.train_on_batch(torch.ones(2, 3), torch.ones(2, 4))
    tensors, frame = get_optimizer_state(model.optimizer, model)
    fresh = compiled()
    fresh.optimizer = keras.optimizers.Adam()
    with pytest.raises(ValueError, match="The state"):
        set_optimizer_state(fresh, spoil(list(tensors)), frame)
    assert not fresh.optimizer.built
    set_optimizer_state(fresh, tensors, frame)
    assert fresh.optimizer.built and int(fresh.optimizer.iterations) == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('["lr", 0.001]', '["lr", "fast"]'),
        ('["betas", {"tuple": [0.9, 0.999]}]', '["betas", {"tuple": [0.9]}]'),
        ('{"tensor": 0}', '{"tensor": -1}'),
        ('"iterations": 1', '"iterations": 1.5'),
    ],
)
def test_options_of_a_torch_optimizer_keep_their_kinds(old, new):
    model = compiled(torch.optim.Adam)
    model.train_on_batch(torch.ones(2, 3), torch.ones(2, 4))
    tensors, frame = get_optimizer_state(model.optimizer, model)
    text = json.dumps(frame)
    assert old in text
    before = json.dumps(get_optimizer_state(model.optimizer, model)[1])
    with pytest.raises(ValueError, match="does not fit it"):
        set_optimizer_state(model, tensors, json.loads(text.replace(old, new)))
    assert json.dumps(get_optimizer_state(model.optimizer, model)[1]) == before
