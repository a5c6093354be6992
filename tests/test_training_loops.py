"""Every way to write a training step ends with the weights of the plain PyTorch loop."""

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras import layers
from torchkeras.autograd import GradientTape, value_and_grad

BATCH, STEPS = 16, 20


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(BATCH * STEPS, 12)).astype("float32")
    y = rng.integers(0, 5, size=BATCH * STEPS)
    return x, y


def make_model(cls=None):
    keras.utils.set_random_seed(3)
    inputs = keras.Input((12,))
    hidden = layers.Dense(16, activation="relu")(inputs)
    outputs = layers.Dense(5)(hidden)
    return (cls or keras.Model)(inputs, outputs)


def batches(data):
    x, y = data
    for start in range(0, len(x), BATCH):
        yield (
            torch.from_numpy(x[start : start + BATCH]),
            torch.from_numpy(y[start : start + BATCH]),
        )


@pytest.fixture
def expected(data):
    """Weights after the loop in plain torch, on plain torch modules."""
    start = make_model().get_weights()
    network = torch.nn.Sequential(torch.nn.Linear(12, 16), torch.nn.ReLU(), torch.nn.Linear(16, 5))
    with torch.no_grad():
        for layer, kernel, bias in ((network[0], *start[:2]), (network[2], *start[2:])):
            layer.weight.copy_(torch.from_numpy(kernel.T))
            layer.bias.copy_(torch.from_numpy(bias))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for x, y in batches(data):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(x), y).backward()
        optimizer.step()
    return [
        network[0].weight.detach().numpy().T,
        network[0].bias.detach().numpy(),
        network[2].weight.detach().numpy().T,
        network[2].bias.detach().numpy(),
    ]


def assert_same(model, expected):
    for value, wanted in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(value, wanted, atol=1e-6, rtol=1e-5)


loss_fn = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def make_optimizer():
    return keras.optimizers.SGD(learning_rate=0.1)


# Loops written by hand


def test_pytorch_loop(data, expected):
    model, optimizer = make_model(), make_optimizer()
    metric = keras.metrics.SparseCategoricalAccuracy()
    for inputs, targets in batches(data):
        predictions = model(inputs, training=True)
        loss = loss_fn(targets, predictions)
        loss.backward()
        weights = model.trainable_weights
        gradients = [weight.value.grad for weight in weights]
        with torch.no_grad():
            optimizer.apply(gradients, weights)
        metric.update_state(targets, predictions)
        model.zero_grad()
    assert_same(model, expected)
    assert 0 <= float(metric.result()) <= 1
    assert all(weight.value.grad is None for weight in model.trainable_weights)


def test_tape_loop(data, expected):
    model, optimizer = make_model(), make_optimizer()
    for inputs, targets in batches(data):
        with GradientTape() as tape:
            predictions = model(inputs, training=True)
            loss = loss_fn(targets, predictions)
        gradients = tape.gradient(loss, model.trainable_weights)
        optimizer.apply(gradients, model.trainable_weights)
    assert_same(model, expected)


def test_stateless_loop(data, expected):
    model, optimizer = make_model(), make_optimizer()
    optimizer.build(model.trainable_variables)
    metric = keras.metrics.SparseCategoricalAccuracy()
    by_hand = keras.metrics.SparseCategoricalAccuracy()

    def compute_loss_and_updates(trainable, non_trainable, inputs, targets):
        outputs, non_trainable = model.stateless_call(trainable, non_trainable, inputs)
        return loss_fn(targets, outputs), (outputs, non_trainable)

    grad_fn = value_and_grad(compute_loss_and_updates, has_aux=True)

    def train_step(state, inputs, targets):
        trainable, non_trainable, optimizer_variables, metric_variables = state
        (loss, (outputs, non_trainable)), gradients = grad_fn(
            trainable, non_trainable, inputs, targets
        )
        trainable, optimizer_variables = optimizer.stateless_apply(
            optimizer_variables, gradients, trainable
        )
        metric_variables = metric.stateless_update_state(metric_variables, targets, outputs)
        by_hand.update_state(targets, outputs)
        return loss, (trainable, non_trainable, optimizer_variables, metric_variables)

    variables = (
        model.trainable_variables,
        model.non_trainable_variables,
        optimizer.variables,
        metric.variables,
    )
    state = tuple([v.value for v in part] for part in variables)
    start = [[t.detach().clone() for t in part] for part in state]
    for inputs, targets in batches(data):
        _, state = train_step(state, inputs, targets)

    # Nothing has changed but the state that was handed from step to step.
    for part, before in zip(variables, start, strict=True):
        for variable, value in zip(part, before, strict=True):
            assert torch.equal(variable.value, value)
    assert float(metric.stateless_result(state[3])) == float(by_hand.result())
    for variable, value in zip(model.trainable_variables, state[0], strict=True):
        variable.assign(value)
    assert_same(model, expected)


# Own train_step under fit()


class PyTorchStyle(keras.Model):
    def train_step(self, data):
        inputs, targets = data
        predictions = self(inputs, training=True)
        loss = loss_fn(targets, predictions)
        loss.backward()  # no zero_grad: the Trainer clears the gradients
        weights = [v for v in self.trainable_weights]
        gradients = [v.value.grad for v in weights]
        with torch.no_grad():
            self.optimizer.apply(gradients, weights)
        self.loss_tracker.update_state(loss)
        return {"loss": self.loss_tracker.result()}


class TapeStyle(keras.Model):
    def train_step(self, data):
        inputs, targets = data
        with GradientTape() as tape:
            predictions = self(inputs, training=True)
            loss = loss_fn(targets, predictions)
        gradients = tape.gradient(loss, self.trainable_weights)
        self.optimizer.apply(gradients, self.trainable_weights)
        self.loss_tracker.update_state(loss)
        return {"loss": self.loss_tracker.result()}


class JaxStyle(keras.Model):
    def compute_loss_and_updates(
        self, trainable_variables, non_trainable_variables, inputs, targets, training=False
    ):
        predictions, non_trainable_variables = self.stateless_call(
            trainable_variables, non_trainable_variables, inputs, training=training
        )
        return loss_fn(targets, predictions), non_trainable_variables

    def train_step(self, state, data):
        trainable, non_trainable, optimizer_variables, metrics_variables = state
        inputs, targets = data
        grad_fn = value_and_grad(self.compute_loss_and_updates, has_aux=True)
        (loss, non_trainable), gradients = grad_fn(
            trainable, non_trainable, inputs, targets, training=True
        )
        trainable, optimizer_variables = self.optimizer.stateless_apply(
            optimizer_variables, gradients, trainable
        )
        logs, new_metrics_variables = {}, []
        for metric in self.metrics:
            first = len(new_metrics_variables)
            own = metrics_variables[first : first + len(metric.variables)]
            if metric.name == "loss":
                own = metric.stateless_update_state(own, loss)
            logs[metric.name] = metric.stateless_result(own)
            new_metrics_variables += own
        return logs, (trainable, non_trainable, optimizer_variables, new_metrics_variables)


def with_tracker(cls):
    """The class with a loss tracker of its own, as the chapter writes it."""

    class Tracked(cls):
        @property
        def metrics(self):
            return [self.loss_tracker]

    Tracked.__name__ = cls.__name__
    return Tracked


@pytest.mark.parametrize("style", [PyTorchStyle, TapeStyle, JaxStyle])
@pytest.mark.parametrize("verbose", [0, 1])
def test_own_train_step_under_fit(style, data, expected, verbose):
    model = make_model(with_tracker(style))
    model.loss_tracker = keras.metrics.Mean(name="loss")
    model.compile(optimizer=make_optimizer())
    history = model.fit(*data, batch_size=BATCH, shuffle=False, verbose=verbose).history
    assert_same(model, expected)
    assert list(history) == ["loss"]
    reference = make_model()
    reference.compile(make_optimizer(), loss_fn)
    wanted = reference.fit(*data, batch_size=BATCH, shuffle=False, verbose=0).history
    assert history["loss"] == pytest.approx(wanted["loss"], rel=1e-5)


def test_jax_style_state_is_in_the_model_whenever_a_callback_looks(data):
    model = make_model(with_tracker(JaxStyle))
    model.loss_tracker = keras.metrics.Mean(name="loss")
    model.compile(optimizer=make_optimizer())
    reference = make_model()
    reference.compile(make_optimizer(), loss_fn)
    seen = {"a": [], "b": []}

    def spy(name, watched):
        def look(batch, logs):
            seen[name].append((watched.get_weights()[0], int(watched.optimizer.iterations)))

        return keras.callbacks.LambdaCallback(on_train_batch_end=look)

    fit = {"batch_size": BATCH, "shuffle": False, "verbose": 0}
    model.fit(*data, **fit, callbacks=[spy("a", model)])
    reference.fit(*data, **fit, callbacks=[spy("b", reference)])
    assert len(seen["a"]) == STEPS
    for (a, i), (b, j) in zip(seen["a"], seen["b"], strict=True):
        assert i == j
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_jax_style_evaluation_step(data):
    class WithTest(JaxStyle):
        def test_step(self, state, data):
            trainable, non_trainable, metrics_variables = state
            inputs, targets = data
            loss, non_trainable = self.compute_loss_and_updates(
                trainable, non_trainable, inputs, targets
            )
            own = self.loss_tracker.stateless_update_state(metrics_variables, loss)
            logs = {"loss": self.loss_tracker.stateless_result(own)}
            return logs, (trainable, non_trainable, own)

    model = make_model(with_tracker(WithTest))
    model.loss_tracker = keras.metrics.Mean(name="loss")
    model.compile(optimizer=make_optimizer())
    history = model.fit(*data, batch_size=BATCH, validation_data=data, verbose=0).history
    assert history["val_loss"][0] < history["loss"][0]
    x, y = data
    wanted = loss_fn(torch.from_numpy(y), model(x))
    assert model.evaluate(x, y, batch_size=len(x), verbose=0) == pytest.approx(
        wanted.item(), rel=1e-5
    )
    seen = []
    look = keras.callbacks.LambdaCallback(
        on_test_batch_end=lambda batch, logs: seen.append(
            (logs["loss"], float(model.loss_tracker.result()))
        )
    )
    model.evaluate(x, y, batch_size=BATCH, verbose=0, callbacks=[look])
    assert len(seen) > 1 and all(logged == held for logged, held in seen)


def test_jax_style_step_with_a_wrong_result_says_so(data):
    class Wrong(keras.Model):
        def train_step(self, state, data):
            return {"loss": torch.zeros(())}

    model = make_model(Wrong)
    model.compile(optimizer=make_optimizer())
    with pytest.raises(ValueError, match=r"must return `\(logs, state\)`"):
        model.fit(*data, verbose=0)


def test_jax_style_prediction_step(data):
    class WithPredict(keras.Model):
        def predict_step(self, state, data):
            trainable, non_trainable = state
            inputs, _, _ = keras.utils.unpack_x_y_sample_weight(data)
            return self.stateless_call(trainable, non_trainable, inputs)

    model = make_model(WithPredict)
    wanted = model(torch.from_numpy(data[0])).detach().numpy()
    np.testing.assert_allclose(model.predict(data[0], verbose=0), wanted, atol=1e-6)
    np.testing.assert_allclose(model.predict_on_batch(data[0]), wanted, atol=1e-6)
