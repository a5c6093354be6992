import functools
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import torchkeras as keras
from tests.saved_files import without_checksums
from torchkeras.saving.optimizer_state import get_optimizer_state, set_optimizer_state

X = torch.linspace(-1, 1, 72).view(24, 3)
Y = torch.stack([X.sum(1), X.prod(1)], 1)
schedules = keras.optimizers.schedules

OURS = {
    "adam": lambda: keras.optimizers.Adam(0.01),
    "adamw": lambda: keras.optimizers.AdamW(0.01, amsgrad=True),
    "sgd": lambda: keras.optimizers.SGD(0.01),
    "momentum": lambda: keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True),
    "rmsprop": lambda: keras.optimizers.RMSprop(0.01, momentum=0.5, centered=True),
    "adagrad": lambda: keras.optimizers.Adagrad(0.01),
    "adadelta": lambda: keras.optimizers.Adadelta(0.01),
    "adamax": lambda: keras.optimizers.Adamax(0.01),
    "adafactor": lambda: keras.optimizers.Adafactor(0.01),
    "muon": lambda: keras.optimizers.Muon(0.01),
    "schedule_free": lambda: keras.optimizers.ScheduleFreeAdamW(0.01),
    "nadam": lambda: keras.optimizers.Nadam(0.01),
    "lion": lambda: keras.optimizers.Lion(0.01),
    "ema": lambda: keras.optimizers.Adam(0.01, use_ema=True, ema_overwrite_frequency=3),
    "accumulation": lambda: keras.optimizers.Adam(0.01, gradient_accumulation_steps=3),
    "schedule": lambda: keras.optimizers.SGD(schedules.ExponentialDecay(0.1, 2, 0.5)),
    "cosine": lambda: keras.optimizers.Adam(schedules.CosineDecay(0.1, 20), clipnorm=1.0),
}
TORCHS = {
    "Adam": functools.partial(torch.optim.Adam, lr=0.01),
    "AdamW": functools.partial(torch.optim.AdamW, lr=0.01, amsgrad=True),
    "fused": functools.partial(torch.optim.Adam, lr=0.01, fused=True),
    "SGD": functools.partial(torch.optim.SGD, lr=0.01, momentum=0.9),
    "RMSprop": functools.partial(torch.optim.RMSprop, lr=0.01),
    "Adafactor": torch.optim.Adafactor,
    "NAdam": torch.optim.NAdam,
}


def make(optimizer=None):
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(8, activation="relu"),
            keras.layers.Dropout(0.5, seed=3),
            keras.layers.Dense(2),
        ]
    )
    if optimizer is not None:
        model.compile(optimizer(), "mse")
    return model


def train(model, first, last):
    """Steps `first` to `last - 1` of one fixed plan."""
    for step in range(first, last):
        rows = slice(4 * (step % 6), 4 * (step % 6) + 4)
        model.train_on_batch(X[rows], Y[rows])


def assert_same(a, b):
    assert len(a) == len(b)
    for one, two in zip(a, b, strict=True):
        np.testing.assert_array_equal(one.numpy(), two.numpy())


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "model.safetensors")


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("stop", [1, 4, 5])
def test_training_goes_on_as_if_never_interrupted(path, name, stop):
    expected = make(OURS[name])
    train(expected, 0, 9)
    first = make(OURS[name])
    train(first, 0, stop)
    first.save(path)
    keras.utils.set_random_seed(99)
    second = keras.saving.load_model(path)
    train(second, stop, 9)
    assert_same(second.variables, expected.variables)  # weights and seeds
    assert_same(second.optimizer.variables, expected.optimizer.variables)


def test_fit_goes_on_as_if_never_interrupted(path):
    settings = {"batch_size": 4, "shuffle": False, "verbose": 0}
    expected = make(OURS["ema"])
    expected.fit(X, Y, epochs=2, **settings)
    expected.fit(X, Y, epochs=2, **settings)
    first = make(OURS["ema"])
    first.fit(X, Y, epochs=2, **settings)
    first.save(path)
    second = keras.saving.load_model(path)
    second.fit(X, Y, epochs=2, **settings)
    assert_same(second.variables, expected.variables)


@pytest.mark.parametrize("name", TORCHS)
def test_torch_optimizers_go_on_after_load_optimizer_state(path, name):
    def torch_make():
        model = make()
        model.compile(TORCHS[name], "mse")
        return model

    expected = torch_make()
    train(expected, 0, 9)
    first = torch_make()
    train(first, 0, 5)
    with pytest.warns(UserWarning, match="Call `compile` again after loading"):
        first.save(path)
    second = keras.saving.load_model(path)
    assert not second.compiled
    second.compile(TORCHS[name], "mse")
    keras.saving.load_optimizer_state(second, path)
    assert int(second.optimizer.iterations) == 5
    train(second, 5, 9)
    assert_same(second.variables, expected.variables)


def test_torch_optimizer_instance_and_its_options(path):
    model = make()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, foreach=True)
    model.compile(optimizer, "mse")
    train(model, 0, 2)
    optimizer.param_groups[0]["lr"] = 0.5
    with pytest.warns(UserWarning, match="left out"):
        model.save(path)
    other = keras.saving.load_model(path)
    new = torch.optim.Adam(other.parameters(), lr=1.0, betas=(0.5, 0.5), fused=True)
    other.compile(new, "mse")
    keras.saving.load_optimizer_state(other, path)
    group = new.param_groups[0]
    assert group["lr"] == 0.5 and group["betas"] == (0.9, 0.999)
    assert group["fused"] is True and group["foreach"] is None  # how to compute: the program's


def test_torch_optimizer_that_was_never_built(path):
    model = make()
    model.compile(TORCHS["Adam"], "mse")
    with pytest.warns(UserWarning, match="left out"):
        model.save(path)
    other = keras.saving.load_model(path)
    other.compile(TORCHS["Adam"], "mse")
    with pytest.raises(ValueError, match="which has none"):
        keras.saving.load_optimizer_state(other, path)


def test_lbfgs_state_with_lists_survives_json():
    weight = torch.nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))
    optimizer = torch.optim.LBFGS([weight], max_iter=3)

    def closure():
        optimizer.zero_grad()
        loss = (weight**4).sum()
        loss.backward()
        return loss

    optimizer.step(closure)

    class Holder:
        built = True
        iterations = keras.Variable(0, dtype="int32")

    ours = keras.optimizers.TorchOptimizer(optimizer)
    ours.built = True
    tensors, frame = get_optimizer_state(ours)
    frame = json.loads(json.dumps(frame))
    tensors = [tensor.clone() for tensor in tensors]
    before = weight.detach().clone()
    optimizer.step(closure)
    expected = weight.detach().clone()
    with torch.no_grad():
        weight.copy_(before)
    holder = Holder()
    holder.optimizer = ours
    set_optimizer_state(holder, tensors, frame)
    optimizer.step(closure)
    assert torch.equal(weight, expected)


def test_state_that_no_file_can_hold():
    model = make()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    optimizer.param_groups[0]["note"] = object()
    model.compile(optimizer, "mse")
    model.optimizer.build(model.trainable_variables)
    with pytest.raises(ValueError, match="include_optimizer=False"):
        get_optimizer_state(model.optimizer)


def test_state_goes_into_a_model_compiled_by_hand(path):
    model = make(OURS["adam"])
    train(model, 0, 3)
    model.save(path)
    other = make(OURS["adam"])
    other.load_weights(path)
    keras.saving.load_optimizer_state(other, path)
    assert_same(other.optimizer.variables, model.optimizer.variables)


def test_optimizer_of_another_kind(path):
    model = make(OURS["adam"])
    train(model, 0, 1)
    model.save(path)
    for other, message in (
        (OURS["sgd"], r"has 2 tensors.*Received: 10 tensors"),
        (lambda: TORCHS["Adam"], "the state of a torchkeras optimizer for <TorchOptimizer"),
    ):
        second = make(other)
        with pytest.raises(ValueError, match=message):
            keras.saving.load_optimizer_state(second, path)
        assert int(second.optimizer.iterations) == 0
    torch_model = make(lambda: TORCHS["SGD"])
    train(torch_model, 0, 1)
    with pytest.warns(UserWarning, match="left out"):
        torch_model.save(path)
    for other, message in (
        (OURS["adam"], "the state of a torch optimizer for <Adam"),
        (lambda: TORCHS["Adam"], "torch optimizer 'SGD' for a Adam"),
    ):
        with pytest.raises(ValueError, match=message):
            keras.saving.load_optimizer_state(make(other), path)


def test_models_that_are_not_ready(path):
    make(OURS["adam"]).save(path)
    with pytest.raises(ValueError, match="Call `compile` first"):
        keras.saving.load_optimizer_state(make(), path)
    unbuilt = keras.Sequential([keras.layers.Dense(2)])
    unbuilt.compile("adam", "mse")
    with pytest.raises(ValueError, match="an unbuilt Sequential"):
        keras.saving.load_optimizer_state(unbuilt, path)
    with pytest.raises(ValueError, match="which has none"):
        keras.saving.load_optimizer_state(make(OURS["adam"]), path)


# Freezing and thawing between the build of the optimizer and the file

FREEZES = {
    "frozen": ([True, True], [False, True]),
    "thawed": ([False, True], [True, True]),
    "exchanged": ([False, True], [True, False]),
}


def freeze(model, flags):
    for layer, flag in zip((model.layers[0], model.layers[-1]), flags, strict=True):
        layer.trainable = flag


@pytest.mark.parametrize("ending", ["safetensors", "keras", "h5 inside"])
@pytest.mark.parametrize("before, after", FREEZES.values(), ids=FREEZES)
@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_layers_frozen_after_the_optimizer_was_built_keep_its_state(
    name, before, after, ending, tmp_path
):
    if ending == "h5 inside":
        pytest.importorskip("h5py")
    path = str(tmp_path / f"model.{ending.replace('h5 inside', 'keras')}")
    model = make(OURS[name])
    freeze(model, before)
    train(model, 0, 3)
    freeze(model, after)
    options = {"weights_format": "h5"} if ending == "h5 inside" else {}
    model.save(path, **options)
    loaded = keras.saving.load_model(path)
    assert [loaded.layers[i].trainable for i in (0, -1)] == after
    assert_same(loaded.optimizer.variables, model.optimizer.variables)
    both = [a and b for a, b in zip(before, after, strict=True)]
    for each in (model, loaded):
        if any(both):
            freeze(each, both)
            train(each, 3, 5)
    assert_same(loaded.weights, model.weights)


def test_state_of_frozen_layers_goes_into_an_optimizer_built_on_others(path):
    model = make(OURS["adam"])
    train(model, 0, 3)
    freeze(model, [False, True])
    model.save(path)
    other = make(OURS["adam"])
    freeze(other, [False, True])
    train(other, 0, 1)
    given = other.optimizer
    keras.saving.load_optimizer_state(other, path)
    assert other.optimizer is given and int(given.iterations) == 3
    assert_same(given.variables, model.optimizer.variables)


def test_state_of_a_torch_optimizer_after_freezing(path):
    def factory():
        return lambda parameters: torch.optim.Adam(parameters, lr=0.01)

    model = make(factory)
    train(model, 0, 3)
    freeze(model, [False, True])
    with pytest.warns(UserWarning, match="left out"):
        model.save(path)
    other = make(factory)
    for own, saved in zip(other.variables, model.variables, strict=True):
        own.assign(saved)  # seeds, too, which weights files leave out
    freeze(other, [False, True])
    keras.saving.load_optimizer_state(other, path)
    assert len(other.optimizer.optimizer.state) == len(model.optimizer.optimizer.state) == 4
    for each in (model, other):
        train(each, 3, 5)
        freeze(each, [True, True])
        train(each, 5, 7)
    assert_same(other.weights, model.weights)


@pytest.mark.parametrize("names", [5, ["unheard"], [["a"]], [1], ["0.kernel"] * 3])
def test_names_of_weights_that_are_none(path, names):
    model = make(OURS["adam"])
    train(model, 0, 1)
    freeze(model, [False, True])
    model.save(path)
    with safe_open(path, framework="pt") as file:
        metadata = without_checksums(file.metadata())
    tensors = load_file(path)
    save_file(tensors, path, metadata={**metadata, "optimizer": json.dumps({"variables": names})})
    other = make(OURS["adam"])
    with pytest.raises(ValueError):
        keras.saving.load_optimizer_state(other, path)


# Hostile states


def saved_torch_model(path):
    model = make(lambda: TORCHS["Adam"])
    train(model, 0, 1)
    with pytest.warns(UserWarning, match="left out"):
        model.save(path)
    with safe_open(path, framework="pt") as file:
        return model, load_file(path), without_checksums(file.metadata())


FRAMES = [
    "",
    "[]",
    "5",
    "{}",
    '{"class_name": "Adam"}',
    '{"class_name": "Adam", "iterations": 1, "state": []}',
    '{"class_name": "Adam", "iterations": "x", "state": {"tensor": 0}}',
    '{"class_name": "Adam", "iterations": 1e99, "state": {"tensor": 0}}',
    '{"class_name": "Adam", "iterations": 1, "state": {"tensor": -99}}',
    '{"class_name": "Adam", "iterations": 1, "state": {"tensor": "a"}}',
    '{"class_name": "Adam", "iterations": 1, "state": {"dict": [["a"]]}}',
    '{"class_name": "Adam", "iterations": 1, "state": {"dict": [[{}, 1]]}}',
    '{"class_name": "Adam", "iterations": 1, "state": {"call": "os.system"}}',
    '{"class_name": "Adam", "iterations": 1, "state": {"dict": [["state", 1]], "list": []}}',
    '{"class_name": ["Adam"], "iterations": 1, "state": {}}',
    '{"class_name": "Adam", "iterations": 1, "state": ' + '{"list": [' * 400 + "]}" * 400 + "}",
]


@pytest.mark.parametrize("frame", FRAMES, ids=range(len(FRAMES)))
def test_frame_that_describes_no_state(path, frame):
    model, tensors, metadata = saved_torch_model(path)
    save_file(tensors, path, metadata={**metadata, "optimizer": frame})
    before = model.optimizer.state_dict()
    with pytest.raises(ValueError):
        keras.saving.load_optimizer_state(model, path)
    after = model.optimizer.state_dict()
    assert after["param_groups"] == before["param_groups"]
    assert all(after["state"][i]["exp_avg"] is before["state"][i]["exp_avg"] for i in range(4))


@pytest.mark.parametrize("number", ["4294967296", "[1, 2]", "null"])
def test_counter_that_is_no_counter(path, number):
    model, tensors, metadata = saved_torch_model(path)
    frame = metadata["optimizer"].replace('"iterations": 1', f'"iterations": {number}')
    assert frame != metadata["optimizer"]
    save_file(tensors, path, metadata={**metadata, "optimizer": frame})
    state = model.optimizer.optimizer.state
    moments = [values["exp_avg"] for values in state.values()]
    with pytest.raises(ValueError, match="does not fit it"):
        keras.saving.load_optimizer_state(model, path)
    assert all(v["exp_avg"] is m for v, m in zip(state.values(), moments, strict=True))
    assert int(model.optimizer.iterations) == 1


def test_tensors_that_are_missing_or_too_many(path):
    model = make(OURS["adam"])
    train(model, 0, 2)
    model.save(path)
    with safe_open(path, framework="pt") as file:
        metadata = without_checksums(file.metadata())
    tensors = load_file(path)
    for changed in (
        {k: v for k, v in tensors.items() if k != "optimizer/3"},
        {**tensors, "optimizer/10": torch.zeros(1)},
        {**tensors, "optimizer/x": torch.zeros(1)},
        {**tensors, "optimizer/3": torch.zeros(1)},
    ):
        save_file(changed, path, metadata=metadata)
        before = [v.numpy().copy() for v in model.optimizer.variables]
        with pytest.raises(ValueError):
            keras.saving.load_optimizer_state(model, path)
        for variable, old in zip(model.optimizer.variables, before, strict=True):
            np.testing.assert_array_equal(variable.numpy(), old)


_CRASH = """
import sys, functools, torch
import torchkeras as keras
model = keras.Sequential([keras.Input((500,)), keras.layers.Dense(500)])
model.compile(functools.partial(torch.optim.Adam, fused=True), "mse")
try:
    keras.saving.load_optimizer_state(model, sys.argv[1])
except ValueError as error:
    print("refused:", error)
for _ in range(5):
    model.train_on_batch(torch.ones(2, 500), torch.ones(2, 500))
print("alive")
"""


def test_fused_kernels_never_see_a_state_of_wrong_size(path):
    # torch's fused Adam reads past the end of a state that is smaller than its parameter.
    model = keras.Sequential([keras.Input((500,)), keras.layers.Dense(500)])
    model.compile(torch.optim.Adam, "mse")
    model.train_on_batch(torch.ones(2, 500), torch.ones(2, 500))
    with pytest.warns(UserWarning, match="left out"):
        model.save(path)
    with safe_open(path, framework="pt") as file:
        metadata = without_checksums(file.metadata())
    metadata["optimizer"] = metadata["optimizer"].replace('["fused", null]', '["fused", true]')
    good = load_file(path)
    tensors = dict(good)
    for name in [n for n in tensors if n.startswith("optimizer/")]:
        tensors[name] = torch.zeros(1) if tensors[name].dim() else tensors[name]
    save_file(tensors, path, metadata=metadata)
    done = subprocess.run(
        [sys.executable, "-c", _CRASH, path], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "refused:" in done.stdout and "must have shape (500, 500)" in done.stdout
    assert done.stdout.endswith("alive\n")
    with pytest.raises(ValueError, match=r"must have shape \(500, 500\)"):
        keras.saving.load_optimizer_state(model, path)
    # The file cannot switch the fused kernels on where the program has them off.
    save_file(good, path, metadata=metadata)
    keras.saving.load_optimizer_state(model, path)
    assert model.optimizer.optimizer.param_groups[0]["fused"] is None
