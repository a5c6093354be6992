"""Overrides of train_step, test_step, predict_step, compute_loss and compute_metrics."""

import numpy as np
import pytest
import torch

import torchkeras as keras

X = np.linspace(-1, 1, 24, dtype="float32").reshape(8, 3)
Y = X.sum(-1, keepdims=True)


def make_model(cls=keras.Model):
    inputs = keras.Input((3,))
    return cls(inputs, keras.layers.Dense(1)(inputs))


def twin(model):
    """A plain model with the same weights and compile arguments."""
    plain = make_model()
    plain.set_weights(model.get_weights())
    plain.compile("sgd", "mse")
    return plain


class OwnLoop(keras.Model):
    """The loop of Keras's guide for torch: own loss tracker, own metrics property."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.loss_tracker = keras.metrics.Mean(name="own_loss")
        self.mae = keras.metrics.MeanAbsoluteError(name="own_mae")

    @property
    def metrics(self):
        return [self.loss_tracker, self.mae]

    def train_step(self, data):
        x, y = data
        y_pred = self(x, training=True)
        loss = torch.mean((y - y_pred) ** 2)
        loss.backward()
        trainable = list(self.trainable_weights)
        gradients = [v.value.grad for v in trainable]
        with torch.no_grad():
            self.optimizer.apply(gradients, trainable)
        self.loss_tracker.update_state(loss)
        self.mae.update_state(y, y_pred)
        return {m.name: m.result() for m in self.metrics}

    def test_step(self, data):
        x, y = data
        y_pred = self(x, training=False)
        self.loss_tracker.update_state(torch.mean((y - y_pred) ** 2))
        self.mae.update_state(y, y_pred)
        return {m.name: m.result() for m in self.metrics}


def test_own_loop_trains_like_the_built_in_one():
    model = make_model(OwnLoop)
    plain = twin(model)
    model.compile("sgd")
    ours = model.fit(X, Y, batch_size=4, epochs=3, shuffle=False, verbose=0).history
    theirs = plain.fit(X, Y, batch_size=4, epochs=3, shuffle=False, verbose=0).history
    np.testing.assert_allclose(ours["own_loss"], theirs["loss"], rtol=1e-5)
    np.testing.assert_allclose(model.get_weights()[0], plain.get_weights()[0], rtol=1e-5)
    assert sorted(ours) == ["own_loss", "own_mae"]
    assert model.metrics_names == ["own_loss", "own_mae"]


def test_own_metrics_are_reset_at_each_epoch_and_evaluation():
    model = make_model(OwnLoop)
    model.compile(keras.optimizers.SGD(0.0))
    history = model.fit(X, Y, batch_size=4, epochs=3, verbose=0, validation_data=(X, Y)).history
    assert len(set(np.round(history["own_mae"], 5))) == 1
    expected = np.abs(model.predict(X, verbose=0) - Y).mean()
    assert history["own_mae"][-1] == pytest.approx(expected, rel=1e-5)
    assert history["val_own_mae"] == pytest.approx(history["own_mae"])
    assert model.evaluate(X, Y, verbose=0)[1] == pytest.approx(expected, rel=1e-5)
    assert sorted(model.test_on_batch(X, Y, return_dict=True)) == ["own_loss", "own_mae"]


@pytest.mark.parametrize("on_instance", [False, True])
@pytest.mark.parametrize("zero_grad", [False, True])
def test_gradients_are_clear_before_every_train_step(on_instance, zero_grad):
    seen = []

    def train_step(self, data):
        seen.append([v.value.grad for v in self.trainable_variables])
        if zero_grad:
            self.zero_grad()
        x, y = data
        loss = self.compute_loss(y=y, y_pred=self(x, training=True))
        loss.backward()
        variables = self.trainable_variables
        self.optimizer.apply([v.value.grad for v in variables], variables)
        return {"mine": loss}

    if on_instance:
        model = make_model()
        model.train_step = lambda data: train_step(model, data)
    else:
        model = make_model(type("Own", (keras.Model,), {"train_step": train_step}))
    plain = twin(model)
    model.compile("sgd", "mse")
    for v in model.trainable_variables:
        v.value.grad = torch.full_like(v.value, 1e6)  # left by the user's own loop
    model.fit(X, Y, batch_size=4, epochs=2, shuffle=False, verbose=0)
    model.train_on_batch(X, Y)
    plain.fit(X, Y, batch_size=4, epochs=2, shuffle=False, verbose=0)
    plain.train_on_batch(X, Y)
    assert len(seen) == 5 and all(gradient is None for step in seen for gradient in step)
    np.testing.assert_array_equal(model.get_weights()[0], plain.get_weights()[0])


def test_logs_are_what_the_step_returns():
    class Own(keras.Model):
        def train_step(self, data):
            super().train_step(data)
            return {"a": torch.tensor(1.0), "b": 2, "c": np.float32(3.0)}

        def test_step(self, data):
            return {"t": torch.tensor(float(len(data)))}

    model = make_model(Own)
    model.compile("sgd", "mse")
    history = model.fit(X, Y, epochs=2, verbose=0, validation_data=(X, Y)).history
    assert history == {"a": [1.0] * 2, "b": [2.0] * 2, "c": [3.0] * 2, "val_t": [2.0] * 2}
    assert model.evaluate(X, Y, verbose=0) == 2.0
    assert model.evaluate(X, Y, verbose=0, return_dict=True) == {"t": 2.0}
    assert model.train_on_batch(X, Y) == [1.0, 2.0, 3.0]


def test_last_step_gives_the_epoch_logs_unless_they_name_the_metrics():
    class Own(keras.Model):
        names = ()

        def train_step(self, data):
            logs = super().train_step(data)
            return {name: torch.tensor(-1.0) for name in self.names or logs}

    model = make_model(Own)
    model.compile(keras.optimizers.SGD(0.0), "mse")
    expected = ((model.predict(X, verbose=0) - Y) ** 2).mean()
    history = model.fit(X, Y, batch_size=3, verbose=0).history
    assert history["loss"] == [pytest.approx(expected, rel=1e-5)]
    model.names = ("loss", "extra")
    assert model.fit(X, Y, verbose=0).history == {"loss": [-1.0], "extra": [-1.0]}


@pytest.mark.parametrize("result", [None, 1.0, torch.tensor(2.0), [1.0]])
@pytest.mark.parametrize("name", ["train_step", "test_step"])
def test_a_step_that_returns_no_logs(name, result):
    model = make_model(type("Own", (keras.Model,), {name: lambda self, data: result}))
    model.compile("sgd", "mse")
    run = [model.fit, model.train_on_batch] if name == "train_step" else [model.evaluate]
    for method in run:
        with pytest.raises(TypeError, match=f"`{name}` must return a dict.*get_metrics_result"):
            method(X, Y)
    assert not model.training and model._running is None


def test_predict_step():
    class Own(keras.Model):
        def predict_step(self, data):
            assert not self.training and not torch.is_grad_enabled()
            return {"twice": 2 * super().predict_step(data), "rows": data}

    model = make_model(Own)
    plain = twin(model)
    for result in (model.predict(X, batch_size=3, verbose=0), model.predict_on_batch(X)):
        np.testing.assert_allclose(result["twice"], 2 * plain.predict(X, verbose=0), rtol=1e-6)
        np.testing.assert_array_equal(result["rows"], X)


@pytest.mark.parametrize("with_training", [True, False])
def test_compute_loss(with_training):
    seen = []

    class Base(keras.Model):
        def loss_value(self, x, y, y_pred, sample_weight):
            assert x.shape == (4, 3) and sample_weight is None
            return 3 * torch.mean((y - y_pred) ** 2)

    class Own(Base):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            seen.append(training)
            return self.loss_value(x, y, y_pred, sample_weight)

    class Older(Base):  # before Keras 3.3 there was no `training`
        def compute_loss(self, inputs, targets, outputs, weights):
            return self.loss_value(inputs, targets, outputs, weights)

    model = make_model(Own if with_training else Older)
    plain = twin(model)
    model.compile("sgd")
    plain.compile("sgd", "mse", loss_weights=3.0)
    results = [
        (m.fit(X, Y, batch_size=4, verbose=0, shuffle=False).history["loss"], m.get_weights()[0])
        for m in (model, plain)
    ]
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-5)
    np.testing.assert_allclose(results[0][1], results[1][1], rtol=1e-5)
    assert model.evaluate(X, Y, batch_size=4, verbose=0) == pytest.approx(
        plain.evaluate(X, Y, batch_size=4, verbose=0), rel=1e-5
    )
    assert seen == ([True, True, False, False] if with_training else [])


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (lambda y, y_pred: None, "None of type NoneType"),
        (lambda y, y_pred: 1.5, "1.5 of type float"),
        (lambda y, y_pred: (y - y_pred) ** 2, r"shape \(8, 1\)"),
        (lambda y, y_pred: (y - y_pred.detach()).mean(), "does not depend on any"),
    ],
)
def test_a_loss_that_cannot_be_trained_on(loss, words):
    class Own(keras.Model):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return loss(y, y_pred)

    model = make_model(Own)
    model.compile("sgd")
    before = model.get_weights()[0].copy()
    with pytest.raises(ValueError, match=words):
        model.fit(X, Y, verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], before)
    assert int(model.optimizer.iterations) == 0 and not model.training


def test_compute_metrics():
    class Own(keras.Model):
        def compute_metrics(self, x, y, y_pred, sample_weight=None):
            logs = super().compute_metrics(x, y, y_pred, sample_weight)
            logs["size"] = float(x.shape[0])
            return logs

    model = make_model(Own)
    model.compile("sgd", "mse", metrics=["mae"])
    history = model.fit(
        X, Y, batch_size=3, verbose=0, validation_data=(X, Y), validation_batch_size=8
    ).history
    assert history["size"] == [2.0] and history["val_size"] == [8.0]
    assert sorted(history) == ["loss", "mae", "size", "val_loss", "val_mae", "val_size"]
    assert model.train_on_batch(X, Y, return_dict=True)["size"] == 8.0
    assert model.train_step((torch.tensor(X), torch.tensor(Y)))["size"] == 8.0


def test_steps_called_outside_a_loop():
    model = make_model()
    plain = twin(model)
    model.compile("sgd", "mse")
    data = torch.tensor(X), torch.tensor(Y)
    before = ((model.predict(X, verbose=0) - Y) ** 2).mean()
    assert float(model.train_step(data)["loss"]) == pytest.approx(before, rel=1e-5)
    plain.train_on_batch(X, Y)
    np.testing.assert_allclose(model.get_weights()[0], plain.get_weights()[0], rtol=1e-6)
    model.reset_metrics()
    after = ((model.predict(X, verbose=0) - Y) ** 2).mean()
    assert float(model.test_step(data)["loss"]) == pytest.approx(after, rel=1e-5)
    assert tuple(model.predict_step(data).shape) == (8, 1)


def test_data_is_what_the_source_gives():
    seen = []

    class Own(keras.Model):
        def train_step(self, data):
            seen.append(data)
            x = data[0] if isinstance(data, tuple) else data
            loss = self(x, training=True).square().mean()
            loss.backward()
            self.optimizer.apply(
                [v.value.grad for v in self.trainable_variables], self.trainable_variables
            )
            return {"loss": loss}

    model = make_model(Own)
    model.compile("sgd")
    model.fit(X, verbose=0)
    model.fit(X, Y, sample_weight=np.ones(8), verbose=0)
    bare, triple = seen
    assert isinstance(bare, torch.Tensor) and bare.shape == (8, 3)
    assert isinstance(triple, tuple) and [t.shape[0] for t in triple] == [8, 8, 8]


def test_a_step_that_logs_its_loss_and_leaves_the_tracker_alone():
    class Own(keras.Model):
        def train_step(self, data):
            return {"loss": torch.tensor(float(data[0].shape[0]))}

    model = make_model(Own)
    model.compile("sgd", "mse")
    assert model.fit(X, Y, batch_size=3, verbose=0).history == {"loss": [2.0]}


def test_two_optimizers_in_one_step():
    """A model of two parts with their own optimizers, as in a GAN."""

    class Pair(keras.Model):
        def __init__(self):
            super().__init__()
            self.one, self.two = keras.layers.Dense(3), keras.layers.Dense(1)

        def call(self, x):
            return self.two(self.one(x))

        def compile(self, first, second):
            super().compile()
            self.first, self.second = first, second

        def train_step(self, data):
            x, y = data
            for layer, optimizer in ((self.one, self.first), (self.two, self.second)):
                self.zero_grad()
                loss = (self(x, training=True) - y).square().mean()
                loss.backward()
                variables = layer.trainable_variables
                optimizer.apply([v.value.grad for v in variables], variables)
            return {"loss": loss.detach()}

    model = Pair()
    model.compile(keras.optimizers.SGD(0.1), keras.optimizers.Adam(0.1))
    history = model.fit(X, Y, epochs=30, verbose=0).history["loss"]
    assert history[-1] < 0.1 * history[0]
    assert int(model.first.iterations) == int(model.second.iterations) == 30


class ByState(keras.Model):
    """The last listing of the specification chapter: metrics of `compile`, one by one."""

    def loss_and_updates(self, trainable, non_trainable, inputs, targets):
        outputs, non_trainable = self.stateless_call(
            trainable, non_trainable, inputs, training=True
        )
        loss = self.compute_loss(y=targets, y_pred=outputs)
        return loss, (outputs, non_trainable)

    def train_step(self, state, data):
        trainable, non_trainable, optimizer_state, metrics_state = state
        inputs, targets = data
        gradient_fn = keras.autograd.value_and_grad(self.loss_and_updates, has_aux=True)
        (loss, (outputs, non_trainable)), gradients = gradient_fn(
            trainable, non_trainable, inputs, targets
        )
        trainable, optimizer_state = self.optimizer.stateless_apply(
            optimizer_state, gradients, trainable
        )
        logs, metrics_state = self.measured(metrics_state, loss, targets, outputs)
        return logs, (trainable, non_trainable, optimizer_state, metrics_state)

    def test_step(self, state, data):
        trainable, non_trainable, metrics_state = state
        inputs, targets = data
        loss, (outputs, non_trainable) = self.loss_and_updates(*state[:2], inputs, targets)
        logs, metrics_state = self.measured(metrics_state, loss, targets, outputs)
        return logs, (trainable, non_trainable, metrics_state)

    def measured(self, state, loss, targets, outputs):
        logs, after = {}, []
        for metric in self.metrics:
            own = state[len(after) : len(after) + len(metric.variables)]
            seen = (loss,) if metric.name == "loss" else (targets, outputs)
            own = metric.stateless_update_state(own, *seen)
            logs[metric.name] = metric.stateless_result(own)
            after += own
        return logs, after


@pytest.mark.parametrize(
    "metrics", [["mae"], ["mae", keras.metrics.R2Score()], [keras.metrics.RootMeanSquaredError()]]
)
def test_a_step_by_state_measures_with_the_metrics_of_compile(metrics):
    model = make_model(ByState)
    plain = twin(model)
    for each in (model, plain):
        each.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse", metrics=metrics)
    options = {"batch_size": 4, "epochs": 3, "shuffle": False, "verbose": 0}
    found = model.fit(X, Y, validation_data=(X[:4], Y[:4]), **options).history
    expected = plain.fit(X, Y, validation_data=(X[:4], Y[:4]), **options).history
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-6, err_msg=name)
    np.testing.assert_allclose(model.get_weights()[0], plain.get_weights()[0], rtol=1e-5)
    again = model.evaluate(X, Y, verbose=0, return_dict=True)
    assert again == pytest.approx(plain.evaluate(X, Y, verbose=0, return_dict=True), rel=1e-4)


def test_evaluation_by_state_is_the_first_thing_that_happens():
    model = make_model(ByState)
    model.compile("sgd", "mse", metrics=["mae"])
    expected = np.abs(model.predict(X, verbose=0) - Y).mean()
    found = model.evaluate(X, Y, batch_size=3, verbose=0, return_dict=True)
    assert found["mae"] == pytest.approx(expected, rel=1e-5)


def test_every_object_in_metrics_is_a_whole_metric():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, [keras.layers.Dense(1)(inputs), keras.layers.Dense(1)(inputs)])
    model.compile("sgd", "mse", metrics=[["mae"], [keras.metrics.R2Score()]])
    model.train_on_batch(X, [Y, Y])
    assert [type(m).__name__ for m in model.metrics] == ["Mean", "CompileMetrics", "Mean", "Mean"]
    for metric in model.metrics:
        assert isinstance(metric, keras.metrics.Metric)
        fresh = metric.stateless_reset_state()
        assert len(fresh) == len(metric.variables) and not any(v.any() for v in fresh)
        before = [v.numpy().copy() for v in metric.variables]
        metric.stateless_result([v.value for v in metric.variables])
        for was, variable in zip(before, metric.variables, strict=True):
            np.testing.assert_array_equal(variable.numpy(), was)
    compiled = model.metrics[1]
    y_pred = [torch.zeros(8, 1), torch.ones(8, 1)]
    state = compiled.stateless_update_state(
        compiled.stateless_reset_state(), [torch.tensor(Y)] * 2, y_pred
    )
    found = compiled.stateless_result(state)
    values = [float(v) for v in found.values()]
    r2 = 1 - ((Y - 1) ** 2).sum() / ((Y - Y.mean()) ** 2).sum()
    assert values == pytest.approx([np.abs(Y).mean(), r2], rel=1e-5)


def test_logs_of_several_results_are_told_apart_by_their_own_names():
    class Both(keras.Model):
        def train_step(self, data):
            return {"loss": torch.tensor(1.0), "more": {"a": torch.tensor(2.0)}}

    model = make_model(Both)
    model.compile("sgd")
    assert model.fit(X, Y, verbose=0).history == {"loss": [1.0], "a": [2.0]}


class OfFour(keras.Model):
    """A step of one's own whose batches have four items, as in learning by comparison."""

    def train_step(self, data):
        anchor, positive, negative, margin = data
        near = (self(anchor) - self(positive)).square().mean()
        loss = (near - (self(anchor) - self(negative)).square().mean() + margin.mean()).relu()
        loss.backward()
        with torch.no_grad():
            self.optimizer.apply([w.value.grad for w in self.trainable_weights])
        return {"loss": loss.detach(), "rows": len(anchor)}

    def test_step(self, data):
        return {"items": len(data), "rows": len(data[0])}


def four(count=2):
    for i in range(count):
        yield X[:4], X[:4] + i, X[4:], np.ones(4, "float32")


@pytest.mark.parametrize(
    "make",
    [
        four,
        lambda: torch.utils.data.DataLoader(
            torch.utils.data.TensorDataset(*[torch.tensor(X[:8])] * 3, torch.ones(8)), batch_size=4
        ),
    ],
)
def test_batches_of_four_items_are_for_a_step_of_ones_own(make):
    model = make_model(OfFour)
    model.compile("sgd", loss="mse")
    history = model.fit(make(), verbose=0, validation_data=make()).history
    assert history["rows"] == [4.0] and history["val_items"] == [4.0]
    plain = make_model()
    plain.compile("sgd", "mse")
    for call in (plain.fit, plain.evaluate, plain.predict):
        with pytest.raises(ValueError, match="4 items.*`train_step` of your own"):
            call(make(), verbose=0)


def test_an_unbuilt_model_is_built_from_the_first_of_four_items():
    class Sub(keras.Model):
        train_step = OfFour.train_step

        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, x):
            return self.dense(x)

    model = Sub()
    model.compile("sgd")
    assert model.fit(four(), verbose=0).history["rows"] == [4.0]
    assert model.dense.kernel.shape == (3, 1)
