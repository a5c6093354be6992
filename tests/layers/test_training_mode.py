"""Who decides whether a layer trains: Keras's rule, torch's rule, and who has said so himself."""

import copy
import pickle
import warnings

import numpy as np
import pytest
import torch
from torch import nn

import torchkeras as keras
from torchkeras import layers
from torchkeras.layers import training_mode

X = torch.ones(64, 32)


def drop():
    return layers.Dropout(0.5)


def drops(function, x=X):
    """Whether a call puts zeros where ones were."""
    return bool((function(x) == 0).any())


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.drop = drop()

    def call(self, x):
        return self.drop(x)


class Late(layers.Layer):
    """Makes its parts when it is built."""

    def build(self, input_shape):
        self.drop = drop()
        self.plain = nn.Dropout(0.5)
        self.more = [drop()]

    def call(self, x):
        return self.more[0](self.drop(x))


class Net(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x)


def functional(layer=None):
    inputs = keras.Input((32,))
    return keras.Model(inputs, (layer or drop())(inputs))


MAKERS = {
    "layer": drop,
    "sequential": lambda: keras.Sequential([drop()]),
    "functional": functional,
    "subclassed": Subclassed,
    "late": Late,
    "nested": lambda: keras.Sequential([keras.Input((32,)), keras.Sequential([drop()])]),
    "plain inside": lambda: keras.Sequential([keras.Input((32,)), nn.Dropout(0.5)]),
    "container inside": lambda: keras.Sequential([nn.Sequential(drop())]),
}

CONTAINERS = {
    "nn.Sequential": nn.Sequential,
    "add_module": lambda layer: _with(nn.Sequential(), "add_module", "0", layer),
    "append": lambda layer: nn.Sequential().append(layer),
    "ModuleList": lambda layer: nn.ModuleList([layer])[0],
    "ModuleList.extend": lambda layer: nn.ModuleList().extend([layer])[0],
    "ModuleDict": lambda layer: nn.ModuleDict({"a": layer})["a"],
    "own module": Net,
    "deep": lambda layer: Net(nn.Sequential(nn.Identity(), Net(layer))),
    "DataParallel": lambda layer: nn.DataParallel(layer),
}


def _with(module, method, *args):
    getattr(module, method)(*args)
    return module


@pytest.mark.parametrize("kind", MAKERS)
def test_a_call_of_a_layer_or_model_is_inference(kind):
    layer = MAKERS[kind]()
    assert not drops(layer) and not drops(layer)
    assert drops(lambda x: layer(x, training=True)) and not drops(layer)


@pytest.mark.parametrize("built", [False, True])
@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("kind", MAKERS)
def test_part_of_a_plain_torch_module_it_trains(kind, container, built):
    layer = MAKERS[kind]()
    if built:
        layer(X)
    module = CONTAINERS[container](layer)
    assert drops(module) and drops(module)
    assert all(part.training for part in module.modules())
    module.eval()
    assert not drops(module)
    module.train()
    assert drops(module)


@pytest.mark.parametrize("kind", MAKERS)
def test_compiled_and_part_of_a_torch_module_it_trains(kind):
    layer = MAKERS[kind]()
    layer(X)
    module = Net(torch.compile(layer, backend="eager"))
    assert drops(module)
    module.eval()
    assert not drops(module)


def test_batch_normalization_in_a_torch_loop_that_never_says_train():
    net = nn.Sequential(layers.Dense(4), layers.BatchNormalization(momentum=0.9))
    x = torch.randn(16, 3)
    net(x)
    batch = net[0](x)
    want = 0.1 * batch.mean(0)
    torch.testing.assert_close(net[1].moving_mean.value, want.detach(), atol=1e-6, rtol=1e-5)


class LightningLike(nn.Module):
    """What Lightning does: it keeps the modes it finds, and evaluates in between."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def training_step(self, batch):
        x, y = batch
        return nn.functional.mse_loss(self.model(x), y)

    def run(self, batches):
        seen = []
        optimizer = torch.optim.SGD(self.parameters(), 0.1)
        for batch in batches:
            optimizer.zero_grad()
            self.training_step(batch).backward()
            optimizer.step()
            seen.append(drops(self.model))
            flags = {module: module.training for module in self.modules()}
            self.eval()
            seen.append(drops(self.model))
            for module, flag in flags.items():
                module.training = flag
        return seen


@pytest.mark.parametrize("kind", ["sequential", "functional", "subclassed"])
def test_a_loop_like_lightnings(kind):
    model = keras.Sequential([keras.Input((32,)), layers.Dense(32), MAKERS[kind]()])
    assert LightningLike(model).run([(X, X)] * 2) == [True, False] * 2


def test_what_somebody_has_set_stays():
    frozen, other, flag, model = drop(), drop(), drop(), functional()
    frozen.eval(), other.train(), model.eval()
    flag.training = True
    flag.training = False
    net = nn.Sequential(frozen, flag, model, other)
    assert [part.training for part in net] == [False, False, False, True]
    inner = keras.Sequential([drop(), drop()])
    inner.layers[0].eval()
    Net(inner)
    assert [layer.training for layer in inner.layers] == [False, True]
    assert [layer.training for layer in keras.Sequential([other, drop()]).layers] == [True, False]


def test_a_torch_module_in_inference_mode_hands_it_down():
    net = Net(nn.Identity()).eval()
    net.layer = drop()
    assert not net.layer.training
    net.train()
    assert net.layer.training


def test_a_new_part_takes_the_mode_of_its_layer():
    model = keras.Sequential([keras.Input((32,)), drop()])
    Net(model)
    model.add(layers.Dropout(0.5))
    assert [layer.training for layer in model.layers] == [True, True]
    layer = Late().train()
    layer(X)
    assert all(part.training for part in layer.modules())


def test_a_torch_module_among_keras_layers_takes_their_mode():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.drop = drop()
            self.seq = nn.Sequential(self.drop, drop())
            self.parts = nn.ModuleList([drop()])

        def call(self, x):
            return self.parts[0](self.seq(x))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = Own()
    assert not drops(model)
    assert all(part.training for part in Net(model).modules())


def test_loops_are_no_choice_of_the_users():
    model = keras.Sequential([keras.Input((32,)), layers.Dense(32), drop()])
    model.compile("sgd", "mse")
    model.fit(X, X, verbose=0)
    model.evaluate(X, X, verbose=0), model.predict(X, verbose=0)
    assert not drops(model)
    net = Net(model)
    assert drops(net)
    model.fit(X, X, verbose=0)  # a part of a torch module, it goes on as it was
    assert drops(net)
    assert not (model.predict(X, verbose=0) == 0).any()
    net.eval()
    model.fit(X, X, verbose=0)
    assert not drops(net)


def test_layers_made_inside_a_loop_take_part_in_it():
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            features = keras.Model(self.model.inputs, self.model.layers[0].output)
            seen.append((features.layers[-1].training, [p.training for p in self.model.modules()]))

    model = keras.Sequential([keras.Input((32,)), layers.Dense(4), Late()])
    model.compile("sgd", "mse")
    model.fit(X, torch.ones(64, 4), verbose=0, callbacks=[Watch()])
    assert all(flag and all(flags) for flag, flags in seen)
    assert not any(part.training for part in model.modules())
    assert all(part.training for part in Net(model).modules())


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))], ids=["copy", "pickle"]
)
def test_copies_have_the_mode_of_the_original(copied):
    net = Net(functional())
    net.layer(X)
    again = copied(net)
    assert drops(again) and drops(again.layer)
    assert not drops(copied(functional()))
    again = Net(copied(functional().eval()))  # that somebody has set it is remembered
    assert not drops(again)
    assert drops(Net(copied(functional())))


def test_weights_from_a_state_dict_leave_the_mode_alone():
    model, net = functional(), Net(functional())
    model.load_state_dict(model.state_dict()), net.load_state_dict(net.state_dict())
    assert not drops(model) and drops(net)


def test_compiling_exporting_and_averaging_are_no_containers():
    model = keras.Sequential([keras.Input((32,)), layers.Dense(32), drop()])
    compiled = torch.compile(model, backend="eager")
    assert not drops(compiled) and not compiled.training
    for strict in (False, True):
        torch.export.export(model, (X,), strict=strict)
    torch.fx.GraphModule({"layer": model}, torch.fx.Graph())
    torch.func.functional_call(model, dict(model.named_parameters()), X)
    assert not any(part.training for part in model.modules())


def test_a_model_that_shares_training_layers_with_a_torch_module_tells_once(monkeypatch):
    monkeypatch.setattr(training_mode, "_warned", [])
    model, other = functional(), functional()
    model(X), other(X)
    net = nn.Sequential(*model.layers[1:], *other.layers[1:])
    assert drops(net)
    with pytest.warns(UserWarning, match="'functional.*in inference mode.*torch module") as seen:
        model(X), model(X), other(X)
    assert len(seen) == 1 and seen[0].filename == __file__
    monkeypatch.setattr(training_mode, "_warned", [])
    shared = drop()
    Net(shared)
    model = functional(shared)
    with pytest.warns(UserWarning, match="in inference mode"):
        model(X)


def test_nothing_is_told_where_the_mode_is_clear(monkeypatch):
    monkeypatch.setattr(training_mode, "_warned", [])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = functional()
        model(X)
        net = nn.Sequential(*model.layers[1:])
        net(X), model(X, training=True), model(X, training=False)
        assert not (model.predict(X, verbose=0) == 0).any()
        model.eval()(X), model.train()(X)
        whole = functional()
        Net(whole)(X), whole(X)


def test_users_own_train_method_is_heard():
    class Frozen(layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = drop()

        def train(self, mode=True):
            super().train(mode)
            self.inner.eval()
            return self

        def call(self, x):
            return self.inner(x)

    layer = Frozen()
    net = Net(layer)
    assert layer.training and not drops(net)
    np.testing.assert_array_equal(net(X), X)
