"""What all loops share: building, metrics, single batches, the state between calls."""

import copy
import pickle

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras.core.scopes import SCOPE

RNG = np.random.default_rng(0)
X = RNG.normal(size=(20, 3)).astype("float32")
Y = RNG.normal(size=(20, 1)).astype("float32")


def linear(**arguments):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(**{"optimizer": keras.optimizers.SGD(0.1), "loss": "mse", **arguments})
    return model


class Own(keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden = keras.layers.Dense(4)
        self.out = keras.layers.Dense(1)

    def call(self, x):
        return self.out(self.hidden(x))


class OwnBuild(Own):
    """Says it is built, and leaves its layers to the first call."""

    def build(self, input_shape):
        self.built = True


class ReadsValues(Own):
    """Looks at numbers, which symbols and tensors without data do not have."""

    def call(self, x):
        if float(x.abs().sum()) < -1:
            raise AssertionError
        return super().call(x)


@pytest.mark.parametrize("cls", [Own, OwnBuild, ReadsValues])
@pytest.mark.parametrize(
    "method", ["fit", "evaluate", "predict", "train_on_batch", "test_on_batch"]
)
def test_weights_are_made_from_the_first_batch(cls, method):
    model = cls()
    model.compile("adam", "mse", metrics=["mae"])
    arguments = (X,) if method == "predict" else (X, Y)
    getattr(model, method)(*arguments, **({} if "batch" in method else {"verbose": 0}))
    assert [weight.shape for weight in model.weights] == [(3, 4), (4,), (4, 1), (1,)]
    assert len(model.get_weights()) == 4
    if method in ("fit", "train_on_batch"):
        assert len(model.optimizer.variables) == 2 + 2 * 4
    # Another batch size is as welcome as the first.
    assert model.predict(X[:7], verbose=0).shape == (7, 1)


def test_building_runs_no_data_through_the_model():
    batches = []

    class Counting(Own):
        def call(self, x):
            if x.device.type != "meta":
                batches.append(x.shape[0])
            return super().call(x)

    model = Counting()
    model.compile("sgd", "mse")
    model.fit(X, Y, batch_size=8, verbose=0)
    assert batches == [8, 8, 4]


def test_building_changes_no_random_numbers_of_the_data_order():
    model = Own()
    model.compile("sgd", "mse")
    seen = []
    model.hidden.register_forward_hook(lambda layer, args, out: seen.append(args[0][:, 0].tolist()))
    model.fit(X, Y, batch_size=20, epochs=2, verbose=0)
    assert sorted(seen[-1]) == sorted(seen[-2]) and seen[-1] != seen[-2]


def test_callbacks_find_a_built_model():
    seen = []
    callback = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: seen.append((model.built, len(model.weights)))
    )
    model = Own()
    model.compile("sgd", "mse")
    model.fit(((X, Y) for _ in range(2)), verbose=0, callbacks=[callback])
    assert seen == [(True, 4)]


# Metrics


def test_order_and_names_of_metrics():
    class Spy(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.spied = keras.metrics.Mean(name="spied")

        def call(self, x):
            return x

    inputs = keras.Input((3,))
    inner = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
    inner.compile("sgd", "mse", metrics=["mae"])
    model = keras.Model(inputs, keras.layers.Dense(1)(inner(Spy()(inputs))))
    assert model.metrics_names == ["spied"]
    model.extra = keras.metrics.Mean(name="extra")
    model.compile("sgd", "mse", metrics=["mae"])
    assert model.metrics_names == ["loss", "compile_metrics", "extra", "spied"]
    model.fit(X, Y, verbose=0)
    assert list(model.get_metrics_result()) == ["loss", "mae", "extra", "spied"]


def test_reset_metrics():
    model = linear(metrics=["mae"])
    model.evaluate(X, Y, verbose=0)
    assert all(float(value) > 0 for value in model.get_metrics_result().values())
    model.reset_metrics()
    assert all(float(value) == 0 for value in model.get_metrics_result().values())


def test_a_metric_whose_result_is_a_dict():
    class Range(keras.metrics.Metric):
        def __init__(self):
            super().__init__(name="range")
            self.low = self.add_weight(name="low")
            self.high = self.add_weight(name="high")

        def update_state(self, y_true, y_pred, sample_weight=None):
            self.low.assign(torch.minimum(self.low.value, y_pred.min()))
            self.high.assign(torch.maximum(self.high.value, y_pred.max()))

        def result(self):
            return {"low": self.low.value, "high": self.high.value}

    model = linear(metrics=[Range()])
    predicted = model.predict(X, verbose=0)
    logs = model.evaluate(X, Y, verbose=0, return_dict=True)
    assert logs["low"] == pytest.approx(min(predicted.min(), 0))
    assert logs["high"] == pytest.approx(max(predicted.max(), 0))
    history = model.fit(X, Y, verbose=0).history
    assert {"loss", "low", "high"} <= set(history)


# Single batches


def test_train_on_batch_is_one_step():
    model, twin = linear(metrics=["mae"]), linear(metrics=["mae"])
    twin.set_weights(model.get_weights())
    for weights in (None, np.repeat([0.5, 2.0], 10)):
        logs = model.train_on_batch(X, Y, sample_weight=weights, return_dict=True)
        history = twin.fit(
            X, Y, sample_weight=weights, batch_size=20, shuffle=False, verbose=0
        ).history
        assert logs == {name: pytest.approx(values[0]) for name, values in history.items()}
        np.testing.assert_allclose(model.get_weights()[0], twin.get_weights()[0], rtol=1e-6)


def test_each_batch_has_its_own_metrics():
    model = linear(optimizer=keras.optimizers.SGD(0.0), metrics=["mae"])
    model.train_on_batch(X, 1000 * Y)
    error = model.predict(X, verbose=0) - Y
    expected = [pytest.approx((error**2).mean(), rel=1e-5), pytest.approx(np.abs(error).mean())]
    assert model.train_on_batch(X, Y) == expected
    model.test_on_batch(X, 1000 * Y)
    assert model.test_on_batch(X, Y) == expected
    assert model.test_on_batch(X[:5], Y[:5], np.zeros(5))[0] == 0.0
    assert type(linear().train_on_batch(X, Y)) is float


def test_class_weight_of_a_batch():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation="softmax")])
    model.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    labels = RNG.integers(0, 2, 20)
    by_class = model.train_on_batch(X, labels, class_weight={0: 3.0, 1: 0.5})
    by_sample = model.test_on_batch(X, labels, np.where(labels == 0, 3.0, 0.5))
    assert by_class == pytest.approx(by_sample, rel=1e-6)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"x": X[:, :2], "y": Y}, r"Received: x of shape \(20, 2\)"),
        ({"x": X, "y": Y[:3]}, "x: 20, y: 3"),
        ({"x": X}, "Received: 0 in `y`"),
        ({"x": X, "y": Y, "sample_weight": np.ones(3)}, "sample_weight: 3"),
        ({"x": X, "y": Y, "sample_weight": np.ones(20), "class_weight": {0: 1}}, "both"),
        ({"x": X[:0], "y": Y[:0]}, "at least one sample"),
    ],
)
def test_what_train_on_batch_refuses(arguments, words):
    model = linear()
    before = [weight.copy() for weight in model.get_weights()]
    with pytest.raises(ValueError, match=words):
        model.train_on_batch(**arguments)
    np.testing.assert_array_equal(model.get_weights()[0], before[0])
    assert int(model.optimizer.iterations) == 0
    assert not model.training and model._running is None and SCOPE.depth == 0


def test_train_on_batch_before_compile():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match="must be compiled before `train_on_batch`"):
        model.train_on_batch(X, Y)


# The model between loops


def test_a_trained_model_is_copied_and_pickled():
    model = linear(metrics=["mae"], optimizer="adam")
    model.fit(X, Y, verbose=0)
    expected = model.predict(X, verbose=0)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(other.predict(X, verbose=0), expected)
        other.fit(X, Y, verbose=0)
        assert int(other.optimizer.iterations) == int(model.optimizer.iterations) + 1
        assert not np.array_equal(other.predict(X, verbose=0), expected)
    np.testing.assert_array_equal(model.predict(X, verbose=0), expected)


def test_a_copy_made_by_a_callback_is_outside_the_loop():
    copies = []
    callback = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: copies.append(copy.deepcopy(model))
    )
    model = linear()
    model.fit(X, Y, verbose=0, callbacks=[callback])
    (other,) = copies
    before = [weight.copy() for weight in model.get_weights()]
    other.fit(X, Y, verbose=0)
    assert not any(module.training for module in other.modules())
    np.testing.assert_array_equal(model.get_weights()[0], before[0])


def test_training_by_hand_and_by_fit_mix():
    model = linear()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model.fit(X, Y, batch_size=20, verbose=0)
    model.train()
    loss = torch.nn.functional.mse_loss(model(torch.tensor(X)), torch.tensor(Y))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    # The gradients of the hand-written step are cleared before the next.
    assert model.evaluate(X, Y, verbose=0) < float(loss.detach())
    kernel, bias = (weight.copy() for weight in model.get_weights())
    error = X @ kernel + bias - Y
    model.fit(X, Y, batch_size=20, verbose=0)
    expected = kernel - 0.1 * 2 * X.T @ error / 20
    np.testing.assert_allclose(model.get_weights()[0], expected, rtol=1e-5, atol=1e-6)


def test_a_plain_torch_module_inside_is_trained():
    class Mixed(keras.Model):
        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(3, 1)
            self.dropout = torch.nn.Dropout(0.5)

        def call(self, x):
            return self.linear(self.dropout(x))

    model = Mixed()
    model.compile(keras.optimizers.Adam(0.05), "mse")
    before = model.linear.weight.detach().clone()
    model.fit(X, Y, epochs=2, verbose=0)
    assert not torch.equal(before, model.linear.weight)
    assert not model.dropout.training
    np.testing.assert_array_equal(model.predict(X, verbose=0), model.predict(X, verbose=0))


@pytest.mark.gpu
@pytest.mark.parametrize("where", ["cpu", "cuda"])
def test_training_on_a_gpu(where):
    x, y = torch.tensor(X, device=where), torch.tensor(Y, device=where)
    model = linear(metrics=["mae"], optimizer="adam").to("cuda")
    twin = linear(metrics=["mae"], optimizer="adam")
    twin.set_weights([weight.copy() for weight in model.get_weights()])
    logs = model.fit(x, y, epochs=3, batch_size=7, shuffle=False, verbose=0).history
    expected = twin.fit(X, Y, epochs=3, batch_size=7, shuffle=False, verbose=0).history
    np.testing.assert_allclose(logs["loss"], expected["loss"], rtol=1e-4)
    np.testing.assert_allclose(logs["mae"], expected["mae"], rtol=1e-4)
    assert model.predict(x, verbose=0).shape == (20, 1)
    np.testing.assert_allclose(
        model.evaluate(x, y, verbose=0), twin.evaluate(X, Y, verbose=0), rtol=1e-4
    )


@pytest.mark.gpu
def test_a_step_on_a_gpu_does_not_wait():
    model = linear(metrics=["mae"], optimizer="adam").to("cuda")
    x, y = torch.tensor(X, device="cuda"), torch.tensor(Y, device="cuda")
    model.fit(x, y, verbose=0)
    modes = []

    class Watch(keras.callbacks.Callback):
        _supports_device_logs = True

        def on_train_batch_begin(self, batch, logs=None):
            modes.append(batch)
            torch.cuda.set_sync_debug_mode("error" if batch < 3 else "default")

    try:
        model.fit(x, y, batch_size=4, shuffle=False, verbose=0, callbacks=[Watch()])
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert modes == [0, 1, 2, 3, 4]
