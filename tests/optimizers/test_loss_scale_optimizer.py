"""A loss scale that finds its own size: under fit, in own loops, in files, on several processes."""

import copy
import functools
import pickle

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras import layers, optimizers
from torchkeras.optimizers import SGD, Adam, LossScaleOptimizer

INF, NAN = float("inf"), float("nan")


@pytest.fixture(autouse=True)
def default_policy():
    yield
    keras.config.set_dtype_policy(None)


def test_gradients_are_divided_by_the_scale():
    v = keras.Variable([1.0, 2.0])
    optimizer = LossScaleOptimizer(SGD(0.5), initial_scale=8.0)
    assert optimizer.scale_loss(3.0) == 24.0
    optimizer.apply_gradients([(torch.tensor([8.0, 16.0]), v)])
    assert v.numpy().tolist() == [0.5, 1.0]
    assert float(optimizer.scale_loss(torch.tensor(3.0))) == 24.0
    assert int(optimizer.iterations) == int(optimizer.inner_optimizer.iterations) == 1


@pytest.mark.parametrize("bad", [INF, -INF, NAN])
@pytest.mark.parametrize("on_host", [True, False])
@pytest.mark.parametrize(
    "make",
    [
        functools.partial(SGD, 0.5, momentum=0.9),
        functools.partial(Adam, 0.5, use_ema=True, amsgrad=True, weight_decay=0.1),
        functools.partial(Adam, optimizers.schedules.ExponentialDecay(0.5, 2, 0.5), clipnorm=1.0),
        functools.partial(SGD, 0.5, gradient_accumulation_steps=2, global_clipnorm=1.0),
    ],
    ids=["momentum", "adam", "schedule", "accumulation"],
)
def test_a_step_that_is_not_finite_changes_nothing_but_the_scale(make, on_host, bad, monkeypatch):
    """Gradients 1, bad, 2, 3 do what 1, 2, 3 do without a scale."""
    if not on_host:  # as on an accelerator, where the verdict is not read
        monkeypatch.setattr(LossScaleOptimizer, "_reads_verdict", lambda self, finite: False)
    v, w = keras.Variable([1.0, -2.0]), keras.Variable(3.0)
    twins = [keras.Variable([1.0, -2.0]), keras.Variable(3.0)]
    optimizer, reference = LossScaleOptimizer(make(), initial_scale=16.0), make()
    for step, value in enumerate([1.0, bad, 2.0, 3.0]):
        scale = 16.0 if step < 2 else 8.0
        grads = [torch.tensor([0.5, value]) * scale, torch.tensor(0.25) * scale]
        optimizer.apply(grads, [v, w])
        if step != 1:
            reference.apply([grad / scale for grad in grads], twins)
    np.testing.assert_allclose(v.numpy(), twins[0].numpy(), rtol=1e-6)
    np.testing.assert_allclose(w.numpy(), twins[1].numpy(), rtol=1e-6)
    assert int(optimizer.iterations) == int(reference.iterations)
    for own, expected in zip(optimizer.inner_optimizer.variables, reference.variables, strict=True):
        np.testing.assert_allclose(own.numpy(), expected.numpy(), rtol=1e-6)
    assert float(optimizer.dynamic_scale) == 8.0 and int(optimizer.step_counter) == 2


def test_the_scale_grows_after_so_many_finite_steps():
    v, optimizer = keras.Variable(1.0), LossScaleOptimizer(SGD(0.0), 4.0, dynamic_growth_steps=3)
    found = []
    for value in (1, 1, INF, 1, 1, 1, 1, 1, 1, NAN):
        optimizer.apply([torch.tensor(float(value))], [v])
        found.append(float(optimizer.dynamic_scale))
    assert found == [4, 4, 2, 2, 2, 4, 4, 4, 8, 4]


def test_an_empty_weight_is_finite():
    v, w = keras.Variable(torch.ones(0, 2)), keras.Variable(1.0)
    optimizer = LossScaleOptimizer(SGD(0.5), 2.0)
    optimizer.apply([torch.ones(0, 2), torch.tensor(2.0)], [v, w])
    assert float(w) == 0.5


def test_the_scale_never_becomes_infinite():
    v, optimizer = keras.Variable(1.0), LossScaleOptimizer(SGD(0.0), 2.0**127, 1)
    optimizer.apply([torch.tensor(1.0)], [v])
    assert float(optimizer.dynamic_scale) == 2.0**127


def test_a_stateless_update_is_pure_and_skips_alike():
    v = keras.Variable([1.0, 2.0])
    optimizer = LossScaleOptimizer(SGD(0.5, momentum=0.5), 8.0, dynamic_growth_steps=2)
    optimizer.build([v])
    state, weights = [s.value for s in optimizer.variables], [v.value.detach()]
    for value, expected, scale, updates in [
        (8.0, [0.5, 1.5], 8.0, 1),
        (INF, [0.5, 1.5], 4.0, 1),
        (4.0, [-0.25, 0.75], 4.0, 2),
    ]:
        grads = [torch.tensor([value, value])]
        weights, state = optimizer.stateless_apply(state, grads, weights)
        assert weights[0].tolist() == expected
        values = dict(zip((s.path for s in optimizer.variables), state, strict=True))
        assert float(values["loss_scale_optimizer/dynamic_scale"]) == scale
        assert int(values[optimizer.inner_optimizer.name + "/iteration"]) == updates
    assert v.numpy().tolist() == [1.0, 2.0] and float(optimizer.dynamic_scale) == 8.0


@pytest.mark.parametrize("inner", [functools.partial(torch.optim.SGD, lr=0.5, momentum=0.9)])
def test_around_an_optimizer_of_torch(inner):
    v, twin = keras.Variable([1.0, 2.0]), torch.tensor([1.0, 2.0], requires_grad=True)
    optimizer, reference = LossScaleOptimizer(inner, 4.0), inner([twin])
    for value in (1.0, INF, 2.0):
        scale = float(optimizer.scale_loss(1.0))
        optimizer.apply([torch.tensor([value, 1.0]) * scale], [v])
        if value != INF:
            twin.grad = torch.tensor([value, 1.0])
            reference.step()
    np.testing.assert_allclose(v.numpy(), twin.detach().numpy())
    optimizer.learning_rate = 0.25
    assert optimizer.learning_rates == [0.25] and int(optimizer.iterations) == 2


# Under compile and fit

X = np.linspace(-1, 1, 64, dtype="float32").reshape(32, 2)
Y = (X[:, :1] * 1e-6).astype("float32")


def tiny(policy):
    """A model whose gradients, in float16, are all below the smallest number: 6e-8."""
    keras.config.set_dtype_policy(policy)
    inputs = keras.Input((2,))
    hidden = layers.Dense(2, use_bias=False, name="hidden", kernel_initializer="ones")(inputs)
    small = layers.Rescaling(1e-4)(hidden)
    outputs = layers.Dense(1, name="out", dtype="float32", kernel_initializer="ones")(small)
    return keras.Model(inputs, outputs)


@pytest.mark.parametrize(
    "make",
    [lambda: SGD(1e5), lambda: functools.partial(torch.optim.SGD, lr=1e5)],
    ids=["ours", "torch"],
)
def test_small_gradients_train_under_mixed_float16(make):
    results = {}
    for policy, scales in (("float32", True), ("mixed_float16", True), ("mixed_float16", False)):
        model = tiny(policy)
        model.layers[-1].trainable = False
        model.compile(make(), keras.losses.MeanSquaredError(), auto_scale_loss=scales)
        wrapped = isinstance(model.optimizer, LossScaleOptimizer)
        assert wrapped is (policy == "mixed_float16" and scales)
        model.fit(X * 0.01, Y, batch_size=32, epochs=1, verbose=0)
        results[policy, scales] = model.get_layer("hidden").kernel.numpy() - 1
    expected = results["float32", True]
    assert np.abs(expected).min() > 0
    # Without the scale next to nothing of them is left.
    lost = np.abs(results["mixed_float16", False] - expected) / np.abs(expected)
    np.testing.assert_allclose(results["mixed_float16", True], expected, rtol=5e-3)
    assert lost.max() > 0.05


def test_compile_wraps_as_keras_does():
    keras.config.set_dtype_policy("mixed_float16")
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    model.compile("adam", "mse")
    assert type(model.optimizer.inner_optimizer) is Adam
    assert model.optimizer.name == "loss_scale_optimizer"
    given = LossScaleOptimizer(SGD(), 4.0)
    model.compile(given, "mse")
    assert model.optimizer is given
    model.compile(SGD(loss_scale_factor=64.0), "mse")  # where the user has chosen a scale
    assert type(model.optimizer) is SGD and model.optimizer.loss_scale_factor == 64.0
    model.compile(optimizer=None, loss="mse")
    assert model.optimizer is None
    keras.config.set_dtype_policy("mixed_bfloat16")
    other = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    other.compile("adam", "mse")
    assert type(other.optimizer) is Adam
    keras.config.set_dtype_policy(None)
    partly = keras.Sequential([keras.Input((2,)), layers.Dense(1, dtype="mixed_float16")])
    partly.compile("adam", "mse")
    assert isinstance(partly.optimizer, LossScaleOptimizer)


def test_fit_finds_a_scale_that_fits():
    keras.config.set_dtype_policy("mixed_float16")
    model = keras.Sequential([keras.Input((2,)), layers.Dense(4), layers.Dense(1)])
    optimizer = LossScaleOptimizer(SGD(0.1), initial_scale=2.0**40)
    model.compile(optimizer, "mse")
    before = model.get_weights()
    model.fit(X, X[:, :1], batch_size=32, epochs=2, verbose=0)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)  # 2^40 is no float16: nothing was changed
    history = model.fit(X, X[:, :1], batch_size=32, epochs=60, verbose=0).history["loss"]
    assert history[-1] < 0.05 * history[0]
    assert 0 < int(optimizer.iterations) < 62 and float(optimizer.dynamic_scale) < 2.0**30


class OwnStep(keras.Model):
    scales = True

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(1, kernel_initializer="ones")

    def call(self, x):
        return self.dense(x)

    def train_step(self, data):
        x, y = data
        loss = ((self(x, training=True) - y) ** 2).float().mean()
        scaled = self.optimizer.scale_loss(loss) if self.scales else loss
        scaled.backward()
        variables = self.trainable_variables
        self.optimizer.apply([v.grad for v in variables], variables)
        return {"loss": loss}


def test_a_step_of_ones_own_scales_its_loss():
    keras.config.set_dtype_policy("mixed_float16")
    x, y = np.ones((4, 1), "float32"), np.full((4, 1), 0.5, "float32")
    model = OwnStep()
    model.compile(SGD(0.125))
    model.fit(x, y, batch_size=4, verbose=0)
    assert model.dense.kernel.numpy().item() == 1 - 0.125  # the gradient of (w - 0.5)^2 at 1
    forgetful = OwnStep()
    forgetful.scales = False
    forgetful.compile(SGD(0.125))
    with pytest.raises(ValueError, match="does not multiply.*self.optimizer.scale_loss"):
        forgetful.fit(x, y, batch_size=4, verbose=0)
    forgetful.compile(SGD(0.125), auto_scale_loss=False)
    forgetful.fit(x, y, batch_size=4, verbose=0)


def test_a_step_of_ones_own_that_has_its_own_optimizer_need_not_scale():
    class Aside(OwnStep):
        def train_step(self, data):
            x, y = data
            loss = ((self(x, training=True) - y) ** 2).float().mean()
            loss.backward()
            torch.optim.SGD(self.parameters(), lr=0.125).step()
            return {"loss": loss}

    keras.config.set_dtype_policy("mixed_float16")
    model = Aside()
    model.compile()
    model.fit(np.ones((4, 1)), np.full((4, 1), 0.5), batch_size=4, verbose=0)
    assert model.dense.kernel.numpy().item() == 1 - 0.125


@pytest.mark.parametrize("ending", [".keras", ".safetensors"])
def test_files_go_on_where_training_stopped(ending, tmp_path):
    keras.config.set_dtype_policy("mixed_float16")
    model = keras.Sequential([keras.Input((2,)), layers.Dense(3), layers.Dense(1)])
    model.compile(LossScaleOptimizer(Adam(0.01), 2.0**10, dynamic_growth_steps=3), "mse")
    model.fit(X, Y, batch_size=8, verbose=0, shuffle=False)
    path = str(tmp_path / f"model{ending}")
    model.save(path)
    loaded = keras.saving.load_model(path)
    assert isinstance(loaded.optimizer, LossScaleOptimizer)
    assert isinstance(loaded.optimizer.inner_optimizer, Adam)
    assert float(loaded.optimizer.dynamic_scale) == 2.0**11
    assert int(loaded.optimizer.iterations) == 4
    for each in (model, loaded):
        each.fit(X, Y, batch_size=8, verbose=0, shuffle=False)
    for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    model.compile("sgd", "mse", auto_scale_loss=False)
    model.save(path)
    assert isinstance(keras.saving.load_model(path).optimizer, SGD)


def test_a_torch_optimizer_inside_is_saved_with_its_state(tmp_path):
    def made():
        model = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
        model.compile(functools.partial(torch.optim.Adam, lr=0.01), "mse")
        return model

    keras.config.set_dtype_policy("mixed_float16")
    model, path = made(), str(tmp_path / "model.safetensors")
    model.optimizer.initial_scale = 64.0
    model.fit(X, Y, batch_size=8, verbose=0)
    with pytest.warns(UserWarning, match="left out"):
        model.save(path)
    other = made()
    keras.saving.load_optimizer_state(other, path)
    assert float(other.optimizer.dynamic_scale) == 64.0 and int(other.optimizer.iterations) == 4
    states = [
        m.optimizer.inner_optimizer.state_dict()["state"][0]["exp_avg"] for m in (model, other)
    ]
    assert torch.equal(*states) and states[0].abs().max() > 0


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_and_configs(clone):
    optimizer = LossScaleOptimizer(Adam(0.25), 64.0, dynamic_growth_steps=5, name="scaled")
    twin = clone(optimizer)
    config = twin.get_config()
    assert config["initial_scale"] == 64.0 and config["dynamic_growth_steps"] == 5
    again = optimizers.deserialize(optimizers.serialize(twin))
    assert again.get_config() == config and float(again.inner_optimizer.learning_rate) == 0.25


def test_arguments_that_belong_to_the_inner_optimizer():
    with pytest.raises(ValueError, match="has no `clipnorm` of its own. Received: clipnorm=1.0"):
        LossScaleOptimizer(SGD(), clipnorm=1.0)
    with pytest.raises(ValueError, match="always dynamic"):
        LossScaleOptimizer(SGD(), dynamic=False)
    with pytest.raises(ValueError, match="not recognized.*typo"):
        LossScaleOptimizer(SGD(), typo=1)
    LossScaleOptimizer(SGD(), clipnorm=None, use_ema=False, dynamic=True)
    inner = SGD(loss_scale_factor=4.0)
    assert LossScaleOptimizer(inner).inner_optimizer.loss_scale_factor is None


def test_callbacks_reach_the_inner_optimizer():
    keras.config.set_dtype_policy("mixed_float16")
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    model.compile(SGD(0.5, use_ema=True), "mse")
    callbacks = [
        keras.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=1e9),
        keras.callbacks.SwapEMAWeights(),
    ]
    data = {"x": X, "y": Y, "validation_data": (X, Y), "verbose": 0}
    history = model.fit(**data, epochs=3, callbacks=callbacks).history
    assert history["learning_rate"] == [0.5, 0.5, 0.25]
    model.optimizer.exclude_from_weight_decay(var_names=["bias"])
    assert model.optimizer.inner_optimizer.get_config()["exclude_from_weight_decay"]
